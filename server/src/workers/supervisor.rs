//! Decides when a worker is started, given up or killed.
//!
//! Pure: what happens to workers and the time go in, orders come out.

use protocol::time::{ServerSpan, ServerTime};

/// How long a worker may take until it listens.
const START_WITHIN: ServerSpan = ServerSpan::from_secs(10);

/// First and longest pause before a worker that ended is started again.
const PAUSE_MIN: ServerSpan = ServerSpan::from_millis(250);
const PAUSE_MAX: ServerSpan = ServerSpan::from_secs(10);

/// A worker that lived so long had a mishap, and is not broken.
const STABLE_AFTER: ServerSpan = ServerSpan::from_secs(10);

/// Ends in a row without a stable life between them after which a worker is given up.
const ENDS_MAX: u32 = 5;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Start this worker.
    Start(usize),
    /// This worker did not get ready in time: kill it. Its end is to be reported like any other.
    Kill(usize),
}

/// What becomes of a worker that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is started again after this.
    Again(ServerSpan),
    /// It ended too often in a row.
    GivenUp,
}

/// Watches over workers.
#[derive(Debug)]
pub(super) struct Supervisor {
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    phase: Phase,
    /// Ends in a row.
    ends: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting { until: ServerTime },
    Starting { until: ServerTime },
    Killed,
    Ready { since: ServerTime },
    GivenUp,
}

impl Supervisor {
    /// So many workers, all to be started at `now`.
    pub(super) fn new(workers: u16, now: ServerTime) -> Self {
        let slot = Slot { phase: Phase::Waiting { until: now }, ends: 0 };
        Self { slots: vec![slot; usize::from(workers)] }
    }

    /// What is to be done at `now`. Each order comes once.
    pub(super) fn poll(&mut self, now: ServerTime) -> Option<Order> {
        self.slots.iter_mut().enumerate().find_map(|(worker, slot)| match slot.phase {
            Phase::Waiting { until } if until <= now => {
                slot.phase = Phase::Starting { until: now + START_WITHIN };
                Some(Order::Start(worker))
            }
            Phase::Starting { until } if until <= now => {
                slot.phase = Phase::Killed;
                Some(Order::Kill(worker))
            }
            _ => None,
        })
    }

    /// When to call [`Supervisor::poll`] again, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<ServerTime> {
        let times = self.slots.iter().filter_map(|slot| match slot.phase {
            Phase::Waiting { until } | Phase::Starting { until } => Some(until),
            _ => None,
        });
        times.reduce(ServerTime::min)
    }

    /// The worker listens.
    pub(super) fn handle_ready(&mut self, now: ServerTime, worker: usize) {
        if let Some(slot) = self.slots.get_mut(worker)
            && matches!(slot.phase, Phase::Starting { .. })
        {
            slot.phase = Phase::Ready { since: now };
        }
    }

    /// The worker has ended, or could not be started. `jitter` is a part of one, so that workers that ended together are
    /// not started together.
    pub(super) fn handle_end(&mut self, now: ServerTime, worker: usize, jitter: f64) -> Fate {
        let Some(slot) = self.slots.get_mut(worker) else { return Fate::GivenUp };
        if let Phase::Ready { since } = slot.phase
            && now - since >= STABLE_AFTER
        {
            slot.ends = 0;
        }
        slot.ends += 1;
        if slot.ends >= ENDS_MAX {
            slot.phase = Phase::GivenUp;
            return Fate::GivenUp;
        }
        let longest = (PAUSE_MIN * (1 << (slot.ends - 1))).min(PAUSE_MAX);
        let part = 0.5 + 0.5 * jitter.clamp(0.0, 1.0);
        let pause = ServerSpan::from_micros((longest.as_micros() as f64 * part) as i64);
        slot.phase = Phase::Waiting { until: now + pause };
        Fate::Again(pause)
    }

    /// How many listen.
    pub(super) fn ready(&self) -> usize {
        self.count(|phase| matches!(phase, Phase::Ready { .. }))
    }

    /// Whether all that have not been given up listen, and there is one.
    pub(super) fn is_complete(&self) -> bool {
        let given_up = self.count(|phase| phase == Phase::GivenUp);
        self.ready() > 0 && self.ready() + given_up == self.slots.len()
    }

    /// Whether none is left.
    pub(super) fn is_dead(&self) -> bool {
        self.count(|phase| phase == Phase::GivenUp) == self.slots.len()
    }

    fn count(&self, is_one: impl Fn(Phase) -> bool) -> usize {
        self.slots.iter().filter(|slot| is_one(slot.phase)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> ServerTime {
        ServerTime::from_micros(millis * 1_000)
    }

    fn started(workers: u16) -> Supervisor {
        let mut supervisor = Supervisor::new(workers, at(0));
        for worker in 0..usize::from(workers) {
            assert_eq!(supervisor.poll(at(0)), Some(Order::Start(worker)));
        }
        assert_eq!(supervisor.poll(at(0)), None);
        supervisor
    }

    #[test]
    fn one_that_hangs_at_its_start_is_killed_once_and_started_again() {
        let mut supervisor = started(1);
        assert_eq!(supervisor.deadline(), Some(at(10_000)));
        assert_eq!(supervisor.poll(at(9_999)), None);
        assert_eq!(supervisor.poll(at(10_000)), Some(Order::Kill(0)));
        assert_eq!(supervisor.poll(at(20_000)), None);
        let fate = supervisor.handle_end(at(10_001), 0, 1.0);
        assert_eq!(fate, Fate::Again(PAUSE_MIN));
        assert_eq!(supervisor.poll(at(10_250)), None);
        assert_eq!(supervisor.poll(at(10_251)), Some(Order::Start(0)));
    }

    #[test]
    fn one_that_crashes_again_and_again_is_given_up_and_the_others_are_not() {
        let mut supervisor = started(2);
        supervisor.handle_ready(at(100), 0);
        let mut now = at(100);
        let mut pauses = Vec::new();
        loop {
            supervisor.handle_ready(now, 1);
            match supervisor.handle_end(now, 1, 0.0) {
                Fate::Again(pause) => pauses.push(pause.as_micros() / 1_000),
                Fate::GivenUp => break,
            }
            now = supervisor.deadline().expect("a start");
            assert_eq!(supervisor.poll(now), Some(Order::Start(1)));
        }
        assert_eq!(pauses, [125, 250, 500, 1_000]);
        assert!(supervisor.is_complete() && !supervisor.is_dead());
        assert_eq!((supervisor.ready(), supervisor.deadline()), (1, None));
        // The other one has lived for long, and is not held to what happened before.
        for day in 1..10 {
            let now = at(day * 86_400_000);
            assert!(matches!(supervisor.handle_end(now, 0, 0.0), Fate::Again(_)));
            assert_eq!(supervisor.poll(now + PAUSE_MIN), Some(Order::Start(0)));
            supervisor.handle_ready(now + PAUSE_MIN, 0);
        }
    }

    #[test]
    fn none_left_is_the_end() {
        let mut supervisor = started(1);
        for _ in 0..ENDS_MAX {
            assert!(!supervisor.is_dead());
            supervisor.handle_end(at(0), 0, 0.5);
            supervisor.poll(at(100_000));
        }
        assert!(supervisor.is_dead() && !supervisor.is_complete());
    }
}
