//! Tests of streams with real pipes, programs and sockets, through [`open`].

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use protocol::message::Repeat;

use super::LiveOptions;
use crate::source::{CHANNELS, Options, Read as Given, Source, SourceError, SourceSpec, open};

/// Longest wait for anything here. Milliseconds, but for a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/audio").join(name);
    path.to_string_lossy().into_owned()
}

fn raw() -> LiveOptions {
    LiveOptions { format: "s16le/48000/2".parse().ok(), ..LiveOptions::default() }
}

fn opened(source: &str, options: LiveOptions) -> Result<Box<dyn Source>, SourceError> {
    open(&[source.parse().unwrap()], &Options { live: options, ..Options::default() })
}

/// What `open` says about a source that does not play.
fn complaint(source: &str, options: LiveOptions) -> String {
    match opened(source, options) {
        Ok(_) => panic!("{source} was accepted"),
        Err(error) => error.to_string(),
    }
}

/// Reads as a party does that has enough in hand, until `frames` frames have come or it ends. Also the titles.
fn listen(source: &mut dyn Source, frames: usize) -> (Vec<f32>, Vec<String>) {
    source.wake(thread::current());
    let (mut samples, mut titles) = (Vec::new(), Vec::new());
    let mut run = None;
    let limit = Instant::now() + LIMIT;
    while samples.len() / CHANNELS < frames {
        assert!(Instant::now() < limit, "only {} frames came", samples.len() / CHANNELS);
        let next = source.run().clone();
        match source.read(Duration::from_secs(1)).unwrap() {
            Given::Pcm(pcm) => {
                if run.replace(next.number) != Some(next.number) {
                    let track = &next.track;
                    let artist = track.artist.iter().map(|artist| format!("{artist}: "));
                    titles.push(artist.collect::<String>() + &track.title);
                }
                samples.extend(pcm.samples);
            }
            Given::NotYet => thread::park_timeout(Duration::from_millis(5)),
            Given::End => break,
        }
    }
    (samples, titles)
}

/// All samples of a file, as the file source plays them.
fn file(name: &str) -> Vec<f32> {
    let mut source = open(&[SourceSpec::File(fixture(name).into())], &Options::default()).unwrap();
    listen(source.as_mut(), usize::MAX).0
}

fn assert_same(heard: &[f32], expected: &[f32]) {
    let differs = heard.iter().zip(expected).position(|(heard, expected)| heard != expected);
    assert_eq!(differs, None, "index of the first sample that differs");
    assert_eq!(heard.len(), expected.len());
}

/// A web server that gives each connection what `answer` says, by its number.
struct Web {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Web {
    fn serve(answer: impl Fn(usize, &mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/music/song.flac", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut request = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while request.read_line(&mut line).is_ok_and(|count| count > 2) {
                    line.clear();
                }
                answer(counter.fetch_add(1, Ordering::SeqCst), &mut stream);
            }
        });
        Self { url, asked }
    }

    /// A server that says `head`, and then `body`.
    fn say(head: &'static str, body: Vec<u8>) -> Self {
        Self::serve(move |_, stream| {
            // The other side may hang up.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        })
    }
}

#[test]
fn a_file_on_the_web_plays_bit_for_bit_and_ends() {
    let bytes = std::fs::read(fixture("ramp-48k-16.flac")).unwrap();
    let web = Web::serve(move |_, stream| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes));
    });
    let mut source = opened(&web.url, LiveOptions::default()).unwrap();
    let (heard, _) = listen(source.as_mut(), usize::MAX);
    assert_same(&heard, &file("ramp-48k-16.flac"));
    // Again when the list starts over.
    let mut looped = open(&[web.url.parse().unwrap()], &Options::repeating(Repeat::All)).unwrap();
    let (heard, _) = listen(looped.as_mut(), 3 * heard.len() / CHANNELS);
    assert!(heard.len() >= 3 * file("ramp-48k-16.flac").len());
    assert!(web.asked.load(Ordering::SeqCst) >= 4);
}

/// A WAV header that promises no length, and seconds of a constant.
fn endless_wav(seconds: usize) -> Vec<u8> {
    let mut wav = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0".to_vec();
    wav.extend(48_000_u32.to_le_bytes());
    wav.extend(192_000_u32.to_le_bytes());
    wav.extend(b"\x04\0\x10\0data\xff\xff\xff\xff");
    wav.extend(8_192_i16.to_le_bytes().repeat(seconds * 96_000));
    wav
}

#[test]
fn a_radio_names_its_titles_and_is_asked_again() {
    let web = Web::serve(|number, stream| {
        let head = "ICY 200 OK\r\nicy-name: Test FM\r\nicy-metaint: 96000\r\n\r\n";
        let mut body = head.as_bytes().to_vec();
        for (at, audio) in endless_wav(3).chunks(96_000).enumerate() {
            body.extend(audio);
            let title = format!("StreamTitle='Band {number} - It's {at}';");
            let blocks = title.len().div_ceil(16);
            body.push(blocks as u8);
            body.extend(title.as_bytes());
            body.extend(vec![0; blocks * 16 - title.len()]);
        }
        let _ = stream.write_all(&body);
    });
    let mut source = opened(&web.url, LiveOptions::default()).unwrap();
    let (heard, titles) = listen(source.as_mut(), 5 * 48_000);
    let named = ["Test FM", "Band 0: It's 0", "Band 0: It's 1", "Band 0: It's 2"];
    assert_eq!(titles[..4], named);
    assert!(titles.iter().any(|title| title == "Band 1: It's 1"), "{titles:?}");
    assert!(web.asked.load(Ordering::SeqCst) >= 2);
    // It goes on softly where it broke off.
    let right = heard.iter().skip(1).step_by(2).copied();
    let steps = right.clone().zip(right.skip(1)).map(|(a, b)| (a - b).abs());
    assert!(steps.fold(0.0, f32::max) < 0.01);
}

#[test]
fn chunks_redirects_and_playlists_lead_to_the_stream() {
    let wav = endless_wav(2);
    let target = Web::serve(move |_, stream| {
        let mut body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in wav.chunks(1_000) {
            body.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
            body.extend(chunk);
            body.extend(b"\r\n");
        }
        let _ = stream.write_all(&body);
    });
    let url = target.url.clone();
    let list = Web::serve(move |_, stream| {
        let body = format!("[playlist]\nFile1={url}\n");
        let head = "HTTP/1.0 200 OK\r\nContent-Type: audio/x-scpls\r\n\r\n";
        let _ = stream.write_all((head.to_owned() + &body).as_bytes());
    });
    let url = list.url.clone();
    let first = Web::serve(move |_, stream| {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\n\r\n");
        let _ = stream.write_all(head.as_bytes());
    });
    let mut source = opened(&first.url, LiveOptions::default()).unwrap();
    let (heard, _) = listen(source.as_mut(), 48_000);
    assert!(heard.iter().all(|sample| *sample == 0.25));
}

#[test]
fn what_the_web_says_wrong_is_named() {
    let page = Web::say("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", b"<html>".to_vec());
    let gone = Web::say("HTTP/1.1 404 Not Found\r\n\r\n", Vec::new());
    let other = Web::say("SSH-2.0-OpenSSH_9\r\n", Vec::new());
    let junk = Web::say("HTTP/1.1 200 OK\r\n\r\n", b"These words are not music. ".repeat(9_000));
    let around = Web::say("HTTP/1.1 301 Moved\r\nLocation: /again\r\n\r\n", Vec::new());
    let away = Web::say("HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd\r\n\r\n", Vec::new());
    for (web, words) in [
        (&page, "text/html"),
        (&gone, "404"),
        (&other, "not one of a web server"),
        (&junk, "not recognised as audio"),
        (&around, "redirects more than 5 times"),
        (&away, "http://"),
    ] {
        let said = complaint(&web.url, LiveOptions::default());
        assert!(said.contains(words) && said.contains(&web.url), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert!(complaint("http://", LiveOptions::default()).contains("expected an address"));
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let specs = [format!("http://127.0.0.1:{port}/x").parse().unwrap()];
    let listener = thread::spawn(move || {
        // After the first attempt has failed.
        thread::park_timeout(Duration::from_millis(200));
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 500]);
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        let _ = stream.write_all(&endless_wav(2));
    });
    let mut source = open(&specs, &Options::default()).unwrap();
    assert!(listen(source.as_mut(), 48_000).0.iter().all(|sample| *sample == 0.25));
    listener.join().unwrap();
}

#[cfg(unix)]
#[test]
fn a_command_plays_bit_for_bit_and_is_started_again() {
    let source = format!("exec:cat '{}'", fixture("ramp-48k-16.flac"));
    let mut source = opened(&source, LiveOptions::default()).unwrap();
    let expected = file("ramp-48k-16.flac");
    let frames = expected.len() / CHANNELS;
    let (heard, _) = listen(source.as_mut(), frames + 48_000);
    // Up to the fade at the seam, and then once more.
    let exact = expected.len() - 2 * 480;
    assert_same(&heard[..exact], &expected[..exact]);
    assert!(heard.len() > expected.len());
}

#[cfg(unix)]
#[test]
fn what_is_wrong_with_a_command_is_named() {
    for (source, words) in [
        ("exec:play 'a", "expected a command"),
        ("exec:/no/such/program x", "cannot be started"),
        ("exec:false", "exit status: 1"),
        ("exec:echo These words are not music.", "not recognised"),
    ] {
        let said = complaint(source, LiveOptions::default());
        assert!(said.contains(words) && said.contains(source), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[cfg(unix)]
#[test]
fn a_command_ends_with_its_source() {
    let folder = std::env::temp_dir().join(format!("partyline-exec-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let note = folder.join("pid");
    let script = format!("exec:sh -c 'echo $$ > {}; exec cat /dev/zero'", note.display());
    let mut source = opened(&script, raw()).unwrap();
    listen(source.as_mut(), 48_000);
    let pid = std::fs::read_to_string(&note).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    assert!(process.exists());
    drop(source);
    assert!(!process.exists(), "it still runs");
    std::fs::remove_dir_all(folder).unwrap();
}

#[cfg(unix)]
#[test]
fn writers_of_a_pipe_come_and_go() {
    let folder = std::env::temp_dir().join(format!("partyline-fifo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let pipe = folder.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut source = opened(&pipe.to_string_lossy(), raw()).unwrap();
    // Nobody has written yet: it waits.
    assert_eq!(source.read(Duration::ZERO).unwrap(), Given::NotYet);
    let writer = {
        let pipe = pipe.clone();
        thread::spawn(move || {
            for value in [4_096_i16, 8_192] {
                let bytes = value.to_le_bytes().repeat(2 * 96_000);
                std::fs::OpenOptions::new()
                    .write(true)
                    .open(&pipe)
                    .unwrap()
                    .write_all(&bytes)
                    .unwrap();
            }
        })
    };
    let (heard, _) = listen(source.as_mut(), 4 * 48_000 - 480);
    assert!(heard[..95_000].iter().all(|sample| *sample == 0.125));
    assert!(heard[heard.len() - 95_000..].iter().all(|sample| *sample == 0.25));
    writer.join().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

/// Makes an Opus file with ffmpeg, if there is one.
fn opus(folder: &Path) -> Option<String> {
    let path = folder.join("made.opus").to_string_lossy().into_owned();
    let tone = "sine=frequency=997:sample_rate=48000:duration=2";
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", tone, "-c:a", "libopus", "-y", &path])
        .status();
    made.is_ok_and(|status| status.success()).then_some(path)
}

/// As a file, and on the way through a pipe.
#[cfg(unix)]
#[test]
fn opus_plays_where_there_is_ffmpeg() {
    let folder = std::env::temp_dir().join(format!("partyline-opus-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    if let Some(path) = opus(&folder) {
        for source in [path.clone(), format!("exec:cat {path}")] {
            let mut source = opened(&source, LiveOptions::default()).unwrap();
            let (heard, _) = listen(source.as_mut(), 90_000);
            let loudest =
                heard.iter().skip(48_000).fold(0.0_f32, |loudest, v| loudest.max(v.abs()));
            assert!(heard.len() >= 180_000 && loudest > 0.05, "{} {loudest}", heard.len());
        }
        let said = complaint("exec:echo These words are not music.", LiveOptions::default());
        assert!(said.contains("nor can ffmpeg"), "{said}");
    } else {
        let said = complaint("exec:echo These words are not music.", LiveOptions::default());
        assert!(said.contains("not installed"), "{said}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
