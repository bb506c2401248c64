//! The wasm32 target on a machine whose rustup cannot download, from Debian's packages.
//!
//! Debian 12 carries a compiler newer than the release, `rustc-web`, with the source of its standard library. It
//! stands beside rustup's compiler under `/usr` and is linked into rustup as a toolchain of its own. The library for
//! wasm32 is not packaged, so it is built from that source, once, and put where the packaged compiler looks for it.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    platform::{Manager, Platform, Privilege},
    shell::{self, Shell},
};

/// What rustup calls it.
pub(crate) const TOOLCHAIN: &str = "debian";

/// `rust-web-llvm` is there for `rust-lld`, the name under which the compiler looks for its linker.
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm"];

const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const RUST_LLD: &str = "/usr/bin/rust-lld";
const TARGET: &str = "wasm32-unknown-unknown";

/// Longest any single step may take.
const LIMIT: Duration = Duration::from_mins(20);

/// Installs the compiler, links it into rustup and builds its library for wasm32.
///
/// # Errors
///
/// When a step fails. What it printed is in `log`.
pub(crate) fn install(shell: &Shell, platform: Platform, log: &Path) -> Result<()> {
    let step = |command: &mut Command| shell::run_logged(command, log, LIMIT);
    apt_install(shell, platform, &PACKAGES, log)?;
    // A link to `lld-NN`, of the package of that name, which `rust-web-llvm` does not depend on. The number moves.
    let lld = fs::read_link(RUST_LLD)?;
    let lld = lld.file_name().and_then(OsStr::to_str).context("rust-lld links to no linker")?;
    apt_install(shell, platform, &[lld], log)?;
    step(shell.command("rustup").args(["toolchain", "link", TOOLCHAIN, "/usr"]))?;

    let scratch = shell.notes()?.join("wasm-std");
    let built = build_library(shell, &scratch, log)?;
    let into = PathBuf::from(rustc_prints(&["--print", "target-libdir", "--target", TARGET])?);
    // Libraries of an older compiler there would be found first and refused.
    step(as_root(shell, platform, "rm").arg("-rf").arg(&into))?;
    step(as_root(shell, platform, "mkdir").arg("-p").arg(&into))?;
    step(as_root(shell, platform, "cp").args(&built).arg(&into))?;
    fs::remove_dir_all(&scratch)?;
    Ok(())
}

/// Builds std for wasm32 in `scratch` and returns its files.
fn build_library(shell: &Shell, scratch: &Path, log: &Path) -> Result<Vec<PathBuf>> {
    let sysroot = PathBuf::from(rustc_prints(&["--print", "sysroot"])?);
    let source = sysroot.join("lib/rustlib/src/rust/library");
    if scratch.exists() {
        fs::remove_dir_all(scratch)?;
    }
    fs::create_dir_all(scratch)?;
    // A copy, because cargo writes a lock file, and because the source may belong to root.
    let library = scratch.join("library");
    shell::run_logged(shell.command("cp").arg("-r").arg(source).arg(&library), log, LIMIT)?;
    let mut cargo = shell.command(CARGO);
    cargo
        .current_dir(scratch)
        .args(["build", "--release", "--target", TARGET, "--manifest-path"])
        .arg(library.join("sysroot/Cargo.toml"))
        .arg("--target-dir")
        .arg(scratch.join("out"))
        .env("RUSTC", RUSTC)
        // The library may use what is unstable, and marks itself so that others may not use it through the library.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zforce-unstable-if-unmarked -Cembed-bitcode=yes");
    shell::run_logged(&mut cargo, log, LIMIT)?;
    let built: Vec<PathBuf> = fs::read_dir(scratch.join("out").join(TARGET).join("release/deps"))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|file| file.extension().is_some_and(|extension| extension == "rlib"))
        .collect();
    if built.is_empty() {
        bail!("building the library left no files");
    }
    Ok(built)
}

/// Installs packages that are not there yet.
pub(crate) fn apt_install(
    shell: &Shell,
    platform: Platform,
    packages: &[&str],
    log: &Path,
) -> Result<()> {
    let words = Manager::Apt.install_words();
    let mut command = as_root(shell, platform, words[0]);
    command
        // Somebody else may be installing at this moment.
        .args(["-o", "DPkg::Lock::Timeout=300"])
        .args(&words[1..])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    shell::run_logged(&mut command, log, LIMIT)
}

/// A command that may change the system.
pub(crate) fn as_root(shell: &Shell, platform: Platform, program: &str) -> Command {
    if platform.privilege == Privilege::Sudo {
        let mut command = shell.command("sudo");
        command.arg(program);
        command
    } else {
        shell.command(program)
    }
}

fn rustc_prints(args: &[&str]) -> Result<String> {
    let output =
        Command::new(RUSTC).args(args).output().with_context(|| format!("cannot run {RUSTC}"))?;
    if !output.status.success() {
        bail!("{RUSTC} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
