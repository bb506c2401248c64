//! Every kind of source, as a listener in Chromium hears it.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use e2e::browser::Browser;
use e2e::process::ServerProcess;
use e2e::signal::{Stereo16, wav_header};
use e2e::web::web;
use serde_json::Value;
use tempfile::TempDir;

use crate::{FRAMES, ONE_AT_A_TIME, PATIENCE, hear};

/// Sound that is recorded of each kind, seconds.
const HEARD_S: f64 = 1.0;
/// Rounds of the noise in a stream that is not to end during a test: 40 s.
const ROUNDS: usize = 10;
/// Bytes of audio between two titles of the radio station.
const INTERVAL: usize = 16_384;

/// The same noise in every form it can come in.
struct Shelf {
    folder: TempDir,
    sound: Stereo16,
}

impl Shelf {
    fn stock() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let sound = Stereo16::band_limited_noise(FRAMES, 1);
        let shelf = Self { folder, sound };
        fs::create_dir(shelf.path("music"))?;
        shelf.sound.write_wav(&shelf.path("music/noise.wav"))?;
        fs::write(shelf.path("noise.pcm"), shelf.sound.bytes())?;
        let lists = [
            ("list.m3u", "music/noise.wav\n"),
            ("list.m3u8", "#EXTM3U\n#EXTINF:4,Ann - Noise of M3U8\nmusic/noise.wav\n"),
            ("list.pls", "[playlist]\nFile1=music/noise.wav\nTitle1=Noise of PLS\n"),
            (
                "list.xspf",
                "<playlist version='1' xmlns='http://xspf.org/ns/0/'><trackList><track>\
                 <location>music/noise.wav</location><title>Noise of XSPF</title>\
                 </track></trackList></playlist>",
            ),
        ];
        for (name, text) in lists {
            fs::write(shelf.path(name), text)?;
        }
        Ok(shelf)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A server that plays what is called `name` here.
    async fn play(&self, name: &str) -> Result<ServerProcess> {
        ServerProcess::start(&[OsString::from("--source"), self.path(name).into()]).await
    }

    /// The noise, again and again, with a title after each [`INTERVAL`] of it.
    fn broadcast(&self, title: &str) -> Vec<u8> {
        let audio = [wav_header(u32::MAX), self.sound.bytes().repeat(ROUNDS)].concat();
        let text = format!("StreamTitle='{title}';");
        let blocks = text.len().div_ceil(16);
        let mut block = vec![blocks as u8];
        block.extend(text.as_bytes());
        block.resize(1 + blocks * 16, 0);
        audio.chunks(INTERVAL).flat_map(|audio| [audio, &block].concat()).collect()
    }

    /// A command that writes the noise as raw samples for ever.
    fn command(&self) -> Result<String> {
        let path = self.path("noise.pcm");
        let path = path.to_str().context("a path that is not UTF-8")?;
        Ok(format!("while cat '{path}'; do :; done"))
    }
}

const RAW: [&str; 2] = ["--source-format", "s16le/48000/2"];

/// Opens the page of `server`, joins, and hears the noise under `title`.
async fn assert_heard(
    browser: &Browser,
    server: &ServerProcess,
    title: &str,
    sound: &Stereo16,
) -> Result<()> {
    tune_in(browser, server, title).await?;
    hear(sound, browser, HEARD_S).await.with_context(|| title.to_owned())?;
    Ok(())
}

/// Opens the page of `server`, joins, and waits until it plays under `title`.
async fn tune_in(browser: &Browser, server: &ServerProcess, title: &str) -> Result<()> {
    browser.open(&server.page_url()).await?;
    browser.click("join").await?;
    browser.reaches("playing", PATIENCE).await.with_context(|| title.to_owned())?;
    let shown = format!(
        "return document.querySelector('[data-testid=title]').textContent === {}",
        Value::from(title)
    );
    browser.until(&shown, PATIENCE).await
}

#[tokio::test]
async fn files_folders_and_playlists() -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock().await;
    let shelf = Shelf::stock()?;
    let browser = Browser::start().await?;
    for (name, title) in [
        ("music/noise.wav", "noise"),
        ("music", "noise"),
        ("list.m3u", "noise"),
        ("list.m3u8", "Noise of M3U8"),
        ("list.pls", "Noise of PLS"),
        ("list.xspf", "Noise of XSPF"),
    ] {
        let server = shelf.play(name).await?;
        assert_heard(&browser, &server, title, &shelf.sound).await.with_context(|| name)?;
    }
    // WavPack is for ffmpeg alone, and loses nothing.
    let foreign = shelf.path("foreign.wv");
    if has_ffmpeg_written(&shelf.path("music/noise.wav"), &foreign) {
        let server = shelf.play("foreign.wv").await?;
        assert_heard(&browser, &server, "foreign", &shelf.sound).await.context("ffmpeg")?;
    } else {
        println!("there is no ffmpeg here: what it reads was not heard");
    }
    browser.assert_no_errors().await?;
    browser.quit().await
}

/// Has ffmpeg write `from` as `to`, in the format that its name says, if there is an ffmpeg.
fn has_ffmpeg_written(from: &Path, to: &Path) -> bool {
    let written = Command::new("ffmpeg").args(["-v", "error", "-i"]).args([from, to]).status();
    written.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn the_web_and_radio() -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock().await;
    let shelf = Shelf::stock()?;
    let browser = Browser::start().await?;
    let wav = shelf.sound.wav();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", wav.len());
    let file = web(&head, wav).await?;
    let server = ServerProcess::start(&["--source", &file]).await?;
    assert_heard(&browser, &server, "stream", &shelf.sound).await.context("a file on the web")?;

    let head = format!("ICY 200 OK\r\nicy-name: Test FM\r\nicy-metaint: {INTERVAL}\r\n\r\n");
    let radio = web(&head, shelf.broadcast("Ann - It's noise")).await?;
    let server = ServerProcess::start(&["--source", &radio]).await?;
    assert_heard(&browser, &server, "It's noise", &shelf.sound).await.context("radio")?;
    assert_eq!(browser.text("artist").await?, "Ann");
    browser.screenshot("radio").await?;
    browser.assert_no_errors().await?;
    browser.quit().await
}

#[tokio::test]
async fn pipes_and_commands() -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock().await;
    let shelf = Shelf::stock()?;
    let browser = Browser::start().await?;
    let command = format!("exec:sh -c \"{}\"", shelf.command()?);
    let words = [&["--source", &command][..], &RAW].concat();
    let server = ServerProcess::start(&words).await?;
    assert_heard(&browser, &server, "Live", &shelf.sound).await.context("a command")?;

    let mut writer = Writer::start(&shelf.command()?)?;
    let stdin = writer.0.stdout.take().context("no output")?;
    let words = [&["--source", "-"][..], &RAW].concat();
    let server = ServerProcess::start_reading(&words, stdin.into()).await?;
    assert_heard(&browser, &server, "Live", &shelf.sound).await.context("standard input")?;

    let pipe = shelf.path("pipe");
    ensure!(Command::new("mkfifo").arg(&pipe).status()?.success(), "mkfifo");
    let text = pipe.to_str().context("a path that is not UTF-8")?;
    let words = [&["--source", text][..], &RAW].concat();
    let server = ServerProcess::start(&words).await?;
    let writer = write_to(&pipe, shelf.sound.bytes());
    assert_heard(&browser, &server, "Live", &shelf.sound).await.context("a pipe")?;
    // The writer is hung up on.
    server.kill().await?;
    ensure!(writer.join().is_ok(), "the writer of the pipe");
    browser.assert_no_errors().await?;
    browser.quit().await
}

/// A shell that writes to its standard output, and ends with this value.
struct Writer(Child);

impl Writer {
    fn start(script: &str) -> Result<Self> {
        Ok(Self(Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn()?))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // One that has ended is as good.
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

fn write_to(pipe: &Path, bytes: Vec<u8>) -> thread::JoinHandle<()> {
    let pipe = pipe.to_owned();
    thread::spawn(move || {
        if let Ok(mut pipe) = OpenOptions::new().write(true).open(pipe) {
            while pipe.write_all(&bytes).is_ok() {}
        }
    })
}

#[tokio::test]
async fn what_is_built_in() -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock().await;
    let browser = Browser::start().await?;
    for (source, title) in [("demo", "Partyline demo"), ("metronome", "Metronome")] {
        let server = ServerProcess::start(&["--source", source]).await?;
        tune_in(&browser, &server, title).await?;
        let recording = browser.record(HEARD_S + 1.0).await?;
        let loudest = recording.left.iter().fold(0.0_f32, |loudest, s| loudest.max(s.abs()));
        ensure!((0.01..=1.0).contains(&loudest), "{source}: {loudest}");
    }
    browser.assert_no_errors().await?;
    browser.quit().await
}
