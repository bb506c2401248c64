//! What is here already. A tool counts as found when it works, not when a file of its name exists.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::Result;

use crate::{
    debian,
    shell::Shell,
    tool::{Pins, Tool},
};

/// Longest a look at one tool may take.
const PROBE_LIMIT: Duration = Duration::from_secs(30);

const DEBIAN_CLIPPY: &str = "/usr/bin/clippy-driver";

/// What was found of one tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It works. The text says which version, or where.
    Present(String),
    /// It is pinned, and this other version stands first on the path.
    OtherVersion(String),
    Missing,
    /// This machine has no use for it.
    NotNeeded,
}

/// The compiler that builds for wasm32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WasmToolchain {
    /// The one that builds everything else.
    Active,
    /// Debian's, linked into rustup.
    Debian,
}

impl WasmToolchain {
    /// A `cargo` that builds for wasm32.
    pub(crate) fn cargo(self, shell: &Shell) -> Command {
        let mut command = shell.command("cargo");
        self.apply(&mut command);
        command
    }

    /// Makes a command, such as trunk, use this compiler.
    pub(crate) fn apply(self, command: &mut Command) {
        if self == Self::Debian {
            command.env("RUSTUP_TOOLCHAIN", debian::TOOLCHAIN);
        }
    }

    /// Looks for a compiler that can build and link a library for wasm32.
    ///
    /// # Errors
    ///
    /// When the source to try it on cannot be written.
    pub(crate) fn find(shell: &Shell) -> Result<Option<Self>> {
        let source = shell.notes()?.join("probe.rs");
        fs::write(&source, "#[unsafe(no_mangle)]\npub extern \"C\" fn probe() { println!() }\n")?;
        let found = [Self::Active, Self::Debian].into_iter().find(|toolchain| {
            let mut rustc = shell.command("rustc");
            toolchain.apply(&mut rustc);
            rustc
                .args(["--edition=2024", "--crate-type=cdylib", "--target=wasm32-unknown-unknown"])
                .arg("-o")
                .arg(source.with_extension("wasm"))
                .arg(&source);
            rustc.output().is_ok_and(|output| output.status.success())
        });
        Ok(found)
    }
}

/// Chromium and the program that drives it.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    pub(crate) chromium: PathBuf,
    pub(crate) driver: PathBuf,
}

impl Browser {
    /// Looks where `CHROME` and `CHROMEDRIVER` point, on the path, and where installers put them.
    pub(crate) fn find(shell: &Shell) -> Option<Self> {
        let from_env = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let names = ["chromium", "google-chrome", "google-chrome-stable", "chromium-browser"];
        let bundles = [
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
            "/Applications/Chromium.app/Contents/MacOS/Chromium",
        ];
        let chromium = from_env("CHROME")
            .or_else(|| names.iter().find_map(|name| shell.which(name)))
            .or_else(|| bundles.iter().map(PathBuf::from).find(|file| file.is_file()))?;
        let driver = from_env("CHROMEDRIVER")
            .or_else(|| shell.which("chromedriver"))
            // Set on hosted CI machines, where the driver is not on the path.
            .or_else(|| from_env("CHROMEWEBDRIVER").map(|folder| folder.join("chromedriver")))
            .filter(|file| file.is_file())?;
        Some(Self { chromium, driver })
    }
}

/// Looks for one tool after another.
#[derive(Debug)]
pub(crate) struct Probe<'a> {
    shell: &'a Shell,
    pins: &'a Pins,
    /// The compiler for wasm32, if there is one.
    pub(crate) wasm: Option<WasmToolchain>,
}

impl<'a> Probe<'a> {
    /// # Errors
    ///
    /// As [`WasmToolchain::find`].
    pub(crate) fn new(shell: &'a Shell, pins: &'a Pins) -> Result<Self> {
        let wasm = WasmToolchain::find(shell)?;
        Ok(Self { shell, pins, wasm })
    }

    /// Looks for one tool.
    pub(crate) fn find(&self, tool: Tool) -> Finding {
        match tool {
            Tool::WasmTarget => match self.wasm {
                Some(WasmToolchain::Active) => {
                    Finding::Present("with the active compiler".to_owned())
                }
                Some(WasmToolchain::Debian) => {
                    Finding::Present("with Debian's compiler".to_owned())
                }
                None => Finding::Missing,
            },
            Tool::WasmClippy => self.wasm_clippy(),
            Tool::Trunk => self.version(tool, "trunk", &["--version"]),
            Tool::WasmBindgen => self.wasm_bindgen(),
            Tool::Rustfmt => self.version(tool, "cargo", &["fmt", "--version"]),
            Tool::Clippy => self.version(tool, "cargo", &["clippy", "--version"]),
            Tool::Nextest => self.version(tool, "cargo-nextest", &["--version"]),
            Tool::Deny => self.version(tool, "cargo-deny", &["--version"]),
            Tool::Browser => Browser::find(self.shell).map_or(Finding::Missing, |browser| {
                Finding::Present(browser.chromium.display().to_string())
            }),
            Tool::Alsa if !cfg!(target_os = "linux") => Finding::NotNeeded,
            Tool::Alsa => self.version(tool, "pkg-config", &["--modversion", "alsa"]),
        }
    }

    /// The tests need the runner as well, which comes with the tool but may be of another installation.
    fn wasm_bindgen(&self) -> Finding {
        let of = |program| self.version(Tool::WasmBindgen, program, &["--version"]);
        match of("wasm-bindgen-test-runner") {
            Finding::Present(_) => of("wasm-bindgen"),
            other => other,
        }
    }

    fn wasm_clippy(&self) -> Finding {
        if self.wasm != Some(WasmToolchain::Debian) {
            // The compiler that builds for wasm32 is the active one, and so is its clippy.
            return Finding::NotNeeded;
        }
        if self.shell.succeeds(DEBIAN_CLIPPY, &["--version"], PROBE_LIMIT) {
            Finding::Present("of Debian's compiler".to_owned())
        } else {
            Finding::Missing
        }
    }

    fn version(&self, tool: Tool, program: &str, args: &[&str]) -> Finding {
        let Some(said) = self.shell.ask(program, args) else {
            return Finding::Missing;
        };
        let pinned = tool.cargo_package(self.pins).filter(|_| tool.is_pinned());
        judge(&said, pinned.map(|(_, version)| version).as_deref())
    }
}

/// Compares what a tool said of itself with the pinned version.
fn judge(said: &str, pinned: Option<&str>) -> Finding {
    let first_line = said.lines().next().unwrap_or_default();
    let version = first_line
        .split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
        .unwrap_or(first_line)
        .to_owned();
    match pinned {
        Some(pinned) if pinned != version => Finding::OtherVersion(version),
        _ => Finding::Present(version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_version_will_do_where_none_is_pinned() {
        let said = "cargo-nextest 0.9.143 (60fa45f63 2026-08-04)\nrelease: 0.9.143";
        assert_eq!(judge(said, None), Finding::Present("0.9.143".to_owned()));
    }

    #[test]
    fn only_the_pinned_version_will_do_where_one_is() {
        assert_eq!(judge("trunk 0.21.14", Some("0.21.14")), Finding::Present("0.21.14".to_owned()));
        assert_eq!(
            judge("trunk 0.22.1", Some("0.21.14")),
            Finding::OtherVersion("0.22.1".to_owned())
        );
        // A longer version that begins alike is another one.
        assert_eq!(
            judge("wasm-bindgen 0.2.12", Some("0.2.128")),
            Finding::OtherVersion("0.2.12".to_owned())
        );
    }
}
