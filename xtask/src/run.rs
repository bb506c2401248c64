//! `build`, `party` and `dev`.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::{
    page, setup,
    setup::Tools,
    shell::{self, Shell},
    tool::Purpose,
};

/// How often `dev` looks at the signals and at its two processes.
const POLL: Duration = Duration::from_millis(50);
/// The server says goodbye to its listeners within 2 s. Longer than that, and it is ended.
const GOODBYE: Duration = Duration::from_secs(3);

/// `cargo xtask build`: the release server with the page inside.
///
/// # Errors
///
/// When something needed cannot be installed, or the page or the server does not build.
pub(crate) fn build(shell: &Shell) -> Result<()> {
    let tools = setup::ensure(shell, Purpose::Build)?;
    let server = release_server(shell, &tools)?;
    println!("server: {}", server.display());
    Ok(())
}

/// Builds the page and then the server that embeds it. Returns where the server is.
///
/// # Errors
///
/// When either does not build.
pub(crate) fn release_server(shell: &Shell, tools: &Tools) -> Result<PathBuf> {
    page::build(shell, tools)?;
    shell::run(shell.command("cargo").args(["build", "--release", "--package", "server"]))?;
    Ok(server(shell, "release"))
}

/// `cargo xtask party`: becomes the release server, playing the demo track.
///
/// # Errors
///
/// When the server cannot be built or started. On Unix this returns only then.
pub(crate) fn party(shell: &Shell, options: &[String]) -> Result<()> {
    let tools = setup::ensure(shell, Purpose::Build)?;
    let server = release_server(shell, &tools)?;
    let mut command = party_server(shell, &server, options)?;
    command.arg("--qr");
    replace_this_process(command)
}

/// The server with the reader's options, in the reader's folder, because `--source` may name a file there.
fn party_server(shell: &Shell, server: &Path, options: &[String]) -> Result<Command> {
    let mut command = shell.command(server.display().to_string());
    command.args(source(options)).args(options).current_dir(std::env::current_dir()?);
    Ok(command)
}

/// The demo track, unless the reader asked for another source.
fn source(options: &[String]) -> &'static [&'static str] {
    let is_source = |option: &String| option == "--source" || option.starts_with("--source=");
    if options.iter().any(is_source) { &[] } else { &["--source", "demo"] }
}

/// Signals then reach the server and not a process in front of it.
#[cfg(unix)]
fn replace_this_process(mut command: Command) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {}", shell::line(&command)))
}

#[cfg(not(unix))]
fn replace_this_process(mut command: Command) -> Result<()> {
    shell::run(&mut command)
}

/// `cargo xtask dev`: the server and `trunk serve`, which proxies to it. When one ends, so does the other.
///
/// # Errors
///
/// When either does not build or start, or ends by itself.
pub(crate) fn dev(shell: &Shell, options: &[String]) -> Result<()> {
    let tools = setup::ensure(shell, Purpose::Build)?;
    // Whatever page the server embeds, nobody opens it: trunk serves the one being worked on.
    shell::run(shell.command("cargo").args(["build", "--package", "server"]))?;

    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let mut server = party_server(shell, &server(shell, "debug"), options)?;
    // The page comes from trunk's port, which is another site. Players at home need not see every attempt.
    server.args(["--allow-origin", "*", "--no-mdns"]);
    let mut trunk = page::trunk(shell, tools.wasm()?);
    // `dist/` holds what the release server embeds, and stays as it is.
    trunk.arg("serve").arg("--dist").arg(shell.target().join("dev-dist"));

    let mut server = Running::start("the server", server)?;
    let mut trunk = Running::start("trunk serve", trunk)?;
    let ended = loop {
        if stop.load(Ordering::Relaxed) {
            break None;
        }
        if let Some(status) = server.ended()? {
            break Some(("the server", status));
        }
        if let Some(status) = trunk.ended()? {
            break Some(("trunk serve", status));
        }
        std::thread::sleep(POLL);
    };
    drop(trunk);
    drop(server);
    match ended {
        Some((name, status)) => bail!("{name} ended ({status}), and so everything ends"),
        None => Ok(()),
    }
}

/// Where cargo leaves the server.
pub(crate) fn server(shell: &Shell, profile: &str) -> PathBuf {
    let file = format!("server{}", std::env::consts::EXE_SUFFIX);
    shell.target().join(profile).join(file)
}

/// A process, with those it started, that ends when this is dropped.
struct Running {
    name: &'static str,
    child: Child,
}

impl Running {
    fn start(name: &'static str, mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null());
        // A group of its own: an interrupt from the keyboard reaches this program alone, which passes on one signal.
        // The server takes a second one for impatience.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child })
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot look at {}", self.name))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Asked first, so that the server can say goodbye. Without `kill`, as on Windows, it is ended at once.
        let group = format!("-{}", self.child.id());
        let asked =
            Command::new("kill").args(["-TERM", "--", &group]).stderr(Stdio::null()).status();
        let until = Instant::now() + GOODBYE;
        while asked.is_ok() && Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(POLL);
        }
        // Both fail only when it has ended by now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_demo_track_plays_unless_another_source_is_asked_for() {
        assert_eq!(source(&options("--port 9000")), ["--source", "demo"]);
        assert!(source(&options("--source song.flac")).is_empty());
        assert!(source(&options("--source=song.flac")).is_empty());
    }

    #[test]
    #[cfg(unix)]
    fn a_process_ends_with_its_owner() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 60; echo awake"]);
        let running = Running::start("sh", shell).unwrap();
        let group = format!("-{}", running.child.id());
        let is_there = || {
            let mut kill = Command::new("kill");
            kill.args(["-0", "--", &group]).stderr(Stdio::null()).status().unwrap().success()
        };
        assert!(is_there());
        let started = Instant::now();
        drop(running);
        assert!(started.elapsed() < GOODBYE, "it did not end when asked");
        let until = Instant::now() + GOODBYE;
        while is_there() {
            assert!(Instant::now() < until, "what it started is still there");
            std::thread::yield_now();
        }
    }
}
