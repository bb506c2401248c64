//! The page: built by trunk into `dist/`, and only when something it is made of changed.
//!
//! Trunk writes every file anew, and the server embeds those files, so a needless build of the page would cost a
//! build of the server as well.

use std::{
    fmt::Write as _,
    fs::{self, Metadata},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use anyhow::{Context, Result};

use crate::{
    probe::WasmToolchain,
    setup::Tools,
    shell::{self, Shell},
};

/// What stands at the root and is no part of the page. Everything else counts, so that nothing is forgotten.
const NOT_OF_THE_PAGE: [&str; 9] =
    [".ci", ".git", ".github", "deploy", "dist", "docs", "hooks", "server", "tests"];

/// Builds the page, unless `dist/` is what the last build left and nothing it is made of changed since.
///
/// # Errors
///
/// When trunk fails.
pub(crate) fn build(shell: &Shell, tools: &Tools) -> Result<()> {
    let toolchain = tools.wasm()?;
    let record = shell.notes()?.join("page");
    let before = state(shell, toolchain)?;
    if fs::read_to_string(&record).is_ok_and(|recorded| recorded == before) {
        println!("page: unchanged");
        return Ok(());
    }
    let mut trunk = trunk(shell, toolchain);
    trunk.args(["build", "--release"]);
    shell::run(&mut trunk)?;
    fs::write(&record, state(shell, toolchain)?)?;
    Ok(())
}

/// Trunk, which by itself would download tools that are pinned and installed by set-up.
pub(crate) fn trunk(shell: &Shell, toolchain: WasmToolchain) -> std::process::Command {
    let mut trunk = shell.command("trunk");
    toolchain.apply(&mut trunk);
    trunk.args(["--offline", "--skip-version-check"]);
    trunk
}

/// The compiler, what the page is made of, and what was made of it, as text. Two equal texts mean nothing changed.
fn state(shell: &Shell, toolchain: WasmToolchain) -> Result<String> {
    let mut rustc = shell.command("rustc");
    toolchain.apply(&mut rustc);
    let compiler = rustc.arg("-vV").output().context("cannot run rustc")?;
    let mut state = String::from_utf8_lossy(&compiler.stdout).into_owned();
    for tool in ["trunk", "wasm-bindgen"] {
        writeln!(state, "{}", shell.ask(tool, &["--version"]).unwrap_or_default())?;
    }
    for entry in sorted_entries(shell.root())? {
        let is_dist = entry == shell.root().join("dist");
        if is_dist || is_of_the_page(&entry, shell.target()) {
            list(&entry, &mut state)?;
        }
    }
    Ok(state)
}

fn is_of_the_page(entry: &Path, target: &Path) -> bool {
    let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_text = entry.extension().is_some_and(|extension| extension == "md");
    !(is_text || name == "target" || entry == target || NOT_OF_THE_PAGE.contains(&name))
}

/// Adds one line for each file: where it is, how long, and when it changed.
fn list(path: &Path, state: &mut String) -> Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        for entry in sorted_entries(path)? {
            list(&entry, state)?;
        }
    } else {
        writeln!(state, "{} {} {}", path.display(), metadata.len(), modified_ns(&metadata))?;
    }
    Ok(())
}

/// Nanoseconds of the wall clock, or zero where the file system keeps none.
fn modified_ns(metadata: &Metadata) -> u128 {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    modified.map_or(0, |since| since.as_nanos())
}

fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_no_part_of_the_page_and_the_player_is() {
        let of_the_page = |name: &str| is_of_the_page(&Path::new("/p").join(name), Path::new("/t"));
        assert!(
            of_the_page("player-wasm") && of_the_page("Cargo.lock") && of_the_page("index.html")
        );
        assert!(!of_the_page("server") && !of_the_page("target") && !of_the_page("README.md"));
    }

    #[test]
    fn every_change_to_a_file_changes_the_state() {
        let folder = std::env::temp_dir().join(format!("xtask-page-{}", std::process::id()));
        let inner = folder.join("src");
        fs::create_dir_all(&inner).unwrap();
        let state = || {
            let mut state = String::new();
            list(&folder, &mut state).unwrap();
            state
        };
        fs::write(inner.join("a.rs"), "one").unwrap();
        let first = state();
        assert_eq!(first, state());
        fs::write(inner.join("a.rs"), "three").unwrap();
        let longer = state();
        fs::rename(inner.join("a.rs"), inner.join("b.rs")).unwrap();
        let renamed = state();
        fs::remove_dir_all(&folder).unwrap();
        assert!(first != longer && longer != renamed);
    }
}
