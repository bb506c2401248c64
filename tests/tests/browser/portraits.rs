//! Every state of the page, brought about with the real server and drawn by a real Chromium: `docs/screenshots`.
//!
//! `cargo nextest run -p e2e --run-ignored only -E 'test(portraits)'` draws them anew.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::browser::Browser;
use e2e::client::{Client, Hello};
use e2e::http::post;
use e2e::process::ServerProcess;
use e2e::signal::Stereo16;
use e2e::web::web;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{ONE_AT_A_TIME, PATIENCE};

const KEY: &str = "the-key-of-the-host";

/// Makes a picture as it might be on a sleeve, and returns it as a data address.
const DRAW_A_SLEEVE: &str = "
    const canvas = document.createElement('canvas'); canvas.width = canvas.height = 600;
    const c = canvas.getContext('2d');
    const sky = c.createLinearGradient(0, 0, 0, 600);
    [[0, '#10304a'], [0.45, '#c2543a'], [0.62, '#f2a950'], [0.63, '#123a4d'], [1, '#0a1c28']]
      .forEach(([at, colour]) => sky.addColorStop(at, colour));
    c.fillStyle = sky; c.fillRect(0, 0, 600, 600);
    c.fillStyle = '#ffe3a3'; c.beginPath(); c.arc(300, 330, 90, 0, 7); c.fill();
    c.fillStyle = '#0a1c28cc';
    for (let n = 0; n < 14; n++) c.fillRect(0, 380 + n * n * 1.6, 600, 2 + n);
    return canvas.toDataURL('image/png')";

/// A folder with three tracks and a sleeve.
struct Record {
    folder: TempDir,
}

impl Record {
    async fn press(browser: &Browser) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let sleeve = browser.run(DRAW_A_SLEEVE).await?;
        let (_, bytes) = sleeve.as_str().and_then(|it| it.split_once(',')).context("no sleeve")?;
        fs::write(folder.path().join("cover.png"), STANDARD.decode(bytes)?)?;
        let mut list = "#EXTM3U\n".to_owned();
        let tracks = [
            ("Ada Marlow", "Slow Tide"),
            ("Ada Marlow", "Harbour Lights"),
            ("The Pier", "Last Train"),
        ];
        for (seed, (artist, title)) in tracks.into_iter().enumerate() {
            let frames = (150 + 20 * seed) * 48_000;
            Stereo16::noise(frames, seed as u64)
                .write_wav(&folder.path().join(format!("{seed}.wav")))?;
            writeln!(list, "#EXTINF:{},{artist} - {title}\n{seed}.wav", frames / 48_000)?;
        }
        fs::write(folder.path().join("evening.m3u"), list)?;
        Ok(Self { folder })
    }

    fn list(&self) -> PathBuf {
        self.folder.path().join("evening.m3u")
    }

    async fn play(&self, options: &[&str]) -> Result<ServerProcess> {
        play(&self.list(), options).await
    }
}

async fn play(source: &Path, options: &[&str]) -> Result<ServerProcess> {
    let mut args: Vec<OsString> =
        vec!["--source".into(), source.into(), "--name".into(), "Loft".into()];
    args.extend(options.iter().map(OsString::from));
    ServerProcess::start(&args).await
}

/// One who draws, and where to.
struct Painter {
    browser: Browser,
    folder: PathBuf,
}

impl Painter {
    async fn start() -> Result<Self> {
        let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/screenshots"));
        fs::create_dir_all(&folder)?;
        let mapped = "--host-resolver-rules=MAP party.test 127.0.0.1";
        Ok(Self { browser: Browser::start_with(&[mapped]).await?, folder })
    }

    async fn draw(&self, name: &str) -> Result<()> {
        self.browser.portraits(&self.folder, name).await
    }

    /// Opens, joins, waits for `state`, and draws it.
    async fn join(&self, url: &str, state: &str, name: &str) -> Result<()> {
        self.browser.open(url).await?;
        self.browser.click("join").await?;
        self.browser.reaches(state, PATIENCE).await?;
        if state == "playing" {
            // In step, with its listeners counted, and the sound around the button.
            self.shows("window.partyline.stats().bufferedMs > 4000").await?;
            self.shows("document.querySelector('[data-testid=listeners]')?.textContent").await?;
        }
        self.draw(name).await
    }

    async fn shows(&self, what: &str) -> Result<()> {
        self.browser.until(&format!("return Boolean({what})"), PATIENCE).await
    }

    async fn says(&self, testid: &str, words: &str) -> Result<()> {
        let words = Value::from(words);
        self.shows(&format!(
            "document.querySelector('[data-testid={testid}]')?.textContent.includes({words})"
        ))
        .await
    }
}

#[tokio::test]
#[ignore = "writes docs/screenshots"]
async fn of_a_guest() -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock().await;
    let painter = Painter::start().await?;
    let record = Record::press(&painter.browser).await?;
    let server = record.play(&["--host-key", KEY]).await?;
    let url = server.page_url();
    painter.browser.open(&url).await?;
    painter.draw("idle").await?;
    painter.browser.click("share").await?;
    painter.shows("document.querySelector('dialog[open]')").await?;
    painter.draw("share").await?;

    let (_others, url_of) = (seats(&server).await?, |query: &str| format!("{url}{query}"));
    painter.join(&url, "playing", "playing").await?;
    painter.browser.run("document.querySelector('[data-testid=sync]').open = true").await?;
    painter.says("sync-words", "step").await?;
    painter.draw("figures").await?;
    painter.join(&url_of("?lang=de"), "playing", "playing-german").await?;
    let insecure = format!("http://party.test:{}/", server.port());
    painter.join(&insecure, "playing", "insecure").await?;
    painter.join(&url_of("#host=of-last-week"), "playing", "old-key").await?;

    painter.browser.run("window.__recorder.contexts.at(-1).context.suspend()").await?;
    painter.shows("document.querySelector('[data-testid=interrupted]')").await?;
    painter.draw("interrupted").await?;

    painter.join(&url, "playing", "playing").await?;
    command(&server, "pause").await?;
    painter.says("state-text", "Paused").await?;
    painter.draw("paused").await?;
    command(&server, "play").await?;
    painter.browser.reaches("playing", PATIENCE).await?;

    painter.browser.go_to(&url_of("?autoplay")).await?;
    painter.browser.reaches("error", PATIENCE).await?;
    painter.draw("kiosk-wants-a-tap").await?;

    painter.browser.open(&url).await?;
    painter.browser.click("join").await?;
    painter.browser.reaches("playing", PATIENCE).await?;
    server.kill().await?;
    painter.browser.reaches("reconnecting", PATIENCE).await?;
    painter.draw("reconnecting").await?;
    // The page was installed by its first visit, so there is one without a server.
    painter.browser.go_to(&url).await?;
    painter.draw("offline").await?;
    painter.browser.quit().await
}

async fn command(server: &ServerProcess, what: &str) -> Result<()> {
    let authorization = format!("Bearer {KEY}");
    let path = format!("/api/group/{what}");
    let done = post((server.port(), &path), &[("Authorization", &authorization)], "").await?;
    ensure!(done.status < 300, "{}", done.status);
    Ok(())
}

/// Players of other rooms.
async fn seats(server: &ServerProcess) -> Result<Vec<Client>> {
    let mut seats = Vec::new();
    for name in ["Kitchen", "Living room", "Terrace"] {
        seats.push(Client::listen(&server.socket_url(), &Hello::pcm16(name), 250).await?.0);
    }
    Ok(seats)
}

#[tokio::test]
#[ignore = "writes docs/screenshots"]
async fn of_a_host() -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock().await;
    let painter = Painter::start().await?;
    let record = Record::press(&painter.browser).await?;
    let server = record.play(&["--host-key", KEY]).await?;
    let url = format!("{}#host={KEY}", server.page_url());
    let others = tokio::spawn(listen_on(seats(&server).await?));
    painter.browser.open(&url).await?;
    painter.browser.click("join").await?;
    painter.browser.reaches("playing", PATIENCE).await?;
    painter.says("players", "In step").await?;
    painter.draw("host").await?;
    painter.browser.click("play-pause").await?;
    painter.says("state-text", "Paused").await?;
    painter.draw("host-paused").await?;
    others.abort();
    painter.browser.quit().await
}

/// Takes what comes, so that nobody is given up.
async fn listen_on(mut seats: Vec<Client>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        for seat in &mut seats {
            drop(seat.chunk().await);
        }
    }
}

#[tokio::test]
#[ignore = "writes docs/screenshots"]
async fn of_what_is_played() -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock().await;
    let painter = Painter::start().await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("An evening without a sleeve.wav");
    Stereo16::noise(200 * 48_000, 5).write_wav(&path)?;
    let server = play(&path, &[]).await?;
    painter.join(&server.page_url(), "playing", "no-artwork").await?;

    let mut wav = Stereo16::noise(60 * 48_000, 5).wav();
    wav.truncate(8_192 * (wav.len() / 8_192));
    let title = b"\x02StreamTitle='Ada Marlow - Feb';".to_vec();
    let body = wav.chunks(8_192).flat_map(|audio| [audio, &padded(&title)].concat()).collect();
    let head = "ICY 200 OK\r\nicy-name: Radio Pier\r\nicy-metaint: 8192\r\n\r\n";
    let radio = web(head, body).await?;
    let server = ServerProcess::start(&["--source", &radio, "--name", "Loft"]).await?;
    painter.join(&server.page_url(), "playing", "radio").await?;

    let short = folder.path().join("short.wav");
    Stereo16::noise(5 * 48_000, 5).write_wav(&short)?;
    let server = play(&short, &["--no-loop"]).await?;
    painter.browser.open(&server.page_url()).await?;
    painter.browser.click("join").await?;
    painter.says("state-text", "over").await?;
    painter.draw("over").await?;
    painter.browser.quit().await
}

/// A title's block: a byte that says how many times sixteen follow.
fn padded(title: &[u8]) -> Vec<u8> {
    let mut block = title.to_vec();
    block.resize(1 + 16 * usize::from(block[0]), 0);
    block
}

#[tokio::test]
#[ignore = "writes docs/screenshots"]
async fn of_what_goes_wrong() -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock().await;
    let painter = Painter::start().await?;
    let server =
        ServerProcess::start(&["--source", "demo", "--max-listeners", "1", "--name", "Loft"])
            .await?;
    let url = server.page_url();
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let elsewhere = format!("{url}?server=ws://{}/sendspin", silent.local_addr()?);
    painter.join(&elsewhere, "connecting", "connecting").await?;
    let nobody = format!("{url}?server=ws://127.0.0.1:1/sendspin");
    painter.join(&nobody, "error", "error").await?;
    let _only = Client::listen(&server.socket_url(), &Hello::pcm16("the only one"), 250).await?;
    painter.join(&url, "error", "full").await?;

    let folder = tempfile::tempdir()?;
    let endpoint = format!("unixsock-stream/{}", folder.path().join("origin").display());
    let origin = ServerProcess::start(&["--source", "demo", "--serve-edges", &endpoint]).await?;
    let edge = ServerProcess::start(&["--edge", &endpoint]).await?;
    painter.browser.open(&edge.page_url()).await?;
    painter.browser.click("join").await?;
    painter.browser.reaches("playing", PATIENCE).await?;
    origin.kill().await?;
    painter.says("state-text", "Waiting for the host").await?;
    painter.draw("host-away").await?;
    painter.browser.quit().await
}
