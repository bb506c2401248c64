//! One direction of a WebSocket.
//!
//! A WebSocket runs over TCP: messages are never lost and never overtake each other. They can only be late,
//! and a late one holds up all that follow.

use std::collections::VecDeque;

use super::rng::Rng;

/// How a direction delays what is sent. Times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkProfile {
    /// Shortest delay.
    pub delay_us: f64,
    /// Extra delay, uniform from 0 to this.
    pub jitter_us: f64,
    /// Extra delay in queues: its mean, exponentially distributed, and the most it can be.
    pub queue_us: (f64, f64),
    /// One message in this many is retransmitted; 0 means none is.
    pub stall_one_in: u64,
    /// Extra delay of a message that had to be retransmitted, at most: a part of it comes on top.
    pub stall_us: f64,
    /// A radio that has been idle for the first time sleeps, and what is for it waits for the first to the second
    /// time; 0 means that it never sleeps. It wakes to send whenever it likes.
    ///
    /// Source: IEEE 802.11 power management, where the access point keeps frames for stations that doze, and the
    /// usual dynamic power save of systems, which stay awake for a while after traffic either way.
    pub sleep_us: (f64, f64),
    /// Bytes per second that pass; infinite where the wire is never the limit.
    pub bytes_per_s: f64,
}

impl LinkProfile {
    /// No delay at all.
    pub const NONE: Self = Self {
        delay_us: 0.0,
        jitter_us: 0.0,
        queue_us: (0.0, 0.0),
        stall_one_in: 0,
        stall_us: 0.0,
        sleep_us: (0.0, 0.0),
        bytes_per_s: f64::INFINITY,
    };

    /// 5 ± 5 ms, the home network of the first figures.
    pub const HOME: Self = Self { jitter_us: 10_000.0, ..Self::NONE };

    /// A cable: 0.2 ms, queues of 0.3 ms on average and up to 5 ms, now and then a retransmission.
    pub const LAN: Self = Self {
        delay_us: 200.0,
        queue_us: (300.0, 5_000.0),
        stall_one_in: 2_000,
        stall_us: 40_000.0,
        ..Self::NONE
    };

    /// A wireless network: 2 to 40 ms, 5 ms in queues on average, with bursts.
    pub const WIFI: Self = Self {
        delay_us: 2_000.0,
        queue_us: (5_000.0, 38_000.0),
        stall_one_in: 100,
        stall_us: 40_000.0,
        ..Self::NONE
    };

    /// A wireless network whose client sleeps when nothing comes, and is 100 to 300 ms late then.
    pub const POWER_SAVE: Self = Self { sleep_us: (100_000.0, 300_000.0), ..Self::WIFI };

    /// A mobile network: 60 ± 40 ms.
    pub const MOBILE: Self = Self { delay_us: 20_000.0, jitter_us: 80_000.0, ..Self::NONE };

    /// A busy wireless network: more jitter, and now and then a retransmission.
    pub const LOSSY: Self = Self {
        delay_us: 1_000.0,
        jitter_us: 15_000.0,
        stall_one_in: 200,
        stall_us: 200_000.0,
        ..Self::NONE
    };

    /// A wireless network of 5 Mbit/s, where a second of music takes a third of a second.
    pub const NARROW: Self = Self { bytes_per_s: 600_000.0, ..Self::WIFI };
}

/// What is on its way in one direction.
#[derive(Debug)]
pub struct Link<M> {
    profile: LinkProfile,
    rng: Rng,
    /// Messages with their arrival, in order of both.
    under_way: VecDeque<(f64, M)>,
    /// Nothing arrives before.
    held_until_us: f64,
    /// When the wire is free again.
    free_at_us: f64,
    /// Until when the radio is awake.
    awake_until_us: f64,
}

impl<M> Link<M> {
    /// An idle link.
    #[must_use]
    pub const fn new(profile: LinkProfile, rng: Rng) -> Self {
        Self {
            profile,
            rng,
            under_way: VecDeque::new(),
            held_until_us: 0.0,
            free_at_us: 0.0,
            awake_until_us: 0.0,
        }
    }

    /// Changes how messages that are sent from now on are delayed.
    pub const fn set_profile(&mut self, profile: LinkProfile) {
        self.profile = profile;
    }

    /// Sends `message` of `bytes` at a true time.
    pub fn send(&mut self, now_us: f64, message: M, bytes: usize) {
        let LinkProfile { delay_us, jitter_us, queue_us, stall_one_in, stall_us, .. } =
            self.profile;
        let (mean_us, max_us) = queue_us;
        let on_the_wire_us = bytes as f64 * 1e6 / self.profile.bytes_per_s;
        self.free_at_us = self.free_at_us.max(now_us) + on_the_wire_us;
        let mut arrival = self.free_at_us + delay_us + self.rng.between(0.0, jitter_us);
        if mean_us > 0.0 {
            arrival += (-mean_us * (1.0 - self.rng.unit()).ln()).min(max_us);
        }
        if stall_one_in > 0 && self.rng.bits().is_multiple_of(stall_one_in) {
            arrival += self.rng.between(stall_us / 2.0, stall_us);
        }
        let (least_us, most_us) = self.profile.sleep_us;
        if most_us > 0.0 && now_us > self.awake_until_us {
            arrival += self.rng.between(least_us, most_us);
        }
        self.awake_until_us = arrival + least_us;
        let before = self.under_way.back().map_or(0.0, |(at, _)| *at);
        self.under_way.push_back((arrival.max(before), message));
    }

    /// The radio at the far end sends something: it is awake for a while.
    pub const fn wake(&mut self, now_us: f64) {
        self.awake_until_us = self.awake_until_us.max(now_us + self.profile.sleep_us.0);
    }

    /// Holds up everything that is under way or sent until `until_us`.
    pub const fn hold(&mut self, until_us: f64) {
        self.held_until_us = until_us;
    }

    /// Whether nothing passes at a true time.
    #[must_use]
    pub fn is_held(&self, now_us: f64) -> bool {
        now_us < self.held_until_us
    }

    /// When the next message arrives.
    #[must_use]
    pub fn next_at(&self) -> Option<f64> {
        self.under_way.front().map(|(at, _)| at.max(self.held_until_us))
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
