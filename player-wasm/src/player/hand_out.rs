//! When blocks are handed out to the output: not before the clocks are known, and as far ahead as a page may be held up.

use protocol::clock_sync::ClockSync;
use protocol::time::{ClientSpan, ClientTime};

use super::{Output, Player};
use crate::output_clock::ContextFrame;
use crate::scheduler::Window;

/// How often the output's clock is read, and the output topped up: at first, and when it has sounded for
/// [`SETTLED`].
const TICKS: [ClientSpan; 2] = [ClientSpan::from_millis(50), ClientSpan::from_millis(100)];
/// See [`TICKS`].
const SETTLED: ClientSpan = ClientSpan::from_millis(30_000);
/// Blocks are handed out at least this far ahead, ms: sound begins early, while the clocks are still rough
/// and a block that is not yet handed out can still be placed better.
const AHEAD_MS_MIN: i64 = 300;
/// Blocks of a visible page are handed out this far ahead once the clocks are known, ms: a page that is
/// blocked for this long is not heard.
const AHEAD_MS_MAX: i64 = 2_500;
/// Blocks of a hidden page are handed out this far ahead, ms: its timers fire once a second at best.
const AHEAD_MS_HIDDEN: i64 = 3_500;
/// Blocks are handed out in pieces of this length once enough is handed out, ms: each hand-over costs a message to the
/// audio thread, which took half of the engine's time in Chromium when there were twenty in a second.
const HAND_OUT_MS: i64 = 250;
/// Time for a block to get to the output, ms: a hand-over to the audio thread and one hardware buffer.
const HAND_OVER_MS: i64 = 40;
/// Missing audio is waited for until this long before its hand-over, ms: more than a tick.
const PATIENCE_MS: i64 = 150;
/// Sound begins when the server's clock is known to this, µs: an estimate that is worse would be corrected
/// audibly right after.
const START_ERROR_US: f64 = 400.0;
/// Sound begins after this at the latest, however little is known of the server's clock.
pub(super) const START_WAIT: ClientSpan = ClientSpan::from_millis(1_500);

impl Player {
    /// Tops the output up if that is due at `now`.
    pub(super) fn tick(&mut self, now: ClientTime) {
        if now >= self.tick_at {
            let has_settled = self.sounding_since.is_some_and(|since| now - since > SETTLED);
            self.tick_at = now + TICKS[usize::from(has_settled)];
            self.top_up(now);
        }
    }

    /// Hands out every block that is due by now.
    pub(super) fn top_up(&mut self, now: ClientTime) {
        let (delay, may_sound) = (self.delay(), self.may_sound(now));
        if let (Some(stream), Some(output)) = (&mut self.stream, &self.output)
            && may_sound
        {
            let rate_hz = i64::from(output.rate_hz());
            let in_ms =
                |ms: i64| ContextFrame(output.unrendered_from(now).0 + ms * rate_hz / 1_000);
            let ahead_ms = match self.sounding_since {
                _ if self.hidden => AHEAD_MS_HIDDEN,
                // The look-ahead grows to its full length in the first seconds.
                Some(since) => {
                    ((now - since).as_micros() / 4_000).clamp(AHEAD_MS_MIN, AHEAD_MS_MAX)
                }
                None => AHEAD_MS_MIN,
            };
            let mut until = in_ms(HAND_OVER_MS + ahead_ms);
            if ahead_ms > 2 * HAND_OUT_MS {
                until.0 -= until.0 % (HAND_OUT_MS * rate_hz / 1_000).max(1);
            }
            let window = Window {
                from: in_ms(HAND_OVER_MS),
                patience: in_ms(HAND_OVER_MS + PATIENCE_MS),
                until,
            };
            stream.play_instead(self.calibrator.sweep());
            while let Some(block) = stream.next_block(output, delay, window) {
                self.sounding_since.get_or_insert(now);
                self.outputs.push_back(Output::Play(block));
            }
        }
        self.refresh_state(now);
    }

    /// Whether the server's clock is known well enough to begin, or sound has begun already.
    fn may_sound(&self, now: ClientTime) -> bool {
        let is_known = self.clock.as_ref().and_then(ClockSync::error_us);
        self.sounding_since.is_some()
            || is_known.is_some_and(|error_us| error_us < START_ERROR_US)
            || now > self.start_by
    }
}
