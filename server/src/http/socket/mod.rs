//! `/sendspin`: one WebSocket, one [`Session`].
//!
//! Two tasks share the session. The reader stamps what arrives and hands it in; the writer sends what the
//! session wants sent. A write that waits for a slow peer therefore never stops reading, and the lock is
//! held for no longer than a decision takes: messages are made into bytes outside of it.
//!
//! A chunk's frame is written as it is, from the bytes that all listeners share.

mod inbound;
mod reader;
mod writer;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ORIGIN, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{Parts, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use self::inbound::Inbound;
use self::reader::Reader;
use self::writer::Writer;
use crate::app::App;
use crate::host_clock;
use crate::http::accept::{Peer, RETRY_AFTER_S};
use crate::metrics::Refused;
use crate::session::Session;

/// Largest message from a client, in bytes. A hello with every optional field has about 2 kB.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Read buffer of a connection, in bytes. Clients send little; the library's default of 128 KiB is most of
/// the memory of a listener.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// Answers to pings that may wait for a writer that is held up, bytes. More are from a peer that floods.
const ANSWERS_BYTES_MAX: usize = 4 << 10;

/// How long the peer may take to answer a close frame. Shorter than the server's own time to stop.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Answers the upgrade and runs the connection.
///
/// Refuses pages of other sites, and whoever comes when all places are taken.
pub(crate) async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
) -> Response {
    let response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let headers = request.headers();
    if !app.origins.allow(headers) {
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
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(upgraded) => run(upgraded, app).await,
            Err(error) => tracing::debug!(%error, "no upgrade"),
        }
        drop((place, peer));
    });
    response
}

/// What the two tasks share.
#[derive(Debug)]
struct Shared {
    session: Mutex<Session>,
    /// What the library answered by itself, until the writer sends it.
    answers: Mutex<Vec<u8>>,
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

    /// Keeps `bytes` for the writer.
    fn answer(&self, bytes: &[u8]) -> io::Result<()> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() + bytes.len() > ANSWERS_BYTES_MAX {
            return Err(io::Error::other("more pings than answers are read"));
        }
        answers.extend_from_slice(bytes);
        drop(answers);
        self.changed.notify_one();
        Ok(())
    }

    fn take_answers(&self) -> Vec<u8> {
        std::mem::take(&mut self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn run(upgraded: Upgraded, app: Arc<App>) {
    let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        return tracing::error!("a connection of another kind than were accepted");
    };
    let (read, write) = io.into_inner().into_split();
    let number = app.accepted.fetch_add(1, Ordering::Relaxed);
    let session = Session::new(Arc::clone(&app.identity), number, host_clock::now());
    let shared = Arc::new(Shared {
        session: Mutex::new(session),
        answers: Mutex::default(),
        changed: Notify::new(),
        has_joined: AtomicBool::new(false),
    });
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0);
    let inbound = Inbound { read, shared: Arc::clone(&shared) };
    let early = read_buf.to_vec();
    let stream =
        WebSocketStream::from_partially_read(inbound, early, Role::Server, Some(config)).await;
    let reader = Reader { stream, shared: Arc::clone(&shared), app: Arc::clone(&app), seat: None };
    let reader = tokio::spawn(reader.run());
    Writer::new(write, shared, reader, app).run().await;
}
