//! The last minute of the player's figures, for the graph and for the words about it.

use std::collections::VecDeque;

use player_wasm::stats::{State, Stats};

/// Time between two readings, milliseconds.
pub const READ_MS: u32 = 250;
/// Readings of a minute.
const READINGS: usize = 240;
/// Jumps and holes in a minute from which on a person should know.
const DISTURBANCES_MIN: u32 = 3;

/// Readings, oldest first. Bounded: the oldest goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History(VecDeque<Stats>);

impl History {
    /// Takes a reading. A player that begins again begins a new history.
    pub fn push(&mut self, stats: Stats) {
        if matches!(stats.state, State::Idle | State::Connecting | State::Error) {
            self.0.clear();
        }
        if self.0.len() == READINGS {
            self.0.pop_front();
        }
        self.0.push_back(stats);
    }

    /// The last reading.
    pub fn latest(&self) -> Stats {
        self.0.back().cloned().unwrap_or_default()
    }

    /// How often the sound jumped or broke off in the last minute, if that is often.
    pub fn many_disturbances(&self) -> Option<u32> {
        let count = |stats: &Stats| stats.reanchors + stats.underruns;
        let grown = count(self.0.back()?).saturating_sub(count(self.0.front()?));
        (grown >= DISTURBANCES_MIN).then_some(grown)
    }

    /// A figure over time as points of a line, `width` by `height`, newest at the right. Values from -1.0 to 1.0 are
    /// shown from bottom to top, others at the edge; readings without one are left out.
    pub fn line(
        &self,
        (width, height): (f64, f64),
        value: impl Fn(&Stats) -> Option<f64>,
    ) -> String {
        let missing = READINGS - self.0.len();
        let points = self.0.iter().enumerate().filter_map(|(i, stats)| {
            let value = value(stats)?.clamp(-1.0, 1.0);
            let x = (missing + i) as f64 / (READINGS - 1) as f64 * width;
            let y = (1.0 - value) / 2.0 * height;
            Some(format!("{},{}", x.round() as i64, y.round() as i64))
        });
        points.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn playing(error_us: f64, reanchors: u32) -> Stats {
        let sync_error_us = Some(error_us);
        Stats { state: State::Playing, sync_error_us, reanchors, ..Stats::default() }
    }

    #[wasm_bindgen_test]
    fn a_minute_is_kept_and_drawn_from_right_to_left() {
        let mut history = History::default();
        for i in 0..1_000 {
            history.push(playing(f64::from(i % 2) * 1_000.0, 0));
        }
        let line = history.line((239.0, 100.0), |stats| stats.sync_error_us.map(|us| us / 1e3));
        let points: Vec<&str> = line.split(' ').collect();
        assert_eq!((points.len(), points[0], points[239]), (240, "0,50", "239,0"));
    }

    #[wasm_bindgen_test]
    fn disturbances_are_counted_within_the_minute() {
        let mut history = History::default();
        history.push(playing(0.0, 7));
        history.push(playing(0.0, 9));
        assert_eq!(history.many_disturbances(), None);
        history.push(playing(0.0, 10));
        assert_eq!(history.many_disturbances(), Some(3));
        history.push(Stats::default());
        assert_eq!(history.many_disturbances(), None);
    }
}
