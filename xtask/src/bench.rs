//! `bench`: what many real listeners cost the server, as a ratio to the least that any program must do; what edges cost, and
//! how exact they are.

use anyhow::{Result, bail};

use crate::{
    run, setup,
    shell::{self, Shell},
    tool::Purpose,
};

/// `cargo xtask bench fanout [--listeners N] [--stalled N] [--churn N] [--seconds N]`, and
/// `cargo xtask bench edges clock|delay|cut|many|kill|cost [numbers]`.
///
/// # Errors
///
/// When it is another bench, or the load generator fails.
pub(crate) fn run(shell: &Shell, options: &[String]) -> Result<()> {
    let Some((bench, options)) = options.split_first() else {
        bail!("`bench` needs a name: fanout or edges")
    };
    if bench != "fanout" && bench != "edges" {
        bail!("no bench `{bench}`; there is: fanout, edges");
    }
    let tools = setup::ensure(shell, Purpose::Build)?;
    run::release_server(shell, &tools)?;
    let mut cargo = shell.command("cargo");
    cargo
        .args(["run", "--quiet", "--release", "--package=e2e", "--bin", bench, "--"])
        .args(options);
    shell::run(cargo.env("PARTYLINE_SERVER", run::server(shell, "release")))
}
