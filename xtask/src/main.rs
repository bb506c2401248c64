//! `cargo xtask`: set-up, build and checks. A person, CI and the git hook call these commands and nothing else.
//!
//! - `shell`: how a command is run, and what of the surrounding cargo it must not see
//! - `platform`: what this machine offers to install with
//! - `tool`: what building and testing needs, and which versions are pinned
//! - `probe`: what is here already
//! - `plan`: from what was found to what to do. Pure
//! - `setup`: does it, one line per tool
//! - `debian`: the wasm32 target where rustup cannot download
//! - `page`: the page, by trunk, rebuilt only when something it is made of changed
//! - `axe`: the script that looks at the page for what keeps people out
//! - `run`: `build`, `party` and `dev`
//! - `sim`: the simulated world, with its figures
//! - `bench`: what many listeners cost
//! - `sound`: how far apart pages are, measured from sound
//! - `steps`: `check`, `test` and `e2e`
//!
//! It is compiled before anything else can be, so its only dependencies are small.

mod axe;
mod bench;
mod debian;
mod page;
mod plan;
mod platform;
mod probe;
mod run;
mod setup;
mod shell;
mod sim;
mod sound;
mod steps;
mod tool;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::{shell::Shell, tool::Purpose};

const HELP: &str = "\
cargo xtask <command>

  party [-- server options]  install what is missing, build, and start a party on the demo track
  build                      leave target/release/server, with the page inside
  dev [-- server options]    the server and `trunk serve` with its proxy; both end together
  check                      format and lints
  test                       everything CI checks
  e2e [-- nextest options]   the browser tests alone
  sim [--full]               the simulated world, with figures; --full takes more than an hour
  sound [--full]             how far apart pages are, from recorded sound; --full takes 40 minutes
  bench fanout [options]     what many real listeners cost; --listeners N --stalled N --churn N --seconds N
  setup                      install what building and testing needs, and say what was found
";

fn main() -> ExitCode {
    match dispatch(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(mut args: Vec<String>) -> Result<()> {
    let command = if args.is_empty() { String::from("help") } else { args.remove(0) };
    if args.first().is_some_and(|arg| arg == "--") {
        args.remove(0);
    }
    let takes_options =
        matches!(command.as_str(), "party" | "dev" | "e2e" | "sim" | "sound" | "bench");
    if !takes_options && !args.is_empty() {
        bail!("`{command}` takes no options, but was given `{}`\n\n{HELP}", args.join(" "));
    }
    if matches!(command.as_str(), "help" | "-h" | "--help") {
        println!("{HELP}");
        return Ok(());
    }
    let shell = Shell::new()?;
    match command.as_str() {
        "party" => run::party(&shell, &args),
        "build" => run::build(&shell),
        "dev" => run::dev(&shell, &args),
        "check" => steps::check(&shell),
        "test" => steps::test(&shell),
        "e2e" => steps::e2e(&shell, &args),
        "sim" => sim::run(&shell, &args),
        "sound" => sound::run(&shell, &args),
        "bench" => bench::run(&shell, &args),
        "setup" => setup::report(&shell, Purpose::Test),
        other => bail!("no command `{other}`\n\n{HELP}"),
    }
}
