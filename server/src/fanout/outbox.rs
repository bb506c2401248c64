//! What one connection sends next.
//!
//! Pure: it reads no clock and knows no socket. Five lanes, drained in this order:
//!
//! 1. time replies, because half of their delay becomes an error of the client's clock;
//! 2. control messages;
//! 3. audio, pulled from the ring when the other two are empty;
//! 4. figures of the sound, pulled from the reel when no audio is to be sent;
//! 5. pictures, when that leaves nothing to send and the audio has its start lead: one is a single message, which cannot be
//!    interrupted.
//!
//! Each is bounded. A full time lane forgets its oldest reply, which the client asks for again. Control
//! state that has been overtaken is replaced by its successor; a control lane that is full all the same
//! belongs to a client that does not read, and ends its connection. Audio and figures have no queue of their own. A
//! picture is replaced by the next one of its channel.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use protocol::message::{
    ARTWORK_CHANNELS_MAX, ServerMessage, StreamClear, StreamFormat, StreamStart, UnstampedTimeReply,
};
use protocol::time::{ServerSpan, ServerTime};

use super::audio_lane::{AudioLane, AudioTerms, LaneOutput};
use super::chunk::Chunk;
use super::stage::Stage;
use crate::metrics::Leave;
use crate::pipeline::encoder::WireFormat;
use crate::visual::lane::{VisualLane, VisualOutput, VisualTerms};

/// Most time replies that wait. A client keeps one probe in flight, in a burst eight.
const REPLIES_MAX: usize = 16;

/// Most control messages that wait. A connection has fewer than ten even while everything changes.
const CONTROL_MAX: usize = 64;

/// Codes of RFC 6455, section 7.4.1.
pub(crate) mod close_code {
    /// The purpose of the connection is fulfilled.
    pub(crate) const NORMAL: u16 = 1000;
    /// This connection is at its end, and the client is welcome to come again: the server goes down, or believes
    /// the client to be gone.
    pub(crate) const GOING_AWAY: u16 = 1001;
    /// The client broke the protocol.
    pub(crate) const PROTOCOL: u16 = 1002;
    /// The client can take nothing that the server has.
    pub(crate) const UNSUPPORTED: u16 = 1003;
    /// The client exceeds a limit.
    pub(crate) const POLICY: u16 = 1008;
    /// There is no room now (1013 of the IANA registry).
    pub(crate) const TRY_AGAIN_LATER: u16 = 1013;
}

/// How a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Close {
    /// One of [`close_code`].
    pub(crate) code: u16,
    /// For the person who reads the client's log.
    pub(crate) reason: String,
    /// What this means to those who run the server.
    pub(crate) leave: Leave,
    /// Reason of a `server/error` that goes first. Clients of the encrypted generation expect one.
    pub(crate) error: Option<&'static str>,
}

impl Close {
    /// A close without a `server/error`.
    pub(crate) fn new(code: u16, reason: impl Into<String>) -> Self {
        let leave = match code {
            close_code::NORMAL => Leave::Left,
            close_code::GOING_AWAY => Leave::Shutdown,
            _ => Leave::Refused,
        };
        Self { code, reason: reason.into(), leave, error: None }
    }
}

/// What the socket does next.
#[allow(clippy::large_enum_variant, reason = "handed on at once, one at a time")]
#[derive(Debug)]
pub(crate) enum Output {
    /// Stamp this reply and send it.
    TimeReply(UnstampedTimeReply),
    /// Send this message.
    Message(ServerMessage),
    /// Send this chunk in this format.
    Audio(Arc<Chunk>, WireFormat),
    /// Send this binary message.
    Binary(Bytes),
    /// Send a ping.
    Ping,
    /// Close, and ask no more.
    Close(Close),
    /// Nothing for now.
    Wait(Wait),
}

/// What goes before chunks that are made already.
#[allow(clippy::large_enum_variant, reason = "handed on at once, one at a time")]
#[derive(Debug)]
pub(crate) enum Urgent {
    /// Stamp this reply and send it.
    TimeReply(UnstampedTimeReply),
    /// Send this message.
    Message(ServerMessage),
}

/// What a connection with nothing to send waits for, besides what its client says and what happens to the party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// This time.
    pub(crate) until: Option<ServerTime>,
    /// Another chunk.
    pub(crate) for_chunk: bool,
    /// The same in words.
    pub(crate) why: &'static str,
}

/// The lanes of one connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    turn: ServerSpan,
    replies: VecDeque<UnstampedTimeReply>,
    control: VecDeque<ServerMessage>,
    audio: Option<AudioLane>,
    figures: Option<VisualLane>,
    pictures: [Option<Bytes>; ARTWORK_CHANNELS_MAX],
    close: Option<Close>,
    /// Chunks left out since somebody asked.
    skipped: u64,
}

impl Outbox {
    /// Empty lanes. See [`AudioLane::new`] for the `turn`.
    pub(crate) fn new(turn: ServerSpan) -> Self {
        Self { turn, ..Self::default() }
    }

    /// Queues the answer to `client/time`.
    pub(crate) fn push_time_reply(&mut self, reply: UnstampedTimeReply) {
        if self.replies.len() >= REPLIES_MAX {
            self.replies.pop_front();
        }
        self.replies.push_back(reply);
    }

    /// Queues a control message.
    ///
    /// It takes the place of a queued one of its kind, unless a stream message stands between: the order
    /// of streams and what surrounds them means something. State messages must be whole, not deltas.
    pub(crate) fn push(&mut self, message: ServerMessage) {
        for queued in self.control.iter_mut().rev() {
            if overtakes(&message, queued) {
                *queued = message;
                return;
            }
            if is_stream(queued) {
                break;
            }
        }
        if self.control.len() >= CONTROL_MAX {
            let reason = "too slow: control messages are not being read";
            self.close_now(Close::new(close_code::POLICY, reason));
            return;
        }
        self.control.push_back(message);
    }

    /// Starts a stream, or goes on with a running one under other terms.
    pub(crate) fn start_audio(&mut self, terms: AudioTerms, now: ServerTime) {
        match &mut self.audio {
            Some(lane) => lane.set_terms(terms),
            None => self.audio = Some(AudioLane::new(terms, self.turn, now)),
        }
        self.push(stream_start(terms.format));
    }

    /// Changes the terms of a running stream that concern its timing.
    pub(crate) fn set_audio_terms(&mut self, terms: AudioTerms) {
        if let Some(lane) = &mut self.audio {
            lane.set_terms(terms);
        }
    }

    /// Ends the stream: no chunk goes out after this. The caller queues `stream/end`.
    pub(crate) fn stop_audio(&mut self) {
        self.audio = None;
    }

    /// Starts a stream of figures of the sound, or goes on with a running one under other terms. The caller queues
    /// `stream/start`.
    pub(crate) fn start_figures(&mut self, terms: VisualTerms) {
        match &mut self.figures {
            Some(lane) => lane.set_terms(terms),
            None => self.figures = Some(VisualLane::new(terms)),
        }
    }

    /// Ends the stream of figures. The caller queues `stream/end`.
    pub(crate) fn stop_figures(&mut self) {
        self.figures = None;
    }

    /// Queues a picture for a channel, the whole message. The one that waits there is overtaken.
    pub(crate) fn push_picture(&mut self, channel: usize, message: Bytes) {
        if let Some(place) = self.pictures.get_mut(channel) {
            *place = Some(message);
        }
    }

    /// Forgets the picture that waits for a channel.
    pub(crate) fn drop_picture(&mut self, channel: usize) {
        if let Some(place) = self.pictures.get_mut(channel) {
            *place = None;
        }
    }

    /// Closes when everything that is queued by now has been sent. Only the first close counts.
    pub(crate) fn close(&mut self, close: Close) {
        self.close.get_or_insert(close);
    }

    /// Closes and drops what is queued.
    pub(crate) fn close_now(&mut self, close: Close) {
        self.replies.clear();
        self.control.clear();
        self.close(close);
    }

    /// Whether a close is queued or was handed out.
    pub(crate) fn is_closing(&self) -> bool {
        self.close.is_some()
    }

    /// How many chunks were left out, as they would have come too late, since this was last asked.
    pub(crate) fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// The next thing that may go before chunks which have been handed out and are not on the wire: not what says
    /// something about their stream.
    pub(crate) fn poll_urgent(&mut self) -> Option<Urgent> {
        if let Some(reply) = self.replies.pop_front() {
            return Some(Urgent::TimeReply(reply));
        }
        let message = self.control.pop_front_if(|message| !is_stream(message))?;
        Some(Urgent::Message(message))
    }

    /// The next thing to do at `now`.
    pub(crate) fn poll(&mut self, now: ServerTime, stage: &Stage) -> Output {
        if let Some(reply) = self.replies.pop_front() {
            return Output::TimeReply(reply);
        }
        if let Some(message) = self.control.pop_front() {
            return Output::Message(message);
        }
        if let Some(close) = &self.close {
            return Output::Close(close.clone());
        }
        let audio = match self.poll_audio(now, stage) {
            Output::Wait(wait) => wait,
            output => return output,
        };
        let figures_at = match self.figures.as_mut().map(|lane| lane.poll(now, &stage.reel)) {
            None => None,
            Some(VisualOutput::Send(message)) => return Output::Binary(message.into()),
            Some(VisualOutput::Cleared) => return Output::Message(clear("visualizer")),
            Some(VisualOutput::Wait(until)) => Some(until),
        };
        if !self.audio.as_ref().is_some_and(|lane| lane.is_short(now))
            && let Some(picture) = self.pictures.iter_mut().find_map(Option::take)
        {
            return Output::Binary(picture);
        }
        match figures_at {
            Some(at) if audio.until.is_none_or(|until| at < until) => {
                Output::Wait(Wait { until: Some(at), why: "figures of the sound", ..audio })
            }
            _ => Output::Wait(audio),
        }
    }

    fn poll_audio(&mut self, now: ServerTime, stage: &Stage) -> Output {
        let Some(lane) = &mut self.audio else {
            return Output::Wait(Wait { until: None, for_chunk: false, why: "a message" });
        };
        let skipped = lane.skipped();
        let output = lane.poll(now, stage.rings.of(lane.format()));
        self.skipped += lane.skipped() - skipped;
        match output {
            LaneOutput::Send(chunk) => Output::Audio(chunk, lane.format()),
            LaneOutput::Restarted => Output::Message(stream_start(lane.format())),
            LaneOutput::Cleared => Output::Message(clear("player")),
            LaneOutput::Wait(until, why) => {
                Output::Wait(Wait { until, for_chunk: until.is_none(), why })
            }
        }
    }
}

fn clear(role: &str) -> ServerMessage {
    StreamClear { roles: Some(vec![role.to_owned()]), server_transmitted: None }.into()
}

fn stream_start(format: WireFormat) -> ServerMessage {
    let format = StreamFormat { format: format.audio_format(), codec_header: None };
    StreamStart { player: Some(format), ..StreamStart::default() }.into()
}

fn is_stream(message: &ServerMessage) -> bool {
    use ServerMessage::{StreamClear, StreamEnd, StreamStart};
    matches!(message, StreamStart(_) | StreamClear(_) | StreamEnd(_))
}

/// Whether a queued message says nothing that `new` does not say better.
fn overtakes(new: &ServerMessage, queued: &ServerMessage) -> bool {
    match (new, queued) {
        (ServerMessage::GroupUpdate(_), ServerMessage::GroupUpdate(_)) => true,
        (ServerMessage::StreamStart(new), ServerMessage::StreamStart(queued)) => {
            new.player.is_some() == queued.player.is_some()
                && new.artwork.is_some() == queued.artwork.is_some()
                && new.visualizer.is_some() == queued.visualizer.is_some()
        }
        (ServerMessage::State(new), ServerMessage::State(queued)) => {
            new.metadata.is_some() == queued.metadata.is_some()
                && new.controller.is_some() == queued.controller.is_some()
                && new.color.is_some() == queued.color.is_some()
                && new.party.is_some() == queued.party.is_some()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::fixture::{at, fill_all};
    use crate::group::Group;
    use crate::session::Identity;
    use protocol::message::{GroupUpdate, PlaybackState, ServerState, StreamEnd};
    use protocol::time::ClientTime;

    fn stage() -> Stage {
        let identity =
            Identity { server_id: "s".to_owned(), name: "n".to_owned(), ..Identity::default() };
        Stage::new(Arc::new(identity), Group::new("g".to_owned(), "n".to_owned()))
    }

    fn reply(number: i64) -> UnstampedTimeReply {
        UnstampedTimeReply {
            client_transmitted: ClientTime::from_micros(number),
            server_received: at(0),
        }
    }

    fn update(playback: PlaybackState) -> ServerMessage {
        GroupUpdate { playback_state: Some(playback), ..GroupUpdate::default() }.into()
    }

    fn terms() -> AudioTerms {
        AudioTerms {
            format: WireFormat::Pcm16,
            start_lead: ServerSpan::from_millis(250),
            delay: ServerSpan::ZERO,
            capacity_bytes: 1 << 20,
        }
    }

    /// One word for each thing that comes out at time 0, until there is nothing.
    fn drain(outbox: &mut Outbox, stage: &Stage) -> Vec<&'static str> {
        let mut words = Vec::new();
        loop {
            words.push(match outbox.poll(at(0), stage) {
                Output::TimeReply(_) => "time",
                Output::Message(message) => message.type_name(),
                Output::Audio(..) => "audio",
                Output::Binary(_) => "binary",
                Output::Close(_) => "close",
                Output::Ping => "ping",
                Output::Wait(..) => return words,
            });
            if words.last() == Some(&"close") {
                return words;
            }
        }
    }

    #[test]
    fn what_is_urgent_overtakes_chunks_but_not_their_stream() {
        let mut outbox = Outbox::default();
        outbox.push(update(PlaybackState::Playing));
        outbox.push(StreamEnd::default().into());
        outbox.push(update(PlaybackState::Stopped));
        outbox.push_time_reply(reply(1));
        assert!(matches!(outbox.poll_urgent(), Some(Urgent::TimeReply(_))));
        assert!(matches!(
            outbox.poll_urgent(),
            Some(Urgent::Message(ServerMessage::GroupUpdate(_)))
        ));
        assert!(outbox.poll_urgent().is_none());
        assert_eq!(drain(&mut outbox, &stage()), ["stream/end", "group/update"]);
    }

    #[test]
    fn time_goes_first_then_control_then_audio() {
        let mut stage = stage();
        fill_all(&mut stage.rings, at(0), at(350), at(0));
        let mut outbox = Outbox::default();
        outbox.push(update(PlaybackState::Playing));
        outbox.start_audio(terms(), at(0));
        outbox.push_time_reply(reply(1));
        let words = ["time", "group/update", "stream/start", "audio", "audio"];
        assert_eq!(drain(&mut outbox, &stage), words);
    }

    #[test]
    fn a_time_reply_passes_a_burst_of_audio() {
        let mut stage = stage();
        fill_all(&mut stage.rings, at(0), at(5_000), at(0));
        let mut outbox = Outbox::default();
        outbox.start_audio(terms(), at(0));
        for _ in 0..5 {
            assert!(!matches!(outbox.poll(at(0), &stage), Output::Wait(..)));
        }
        outbox.push_time_reply(reply(1));
        assert!(matches!(outbox.poll(at(0), &stage), Output::TimeReply(_)));
    }

    #[test]
    fn a_full_time_lane_forgets_the_oldest() {
        let mut outbox = Outbox::default();
        for number in 0..20 {
            outbox.push_time_reply(reply(number));
        }
        let stage = stage();
        let stamps: Vec<i64> = std::iter::from_fn(|| match outbox.poll(at(0), &stage) {
            Output::TimeReply(reply) => Some(reply.client_transmitted.as_micros()),
            _ => None,
        })
        .collect();
        assert_eq!(stamps, (4..20).collect::<Vec<_>>());
    }

    #[test]
    fn overtaken_state_is_replaced_but_not_across_a_stream_message() {
        let mut outbox = Outbox::default();
        for _ in 0..1_000 {
            outbox.push(update(PlaybackState::Playing));
            outbox.push(ServerState::default().into());
        }
        outbox.push(StreamEnd::default().into());
        outbox.push(update(PlaybackState::Stopped));
        outbox.push(update(PlaybackState::Playing));
        let words = drain(&mut outbox, &stage());
        assert_eq!(words, ["group/update", "server/state", "stream/end", "group/update"]);
    }

    #[test]
    fn a_full_control_lane_ends_the_connection() {
        let mut outbox = Outbox::default();
        outbox.push_time_reply(reply(1));
        for _ in 0..CONTROL_MAX {
            outbox.push(StreamEnd::default().into());
        }
        assert!(!outbox.is_closing());
        outbox.push(StreamEnd::default().into());
        assert!(outbox.is_closing());
        assert_eq!(drain(&mut outbox, &stage()), ["close"]);
    }

    #[test]
    fn a_close_lets_messages_out_but_no_audio() {
        let mut stage = stage();
        fill_all(&mut stage.rings, at(0), at(5_000), at(0));
        let mut outbox = Outbox::default();
        outbox.start_audio(terms(), at(0));
        outbox.push_time_reply(reply(1));
        outbox.close(Close::new(close_code::GOING_AWAY, "first"));
        outbox.close(Close::new(close_code::NORMAL, "second"));
        assert_eq!(drain(&mut outbox, &stage), ["time", "stream/start", "close"]);
        let Output::Close(close) = outbox.poll(at(0), &stage) else { panic!("not closed") };
        assert_eq!(close.reason, "first");
    }

    #[test]
    fn no_chunk_leaves_after_the_stream_has_ended() {
        let mut stage = stage();
        fill_all(&mut stage.rings, at(0), at(5_000), at(0));
        let mut outbox = Outbox::default();
        outbox.start_audio(terms(), at(0));
        assert!(matches!(outbox.poll(at(0), &stage), Output::Message(_)));
        assert!(matches!(outbox.poll(at(0), &stage), Output::Audio(..)));
        outbox.stop_audio();
        outbox.push(StreamEnd::default().into());
        assert_eq!(drain(&mut outbox, &stage), ["stream/end"]);
    }

    #[test]
    fn another_format_goes_on_where_the_stream_is() {
        let mut stage = stage();
        fill_all(&mut stage.rings, at(0), at(400), at(0));
        let mut outbox = Outbox::default();
        outbox.start_audio(terms(), at(0));
        assert!(matches!(outbox.poll(at(0), &stage), Output::Message(_)));
        let Output::Audio(first, WireFormat::Pcm16) = outbox.poll(at(0), &stage) else {
            panic!("no chunk of 16 bits");
        };
        outbox.start_audio(AudioTerms { format: WireFormat::Pcm24, ..terms() }, at(0));
        assert!(matches!(outbox.poll(at(0), &stage), Output::Message(_)));
        let Output::Audio(second, WireFormat::Pcm24) = outbox.poll(at(0), &stage) else {
            panic!("no chunk of 24 bits");
        };
        assert_eq!(second.play_at(), first.end());
    }

    #[test]
    fn a_picture_waits_for_the_audio_and_for_all_that_is_small() {
        let mut stage = stage();
        let mut outbox = Outbox::default();
        outbox.start_audio(terms(), at(0));
        outbox.push_picture(2, Bytes::from_static(b"old"));
        outbox.push_picture(2, Bytes::from_static(b"picture"));
        // There is no sound to send yet, and none in hand.
        assert_eq!(drain(&mut outbox, &stage), ["stream/start"]);
        fill_all(&mut stage.rings, at(0), at(5_000), at(0));
        outbox.push(update(PlaybackState::Playing));
        outbox.push_time_reply(reply(1));
        let words = drain(&mut outbox, &stage);
        assert_eq!((words[0], words[1], words.last()), ("time", "group/update", Some(&"binary")));
        let chunks = &words[2..words.len() - 1];
        assert!(chunks.len() >= 20 && chunks.iter().all(|&word| word == "audio"), "{words:?}");
    }

    #[test]
    fn the_newest_picture_of_a_channel_is_sent_unless_it_is_dropped() {
        let stage = stage();
        let mut outbox = Outbox::default();
        for (channel, picture) in [(1, &b"old"[..]), (0, b"dropped"), (1, b"new"), (9, b"nowhere")]
        {
            outbox.push_picture(channel, Bytes::from_static(picture));
        }
        outbox.drop_picture(0);
        assert!(matches!(outbox.poll(at(0), &stage), Output::Binary(picture) if picture == "new"));
        assert!(matches!(outbox.poll(at(0), &stage), Output::Wait(_)));
    }
}
