//! Calibration in a real page, whose microphone hears a file.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::browser::Browser;
use e2e::signal::{RATE_HZ, Stereo16};
use player_wasm::chirp::{LENGTH_S, PERIOD_S, Sweep};
use player_wasm::chirp_detector::ChirpDetector;
use tempfile::TempDir;

use crate::{PATIENCE, Stage, join};

/// Longest that a measurement takes, and some to spare for a machine that is busy.
const MEASURED: Duration = Duration::from_mins(1);

/// A file that a microphone hears round and round.
struct Room {
    file: PathBuf,
    _folder: TempDir,
}

impl Room {
    /// A room in which this device is heard `late_s` after the other one.
    fn with_both(late_s: f64) -> Result<Self> {
        let one = |sweep: Sweep, s: f64| sweep.at((s - 0.3 - sweep.slot_s()).rem_euclid(PERIOD_S));
        let sound = |s: f64| one(Sweep::Up, s) + 0.5 * one(Sweep::Down, s - late_s);
        let frames = (5.0 * PERIOD_S * f64::from(RATE_HZ)) as u32;
        let samples = (0..frames).flat_map(|frame| {
            let sample = sound(f64::from(frame) / f64::from(RATE_HZ)) * f64::from(i16::MAX);
            [sample as i16; 2]
        });
        Self::with(&Stereo16 { samples: samples.collect() })
    }

    fn with(sound: &Stereo16) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("room.wav");
        sound.write_wav(&file)?;
        Ok(Self { file, _folder: folder })
    }

    /// A browser whose microphone is in this room, and whose person allows it.
    async fn browser(&self) -> Result<Browser> {
        let heard = format!("--use-file-for-fake-audio-capture={}", self.file.display());
        let lent = "--use-fake-device-for-media-stream";
        Browser::start_with(&[lent, "--use-fake-ui-for-media-stream", &heard]).await
    }
}

/// Joins, and opens what is folded.
async fn join_and_unfold(browser: &Browser, stage: &Stage) -> Result<()> {
    join(browser, &stage.server.page_url()).await?;
    browser.run("document.querySelectorAll('details').forEach((it) => (it.open = true))").await?;
    let into_view = "document.querySelector('[data-testid=calibrate]').scrollIntoView()";
    browser.run(into_view).await?;
    Ok(())
}

/// Waits until the page says something with `words` in it, and returns all it says.
async fn said(browser: &Browser, words: &str) -> Result<String> {
    let is_said = format!(
        "return document.querySelector('[data-testid=calibrate-words]').textContent.includes('{words}')"
    );
    if browser.until(&is_said, MEASURED).await.is_err() {
        let said = browser.text("calibrate-words").await?;
        anyhow::bail!("{said:?} in place of {words:?}");
    }
    browser.text("calibrate-words").await
}

/// The delay as the page shows and remembers it, for the output that it believes to have.
async fn delay_ms(browser: &Browser) -> Result<[f64; 2]> {
    let shown = "return Number(document.querySelector('[data-testid=delay]').value)";
    let kept = "const output = document.querySelector('[data-testid=output]').value; \
                return Number(localStorage.getItem('partyline.delay_ms.' + output))";
    let shown = browser.run(shown).await?.as_f64().context("no number")?;
    Ok([shown, browser.run(kept).await?.as_f64().context("no number")?])
}

#[tokio::test]
async fn what_the_microphone_hears_becomes_the_delay_and_can_be_undone() -> Result<()> {
    let stage = Stage::start(&[]).await?;
    for late_ms in [37.4, -12.7] {
        let room = Room::with_both(late_ms / 1e3)?;
        let browser = room.browser().await?;
        join_and_unfold(&browser, &stage).await?;
        browser.click("calibrate-measure").await?;
        let words = said(&browser, "Its delay").await?;
        println!("{late_ms} ms: {words}");
        browser.screenshot("calibrated").await?;
        assert!(words.contains(if late_ms > 0.0 { "late" } else { "early" }), "{words}");
        assert!(words.contains("(±"), "{words}");
        assert_eq!(delay_ms(&browser).await?, [late_ms.round(); 2]);
        stage.hear_the_file(&browser, 2.0).await?;

        browser.click("calibrate-undo").await?;
        let undone = "return document.querySelector('[data-testid=calibrate-undo]').hidden";
        browser.until(undone, PATIENCE).await?;
        assert_eq!(delay_ms(&browser).await?, [0.0; 2]);
        browser.assert_no_errors().await?;
        browser.quit().await?;
    }
    Ok(())
}

#[tokio::test]
async fn noise_is_refused_in_words_and_the_music_comes_back() -> Result<()> {
    let stage = Stage::start(&[]).await?;
    let room = Room::with(&Stereo16::noise(2 * RATE_HZ as usize, 5))?;
    let browser = room.browser().await?;
    join_and_unfold(&browser, &stage).await?;
    browser.click("calibrate-measure").await?;
    said(&browser, "Listening for both").await?;
    browser.screenshot("calibrating").await?;
    let words = said(&browser, "Nothing was changed").await?;
    browser.screenshot("calibration-refused").await?;
    assert!(words.starts_with("Neither device was heard"), "{words}");
    assert_eq!(delay_ms(&browser).await?[0], 0.0);
    stage.hear_the_file(&browser, 2.0).await?;
    browser.assert_no_errors().await?;
    browser.quit().await
}

#[tokio::test]
async fn a_microphone_that_is_not_allowed_is_said() -> Result<()> {
    let stage = Stage::start(&[]).await?;
    let browser = Browser::start_with(&["--deny-permission-prompts"]).await?;
    join_and_unfold(&browser, &stage).await?;
    browser.click("calibrate-measure").await?;
    said(&browser, "microphone was").await?;
    stage.hear_the_file(&browser, 1.0).await?;
    browser.assert_no_errors().await?;
    browser.quit().await
}

/// What leaves a page that plays along: chirps at every period of the output's own clock, silence between them, and no
/// music until it is told that it is enough.
#[tokio::test]
async fn a_page_that_plays_along_chirps_and_does_nothing_else() -> Result<()> {
    let stage = Stage::start(&[]).await?;
    let browser = Browser::start().await?;
    join_and_unfold(&browser, &stage).await?;
    browser.click("calibrate-along").await?;
    said(&browser, "This device chirps").await?;
    let recording = browser.record(9.0).await?;
    let rate_hz = f64::from(recording.rate_hz);
    let mut detector = ChirpDetector::new(recording.rate_hz);
    detector.hear(&recording.left);
    let mut ups = Vec::new();
    while let Some([up, down]) = detector.next_period() {
        assert_eq!(down, None, "that is the other device's");
        ups.extend(up);
    }
    assert!(ups.len() >= 3, "{ups:?}");
    for pair in ups.windows(2) {
        assert!((pair[1] - pair[0] - PERIOD_S).abs() < 0.001, "{ups:?}");
        let silence = (pair[0] + LENGTH_S)..(pair[1] - LENGTH_S);
        let frames = (silence.start * rate_hz) as usize..(silence.end * rate_hz) as usize;
        let loudest = recording.left[frames].iter().fold(0.0_f32, |max, it| max.max(it.abs()));
        assert!(loudest < 1e-4, "{loudest} between two chirps");
    }
    browser.click("calibrate-along").await?;
    stage.hear_the_file(&browser, 2.0).await?;
    browser.assert_no_errors().await?;
    browser.quit().await
}
