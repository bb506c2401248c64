//! End to end: the real server, the real page, a real Chromium, judged by what leaves its audio output.
//!
//! The server plays noise that never repeats within four seconds, so each tenth of a second of sound says
//! where in the file it is. Every test leaves a screenshot in `target/e2e/`.

mod calibration;
mod door;
mod edges;
mod figures;
mod host;
mod portraits;
mod sources;
mod titles;

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::browser::{Browser, Piece, Recording};
use e2e::client::{Client, Hello};
use e2e::http::get;
use e2e::process::ServerProcess;
use e2e::signal::{Reference, Stereo16};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// A little over four seconds, and a whole number of frames at 44.1 kHz as well.
const FRAMES: usize = 160 * 1_201;
/// Length of the pieces that are compared with the file. A player that slides into step by 300 ppm moves by 0.7 frames
/// within one: of noise up to 6 kHz, 0.995 is alike then, and in pieces twice as long only 0.98.
const PIECE_SECONDS: f64 = 0.05;
/// The bar of the issue.
const CORRELATION_MIN: f64 = 0.99;
/// Recordings that may be void because the page had to jump: see [`hear`].
const VOID_MAX: usize = 2;
/// Enough for a start on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// Browsers that share two processor cores would measure each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A server with a sound that the test knows.
struct Stage {
    server: ServerProcess,
    sound: Stereo16,
    args: Vec<OsString>,
    _folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    async fn start(options: &[&str]) -> Result<Self> {
        let alone = ONE_AT_A_TIME.lock().await;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("noise.wav");
        let sound = Stereo16::band_limited_noise(FRAMES, 1);
        sound.write_wav(&path)?;
        let mut args: Vec<OsString> = vec!["--source".into(), path.into()];
        args.extend(options.iter().map(OsString::from));
        Ok(Self {
            server: ServerProcess::start(&args).await?,
            sound,
            args,
            _folder: folder,
            _alone: alone,
        })
    }

    /// One channel of the sound at an output's rate.
    fn reference(&self, channel: usize, rate_hz: u32) -> Result<Reference> {
        reference(&self.sound, channel, rate_hz)
    }

    /// As [`hear`], of the file that is played.
    async fn hear_the_file(
        &self,
        browser: &Browser,
        seconds: f64,
    ) -> Result<(Recording, Vec<Piece>)> {
        hear(&self.sound, browser, seconds).await
    }
}

fn reference(sound: &Stereo16, channel: usize, rate_hz: u32) -> Result<Reference> {
    Reference::new(sound.channel(channel))
        .at_rate(rate_hz)
        .with_context(|| format!("an output at {rate_hz} Hz"))
}

/// Records `seconds` that are `sound`, and tells where in it each piece lies.
///
/// A recording in which the page counted a jump or a hole is void and made again: a machine that stands still
/// misleads every clock of the page, and how far is bounded in virtual time. What the page does not count is a fault.
async fn hear(
    sound: &Stereo16,
    browser: &Browser,
    seconds: f64,
) -> Result<(Recording, Vec<Piece>)> {
    for _ in 0..VOID_MAX {
        let before = interruptions(browser).await?;
        let recording = browser.record(seconds).await?;
        match assert_plays(sound, &recording) {
            Ok(pieces) => return Ok((recording, pieces)),
            Err(error) if interruptions(browser).await? == before => return Err(error),
            Err(error) => println!("void: {error:#}"),
        }
    }
    let recording = browser.record(seconds).await?;
    let pieces = assert_plays(sound, &recording)?;
    Ok((recording, pieces))
}

/// The recording is `sound`, left and right, without a hole, a repetition or a jump.
fn assert_plays(sound: &Stereo16, recording: &Recording) -> Result<Vec<Piece>> {
    let left = reference(sound, 0, recording.rate_hz)?;
    let pieces = recording.pieces(0, &left, PIECE_SECONDS)?;
    assert_alike(&pieces)?;
    assert_gapless(&pieces, &left)?;
    let right = reference(sound, 1, recording.rate_hz)?;
    assert_alike(&recording.pieces(1, &right, PIECE_SECONDS)?)?;
    Ok(pieces)
}

/// What the page counts of its own jumps and holes.
async fn interruptions(browser: &Browser) -> Result<[Value; 3]> {
    let stats = browser.stats().await?;
    Ok(["reanchors", "underruns", "lateChunks"].map(|count| stats[count].clone()))
}

fn assert_alike(pieces: &[Piece]) -> Result<()> {
    ensure!(!pieces.is_empty(), "nothing was recorded");
    for piece in pieces {
        ensure!(piece.correlation >= CORRELATION_MIN, "not the file: {piece:?}");
    }
    Ok(())
}

/// Each piece goes on where the one before ended, around the loop point as well. The player turns its
/// speed by some hundred parts per million to stay in step, which is two frames in a piece.
fn assert_gapless(pieces: &[Piece], sound: &Reference) -> Result<()> {
    let round = sound.frames() as f64;
    for pair in pieces.windows(2) {
        let played = (pair[1].frame - pair[0].frame) as f64;
        let moved = (pair[1].position - pair[0].position).rem_euclid(round);
        ensure!((moved - played).abs() <= 2.0, "{} frames off: {pair:?}", moved - played);
    }
    Ok(())
}

/// Opens the page, presses Join and waits until sound comes and is in step.
async fn join(browser: &Browser, url: &str) -> Result<()> {
    browser.open(url).await?;
    browser.click("join").await?;
    in_step(browser).await
}

async fn in_step(browser: &Browser) -> Result<()> {
    browser.reaches("playing", PATIENCE).await?;
    let close = "const error = window.partyline.stats().syncErrorUs; \
                 return error !== null && Math.abs(error) < 500";
    browser.until(close, PATIENCE).await
}

async fn listeners(server: &ServerProcess) -> Result<Value> {
    let status: Value = serde_json::from_str(&get(server.port(), "/api/status").await?.text()?)?;
    Ok(status["total_clients"].clone())
}

#[tokio::test]
async fn join_plays_the_file_without_a_gap() -> Result<()> {
    let stage = Stage::start(&[]).await?;
    let browser = Browser::start().await?;
    browser.open(&stage.server.page_url()).await?;
    browser.screenshot("join-before").await?;
    assert_eq!(browser.run("return document.body.dataset.state").await?, "idle");
    assert_eq!(browser.run("return isSecureContext").await?, true);
    assert_eq!(browser.run("return window.__recorder.contexts.length").await?, 0);

    browser.click("join").await?;
    in_step(&browser).await?;
    let (_, pieces) = stage.hear_the_file(&browser, 5.0).await?;
    browser.screenshot("join-playing").await?;
    let wraps = pieces.windows(2).filter(|pair| pair[1].position < pair[0].position).count();
    assert!(wraps >= 1, "the loop point was not crossed");

    let stats = browser.stats().await?;
    assert_eq!(stats["state"], "playing");
    assert_eq!(stats["output"], "worklet");
    assert_eq!(stats["codec"], "pcm");
    assert_eq!(stats["dialect"], "clear");
    assert_eq!((&stats["underruns"], &stats["lateChunks"]), (&0.into(), &0.into()), "{stats}");
    assert_eq!(listeners(&stage.server).await?, 1);
    browser.assert_no_errors().await?;
    browser.quit().await
}

/// Each page tells by its own clock when it heard what; the two must agree on it.
#[tokio::test]
async fn two_pages_are_in_step_by_their_own_clocks() -> Result<()> {
    let stage = Stage::start(&[]).await?;
    let url = stage.server.page_url();
    let (one, other) = tokio::try_join!(Browser::start(), Browser::start())?;
    join(&one, &url).await?;
    join(&other, &url).await?;
    let (of_one, of_other) =
        tokio::try_join!(stage.hear_the_file(&one, 3.0), stage.hear_the_file(&other, 3.0))?;
    let apart_ms = round_starts_ms(&of_one)? - round_starts_ms(&of_other)?;
    let round_ms = FRAMES as f64 / 48.0;
    let apart_ms = (apart_ms + round_ms / 2.0).rem_euclid(round_ms) - round_ms / 2.0;
    println!("two pages: {apart_ms:+.3} ms apart");
    one.screenshot("two-pages-one").await?;
    other.screenshot("two-pages-other").await?;
    assert!(apart_ms.abs() <= 5.0, "{apart_ms} ms");
    assert_eq!(listeners(&stage.server).await?, 2);
    one.quit().await?;
    other.quit().await
}

/// When a round of the file began, milliseconds since 1970 by the page's clock: the median over all pieces.
fn round_starts_ms((recording, pieces): &(Recording, Vec<Piece>)) -> Result<f64> {
    let round_ms = FRAMES as f64 / 48.0;
    let mut starts = Vec::new();
    for piece in pieces {
        let heard_ms = recording.time_origin_ms + recording.heard_at_ms(piece.frame)?;
        let start_ms = heard_ms - piece.position / f64::from(recording.rate_hz) * 1_000.0;
        // All in the same round as the first.
        let first = *starts.first().unwrap_or(&start_ms);
        starts.push(start_ms - ((start_ms - first) / round_ms).round() * round_ms);
    }
    starts.sort_by(f64::total_cmp);
    Ok(starts[starts.len() / 2])
}

#[tokio::test]
async fn stop_is_silent_and_rejoin_plays_again() -> Result<()> {
    let stage = Stage::start(&[]).await?;
    let browser = Browser::start().await?;
    join(&browser, &stage.server.page_url()).await?;

    browser.click("stop").await?;
    browser.reaches("idle", PATIENCE).await?;
    // Either the output does not run any more, or what it puts out is nothing.
    let running =
        browser.run("return window.__recorder.contexts.at(-1).context.state === 'running'").await?;
    if running == true {
        let recording = browser.record(1.0).await?;
        let tail = &recording.left[recording.left.len() / 2..];
        assert!(tail.iter().all(|sample| *sample == 0.0), "sound after Stop");
    }
    browser.screenshot("stopped").await?;
    assert_eq!(listeners(&stage.server).await?, 0);

    browser.click("join").await?;
    in_step(&browser).await?;
    stage.hear_the_file(&browser, 2.0).await?;
    browser.screenshot("rejoined").await?;
    assert_eq!(listeners(&stage.server).await?, 1);
    browser.assert_no_errors().await?;
    browser.quit().await
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again_without_reloading() -> Result<()> {
    let mut stage = Stage::start(&[]).await?;
    let browser = Browser::start().await?;
    join(&browser, &stage.server.page_url()).await?;
    browser.run("window.__not_reloaded = true").await?;

    let port = stage.server.port();
    stage.server.kill().await?;
    browser.reaches("reconnecting", PATIENCE).await?;
    browser.screenshot("reconnecting").await?;
    stage.server = ServerProcess::start_on(port, &stage.args).await?;
    // What is buffered of the old stream plays until the new server's clock is known.
    let known = "return window.partyline.stats().clockErrorUs !== null";
    browser.until(known, PATIENCE).await?;
    in_step(&browser).await?;
    // Whatever of the old stream was still buffered is played or dropped once the new one is.
    stage.hear_the_file(&browser, 2.0).await?;
    browser.screenshot("reconnected").await?;
    assert_eq!(browser.run("return window.__not_reloaded").await?, true);
    browser.assert_no_errors().await?;
    browser.quit().await
}

#[tokio::test]
async fn a_wrong_address_is_said_in_words() -> Result<()> {
    let stage = Stage::start(&[]).await?;
    let browser = Browser::start().await?;
    let url = format!("{}?server=ws://127.0.0.1:1/sendspin", stage.server.page_url());
    browser.open(&url).await?;
    browser.click("join").await?;
    browser.reaches("error", PATIENCE).await?;
    let words = browser.text("error").await?;
    browser.screenshot("wrong-address").await?;
    assert!(words.contains("127.0.0.1:1") && words.len() > 40, "{words:?}");
    assert_eq!(listeners(&stage.server).await?, 0);

    // Not the end: the same page plays once the address is right.
    join(&browser, &stage.server.page_url()).await?;
    browser.quit().await
}

#[tokio::test]
async fn a_full_party_is_said_in_words_and_has_room_again() -> Result<()> {
    let stage = Stage::start(&["--max-listeners", "1"]).await?;
    let hello = Hello::pcm16("the only one");
    let (guest, _) = Client::listen(&stage.server.socket_url(), &hello, 250).await?;
    let browser = Browser::start().await?;
    browser.open(&stage.server.page_url()).await?;
    browser.click("join").await?;
    browser.reaches("error", PATIENCE).await?;
    let words = browser.text("error").await?;
    browser.screenshot("full").await?;
    assert!(words.contains("is full"), "{words:?}");
    guest.leave().await?;
    browser.click("join").await?;
    browser.reaches("playing", PATIENCE).await?;
    browser.quit().await
}

/// A host name that is not loopback makes a plain http page insecure, wherever it leads.
#[tokio::test]
async fn an_insecure_page_plays_through_buffer_sources() -> Result<()> {
    let stage = Stage::start(&[]).await?;
    let browser = Browser::start_with(&["--host-resolver-rules=MAP party.test 127.0.0.1"]).await?;
    join(&browser, &format!("http://party.test:{}/", stage.server.port())).await?;
    assert_eq!(browser.run("return isSecureContext").await?, false);
    stage.hear_the_file(&browser, 5.0).await?;
    browser.screenshot("insecure").await?;
    let stats = browser.stats().await?;
    assert_eq!(stats["output"], "buffer-source");
    assert_eq!((&stats["underruns"], &stats["lateChunks"]), (&0.into(), &0.into()), "{stats}");
    browser.assert_no_errors().await?;
    browser.quit().await
}

#[tokio::test]
async fn without_loop_the_page_says_that_the_party_is_over() -> Result<()> {
    // Chromium takes seconds to start, and the track is over in four.
    let browser = Browser::start().await?;
    let stage = Stage::start(&["--no-loop"]).await?;
    browser.open(&stage.server.page_url()).await?;
    browser.click("join").await?;
    browser.reaches("playing", PATIENCE).await?;
    let over =
        "return document.querySelector('[data-testid=state-text]').textContent.includes('over')";
    browser.until(over, PATIENCE).await?;
    browser.screenshot("over").await?;
    let recording = browser.record(1.0).await?;
    let tail = &recording.left[recording.left.len() / 2..];
    assert!(tail.iter().all(|sample| *sample == 0.0), "sound after the end");
    browser.assert_no_errors().await?;
    browser.quit().await
}
