//! When to try again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The first pause, and the longest. Many parties may wait for one radio: each pause is between half and all of it.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// Who has played for so long begins with the first pause again.
const WORKED: Duration = Duration::from_secs(30);

/// Pauses that grow.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after an attempt that lasted for `lasted`.
    pub(super) fn after(&mut self, lasted: Duration) -> Duration {
        if lasted >= WORKED {
            self.failures = 0;
        }
        let pause = FIRST.saturating_mul(1 << self.failures.min(6)).min(LONGEST);
        self.failures += 1;
        pause.mul_f64(0.5 + 0.5 * dice())
    }
}

/// 0 to 1, different at each call and on each machine.
fn dice() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_begin_anew_after_success() {
        let mut backoff = Backoff::default();
        let mut longest = FIRST;
        for _ in 0..20 {
            let pause = backoff.after(Duration::from_secs(1));
            assert!((longest / 2..=longest).contains(&pause), "{pause:?} of {longest:?}");
            longest = (longest * 2).min(LONGEST);
        }
        assert!(backoff.after(WORKED) <= FIRST);
    }
}
