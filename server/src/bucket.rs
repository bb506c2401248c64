//! A token bucket, filled by time: what is rare may come at once, what is frequent has to be paced.
//!
//! Pure: the time is passed in.

use protocol::time::{ServerSpan, ServerTime};

/// Credit that grows with time up to a limit, and is spent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    credit: ServerSpan,
    full: ServerSpan,
    speed: i64,
    counted_at: ServerTime,
}

impl Bucket {
    /// A full bucket that holds `full` and gains `speed` times the time that passes.
    pub(crate) const fn new(full: ServerSpan, speed: i64, now: ServerTime) -> Self {
        Self { credit: full, full, speed, counted_at: now }
    }

    /// When `cost` may be spent; `None` is now.
    pub(crate) fn ready_at(&mut self, now: ServerTime, cost: ServerSpan) -> Option<ServerTime> {
        let passed = (now - self.counted_at).max(ServerSpan::ZERO);
        self.credit = (self.credit + passed * self.speed).min(self.full);
        self.counted_at = now;
        let missing = (cost - self.credit).as_micros();
        (missing > 0)
            .then(|| now + ServerSpan::from_micros((missing + self.speed - 1) / self.speed))
    }

    /// Spends `cost`, whether it is there or not.
    pub(crate) fn spend(&mut self, cost: ServerSpan) {
        self.credit -= cost;
    }

    /// Spends `cost` if it is there. Returns whether it was.
    pub(crate) fn take(&mut self, now: ServerTime, cost: ServerSpan) -> bool {
        let is_there = self.ready_at(now, cost).is_none();
        if is_there {
            self.spend(cost);
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_at_once_and_then_as_fast_as_it_fills() {
        let at = |millis: i64| ServerTime::from_micros(millis * 1_000);
        let cost = ServerSpan::from_millis(10);
        let mut bucket = Bucket::new(cost * 3, 2, at(0));
        let taken = |bucket: &mut Bucket, now| (0..9).filter(|_| bucket.take(now, cost)).count();
        assert_eq!(taken(&mut bucket, at(0)), 3);
        assert_eq!(bucket.ready_at(at(0), cost), Some(at(5)));
        assert_eq!(taken(&mut bucket, at(4)), 0);
        assert_eq!(taken(&mut bucket, at(5)), 1);
        // However long nothing was taken, no more than it holds; and a clock that goes back gives nothing.
        assert_eq!(taken(&mut bucket, at(10_000)), 3);
        assert_eq!(taken(&mut bucket, at(0)), 0);
    }
}
