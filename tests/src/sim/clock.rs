//! A clock with an origin, a crystal and a resolution of its own.

use std::f64::consts::TAU;

/// Period of the wander, microseconds: a room that warms up and cools down.
const WANDER_PERIOD_US: f64 = 240e6;

/// A clock as a function of true time. True time is in microseconds, fractional.
#[derive(Clone, Copy, Debug)]
pub struct SimClock {
    epoch_us: f64,
    rate: f64,
    /// Largest deviation that the wander adds, microseconds, and where in its period it begins, radians.
    wander: (f64, f64),
    /// Step in which the clock is read, microseconds.
    resolution_us: f64,
}

impl SimClock {
    /// A clock that shows `epoch_us` at true time 0 and runs `drift_ppm` fast. It is read in whole microseconds.
    #[must_use]
    pub fn new(epoch_us: f64, drift_ppm: f64) -> Self {
        Self { epoch_us, rate: 1.0 + drift_ppm * 1e-6, wander: (0.0, 0.0), resolution_us: 1.0 }
    }

    /// The same clock with a drift that swings by up to `ppm` around its mean, beginning at `phase` radians.
    #[must_use]
    pub fn with_wander(mut self, ppm: f64, phase: f64) -> Self {
        self.wander = (ppm * 1e-6 * WANDER_PERIOD_US / TAU, phase);
        self
    }

    /// The same clock, read in steps of `resolution_us`.
    #[must_use]
    pub fn with_resolution(mut self, resolution_us: f64) -> Self {
        self.resolution_us = resolution_us;
        self
    }

    /// What the clock shows at a true time.
    #[must_use]
    pub fn at(&self, true_us: f64) -> f64 {
        let (amplitude_us, phase) = self.wander;
        let wander_us = amplitude_us * (TAU * true_us / WANDER_PERIOD_US + phase).sin();
        self.epoch_us + true_us * self.rate + wander_us
    }

    /// What the clock shows, as a program reads it: whole steps, and the middle of the step is meant.
    #[must_use]
    pub fn read(&self, true_us: f64) -> i64 {
        let step_us = self.resolution_us;
        ((self.at(true_us) / step_us).floor() * step_us + (step_us / 2.0).floor()) as i64
    }

    /// The true time at which the clock shows `shown_us`.
    #[must_use]
    pub fn when(&self, shown_us: f64) -> f64 {
        // The wander changes by less than a part in a thousand of its argument: two rounds are exact.
        let mut true_us = (shown_us - self.epoch_us) / self.rate;
        for _ in 0..2 {
            true_us += (shown_us - self.at(true_us)) / self.rate;
        }
        true_us
    }

    /// Sets the clock forward by `us`, as a suspended machine finds it.
    pub fn step(&mut self, us: f64) {
        self.epoch_us += us;
    }
}
