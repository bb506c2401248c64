//! Sources that cannot be played, sources with damage, and ports that are taken.

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use anyhow::Result;
use e2e::client::{Client, Hello};
use e2e::process::{Exit, ServerProcess};
use e2e::signal::{RATE_HZ, Stereo16};
use tokio::net::TcpListener;

use crate::fixture;

/// A playlist of one file, which is not there.
const GONE_XSPF: &[u8] =
    b"<playlist><trackList><track><location>not-there.flac</location></track></trackList></playlist>";

/// Exit code for what the user has to change.
const USAGE: Option<i32> = Some(2);

#[tokio::test]
async fn what_cannot_be_played_is_named_before_a_port_opens() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).map(|()| path)
    };
    let folder_of = |name: &str, content: Option<(&str, &[u8])>| {
        let path = folder.path().join(name);
        fs::create_dir(&path)?;
        let written = content.map(|(name, bytes)| fs::write(path.join(name), bytes));
        written.transpose().map(|_| path)
    };
    let wav = Stereo16::noise(4_800, 1).wav();
    let flac = fs::read(fixture("ramp-48k-16.flac"))?;
    let cases = [
        folder.path().join("missing.flac"),
        folder.path().to_owned(),
        file("empty.wav", &[])?,
        file("text.mp3", "These words are not music. ".repeat(200).as_bytes())?,
        file("header.wav", &wav[..30])?,
        file("no-audio.wav", &wav[..44])?,
        file("header.flac", &flac[..20])?,
        // The header promises more than there is, as after a download that broke off.
        file("cut.wav", &wav[..=wav.len() / 2])?,
        // Folders: empty, without music, with nothing that plays.
        folder_of("empty", None)?,
        folder_of("letters", Some(("letter.txt", b"Dear guests")))?,
        folder_of("broken", Some(("song.wav", &wav[..30])))?,
        // Playlists: empty, of something else, and of what is not there.
        file("empty.m3u", &[])?,
        file("page.m3u8", b"<html><body>Not found</body></html>")?,
        file("gone.m3u", b"#EXTM3U\nnot-there.flac\n")?,
        file("empty.pls", b"[playlist]\nNumberOfEntries=0\n")?,
        file("other.pls", b"[Desktop Entry]\nName=Player\n")?,
        file("gone.pls", b"[playlist]\nFile1=not-there.flac\n")?,
        file("empty.xspf", b"<playlist><trackList/></playlist>")?,
        file("half.xspf", b"<playlist><trackList><track><location>a.flac</loc")?,
        file("gone.xspf", GONE_XSPF)?,
    ];
    for path in cases {
        let exit =
            ServerProcess::run(0, &[OsString::from("--source"), path.clone().into()]).await?;
        assert_refused(&exit, &path.display().to_string());
    }
    Ok(())
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() -> Result<()> {
    let other = TcpListener::bind("127.0.0.1:0").await?;
    let port = other.local_addr()?.port();
    let exit = ServerProcess::run(port, &["--source", "demo"]).await?;
    assert_refused(&exit, &port.to_string());
    Ok(())
}

#[tokio::test]
async fn damage_in_the_middle_is_skipped_with_a_warning() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("damaged.flac");
    let mut flac = fs::read(fixture("ramp-48k-16.flac"))?;
    let middle = flac.len() / 2;
    flac[middle..middle + 600].fill(0x5A);
    fs::write(&path, flac)?;
    let server = ServerProcess::start(&[OsString::from("--source"), path.into()]).await?;
    plays_on(server, Some("damaged.flac")).await
}

#[tokio::test]
async fn the_demo_track_needs_no_file() -> Result<()> {
    plays_on(ServerProcess::start(&["--source", "demo"]).await?, None).await
}

/// Six seconds arrive, more than any test file here has, and the server warned if it should have.
async fn plays_on(mut server: ServerProcess, warning: Option<&str>) -> Result<()> {
    let (mut client, _) =
        Client::listen(&server.socket_url(), &Hello::pcm16("hopeful"), 250).await?;
    let mut frames = 0;
    let mut loud = false;
    while frames < 6 * RATE_HZ as usize {
        let chunk = client.chunk().await?;
        frames += chunk.audio.len() / 4;
        loud |= chunk.audio.iter().any(|&byte| byte != 0);
    }
    assert!(loud, "silence only");
    if let Some(words) = warning {
        let line = server.line_with(words, Duration::from_secs(5)).await?;
        assert!(line.contains("WARN"), "{line}");
    }
    Ok(())
}

fn assert_refused(exit: &Exit, name: &str) {
    assert_eq!(exit.status.code(), USAGE, "{name}: {exit:?}");
    let lines: Vec<&str> = exit.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{name}: {exit:?}");
    assert!(lines[0].contains(name), "{name}: {exit:?}");
    assert!(!exit.stdout.contains("listening on"), "{name}: {exit:?}");
}
