//! `check`, `test` and `e2e`: what is checked, in which order, and with which tools.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    axe,
    probe::Browser,
    run,
    setup::{self, Tools},
    shell::{self, Shell},
    sound,
    tool::{Purpose, Tool},
};

/// What every step may use.
struct Job<'a> {
    shell: &'a Shell,
    tools: &'a Tools,
    /// Further options of the command line, for the steps that take them.
    options: &'a [String],
}

/// One thing that is checked.
struct Step {
    name: &'static str,
    needs: &'static [Tool],
    run: fn(&Job<'_>) -> Result<()>,
}

/// The crates that run in a browser.
const PAGE_CRATES: [&str; 4] =
    ["--package=player-wasm", "--package=ui", "--target", "wasm32-unknown-unknown"];

const FORMAT: Step = Step { name: "format", needs: &[Tool::Rustfmt], run: format };
const LINTS: Step = Step { name: "lints", needs: &[Tool::Clippy], run: lints };
const WASM_LINTS: Step = Step {
    name: "lints, wasm32",
    needs: &[Tool::Clippy, Tool::WasmTarget, Tool::WasmClippy],
    run: wasm_lints,
};
const DOCS: Step = Step { name: "documentation", needs: &[], run: docs };
const DENY: Step = Step { name: "dependencies", needs: &[Tool::Deny], run: deny };
const PAGE_AND_SERVER: Step = Step {
    name: "page and release server",
    needs: &[Tool::WasmTarget, Tool::Trunk, Tool::WasmBindgen],
    run: page_and_server,
};
const TESTS: Step = Step { name: "tests", needs: &[Tool::Nextest], run: tests };
const WASM_TESTS: Step = Step {
    name: "tests, wasm32 in a browser",
    needs: &[Tool::WasmTarget, Tool::WasmBindgen, Tool::Browser],
    run: wasm_tests,
};
const INTEROP: Step =
    Step { name: "tests, official client", needs: &[Tool::Nextest, Tool::Alsa], run: interop };
const BROWSER: Step = Step {
    name: "tests, end to end in a browser",
    needs: &[Tool::Nextest, Tool::Browser],
    run: browser,
};

const SOUND: Step =
    Step { name: "tests, from recorded sound", needs: &[Tool::Browser], run: recorded_sound };

/// `cargo xtask check`.
///
/// # Errors
///
/// When a step fails, or a tool for it is missing on a CI machine.
pub(crate) fn check(shell: &Shell) -> Result<()> {
    let tools = setup::attempt(shell, Purpose::Check)?;
    run_all(&Job { shell, tools: &tools, options: &[] }, &[FORMAT, LINTS, WASM_LINTS])
}

/// `cargo xtask test`.
///
/// # Errors
///
/// When a step fails, or a tool for it is missing on a CI machine.
pub(crate) fn test(shell: &Shell) -> Result<()> {
    let tools = setup::attempt(shell, Purpose::Test)?;
    let steps = [
        FORMAT,
        LINTS,
        WASM_LINTS,
        DOCS,
        DENY,
        PAGE_AND_SERVER,
        TESTS,
        WASM_TESTS,
        INTEROP,
        BROWSER,
        SOUND,
    ];
    run_all(&Job { shell, tools: &tools, options: &[] }, &steps)
}

/// `cargo xtask e2e`: the browser tests, with the release server they drive.
///
/// # Errors
///
/// When a step fails, or a tool for it is missing.
pub(crate) fn e2e(shell: &Shell, options: &[String]) -> Result<()> {
    let tools = setup::ensure(shell, Purpose::Test)?;
    run_all(&Job { shell, tools: &tools, options }, &[PAGE_AND_SERVER, BROWSER])
}

/// Runs the steps in order and stops at the first failure.
fn run_all(job: &Job<'_>, steps: &[Step]) -> Result<()> {
    let started = Instant::now();
    let mut summary = Vec::new();
    for step in steps {
        if let Some(tool) = job.tools.lacking(step.needs) {
            if job.shell.is_ci() {
                bail!("{}: {} is missing, and CI checks everything", step.name, tool.name());
            }
            println!("== {}: skipped, {} is missing", step.name, tool.name());
            summary.push(format!("{} skipped", step.name));
            continue;
        }
        println!("== {}", step.name);
        let step_started = Instant::now();
        (step.run)(job).with_context(|| {
            format!("{} failed after {} s", step.name, step_started.elapsed().as_secs())
        })?;
        summary.push(format!("{} {} s", step.name, step_started.elapsed().as_secs()));
    }
    println!("== all passed in {} s ({})", started.elapsed().as_secs(), summary.join(", "));
    Ok(())
}

fn format(job: &Job<'_>) -> Result<()> {
    let cargo = || job.shell.command("cargo");
    if job.shell.is_ci() {
        // A stale lock file would be rewritten by the first step that needs it, and nobody would notice.
        let mut metadata = cargo();
        metadata.args(["metadata", "--locked", "--format-version=1"]);
        shell::run(metadata.stdout(std::process::Stdio::null()))?;
    }
    shell::run(cargo().args(["fmt", "--all", "--check"]))?;
    shell::run(cargo().args(["fmt", "--check", "--manifest-path", INTEROP_MANIFEST]))
}

fn lints(job: &Job<'_>) -> Result<()> {
    let mut cargo = job.shell.command("cargo");
    shell::run(cargo.args(["clippy", "--quiet", "--all-targets", "--", "--deny=warnings"]))?;
    // Without edges and workers it is another program.
    let mut cargo = job.shell.command("cargo");
    cargo.args(["clippy", "--quiet", "--package=server", "--no-default-features"]);
    shell::run(cargo.args(["--", "--deny=warnings"]))
}

fn wasm_lints(job: &Job<'_>) -> Result<()> {
    let mut cargo = job.tools.wasm()?.cargo(job.shell);
    cargo.args(["clippy", "--quiet"]).args(PAGE_CRATES).args([
        "--all-targets",
        "--",
        "--deny=warnings",
    ]);
    shell::run(&mut cargo)
}

/// Builds the documentation of both halves and runs its examples.
fn docs(job: &Job<'_>) -> Result<()> {
    let mut cargo = job.shell.command("cargo");
    shell::run(cargo.args(["doc", "--quiet", "--no-deps"]).env("RUSTDOCFLAGS", "--deny=warnings"))?;
    if let Some(toolchain) = job.tools.wasm {
        let mut cargo = toolchain.cargo(job.shell);
        cargo
            .args(["doc", "--quiet", "--no-deps"])
            .args(PAGE_CRATES)
            .env("RUSTDOCFLAGS", "--deny=warnings");
        shell::run(&mut cargo)?;
    }
    let mut cargo = job.shell.command("cargo");
    shell::run(cargo.args([
        "test",
        "--quiet",
        "--doc",
        "--package=protocol",
        "--package=player-wasm",
    ]))
}

/// Where known vulnerabilities are published.
const ADVISORIES: &str = "https://github.com/rustsec/advisory-db";

fn deny(job: &Job<'_>) -> Result<()> {
    let shell = job.shell;
    let asks_nothing = ["-c", "core.askPass=true", "ls-remote", "--exit-code", ADVISORIES, "HEAD"];
    let can_fetch = shell.succeeds("git", &asks_nothing, Duration::from_secs(20));
    let mut cargo = shell.command("cargo");
    cargo.args(["deny", "--log-level=error", "check", "licenses", "bans", "sources"]);
    if can_fetch {
        cargo.arg("advisories");
    } else {
        println!("advisories: not checked, {ADVISORIES} cannot be reached");
    }
    shell::run(&mut cargo)
}

fn page_and_server(job: &Job<'_>) -> Result<()> {
    run::release_server(job.shell, job.tools).map(drop)
}

fn tests(job: &Job<'_>) -> Result<()> {
    shell::run(nextest(job)?.args(["--filterset", "not binary(browser)"]))
}

fn wasm_tests(job: &Job<'_>) -> Result<()> {
    let mut cargo = job.tools.wasm()?.cargo(job.shell);
    with_browser(job, &mut cargo)?;
    // The runner finds Chromium's arguments in the `webdriver.json` of each crate.
    cargo
        .arg("test")
        .args(PAGE_CRATES)
        .args(["--lib", "--bins", "--tests"])
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", "wasm-bindgen-test-runner")
        // Seconds. The default of 20 is short for a browser on a busy machine.
        .env("WASM_BINDGEN_TEST_TIMEOUT", "120");
    if let Some(script) = axe::script(job.shell)? {
        cargo.arg("--features=ui/axe").env("AXE", script);
    }
    shell::run(&mut cargo)
}

/// The official client pulls a sound library, so its test is a workspace of its own.
const INTEROP_MANIFEST: &str = "tests/interop/Cargo.toml";

fn interop(job: &Job<'_>) -> Result<()> {
    let target = job.shell.target().join("interop");
    let mut clippy = job.shell.command("cargo");
    clippy.args(["clippy", "--quiet", "--all-targets", "--manifest-path", INTEROP_MANIFEST]);
    shell::run(clippy.arg("--target-dir").arg(&target).args(["--", "--deny=warnings"]))?;
    let mut nextest = nextest(job)?;
    nextest.args(["--manifest-path", INTEROP_MANIFEST]);
    shell::run(nextest.arg("--target-dir").arg(&target))
}

fn browser(job: &Job<'_>) -> Result<()> {
    let mut nextest = nextest(job)?;
    with_browser(job, &mut nextest)?;
    // One at a time: two browsers on two cores would measure each other.
    nextest.args(["--filterset", "binary(browser)", "--test-threads=1"]).args(job.options);
    shell::run(&mut nextest)
}

fn recorded_sound(job: &Job<'_>) -> Result<()> {
    sound::check(job.shell)
}

/// Nextest, for tests that may start the release server.
fn nextest(job: &Job<'_>) -> Result<Command> {
    let mut command = job.shell.command("cargo");
    command.args(["nextest", "run", "--cargo-quiet"]);
    command.args(["--profile", if job.shell.is_ci() { "ci" } else { "default" }]);
    let server = run::server(job.shell, "release");
    if !server.is_file() {
        bail!("{} is missing: run `cargo xtask build`", server.display());
    }
    command.env("PARTYLINE_SERVER", server);
    // An error says what went wrong; a hundred frames of a runtime below it hide that.
    command.env("RUST_LIB_BACKTRACE", "0");
    Ok(command)
}

fn with_browser(job: &Job<'_>, command: &mut Command) -> Result<()> {
    let browser = Browser::find(job.shell).context("no Chromium with its driver")?;
    command.env("CHROMEDRIVER", browser.driver).env("CHROME", browser.chromium);
    Ok(())
}
