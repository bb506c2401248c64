//! The host's page and a guest's beside it.

use std::path::Path;

use anyhow::Result;
use e2e::browser::{Browser, SCREENSHOTS};

use crate::{PATIENCE, Stage, join};

/// Types a name as a person does, in a part of the page that is folded.
const CALL_IT_KITCHEN: &str = "const name = document.querySelector('[data-testid=name]'); \
    name.value = '  Kitchen '; name.dispatchEvent(new Event('change', { bubbles: true }))";

const KEY: &str = "a-key-that-nobody-guesses";

#[tokio::test]
async fn a_host_pauses_for_everybody_and_a_guest_cannot() -> Result<()> {
    let stage = Stage::start(&["--host-key", KEY]).await?;
    let (host, guest) = tokio::try_join!(Browser::start(), Browser::start())?;
    join(&guest, &stage.server.page_url()).await?;
    join(&host, &format!("{}#host={KEY}", stage.server.page_url())).await?;

    let usable = "const button = document.querySelector('[data-testid=play-pause]'); \
                  return button !== null && !button.hidden";
    host.until(usable, PATIENCE).await?;
    assert_eq!(guest.run(usable).await?, false);
    let key_is_shown = format!("return location.href.includes('{KEY}')");
    assert_eq!(host.run(&key_is_shown).await?, false, "the key stays in the address bar");
    host.portraits(Path::new(SCREENSHOTS), "host").await?;

    host.click("play-pause").await?;
    let paused = "return document.querySelector('[data-testid=state-text]').textContent \
                  === 'Paused by the host'";
    guest.until(paused, PATIENCE).await?;
    host.until(paused, PATIENCE).await?;
    guest.portraits(Path::new(SCREENSHOTS), "guest-paused").await?;
    host.click("play-pause").await?;
    guest.reaches("playing", PATIENCE).await?;

    let listed = "return document.querySelectorAll('[data-testid=players] li').length === 2";
    host.until(listed, PATIENCE).await?;

    guest.run(CALL_IT_KITCHEN).await?;
    let is_called = "return [...document.querySelectorAll('[data-testid=players] li')]\
                     .some((it) => it.textContent.includes('Kitchen'))";
    host.until(is_called, PATIENCE).await?;
    guest.open(&stage.server.page_url()).await?;
    let remembered = "return document.querySelector('[data-testid=name]').value === 'Kitchen'";
    guest.until(remembered, PATIENCE).await?;
    host.assert_no_errors().await?;
    guest.assert_no_errors().await?;
    host.quit().await?;
    guest.quit().await
}

#[tokio::test]
async fn an_old_host_link_is_said_and_the_page_listens_all_the_same() -> Result<()> {
    let stage = Stage::start(&["--host-key", KEY]).await?;
    let browser = Browser::start().await?;
    join(&browser, &format!("{}#host=of-last-week", stage.server.page_url())).await?;
    let said = "return document.querySelector('[data-testid=key-refused]') !== null";
    browser.until(said, PATIENCE).await?;
    browser.quit().await
}
