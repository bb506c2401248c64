//! A page at an edge: it hears what the origin plays, and waits for it when it is away.

use anyhow::{Context, Result};
use e2e::browser::Browser;
use e2e::process::ServerProcess;

use crate::{PATIENCE, Stage, in_step, join};

/// The whole life of a party with an edge, in one page that is never reloaded.
#[tokio::test]
async fn a_page_at_an_edge_hears_the_origin_and_waits_for_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let endpoint = format!("unixsock-stream/{}", folder.path().join("origin").display());
    let mut stage = Stage::start(&["--serve-edges", &endpoint]).await?;
    let edge = ServerProcess::start(&["--edge", &endpoint]).await?;
    let browser = Browser::start().await?;
    join(&browser, &edge.page_url()).await?;
    in_step(&browser).await?;
    stage.hear_the_file(&browser, 2.0).await?;
    browser.screenshot("at-an-edge").await?;

    let port = stage.server.port();
    stage.server.kill().await?;
    // After what the edge and the page have, ten seconds at most, and the page's next question.
    let words = "return document.querySelector('[data-testid=state-text]').textContent";
    let waits = format!("{words} === 'Waiting for the host'");
    browser.until(&waits, PATIENCE).await.context("does not say that it waits")?;
    browser.screenshot("waiting-for-the-host").await?;

    stage.server = ServerProcess::start_on(port, &stage.args).await?;
    let plays =
        "return document.querySelector('[data-testid=state-text]').textContent === 'Playing'";
    browser.until(plays, PATIENCE).await.context("does not go on")?;
    in_step(&browser).await?;
    stage.hear_the_file(&browser, 2.0).await?;
    browser.assert_no_errors().await?;
    browser.quit().await
}
