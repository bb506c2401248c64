//! The party without threads, sockets and clock: the same pump line, hub, sessions and outboxes, driven by
//! a caller who passes the time in. The simulated world of the tests is that caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use protocol::time::ServerTime;

use crate::fanout::hub::Hub;
use crate::fanout::outbox::Output;
use crate::group::Group;
use crate::pipeline::line::Line;
use crate::session::{Identity, Session};
use crate::source::Source;

/// A source and everything that listeners share.
pub struct Party {
    source: Box<dyn Source>,
    line: Line,
    hub: Hub,
    identity: Arc<Identity>,
    accepted: AtomicU64,
    has_more: bool,
}

impl Party {
    /// A party called `name` that has not begun.
    #[must_use]
    pub fn new(name: &str, source: Box<dyn Source>) -> Self {
        Self {
            source,
            line: Line::default(),
            hub: Hub::new(Group::new(name.to_owned(), name.to_owned())),
            identity: Arc::new(Identity { server_id: name.to_owned(), name: name.to_owned() }),
            accepted: AtomicU64::new(0),
            has_more: true,
        }
    }

    /// Makes audio until it reaches as far ahead of `now` as it should. Call it every few chunks' time.
    pub fn advance(&mut self, now: ServerTime) {
        while self.has_more && self.line.ahead(now).is_none() {
            self.has_more = self.line.turn(self.source.as_mut(), &self.hub, || now);
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
        let number = self.accepted.fetch_add(1, Ordering::Relaxed);
        Connection { session: Session::new(Arc::clone(&self.identity), number, now) }
    }
}

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
    /// Takes a text message that arrived at `arrived`.
    pub fn handle_text(&mut self, arrived: ServerTime, text: &str) {
        self.session.handle_text(arrived, text);
    }

    /// What to do at `now`, which stamps a time reply. Ask again until it is [`Next::Wait`].
    pub fn poll(&mut self, now: ServerTime, party: &Party) -> Next {
        match self.session.poll_output(now, &party.hub.stage()) {
            Output::TimeReply(reply) => {
                let reply = protocol::message::ServerMessage::Time(reply.stamp(now));
                Next::Text(reply.encode())
            }
            Output::Message(message) => Next::Text(message.encode()),
            Output::Audio(chunk, format) => Next::Binary(chunk.message(format)),
            // Not passed on: what the client says is sign of life enough.
            Output::Ping => self.poll(now, party),
            Output::Close(close) => Next::Close(close.code, close.reason),
            Output::Wait(wait) => Next::Wait(wait.until),
        }
    }
}
