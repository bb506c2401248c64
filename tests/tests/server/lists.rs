//! Folders and playlists through a real server: what is heard, in which order, under which titles.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use e2e::client::{Client, Hello, Received, state};
use e2e::process::ServerProcess;
use e2e::signal::Stereo16;

/// Frames of each file, half a second.
const FRAMES: usize = 24_000;

#[tokio::test]
async fn a_folder_is_played_in_natural_order_without_what_is_broken() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("zugabe"))?;
    fs::write(folder.path().join("3 broken.mp3"), "These words are not music.")?;
    let names = ["2 b", "10 a", "zugabe/1 c"];
    let sounds = write(folder.path(), &names)?;
    let (server, titles, heard) = listen(folder.path(), "3 broken.mp3").await?;
    assert_eq!(titles, ["2 b", "10 a", "1 c"]);
    assert!(sounds.ends_with(&heard) && heard.len() > sounds.len() / 2, "not what is in the files");
    server.kill().await
}

#[tokio::test]
async fn a_playlist_is_played_in_its_order_under_its_titles() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sounds = write(folder.path(), &["z", "a b", "m"])?;
    let list = folder.path().join("party.m3u");
    let text = "#EXTM3U\n#EXTINF:1,Ann - First\nz.wav\ngone.wav\na b.wav\n#EXTINF:1,Last\nm.wav\n";
    fs::write(&list, text)?;
    let (server, titles, heard) = listen(&list, "gone.wav").await?;
    assert_eq!(titles, ["First", "a b", "Last"]);
    assert!(sounds.ends_with(&heard) && heard.len() > sounds.len() / 2, "not what is in the files");
    server.kill().await
}

/// Writes a file of noise under each name, and returns what all of them sound like one after the other.
fn write(folder: &Path, names: &[&str]) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for (seed, name) in names.iter().enumerate() {
        let sound = Stereo16::noise(FRAMES, seed as u64);
        sound.write_wav(&folder.join(format!("{name}.wav")))?;
        all.extend(sound.bytes());
    }
    Ok(all)
}

/// Plays a source once, with a warning of what is left out. Returns what a client is told and hears.
async fn listen(source: &Path, warning: &str) -> Result<(ServerProcess, Vec<String>, Vec<u8>)> {
    let args = [Path::new("--source"), source, Path::new("--repeat"), Path::new("off")];
    let mut server = ServerProcess::start(&args).await?;
    let (mut client, _) = Client::greet(&server.socket_url(), &Hello::pcm16("curious")).await?;
    client.send(&state(250)).await?;
    let (mut titles, mut heard) = (Vec::new(), Vec::new());
    loop {
        match client.receive().await? {
            Received::Chunk(chunk) => heard.extend(chunk.audio),
            Received::Json(message) if message["type"] == "stream/end" => break,
            Received::Json(message) => {
                let title = message["payload"]["metadata"]["title"].as_str();
                titles.extend(title.map(str::to_owned));
            }
            end => bail!("{end:?}"),
        }
    }
    let line = server.line_with(warning, Duration::from_secs(5)).await?;
    assert!(line.contains("WARN"), "{line}");
    Ok((server, titles, heard))
}
