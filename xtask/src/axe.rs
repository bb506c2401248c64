//! The script that looks at the page for what keeps people out: of the tests alone, and never shipped.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::shell::{self, Shell};

/// MPL-2.0; a newer one may find more, so it is pinned.
const PACKAGE: &str = "axe-core@4.14.1";
/// One package of half a megabyte.
const INSTALL_LIMIT: Duration = Duration::from_mins(2);

/// Where the script is; installed below the target folder if need be. `None` where it is not to be had.
///
/// # Errors
///
/// When it is not to be had on a CI machine.
pub(crate) fn script(shell: &Shell) -> Result<Option<PathBuf>> {
    let folder = shell.notes()?.join("axe");
    let script = folder.join("node_modules/axe-core/axe.min.js");
    if script.is_file() {
        return Ok(Some(script));
    }
    std::fs::create_dir_all(&folder)?;
    let mut npm = shell.command("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--prefix"]);
    npm.arg(&folder).arg(PACKAGE);
    let installed = shell::run_logged(&mut npm, &shell.notes()?.join("axe.log"), INSTALL_LIMIT);
    if installed.is_ok() && script.is_file() {
        return Ok(Some(script));
    }
    if shell.is_ci() {
        bail!("{PACKAGE} is missing: npm could not install it, and CI checks everything");
    }
    println!("accessibility: not looked at, npm could not install {PACKAGE}");
    Ok(None)
}
