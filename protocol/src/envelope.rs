//! Offset and drift of a remote clock from the fastest messages in both directions.
//!
//! Every request bounds the offset from above (offset plus its delay), every reply from below (offset
//! minus its delay). No delay is shorter than the bare path, queues only add to it, and the two directions
//! queue independently. So the true line, offset against time, runs between the two clouds of bounds with
//! the bare path's delay as its room on either side, and the edges of the clouds tell where it is: the error
//! shrinks with the *number* of exchanges, where an average's shrinks with its square root, and no exchange
//! has to be lucky in both directions at once.
//!
//! For queueing delays that are exponentially distributed, the likelihood of a line depends on the room `m`
//! alone that it leaves on both sides: it is proportional to `exp(2 n m / mean delay)` for `n` exchanges.
//! [`Envelope::fit`] is the mean over all lines by that weight, which is far steadier than the best line.
//!
//! Pure: numbers in, numbers out. Measured against the filter of the specification in
//! `clock_sync::tests::beats_the_best_of_eight_through_the_filter`.
//!
//! Source: bounds from one-way delays as in V. Paxson, "On Calibrating Measurements of Packet Transit Times"
//! (1998), and the hull of S. Moon et al., "Estimation and Removal of Clock Skew from Network Delay
//! Measurements" (1999); the weight follows from the exponential density.

use std::collections::VecDeque;

use crate::time::{ClientSpan, ClientTime};

/// Exchanges kept. Beyond this many the clocks' own wander is larger than what more would add.
const EXCHANGES_MAX: usize = 1_024;
/// Exchanges older than this say more about the crystals' past than about their present.
const AGE_MAX: ClientSpan = ClientSpan::from_secs(600);
/// Room that is given to bounds for their age, microseconds for each second squared: half the speed at which a
/// drift changes: a part in a million within two minutes.
const WANDER_US_PER_S2: f64 = 0.005;
/// Largest drift between two working clocks: each may be off by 250 ppm.
const DRIFT_MAX: f64 = 500e-6;
/// Pull of the drift towards what it was, or zero, while little is known: a line this many microseconds worse is accepted
/// for one unit of drift less. Crystals are usually within 50 ppm, and a second of exchanges tells less.
const DRIFT_PRIOR_US: f64 = 1e5;
/// Smallest mean queueing delay that is believed, microseconds: clocks of browsers step by 5 to 100.
const MEAN_DELAY_US_MIN: f64 = 5.0;
/// Bounds that cross by more than this prove that a clock stepped; what is older is void.
const STEP_US: f64 = 2_000.0;
/// Lines that are less likely than the best by more than this exponent do not count.
const WEIGHT_EXPONENT_MAX: f64 = 6.0;
/// Lines that the mean is taken over.
const LINES: usize = 33;

/// What one exchange says of the offset, remote minus local clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exchange {
    /// When the request left.
    pub requested: ClientTime,
    /// Offset plus the request's delay, microseconds.
    pub upper_us: f64,
    /// When the reply arrived.
    pub replied: ClientTime,
    /// Offset minus the reply's delay, microseconds.
    pub lower_us: f64,
}

/// The line through the middle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Offset at the time of the fit, microseconds.
    pub offset_us: f64,
    /// Remote microseconds gained in each local one.
    pub drift: f64,
    /// Standard error of the offset, microseconds, if both directions have the same bare path.
    pub error_us: f64,
}

/// A bound relative to the time of the fit.
type Point = (f64, f64);

/// Bounds of the recent past.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    exchanges: VecDeque<Exchange>,
    /// Drift before the exchanges say anything: what it was before they were voided.
    drift: f64,
    /// Of the last fit.
    last_drift: f64,
}

impl Envelope {
    /// Takes an exchange that is newer than all before.
    pub fn push(&mut self, exchange: Exchange) {
        if self.exchanges.len() == EXCHANGES_MAX {
            self.exchanges.pop_front();
        }
        self.exchanges.push_back(exchange);
        while self
            .exchanges
            .front()
            .is_some_and(|oldest| exchange.replied - oldest.replied > AGE_MAX)
        {
            self.exchanges.pop_front();
        }
    }

    /// Forgets all exchanges. The drift is remembered: crystals do not change when a clock jumps.
    pub fn forget(&mut self) {
        self.exchanges.clear();
        self.drift = self.last_drift;
    }

    /// Exchanges that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exchanges.len()
    }

    /// Whether there are no exchanges.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    /// Shortest round trip among the kept exchanges, microseconds.
    #[must_use]
    pub fn round_trip_us(&self) -> Option<f64> {
        self.exchanges.iter().map(|exchange| exchange.upper_us - exchange.lower_us).reduce(f64::min)
    }

    /// The line through the middle, with the offset at `now`. `None` without exchanges.
    ///
    /// Forgets exchanges from before a step of one of the clocks.
    pub fn fit(&mut self, now: ClientTime) -> Option<Fit> {
        loop {
            let newest = *self.exchanges.back()?;
            let base_us = f64::midpoint(newest.upper_us, newest.lower_us);
            let hulls = self.hulls(now, base_us);
            let best = hulls.best();
            if hulls.room(best) >= -STEP_US || self.exchanges.len() == 1 {
                let queueing = self.mean_round_trip_us() / 2.0 - hulls.room(best);
                let scale = self.scale(now, queueing.max(MEAN_DELAY_US_MIN));
                let mut fit = hulls.mean_line(best, scale);
                fit.offset_us += base_us;
                self.last_drift = fit.drift;
                return Some(fit);
            }
            self.drift = self.last_drift;
            let void = self.exchanges.len().div_ceil(4);
            self.exchanges.drain(..void);
        }
    }

    /// Room by which a line may be worse than the best before it is much less likely, microseconds: the mean delay by
    /// the number of bounds. Those count that are not relaxed by more than that for their age.
    fn scale(&self, now: ClientTime, mean_delay_us: f64) -> f64 {
        let mut count = self.exchanges.len() as f64;
        for _ in 0..3 {
            let scale = mean_delay_us / (2.0 * count);
            let part =
                |e: &Exchange| (-wander_us((e.replied - now).as_micros() as f64) / scale).exp();
            count = self.exchanges.iter().map(part).sum::<f64>().max(1.0);
        }
        mean_delay_us / (2.0 * count)
    }

    fn mean_round_trip_us(&self) -> f64 {
        let sum: f64 = self.exchanges.iter().map(|e| e.upper_us - e.lower_us).sum();
        sum / self.exchanges.len() as f64
    }

    fn hulls(&self, now: ClientTime, base_us: f64) -> Hulls {
        let age = |at: ClientTime| (at - now).as_micros() as f64;
        let point = |age_us: f64, bound_us: f64| (age_us, bound_us + wander_us(age_us));
        let upper = self.exchanges.iter().map(|e| point(age(e.requested), e.upper_us - base_us));
        // Mirrored, so that one hull routine serves both.
        let lower = self.exchanges.iter().map(|e| point(age(e.replied), base_us - e.lower_us));
        Hulls { upper: lower_hull(upper), mirrored: lower_hull(lower), drift: self.drift }
    }
}

/// Room that a bound is given for its age: the drift may have changed meanwhile.
fn wander_us(age_us: f64) -> f64 {
    WANDER_US_PER_S2 * (age_us / 1e6).powi(2)
}

/// The edges of both clouds: only these points can touch a line that runs between them.
struct Hulls {
    upper: Vec<Point>,
    mirrored: Vec<Point>,
    /// The drift that needs no evidence.
    drift: f64,
}

impl Hulls {
    /// Highest and lowest offset at the time of the fit that a line of this drift may have.
    fn bounds(&self, drift: f64) -> (f64, f64) {
        let upper = self.upper.iter().map(|(x, y)| y - drift * x).fold(f64::INFINITY, f64::min);
        let lower = self.mirrored.iter().map(|(x, y)| y + drift * x).fold(f64::INFINITY, f64::min);
        (upper, -lower)
    }

    /// Room on either side of the middle line of this drift, less what the drift costs. Concave.
    fn room(&self, drift: f64) -> f64 {
        let (upper, lower) = self.bounds(drift);
        (upper - lower) / 2.0 - DRIFT_PRIOR_US * (drift - self.drift).abs()
    }

    /// The drift that leaves the most room, by ternary search.
    fn best(&self) -> f64 {
        let (mut low, mut high) = (-DRIFT_MAX, DRIFT_MAX);
        for _ in 0..40 {
            let third = (high - low) / 3.0;
            if self.room(low + third) < self.room(high - third) {
                low += third;
            } else {
                high -= third;
            }
        }
        f64::midpoint(low, high)
    }

    /// The drift between `best` and `limit` from which on lines are too unlikely to count.
    fn edge(&self, best: f64, limit: f64, room_min: f64) -> f64 {
        let (mut inside, mut outside) = (best, limit);
        for _ in 0..25 {
            let middle = f64::midpoint(inside, outside);
            if self.room(middle) > room_min {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        inside
    }

    /// Mean of the lines around the best one, weighted by their likelihood.
    fn mean_line(&self, best: f64, scale: f64) -> Fit {
        let room = self.room(best);
        let room_min = room - WEIGHT_EXPONENT_MAX * scale;
        let low = self.edge(best, -DRIFT_MAX, room_min);
        let high = self.edge(best, DRIFT_MAX, room_min);
        let (mut weights, mut offsets, mut squares, mut drifts) = (0.0, 0.0, 0.0, 0.0);
        for line in 0..LINES {
            let drift = low + (high - low) * line as f64 / (LINES - 1) as f64;
            let (upper, lower) = self.bounds(drift);
            let offset = f64::midpoint(upper, lower);
            let weight = ((self.room(drift) - room) / scale).exp();
            weights += weight;
            offsets += weight * offset;
            squares += weight * offset * offset;
            drifts += weight * drift;
        }
        let offset_us = offsets / weights;
        // Spread between the lines, and of each line between its bounds.
        let variance = (squares / weights - offset_us * offset_us).max(0.0) + scale * scale;
        Fit { offset_us, drift: drifts / weights, error_us: variance.sqrt() }
    }
}

/// Lower edge of points in order of time, by the monotone chain.
fn lower_hull(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut hull: Vec<Point> = Vec::new();
    for point in points {
        while let [.., a, b] = hull[..]
            && (b.0 - a.0) * (point.1 - a.1) <= (b.1 - a.1) * (point.0 - a.0)
        {
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An exchange at `at_us` with these delays, on clocks that are `offset_us` and `drift` apart.
    fn exchange(at_us: i64, (up_us, down_us): (i64, i64), offset_us: f64, drift: f64) -> Exchange {
        let replied_us = at_us + up_us + down_us;
        let true_at = |us: i64| offset_us + drift * us as f64;
        Exchange {
            requested: ClientTime::from_micros(at_us),
            upper_us: true_at(at_us) + up_us as f64,
            replied: ClientTime::from_micros(replied_us),
            lower_us: true_at(replied_us) - down_us as f64,
        }
    }

    #[test]
    fn finds_offset_and_drift_through_queues() {
        let mut envelope = Envelope::default();
        let (offset, drift) = (7e11, 83e-6);
        let mut at = 0;
        for i in 0..600_i64 {
            at = i * 100_000;
            // Queues of up to 8 ms that have nothing to do with each other, on a path of 1 ms.
            let delays = (1_000 + i * 7_919 % 8_000, 1_000 + i * 104_729 % 8_000);
            envelope.push(exchange(at, delays, offset, drift));
        }
        let fit = envelope.fit(ClientTime::from_micros(at)).unwrap();
        let error = fit.offset_us - (offset + drift * at as f64);
        assert!(error.abs() < 40.0, "offset off by {error} us");
        assert!((fit.drift - drift).abs() < 1e-6, "drift {} ppm", fit.drift * 1e6);
        assert!(error.abs() < 4.0 * fit.error_us, "claims {} us, is off by {error}", fit.error_us);
    }

    #[test]
    fn a_step_of_a_clock_voids_what_is_older() {
        let mut envelope = Envelope::default();
        for i in 0..400_i64 {
            let offset = if i < 300 { 0.0 } else { 60e6 };
            envelope.push(exchange(
                i * 50_000,
                (500 + i % 7 * 100, 500 + i % 5 * 100),
                offset,
                0.0,
            ));
        }
        let fit = envelope.fit(ClientTime::from_micros(400 * 50_000)).unwrap();
        assert!((fit.offset_us - 60e6).abs() < 500.0, "offset {}", fit.offset_us);
        assert!(envelope.len() <= 100);
    }

    #[test]
    fn one_exchange_is_the_middle_of_its_bounds() {
        let mut envelope = Envelope::default();
        assert_eq!(envelope.fit(ClientTime::from_micros(0)), None);
        envelope.push(exchange(1_000, (400, 600), 50.0, 0.0));
        let fit = envelope.fit(ClientTime::from_micros(2_000)).unwrap();
        assert!((fit.offset_us + 50.0).abs() < 1.0, "offset {}", fit.offset_us);
    }

    #[test]
    fn memory_is_bounded_in_number_and_age() {
        let mut envelope = Envelope::default();
        for i in 0..5_000 {
            envelope.push(exchange(i * 1_000, (10, 10), 0.0, 0.0));
        }
        assert_eq!(envelope.len(), EXCHANGES_MAX);
        envelope.push(exchange(3_600_000_000, (10, 10), 0.0, 0.0));
        assert_eq!(envelope.len(), 1);
    }

    proptest! {
        #[test]
        fn survives_any_exchanges(rows in prop::collection::vec(any::<[i64; 4]>(), 1..40)) {
            let mut envelope = Envelope::default();
            for [requested, upper, replied, lower] in rows {
                envelope.push(Exchange {
                    requested: ClientTime::from_micros(requested),
                    upper_us: upper as f64,
                    replied: ClientTime::from_micros(replied),
                    lower_us: lower as f64,
                });
                let _ = envelope.fit(ClientTime::from_micros(replied));
            }
        }
    }
}
