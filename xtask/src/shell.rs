//! How a command is run: from the root of the workspace, with the project's own tools first on the path.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::IsTerminal,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How often a limited command is looked at. Long enough to cost nothing, short enough not to be noticed.
const POLL: Duration = Duration::from_millis(20);

/// Variables that `cargo run` sets for this program. A nested cargo that sees them rebuilds what depends on them.
const SET_BY_CARGO: [&str; 4] = ["CARGO", "CARGO_BIN_NAME", "CARGO_CRATE_NAME", "LD_LIBRARY_PATH"];

/// The workspace, and the environment of every command run in it.
#[derive(Debug)]
pub(crate) struct Shell {
    root: PathBuf,
    target: PathBuf,
    path: OsString,
    ci: bool,
}

impl Shell {
    /// # Errors
    ///
    /// When the search path holds what cannot be joined again, such as a folder name with the separator in it.
    pub(crate) fn new() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().context("xtask stands in the workspace")?.to_path_buf();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => std::path::absolute(dir)?,
            None => root.join("target"),
        };
        let tools = target.join("tools");
        let mut folders =
            vec![tools.join("bin"), tools.join("node_modules/.bin"), cargo_home().join("bin")];
        folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let path = std::env::join_paths(folders)?;
        let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
        Ok(Self { root, target, path, ci })
    }

    /// The root of the workspace.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target folder.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Where tools go that must not replace the reader's own.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// A folder under the target folder for what this program remembers and logs. Created on first use.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub(crate) fn notes(&self) -> Result<PathBuf> {
        let notes = self.target.join("xtask");
        fs::create_dir_all(&notes).with_context(|| format!("cannot create {}", notes.display()))?;
        Ok(notes)
    }

    /// Whether this is a CI machine, where a missing tool is an error and not a skip.
    pub(crate) fn is_ci(&self) -> bool {
        self.ci
    }

    /// The first file of that name on the search path of [`Shell::command`].
    pub(crate) fn which(&self, program: &str) -> Option<PathBuf> {
        std::env::split_paths(&self.path)
            .map(|folder| folder.join(format!("{program}{}", std::env::consts::EXE_SUFFIX)))
            .find(|file| file.is_file())
    }

    /// A command at the root of the workspace.
    pub(crate) fn command(&self, program: impl AsRef<str>) -> Command {
        let program = program.as_ref();
        let mut command = match self.which(program) {
            Some(file) => Command::new(file),
            None => Command::new(program),
        };
        command
            .current_dir(&self.root)
            .env("PATH", &self.path)
            .env("CARGO_TARGET_DIR", &self.target);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let of_cargo = text.starts_with("CARGO_PKG_")
                || text.starts_with("CARGO_MANIFEST_")
                || SET_BY_CARGO.contains(&&*text);
            if of_cargo {
                command.env_remove(&name);
            }
        }
        // A clean checkout gains nothing from what is kept for the next build, and making it takes time.
        if self.ci && std::env::var_os("CARGO_INCREMENTAL").is_none() {
            command.env("CARGO_INCREMENTAL", "0");
        }
        // Trunk takes `NO_COLOR=1` for a malformed boolean and stops.
        if std::env::var_os("NO_COLOR").is_some() {
            command.env("NO_COLOR", "true");
        }
        command
    }

    /// What a command prints on standard output, trimmed, or `None` when it cannot be run or fails.
    pub(crate) fn ask(&self, program: &str, args: &[&str]) -> Option<String> {
        let output = self.command(program).args(args).stdin(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Whether a command succeeds within `limit`. What it prints is dropped.
    pub(crate) fn succeeds(&self, program: &str, args: &[&str], limit: Duration) -> bool {
        let mut command = self.command(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        wait_at_most(&mut command, limit).is_ok_and(|status| status.success())
    }
}

/// Runs a command with its output shown.
///
/// # Errors
///
/// When it cannot be started or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", line(command)))?;
    succeeded(command, status)
}

/// Runs a command with its output shown, for at most `limit`.
///
/// # Errors
///
/// When it cannot be started, fails, or takes longer.
pub(crate) fn run_at_most(command: &mut Command, limit: Duration) -> Result<()> {
    let status = wait_at_most(command, limit).with_context(|| line(command))?;
    succeeded(command, status)
}

/// Runs a command with its output added to `log`, for at most `limit`.
///
/// Standard input stays open on a terminal, because `sudo` may ask for a password there.
///
/// # Errors
///
/// When it cannot be started, fails, or takes longer. The error ends with the last lines of the log.
pub(crate) fn run_logged(command: &mut Command, log: &Path, limit: Duration) -> Result<()> {
    let file = File::options().create(true).append(true).open(log)?;
    if !std::io::stdin().is_terminal() {
        command.stdin(Stdio::null());
    }
    command.stdout(file.try_clone()?).stderr(file);
    let status = wait_at_most(command, limit)
        .with_context(|| format!("{}; see {}", line(command), log.display()))?;
    succeeded(command, status).with_context(|| last_lines(log))
}

/// Waits for a command, and ends it when it takes longer than `limit`.
fn wait_at_most(command: &mut Command, limit: Duration) -> Result<ExitStatus> {
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot run {}", line(command)))?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("not done after {} s", limit.as_secs());
        }
        std::thread::sleep(POLL);
    }
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    bail!("`{}` failed ({status})", line(command))
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(12)..].join("\n  ");
    format!("the end of {}:\n  {tail}\n", log.display())
}

/// A command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default();
    std::iter::once(program)
        .chain(command.get_args())
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME")
        .map_or_else(|| std::env::home_dir().unwrap_or_default().join(".cargo"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_hangs_is_ended() {
        let started = Instant::now();
        let result = wait_at_most(Command::new("sleep").arg("60"), Duration::from_millis(100));
        assert!(result.is_err());
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_failure_shows_the_end_of_the_log() {
        let log = std::env::temp_dir().join(format!("xtask-log-{}", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "echo what went wrong; exit 3"]);
        let error = run_logged(&mut command, &log, Duration::from_secs(10)).unwrap_err();
        fs::remove_file(&log).unwrap();
        let text = format!("{error:#}");
        assert!(text.contains("what went wrong") && text.contains("exit status: 3"), "{text}");
    }

    #[test]
    fn a_nested_cargo_does_not_see_the_variables_of_this_one() {
        let shell = Shell::new().unwrap();
        let command = shell.command("cargo");
        let removed = |name: &str| command.get_envs().any(|(n, v)| n == name && v.is_none());
        // Cargo and nextest set this one for every test.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        assert!(removed("CARGO_MANIFEST_DIR"));
    }
}
