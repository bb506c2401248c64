//! What is heard: the file, to the bit, at stamps that say when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use e2e::client::{Chunk, Client, Hello, Received, state};
use e2e::signal::{RATE_HZ, Stereo16};

use tokio::task::JoinSet;

use crate::{Party, listeners, until};

const SECOND_US: i64 = 1_000_000;
/// Most audio that the server may send ahead, and the longest chunk on top.
const LEAD_US_MAX: i64 = 5 * SECOND_US + 150_000;
/// Bytes of one frame of 16-bit stereo.
const FRAME_BYTES: usize = 4;

/// More than one round of a file whose length no chunk divides: the loop point is inside.
#[tokio::test]
async fn a_listener_gets_the_file_to_the_bit_and_round_again() -> Result<()> {
    let party = Party::start(61_987, &[]).await?;
    let (mut client, start) = Client::listen(&party.url(), &Hello::pcm16("kitchen"), 250).await?;
    assert_eq!(start["player"]["codec"], "pcm");
    assert_eq!(start["player"]["sample_rate"], 48_000);
    assert_eq!(start["player"]["channels"], 2);
    assert_eq!(start["player"]["bit_depth"], 16);
    let chunks = frames_of(&mut client, 3 * 61_987, FRAME_BYTES).await?;
    assert_contiguous(&chunks, FRAME_BYTES);
    assert_is_loop_of(&joined(&chunks), &party.sound.bytes(), FRAME_BYTES)
}

#[tokio::test]
async fn who_asks_for_24_bits_gets_the_same_samples_in_24_bits() -> Result<()> {
    let party = Party::start(30_011, &[]).await?;
    let mut hello = Hello::pcm16("hifi");
    hello.formats = vec![("lc3", 2, 48_000, 16), ("pcm", 2, 48_000, 24), ("pcm", 2, 48_000, 16)];
    let (mut client, start) = Client::listen(&party.url(), &hello, 250).await?;
    assert_eq!(start["player"]["bit_depth"], 24);
    let chunks = frames_of(&mut client, 2 * 30_011, 6).await?;
    assert_contiguous(&chunks, 6);
    let wide: Vec<u8> = party
        .sound
        .samples
        .iter()
        .flat_map(|sample| [[0; 1].as_slice(), &sample.to_le_bytes()].concat())
        .collect();
    assert_is_loop_of(&joined(&chunks), &wide, 6)
}

/// Whoever joins when: one timestamp, one sound.
#[tokio::test]
async fn two_listeners_hear_the_same_at_the_same_time() -> Result<()> {
    let party = Party::start(61_987, &[]).await?;
    let (mut early, _) = Client::listen(&party.url(), &Hello::pcm16("early"), 250).await?;
    let mut of_early = early.chunks(20).await?;
    let (mut late, _) = Client::listen(&party.url(), &Hello::pcm16("late"), 250).await?;
    let of_late = frames_of(&mut late, 2 * RATE_HZ as usize, FRAME_BYTES).await?;
    let last = of_late.last().map_or(i64::MAX, |chunk| chunk.timestamp);
    while of_early.last().is_none_or(|chunk| chunk.timestamp < last) {
        of_early.push(early.chunk().await?);
    }
    let by_time: BTreeMap<i64, &[u8]> =
        of_early.iter().map(|chunk| (chunk.timestamp, &chunk.audio[..])).collect();
    for chunk in &of_late {
        assert_eq!(by_time.get(&chunk.timestamp), Some(&&chunk.audio[..]), "{}", chunk.timestamp);
    }
    Ok(())
}

#[tokio::test]
async fn the_first_chunk_has_the_start_lead_and_none_is_more_than_five_seconds_ahead() -> Result<()>
{
    let party = Party::start(61_987, &[]).await?;
    // The party itself begins a moment after the server does; this is about one that is under way.
    let (mut first, _) = Client::listen(&party.url(), &Hello::pcm16("first"), 250).await?;
    while first.chunk().await?.arrived < 2 * SECOND_US {}
    for lead_ms in [250, 900] {
        let hello = Hello::pcm16(&format!("lead-{lead_ms}"));
        let (mut client, _) = Client::greet(&party.url(), &hello).await?;
        let offset = client.offset().await?;
        client.send(&state(lead_ms)).await?;
        let asked = client.now() + offset.server_ahead;
        let chunks = frames_of(&mut client, 6 * RATE_HZ as usize, FRAME_BYTES).await?;
        // The server cannot have stamped the first chunk before it was asked for it.
        let lead = chunks[0].timestamp - asked;
        assert!(lead >= i64::from(lead_ms) * 1_000 - offset.error, "{lead} µs");
        assert!(lead <= i64::from(lead_ms) * 1_000 + 500_000, "{lead} µs: heard too late");
        for chunk in &chunks {
            let ahead = chunk.timestamp - (chunk.arrived + offset.server_ahead);
            assert!(ahead <= LEAD_US_MAX + offset.error, "{ahead} µs ahead");
        }
    }
    Ok(())
}

/// The lead is there to be used: soon after the start almost five seconds are at the listener.
#[tokio::test]
async fn the_lead_is_filled() -> Result<()> {
    let party = Party::start(61_987, &[]).await?;
    let (mut client, _) = Client::greet(&party.url(), &Hello::pcm16("deep")).await?;
    let offset = client.offset().await?;
    client.send(&state(250)).await?;
    let first = client.chunk().await?;
    loop {
        let chunk = client.chunk().await?;
        if chunk.timestamp - (chunk.arrived + offset.server_ahead) > 4_500_000 {
            return Ok(());
        }
        ensure!(chunk.arrived - first.arrived < 5 * SECOND_US, "the lead stays short");
    }
}

/// Accounting of wire reference 5.2: a chunk takes header and audio from its sending until it is played.
/// Whether so small a buffer ever runs dry is up to the machine, and not asked here.
#[tokio::test]
async fn the_buffer_capacity_is_never_exceeded() -> Result<()> {
    let party = Party::start(61_987, &[]).await?;
    for capacity in [30_000_u64, 100_000] {
        let mut hello = Hello::pcm16(&format!("tiny-{capacity}"));
        hello.buffer_capacity = capacity;
        let (mut client, _) = Client::greet(&party.url(), &hello).await?;
        let offset = client.offset().await?;
        client.send(&state(250)).await?;
        let chunks = frames_of(&mut client, 2 * RATE_HZ as usize, FRAME_BYTES).await?;
        let mut fullest = 0;
        for (index, chunk) in chunks.iter().enumerate() {
            let now = chunk.arrived + offset.server_ahead - offset.error;
            let held: usize = chunks[..=index]
                .iter()
                .filter(|held| held.timestamp + micros(held.audio.len() / FRAME_BYTES) > now)
                .map(|held| held.audio.len() + 9)
                .sum();
            fullest = fullest.max(held);
        }
        assert!(fullest as u64 <= capacity, "{fullest} bytes in {capacity}");
        assert!(fullest as u64 > capacity / 2, "{fullest} of {capacity} bytes are used");
    }
    Ok(())
}

#[tokio::test]
async fn a_late_joiner_gets_future_audio_only() -> Result<()> {
    let party = Party::start(61_987, &[]).await?;
    let (mut early, _) = Client::listen(&party.url(), &Hello::pcm16("early"), 250).await?;
    // By now the server is five seconds ahead of what is heard.
    frames_of(&mut early, 5 * RATE_HZ as usize, FRAME_BYTES).await?;

    let (mut late, _) = Client::greet(&party.url(), &Hello::pcm16("late")).await?;
    let offset = late.offset().await?;
    late.send(&state(250)).await?;
    let asked = late.now() + offset.server_ahead;
    let lead = late.chunk().await?.timestamp - asked;
    assert!(lead >= 250_000 - offset.error, "{lead} µs: not yet ready to play");
    assert!(lead <= 750_000, "{lead} µs: heard too late");
    Ok(())
}

/// The stream lasts to the end of its last frame, since `stream/end` makes a player drop its buffer.
#[tokio::test]
async fn without_loop_the_party_ends_with_the_last_frame() -> Result<()> {
    let party = Party::start(150_007, &["--no-loop"]).await?;
    let (mut client, _) = Client::greet(&party.url(), &Hello::pcm16("to-the-end")).await?;
    let offset = client.offset().await?;
    client.send(&state(250)).await?;
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut stopped = false;
    let ended = loop {
        match client.receive().await? {
            Received::Chunk(chunk) => {
                ensure!(!stopped, "audio after the group stopped");
                chunks.push(chunk);
            }
            Received::Json(message) if message["type"] == "group/update" => {
                stopped = message["payload"]["playback_state"] == "stopped";
            }
            Received::Json(message) if message["type"] == "stream/end" => {
                ensure!(stopped, "the stream ends before the group stops");
                break client.now() + offset.server_ahead;
            }
            Received::Json(_) => {}
            end => bail!("{end:?}"),
        }
    };
    assert_contiguous(&chunks, FRAME_BYTES);
    let heard = joined(&chunks);
    assert!(party.sound.bytes().ends_with(&heard), "not the end of the file");
    let last = chunks.last().expect("chunks came");
    let over = last.timestamp + micros(last.audio.len() / FRAME_BYTES);
    assert!(ended >= over - offset.error, "cut {} µs short", over - ended);
    assert!(ended <= over + SECOND_US, "{} µs of silence", ended - over);

    // The connection outlives the stream, and whoever comes now learns that it is over.
    client.ask_time().await?;
    let (mut late, _) = Client::greet(&party.url(), &Hello::pcm16("too-late")).await?;
    late.send(&state(250)).await?;
    assert_eq!(late.expect("group/update").await?["playback_state"], "stopped");
    Ok(())
}

/// A volume set by the listener, odd deltas and an unknown command leave the stream alone.
#[tokio::test]
async fn the_stream_goes_on_through_whatever_a_player_says_of_itself() -> Result<()> {
    let party = Party::start(61_987, &[]).await?;
    let (mut client, _) = Client::listen(&party.url(), &Hello::pcm16("chatty"), 250).await?;
    let mut chunks = client.chunks(5).await?;
    for payload in [
        serde_json::json!({"player": {}}),
        serde_json::json!({}),
        serde_json::json!({"player": {"volume": 3, "muted": true}}),
        serde_json::json!({"player": {"static_delay_ms": 40}, "available": true}),
    ] {
        client.send(&serde_json::json!({"type": "client/state", "payload": payload})).await?;
        chunks.extend(client.chunks(10).await?);
    }
    assert_contiguous(&chunks, FRAME_BYTES);
    assert_is_loop_of(&joined(&chunks), &party.sound.bytes(), FRAME_BYTES)
}

/// Chunks that hold at least `frames` frames in all.
pub(super) async fn frames_of(
    client: &mut Client,
    frames: usize,
    frame_bytes: usize,
) -> Result<Vec<Chunk>> {
    let mut chunks = Vec::new();
    let mut got = 0;
    while got < frames {
        let chunk = client.chunk().await?;
        got += chunk.audio.len() / frame_bytes;
        chunks.push(chunk);
    }
    Ok(chunks)
}

pub(super) fn joined(chunks: &[Chunk]) -> Vec<u8> {
    chunks.iter().flat_map(|chunk| chunk.audio.iter().copied()).collect()
}

fn micros(frames: usize) -> i64 {
    frames as i64 * SECOND_US / i64::from(RATE_HZ)
}

/// Every stamp is the first plus the frames since, to the microsecond: nothing is missing, nothing is
/// sent twice, and no rounding adds up.
pub(super) fn assert_contiguous(chunks: &[Chunk], frame_bytes: usize) {
    let mut frames = 0;
    for chunk in chunks {
        let due = chunks[0].timestamp + micros(frames);
        let off = chunk.timestamp - due;
        assert!(off.abs() <= 1, "{off} µs off after {frames} frames");
        assert_eq!(chunk.audio.len() % frame_bytes, 0, "half a frame");
        let millis = chunk.audio.len() / frame_bytes * 1_000 / RATE_HZ as usize;
        assert!(millis <= 150, "a chunk of {millis} ms");
        frames += chunk.audio.len() / frame_bytes;
    }
}

/// `heard` is `file` from some frame on, round and round without a hole or an extra frame.
pub(super) fn assert_is_loop_of(heard: &[u8], file: &[u8], frame_bytes: usize) -> Result<()> {
    let frames = file.len() / frame_bytes;
    let mark = 64 * frame_bytes;
    let round = [file, &file[..mark]].concat();
    let start = (0..frames).find(|frame| round[frame * frame_bytes..].starts_with(&heard[..mark]));
    let Some(start) = start else {
        bail!("the first frames are not in the file");
    };
    for (index, frame) in heard.chunks_exact(frame_bytes).enumerate() {
        let at = (start + index) % frames * frame_bytes;
        ensure!(
            frame == &file[at..at + frame_bytes],
            "frame {index} after frame {start} of the file differs from the file"
        );
    }
    Ok(())
}

#[test]
fn the_comparison_sees_a_hole_an_extra_frame_and_a_wrong_bit() {
    let file = Stereo16::noise(1_000, 1).bytes();
    let round = [&file[400..], &file[..], &file[..]].concat();
    assert!(assert_is_loop_of(&round, &file, 4).is_ok());
    let mut hole = round.clone();
    hole.drain(3_600..3_604);
    let mut extra = round.clone();
    extra.splice(3_600..3_600, [0; 4]);
    let mut bit = round.clone();
    bit[5_000] ^= 1;
    for damaged in [hole, extra, bit] {
        assert!(assert_is_loop_of(&damaged, &file, 4).is_err());
    }
}

/// Decoding stops when the last listener leaves. Whoever comes at that moment gets sound like anybody else.
#[tokio::test]
async fn who_joins_while_the_last_one_leaves_hears_the_party() -> Result<()> {
    const VISITORS: usize = 6;
    const ROUNDS: usize = 25;

    let party = Party::start(5 * 48_000, &[]).await?;
    let mut visitors = JoinSet::new();
    for visitor in 0..VISITORS {
        let url = party.url();
        visitors.spawn(async move {
            let mut slowest = Duration::ZERO;
            for round in 0..ROUNDS {
                let joined = Instant::now();
                let hello = Hello::pcm16(&format!("{visitor}-{round}"));
                let (mut client, _) = Client::listen(&url, &hello, 250).await?;
                client.chunk().await?;
                slowest = slowest.max(joined.elapsed());
                client.leave().await?;
            }
            anyhow::Ok(slowest)
        });
    }
    while let Some(slowest) = visitors.join_next().await {
        println!("first chunk after {:?} at most", slowest??);
    }
    // All of them are gone, and the next one is no different.
    until(0, || listeners(party.server.port())).await?;
    let (mut last, _) = Client::listen(&party.url(), &Hello::pcm16("last"), 250).await?;
    last.chunk().await?;
    Ok(())
}
