//! The task that reads: stamps what arrives and hands it in.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use protocol::time::ServerTime;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::inbound::Inbound;
use super::{CLOSE_WITHIN, Shared};
use crate::app::App;
use crate::fanout::count::Registration;
use crate::fanout::outbox::{Close, close_code};
use crate::host_clock;
use crate::metrics::Leave;

/// How long a peer may be silent: long enough for one lost ping.
const SILENCE_MAX: Duration = Duration::from_mins(1);

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
pub(super) struct Reader {
    pub(super) stream: WebSocketStream<Inbound>,
    pub(super) shared: Arc<Shared>,
    pub(super) app: Arc<App>,
    /// The place in the roster, once the client is known, and the news that another has taken it.
    pub(super) seat: Option<(Registration, oneshot::Receiver<()>)>,
}

impl Reader {
    /// Reads until the peer is gone, or has been wrong and had its time to take the close frame.
    pub(super) async fn run(mut self) {
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
            // The library answers them. They count as a sign of life, and as messages.
            Message::Ping(_) | Message::Pong(_) => session.handle_sign_of_life(arrived),
            Message::Close(_) | Message::Frame(_) => return,
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
