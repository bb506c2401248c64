//! A clock with an origin and a crystal of its own.

/// A clock as a function of true time. True time is in microseconds, fractional.
#[derive(Clone, Copy, Debug)]
pub struct SimClock {
    epoch_us: f64,
    rate: f64,
}

impl SimClock {
    /// A clock that shows `epoch_us` at true time 0 and runs `drift_ppm` fast.
    #[must_use]
    pub fn new(epoch_us: f64, drift_ppm: f64) -> Self {
        Self { epoch_us, rate: 1.0 + drift_ppm * 1e-6 }
    }

    /// What the clock shows at a true time.
    #[must_use]
    pub fn at(&self, true_us: f64) -> f64 {
        self.epoch_us + true_us * self.rate
    }

    /// What the clock shows, as a program reads it: whole microseconds.
    #[must_use]
    pub fn read(&self, true_us: f64) -> i64 {
        self.at(true_us).floor() as i64
    }

    /// The true time at which the clock shows `shown_us`.
    #[must_use]
    pub fn when(&self, shown_us: f64) -> f64 {
        (shown_us - self.epoch_us) / self.rate
    }
}
