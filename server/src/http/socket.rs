//! `/sendspin`: one WebSocket, one [`Session`].
//!
//! Two tasks share the session. The reader stamps what arrives and hands it in; the writer sends what the
//! session wants sent. A write that waits for a slow peer therefore never stops reading, and the lock is
//! held for no longer than a decision takes: messages are made into bytes outside of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::header::{ORIGIN, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use protocol::message::ServerMessage;
use protocol::time::ServerTime;
use serde_json::json;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, timeout};

use crate::app::App;
use crate::fanout::chunk::Chunk;
use crate::fanout::count::Registration;
use crate::fanout::outbox::{Close, Output, Wait, close_code};
use crate::host_clock;
use crate::http::accept::{Peer, RETRY_AFTER_S};
use crate::metrics::{Leave, Refused};
use crate::pipeline::encoder::WireFormat;
use crate::session::Session;

/// Largest message from a client, in bytes. A hello with every optional field has about 2 kB.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Read buffer of a connection, in bytes. Clients send little; the library's default of 128 KiB is most of
/// the memory of a listener.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// How long one message may take to be handed to the system. A peer that reads nothing for so long has lost
/// more audio than its buffer holds.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// How often a ping goes out, and how long a peer may be silent: long enough for one lost ping.
const PING_EVERY: Duration = Duration::from_secs(30);
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// How long the peer may take to answer a close frame. Shorter than the server's own time to stop.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Longest reason of a close frame, in bytes (RFC 6455, 5.5: 125 less the code).
const REASON_BYTES_MAX: usize = 123;

/// Answers the upgrade and runs the connection.
///
/// Refuses pages of other sites, and whoever comes when all places are taken.
pub(crate) async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !app.origins.allow(&headers) {
        if app.metrics.refuse(Refused::Origin) {
            let origin = headers.get(ORIGIN);
            tracing::warn!(?origin, "refused a page of another site: see --allow-origin");
        }
        return (StatusCode::FORBIDDEN, "pages of other sites may not listen here\n")
            .into_response();
    }
    let place = match app.gate.listen() {
        Ok(place) => place,
        Err(refusal) => {
            if app.metrics.refuse(refusal.into()) {
                tracing::warn!("refused a listener: {}", refusal.in_words());
            }
            let retry = [(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))];
            let words = format!("{}\n", refusal.in_words());
            return (StatusCode::SERVICE_UNAVAILABLE, retry, words).into_response();
        }
    };
    upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES)
        // Each message goes to the system at once: they are as large as they should be already.
        .write_buffer_size(0)
        .on_upgrade(async move |socket| {
            run(socket, app).await;
            drop((place, peer));
        })
}

/// What the two tasks share.
#[derive(Debug)]
struct Shared {
    session: Mutex<Session>,
    /// The reader has handed something in.
    changed: Notify,
    /// The client has said hello.
    has_joined: AtomicBool,
}

impl Shared {
    fn session(&self) -> MutexGuard<'_, Session> {
        // A session that a panic left half-changed belongs to a task that is gone with its connection.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run(socket: WebSocket, app: Arc<App>) {
    let number = app.accepted.fetch_add(1, Ordering::Relaxed);
    let session = Session::new(Arc::clone(&app.identity), number, host_clock::now());
    let shared = Arc::new(Shared {
        session: Mutex::new(session),
        changed: Notify::new(),
        has_joined: AtomicBool::new(false),
    });
    let (sink, stream) = socket.split();
    let reader = Reader { stream, shared: Arc::clone(&shared), app: Arc::clone(&app), seat: None };
    let writer = Writer {
        sink,
        shared,
        reader: tokio::spawn(reader.run()),
        changes: app.hub.changes(),
        chunks: app.hub.chunks(),
        shutdown: app.shutdown.clone(),
        app,
        planned: None,
    };
    writer.run().await;
}

/// Why the reader stopped.
enum Ended {
    /// The peer has closed.
    Gone,
    /// The peer is to be told to close, and can still answer.
    Told(Close),
    /// What came was no WebSocket message, or too long a one: nothing more can be read.
    Broken(Close),
}

/// The task that reads.
struct Reader {
    stream: SplitStream<WebSocket>,
    shared: Arc<Shared>,
    app: Arc<App>,
    /// The place in the roster, once the client is known, and the news that another has taken it.
    seat: Option<(Registration, oneshot::Receiver<()>)>,
}

impl Reader {
    /// Reads until the peer is gone, or has been wrong and had its time to take the close frame.
    async fn run(mut self) {
        let (close, readable) = match self.read().await {
            Ended::Gone => return,
            Ended::Told(close) => (close, true),
            Ended::Broken(close) => (close, false),
        };
        self.shared.session().close(close);
        self.shared.changed.notify_one();
        // The writer takes the end of this task for the peer's, and waits no longer than this either.
        let answer = async {
            if readable {
                while let Some(Ok(_)) = self.stream.next().await {}
            } else {
                std::future::pending::<()>().await;
            }
        };
        // An error says that the peer had its time.
        let _ = timeout(CLOSE_WITHIN, answer).await;
    }

    /// Reads until there is a reason to stop.
    async fn read(&mut self) -> Ended {
        loop {
            let received = tokio::select! {
                received = timeout(SILENCE_MAX, self.stream.next()) => received,
                () = replaced(&mut self.seat) => {
                    let reason = "replaced by a newer connection of this client";
                    let close = Close::new(close_code::NORMAL, reason);
                    return Ended::Told(Close { leave: Leave::Replaced, ..close });
                }
            };
            // Read before the message is looked at: half of any delay here is an error of the client's clock.
            let arrived = host_clock::now();
            match received {
                Ok(Some(Ok(message))) => self.handle(arrived, &message),
                Ok(Some(Err(error))) => {
                    return Ended::Broken(Close::new(close_code::PROTOCOL, error.to_string()));
                }
                Ok(None) => return Ended::Gone,
                Err(_) => {
                    return Ended::Told(Close::new(close_code::POLICY, "silent for too long"));
                }
            }
        }
    }

    fn handle(&mut self, arrived: ServerTime, message: &Message) {
        let mut session = self.shared.session();
        match message {
            Message::Text(text) => session.handle_text(arrived, text),
            Message::Binary(_) => session.handle_binary(arrived),
            // The library answers them. They count as a sign of life.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return,
        }
        if let (None, Some(client)) = (&self.seat, session.client()) {
            // With the session still held, so that nobody who got a hello is missing in the count.
            self.seat = Some(self.app.roster.register(&client.id, client.listens()));
            self.shared.has_joined.store(true, Ordering::Relaxed);
            self.app.metrics.joins.inc();
            tracing::info!(id = ?client.id, name = ?client.name, "joined");
        }
        drop(session);
        self.shared.changed.notify_one();
    }
}

/// Resolves when the seat has been taken by another connection. Never, without a seat.
async fn replaced(seat: &mut Option<(Registration, oneshot::Receiver<()>)>) {
    if let Some((_, replaced)) = seat
        && replaced.await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// The task that writes.
struct Writer {
    sink: SplitSink<WebSocket, Message>,
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
    async fn run(mut self) {
        let leave = self.write().await;
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
            let message = match self.poll() {
                Output::TimeReply(reply) => {
                    // Read when the bytes are made, the last moment before they leave: half of any delay
                    // between here and the wire is an error of the client's clock.
                    self.app.metrics.time_replies.inc();
                    let stamped = ServerMessage::Time(reply.stamp(host_clock::now()));
                    Message::Text(stamped.encode().into())
                }
                Output::Message(message) => Message::Text(message.encode().into()),
                Output::Audio(chunk, format) => {
                    let bytes = self.encode(&chunk, format);
                    if let Err(leave) = self.send_audio(bytes).await {
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
                        Woken::Ping => Message::Ping(Bytes::new()),
                        Woken::Gone => return Leave::Left,
                    }
                }
            };
            if let Err(leave) = self.send(message).await {
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

    /// The bytes of a chunk. The first listener of a format has them made.
    fn encode(&self, chunk: &Chunk, format: WireFormat) -> Bytes {
        if chunk.is_encoded(format) {
            return chunk.message(format);
        }
        let began = host_clock::now();
        let bytes = chunk.message(format);
        self.app.metrics.encoding.inc_by((host_clock::now() - began).as_secs_f64());
        bytes
    }

    async fn send_audio(&mut self, bytes: Bytes) -> Result<(), Leave> {
        let length = bytes.len() as u64;
        self.send(Message::Binary(bytes)).await?;
        let metrics = &self.app.metrics;
        metrics.chunks.inc();
        metrics.bytes.inc_by(length);
        if let Some(planned) = self.planned.take() {
            metrics.lateness.observe((host_clock::now() - planned).as_secs_f64());
        }
        Ok(())
    }

    async fn wait(&mut self, wait: Wait, ping: &mut Interval) -> Woken {
        self.planned = wait.until;
        let timer = async {
            match wait.until {
                Some(until) => {
                    let micros = (until - host_clock::now()).as_micros();
                    sleep(Duration::from_micros(u64::try_from(micros).unwrap_or(0))).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.shared.changed.notified() => Woken::Again,
            // Errors only without a hub, and `app` holds it.
            _ = self.changes.changed() => Woken::Again,
            _ = self.chunks.changed(), if wait.for_chunk => Woken::Again,
            () = timer => Woken::Again,
            _ = ping.tick() => Woken::Ping,
            Ok(()) = self.shutdown.changed() => {
                let stage = self.app.hub.stage();
                self.shared.session().handle_shutdown(&stage.group);
                Woken::Again
            }
            _ = &mut self.reader => Woken::Gone,
        }
    }

    /// Sends `message`, or says why the connection is over.
    async fn send(&mut self, message: Message) -> Result<(), Leave> {
        tokio::select! {
            sent = timeout(WRITE_WITHIN, self.sink.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "gone");
                    Err(Leave::Left)
                }
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
                self.sink.send(Message::Text(error.to_string().into())).await?;
            }
            let end = close.reason.floor_char_boundary(REASON_BYTES_MAX);
            let reason = close.reason[..end].into();
            self.sink.send(Message::Close(Some(CloseFrame { code: close.code, reason }))).await?;
            // The reader ends with the peer's answer; how does not matter any more.
            let _ = (&mut self.reader).await;
            Ok::<_, axum::Error>(())
        };
        if !matches!(timeout(CLOSE_WITHIN, finish).await, Ok(Ok(()))) {
            tracing::debug!("the peer did not answer the close");
        }
    }
}
