//! The beats: how far apart the onsets are that come again and again, and where they are.
//!
//! The tempo is the distance at which the onsets of the last seconds are most like themselves; the beats are the places at
//! that distance where they are strongest; from then on each beat is looked for near where it is due. Which beat begins a
//! bar is not known: nothing that this looks at could tell.
//!
//! Source: Scheirer, "Tempo and Beat Analysis of Acoustic Musical Signals" (1998), and Ellis, "Beat Tracking by Dynamic
//! Programming" (2007), whose preference for middling tempos this has.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::onsets::RATE;

/// Looks that are remembered: eight seconds.
const MEMORY: usize = 8 * RATE;

/// Looks before a tempo is named: several beats of the slowest.
const ENOUGH: usize = 4 * RATE;

/// How often the tempo is looked at, looks.
const REVIEW_EVERY: u64 = RATE as u64 / 2;

/// Distances of beats, looks: 200 to 60 a minute.
const PERIODS: RangeInclusive<usize> = RATE * 60 / 200..=RATE;

/// The distance that people tap most readily, looks, and how fast others are less likely, octaves (Ellis, section 3.2).
const PERIOD_LIKED: f32 = RATE as f32 / 2.0;
const LIKING: f32 = 0.9;

/// How much likelier the present distance is than others: a tempo and its double are often about as good.
const STEADINESS: f32 = 1.3;

/// How like itself music must be to have a beat, of 1.
const LIKENESS_MIN: f32 = 0.12;

/// How far from where it is due a beat is looked for, looks.
pub(super) const TOLERANCE: usize = 12;

/// How much weaker than the best the present beats may be, before the others are taken.
const WEAK: f32 = 0.6;

/// Finds beats in how strongly something sets in.
#[derive(Default)]
pub(super) struct Beats {
    /// The newest at the end.
    strengths: VecDeque<f32>,
    /// Looks so far.
    looks: u64,
    pulse: Option<Pulse>,
}

/// A beat that goes on.
#[derive(Clone, Copy, Debug)]
struct Pulse {
    /// Looks between two beats.
    period: f32,
    /// When the next is due, a look with a fraction.
    due: f64,
}

impl Beats {
    /// Forgets what was heard.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes the next look. Returns which look a beat was at, if one is found; that is [`TOLERANCE`] looks ago at least, and
    /// at most twice as many and one.
    pub(super) fn push(&mut self, strength: f32) -> Option<u64> {
        if self.strengths.len() >= MEMORY {
            self.strengths.pop_front();
        }
        self.strengths.push_back(strength);
        self.looks += 1;
        if self.looks.is_multiple_of(REVIEW_EVERY) && self.strengths.len() >= ENOUGH {
            self.review();
        }
        let pulse = self.pulse.as_mut()?;
        if (self.looks - 1) as f64 + 0.5 < pulse.due + TOLERANCE as f64 {
            return None;
        }
        let due = pulse.due;
        let found = self.strongest_near(due).unwrap_or(due);
        let pulse = self.pulse.as_mut()?;
        // Halfway: one that is off by chance does not lead the others astray.
        pulse.due = due + 0.5 * (found - due) + f64::from(pulse.period);
        Some(found.max(0.0).round() as u64)
    }

    /// Where the strongest onset near `due` is, if there is one.
    fn strongest_near(&self, due: f64) -> Option<f64> {
        let mean = self.strengths.iter().sum::<f32>() / self.strengths.len().max(1) as f32;
        let middle = due.round() as i64;
        let reach = TOLERANCE as i64;
        let near = (middle - reach..=middle + reach).filter_map(|look| {
            let off = (look as f64 - due) as f32 / TOLERANCE as f32;
            let strength = self.at(look)?;
            (strength > 2.0 * mean).then_some((strength * (-2.0 * off * off).exp(), look))
        });
        near.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, look)| look as f64)
    }

    /// How strongly something set in at that look, if it is remembered.
    fn at(&self, look: i64) -> Option<f32> {
        let oldest = self.looks as i64 - self.strengths.len() as i64;
        self.strengths.get(usize::try_from(look - oldest).ok()?).copied()
    }

    /// Finds out anew which beat goes on.
    fn review(&mut self) {
        let smooth = self.smooth();
        let Some(period) = tempo(&smooth, self.pulse.map(|pulse| pulse.period)) else {
            self.pulse = None;
            return;
        };
        let comb = |phase: f32| {
            let teeth =
                (0..).map(|tooth| smooth.len() as f32 - 1.0 - phase - tooth as f32 * period);
            let teeth = teeth.take_while(|&place| place >= 0.0);
            teeth.map(|place| smooth[place.round() as usize]).sum::<f32>()
        };
        let phases = (0..period.ceil() as usize).map(|phase| phase as f32);
        let best = phases.max_by(|&one, &other| comb(one).total_cmp(&comb(other))).unwrap_or(0.0);
        let newest = (self.looks - 1) as f64;
        if let Some(pulse) = &mut self.pulse {
            let ago = (newest - pulse.due) as f32;
            let kept = (-2..=2).map(|off| comb((ago + off as f32).rem_euclid(period)));
            if kept.fold(0.0, f32::max) >= WEAK * comb(best) {
                pulse.period = period;
                return;
            }
        }
        // The first beat that is still to be looked for, and does not come right after one that was found.
        let after = self.pulse.map_or(newest, |pulse| pulse.due - 0.5 * f64::from(pulse.period));
        let mut due = newest - f64::from(best);
        while due < after.max(newest - TOLERANCE as f64) {
            due += f64::from(period);
        }
        self.pulse = Some(Pulse { period, due });
    }

    /// The strengths less their mean, each with a share of its neighbours'.
    fn smooth(&self) -> Vec<f32> {
        let mean = self.strengths.iter().sum::<f32>() / self.strengths.len() as f32;
        let at = |place: usize| self.strengths.get(place).copied().unwrap_or(mean) - mean;
        (0..self.strengths.len())
            .map(|place| 0.5 * at(place) + 0.25 * (at(place.wrapping_sub(1)) + at(place + 1)))
            .collect()
    }
}

/// The distance at which onsets come again, looks, where it was `present` so far; `None` when they do not.
fn tempo(smooth: &[f32], present: Option<f32>) -> Option<f32> {
    let likeness = |lag: usize| {
        let products = smooth.iter().zip(smooth.get(lag..).unwrap_or_default());
        products.map(|(one, other)| one * other).sum::<f32>()
    };
    let whole = likeness(0);
    let first = PERIODS.start() - 1;
    let likenesses: Vec<f32> = (first..=PERIODS.end() + 1).map(likeness).collect();
    let liked = |period: usize| {
        let octaves = (period as f32 / PERIOD_LIKED).log2() / LIKING;
        let is_present = present.is_some_and(|present| (present - period as f32).abs() <= 2.0);
        let steadiness = if is_present { STEADINESS } else { 1.0 };
        likenesses[period - first] * (-0.5 * octaves * octaves).exp() * steadiness
    };
    let period = PERIODS.max_by(|&one, &other| liked(one).total_cmp(&liked(other)))?;
    let [before, here, after] = [0, 1, 2].map(|place| likenesses[period - first - 1 + place]);
    if whole <= 0.0 || here < LIKENESS_MIN * whole {
        return None;
    }
    let bend = before - 2.0 * here + after;
    let off = if bend < 0.0 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 };
    Some(period as f32 + off)
}
