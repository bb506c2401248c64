//! Sources that come as they are made: from the web, from a pipe, from a command, from standard input.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::client::{Chunk, Client, Hello};
use e2e::process::ServerProcess;
use e2e::signal::{RATE_HZ, Stereo16};
use e2e::web::{web, web_in_turn};

/// Bytes of a frame of 16-bit stereo.
const FRAME_BYTES: usize = 4;

/// Raw samples, as a sound card gives them.
const FORMAT: [&str; 2] = ["--source-format", "s16le/48000/2"];

/// Frames at the end of a stream that broke off which are not to the bit: 10 ms are faded, and the chunk that they are in is
/// dithered.
const END_FRAMES: usize = 480 + 4_800;

/// A sound that is never silent, so that silence can be told from it.
fn sound(frames: usize) -> Stereo16 {
    let mut sound = Stereo16::noise(frames, 7);
    sound.samples.iter_mut().for_each(|sample| *sample |= 1);
    sound
}

/// Listens until `frames` frames that are not silent have come. Checks that the timeline has no seam.
async fn heard(server: &ServerProcess, frames: usize) -> Result<Vec<u8>> {
    let (mut client, _) = Client::listen(&server.socket_url(), &Hello::pcm16("live"), 250).await?;
    let mut audio = Vec::new();
    let mut last: Option<Chunk> = None;
    while audio.len() < frames * FRAME_BYTES {
        let chunk = client.chunk().await?;
        if let Some(last) = last {
            let frames = (last.audio.len() / FRAME_BYTES) as i64;
            let expected = last.timestamp + frames * 1_000_000 / i64::from(RATE_HZ);
            ensure!((chunk.timestamp - expected).abs() <= 1, "a seam at {}", chunk.timestamp);
        }
        let loud = chunk.audio.chunks(FRAME_BYTES).filter(|frame| *frame != [0; FRAME_BYTES]);
        audio.extend(loud.flatten());
        last = Some(chunk);
    }
    Ok(audio)
}

async fn assert_plays(args: &[OsString], sound: &Stereo16) -> Result<()> {
    let server = ServerProcess::start(args).await?;
    assert_is(&heard(&server, sound.frames()).await?, sound);
    Ok(())
}

fn assert_is(heard: &[u8], sound: &Stereo16) {
    let expected = sound.bytes();
    let differs = heard.iter().zip(&expected).position(|(heard, expected)| heard != expected);
    assert_eq!(differs, None, "byte of the first difference");
}

fn args(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

#[tokio::test]
async fn a_file_on_the_web_is_heard_to_the_bit() -> Result<()> {
    let sound = sound(150_011);
    let wav = sound.wav();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", wav.len());
    let url = web(&head, wav).await?;
    assert_plays(&args(&["--source", &url]), &sound).await
}

/// The second connection begins where the first one broke off, with the beginning of the stream.
#[tokio::test]
async fn a_radio_that_breaks_off_is_asked_again() -> Result<()> {
    let sound = sound(150_011);
    let url = web("HTTP/1.0 200 OK\r\nicy-name: Test FM\r\n\r\n", sound.wav()).await?;
    let mut server = ServerProcess::start(&args(&["--source", &url])).await?;
    let audio = heard(&server, 2 * sound.frames()).await?;
    let whole = (sound.frames() - END_FRAMES) * FRAME_BYTES;
    assert_is(&audio[..whole], &sound);
    let line = server.line_with("trying again", Duration::from_secs(5)).await?;
    assert!(line.contains("WARN") && line.contains(&url), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_command_and_a_pipe_are_heard_to_the_bit() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sound = sound(150_011);
    let (wav, pcm, pipe) =
        (folder.path().join("a.wav"), folder.path().join("a.pcm"), folder.path().join("pipe"));
    sound.write_wav(&wav)?;
    fs::write(&pcm, sound.bytes())?;
    let whole = Stereo16 { samples: sound.samples[..2 * (sound.frames() - END_FRAMES)].to_vec() };
    assert_plays(&args(&["--source", &format!("exec:cat '{}'", path(&wav)?)]), &whole).await?;
    let mkfifo = tokio::process::Command::new("mkfifo").arg(&pipe).status().await?;
    ensure!(mkfifo.success(), "mkfifo");
    let raw = [&["--source", path(&pipe)?][..], &FORMAT].concat();
    let server = ServerProcess::start(&args(&raw)).await?;
    let bytes = sound.bytes();
    let writer = tokio::task::spawn_blocking(move || fs::write(&pipe, bytes));
    assert_is(&heard(&server, whole.frames()).await?, &whole);
    Ok(writer.await??)
}

/// The party ends with its input.
#[tokio::test]
async fn standard_input_is_heard_to_the_bit() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sound = sound(150_011);
    let file = folder.path().join("sound");
    for (bytes, options) in [(sound.wav(), &[][..]), (sound.bytes(), &FORMAT[..])] {
        fs::write(&file, bytes)?;
        let words = [&["--source", "-", "--no-loop"][..], options].concat();
        let stdin = Stdio::from(fs::File::open(&file)?);
        let mut server = ServerProcess::start_reading(&args(&words), stdin).await?;
        assert_is(&heard(&server, sound.frames()).await?, &sound);
        server.line_with("the source has ended", Duration::from_secs(20)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_that_cannot_be_had_is_named_before_a_port_opens() -> Result<()> {
    let page = web("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", Vec::new()).await?;
    let gone = web("HTTP/1.1 404 Not Found\r\n\r\n", Vec::new()).await?;
    let words = b"These words are not music. ".repeat(1_000);
    let junk = web("HTTP/1.1 200 OK\r\n\r\n", words.clone()).await?;
    let head = "ICY 200 OK\r\nicy-metaint: 99999999999\r\n\r\n";
    let titles = web(head, sound(4_800).wav()).await?;
    let radio = web("ICY 200 OK\r\nicy-metaint: 8192\r\n\r\n", words).await?;
    let silent = web("ICY 200 OK\r\nContent-Type: image/png\r\n\r\n", Vec::new()).await?;
    for (source, what) in [
        (page.as_str(), "text/html"),
        (&gone, "404"),
        (&junk, "not recognised"),
        ("http://", "expected an address"),
        ("exec:/no/such/program", "cannot be started"),
        ("exec:false", "before there was any sound"),
        ("exec:echo 'unpaired", "quotes in pairs"),
        ("-", "nothing came"),
        (&titles, "icy-metaint"),
        (&radio, "not recognised"),
        (&silent, "image/png"),
    ] {
        let exit = ServerProcess::run(0, &["--source", source]).await?;
        assert_eq!(exit.status.code(), Some(2), "{source}: {exit:?}");
        let lines: Vec<&str> = exit.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "{source}: {exit:?}");
        assert!(lines[0].contains(what), "{source}: {exit:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_sound_on_standard_input_is_said() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("input");
    let wav = sound(4_800).wav();
    for (bytes, options, what) in [
        (&b"These words are not music. ".repeat(1_000)[..], &[][..], "not recognised"),
        (&wav[..30], &[][..], "not recognised"),
        (&[1, 2, 3][..], &FORMAT[..], "nothing came"),
    ] {
        fs::write(&file, bytes)?;
        let words = [&["--source", "-"][..], options].concat();
        let stdin = Stdio::from(fs::File::open(&file)?);
        let exit = ServerProcess::run_reading(&args(&words), stdin).await?;
        assert_eq!(exit.status.code(), Some(2), "{what}: {exit:?}");
        assert_eq!(exit.stderr.lines().count(), 1, "{what}: {exit:?}");
        assert!(exit.stderr.contains(what), "{what}: {exit:?}");
    }
    Ok(())
}

/// One who listens to the silence meanwhile, and then to the music, hears no seam.
#[tokio::test]
async fn writers_of_a_pipe_who_write_no_sound_are_named_and_the_next_one_is_heard() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sound = sound(150_011);
    let words = b"These words are not music. ".repeat(10_000);
    for (bad, good, options, what) in [
        (&words[..], sound.wav(), &[][..], "not recognised"),
        (&[][..], sound.wav(), &[][..], "nothing came"),
        (&sound.wav()[..30], sound.wav(), &[][..], "not recognised"),
        // Three quarters of a frame: the next writer's frames are whole all the same.
        (&[1, 2, 3][..], sound.bytes(), &FORMAT[..], "nothing came"),
    ] {
        let pipe = folder.path().join("pipe");
        let mkfifo = tokio::process::Command::new("mkfifo").arg(&pipe).status().await?;
        ensure!(mkfifo.success(), "mkfifo");
        let source = [&["--source", path(&pipe)?][..], options].concat();
        let mut server = ServerProcess::start(&args(&source)).await?;
        let bad = bad.to_vec();
        let to = pipe.clone();
        // It may be hung up on before it has written everything.
        let writer = tokio::task::spawn_blocking(move || fs::write(&to, bad).ok());
        let line = server.line_with(what, Duration::from_secs(10)).await?;
        assert!(line.contains("WARN") && line.contains("pipe"), "{line}");
        writer.await?;
        let to = pipe.clone();
        let writer = tokio::task::spawn_blocking(move || fs::write(&to, good));
        let whole = sound.frames() - END_FRAMES;
        assert_is(&heard(&server, whole).await?[..whole * FRAME_BYTES], &sound);
        writer.await??;
        fs::remove_file(&pipe)?;
    }
    Ok(())
}

/// Whatever a station sends the first time, it is asked again, and who listens hears silence meanwhile.
#[tokio::test]
async fn a_radio_that_goes_wrong_is_named_and_asked_again() -> Result<()> {
    let sound = sound(150_011);
    let wav = sound.wav();
    let middle = wav.len() / 2 / FRAME_BYTES * FRAME_BYTES;
    let good = [&b"HTTP/1.0 200 OK\r\n\r\n"[..], &wav].concat();
    let cut = [&b"HTTP/1.0 200 OK\r\n\r\n"[..], &wav[..middle]].concat();
    let html = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\nGone fishing".to_vec();
    let overloaded = b"HTTP/1.0 503 Busy\r\n\r\n".to_vec();
    for (answers, what) in [
        (vec![cut.clone(), good.clone()], "the stream ended"),
        (vec![cut.clone(), overloaded, good.clone()], "status 503"),
        (vec![cut, html, good], "text/html"),
    ] {
        let url = web_in_turn(answers).await?;
        let mut server = ServerProcess::start(&args(&["--source", &url])).await?;
        let frames = (middle / FRAME_BYTES).saturating_sub(END_FRAMES) + sound.frames();
        heard(&server, frames).await?;
        let line = server.line_with(what, Duration::from_secs(5)).await?;
        assert!(line.contains("WARN") && line.contains(&url), "{line}");
    }
    Ok(())
}
