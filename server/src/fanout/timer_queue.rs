//! What is to be looked at when, the earliest first.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use protocol::time::ServerTime;

/// Items and their times. One that is pushed twice is there twice.
#[derive(Debug)]
pub(crate) struct TimerQueue<T> {
    entries: BinaryHeap<Reverse<Entry<T>>>,
}

#[derive(Debug)]
struct Entry<T> {
    at: ServerTime,
    item: T,
}

impl<T> TimerQueue<T> {
    /// Adds `item`. Returns whether it is earlier than all others.
    pub(crate) fn push(&mut self, at: ServerTime, item: T) -> bool {
        let is_first = self.next().is_none_or(|next| at < next);
        self.entries.push(Reverse(Entry { at, item }));
        is_first
    }

    /// The earliest item, once its time has come.
    pub(crate) fn pop_due(&mut self, now: ServerTime) -> Option<(ServerTime, T)> {
        if self.next()? > now {
            return None;
        }
        self.entries.pop().map(|Reverse(Entry { at, item })| (at, item))
    }

    /// The earliest time.
    pub(crate) fn next(&self) -> Option<ServerTime> {
        self.entries.peek().map(|Reverse(entry)| entry.at)
    }

    /// All items, in no order.
    pub(crate) fn items(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|Reverse(entry)| &entry.item)
    }
}

impl<T> Default for TimerQueue<T> {
    fn default() -> Self {
        Self { entries: BinaryHeap::new() }
    }
}

// By time alone.

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::fixture::at;

    #[test]
    fn the_earliest_comes_first_and_not_before_its_time() {
        let mut queue = TimerQueue::default();
        assert!(queue.push(at(20), "b"));
        assert!(!queue.push(at(30), "c"));
        assert!(!queue.push(at(20), "b again"));
        assert!(queue.push(at(10), "a"));
        assert_eq!(queue.next(), Some(at(10)));
        assert_eq!(queue.pop_due(at(9)), None);
        assert_eq!(queue.pop_due(at(10)), Some((at(10), "a")));
        assert_eq!(queue.items().count(), 3);
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop_due(at(29))).map(|(at, _)| at).collect();
        assert_eq!(rest, [at(20), at(20)]);
        assert_eq!(queue.next(), Some(at(30)));
    }
}
