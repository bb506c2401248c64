//! One direction of a WebSocket.
//!
//! A WebSocket runs over TCP: messages are never lost and never overtake each other. They can only be late,
//! and a late one holds up all that follow.

use std::collections::VecDeque;

use super::rng::Rng;

/// How a direction delays what is sent.
#[derive(Clone, Copy, Debug)]
pub struct LinkProfile {
    /// Shortest delay, microseconds.
    pub delay_us: f64,
    /// Extra delay, uniform from 0 to this.
    pub jitter_us: f64,
    /// One message in this many is retransmitted; 0 means none is.
    pub stall_one_in: u64,
    /// Extra delay of a message that had to be retransmitted.
    pub stall_us: f64,
}

impl LinkProfile {
    /// 5 ± 5 ms, the home network of the first figures.
    pub const HOME: Self =
        Self { delay_us: 0.0, jitter_us: 10_000.0, stall_one_in: 0, stall_us: 0.0 };

    /// A busy wireless network: more jitter, and now and then a retransmission.
    pub const LOSSY: Self =
        Self { delay_us: 1_000.0, jitter_us: 15_000.0, stall_one_in: 200, stall_us: 200_000.0 };
}

/// What is on its way in one direction.
#[derive(Debug)]
pub struct Link<M> {
    profile: LinkProfile,
    rng: Rng,
    /// Messages with their arrival, in order of both.
    under_way: VecDeque<(f64, M)>,
}

impl<M> Link<M> {
    /// An idle link.
    #[must_use]
    pub const fn new(profile: LinkProfile, rng: Rng) -> Self {
        Self { profile, rng, under_way: VecDeque::new() }
    }

    /// Changes how messages that are sent from now on are delayed.
    pub const fn set_profile(&mut self, profile: LinkProfile) {
        self.profile = profile;
    }

    /// Sends `message` at a true time.
    pub fn send(&mut self, now_us: f64, message: M) {
        let LinkProfile { delay_us, jitter_us, stall_one_in, stall_us } = self.profile;
        let mut arrival = now_us + delay_us + self.rng.between(0.0, jitter_us);
        if stall_one_in > 0 && self.rng.bits().is_multiple_of(stall_one_in) {
            arrival += stall_us;
        }
        let before = self.under_way.back().map_or(0.0, |(at, _)| *at);
        self.under_way.push_back((arrival.max(before), message));
    }

    /// When the next message arrives.
    #[must_use]
    pub fn next_at(&self) -> Option<f64> {
        self.under_way.front().map(|(at, _)| *at)
    }

    /// The next message that has arrived by a true time.
    pub fn receive(&mut self, now_us: f64) -> Option<M> {
        if self.next_at()? > now_us {
            return None;
        }
        self.under_way.pop_front().map(|(_, message)| message)
    }

    /// Loses the connection: nothing that is under way arrives.
    pub fn cut(&mut self) {
        self.under_way.clear();
    }
}
