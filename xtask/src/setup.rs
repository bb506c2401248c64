//! Installs what is missing, and says so in one line per tool.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail};

use crate::{
    debian,
    plan::{self, Method, Plan, TOOLS_DIR},
    platform::{Manager, Platform},
    probe::{Finding, Probe, WasmToolchain},
    shell::{self, Shell},
    tool::{Pins, Purpose, Tool},
};

/// A download by rustup: it is a few seconds where the network is open, and waits for nothing where it is not.
const RUSTUP_LIMIT: Duration = Duration::from_mins(3);
/// Longest any other installation may take: trunk is half an hour's work for a small single-board computer.
const INSTALL_LIMIT: Duration = Duration::from_hours(2);

/// What a command can count on after set-up.
#[derive(Debug)]
pub(crate) struct Tools {
    /// The compiler for wasm32, if there is one.
    pub(crate) wasm: Option<WasmToolchain>,
    missing: Vec<(Tool, String)>,
}

impl Tools {
    /// The first of `needed` that is not there.
    pub(crate) fn lacking(&self, needed: &[Tool]) -> Option<Tool> {
        self.missing.iter().map(|(tool, _)| *tool).find(|tool| needed.contains(tool))
    }

    /// The compiler for wasm32.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) fn wasm(&self) -> Result<WasmToolchain> {
        self.wasm.ok_or_else(|| anyhow!("no compiler here builds for wasm32"))
    }
}

/// `cargo xtask setup`: installs what is missing and lists what was found.
///
/// # Errors
///
/// When something is missing that could not be installed.
pub(crate) fn report(shell: &Shell, purpose: Purpose) -> Result<()> {
    require(&install(shell, purpose, true)?)
}

/// Installs what is missing for `purpose`, silently when nothing is.
///
/// # Errors
///
/// When something is missing that could not be installed.
pub(crate) fn ensure(shell: &Shell, purpose: Purpose) -> Result<Tools> {
    let tools = install(shell, purpose, false)?;
    require(&tools)?;
    Ok(tools)
}

/// As [`ensure`], but what cannot be installed is only named.
///
/// # Errors
///
/// When the machine cannot be looked at.
pub(crate) fn attempt(shell: &Shell, purpose: Purpose) -> Result<Tools> {
    let tools = install(shell, purpose, false)?;
    for (tool, advice) in &tools.missing {
        println!("{}: missing; {advice}", tool.name());
    }
    Ok(tools)
}

fn require(tools: &Tools) -> Result<()> {
    if tools.missing.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> =
        tools.missing.iter().map(|(tool, advice)| format!("  {}: {advice}", tool.name())).collect();
    bail!("could not install everything that is needed\n{}", lines.join("\n"))
}

fn install(shell: &Shell, purpose: Purpose, say_found: bool) -> Result<Tools> {
    let pins = Pins::read(shell)?;
    let mut installer = Installer { shell, platform: None, apt_is_current: false };
    let mut probe = Probe::new(shell, &pins)?;
    let mut missing = Vec::new();
    for &tool in purpose.tools() {
        let finding = probe.find(tool);
        if let Finding::Present(what) = &finding {
            if say_found {
                println!("{}: found {what}", tool.name());
            }
            continue;
        }
        if finding == Finding::NotNeeded {
            continue;
        }
        let platform = installer.platform();
        match plan::plan(tool, &finding, platform, &pins) {
            Plan::Nothing => {}
            Plan::Manual(advice) => missing.push((tool, advice)),
            Plan::Install(methods) => {
                let works = || -> Result<bool> {
                    Ok(matches!(Probe::new(shell, &pins)?.find(tool), Finding::Present(_)))
                };
                if !installer.try_each(tool, &methods, works)? {
                    missing.push((tool, plan::advice(tool, platform, &pins)));
                }
                if tool == Tool::WasmTarget {
                    probe = Probe::new(shell, &pins)?;
                }
            }
        }
    }
    Ok(Tools { wasm: probe.wasm, missing })
}

struct Installer<'a> {
    shell: &'a Shell,
    /// Looked at once, and only when something is missing.
    platform: Option<Platform>,
    /// Whether apt's lists were fetched in this run.
    apt_is_current: bool,
}

impl Installer<'_> {
    fn platform(&mut self) -> Platform {
        *self.platform.get_or_insert_with(|| Platform::detect(self.shell))
    }

    /// Tries the methods in turn until the tool works.
    fn try_each(
        &mut self,
        tool: Tool,
        methods: &[Method],
        works: impl Fn() -> Result<bool>,
    ) -> Result<bool> {
        let log = self.shell.notes()?.join(format!("{}.log", tool.name().replace(' ', "-")));
        for (index, method) in methods.iter().enumerate() {
            println!("{}: installing {}", tool.name(), method.describe());
            let started = Instant::now();
            let result = self.run(method, &log);
            let seconds = started.elapsed().as_secs();
            let is_last = index + 1 == methods.len();
            match result {
                Ok(()) if works()? => {
                    println!("{}: installed in {seconds} s", tool.name());
                    return Ok(true);
                }
                Ok(()) => println!("{}: installed, but it does not work", tool.name()),
                Err(error) if is_last => println!("{}: not installed: {error:#}", tool.name()),
                Err(_) => println!("{}: not to be had that way; {}", tool.name(), log.display()),
            }
        }
        Ok(false)
    }

    fn run(&mut self, method: &Method, log: &Path) -> Result<()> {
        let platform = self.platform();
        let shell = self.shell;
        let by_apt =
            matches!(method, Method::DebianCompiler | Method::System { manager: Manager::Apt, .. });
        if by_apt && !self.apt_is_current {
            let mut update = debian::as_root(shell, platform, "apt-get");
            shell::run_logged(update.arg("update"), log, INSTALL_LIMIT)?;
            self.apt_is_current = true;
        }
        match method {
            Method::DebianCompiler => debian::install(shell, platform, log),
            Method::System { manager: Manager::Apt, packages, .. } => {
                debian::apt_install(shell, platform, packages, log)
            }
            Method::RustupTarget | Method::RustupComponent(_) => {
                shell::run_logged(&mut self.command(method), log, RUSTUP_LIMIT)
            }
            Method::System { .. } | Method::Cargo { .. } => {
                shell::run_logged(&mut self.command(method), log, INSTALL_LIMIT)
            }
        }
    }

    fn command(&self, method: &Method) -> Command {
        let words = method.words();
        let tools = self.shell.tools();
        let mut command = self.shell.command(&words[0]);
        for word in &words[1..] {
            if word == TOOLS_DIR {
                command.arg(&tools);
            } else {
                command.arg(word);
            }
        }
        // Its place is the log, and there it hides what went wrong.
        command.env("RUST_BACKTRACE", "0");
        // Cargo then builds in a folder of its own and removes it.
        command.env_remove("CARGO_TARGET_DIR");
        // These tools wait for compilers. Optimizing them takes longer than it would ever save.
        for (setting, value) in [("LTO", "off"), ("CODEGEN_UNITS", "16"), ("OPT_LEVEL", "1")] {
            command.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
        }
        command
    }
}
