//! The connection's life: first attempt, handshake, loss, and when to try again.

use protocol::time::{ClientSpan, ClientTime};

/// Time for the connection to open and the server to say hello. A person who pressed Join waits no longer
/// before wanting to know what is wrong.
const HANDSHAKE_WAIT: ClientSpan = ClientSpan::from_secs(10);
/// Silence after which the connection counts as lost: time replies alone come every ten seconds.
const SILENCE_MAX: ClientSpan = ClientSpan::from_secs(15);
/// First pause before a new attempt, doubled each time (wire reference 8.3).
const RETRY_PAUSE_MIN_MS: i64 = 1_000;
/// Longest pause before a new attempt (wire reference 8.3).
const RETRY_PAUSE_MAX_MS: i64 = 15_000;

/// Where the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Opening, or waiting for the server's hello.
    Handshake { until: ClientTime },
    /// Talking; last heard of at the given time.
    Open { heard: ClientTime },
    /// Lost; the next attempt is due.
    Waiting { retry_at: ClientTime },
    /// Ended on purpose.
    Ended,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Open a connection.
    Connect,
    /// The server is silent: give the connection up, as if it had closed.
    GiveUp,
}

/// Decides when to connect and when to give a connection up.
#[derive(Debug)]
pub(super) struct Link {
    stage: Stage,
    /// A hello was received at some time: from then on a loss is worth retrying.
    was_open: bool,
    retry_pause_ms: i64,
    seed: u64,
}

impl Link {
    /// A first attempt that begins at `now`. `seed` spreads the retries of many players.
    pub(super) fn new(now: ClientTime, seed: u64) -> Self {
        Self {
            stage: Stage::Handshake { until: now + HANDSHAKE_WAIT },
            was_open: false,
            retry_pause_ms: RETRY_PAUSE_MIN_MS,
            seed,
        }
    }

    /// The server said hello.
    pub(super) fn opened(&mut self, now: ClientTime) {
        self.stage = Stage::Open { heard: now };
        self.was_open = true;
        self.retry_pause_ms = RETRY_PAUSE_MIN_MS;
    }

    /// Something came from the server.
    pub(super) fn heard(&mut self, now: ClientTime) {
        if let Stage::Open { heard } = &mut self.stage {
            *heard = now;
        }
    }

    /// The connection is gone. Returns whether it will be tried again.
    pub(super) fn lost(&mut self, now: ClientTime) -> bool {
        if !self.was_open || self.stage == Stage::Ended {
            self.stage = Stage::Ended;
            return false;
        }
        // Half to the whole pause, so that a thousand pages do not come back in the same instant.
        let jitter = (self.random() % 512) as i64;
        let pause = self.retry_pause_ms / 2 + self.retry_pause_ms * jitter / 1_024;
        self.retry_pause_ms = (self.retry_pause_ms * 2).min(RETRY_PAUSE_MAX_MS);
        self.stage = Stage::Waiting { retry_at: now + ClientSpan::from_millis(pause) };
        true
    }

    /// The server is there and said to come again: from now on a loss is worth retrying.
    pub(super) fn invite(&mut self) {
        self.was_open = true;
    }

    /// Nothing is to be tried any more.
    pub(super) fn end(&mut self) {
        self.stage = Stage::Ended;
    }

    /// A pause before the next attempt is over now: there is reason to hope.
    pub(super) fn hurry(&mut self, now: ClientTime) {
        if let Stage::Waiting { retry_at } = &mut self.stage {
            *retry_at = now;
        }
    }

    /// Whether the server said hello and is still there.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open { .. })
    }

    /// Whether listening goes on, be it connected or not.
    pub(super) fn is_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Whether an attempt is under way, as opposed to waiting for the next one.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Waiting { .. })
    }

    /// Advances time.
    pub(super) fn handle_timeout(&mut self, now: ClientTime) -> Option<Due> {
        if now < self.deadline()? {
            return None;
        }
        match self.stage {
            Stage::Waiting { .. } => {
                self.stage = Stage::Handshake { until: now + HANDSHAKE_WAIT };
                Some(Due::Connect)
            }
            Stage::Handshake { .. } | Stage::Open { .. } => Some(Due::GiveUp),
            Stage::Ended => None,
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn deadline(&self) -> Option<ClientTime> {
        match self.stage {
            Stage::Handshake { until } => Some(until),
            Stage::Open { heard } => Some(heard + SILENCE_MAX),
            Stage::Waiting { retry_at } => Some(retry_at),
            Stage::Ended => None,
        }
    }

    /// `SplitMix64` (Steele, Lea, Flood 2014): any seed gives a good spread.
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: ClientTime = ClientTime::from_micros(1_000_000);

    #[test]
    fn a_first_attempt_that_fails_is_not_repeated() {
        let mut link = Link::new(START, 1);
        assert!(!link.lost(START));
        assert!(link.is_ended());
        assert_eq!(link.deadline(), None);
    }

    #[test]
    fn who_is_told_to_come_again_does() {
        let mut link = Link::new(START, 1);
        link.invite();
        assert!(link.lost(START));
        assert!(!link.is_ended());
    }

    #[test]
    fn retries_come_later_each_time_and_start_over_after_a_success() {
        let mut link = Link::new(START, 1);
        let mut now = START;
        for expected_ms in [1_000, 2_000, 4_000, 8_000, 15_000, 15_000] {
            link.opened(now);
            link.retry_pause_ms = expected_ms;
            assert!(link.lost(now));
            let pause = link.deadline().unwrap() - now;
            assert!(pause >= ClientSpan::from_millis(expected_ms / 2), "{pause:?}");
            assert!(pause <= ClientSpan::from_millis(expected_ms), "{pause:?}");
            now += pause;
            assert_eq!(link.handle_timeout(now), Some(Due::Connect));
        }
        assert_eq!(link.retry_pause_ms, RETRY_PAUSE_MAX_MS);
        link.opened(now);
        assert_eq!(link.retry_pause_ms, RETRY_PAUSE_MIN_MS);
    }

    #[test]
    fn a_silent_server_is_given_up() {
        let mut link = Link::new(START, 1);
        assert_eq!(link.handle_timeout(START + HANDSHAKE_WAIT), Some(Due::GiveUp));
        link.opened(START);
        link.heard(START + ClientSpan::from_secs(10));
        assert_eq!(link.handle_timeout(START + SILENCE_MAX), None);
        let silent = START + ClientSpan::from_secs(10) + SILENCE_MAX;
        assert_eq!(link.handle_timeout(silent), Some(Due::GiveUp));
    }
}
