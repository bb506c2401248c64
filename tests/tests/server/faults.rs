//! What goes wrong with one, and that the others notice nothing of it.

use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use e2e::client::{Client, Hello, Offset, Received, state};
use e2e::http::get;
use serde_json::{Value, json};
use server::config::Config;
use server::server::Server;
use server::source::{CHANNELS, Pcm, RATE_HZ, Read, Run, Source, SourceError};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::{Party, listeners, until};

/// What a narrow client's system keeps for it, bytes.
const NARROW: u32 = 16 << 10;

/// Somebody who listens while something happens to others.
struct Witness {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<usize>>,
}

impl Witness {
    /// Begins to listen.
    async fn listens_at(url: &str) -> Result<Self> {
        let (mut client, _) = Client::greet(url, &Hello::pcm16("witness")).await?;
        let offset = client.offset().await?;
        client.send(&state(250)).await?;
        client.chunk().await?;
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut due, mut heard) = (None, 0);
            loop {
                let chunk = tokio::select! {
                    chunk = client.chunk() => chunk?,
                    _ = &mut stopped => return Ok(heard),
                };
                ensure!(due.is_none_or(|due: i64| (chunk.timestamp - due).abs() <= 1), "a gap");
                ensure!(is_in_time(&offset, chunk.arrived, chunk.timestamp), "late");
                due = Some(chunk.timestamp + micros(chunk.audio.len()));
                heard += 1;
            }
        });
        Ok(Self { stop, task })
    }

    /// Has it heard everything, all in time?
    async fn was_not_disturbed(self) -> Result<()> {
        // An error says that it has ended, which shows next.
        let _ = self.stop.send(());
        ensure!(self.task.await?? > 0, "the witness heard nothing");
        Ok(())
    }
}

fn is_in_time(offset: &Offset, arrived: i64, timestamp: i64) -> bool {
    arrived + offset.server_ahead < timestamp
}

/// How long so many bytes of 16-bit stereo last.
fn micros(bytes: usize) -> i64 {
    bytes as i64 / 4 * 1_000_000 / i64::from(RATE_HZ)
}

/// A figure of `/metrics`.
async fn metric(port: u16, name: &str) -> Result<f64> {
    let text = get(port, "/metrics").await?.text()?;
    let line = text.lines().find(|line| line.starts_with(name));
    Ok(line
        .and_then(|line| line.rsplit(' ').next())
        .map_or(0.0, |value| value.parse().unwrap_or(0.0)))
}

#[tokio::test]
async fn hostile_hellos_are_refused_or_tamed() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let witness = Witness::listens_at(&party.url()).await?;
    let resident = resident_kib(&party)?;
    let format = json!({"codec": "pcm", "channels": 2, "sample_rate": 48_000, "bit_depth": 16});
    let absurd =
        json!({"codec": "pcm", "channels": 2, "sample_rate": 1_000_000_000, "bit_depth": 16});
    let support = |change: &dyn Fn(&mut Value)| {
        let mut hello = Hello::pcm16("hostile").message();
        change(&mut hello["payload"]["player@v1_support"]);
        hello
    };
    let mut named = Hello::pcm16("hostile").message();
    named["payload"]["name"] = "x".repeat(1 << 20).into();
    let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let hellos = [
        ("a rate of 1 GHz", support(&|it| it["supported_formats"] = json!([absurd])).to_string()),
        ("no capacity", support(&|it| it["buffer_capacity"] = 0.into()).to_string()),
        ("one byte", support(&|it| it["buffer_capacity"] = 1.into()).to_string()),
        ("negative", support(&|it| it["buffer_capacity"] = (-1).into()).to_string()),
        ("no formats", support(&|it| it["supported_formats"] = json!([])).to_string()),
        ("1 MB of name", named.to_string()),
        ("deep JSON", format!(r#"{{"type":"client/hello","payload":{deep}}}"#)),
        (
            "10,000 formats",
            support(&|it| it["supported_formats"] = vec![format.clone(); 10_000].into())
                .to_string(),
        ),
    ];
    for (case, hello) in hellos {
        let mut client = Client::connect(&party.url()).await?;
        // It may be shown out before all of it has gone out.
        client.send_raw(Message::text(hello)).await.ok();
        let end = client.end().await.with_context(|| case)?;
        ensure!(matches!(end, Received::Close { .. } | Received::Lost), "{case}: {end:?}");
    }

    // The largest number is a capacity like any other: what is sent ahead is bounded by the lead.
    let hello = support(&|it| it["buffer_capacity"] = (1_u64 << 63).into());
    let mut client = Client::connect(&party.url()).await?;
    client.send(&hello).await?;
    client.expect("server/hello").await?;
    client.send(&state(250)).await?;
    client.chunk().await?;

    // Who takes another's id takes its place, and that is all.
    let (mut older, _) = Client::listen(&party.url(), &Hello::pcm16("twice"), 250).await?;
    let (mut newer, _) = Client::listen(&party.url(), &Hello::pcm16("twice"), 250).await?;
    let Received::Close { reason, .. } = older.end().await? else {
        anyhow::bail!("two connections of one client");
    };
    assert!(reason.contains("replaced"), "{reason}");
    newer.chunk().await?;

    // A guest commands nobody.
    for command in ["volume", "mute", "stop"] {
        let command = json!({"controller": {"command": command, "volume": 0, "mute": true}});
        newer.send(&json!({"type": "client/command", "payload": command})).await?;
    }
    newer.ask_time().await?;
    assert!(resident_kib(&party)? < resident + 8 * 1_024, "memory");
    witness.was_not_disturbed().await
}

#[tokio::test]
async fn who_does_not_read_is_shown_out_and_costs_little() -> Result<()> {
    const STALLED: usize = 40;
    let party = Party::start(48_000, &[]).await?;
    let port = party.server.port();
    let witness = Witness::listens_at(&party.url()).await?;
    let before = resident_kib(&party)?;
    let mut stalled = Vec::new();
    for number in 0..STALLED {
        let mut client = Client::connect_narrow(&party.url(), NARROW).await?;
        client.send(&Hello::pcm16(&format!("stalled-{number}")).message()).await?;
        client.send(&state(250)).await?;
        stalled.push(client);
    }
    until(true, async || Ok(metric(port, "partyline_unsent_bytes").await? > 0.0)).await?;
    let (mut unsent, mut resident) = (0.0, before);
    let gone = "partyline_leaves_total{reason=\"Stalled\"}";
    let mut asking = tokio::time::interval(Duration::from_millis(100));
    let all_gone = async {
        while metric(port, gone).await? < STALLED as f64 {
            unsent = f64::max(unsent, metric(port, "partyline_unsent_bytes").await?);
            resident = resident.max(resident_kib(&party)?);
            asking.tick().await;
        }
        anyhow::Ok(())
    };
    timeout(Duration::from_secs(30), all_gone).await.context("they stay")??;
    let each_kib = (resident - before) as f64 / STALLED as f64;
    println!(
        "stalled: {each_kib:.0} KiB each, of which {:.0} unsent",
        unsent / 1_024.0 / STALLED as f64
    );
    assert!(each_kib <= 512.0, "{each_kib} KiB for each");
    until(1, async || listeners(port).await).await?;
    until(0.0, async || metric(port, "partyline_unsent_bytes").await).await?;
    drop(stalled);
    witness.was_not_disturbed().await
}

#[tokio::test]
async fn a_slow_reader_hears_stretches_in_time_instead_of_everything_too_late() -> Result<()> {
    /// Chunks of 100 ms are taken at 78 % of the rate.
    const TAKES: Duration = Duration::from_millis(128);
    let party = Party::start(48_000, &[]).await?;
    let witness = Witness::listens_at(&party.url()).await?;
    let mut slow = Client::connect_narrow(&party.url(), NARROW).await?;
    slow.send(&Hello::pcm16("slow").message()).await?;
    slow.expect("server/hello").await?;
    let offset = slow.offset().await?;
    slow.send(&state(250)).await?;
    let mut pace = tokio::time::interval(TAKES);
    let (mut heard, mut in_time, mut holes, mut due) = (0, 0, 0, None);
    for _ in 0..240 {
        pace.tick().await;
        let chunk = slow.chunk().await?;
        heard += 1;
        in_time += i32::from(is_in_time(&offset, slow.now(), chunk.timestamp));
        holes += i32::from(due.is_some_and(|due: i64| chunk.timestamp > due + 1));
        due = Some(chunk.timestamp + micros(chunk.audio.len()));
    }
    println!("slow: {in_time} of {heard} in time, {holes} holes");
    assert!(holes > 0, "it was not slow");
    assert!(in_time * 10 >= heard * 6, "{in_time} of {heard} in time, {holes} holes");
    witness.was_not_disturbed().await
}

/// Resets, in the middle of a frame and otherwise, and hundreds at a time.
#[tokio::test]
async fn abrupt_departures_leave_nothing_behind() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let port = party.server.port();
    let witness = Witness::listens_at(&party.url()).await?;
    for round in 0..2 {
        let mut visits = JoinSet::new();
        for number in 0..300 {
            let url = party.url();
            visits.spawn(async move {
                let hello = Hello::pcm16(&format!("visitor-{number}"));
                let (client, _) = Client::listen(&url, &hello, 250).await?;
                anyhow::Ok(client)
            });
        }
        let mut there = Vec::new();
        while let Some(visit) = visits.join_next().await {
            there.push(visit??);
        }
        until(301, async || listeners(port).await).await?;
        for (number, client) in there.into_iter().enumerate() {
            client.reset(if number % 2 == round { &[0x81, 0xfe, 1] } else { &[] }).await?;
        }
        until(1, async || listeners(port).await).await?;
    }
    witness.was_not_disturbed().await
}

#[tokio::test]
async fn a_handshake_that_comes_byte_by_byte_is_a_handshake() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let mut stream = TcpStream::connect(("127.0.0.1", party.server.port())).await?;
    stream.set_nodelay(true)?;
    let head = "GET /api/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for byte in head.bytes() {
        stream.write_all(&[byte]).await?;
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    timeout(
        Duration::from_secs(10),
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer),
    )
    .await??;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    Ok(())
}

/// A source that says nothing while it is told to.
pub(crate) struct Moody {
    /// Blocks until the test hangs up.
    mood: mpsc::Receiver<mpsc::Receiver<()>>,
    run: Run,
}

impl Moody {
    /// One that sounds. What is sent to it makes it silent until the other end is dropped.
    pub(crate) fn new() -> (mpsc::SyncSender<mpsc::Receiver<()>>, Self) {
        let (calm, mood) = mpsc::sync_channel(1);
        (calm, Self { mood, run: Run::default() })
    }
}

impl Source for Moody {
    fn read(&mut self, _ahead: Duration) -> Result<Read, SourceError> {
        if let Ok(silence) = self.mood.try_recv() {
            // An error is the end of the silence.
            let _ = silence.recv();
        }
        let samples = vec![0.25; 480 * CHANNELS];
        Ok(Read::Pcm(Pcm { samples, resolution_bits: 16 }))
    }

    fn run(&self) -> &Run {
        &self.run
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_source_delays_nobody_and_the_music_goes_on_after_it() -> Result<()> {
    /// Longer than everything that is ahead.
    const SILENCE: Duration = Duration::from_secs(9);
    /// Nobody waits for as long as this when the server only has to answer.
    const SOON_US: i64 = 1_000_000;
    let (calm, source) = Moody::new();
    let server = start_with(Box::new(source)).await?;
    let port = server.local_addr().port();
    let url = format!("ws://127.0.0.1:{port}/sendspin");
    let (mut client, _) = Client::listen(&url, &Hello::pcm16("patient"), 250).await?;
    let offset = client.offset().await?;
    let lead = |client: &Client, timestamp: i64| timestamp - client.now() - offset.server_ahead;
    let full = async {
        loop {
            let chunk = client.chunk().await?;
            if lead(&client, chunk.timestamp) > 4_000_000 {
                return anyhow::Ok(chunk);
            }
        }
    };
    let mut last = timeout(Duration::from_secs(20), full).await.context("never full")??;

    let (sound, silence) = mpsc::sync_channel::<()>(1);
    calm.send(silence).ok().context("the source is gone")?;
    let silent_until = client.now() + SILENCE.as_micros() as i64;
    let mut visitors = 0;
    while client.now() < silent_until {
        let (_, back) = client.ask_time().await?;
        ensure!(client.now() - back < SOON_US, "a late reply");
        let asked = client.now();
        get(port, "/api/status").await?;
        Client::greet(&url, &Hello::pcm16(&format!("visitor-{visitors}"))).await?;
        ensure!(client.now() - asked < SOON_US, "status and join took {} us", client.now() - asked);
        visitors += 1;
        // Paces the questions: nothing but what was ahead comes.
        if let Ok(chunk) = timeout(Duration::from_millis(200), client.chunk()).await {
            last = chunk?;
        }
    }
    ensure!(visitors > 5, "{visitors} questions only");
    ensure!(lead(&client, last.timestamp) < 0, "the silence was too short");

    drop(sound);
    let start = client.expect("stream/start").await?;
    assert_eq!(start["player"]["codec"], "pcm");
    let mut chunk = client.chunk().await?;
    ensure!(lead(&client, chunk.timestamp) > 0, "the music goes on in the past");
    let refilled = async {
        while lead(&client, chunk.timestamp) < 4_000_000 {
            let next = client.chunk().await?;
            ensure!(
                (next.timestamp - chunk.timestamp - micros(chunk.audio.len())).abs() <= 1,
                "a gap"
            );
            chunk = next;
        }
        Ok(())
    };
    timeout(Duration::from_secs(20), refilled).await.context("not filled again")??;
    ensure!(server.shutdown(Duration::from_secs(5)).await, "does not stop");
    Ok(())
}

/// A source that fails for good after some blocks of 10 ms.
struct Doomed {
    blocks: u32,
    run: Run,
}

impl Source for Doomed {
    fn read(&mut self, _ahead: Duration) -> Result<Read, SourceError> {
        self.blocks = self.blocks.checked_sub(1).ok_or(SourceError::NoSource)?;
        Ok(Read::Pcm(Pcm { samples: vec![0.25; 480 * CHANNELS], resolution_bits: 16 }))
    }

    fn run(&self) -> &Run {
        &self.run
    }
}

/// Listens to three seconds of sound, and to the one end that they have.
async fn hears_the_end_once(mut client: Client) -> Result<()> {
    let (mut frames, mut stops, mut has_ended) = (0, 0, false);
    while !has_ended {
        match client.receive().await? {
            Received::Chunk(chunk) => frames += chunk.audio.len() / 4,
            Received::Json(message) => {
                has_ended = message["type"] == "stream/end";
                stops += i32::from(message["payload"]["playback_state"] == "stopped");
            }
            end => anyhow::bail!("{end:?}"),
        }
    }
    // Less what was due before it came.
    ensure!((96_000..=144_000).contains(&frames), "{frames} frames");
    ensure!(stops == 1, "{stops} stops");
    // The connection lives, and nothing more comes of the stream.
    client.send(&json!({"type": "client/time", "payload": {"client_transmitted": 1}})).await?;
    let Received::Json(reply) = client.receive().await? else {
        anyhow::bail!("something after the end");
    };
    ensure!(reply["type"] == "server/time", "{reply}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_ends_the_stream_of_everybody_once() -> Result<()> {
    let source = Box::new(Doomed { blocks: 300, run: Run::default() });
    let server = start_with(source).await?;
    let port = server.local_addr().port();
    let url = format!("ws://127.0.0.1:{port}/sendspin");
    let mut clients = Vec::new();
    for number in 0..5 {
        let hello = Hello::pcm16(&format!("listener-{number}"));
        clients.push(Client::listen(&url, &hello, 250).await?.0);
    }
    let mut hearing: JoinSet<_> = clients.into_iter().map(hears_the_end_once).collect();
    while let Some(heard) = hearing.join_next().await {
        heard??;
    }
    let (_late, hello) = Client::greet(&url, &Hello::pcm16("late")).await?;
    assert!(hello["server_id"].is_string());
    ensure!(server.shutdown(Duration::from_secs(5)).await, "does not stop");
    Ok(())
}

/// A server in this process, which plays `source`.
async fn start_with(source: Box<dyn Source>) -> Result<Server> {
    let arguments = ["server", "--source", "demo", "--host", "127.0.0.1", "--port", "0"];
    Ok(Server::start_with(Config::try_parse_from(arguments)?, source).await?)
}

/// Memory that the server has in use, KiB.
fn resident_kib(party: &Party) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", party.server.id()?))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}
