//! One listener, and what all of them hear.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::wire::{Desk, Message, Wire, desk};
use crate::client::{AUDIO_CHUNK, AUDIO_HEADER_BYTES, Hello, state};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Longest wait for a join, and for a chunk of a stream that runs.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a listener stays that comes and goes.
const BRIEF: Duration = Duration::from_secs(2);
/// How long one that is stalled stays: longer than the server lets it.
const STALLED: Duration = Duration::from_secs(15);
/// What its system keeps for it, bytes: otherwise half a minute of sound fits in there, and nothing stalls.
const STALLED_BYTES: u32 = 16 << 10;
/// How often a listener asks for the time: as the page does once it has settled.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// How often a probe does.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// Read buffer of a connection, bytes: more than a chunk.
const READ_BUFFER_BYTES: usize = 32 << 10;
/// 16-bit stereo.
const FRAME_BYTES: usize = 4;
const RATE_HZ: i64 = 48_000;
/// Chunks that come closer together than this were written together, µs.
const TOGETHER_US: i64 = 20_000;
/// What a timestamp's rounding may move a chunk's end from the next one's start, µs.
const ROUNDING_US: i64 = 1;

/// What a listener does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Listens to the end.
    Stays,
    /// Leaves after two seconds.
    Brief,
    /// Asks for the stream and does not read, again and again.
    Stalled,
    /// Listens to the end, and asks for the time twice a second.
    Probe,
}

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Chunks of those who stay.
    pub(super) chunks: u64,
    pub(super) bytes: u64,
    /// How many times one or more chunks came together.
    pub(super) arrivals: u64,
    /// How long before its time each chunk came, ms.
    pub(super) leads_ms: Vec<f32>,
    /// Chunks that came after their time.
    pub(super) late: u64,
    /// Chunks that did not begin where the one before ended.
    pub(super) gaps: u64,
    /// Chunks that are not what the source has there.
    pub(super) wrong: u64,
    /// From `client/time` to its answer.
    pub(super) replies: Replies,
    /// From the first packet of a connection to its first chunk, ms, of those who come and go.
    pub(super) joins_ms: Vec<f32>,
    /// Connections that ended otherwise than they should have, and why the first did.
    pub(super) lost: u64,
    pub(super) why: Option<String>,
}

/// How long answers to `client/time` took.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// Until they were read, ms.
    pub(super) read_ms: Vec<f32>,
    /// Until the server sent them, ms: the rest is this program's own waiting for a core.
    pub(super) sent_ms: Vec<f32>,
}

impl Heard {
    /// How many chunks come together.
    pub(super) fn together(&self) -> u32 {
        (self.chunks as f64 / self.arrivals.max(1) as f64).round().max(1.0) as u32
    }
}

/// The last chunk of a listener.
#[derive(Clone, Copy, Debug)]
struct Last {
    came_us: i64,
    /// When it has been heard, on the server's clock.
    end_us: i64,
}

/// What all listeners share.
#[derive(Debug)]
pub(super) struct Ears {
    /// The sound, twice, so that a chunk across the loop's seam is one slice.
    sound: Vec<u8>,
    /// A timestamp and the frame of the sound that is heard then.
    anchor: Cell<Option<(i64, i64)>>,
    cadence: Cell<Option<(usize, Duration)>>,
    desk: Desk,
    counts: Cell<bool>,
    pub(super) heard: RefCell<Heard>,
}

/// Now, on the clock that the server uses on the same machine, µs.
fn now_us() -> i64 {
    let read = clock_gettime(ClockId::MonotonicRaw);
    read.tv_sec * 1_000_000 + read.tv_nsec / 1_000
}

impl Ears {
    pub(super) fn new(sound: &[u8]) -> Self {
        Self {
            sound: [sound, sound].concat(),
            anchor: Cell::default(),
            cadence: Cell::default(),
            desk: desk(),
            counts: Cell::default(),
            heard: RefCell::default(),
        }
    }

    /// From now on counts.
    pub(super) fn begin(&self) {
        self.counts.set(true);
    }

    /// What ends from now on ends because the measurement is over.
    pub(super) fn end(&self) {
        self.counts.set(false);
    }

    /// Bytes of a chunk on the wire, frame header included, and how often one comes.
    pub(super) fn cadence(&self) -> Option<(usize, Duration)> {
        self.cadence.get()
    }

    /// Takes a chunk, after the one `before`.
    fn hear(&self, message: &[u8], before: Option<Last>, stays: bool) -> Result<Last> {
        let came_us = now_us();
        let (header, audio) = message.split_at_checked(AUDIO_HEADER_BYTES).context("no header")?;
        let (kind, stamp) = header.split_first().context("no header")?;
        anyhow::ensure!(*kind == AUDIO_CHUNK, "binary message {kind}");
        let at_us = i64::from_be_bytes(stamp.try_into()?);
        let frames = i64::try_from(audio.len() / FRAME_BYTES)?;
        let lasts_us = frames * 1_000_000 / RATE_HZ;
        // Of a frame on the wire: two bytes, and two or eight for the length.
        let framing = if message.len() > usize::from(u16::MAX) { 10 } else { 4 };
        let every = Duration::from_micros(u64::try_from(lasts_us)?);
        self.cadence.set(Some((message.len() + framing, every)));
        if stays && self.counts.get() {
            let is_right = self.is_right(at_us, audio);
            let mut heard = self.heard.borrow_mut();
            heard.chunks += 1;
            heard.bytes += message.len() as u64;
            let lead_us = at_us - came_us;
            heard.leads_ms.push(lead_us as f32 / 1e3);
            heard.late += u64::from(lead_us < 0);
            let is_gap = |before: Last| (before.end_us - at_us).abs() > ROUNDING_US;
            heard.gaps += u64::from(before.is_some_and(is_gap));
            let is_together = |before: Last| came_us - before.came_us < TOGETHER_US;
            heard.arrivals += u64::from(!before.is_some_and(is_together));
            heard.wrong += u64::from(!is_right);
        }
        Ok(Last { came_us, end_us: at_us + lasts_us })
    }

    /// Whether the sound has `audio` at this time.
    fn is_right(&self, at_us: i64, audio: &[u8]) -> bool {
        let frames = (self.sound.len() / 2 / FRAME_BYTES) as i64;
        let (then_us, then) = if let Some(anchor) = self.anchor.get() {
            anchor
        } else {
            let start = &audio[..audio.len().min(64)];
            let found = self.sound.windows(start.len()).step_by(FRAME_BYTES);
            let Some(frame) = found.enumerate().find(|(_, at)| *at == start) else { return false };
            let anchor = (at_us, frame.0 as i64);
            self.anchor.set(Some(anchor));
            anchor
        };
        let since = ((at_us - then_us) as f64 * RATE_HZ as f64 / 1e6).round() as i64;
        let from = (then + since).rem_euclid(frames) as usize * FRAME_BYTES;
        self.sound.get(from..from + audio.len()) == Some(audio)
    }

    fn round_trip(&self, text: &str) {
        let came_us = now_us();
        if !self.counts.get() || !text.contains("server/time") {
            return;
        }
        let Ok(reply) = serde_json::from_str::<Value>(text) else { return };
        let at_us = |name: &str| reply["payload"][name].as_i64();
        if let (Some(asked_us), Some(sent_us)) =
            (at_us("client_transmitted"), at_us("server_transmitted"))
        {
            let replies = &mut self.heard.borrow_mut().replies;
            replies.read_ms.push((came_us - asked_us) as f32 / 1e3);
            // Both on the clock that the server has as well.
            replies.sent_ms.push((sent_us - asked_us) as f32 / 1e3);
        }
    }
}

/// Connects and listens. What goes wrong while it counts is noted.
pub(super) async fn run(url: String, name: String, kind: Kind, ears: Rc<Ears>) {
    if let Err(error) = listen(&url, &name, kind, &ears).await
        && (ears.counts.get() || kind == Kind::Stays)
        && kind != Kind::Stalled
    {
        let mut heard = ears.heard.borrow_mut();
        heard.lost += 1;
        heard.why.get_or_insert_with(|| format!("{name}: {error:#}"));
    }
}

async fn listen(url: &str, name: &str, kind: Kind, ears: &Ears) -> Result<()> {
    match kind {
        Kind::Stays => stay(url, name, ears).await,
        Kind::Stalled => loop {
            let wire = join(url, name, Some(STALLED_BYTES)).await?;
            // The server has shown it out by then. It comes again: there are always as many.
            let _ = timeout(STALLED, pending::<()>()).await;
            drop(wire);
        },
        Kind::Brief | Kind::Probe => visit(url, name, kind, ears).await,
    }
}

/// Connects and asks for the stream.
async fn join(url: &str, name: &str, kept: Option<u32>) -> Result<Wire> {
    let mut wire = timeout(PATIENCE, Wire::connect(url, kept)).await??;
    wire.send(&Hello::pcm16(name).message()).await?;
    wire.send(&state(250)).await?;
    Ok(wire)
}

/// Asks for the time now and then, not all at the same moment.
fn asking(every: Duration) -> Interval {
    interval_at(Instant::now() + every.mul_f64(f64::from(now_us() as u16) / 65_536.0), every)
}

fn time_request() -> Value {
    json!({"type": "client/time", "payload": {"client_transmitted": now_us()}})
}

async fn stay(url: &str, name: &str, ears: &Ears) -> Result<()> {
    let mut wire = join(url, name, None).await?;
    let mut last = None;
    let mut ask = asking(ASK_EVERY);
    loop {
        tokio::select! {
            received = timeout(PATIENCE, wire.receive(&ears.desk, |message| {
                match message {
                    Message::Binary(bytes) => last = Some(ears.hear(bytes, last, true)?),
                    Message::Close(reason) => bail!("closed: {}", String::from_utf8_lossy(reason)),
                    Message::Text | Message::Ping => {}
                }
                Ok(())
            })) => received.context("nothing comes")??,
            _ = ask.tick() => wire.send(&time_request()).await?,
        }
    }
}

/// With the library that others use: a join is to cost what it costs them.
async fn visit(url: &str, name: &str, kind: Kind, ears: &Ears) -> Result<()> {
    let began = Instant::now();
    let config =
        WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES).write_buffer_size(0);
    let connected = connect_async_with_config(url, Some(config), true);
    let (mut socket, _) = timeout(PATIENCE, connected).await??;
    send(&mut socket, &Hello::pcm16(name).message()).await?;
    send(&mut socket, &state(250)).await?;
    let mut last = None;
    let mut ask = asking(if kind == Kind::Probe { PROBE_EVERY } else { ASK_EVERY });
    let leave = sleep(if kind == Kind::Brief { BRIEF } else { Duration::MAX });
    tokio::pin!(leave);
    loop {
        let message = tokio::select! {
            message = timeout(PATIENCE, socket.next()) => message.context("nothing comes")?,
            _ = ask.tick() => {
                send(&mut socket, &time_request()).await?;
                continue;
            }
            () = &mut leave => {
                return Ok(timeout(PATIENCE, socket.close(None)).await??);
            }
        };
        match message.context("the connection ended")?? {
            Frame::Binary(bytes) => {
                if last.is_none() && kind == Kind::Brief && ears.counts.get() {
                    let took_ms = began.elapsed().as_secs_f32() * 1e3;
                    ears.heard.borrow_mut().joins_ms.push(took_ms);
                }
                last = Some(ears.hear(&bytes, last, false)?);
            }
            Frame::Text(text) if kind == Kind::Probe => ears.round_trip(&text),
            Frame::Close(frame) => bail!("closed: {frame:?}"),
            Frame::Text(_) | Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => {}
        }
    }
}

async fn send(socket: &mut Socket, message: &Value) -> Result<()> {
    Ok(timeout(PATIENCE, socket.send(Frame::text(message.to_string()))).await??)
}
