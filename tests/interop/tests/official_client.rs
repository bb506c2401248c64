//! A client that nobody here wrote connects, syncs its clock and receives the file, to the bit.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use interop::Server;
use sendspin::protocol::messages::{
    AudioFormatSpec, GoodbyeReason, Message, PlayerState, PlayerV1Support,
};
use sendspin::{Connection, ProtocolClientBuilder};
use tokio::time::timeout;

const FRAMES: usize = 61_987;
const FRAME_BYTES: usize = 4;
/// Three times round the file: the loop point is crossed at least twice.
const FRAMES_WANTED: usize = 3 * FRAMES;
/// Longest wait for any one thing.
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_official_client_syncs_and_receives_the_file() -> Result<()> {
    let server = Server::start(FRAMES).await?;
    let mut connection = connect(&server.url).await?;
    ensure!(connection.server_hello.active_roles.iter().any(|role| role == "player@v1"));
    ensure!(connection.server_hello.version == 1);

    let start =
        timeout(LIMIT, stream_start(&mut connection)).await.context("no stream/start")??;
    ensure!(start == ("pcm".to_owned(), 48_000, 2, 16), "{start:?}");

    let chunks = timeout(LIMIT, audio(&mut connection)).await.context("too little audio")??;
    assert_is_loop_of(&chunks, &server.audio)?;

    let settled = timeout(LIMIT, settled(&mut connection));
    let newest = settled.await.context("the clock never settles")??;
    assert_playable_ahead(&connection, newest)?;
    connection.guard.disconnect(GoodbyeReason::UserRequest).await?;
    Ok(())
}

async fn connect(url: &str) -> Result<Connection> {
    let client = ProtocolClientBuilder::builder()
        .client_id("official-client".to_owned())
        .name("Official client".to_owned())
        .player_v1_support(PlayerV1Support {
            supported_formats: vec![AudioFormatSpec {
                codec: "pcm".to_owned(),
                channels: 2,
                sample_rate: 48_000,
                bit_depth: 16,
            }],
            buffer_capacity: 2_000_000,
            supported_commands: vec!["volume".to_owned(), "mute".to_owned()],
        })
        .initial_player_state(PlayerState {
            volume: Some(100),
            muted: Some(false),
            static_delay_ms: Some(0),
            required_lead_time_ms: Some(500),
            min_buffer_ms: Some(500),
            supported_commands: None,
        })
        .metadata()
        .build();
    Ok(timeout(LIMIT, client.connect(url)).await.context("no connection")??.split())
}

async fn stream_start(connection: &mut Connection) -> Result<(String, u32, u8, u8)> {
    loop {
        match connection.messages.recv().await {
            Some(Message::StreamStart(start)) => {
                let player = start.player.context("a stream/start without player")?;
                return Ok((player.codec, player.sample_rate, player.channels, player.bit_depth));
            }
            Some(_) => {}
            None => bail!("the connection ended"),
        }
    }
}

/// Timestamps and audio of the first chunks.
async fn audio(connection: &mut Connection) -> Result<Vec<(i64, Vec<u8>)>> {
    let mut chunks = Vec::new();
    let mut frames = 0;
    while frames < FRAMES_WANTED {
        let chunk = connection.audio.recv().await.context("the connection ended")?;
        frames += chunk.data.len() / FRAME_BYTES;
        chunks.push((chunk.timestamp, chunk.data.to_vec()));
    }
    Ok(chunks)
}

/// Waits, chunk by chunk, until the client's own filter says that it knows the server's clock. Returns the
/// timestamp of a chunk that came after that.
async fn settled(connection: &mut Connection) -> Result<i64> {
    loop {
        let chunk = connection.audio.recv().await.context("the connection ended")?;
        let waiting = !connection.audio.is_empty();
        if !waiting && connection.clock_sync.lock().is_settled() {
            return Ok(chunk.timestamp);
        }
    }
}

/// By the client's own estimate of the server's clock, a chunk that just came is still to be heard, and no
/// more than five seconds ahead: the stamps are on the clock that `server/time` tells.
fn assert_playable_ahead(connection: &Connection, timestamp: i64) -> Result<()> {
    let sync = connection.clock_sync.lock();
    let due = sync.server_to_local_instant(timestamp).context("not synchronized")?;
    let ahead = due.checked_duration_since(Instant::now()).context("it came too late")?;
    ensure!(ahead > Duration::from_millis(500), "{ahead:?} ahead");
    ensure!(ahead < Duration::from_millis(5_150), "{ahead:?} ahead");
    ensure!(sync.rtt_micros().is_some_and(|micros| micros < 50_000), "{:?}", sync.rtt_micros());
    Ok(())
}

fn assert_is_loop_of(chunks: &[(i64, Vec<u8>)], file: &[u8]) -> Result<()> {
    let heard: Vec<u8> = chunks.iter().flat_map(|(_, audio)| audio.iter().copied()).collect();
    let mark = 64 * FRAME_BYTES;
    let round = [file, &file[..mark]].concat();
    let start = (0..FRAMES)
        .find(|frame| round[frame * FRAME_BYTES..].starts_with(&heard[..mark]))
        .context("the first frames are not in the file")?;
    for (index, frame) in heard.chunks_exact(FRAME_BYTES).enumerate() {
        let at = (start + index) % FRAMES * FRAME_BYTES;
        ensure!(frame == &file[at..at + FRAME_BYTES], "frame {index} differs from the file");
    }
    let mut frames = 0_i64;
    for (timestamp, audio) in chunks {
        let due = chunks[0].0 + frames * 1_000_000 / 48_000;
        ensure!((timestamp - due).abs() <= 1, "{timestamp} instead of {due}");
        frames += (audio.len() / FRAME_BYTES) as i64;
    }
    Ok(())
}
