//! `sound`: how far apart pages are, measured from what their sound cards get.

use std::{fs::OpenOptions, path::PathBuf, time::Duration};

use anyhow::{Result, bail};

use crate::{
    run, setup,
    shell::{self, Shell},
    tool::Purpose,
};

/// The instrument, in Python and C.
const INSTRUMENT: &str = "tests/sound";
/// Longest time that setting it up may take: packages, a Python environment, the test track.
const SETUP_LIMIT: Duration = Duration::from_mins(10);

/// Longest time that all runs may take, with three tries each. Each run has a limit of its own, and cleans up after it.
const SUITE_LIMIT: Duration = Duration::from_hours(3);

/// `cargo xtask sound [--full]`.
///
/// # Errors
///
/// When an option is unknown, the instrument cannot work here, or a bar is missed.
pub(crate) fn run(shell: &Shell, options: &[String]) -> Result<()> {
    if let Some(unknown) = options.iter().find(|option| *option != "--full") {
        bail!("`sound` takes `--full` and nothing else, but was given `{unknown}`");
    }
    let tools = setup::ensure(shell, Purpose::Build)?;
    run::release_server(shell, &tools)?;
    if let Some(reason) = prepare(shell)? {
        bail!("the instrument cannot work here: {reason}");
    }
    measure(shell, options)
}

/// The short form, or a message why not: what it needs is not to be had on every machine.
///
/// # Errors
///
/// When a bar is missed.
pub(crate) fn check(shell: &Shell) -> Result<()> {
    match prepare(shell)? {
        Some(reason) => println!("skipped: {reason}"),
        None => measure(shell, &[])?,
    }
    Ok(())
}

/// Installs what is missing. Returns why the instrument cannot work here, if it cannot.
fn prepare(shell: &Shell) -> Result<Option<String>> {
    if !cfg!(target_os = "linux") {
        return Ok(Some("it needs Linux with network namespaces".to_owned()));
    }
    if shell.ask("id", &["-u"]).as_deref().map(str::trim) != Some("0") {
        return Ok(Some("it needs root, for network namespaces and real-time priority".to_owned()));
    }
    if OpenOptions::new().read(true).write(true).open("/dev/net/tun").is_err() {
        return Ok(Some("it needs /dev/net/tun".to_owned()));
    }
    let mut setup = shell.command(instrument(shell, "setup.sh"));
    setup.env("PARTYLINE_SOUND", home(shell));
    let log = shell.notes()?.join("sound.log");
    let done = shell::run_logged(&mut setup, &log, SETUP_LIMIT);
    Ok(done.err().map(|error| format!("it cannot be set up: {error:#}")))
}

fn measure(shell: &Shell, options: &[String]) -> Result<()> {
    let mut suite = shell.command(home(shell).join("venv/bin/python").display().to_string());
    suite.arg(instrument(shell, "suite.py"));
    suite.arg("--bin").arg(run::server(shell, "release")).args(options);
    shell::run_at_most(suite.env("PARTYLINE_SOUND", home(shell)), SUITE_LIMIT)
}

fn instrument(shell: &Shell, file: &str) -> String {
    shell.root().join(INSTRUMENT).join(file).display().to_string()
}

/// Where everything is that the instrument makes.
fn home(shell: &Shell) -> PathBuf {
    shell.target().join("sound")
}
