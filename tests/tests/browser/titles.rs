//! Titles change when the sound does, not when the server sends it, which is seconds earlier.

use std::ffi::OsString;

use anyhow::{Context, Result, ensure};
use e2e::browser::{Browser, Recording};
use e2e::process::ServerProcess;
use e2e::signal::Stereo16;

use crate::{CORRELATION_MIN, FRAMES, ONE_AT_A_TIME, PATIENCE, PIECE_SECONDS, join, reference};

/// Most that a title may be off. The bar of the issue.
const OFF_MS_MAX: f64 = 100.0;
/// Changes that are looked at.
const CHANGES: usize = 3;
/// Pieces of the recording that are found in each track.
const PIECES: usize = 5;

/// Notes the page's clock in the first picture that shows another title.
const WATCH: &str = "const title = document.querySelector('[data-testid=title]'); \
    window.__titles = []; \
    new MutationObserver(() => requestAnimationFrame(() => \
      window.__titles.push([performance.now(), title.textContent]))) \
    .observe(title, { childList: true, characterData: true, subtree: true });";

#[tokio::test]
async fn a_title_changes_with_the_first_sample_of_its_track() -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir()?;
    let names = ["first", "second"];
    let mut sounds = Vec::new();
    for (seed, name) in names.iter().enumerate() {
        let sound = Stereo16::band_limited_noise(FRAMES, seed as u64 + 1);
        sound.write_wav(&folder.path().join(format!("{name}.wav")))?;
        sounds.push(sound);
    }
    let args = [OsString::from("--source"), folder.path().into()];
    let server = ServerProcess::start(&args).await?;
    let browser = Browser::start().await?;
    join(&browser, &server.page_url()).await?;
    browser.run(WATCH).await?;
    let enough = format!("return window.__titles.length >= {CHANGES}");
    browser.until(&enough, PATIENCE).await?;
    // The last change is half a second old when its sound is looked at.
    browser.record(1.0).await?;
    let recording = browser.record_from(0.0, 1.0).await?;
    let titles = browser.run("return window.__titles").await?;
    let mut off_ms = Vec::with_capacity(CHANGES);
    for change in titles.as_array().context("no titles")? {
        let shown_ms = change[0].as_f64().context("no time")?;
        let name = &change[1];
        let track = names.iter().position(|it| name == it).with_context(|| name.to_string())?;
        off_ms.push(shown_ms - start_ms(&recording, &sounds[track], shown_ms)?);
    }
    println!("titles against the first sample of their tracks: {off_ms:+.1?} ms");
    ensure!(off_ms.iter().all(|ms| ms.abs() <= OFF_MS_MAX), "{off_ms:?}");
    browser.quit().await
}

/// When the first sample of `sound` was heard in whose first second a title was shown at `near_ms`; milliseconds on the
/// page's clock.
fn start_ms(recording: &Recording, sound: &Stereo16, near_ms: f64) -> Result<f64> {
    let rate_hz = f64::from(recording.rate_hz);
    let reference = reference(sound, 0, recording.rate_hz)?;
    // Half a second into the track.
    let first = recording.first_sound().context("silence")?;
    let later_ms = near_ms + 500.0 - recording.heard_at_ms(first)?;
    let from = first + (later_ms / 1_000.0 * rate_hz) as i64;
    let mut part = recording.clone().since(from);
    part.left.truncate((PIECES as f64 * PIECE_SECONDS * rate_hz) as usize);
    let mut starts = Vec::with_capacity(PIECES);
    for piece in part.pieces(0, &reference, PIECE_SECONDS)? {
        ensure!(piece.correlation >= CORRELATION_MIN, "another track: {piece:?}");
        let heard_ms = recording.heard_at_ms(piece.frame)?;
        starts.push(heard_ms - piece.position / rate_hz * 1_000.0);
    }
    starts.sort_by(f64::total_cmp);
    starts.get(starts.len() / 2).copied().context("nothing was recorded")
}
