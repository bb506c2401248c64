//! Which entry of a list comes when: rounds, shuffling, repeating, and the way back.
//!
//! What has been played is a tape of entries; each stretch of it is a *play*, counted from the start. Going back and
//! forth moves along the tape. At its end, the next entry of the present round is put on it.
//!
//! Pure: numbers in, numbers out.

use std::collections::VecDeque;

use protocol::message::Repeat;

use super::Order;
use super::random::Random;

/// Plays that are remembered, for the way back.
const TAPE_MAX: usize = 1_000;

/// What [`Queue::advance`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another entry of this round.
    Entry,
    /// The first entry of another round.
    Round,
    /// Nothing more is to come.
    Nothing,
}

/// The order in which the entries of a list are played. At each time one of them is the present one.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    /// Entries in the list, at least one.
    length: usize,
    order: Order,
    random: Random,
    tape: VecDeque<usize>,
    /// The play at the front of the tape.
    oldest: u64,
    /// The present play; always on the tape.
    play: u64,
    /// The rest of the present round, the next one first.
    coming: VecDeque<usize>,
    /// The round after, drawn ahead so that what is next can be told.
    round_after: Vec<usize>,
}

impl Queue {
    /// Begins with the first entry, or a random one, of a list of `length`, which is not zero.
    pub(super) fn new(length: usize, order: Order, seed: u64) -> Self {
        let mut queue = Self {
            length,
            order,
            random: Random::new(seed),
            tape: VecDeque::new(),
            oldest: 0,
            play: 0,
            coming: VecDeque::new(),
            round_after: Vec::new(),
        };
        queue.coming = queue.draw(None).into();
        queue.draw_round_after();
        let first = queue.coming.pop_front().unwrap_or(0);
        queue.tape.push_back(first);
        queue
    }

    /// The present entry.
    pub(super) fn entry(&self) -> usize {
        self.at(self.play).unwrap_or(0)
    }

    /// The present play.
    pub(super) fn play(&self) -> u64 {
        self.play
    }

    /// In which order it goes.
    pub(super) fn order(&self) -> Order {
        self.order
    }

    /// Goes on in another order. Shuffled, everything else comes once in random order; no longer shuffled, what follows
    /// the present entry in the list.
    pub(super) fn set_order(&mut self, order: Order) {
        let reorder = order.shuffle != self.order.shuffle;
        self.order = order;
        if !reorder {
            return;
        }
        let present = self.entry();
        self.cut_tape();
        self.coming = if order.shuffle {
            let mut others: Vec<_> = (0..self.length).filter(|entry| *entry != present).collect();
            self.random.shuffle(&mut others);
            others.into()
        } else {
            (present + 1..self.length).collect()
        };
        self.draw_round_after();
    }

    /// Goes to what follows, without regard to [`Repeat::One`], which is for who knows whether the entry is worth it.
    pub(super) fn advance(&mut self) -> Next {
        if self.at(self.play + 1).is_some() {
            self.play += 1;
            return Next::Entry;
        }
        let mut next = Next::Entry;
        if self.coming.is_empty() {
            if self.order.repeat == Repeat::Off {
                return Next::Nothing;
            }
            next = Next::Round;
            self.coming = std::mem::take(&mut self.round_after).into();
            self.draw_round_after();
        }
        if let Some(entry) = self.coming.pop_front() {
            self.append(entry);
        }
        next
    }

    /// Goes one play back. Returns whether there is one.
    pub(super) fn back(&mut self) -> bool {
        self.play.checked_sub(1).is_some_and(|play| self.go_to(play))
    }

    /// Goes to a play that is remembered. Returns whether it is.
    pub(super) fn go_to(&mut self, play: u64) -> bool {
        let known = self.at(play).is_some();
        if known {
            self.play = play;
        }
        known
    }

    /// Goes to an entry, and on from there: in the list, or with the rest of the shuffled round. Returns whether there
    /// is such an entry.
    pub(super) fn choose(&mut self, entry: usize) -> bool {
        if entry >= self.length {
            return false;
        }
        self.cut_tape();
        if self.order.shuffle {
            self.coming.retain(|other| *other != entry);
        } else {
            self.coming = (entry + 1..self.length).collect();
        }
        self.append(entry);
        self.draw_round_after();
        true
    }

    /// What comes next, each entry once and not the present one.
    pub(super) fn upcoming(&self) -> impl Iterator<Item = usize> {
        let ahead = (self.play + 1 - self.oldest) as usize;
        let again = self.order.repeat != Repeat::Off;
        let round_after = self.round_after.iter().filter(move |_| again);
        let mut told = vec![false; self.length];
        told[self.entry()] = true;
        let all = self.tape.range(ahead..).chain(&self.coming).chain(round_after).copied();
        all.filter(move |entry| !std::mem::replace(&mut told[*entry], true))
    }

    fn at(&self, play: u64) -> Option<usize> {
        let index = usize::try_from(play.checked_sub(self.oldest)?).ok()?;
        self.tape.get(index).copied()
    }

    /// Puts an entry at the end of the tape and goes there.
    fn append(&mut self, entry: usize) {
        self.tape.push_back(entry);
        if self.tape.len() > TAPE_MAX {
            self.tape.pop_front();
            self.oldest += 1;
        }
        self.play = self.oldest + self.tape.len() as u64 - 1;
    }

    /// Forgets what had been played after the present entry, before somebody went back to it.
    fn cut_tape(&mut self) {
        self.tape.truncate((self.play + 1 - self.oldest) as usize);
    }

    fn draw_round_after(&mut self) {
        let last = self.coming.back().copied().or_else(|| self.tape.back().copied());
        self.round_after = self.draw(last);
    }

    /// One round. A shuffled one does not begin with the entry `after` which it comes, if there is another.
    fn draw(&mut self, after: Option<usize>) -> Vec<usize> {
        let mut round: Vec<_> = (0..self.length).collect();
        if self.order.shuffle {
            self.random.shuffle(&mut round);
            if self.length > 1 && round.first().copied() == after {
                let other = 1 + self.random.below(self.length - 1);
                round.swap(0, other);
            }
        }
        round
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn order(repeat: Repeat, shuffle: bool) -> Order {
        Order { repeat, shuffle }
    }

    /// The next `count` entries, the present one first.
    fn play(queue: &mut Queue, count: usize) -> Vec<usize> {
        let mut played = vec![queue.entry()];
        while played.len() < count && queue.advance() != Next::Nothing {
            played.push(queue.entry());
        }
        played
    }

    #[test]
    fn a_list_is_played_in_order_once_or_again_and_again() {
        let mut once = Queue::new(3, order(Repeat::Off, false), 1);
        assert_eq!(play(&mut once, 9), [0, 1, 2]);
        assert_eq!(once.advance(), Next::Nothing);
        let mut again = Queue::new(3, order(Repeat::All, false), 1);
        assert_eq!(play(&mut again, 3), [0, 1, 2]);
        assert_eq!(again.advance(), Next::Round);
        assert_eq!(play(&mut again, 4), [0, 1, 2, 0]);
        let mut alone = Queue::new(1, order(Repeat::All, true), 1);
        assert_eq!((alone.advance(), alone.entry()), (Next::Round, 0));
    }

    #[test]
    fn each_shuffled_round_has_every_entry_once_and_another_order_and_none_twice_in_a_row() {
        for seed in 0..50 {
            let mut queue = Queue::new(6, order(Repeat::All, true), seed);
            let played = play(&mut queue, 6 * 20);
            let rounds: Vec<_> = played.chunks(6).collect();
            for round in &rounds {
                assert_eq!(round.iter().copied().collect::<BTreeSet<_>>(), (0..6).collect());
            }
            assert!(played.windows(2).all(|pair| pair[0] != pair[1]), "{played:?}");
            assert!(rounds.iter().collect::<BTreeSet<_>>().len() > 10, "{played:?}");
        }
        let first = |seed| Queue::new(100, order(Repeat::All, true), seed).entry();
        assert_eq!(first(7), first(7));
        assert!((0..20).map(first).collect::<BTreeSet<_>>().len() > 10);
    }

    #[test]
    fn what_is_told_to_come_comes() {
        for shuffle in [false, true] {
            let mut queue = Queue::new(5, order(Repeat::All, shuffle), 3);
            for _ in 0..7 {
                let told: Vec<_> = queue.upcoming().collect();
                assert_eq!(told.iter().copied().collect::<BTreeSet<_>>().len(), 4);
                queue.advance();
                assert_eq!(queue.entry(), told[0]);
            }
        }
        let mut queue = Queue::new(5, order(Repeat::Off, false), 3);
        assert_eq!(queue.upcoming().collect::<Vec<_>>(), [1, 2, 3, 4]);
        play(&mut queue, 5);
        assert_eq!(queue.upcoming().count(), 0);
    }

    #[test]
    fn the_way_back_is_the_way_there() {
        let mut queue = Queue::new(9, order(Repeat::All, true), 11);
        let there = play(&mut queue, 30);
        for expected in there.iter().rev().skip(1) {
            assert!(queue.back());
            assert_eq!(queue.entry(), *expected);
        }
        assert!(!queue.back());
        assert_eq!(play(&mut queue, 30), there);
    }

    #[test]
    fn the_order_changes_from_the_present_entry_on() {
        let mut queue = Queue::new(6, order(Repeat::Off, false), 5);
        play(&mut queue, 3);
        queue.set_order(order(Repeat::Off, true));
        let shuffled = play(&mut queue, 99);
        assert_eq!(shuffled.iter().copied().collect::<BTreeSet<_>>(), (0..6).collect());
        assert_eq!((shuffled[0], shuffled.len()), (2, 6));
        assert!(queue.go_to(4));
        let present = queue.entry();
        queue.set_order(order(Repeat::Off, false));
        assert_eq!(play(&mut queue, 99), (present..6).collect::<Vec<_>>());
        // What had been played stays.
        assert!(queue.go_to(1));
        assert_eq!(queue.entry(), 1);
    }

    #[test]
    fn a_chosen_entry_is_played_and_the_list_goes_on_behind_it() {
        let mut queue = Queue::new(6, order(Repeat::Off, false), 5);
        assert!(queue.choose(3) && !queue.choose(6));
        assert_eq!(play(&mut queue, 99), [3, 4, 5]);
        assert!(queue.go_to(1) && queue.back());
        assert_eq!(queue.entry(), 0);
        let mut queue = Queue::new(6, order(Repeat::Off, true), 5);
        let chosen = queue.upcoming().nth(2).unwrap();
        assert!(queue.choose(chosen));
        let rest = play(&mut queue, 99);
        assert_eq!((rest[0], rest.len()), (chosen, 5), "{rest:?}");
    }

    #[test]
    fn the_tape_is_bounded() {
        let mut queue = Queue::new(3, order(Repeat::All, false), 5);
        play(&mut queue, 3 * TAPE_MAX);
        assert!(!queue.go_to(10));
        assert!(queue.go_to(3 * TAPE_MAX as u64 - 10));
        assert_eq!(queue.tape.len(), TAPE_MAX);
    }
}
