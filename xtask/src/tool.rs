//! What building and testing needs, and which versions are pinned.

use std::fs;

use anyhow::{Context, Result};

use crate::shell::Shell;

/// Later versions need a compiler newer than the one the workspace is written for.
const TRUNK: &str = "0.21.14";
/// Installed where it is missing. Any version that is here will do.
const NEXTEST: &str = "0.9.143";
/// As for [`NEXTEST`].
const DENY: &str = "0.20.2";

/// Something that is needed and does not come with cargo alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tool {
    /// The standard library for wasm32 and the linker for it.
    WasmTarget,
    Trunk,
    WasmBindgen,
    Rustfmt,
    Clippy,
    /// Clippy of the compiler that builds for wasm32, where that is another one.
    WasmClippy,
    Nextest,
    Deny,
    /// Chromium or Chrome with its driver.
    Browser,
    /// Headers of the Linux sound library, for the official client.
    Alsa,
}

/// What a command needs tools for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building the page and the server.
    Build,
    /// Format and lints.
    Check,
    /// All of it.
    Test,
}

impl Purpose {
    /// The tools for this purpose, in the order they are looked for.
    pub(crate) fn tools(self) -> &'static [Tool] {
        use Tool::{
            Alsa, Browser, Clippy, Deny, Nextest, Rustfmt, Trunk, WasmBindgen, WasmClippy,
            WasmTarget,
        };
        match self {
            Self::Build => &[WasmTarget, Trunk, WasmBindgen],
            Self::Check => &[Rustfmt, Clippy, WasmTarget, WasmClippy],
            Self::Test => &[
                Rustfmt,
                Clippy,
                WasmTarget,
                WasmClippy,
                Trunk,
                WasmBindgen,
                Nextest,
                Deny,
                Browser,
                Alsa,
            ],
        }
    }
}

impl Tool {
    /// What a person calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WasmTarget => "wasm32 target",
            Self::Trunk => "trunk",
            Self::WasmBindgen => "wasm-bindgen",
            Self::Rustfmt => "rustfmt",
            Self::Clippy => "clippy",
            Self::WasmClippy => "clippy for wasm32",
            Self::Nextest => "cargo-nextest",
            Self::Deny => "cargo-deny",
            Self::Browser => "Chromium and its driver",
            Self::Alsa => "ALSA headers",
        }
    }

    /// The package on crates.io, with the version to install, where cargo can install it.
    pub(crate) fn cargo_package(self, pins: &Pins) -> Option<(&'static str, String)> {
        match self {
            Self::Trunk => Some(("trunk", TRUNK.to_owned())),
            Self::WasmBindgen => Some(("wasm-bindgen-cli", pins.wasm_bindgen.clone())),
            Self::Nextest => Some(("cargo-nextest", NEXTEST.to_owned())),
            Self::Deny => Some(("cargo-deny", DENY.to_owned())),
            _ => None,
        }
    }

    /// Whether only the pinned version will do.
    pub(crate) fn is_pinned(self) -> bool {
        matches!(self, Self::Trunk | Self::WasmBindgen)
    }
}

/// Versions that are stated elsewhere in the workspace.
#[derive(Debug)]
pub(crate) struct Pins {
    /// The wasm-bindgen crate and its command line tool must be of one version.
    pub(crate) wasm_bindgen: String,
}

impl Pins {
    /// # Errors
    ///
    /// When the workspace manifest does not pin wasm-bindgen to one version.
    pub(crate) fn read(shell: &Shell) -> Result<Self> {
        let manifest = fs::read_to_string(shell.root().join("Cargo.toml"))?;
        let wasm_bindgen = exact_version(&manifest, "wasm-bindgen")
            .context("Cargo.toml does not pin `wasm-bindgen = \"=…\"`")?;
        Ok(Self { wasm_bindgen })
    }
}

/// The version of a line `package = "=version"`.
fn exact_version(manifest: &str, package: &str) -> Option<String> {
    manifest.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        let version = value.trim().strip_prefix("\"=")?.strip_suffix('"')?;
        (name.trim() == package).then(|| version.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_version_is_read_from_the_manifest() {
        let manifest = "wasm-bindgen-test = \"=0.3.78\"\nwasm-bindgen = \"=0.2.128\"\n";
        assert_eq!(exact_version(manifest, "wasm-bindgen").as_deref(), Some("0.2.128"));
        assert_eq!(exact_version("wasm-bindgen = \"0.2\"", "wasm-bindgen"), None);
    }

    #[test]
    fn this_workspace_pins_it() {
        let pins = Pins::read(&Shell::new().unwrap()).unwrap();
        assert!(pins.wasm_bindgen.starts_with("0.2."), "{}", pins.wasm_bindgen);
    }
}
