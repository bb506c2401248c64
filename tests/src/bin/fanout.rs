//! `cargo xtask bench fanout`: see [`e2e::load`].

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("the costs of a process are read from /proc: this needs Linux");
}

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::env;
    use std::time::Duration;

    use anyhow::{Context, Result, bail};
    use e2e::load::{Load, run, serve_floor};

    pub(super) fn main() -> Result<()> {
        let arguments: Vec<String> = env::args().skip(1).collect();
        if let [flag, listeners, bytes, micros] = arguments.as_slice()
            && flag == "--floor"
        {
            return serve_floor(
                listeners.parse()?,
                bytes.parse()?,
                Duration::from_micros(micros.parse()?),
            );
        }
        let load = load(&arguments)?;
        // One thread, which the load puts on the cores that the server does not have.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        println!("{}", runtime.block_on(run(load))?);
        Ok(())
    }

    fn load(arguments: &[String]) -> Result<Load> {
        let mut load = Load { listeners: 500, stalled: 0, churn_per_s: 0.0, seconds: 20 };
        let mut arguments = arguments.iter();
        while let Some(option) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{option} needs a value"))?;
            let wrong = || format!("{option} {value}: expected a number");
            match option.as_str() {
                "--listeners" => load.listeners = value.parse().with_context(wrong)?,
                "--stalled" => load.stalled = value.parse().with_context(wrong)?,
                "--churn" => load.churn_per_s = value.parse().with_context(wrong)?,
                "--seconds" => load.seconds = value.parse().with_context(wrong)?,
                other => {
                    bail!(
                        "no option {other}; expected --listeners, --stalled, --churn or --seconds"
                    )
                }
            }
        }
        Ok(load)
    }
}
