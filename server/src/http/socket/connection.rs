//! One connection: its session, what is on its way, and the socket.
//!
//! Whoever has a reason calls it, and it sends what there is to send: the task that reads, after each message; the
//! dispatcher, when a moment has come or something happened to the party. So no task is woken for a chunk.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use protocol::message::{ServerMessage, UnstampedTimeReply};
use protocol::time::{ServerSpan, ServerTime};
use serde_json::json;
use tokio::sync::Notify;

use super::batch::{Batch, Counts};
use super::dispatcher::Shard;
use super::wire::Wire;
use crate::app::App;
use crate::fanout::chunk::Chunk;
use crate::fanout::frame;
use crate::fanout::outbox::{Close, Output, Urgent, Wait, close_code};
use crate::metrics::Leave;
use crate::pipeline::encoder::WireFormat;
use crate::session::Session;

/// How long the system may take to accept a batch. A peer that reads nothing for so long has lost more audio than its
/// buffer holds.
const WRITE_WITHIN: ServerSpan = ServerSpan::from_secs(10);

/// How long the peer may take to answer a close frame. Shorter than the server's own time to stop.
const CLOSE_WITHIN: ServerSpan = ServerSpan::from_secs(1);

/// Answers to pings that may wait for a socket that is held up, bytes. More are from a peer that floods.
const ANSWERS_BYTES_MAX: usize = 4 << 10;

/// Longest time until a connection is looked at again. A change may be planned for hours away and then come sooner: an
/// entry that it made in the queue is gone after this.
const LOOK_AGAIN: ServerSpan = ServerSpan::from_secs(1);

/// Longest reason of a close frame, in bytes (RFC 6455, 5.5: 125 less the code).
const REASON_BYTES_MAX: usize = 123;

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) wire: Wire,
    pub(super) app: Arc<App>,
    shard: Arc<Shard>,
    /// Upheavals of the party before it.
    upheavals: u64,
    state: Mutex<State>,
    /// The connection is blocked, or over: the task that reads wants to know.
    pub(super) news: Notify,
}

#[derive(Debug)]
struct State {
    session: Session,
    batch: Batch,
    /// What the library answered by itself.
    answers: Vec<u8>,
    /// The earliest entry in the shard's queue.
    alarm: Option<ServerTime>,
    waits_for_chunk: bool,
    /// What the session waits for, when it is a moment.
    planned: Option<ServerTime>,
    /// Since when the system does not take the batch.
    blocked: Option<ServerTime>,
    /// The system did not take a batch, and there has been more to send ever since.
    is_slow: bool,
    /// A close frame is made: until when the peer may answer it, and what the end means.
    closing: Option<(ServerTime, Leave)>,
    ended: Option<Leave>,
    /// Bytes of the batch that those who run the server have been told of.
    unsent: i64,
    /// The format that is being asked for on behalf of this listener.
    format: Option<WireFormat>,
    /// Whether figures of the sound are being asked for on behalf of this listener.
    shows_figures: bool,
}

impl Connection {
    /// A connection that sends what `session` wants sent, which was made after so many upheavals of the party.
    pub(super) fn new(
        wire: Wire,
        session: Session,
        (shard, upheavals): (Arc<Shard>, u64),
        app: Arc<App>,
    ) -> Self {
        let state = State {
            session,
            batch: Batch::default(),
            answers: Vec::new(),
            alarm: None,
            waits_for_chunk: false,
            planned: None,
            blocked: None,
            is_slow: false,
            closing: None,
            ended: None,
            unsent: 0,
            format: None,
            shows_figures: false,
        };
        Self { wire, app, shard, upheavals, state: Mutex::new(state), news: Notify::new() }
    }

    /// Hands something in and sends what comes of it.
    pub(super) fn with_session<T>(self: &Arc<Self>, act: impl FnOnce(&mut Session) -> T) -> T {
        let mut state = self.state();
        let result = act(&mut state.session);
        self.send(&mut state);
        result
    }

    /// Sends what there is to send.
    pub(super) fn proceed(self: &Arc<Self>) {
        self.send(&mut self.state());
    }

    /// The same for an entry of the queue, whose time has come.
    pub(super) fn proceed_at(self: &Arc<Self>, at: ServerTime) {
        let mut state = self.state();
        // Any other entry has been overtaken by an earlier one.
        if state.alarm == Some(at) {
            state.alarm = None;
            self.send(&mut state);
        }
    }

    /// The same for one that waits for a chunk, when there is one.
    pub(super) fn proceed_with_chunk(self: &Arc<Self>) {
        let mut state = self.state();
        state.waits_for_chunk = false;
        self.send(&mut state);
    }

    /// Whether there was an upheaval since it was made.
    pub(super) fn is_outdated(&self) -> bool {
        self.upheavals != self.app.hub.upheavals_so_far()
    }

    /// Ends it, because the party's clock is another one now: what was planned and measured on the old one is void.
    pub(super) fn evict(self: &Arc<Self>) {
        let mut state = self.state();
        let now = self.app.clock.now();
        state.alarm = None;
        if !self.is_outdated() {
            // It came after that.
            return self.send(&mut state);
        }
        state.planned = None;
        state.blocked = state.blocked.map(|_| now);
        state.closing = state.closing.map(|(_, leave)| (now + CLOSE_WITHIN, leave));
        let close = Close::new(close_code::GOING_AWAY, "the party begins anew");
        state.session.close(Close { leave: Leave::Evicted, ..close });
        self.send(&mut state);
    }

    /// Says goodbye, because the server goes down.
    pub(super) fn shut_down(self: &Arc<Self>) {
        self.with_session(|session| session.handle_shutdown(&self.app.hub.stage().group));
    }

    /// Keeps what the library answers by itself until the next batch is made.
    ///
    /// # Errors
    ///
    /// When the peer asks for more than it reads.
    pub(super) fn answer(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if state.answers.len() + bytes.len() > ANSWERS_BYTES_MAX {
            return Err(io::Error::other("more pings than answers are read"));
        }
        state.answers.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether the socket has to take something before anything goes on.
    pub(super) fn is_blocked(&self) -> bool {
        let state = self.state();
        state.blocked.is_some() && state.ended.is_none()
    }

    /// Why it is over, once it is.
    pub(super) fn ended(&self) -> Option<Leave> {
        self.state().ended
    }

    /// Ends it, as the peer is gone. Returns why.
    pub(super) fn end(self: &Arc<Self>) -> Leave {
        let mut state = self.state();
        if state.closing.is_none() && state.ended.is_none() {
            // If the peer said so, here is the answer. It takes these few bytes at once, or does not want them.
            let answers = std::mem::take(&mut state.answers);
            state.batch.push(answers.into());
            let _ = state.batch.write_to(&self.wire);
        }
        let leave = state.closing.map_or(Leave::Left, |(_, leave)| leave);
        *state.ended.get_or_insert(leave)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic left half-changed belongs to a task that ended with it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(self: &Arc<Self>, state: &mut State) {
        if state.ended.is_some() {
            return;
        }
        let was_blocked = state.blocked.is_some();
        state.ended = self.drain(state).err();
        let unsent = state.batch.bytes() as i64;
        if unsent != state.unsent {
            self.app.metrics.unsent.inc_by(unsent - state.unsent);
            state.unsent = unsent;
        }
        self.ask_for(state, state.session.format());
        self.ask_for_figures(state, state.session.shows_figures());
        if state.ended.is_some() || (state.blocked.is_some() && !was_blocked) {
            self.news.notify_one();
        }
    }

    /// Says which format is wanted here from now on.
    fn ask_for(&self, state: &mut State, format: Option<WireFormat>) {
        if format != state.format {
            self.app.roster.demand().change_format(state.format, format);
            state.format = format;
        }
    }

    /// Says whether figures of the sound are wanted here from now on.
    fn ask_for_figures(&self, state: &mut State, wanted: bool) {
        if wanted != state.shows_figures {
            self.app.observatory.change(wanted);
            state.shows_figures = wanted;
        }
    }

    /// Sends until there is nothing to send, or the socket takes no more. Errors say that and why it is over.
    fn drain(self: &Arc<Self>, state: &mut State) -> Result<(), Leave> {
        loop {
            if state.blocked.is_some() && !self.overtake(state).map_err(|error| gone(&error))? {
                return self.wait_for_room(state);
            }
            if !state.batch.write_to(&self.wire).map_err(|error| gone(&error))? {
                return self.wait_for_room(state);
            }
            self.count(state);
            if let Some((until, leave)) = state.closing {
                return self.wait_or(state, until, leave);
            }
            if !self.fill(state) {
                return Ok(());
            }
        }
    }

    /// Puts what cannot wait in front of the chunks of a batch that the system did not take. Returns whether it could: not
    /// in the middle of a frame, and not before there is room, as a time reply is stamped here.
    fn overtake(&self, state: &mut State) -> io::Result<bool> {
        if !state.batch.finish_begun(&self.wire)? || !self.wire.has_room() {
            return Ok(false);
        }
        let mut urgent = std::mem::take(&mut state.answers);
        while state.closing.is_none() {
            // The stage is held for the decision, not for the making of bytes.
            let next = state.session.poll_urgent(self.app.clock.now(), &self.app.hub.stage());
            urgent.extend(match next {
                Some(Urgent::TimeReply(reply)) => self.time_reply(reply),
                Some(Urgent::Message(message)) => frame::text(&message.encode()),
                None => break,
            });
        }
        if !urgent.is_empty() {
            state.batch.push_first(urgent.into());
        }
        Ok(true)
    }

    /// Counts what the batch was.
    fn count(&self, state: &mut State) {
        state.blocked = None;
        let metrics = &self.app.metrics;
        let Counts { chunks, chunk_bytes, planned } = state.batch.take_counts();
        if chunks > 0 {
            metrics.chunks.inc_by(chunks);
            metrics.bytes.inc_by(chunk_bytes);
        }
        if let Some(planned) = planned {
            metrics.lateness.observe((self.app.clock.now() - planned).as_secs_f64());
        }
    }

    /// Puts what is to be sent now into the empty batch. Returns whether that is anything; if not, there is an entry for
    /// whatever comes next.
    fn fill(self: &Arc<Self>, state: &mut State) -> bool {
        if !state.answers.is_empty() {
            state.batch.push(std::mem::take(&mut state.answers).into());
        }
        while !state.batch.is_full(state.is_slow) {
            let now = self.app.clock.now();
            let stage = self.app.hub.stage();
            let output = state.session.poll_output(now, &stage);
            if let Output::Wait(wait) = output {
                // With the stage still held, so that nothing happens to it in between.
                self.wait(state, wait, now);
                break;
            }
            drop(stage);
            match output {
                Output::Audio(chunk, format) => {
                    let planned = state.planned.take().filter(|&planned| planned <= now);
                    state.batch.push_chunk(self.encode(&chunk, format), planned);
                }
                Output::Close(close) => {
                    tracing::debug!(code = close.code, reason = close.reason, "closing");
                    state.closing = Some((now + CLOSE_WITHIN, close.leave));
                    state.batch.push(farewell(&close).into());
                    break;
                }
                Output::Message(message) => state.batch.push(frame::text(&message.encode()).into()),
                Output::Binary(message) => state.batch.push(frame::binary(&message).0.into()),
                Output::Ping => state.batch.push(frame::ping().into()),
                Output::TimeReply(reply) => {
                    state.batch.push(self.time_reply(reply).into());
                    // Nothing else is made before it leaves.
                    break;
                }
                Output::Wait(_) => break,
            }
        }
        if let Some(wish) = state.session.take_wish() {
            self.app.darkroom.ask(wish);
        }
        let skipped = state.session.take_skipped();
        if skipped > 0 {
            self.app.metrics.skipped.inc_by(skipped);
        }
        !state.batch.is_empty()
    }

    fn time_reply(&self, reply: UnstampedTimeReply) -> Vec<u8> {
        self.app.metrics.time_replies.inc();
        // Read when the bytes are made, the last moment before they leave: half of any delay between here and
        // the wire is an error of the client's clock.
        frame::text(&ServerMessage::Time(reply.stamp(self.app.clock.now())).encode())
    }

    /// A chunk's frame. The first listener of a format has it made.
    fn encode(&self, chunk: &Chunk, format: WireFormat) -> Bytes {
        if chunk.is_encoded(format) {
            return chunk.frame(format);
        }
        let began = self.app.clock.now();
        let bytes = chunk.frame(format);
        self.app.metrics.encoding.inc_by((self.app.clock.now() - began).as_secs_f64());
        bytes
    }

    /// Waits for what the session waits for.
    fn wait(self: &Arc<Self>, state: &mut State, wait: Wait, now: ServerTime) {
        tracing::trace!(?wait, "waiting");
        state.planned = wait.until;
        state.is_slow = false;
        self.look_at(state, wait.until.unwrap_or(now + LOOK_AGAIN), now);
        if wait.for_chunk && !state.waits_for_chunk {
            state.waits_for_chunk = true;
            self.shard.add_for_chunk(Arc::downgrade(self));
        }
    }

    /// Waits for a peer that does not read.
    fn wait_for_room(self: &Arc<Self>, state: &mut State) -> Result<(), Leave> {
        let since = *state.blocked.get_or_insert_with(|| self.app.clock.now());
        state.is_slow = true;
        match state.closing {
            Some((until, leave)) if until < since + WRITE_WITHIN => {
                self.wait_or(state, until, leave)
            }
            _ => self.wait_or(state, since + WRITE_WITHIN, Leave::Stalled).inspect_err(|_| {
                tracing::info!("disconnected a client that does not read");
            }),
        }
    }

    /// Waits until then, when it is over for that reason.
    fn wait_or(
        self: &Arc<Self>,
        state: &mut State,
        until: ServerTime,
        leave: Leave,
    ) -> Result<(), Leave> {
        let now = self.app.clock.now();
        if now >= until {
            return Err(leave);
        }
        self.look_at(state, until, now);
        Ok(())
    }

    /// Makes an entry in the queue, unless there is an earlier one.
    fn look_at(self: &Arc<Self>, state: &mut State, at: ServerTime, now: ServerTime) {
        let at = at.min(now + LOOK_AGAIN);
        if state.alarm.is_none_or(|alarm| at < alarm) {
            state.alarm = Some(at);
            self.shard.add_at(at, Arc::downgrade(self));
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.state();
        self.app.metrics.unsent.dec_by(state.unsent);
        self.ask_for(&mut state, None);
        self.ask_for_figures(&mut state, false);
    }
}

/// The last frames of a connection.
fn farewell(close: &Close) -> Vec<u8> {
    let error = close.error.map(|reason| {
        let error = json!({ "type": "server/error", "payload": { "reason": reason } });
        frame::text(&error.to_string())
    });
    let end = close.reason.floor_char_boundary(REASON_BYTES_MAX);
    [error.unwrap_or_default(), frame::close(close.code, &close.reason[..end])].concat()
}

fn gone(error: &io::Error) -> Leave {
    tracing::debug!(%error, "gone");
    Leave::Left
}
