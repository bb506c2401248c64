//! The party without threads, sockets and clock: the same pump line, hub, sessions and outboxes, driven by
//! a caller who passes the time in. The simulated world of the tests is that caller.

#[cfg(feature = "cluster")]
mod edges;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use protocol::time::ServerTime;

#[cfg(feature = "cluster")]
pub use self::edges::{Ask, Edge, Say};
use crate::fanout::hub::Hub;
use crate::fanout::outbox::Output;
use crate::group::Group;
#[cfg(feature = "cluster")]
use crate::pipeline::REACH_MAX;
use crate::pipeline::line::{Line, Turn};
use crate::session::{Identity, Session};
use crate::source::Source;

/// A source and everything that listeners share.
pub struct Party {
    source: Box<dyn Source>,
    line: Line,
    hub: Hub,
    accepted: AtomicU64,
    has_more: bool,
    #[cfg(feature = "cluster")]
    edges: Option<edges::Edges>,
}

impl Party {
    /// A party called `name` that has not begun.
    #[must_use]
    pub fn new(name: &str, source: Box<dyn Source>) -> Self {
        Self {
            source,
            line: Line::default(),
            hub: Hub::new(
                Identity {
                    server_id: name.to_owned(),
                    name: name.to_owned(),
                    ..Identity::default()
                },
                Group::new(name.to_owned(), name.to_owned()),
            ),
            accepted: AtomicU64::new(0),
            has_more: true,
            #[cfg(feature = "cluster")]
            edges: None,
        }
    }

    /// The same, for edges to follow. `instance` tells it from others.
    #[cfg(feature = "cluster")]
    #[must_use]
    pub fn with_edges(name: &str, source: Box<dyn Source>, instance: u64) -> Self {
        Self {
            line: Line::reaching(REACH_MAX),
            edges: Some(edges::Edges::new(instance)),
            ..Self::new(name, source)
        }
    }

    /// Makes audio until it reaches as far ahead of `now` as it should. Call it every few chunks' time.
    pub fn advance(&mut self, now: ServerTime) {
        while self.has_more && self.line.ahead(now).is_none() {
            let turn = self.line.turn(self.source.as_mut(), &self.hub, || now);
            self.has_more = turn != Turn::Over;
            if turn == Turn::Wait {
                return;
            }
        }
    }

    /// When the source's first frame is heard; `None` before [`Party::advance`] made any.
    #[must_use]
    pub fn begins(&self) -> Option<ServerTime> {
        self.line.begins()
    }

    /// A connection that was accepted at `now`.
    #[must_use]
    pub fn accept(&self, now: ServerTime) -> Connection {
        Connection::new(&self.hub, &self.accepted, now)
    }

    /// What its listeners look at.
    #[must_use]
    pub fn house(&self) -> House<'_> {
        House(&self.hub)
    }
}

/// What listeners of a party or of an edge look at.
#[derive(Clone, Copy, Debug)]
pub struct House<'a>(&'a Hub);

/// What a connection's socket does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this text message.
    Text(String),
    /// Send this binary message.
    Binary(Bytes),
    /// Close with this code and reason.
    Close(u16, String),
    /// Nothing, until this time or until something arrives.
    Wait(Option<ServerTime>),
}

/// One listener's connection.
#[derive(Debug)]
pub struct Connection {
    session: Session,
}

impl Connection {
    fn new(hub: &Hub, accepted: &AtomicU64, now: ServerTime) -> Self {
        let number = accepted.fetch_add(1, Ordering::Relaxed);
        let identity = Arc::clone(&hub.stage().identity);
        Self { session: Session::new(identity, number, now) }
    }

    /// Takes a text message that arrived at `arrived`.
    pub fn handle_text(&mut self, arrived: ServerTime, text: &str) {
        self.session.handle_text(arrived, text);
    }

    /// What to do at `now`, which stamps a time reply. Ask again until it is [`Next::Wait`].
    pub fn poll(&mut self, now: ServerTime, house: House<'_>) -> Next {
        match self.session.poll_output(now, &house.0.stage()) {
            Output::TimeReply(reply) => {
                let reply = protocol::message::ServerMessage::Time(reply.stamp(now));
                Next::Text(reply.encode())
            }
            Output::Message(message) => Next::Text(message.encode()),
            Output::Audio(chunk, format) => Next::Binary(chunk.message(format)),
            Output::Binary(message) => Next::Binary(message),
            // Not passed on: what the client says is sign of life enough.
            Output::Ping => self.poll(now, house),
            Output::Close(close) => Next::Close(close.code, close.reason),
            Output::Wait(wait) => Next::Wait(wait.until),
        }
    }
}
