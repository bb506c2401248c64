//! Sync error to action: nudge the rate, or jump.
//!
//! The rate follows what is known of the clocks' drift (feed forward) plus a part of the error, so that an
//! error fades with a time constant instead of being chased. Changes are slewed: no listener hears a rate
//! change of a few hundred ppm that takes a second. An error too large to fade out of hearing is jumped
//! over once.

/// Above this error the player jumps instead of sliding. 1 ms is the specification's limit for being in
/// step (wire reference 5.5); sliding it away at [`PPM_MAX`] would take several seconds out of step.
const JUMP_ERROR_US: f64 = 1_000.0;
/// Time in which an error shrinks to 1/e, seconds. Shorter would turn the clock estimate's noise into
/// pitch, longer would leave the first, roughest estimates audible between two rooms.
const ERROR_TIME_CONSTANT_S: f64 = 1.0;
/// Most that the error may add to the rate, ppm: a semitone's 1/200, inaudible even on a steady tone.
const PPM_MAX: f64 = 300.0;
/// Fastest change of the rate, ppm per second.
const SLEW_PPM_PER_S: f64 = 300.0;

/// What to do about the sync error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Read the stream this much faster than nominal, ppm.
    Play {
        /// Deviation from the nominal rate.
        ppm: f64,
    },
    /// Jump to the right frame.
    Jump,
}

/// Steers the rate of one run of sound.
#[derive(Clone, Copy, Debug)]
pub struct RateControl {
    ppm: f64,
}

impl RateControl {
    /// Starts at the rate that the clocks' drift asks for, so that no run starts with a warble.
    #[must_use]
    pub const fn new(drift_ppm: f64) -> Self {
        Self { ppm: drift_ppm }
    }

    /// Whether an error is too large to be faded away.
    #[must_use]
    pub const fn must_jump(error_us: f64) -> bool {
        error_us.abs() > JUMP_ERROR_US
    }

    /// Decides for the next `span_s` seconds of output.
    ///
    /// `error_us` is where the stream is minus where it should be: positive is late, so the stream must
    /// be read faster. `drift_ppm` is how much faster the stream runs than the output.
    pub fn decide(&mut self, error_us: f64, drift_ppm: f64, span_s: f64) -> Action {
        if Self::must_jump(error_us) {
            *self = Self::new(drift_ppm);
            return Action::Jump;
        }
        let correction = (error_us / ERROR_TIME_CONSTANT_S).clamp(-PPM_MAX, PPM_MAX);
        let slew = SLEW_PPM_PER_S * span_s;
        self.ppm += (drift_ppm + correction - self.ppm).clamp(-slew, slew);
        Action::Play { ppm: self.ppm }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the control for `seconds` against a stream that drifts by `true_ppm`; returns the last error
    /// and the largest step of the rate.
    fn run(
        control: &mut RateControl,
        mut error_us: f64,
        true_ppm: f64,
        seconds: f64,
    ) -> (f64, f64) {
        let span_s = 0.01;
        let mut last = control.ppm;
        let mut step_max = 0.0_f64;
        for _ in 0..(seconds / span_s) as u32 {
            let Action::Play { ppm } = control.decide(error_us, true_ppm, span_s) else {
                panic!("jumped at {error_us} us");
            };
            step_max = step_max.max((ppm - last).abs());
            last = ppm;
            error_us += (true_ppm - ppm) * span_s;
        }
        (error_us, step_max)
    }

    #[test]
    fn an_error_fades_without_overshoot_worth_hearing() {
        let mut control = RateControl::new(100.0);
        let (error, step_max) = run(&mut control, 900.0, 100.0, 20.0);
        assert!(error.abs() < 2.0, "left {error} us");
        assert!(step_max <= SLEW_PPM_PER_S * 0.01 + 1e-9, "step of {step_max} ppm");
    }

    #[test]
    fn a_run_starts_at_the_rate_of_the_drift() {
        let mut control = RateControl::new(-180.0);
        assert_eq!(control.decide(0.0, -180.0, 0.01), Action::Play { ppm: -180.0 });
    }

    #[test]
    fn late_is_answered_by_playing_faster() {
        let mut control = RateControl::new(0.0);
        let Action::Play { ppm } = control.decide(500.0, 0.0, 0.1) else { panic!() };
        assert!(ppm > 0.0);
        let Action::Play { ppm } = RateControl::new(0.0).decide(-500.0, 0.0, 0.1) else { panic!() };
        assert!(ppm < 0.0);
    }

    #[test]
    fn a_large_error_is_jumped_over() {
        let mut control = RateControl::new(0.0);
        assert_eq!(control.decide(1_001.0, 20.0, 0.01), Action::Jump);
        assert_eq!(control.decide(0.0, 20.0, 0.01), Action::Play { ppm: 20.0 });
    }
}
