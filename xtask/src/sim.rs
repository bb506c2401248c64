//! `sim`: the simulated world with its figures printed, and no limit of time as nextest has one.

use anyhow::{Result, bail};

use crate::shell::{self, Shell};

/// The test programs, and how many worlds each plays in full: those of `sync` have eight players with fast
/// outputs, and take twenty times as long.
const WORLDS: [(&str, &str); 2] = [("matrix", "1000"), ("sync", "100")];

/// `cargo xtask sim [--full]`.
///
/// # Errors
///
/// When an option is unknown, or a bar is missed.
pub(crate) fn run(shell: &Shell, options: &[String]) -> Result<()> {
    let full = match options {
        [] => false,
        [option] if option == "--full" => true,
        others => {
            bail!("`sim` takes `--full` and nothing else, but was given `{}`", others.join(" "))
        }
    };
    for (test, worlds) in WORLDS {
        let mut cargo = shell.command("cargo");
        cargo.args(["test", "--quiet", "--release", "--package=e2e", "--test", test]);
        // One after the other: the worlds of a test share the cores among themselves.
        cargo.args(["--", "--nocapture", "--test-threads=1"]);
        if full {
            cargo.env("PARTYLINE_SEEDS", worlds);
        }
        shell::run(&mut cargo)?;
    }
    Ok(())
}
