//! The task that reads: stamps what arrives and hands it in.

use std::future::pending;
use std::io;
use std::sync::Arc;

use futures_util::StreamExt;
use protocol::time::ServerTime;
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::connection::Connection;
use super::inbound::Inbound;
use crate::app::App;
use crate::fanout::count::Registration;
use crate::fanout::outbox::{Close, close_code};
use crate::group::players::Told;
use crate::metrics::Leave;
use crate::session::{Asked, Client};

/// Largest message from a client, in bytes. A hello with every optional field has about 2 kB.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Read buffer of a connection, in bytes. Clients send little; the library's default of 128 KiB is most of
/// the memory of a listener.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// The task that reads, and that a connection lives as long as.
pub(super) struct Reader {
    stream: WebSocketStream<Inbound>,
    connection: Arc<Connection>,
    /// The place in the roster, once the client is known, and the news that another has taken it.
    seat: Option<Seat>,
    /// What came was no WebSocket message, or too long a one: nothing more can be read.
    is_broken: bool,
}

/// A client's place among the others.
struct Seat {
    registration: Registration,
    /// Another connection has taken the place.
    replaced: oneshot::Receiver<()>,
    app: Arc<App>,
    /// Whether it looks at the list of players.
    looks: bool,
}

impl Seat {
    fn take(app: &Arc<App>, client: &Client) -> Self {
        let (registration, replaced) = app.roster.register(&client.id, client.listens());
        let looks = client.sees_players();
        if looks {
            app.hub.update_players(|players| ((), players.watch(true)));
        }
        Self { registration, replaced, app: Arc::clone(app), looks }
    }

    /// Its player tells how it is set. Who looks at the players sees it when it looks next.
    fn tell(&self, told: Told) {
        let (id, number) = self.registration.name();
        self.app.hub.update_players(|players| {
            players.tell(id, number, told);
            ((), false)
        });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let (id, number) = self.registration.name();
        self.app.hub.update_players(|players| {
            players.leave(id, number);
            ((), self.looks && players.watch(false))
        });
    }
}

/// What the task wakes for.
enum Woken {
    /// Something came, or what came was wrong; `None` is the end.
    Received(Option<Result<Message, Error>>),
    /// The socket takes more.
    Writable,
    /// Another connection of the same client has taken the seat.
    Replaced,
    /// The connection is blocked, or over.
    News,
}

impl Reader {
    /// A reader of `connection`, of which these bytes have been read already.
    pub(super) async fn new(connection: Arc<Connection>, early: Vec<u8>) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX))
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0);
        let inbound = Inbound(Arc::clone(&connection));
        let stream =
            WebSocketStream::from_partially_read(inbound, early, Role::Server, Some(config)).await;
        Self { stream, connection, seat: None, is_broken: false }
    }

    /// Reads until the connection is over.
    pub(super) async fn run(mut self) {
        self.connection.proceed();
        // After it has been entered: from then on, the dispatcher tells it.
        if self.connection.is_outdated() {
            self.connection.evict();
        }
        if *self.connection.app.shutdown.borrow() {
            self.connection.shut_down();
        }
        let leave = self.read().await;
        if self.seat.is_some() {
            self.connection.app.metrics.leave(leave);
            tracing::debug!(?leave, "left");
        }
    }

    async fn read(&mut self) -> Leave {
        loop {
            if let Some(leave) = self.connection.ended() {
                return leave;
            }
            match self.wake().await {
                Woken::Received(Some(Ok(message))) => {
                    // Read before the message is looked at: half of any delay here is an error of the client's clock.
                    let arrived = self.connection.app.clock.now();
                    self.handle(arrived, &message);
                }
                Woken::Received(Some(Err(error))) if !is_end(&error) => {
                    self.is_broken = true;
                    self.close(Close::new(close_code::PROTOCOL, error.to_string()));
                }
                Woken::Received(_) => return self.connection.end(),
                Woken::Writable => self.connection.proceed(),
                Woken::Replaced => {
                    let reason = "replaced by a newer connection of this client";
                    let close = Close::new(close_code::NORMAL, reason);
                    self.close(Close { leave: Leave::Replaced, ..close });
                }
                Woken::News => {}
            }
        }
    }

    async fn wake(&mut self) -> Woken {
        let Self { stream, connection, seat, is_broken } = self;
        tokio::select! {
            received = stream.next(), if !*is_broken => Woken::Received(received),
            // An error shows when something is written.
            _ = connection.wire.writable(), if connection.is_blocked() => Woken::Writable,
            () = replaced(seat) => Woken::Replaced,
            () = connection.news.notified() => Woken::News,
        }
    }

    fn close(&self, close: Close) {
        self.connection.with_session(|session| session.close(close));
    }

    fn handle(&mut self, arrived: ServerTime, message: &Message) {
        let Self { connection, seat, .. } = self;
        let app = &connection.app;
        connection.with_session(|session| {
            match message {
                Message::Text(text) => session.handle_text(arrived, text),
                Message::Binary(_) => session.handle_binary(arrived),
                // The library answers them. They count as a sign of life, and as messages.
                Message::Ping(_) | Message::Pong(_) => session.handle_sign_of_life(arrived),
                Message::Close(_) | Message::Frame(_) => {}
            }
            if let (None, Some(client)) = (&seat, session.client()) {
                // Before anything is sent, so that nobody who got a hello is missing in the count.
                *seat = Some(Seat::take(app, client));
                app.metrics.joins.inc();
                tracing::info!(id = ?client.id, name = ?client.name, "joined");
            }
            match (session.take_asked(), &seat) {
                (Some(Asked::Tell(told)), Some(seat)) => seat.tell(told),
                (Some(Asked::Do(command)), _) => {
                    if let Err(denied) = app.obey(&command) {
                        session.handle_denied(&denied.to_string());
                    }
                }
                _ => {}
            }
        });
    }
}

/// Resolves when the seat has been taken by another connection, once. Never, without a seat.
async fn replaced(seat: &mut Option<Seat>) {
    if let Some(Seat { replaced, .. }) = seat
        && !replaced.is_terminated()
        && replaced.await.is_ok()
    {
        return;
    }
    pending::<()>().await;
}

/// Whether the peer is gone, rather than wrong.
fn is_end(error: &Error) -> bool {
    match error {
        // The other kind is our own: see `Connection::answer`.
        Error::Io(error) => error.kind() != io::ErrorKind::Other,
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => true,
        _ => false,
    }
}
