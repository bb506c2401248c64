//! Which chunk a listener gets next, and when.
//!
//! The rules, each from the wire reference:
//! - the first chunk lies at least the start lead ahead (5.1, 5.4);
//! - what is on the way and not yet heard never exceeds the client's capacity (5.2);
//! - nothing is sent more than the lead ahead, and nothing that is already late (5.1): then the listener goes on some way
//!   ahead, further each time, so that one who reads too slowly hears long stretches in time and not all of it too late;
//! - listeners take turns: each is served at a moment of its own in every round, so that no reply to any of them waits
//!   behind a burst to all;
//! - a burst after a join is paced, so that time replies get through (lore of the wire, server side).

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::time::{ServerSpan, ServerTime};

use super::chunk::Chunk;
use super::ring::{Cursor, Ring};
use crate::bucket::Bucket;
use crate::pipeline::encoder::WireFormat;
use crate::pipeline::{LEAD_MAX, ROUND_SPAN};

/// Audio that may go out at once. One second covers the start leads of usual players; more would put more
/// bytes in front of a client's first time exchanges, which it needs before it can play any of them.
const BURST: ServerSpan = ServerSpan::from_secs(1);

/// Speed of filling up after the burst, in seconds of audio per second. Above 1 or the buffer never fills; 2
/// leaves half of a link that can just carry it to everything else.
const CATCH_UP: i64 = 2;

/// Most that a listener whose audio came too late is set ahead. Whoever reads too slowly then has sound in time for
/// several times as long before it is late again.
const COMEBACK_MAX: ServerSpan = ServerSpan::from_millis(LEAD_MAX.as_micros() / 2_000);

/// A listener who was in time for so long had a mishap, and is not slow.
const COMEBACK_FORGOTTEN: ServerSpan = ServerSpan::from_secs(30);

/// What a stream was agreed to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AudioTerms {
    /// Format of the chunks.
    pub(crate) format: WireFormat,
    /// Least distance from now to the first chunk's time.
    pub(crate) start_lead: ServerSpan,
    /// How much earlier than a chunk's time the client needs it, because its speaker is late by as much.
    pub(crate) delay: ServerSpan,
    /// Bytes that the client can hold, headers included.
    pub(crate) capacity_bytes: u64,
}

/// What is to be done with a listener's audio.
#[derive(Debug)]
pub(crate) enum LaneOutput {
    /// Send this chunk now. It has been counted.
    Send(Arc<Chunk>),
    /// The timeline has moved on: tell the client that a stream starts, then ask again.
    Restarted,
    /// What was sent is not to be heard: tell the client to forget it, then ask again.
    Cleared,
    /// Nothing to do before this time, or before another chunk is there.
    Wait(Option<ServerTime>, &'static str),
}

/// A listener's position in the ring and its accounts.
#[derive(Debug)]
pub(crate) struct AudioLane {
    terms: AudioTerms,
    /// Where the stream goes on, once its first chunk has been chosen.
    position: Option<Position>,
    /// When the last chunk that was sent ends.
    sent_until: Option<ServerTime>,
    /// The format has changed: where the stream goes on in another ring.
    resume: Option<ServerTime>,
    ledger: Ledger,
    /// Audio time that may be sent at once: fills at [`CATCH_UP`] and holds [`BURST`].
    pace: Bucket,
    /// When in every round chunks are sent.
    turn: ServerSpan,
    skipped: u64,
    /// The client had no room for more when that was last tried.
    is_full: bool,
    /// When audio was too late last, and how far ahead the listener was set.
    comeback: Option<(ServerTime, ServerSpan)>,
    /// How often the ring had been cleared when it was looked at last.
    cleared: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    cursor: Cursor,
    epoch: u32,
}

impl AudioLane {
    /// A stream that starts at `now` with nothing sent. Once it is the lead ahead, its chunks are sent when the time is a
    /// multiple of [`ROUND_SPAN`] and the `turn`.
    pub(crate) fn new(terms: AudioTerms, turn: ServerSpan, now: ServerTime) -> Self {
        Self {
            terms,
            position: None,
            sent_until: None,
            resume: None,
            ledger: Ledger::default(),
            pace: Bucket::new(BURST, CATCH_UP, now),
            turn,
            skipped: 0,
            is_full: false,
            comeback: None,
            cleared: None,
        }
    }

    /// Goes on under other terms. What is on the way is counted again with the new delay.
    pub(crate) fn set_terms(&mut self, terms: AudioTerms) {
        if terms.format != self.terms.format && self.position.take().is_some() {
            self.resume = self.sent_until;
        }
        self.terms = terms;
    }

    /// Format of the chunks.
    pub(crate) fn format(&self) -> WireFormat {
        self.terms.format
    }

    /// Chunks that were left out because they would have come too late.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Whether it has less than the start lead in hand and could take more: nothing that is large may go before its next
    /// chunk.
    pub(crate) fn is_short(&self, now: ServerTime) -> bool {
        let is_behind = self.sent_until.is_none_or(|until| until - now < self.terms.start_lead);
        is_behind && !self.is_full
    }

    /// The next thing to do at `now`, with the chunks in its format.
    pub(crate) fn poll(&mut self, now: ServerTime, ring: &Ring) -> LaneOutput {
        if self.cleared.replace(ring.cleared()).is_some_and(|before| before != ring.cleared()) {
            self.position = None;
            self.resume = None;
            if self.sent_until.take().is_some() {
                self.ledger = Ledger::default();
                self.pace = Bucket::new(BURST, CATCH_UP, now);
                return LaneOutput::Cleared;
            }
        }
        let Some(mut position) = self.position.or_else(|| self.start(now, ring)) else {
            return LaneOutput::Wait(None, "a chunk far enough ahead");
        };
        if position.cursor < ring.oldest() {
            self.skipped += ring.oldest().since(position.cursor);
            position.cursor = ring.oldest();
        }
        let chunk = loop {
            let Some(chunk) = ring.get(position.cursor) else {
                self.position = Some(position);
                return LaneOutput::Wait(None, "the next chunk");
            };
            if chunk.epoch() != position.epoch {
                self.position = None;
                return LaneOutput::Restarted;
            }
            if chunk.play_at() - self.terms.delay > now {
                break chunk;
            }
            let comeback = now + self.comeback(now);
            // On by one at least: without a start lead, the chunk that is due right now would be chosen for ever.
            let cursor = ring.first_from(comeback).max(position.cursor.next());
            self.skipped += cursor.since(position.cursor);
            position.cursor = cursor;
        };
        self.position = Some(position);
        if let Some((until, why)) = self.obstacle(now, chunk) {
            return LaneOutput::Wait(Some(until), why);
        }
        self.pace.spend(chunk.duration());
        self.ledger.add(chunk.end(), chunk.message_bytes(self.terms.format), now);
        self.position = Some(Position { cursor: position.cursor.next(), ..position });
        self.sent_until = Some(chunk.end());
        self.resume = None;
        LaneOutput::Send(Arc::clone(chunk))
    }

    /// How far ahead a listener goes on whose audio is too late at `now`: the start lead, and twice as much each time it
    /// happens again soon. What goes on at once would be late once more.
    fn comeback(&mut self, now: ServerTime) -> ServerSpan {
        let lead = match self.comeback {
            Some((at, lead)) if now - at < COMEBACK_FORGOTTEN => (lead + lead).min(COMEBACK_MAX),
            _ => ServerSpan::ZERO,
        };
        // Which the delay is a part of.
        let lead = lead.max(self.terms.start_lead);
        self.comeback = Some((now, lead));
        lead
    }

    fn start(&self, now: ServerTime, ring: &Ring) -> Option<Position> {
        let resume = self.resume.filter(|&resume| now < resume - self.terms.delay);
        let cursor = ring.first_from(resume.unwrap_or(now + self.terms.start_lead));
        ring.get(cursor).map(|chunk| Position { cursor, epoch: chunk.epoch() })
    }

    /// What keeps `chunk` from being sent now, and until when.
    fn obstacle(&mut self, now: ServerTime, chunk: &Chunk) -> Option<(ServerTime, &'static str)> {
        let turn = self.turn_from(chunk.play_at() - LEAD_MAX);
        if now < turn {
            return Some((turn, "the lead"));
        }
        let bytes = chunk.message_bytes(self.terms.format);
        let room_at = self.ledger.room_at(now, bytes, &self.terms);
        self.is_full = room_at.is_some();
        if let Some(until) = room_at {
            return Some((until, "room in the client's buffer"));
        }
        let until = self.pace.ready_at(now, chunk.duration())?;
        Some((until, "pace"))
    }

    /// The first turn not before `time`.
    fn turn_from(&self, time: ServerTime) -> ServerTime {
        let early = (self.turn.as_micros() - time.as_micros()).rem_euclid(ROUND_SPAN.as_micros());
        time + ServerSpan::from_micros(early)
    }
}

/// Chunks that were sent and have not been heard.
#[derive(Debug, Default)]
struct Ledger {
    /// When each ends, and its bytes, in the order of sending. Bounded by the lead: a chunk is sent at most
    /// [`LEAD_MAX`] before it is heard, and forgotten once it ended.
    sent: VecDeque<(ServerTime, u64)>,
    /// Bytes of all of them, heard by now or not.
    bytes: u64,
}

impl Ledger {
    fn add(&mut self, end: ServerTime, bytes: u64, now: ServerTime) {
        // Not earlier, though a delay lets them count for less: a delay may become shorter again.
        while let Some((_, heard)) = self.sent.pop_front_if(|&mut (end, _)| end <= now) {
            self.bytes -= heard;
        }
        self.sent.push_back((end, bytes));
        self.bytes += bytes;
    }

    /// When there is room for `bytes` more; `None` is now.
    fn room_at(&self, now: ServerTime, bytes: u64, terms: &AudioTerms) -> Option<ServerTime> {
        // Most can hold more than is ever ahead: nothing needs to be looked through for them.
        if self.bytes.saturating_add(bytes) <= terms.capacity_bytes {
            return None;
        }
        let heard_at = |end: ServerTime| end - terms.delay;
        let mut count: u64 = (self.sent.iter())
            .filter(|&&(end, _)| heard_at(end) > now)
            .map(|&(_, bytes)| bytes)
            .sum();
        let mut until = None;
        for &(end, freed) in self.sent.iter().filter(|&&(end, _)| heard_at(end) > now) {
            if count.saturating_add(bytes) <= terms.capacity_bytes {
                break;
            }
            count -= freed;
            until = Some(heard_at(end));
        }
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::fixture::{CHUNK, at, chunk, fill};

    const CHUNK_BYTES: u64 = 9_609;

    fn terms() -> AudioTerms {
        AudioTerms {
            format: WireFormat::Pcm16,
            start_lead: ServerSpan::from_millis(250),
            delay: ServerSpan::ZERO,
            capacity_bytes: 64 << 20,
        }
    }

    /// Everything that may be sent at `now`, and what stops the rest.
    fn drain(
        lane: &mut AudioLane,
        now: ServerTime,
        ring: &Ring,
    ) -> (Vec<ServerTime>, Option<ServerTime>, &'static str) {
        let mut sent = Vec::new();
        loop {
            match lane.poll(now, ring) {
                LaneOutput::Send(chunk) => sent.push(chunk.play_at()),
                LaneOutput::Wait(until, why) => return (sent, until, why),
                LaneOutput::Restarted | LaneOutput::Cleared => panic!("the timeline did not move"),
            }
        }
    }

    #[test]
    fn starts_with_the_first_chunk_beyond_the_start_lead() {
        let mut ring = Ring::default();
        fill(&mut ring, at(0), at(5_000), at(0));
        // 1,010 + 250 falls into the chunk of 1,250: the one after it is the first.
        let mut lane = AudioLane::new(terms(), ServerSpan::ZERO, at(1_010));
        let (sent, ..) = drain(&mut lane, at(1_010), &ring);
        assert_eq!(sent[0], at(1_300));
        let mut lane = AudioLane::new(terms(), ServerSpan::ZERO, at(1_000));
        assert_eq!(drain(&mut lane, at(1_000), &ring).0[0], at(1_250));
    }

    #[test]
    fn waits_for_a_chunk_when_none_is_far_enough_ahead() {
        let mut ring = Ring::default();
        fill(&mut ring, at(0), at(250), at(0));
        let mut lane = AudioLane::new(terms(), ServerSpan::ZERO, at(0));
        assert_eq!(drain(&mut lane, at(0), &ring), (vec![], None, "a chunk far enough ahead"));
        fill(&mut ring, at(250), at(300), at(0));
        assert_eq!(drain(&mut lane, at(0), &ring), (vec![at(250)], None, "the next chunk"));
    }

    #[test]
    fn a_second_at_once_and_then_twice_real_time() {
        let mut ring = Ring::default();
        fill(&mut ring, at(0), at(5_000), at(0));
        let mut lane = AudioLane::new(terms(), ServerSpan::ZERO, at(0));
        let (sent, until, why) = drain(&mut lane, at(0), &ring);
        assert_eq!((sent.len(), until, why), (20, Some(at(25)), "pace"));
        assert!(drain(&mut lane, at(24), &ring).0.is_empty());
        assert_eq!(drain(&mut lane, at(25), &ring).0.len(), 1);
        assert_eq!(drain(&mut lane, at(525), &ring).0.len(), 20);
        // However long it was away, never more than the burst.
        assert_eq!(drain(&mut lane, at(2_000), &ring).0.len(), 20);
    }

    #[test]
    fn capacity_is_full_at_the_exact_byte() {
        let mut ring = Ring::default();
        fill(&mut ring, at(0), at(5_000), at(0));
        for (capacity_bytes, chunks) in
            [(3 * CHUNK_BYTES, 3), (3 * CHUNK_BYTES - 1, 2), (4 * CHUNK_BYTES - 1, 3)]
        {
            let mut lane =
                AudioLane::new(AudioTerms { capacity_bytes, ..terms() }, ServerSpan::ZERO, at(0));
            let (sent, until, why) = drain(&mut lane, at(0), &ring);
            assert_eq!((sent.len(), why), (chunks, "room in the client's buffer"));
            // The chunk of 250 has been heard at 300, not a microsecond before.
            assert_eq!(until, Some(at(300)));
            let almost = at(300) - ServerSpan::from_micros(1);
            assert!(drain(&mut lane, almost, &ring).0.is_empty());
            assert_eq!(drain(&mut lane, at(300), &ring).0.len(), 1);
        }
    }

    #[test]
    fn a_delay_frees_the_buffer_sooner_and_a_shorter_one_takes_it_back() {
        let mut ring = Ring::default();
        fill(&mut ring, at(0), at(5_000), at(0));
        let early = AudioTerms {
            capacity_bytes: CHUNK_BYTES,
            delay: ServerSpan::from_millis(100),
            ..terms()
        };
        let mut lane = AudioLane::new(early, ServerSpan::ZERO, at(0));
        assert_eq!(
            drain(&mut lane, at(0), &ring),
            (vec![at(250)], Some(at(200)), "room in the client's buffer")
        );
        lane.set_terms(AudioTerms { delay: ServerSpan::ZERO, ..early });
        assert_eq!(drain(&mut lane, at(200), &ring).1, Some(at(300)));
    }

    #[test]
    fn late_chunks_are_left_out_and_counted() {
        let mut ring = Ring::default();
        fill(&mut ring, at(0), at(5_000), at(0));
        let delay = ServerSpan::from_millis(10);
        let capacity_bytes = CHUNK_BYTES;
        let mut lane = AudioLane::new(
            AudioTerms { delay, capacity_bytes, ..terms() },
            ServerSpan::ZERO,
            at(0),
        );
        assert_eq!(drain(&mut lane, at(0), &ring).0, [at(250)]);
        // The socket was stuck until 290: the chunk of 300 would come just too late with its delay. It goes on after
        // the start lead.
        assert_eq!(drain(&mut lane, at(290), &ring).0, [at(550)]);
        assert_eq!(lane.skipped(), 5);
        // Once more, soon: twice as far.
        assert_eq!(drain(&mut lane, at(700), &ring).0, [at(1_200)]);
        assert_eq!(lane.skipped(), 5 + 12);
    }

    #[test]
    fn who_asks_for_no_lead_is_served_although_a_chunk_is_due_right_now() {
        let mut ring = Ring::default();
        fill(&mut ring, at(0), at(5_000), at(0));
        let none =
            AudioTerms { start_lead: ServerSpan::ZERO, capacity_bytes: CHUNK_BYTES, ..terms() };
        let mut lane = AudioLane::new(none, ServerSpan::ZERO, at(10));
        assert_eq!(drain(&mut lane, at(10), &ring).0, [at(50)]);
        assert_eq!(drain(&mut lane, at(100), &ring).0, [at(150)]);
        assert_eq!(lane.skipped(), 1);
    }

    #[test]
    fn who_reads_too_slowly_hears_most_of_what_it_can_take_in_time() {
        let mut ring = Ring::default();
        let capacity_bytes = 64 << 20;
        let mut lane =
            AudioLane::new(AudioTerms { capacity_bytes, ..terms() }, ServerSpan::ZERO, at(0));
        let (mut now, mut made) = (at(0), at(0));
        let (mut chunks, mut in_time) = (0_u32, 0_u32);
        // 78 % of the rate, and what is sent is a third of a second under way.
        while now < at(60_000) {
            fill(&mut ring, made, now + LEAD_MAX, now);
            made = made.max(now + LEAD_MAX);
            now += match lane.poll(now, &ring) {
                LaneOutput::Send(chunk) => {
                    chunks += 1;
                    in_time += u32::from(chunk.play_at() >= now + ServerSpan::from_millis(333));
                    ServerSpan::from_micros(CHUNK.as_micros() * 100 / 78)
                }
                LaneOutput::Wait(..) => ServerSpan::from_millis(5),
                LaneOutput::Restarted | LaneOutput::Cleared => panic!("the timeline did not move"),
            };
        }
        assert!(lane.skipped() > 0);
        assert!(in_time * 100 > chunks * 80, "{in_time} of {chunks}");
    }

    #[test]
    fn what_the_ring_has_forgotten_is_counted_too() {
        let mut ring = Ring::default();
        fill(&mut ring, at(0), at(1_000), at(0));
        let mut lane = AudioLane::new(
            AudioTerms { capacity_bytes: CHUNK_BYTES, ..terms() },
            ServerSpan::ZERO,
            at(0),
        );
        assert_eq!(drain(&mut lane, at(0), &ring).0, [at(250)]);
        fill(&mut ring, at(1_000), at(5_000), at(800));
        assert_eq!(drain(&mut lane, at(800), &ring).0, [at(1_050)]);
        assert_eq!(lane.skipped(), 15);
    }

    #[test]
    fn never_more_than_the_lead_ahead_and_then_once_in_a_round() {
        let mut ring = Ring::default();
        fill(&mut ring, at(0), at(6_000), at(0));
        let terms = AudioTerms { start_lead: LEAD_MAX, ..terms() };
        let mut lane = AudioLane::new(terms, ServerSpan::ZERO, at(0));
        let [second, third] = [at(0) + ROUND_SPAN, at(0) + ROUND_SPAN + ROUND_SPAN];
        assert_eq!(drain(&mut lane, at(0), &ring), (vec![at(5_000)], Some(second), "the lead"));
        assert!(drain(&mut lane, second - ServerSpan::from_micros(1), &ring).0.is_empty());
        let (sent, until, _) = drain(&mut lane, second, &ring);
        assert_eq!(sent.last(), Some(&(second + LEAD_MAX)));
        assert_eq!(sent.len() as i64, ROUND_SPAN.as_micros() / CHUNK.as_micros());
        assert_eq!(until, Some(third));
    }

    #[test]
    fn everybody_has_a_turn() {
        let mut ring = Ring::default();
        fill(&mut ring, at(0), at(6_000), at(0));
        let terms = AudioTerms { start_lead: LEAD_MAX, ..terms() };
        let mut lane = AudioLane::new(terms, ServerSpan::from_millis(30), at(0));
        assert_eq!(drain(&mut lane, at(0), &ring), (vec![], Some(at(30)), "the lead"));
        assert!(drain(&mut lane, at(29), &ring).0.is_empty());
        let next = at(30) + ROUND_SPAN;
        assert_eq!(drain(&mut lane, at(30), &ring), (vec![at(5_000)], Some(next), "the lead"));
    }

    #[test]
    fn a_new_epoch_is_a_new_start_with_the_start_lead() {
        let mut ring = Ring::default();
        fill(&mut ring, at(0), at(400), at(0));
        let mut lane = AudioLane::new(terms(), ServerSpan::ZERO, at(0));
        assert_eq!(drain(&mut lane, at(0), &ring).0.len(), 3);
        for play_at in [1_500, 1_550, 1_600] {
            ring.push(chunk(at(play_at), 1), at(1_300));
        }
        assert!(matches!(lane.poll(at(1_300), &ring), LaneOutput::Restarted));
        assert_eq!(drain(&mut lane, at(1_300), &ring).0, [at(1_550), at(1_600)]);
    }

    #[test]
    fn what_was_sent_is_void_once_the_ring_was_cleared() {
        let mut ring = Ring::default();
        fill(&mut ring, at(0), at(5_000), at(0));
        // Room for one chunk only: what was sent has to be forgotten as well.
        let one = AudioTerms { capacity_bytes: CHUNK_BYTES, ..terms() };
        let mut lane = AudioLane::new(one, ServerSpan::ZERO, at(0));
        assert_eq!(drain(&mut lane, at(0), &ring).0, [at(250)]);
        ring.clear();
        ring.push(chunk(at(500), 1), at(100));
        assert!(matches!(lane.poll(at(100), &ring), LaneOutput::Cleared));
        assert_eq!(drain(&mut lane, at(100), &ring).0, [at(500)]);
        // Who was sent nothing has nothing to forget.
        let mut lane = AudioLane::new(terms(), ServerSpan::ZERO, at(600));
        assert_eq!(drain(&mut lane, at(600), &ring).0, []);
        ring.clear();
        assert_eq!(drain(&mut lane, at(600), &ring).0, []);
    }

    #[test]
    fn the_ledger_does_not_grow_with_the_party() {
        let mut ring = Ring::default();
        let mut lane = AudioLane::new(terms(), ServerSpan::ZERO, at(0));
        let mut now = at(0);
        let mut next = at(0);
        for _ in 0..2_000 {
            fill(&mut ring, next, now + LEAD_MAX, now);
            next = next.max(now + LEAD_MAX);
            drain(&mut lane, now, &ring);
            now += CHUNK;
        }
        assert!(lane.ledger.sent.len() <= 102, "{}", lane.ledger.sent.len());
        assert_eq!(lane.skipped(), 0);
    }
}
