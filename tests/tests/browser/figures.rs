//! The figures of the closing note, measured and held to their bars. `--no-capture` shows them.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::browser::Browser;

use crate::{FRAMES, PATIENCE, PIECE_SECONDS, Stage, round_starts_ms};

/// Joins that the median is taken of.
const JOINS: usize = 20;

#[tokio::test]
async fn click_to_first_sound() -> Result<()> {
    let stage = Stage::start(&[]).await?;
    let browser = Browser::start().await?;
    let mut to_sound_ms = Vec::with_capacity(JOINS);
    let mut rounds_ms = Vec::with_capacity(JOINS);
    for _ in 0..JOINS {
        browser.open(&stage.server.page_url()).await?;
        browser.click("join").await?;
        browser.reaches("playing", PATIENCE).await?;
        let recording = browser.record_from(0.0, 1.0).await?;
        let first = recording.first_sound().context("silence")?;
        let clicked = recording.clicked_ms.context("no click")?;
        to_sound_ms.push(recording.heard_at_ms(first)? - clicked);
        let faded_in = first + i64::from(recording.rate_hz) / 20;
        let recording = recording.since(faded_in);
        let left = stage.reference(0, recording.rate_hz)?;
        let pieces = recording.pieces(0, &left, PIECE_SECONDS)?.into_iter().take(4).collect();
        rounds_ms.push(round_starts_ms(&(recording, pieces))?);
        browser.click("stop").await?;
        browser.reaches("idle", PATIENCE).await?;
    }
    to_sound_ms.sort_by(f64::total_cmp);
    let median = f64::midpoint(to_sound_ms[JOINS / 2 - 1], to_sound_ms[JOINS / 2]);
    println!(
        "click to first sound: median of {JOINS} {median:.0} ms (fastest {:.0}, slowest {:.0})",
        to_sound_ms[0],
        to_sound_ms[JOINS - 1]
    );
    assert!(median <= 600.0, "{to_sound_ms:?}");
    let apart_ms = out_of_step_ms(&rounds_ms);
    println!(
        "the first quarter of a second is out of step by: median {:.2} ms, most {:.2} ms",
        apart_ms[JOINS / 2],
        apart_ms[JOINS - 1]
    );
    assert!(apart_ms[JOINS / 2] <= 5.0, "{apart_ms:?}");
    browser.quit().await
}

/// How far each join is from the median of all, in order: the server's timeline is the same for all of them.
fn out_of_step_ms(rounds_ms: &[f64]) -> Vec<f64> {
    let round_ms = FRAMES as f64 / 48.0;
    let wrapped = |ms: f64| (ms + round_ms / 2.0).rem_euclid(round_ms) - round_ms / 2.0;
    let mut phases: Vec<f64> = rounds_ms.iter().map(|ms| wrapped(ms - rounds_ms[0])).collect();
    phases.sort_by(f64::total_cmp);
    let middle = phases[phases.len() / 2];
    let mut apart_ms: Vec<f64> = phases.iter().map(|ms| (ms - middle).abs()).collect();
    apart_ms.sort_by(f64::total_cmp);
    apart_ms
}

/// Time over which the main thread is watched.
const WATCHED: Duration = Duration::from_secs(6);

/// Most that the picture of the sound may take, percent of a core. The bar of the issue.
const PICTURE_PERCENT_MAX: f64 = 2.0;

/// Percent of a core that the page's main thread takes: with anything, and with scripts; and what all processes of the
/// browser take.
async fn busy_percent(browser: &Browser) -> Result<[f64; 3]> {
    let busy_s = async || {
        let [thread, scripts] = browser.busy_s().await?;
        anyhow::Ok([thread, scripts, browser.all_busy_s()?])
    };
    let mut ticks = tokio::time::interval(WATCHED);
    ticks.tick().await;
    let before = busy_s().await?;
    ticks.tick().await;
    let after = busy_s().await?;
    Ok([0, 1, 2].map(|i| 100.0 * (after[i] - before[i]) / WATCHED.as_secs_f64()))
}

/// What the engine takes, and what the sound drawn around the button takes: each time the same page with and without.
#[tokio::test]
async fn main_thread_of_a_playing_page() -> Result<()> {
    let stage = Stage::start(&[]).await?;
    let browser = Browser::start().await?;
    browser.open(&stage.server.page_url()).await?;
    browser.run("window.__recorder.off = true").await?;
    let [idle, idle_scripts, _] = busy_percent(&browser).await?;
    browser.click("join").await?;
    browser.reaches("playing", PATIENCE).await?;
    // What is needed for the start is done, and the output has settled.
    let begun = browser.run("return performance.now()").await?;
    let settled = format!("return performance.now() > {begun} + 35000");
    browser.until(&settled, Duration::from_mins(1)).await?;
    let drawn = "return document.querySelector('canvas.visualizer').hidden";
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        for (less, figures) in [(false, &mut with), (true, &mut without)] {
            browser.want_less_motion(less).await?;
            browser.until(&format!("{drawn} === {less}"), PATIENCE).await?;
            figures.push(busy_percent(&browser).await?);
        }
    }
    let [playing, playing_scripts, all] = medians(&with);
    let [still, _, all_still] = medians(&without);
    let engine = playing_scripts - idle_scripts;
    println!(
        "main thread, percent of a core: idle {idle:.1}, playing {playing:.1}, of which the engine {engine:.1}; the \
         picture of the sound takes {:.1}, in all processes of the browser {:.1} (without a graphics card)",
        playing - still,
        all - all_still
    );
    assert!(engine <= 2.0, "the engine takes {engine:.1} % of a core");
    assert!(
        playing - still <= PICTURE_PERCENT_MAX,
        "the picture takes {:.1} % of a core",
        playing - still
    );
    browser.quit().await
}

/// The median of each figure, of an odd number of readings.
fn medians(readings: &[[f64; 3]]) -> [f64; 3] {
    [0, 1, 2].map(|i| {
        let mut figures: Vec<f64> = readings.iter().map(|reading| reading[i]).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    })
}

#[tokio::test]
async fn bytes_over_the_wire_until_first_sound() -> Result<()> {
    let stage = Stage::start(&[]).await?;
    let browser = Browser::start().await?;
    browser.open(&stage.server.page_url()).await?;
    browser.click("join").await?;
    browser.reaches("playing", PATIENCE).await?;
    // What is shown from memory, as an icon that the browser had fetched before, counts as well.
    // The icon is fetched by the browser itself and reports no size: 0.3 kB more.
    let bytes = browser
        .run(
            "const entries = [...performance.getEntriesByType('navigation'), \
                              ...performance.getEntriesByType('resource')]; \
             const size = (entry) => { \
               if (!(entry.encodedBodySize > 0)) throw new Error('no size: ' + entry.name); \
               return entry.transferSize || entry.encodedBodySize + 300; }; \
             return entries.reduce((sum, entry) => sum + size(entry), 0)",
        )
        .await?;
    let bytes = bytes.as_f64().with_context(|| format!("no size of {bytes}"))?;
    println!("bytes until first sound, headers included, without audio: {bytes}");
    assert!(bytes <= 300_000.0);
    browser.quit().await
}

#[tokio::test]
async fn first_paint_on_a_slow_phone() -> Result<()> {
    let stage = Stage::start(&[]).await?;
    let browser = Browser::start().await?;
    browser.slow_down(4.0).await?;
    let mut paints_ms = Vec::new();
    for _ in 0..5 {
        browser.open(&stage.server.page_url()).await?;
        let paint = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime";
        let paint = browser.run(paint).await?;
        paints_ms.push(paint.as_f64().with_context(|| format!("no paint but {paint}"))?);
    }
    paints_ms.sort_by(f64::total_cmp);
    println!("first paint with a processor four times as slow: {paints_ms:.0?} ms");
    assert!(paints_ms.iter().all(|ms| *ms <= 1_000.0), "{paints_ms:?}");
    browser.quit().await
}

/// With a file of three minutes.
#[tokio::test]
async fn server_ready_after_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("three-minutes.wav");
    e2e::signal::Stereo16::noise(180 * 48_000, 3).write_wav(&path)?;
    let args = [std::ffi::OsString::from("--source"), path.into()];
    let mut ready = Vec::new();
    for _ in 0..5 {
        ready.push(e2e::process::ServerProcess::start(&args).await?.ready_after());
    }
    ready.sort();
    println!("server ready after start, median of 5: {:?}", ready[2]);
    assert!(ready[2] <= Duration::from_millis(100), "{ready:?}");
    Ok(())
}
