//! The task that writes: sends what the session wants sent.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use protocol::message::ServerMessage;
use protocol::time::ServerTime;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, timeout};

use super::{CLOSE_WITHIN, Shared};
use crate::app::App;
use crate::fanout::chunk::Chunk;
use crate::fanout::frame;
use crate::fanout::outbox::{Close, Output, Wait};
use crate::host_clock;
use crate::metrics::Leave;
use crate::pipeline::encoder::WireFormat;

/// How long one message may take to be handed to the system. A peer that reads nothing for so long has lost
/// more audio than its buffer holds.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// How often a ping goes out.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Longest reason of a close frame, in bytes (RFC 6455, 5.5: 125 less the code).
const REASON_BYTES_MAX: usize = 123;

/// The task that writes.
pub(super) struct Writer {
    stream: OwnedWriteHalf,
    shared: Arc<Shared>,
    reader: JoinHandle<()>,
    changes: watch::Receiver<u64>,
    chunks: watch::Receiver<u64>,
    shutdown: watch::Receiver<bool>,
    app: Arc<App>,
    /// The moment that was waited for, until a chunk is sent.
    planned: Option<ServerTime>,
}

/// Why the writer stopped waiting.
enum Woken {
    /// Something may have changed.
    Again,
    /// It is time for a sign of life.
    Ping,
    /// The peer is gone.
    Gone,
}

impl Writer {
    /// A writer that ends with `reader`, and ends it.
    pub(super) fn new(
        stream: OwnedWriteHalf,
        shared: Arc<Shared>,
        reader: JoinHandle<()>,
        app: Arc<App>,
    ) -> Self {
        Self {
            stream,
            shared,
            reader,
            changes: app.hub.changes(),
            chunks: app.hub.chunks(),
            shutdown: app.shutdown.clone(),
            app,
            planned: None,
        }
    }

    /// Writes until the connection is over.
    pub(super) async fn run(mut self) {
        let leave = self.write().await;
        // The answer to the peer's close, if it was the peer's. It is gone, or takes these few bytes at once.
        let _ = self.stream.try_write(&self.shared.take_answers());
        // The roster's entry goes with it.
        self.reader.abort();
        if self.shared.has_joined.load(Ordering::Relaxed) {
            self.app.metrics.leave(leave);
            tracing::debug!(?leave, "left");
        }
    }

    /// Sends what there is to send until the connection ends. Returns why it did.
    async fn write(&mut self) -> Leave {
        let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Seen before the stage is looked at, so that no change falls in between.
            self.changes.mark_unchanged();
            self.chunks.mark_unchanged();
            let answers = self.shared.take_answers();
            if !answers.is_empty()
                && let Err(leave) = self.send(&answers).await
            {
                return leave;
            }
            let frame = match self.poll() {
                Output::TimeReply(reply) => {
                    // Read when the bytes are made, the last moment before they leave: half of any delay
                    // between here and the wire is an error of the client's clock.
                    self.app.metrics.time_replies.inc();
                    let stamped = ServerMessage::Time(reply.stamp(host_clock::now()));
                    frame::text(&stamped.encode())
                }
                Output::Message(message) => frame::text(&message.encode()),
                Output::Audio(chunk, format) => {
                    let bytes = self.encode(&chunk, format);
                    if let Err(leave) = self.send_audio(&bytes).await {
                        return leave;
                    }
                    continue;
                }
                Output::Close(close) => {
                    let leave = close.leave;
                    self.close(close).await;
                    return leave;
                }
                Output::Wait(wait) => {
                    tracing::trace!(?wait, "waiting");
                    match self.wait(wait, &mut ping).await {
                        Woken::Again => continue,
                        Woken::Ping => frame::ping(),
                        Woken::Gone => return Leave::Left,
                    }
                }
            };
            if let Err(leave) = self.send(&frame).await {
                return leave;
            }
        }
    }

    fn poll(&self) -> Output {
        let stage = self.app.hub.stage();
        let mut session = self.shared.session();
        let output = session.poll_output(host_clock::now(), &stage);
        let skipped = session.take_skipped();
        if skipped > 0 {
            self.app.metrics.skipped.inc_by(skipped);
        }
        output
    }

    /// A chunk's frame. The first listener of a format has it made.
    fn encode(&self, chunk: &Chunk, format: WireFormat) -> Bytes {
        if chunk.is_encoded(format) {
            return chunk.frame(format);
        }
        let began = host_clock::now();
        let bytes = chunk.frame(format);
        self.app.metrics.encoding.inc_by((host_clock::now() - began).as_secs_f64());
        bytes
    }

    async fn send_audio(&mut self, frame: &[u8]) -> Result<(), Leave> {
        self.send(frame).await?;
        let metrics = &self.app.metrics;
        metrics.chunks.inc();
        metrics.bytes.inc_by(frame.len() as u64);
        if let Some(planned) = self.planned.take() {
            metrics.lateness.observe((host_clock::now() - planned).as_secs_f64());
        }
        Ok(())
    }

    async fn wait(&mut self, wait: Wait, ping: &mut Interval) -> Woken {
        self.planned = None;
        let timer = async {
            match wait.until {
                Some(until) => {
                    let micros = (until - host_clock::now()).as_micros();
                    sleep(Duration::from_micros(u64::try_from(micros).unwrap_or(0))).await;
                }
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.shared.changed.notified() => Woken::Again,
            // Errors only without a hub, and `app` holds it.
            _ = self.changes.changed() => Woken::Again,
            _ = self.chunks.changed(), if wait.for_chunk => Woken::Again,
            () = timer => {
                self.planned = wait.until;
                Woken::Again
            }
            _ = ping.tick() => Woken::Ping,
            Ok(()) = self.shutdown.changed() => {
                let stage = self.app.hub.stage();
                self.shared.session().handle_shutdown(&stage.group);
                Woken::Again
            }
            _ = &mut self.reader => Woken::Gone,
        }
    }

    /// Sends `bytes`, or says why the connection is over.
    async fn send(&mut self, bytes: &[u8]) -> Result<(), Leave> {
        // Most fits at once, which needs neither a timer nor a look at the reader.
        let sent = match self.stream.try_write(bytes) {
            Ok(sent) if sent == bytes.len() => return Ok(()),
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(gone(&error)),
        };
        tokio::select! {
            rest = timeout(WRITE_WITHIN, self.stream.write_all(&bytes[sent..])) => match rest {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(gone(&error)),
                Err(_) => {
                    tracing::info!("disconnected a client that does not read");
                    Err(Leave::Stalled)
                }
            },
            _ = &mut self.reader => Err(Leave::Left),
        }
    }

    /// Says why, and gives the peer a little time to answer.
    async fn close(&mut self, close: Close) {
        tracing::debug!(code = close.code, reason = close.reason, "closing");
        let finish = async {
            if let Some(reason) = close.error {
                let error = json!({ "type": "server/error", "payload": { "reason": reason } });
                self.stream.write_all(&frame::text(&error.to_string())).await?;
            }
            let end = close.reason.floor_char_boundary(REASON_BYTES_MAX);
            self.stream.write_all(&frame::close(close.code, &close.reason[..end])).await?;
            // The reader ends with the peer's answer; how does not matter any more.
            let _ = (&mut self.reader).await;
            Ok::<_, io::Error>(())
        };
        if !matches!(timeout(CLOSE_WITHIN, finish).await, Ok(Ok(()))) {
            tracing::debug!("the peer did not answer the close");
        }
    }
}

fn gone(error: &io::Error) -> Leave {
    tracing::debug!(%error, "gone");
    Leave::Left
}
