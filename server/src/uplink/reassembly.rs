//! One format's chunks on their way from the origin: put in order, holes asked for again, what cannot come any more given
//! up.
//!
//! Pure: chunks and times go in, chunks in order and fetches come out.

use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::time::{ClientSpan, ClientTime, ServerSpan, ServerTime};

use super::wire::{ChunkHeader, FETCH_MAX, Fetch};
use crate::pipeline::encoder::WireFormat;
use crate::pipeline::{CHUNK_SPAN, REACH_MAX};

/// Most chunks that wait for one before them: twice what can be ahead. When full, the hole is given up.
const PENDING_MAX: usize = 2 * (REACH_MAX.as_micros() / CHUNK_SPAN.as_micros()) as usize;

/// How long a missing chunk may be on its way before it is asked for.
const GRACE: ClientSpan = ClientSpan::from_millis(50);

/// How long an answer may take before the question is asked again.
const ANSWER_WITHIN: ClientSpan = ClientSpan::from_millis(1_000);

/// Time before it is heard at which a missing chunk is given up: listeners need the one after it, and nothing wakes an edge
/// for it before the next report.
const GIVE_UP: ServerSpan = ServerSpan::from_millis(1_500);

/// A chunk as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    /// What its audio is in.
    pub(crate) format: WireFormat,
    /// Which one.
    pub(crate) header: ChunkHeader,
    /// The whole binary message.
    pub(crate) message: Bytes,
}

/// Puts one format's chunks in order.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    /// Number of the next chunk to hand out; `None` before anything is known.
    next: Option<u64>,
    /// Chunks behind a hole.
    pending: BTreeMap<u64, Raw>,
    /// What the origin was asked for, and until when an answer is expected.
    asked: Option<(Fetch, ClientTime)>,
    /// Since when the present hole is known.
    missing_since: Option<ClientTime>,
    /// Chunks that never came.
    lost: u64,
}

impl Reassembly {
    /// Takes a chunk. One that is known, or over, is dropped.
    pub(crate) fn push(&mut self, raw: Raw) {
        let number = raw.header.number;
        let is_over = self.next.is_some_and(|next| number < next);
        if !is_over && self.pending.len() < PENDING_MAX {
            self.pending.entry(number).or_insert(raw);
        }
    }

    /// The answer to `fetch` is complete: if that was asked last, what of it did not come is gone. `head` is the number of
    /// the next chunk that the origin makes, as far as is known.
    pub(crate) fn answered(&mut self, fetch: &Fetch, head: u64) {
        // `after` tells one from another.
        if self.asked.take_if(|(asked, _)| asked == fetch).is_none() {
            return;
        }
        self.missing_since = None;
        let first = self.pending.keys().next().copied();
        match self.next {
            // What comes from now on comes unasked.
            None => self.next = Some(first.unwrap_or(head)),
            Some(next) if next == fetch.from => {
                self.skip_to(first.unwrap_or(head).min(fetch.to).max(next));
            }
            Some(_) => {}
        }
    }

    /// The next chunk in order, at this time of the party's clock.
    pub(crate) fn pop(&mut self, now: ServerTime) -> Option<Raw> {
        let next = self.next?;
        let entry = self.pending.first_entry()?;
        let number = *entry.key();
        let is_due = entry.get().header.end - CHUNK_SPAN < now + GIVE_UP;
        if number > next && !is_due && self.pending.len() < PENDING_MAX {
            return None;
        }
        self.skip_to(number);
        self.next = Some(number.saturating_add(1));
        self.missing_since = None;
        self.pending.remove(&number)
    }

    /// What to ask the origin for now, if anything. `head` is the number of the next chunk that it makes, as far as is
    /// known; `party_now` is `now` on its clock.
    pub(crate) fn fetch(
        &mut self,
        now: ClientTime,
        party_now: ServerTime,
        head: u64,
    ) -> Option<Fetch> {
        if self.asked.as_ref().is_some_and(|&(_, until)| now < until) {
            return None;
        }
        self.asked = None;
        let (from, to) = match (self.next, self.pending.keys().next()) {
            (None, first) => (0, first.copied().unwrap_or(u64::MAX)),
            (Some(next), Some(&first)) => (next, first),
            (Some(next), None) => (next, head),
        };
        if from >= to {
            self.missing_since = None;
            return None;
        }
        let since = *self.missing_since.get_or_insert(now);
        // In the beginning nothing can be on its way.
        if self.next.is_some() && now < since + GRACE {
            return None;
        }
        let fetch = Fetch { from, to, after: party_now };
        self.asked = Some((fetch, now + ANSWER_WITHIN));
        Some(fetch)
    }

    /// When [`Reassembly::fetch`] may have something new to ask.
    pub(crate) fn deadline(&self) -> Option<ClientTime> {
        let asked = self.asked.as_ref().map(|&(_, until)| until);
        asked.or_else(|| self.missing_since.map(|since| since + GRACE))
    }

    /// Nothing is asked any more, as the connection is gone.
    pub(crate) fn disconnect(&mut self) {
        self.asked = None;
        self.missing_since = None;
    }

    /// Chunks that never came since this was last asked.
    pub(crate) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    fn skip_to(&mut self, number: u64) {
        if let Some(next) = self.next {
            self.lost = self.lost.saturating_add(number.saturating_sub(next));
        }
        self.next = Some(number);
        self.pending = self.pending.split_off(&number);
    }
}

/// How many chunks an answer to `fetch` has at most.
pub(crate) fn fetch_count(fetch: &Fetch) -> u64 {
    fetch.to.saturating_sub(fetch.from).min(u64::from(FETCH_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(millis: i64) -> ClientTime {
        ClientTime::from_micros(millis * 1_000)
    }

    fn party(millis: i64) -> ServerTime {
        ServerTime::from_micros(millis * 1_000)
    }

    /// The `number`th chunk of 100 ms, the first of which is heard at 10 s.
    fn raw(number: u64) -> Raw {
        let end = party(10_100 + 100 * number as i64);
        let header = ChunkHeader { instance: 1, number, epoch: 0, cuts: 0, end };
        Raw { format: WireFormat::Pcm16, header, message: Bytes::new() }
    }

    /// The answer to what was asked last is complete.
    fn answer(reassembly: &mut Reassembly, head: u64) {
        let (fetch, _) = reassembly.asked.expect("a fetch");
        reassembly.answered(&fetch, head);
    }

    fn numbers(reassembly: &mut Reassembly, now: ServerTime) -> Vec<u64> {
        std::iter::from_fn(|| reassembly.pop(now)).map(|raw| raw.header.number).collect()
    }

    /// One that has got the chunks before 5.
    fn running() -> Reassembly {
        let mut reassembly = Reassembly::default();
        reassembly.fetch(host(0), party(0), 0).expect("a first fetch");
        (0..5).for_each(|number| reassembly.push(raw(number)));
        answer(&mut reassembly, 5);
        assert_eq!(numbers(&mut reassembly, party(0)), [0, 1, 2, 3, 4]);
        reassembly
    }

    #[test]
    fn what_was_made_before_is_fetched_and_joined_with_what_comes() {
        let mut reassembly = Reassembly::default();
        reassembly.push(raw(12));
        let fetch = reassembly.fetch(host(0), party(7), 12).expect("a fetch");
        assert_eq!(fetch, Fetch { from: 0, to: 12, after: party(7) });
        assert_eq!(reassembly.fetch(host(1), party(8), 12), None);
        assert_eq!(numbers(&mut reassembly, party(0)), [0_u64; 0]);
        (3..11).for_each(|number| reassembly.push(raw(number)));
        answer(&mut reassembly, 13);
        assert_eq!(numbers(&mut reassembly, party(0)), (3..11).collect::<Vec<_>>());
        assert_eq!(reassembly.fetch(host(2), party(9), 13), None);
        let fetch = reassembly.fetch(host(52), party(59), 13).expect("the rest");
        assert_eq!((fetch.from, fetch.to), (11, 12));
        reassembly.push(raw(11));
        answer(&mut reassembly, 13);
        assert_eq!(numbers(&mut reassembly, party(0)), [11, 12]);
        assert_eq!(reassembly.take_lost(), 0);
    }

    #[test]
    fn an_idle_party_begins_with_what_comes() {
        let mut reassembly = Reassembly::default();
        reassembly.fetch(host(0), party(0), 40).expect("a fetch");
        answer(&mut reassembly, 40);
        assert_eq!(reassembly.fetch(host(10), party(10), 40), None);
        reassembly.push(raw(40));
        assert_eq!(numbers(&mut reassembly, party(0)), [40]);
    }

    #[test]
    fn a_lost_chunk_is_fetched_and_the_others_wait_for_it() {
        let mut reassembly = running();
        reassembly.push(raw(6));
        assert_eq!(numbers(&mut reassembly, party(0)), [0_u64; 0]);
        assert_eq!(reassembly.fetch(host(100), party(100), 7), None);
        let fetch = reassembly.fetch(host(150), party(150), 7).expect("a fetch");
        assert_eq!((fetch.from, fetch.to), (5, 6));
        reassembly.push(raw(5));
        reassembly.push(raw(5));
        answer(&mut reassembly, 7);
        assert_eq!(numbers(&mut reassembly, party(0)), [5, 6]);
    }

    #[test]
    fn a_lost_last_chunk_is_noticed_by_the_count() {
        let mut reassembly = running();
        assert_eq!(reassembly.fetch(host(100), party(100), 6), None);
        let fetch = reassembly.fetch(host(150), party(150), 6).expect("a fetch");
        assert_eq!((fetch.from, fetch.to), (5, 6));
        // No answer: asked again.
        assert_eq!(reassembly.fetch(host(1_149), party(1_149), 6), None);
        assert!(reassembly.fetch(host(1_150), party(1_150), 6).is_some());
    }

    #[test]
    fn what_the_origin_does_not_have_is_given_up() {
        let mut reassembly = running();
        reassembly.push(raw(20));
        reassembly.fetch(host(100), party(100), 21);
        reassembly.fetch(host(200), party(200), 21).expect("a fetch");
        (12..20).for_each(|number| reassembly.push(raw(number)));
        answer(&mut reassembly, 21);
        assert_eq!(numbers(&mut reassembly, party(0)), (12..21).collect::<Vec<_>>());
        assert_eq!(reassembly.take_lost(), 7);
    }

    #[test]
    fn nobody_waits_for_a_chunk_until_the_next_is_late() {
        let mut reassembly = running();
        reassembly.push(raw(6));
        // Chunk 6 is heard at 10.6 s.
        assert_eq!(numbers(&mut reassembly, party(9_100)), [0_u64; 0]);
        assert_eq!(numbers(&mut reassembly, party(9_101)), [6]);
        reassembly.push(raw(5));
        assert_eq!(numbers(&mut reassembly, party(10_101)), [0_u64; 0]);
        assert_eq!(reassembly.take_lost(), 1);
    }

    #[test]
    fn an_answer_to_another_question_says_nothing() {
        let mut reassembly = running();
        reassembly.push(raw(8));
        reassembly.fetch(host(100), party(100), 9);
        let first = reassembly.fetch(host(150), party(150), 9).expect("a fetch");
        reassembly.fetch(host(1_200), party(1_200), 9).expect("the same once more");
        reassembly.answered(&first, 9);
        assert_eq!(numbers(&mut reassembly, party(0)), [0_u64; 0]);
        (5..8).for_each(|number| reassembly.push(raw(number)));
        answer(&mut reassembly, 9);
        assert_eq!(numbers(&mut reassembly, party(0)), [5, 6, 7, 8]);
        assert_eq!(reassembly.take_lost(), 0);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let mut reassembly = running();
        (6..10_000).for_each(|number| reassembly.push(raw(number)));
        assert_eq!(reassembly.pending.len(), PENDING_MAX);
        assert_eq!(numbers(&mut reassembly, party(0)).len(), PENDING_MAX);
    }
}
