//! The sound that two devices are told apart and compared by: short sweeps at stated moments of the server's time.
//!
//! One device sweeps up at the beginning of a period, the other one down in its middle, so that the two never sound
//! together and cannot be mistaken for each other. What finds them in a recording is the
//! [`detector`](crate::chirp_detector).

use std::f64::consts::{PI, TAU};

use protocol::audio::Timeline;

use crate::jitter_buffer::Frame;

/// Time between two chirps of one device, seconds. Longer measures larger differences, and takes longer.
pub const PERIOD_S: f64 = 2.0;
/// Length of a chirp, seconds. Longer stands out further from noise; shorter is less of a nuisance.
pub const LENGTH_S: f64 = 0.064;
/// The middle of the band, hertz: 1.5 to 5 kHz is what the loudspeakers of phones and laptops do well.
pub const CENTRE_HZ: f64 = 3_250.0;
/// Width of the band, hertz.
pub const BAND_HZ: f64 = 3_500.0;
/// Hertz by which the pitch moves in a second.
pub const SLOPE: f64 = BAND_HZ / LENGTH_S;
/// Amplitude, of full scale: 12 dB below it, so that nobody is startled.
const LEVEL: f64 = 0.25;
/// Length of the raised-cosine ends, seconds: shorter ones click.
const EDGE_S: f64 = 0.008;
/// Frames over which one sound gives way to another: 10 ms at 48 kHz. Shorter clicks.
const FADE_FRAMES: f64 = 480.0;

/// Which way a chirp goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Of the device that others are compared with.
    Up,
    /// Of the device that is measured.
    Down,
}

impl Sweep {
    /// When it begins in each period, seconds.
    #[must_use]
    pub const fn slot_s(self) -> f64 {
        match self {
            Self::Up => 0.0,
            Self::Down => PERIOD_S / 2.0,
        }
    }

    /// The sound `s` seconds after its beginning; silence before and after it.
    #[must_use]
    pub fn at(self, s: f64) -> f64 {
        if !(0.0..LENGTH_S).contains(&s) {
            return 0.0;
        }
        let from_middle = s - LENGTH_S / 2.0;
        let bend = match self {
            Self::Up => SLOPE,
            Self::Down => -SLOPE,
        };
        let turns = from_middle * (CENTRE_HZ + bend * from_middle / 2.0);
        let edge = (s.min(LENGTH_S - s) / EDGE_S).min(1.0);
        LEVEL * (0.5 - 0.5 * (PI * edge).cos()) * (TAU * turns).sin()
    }
}

/// Chirps on the timeline of a stream, in place of its frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chirps {
    /// Which way they go.
    pub sweep: Sweep,
    /// Says which moment of the server's time a frame belongs to.
    pub timeline: Timeline,
}

impl Chirps {
    /// The sound at a position of the stream.
    #[must_use]
    pub fn at(&self, position: i64) -> f32 {
        let rate_hz = i64::from(self.timeline.rate_hz());
        let period_us = (PERIOD_S * 1e6) as i64;
        let start_s = self.timeline.start().as_micros().rem_euclid(period_us) as f64 * 1e-6;
        // A period is a whole number of frames, so nothing is lost far into a stream.
        let period = (PERIOD_S * rate_hz as f64) as i64;
        let since_start_s = position.rem_euclid(period.max(1)) as f64 / rate_hz as f64;
        let s = start_s + since_start_s - self.sweep.slot_s();
        self.sweep.at(s.rem_euclid(PERIOD_S)) as f32
    }
}

/// What sounds in place of a stream's frames, and what before that: one gives way to the other within a fade.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overlay {
    before: Option<Chirps>,
    now: Option<Chirps>,
    /// Position of the stream at which the change begins.
    from: i64,
}

impl Overlay {
    /// What sounds in place of the stream; `None` is the stream itself.
    #[must_use]
    pub const fn now(&self) -> Option<Chirps> {
        self.now
    }

    /// Lets `next` sound from a position on.
    pub fn change(&mut self, next: Option<Chirps>, from: i64) {
        *self = Self { before: self.now, now: next, from };
    }

    /// Puts what is to be heard in the place of `frames`, which begin at position `first`.
    pub fn apply(&self, first: i64, frames: &mut [Frame]) {
        if self.before.is_none() && self.now.is_none() {
            return;
        }
        for (position, frame) in (first..).zip(frames) {
            let share = ((position - self.from) as f64 / FADE_FRAMES).clamp(0.0, 1.0) as f32;
            let voice = |chirps: Option<Chirps>| chirps.map_or(*frame, |it| [it.at(position); 2]);
            let (before, now) = (voice(self.before), voice(self.now));
            *frame = [0, 1].map(|c| before[c] + share * (now[c] - before[c]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::time::ServerTime;

    #[test]
    fn a_chirp_is_quiet_bounded_and_has_soft_ends() {
        for sweep in [Sweep::Up, Sweep::Down] {
            let samples: Vec<f64> = (0..4_800).map(|i| sweep.at(f64::from(i) / 48_000.0)).collect();
            let peak = samples.iter().fold(0.0_f64, |peak, sample| peak.max(sample.abs()));
            assert!((0.24..=LEVEL).contains(&peak), "{peak}");
            assert!(samples[..20].iter().all(|sample| sample.abs() < 0.01), "{:?}", &samples[..20]);
            assert!(samples[3_072..].iter().all(|sample| *sample == 0.0), "longer than it says");
            assert_eq!(sweep.at(-1e-9), 0.0);
        }
    }

    /// Crossings of zero in a quarter of the chirp tell its pitch there.
    #[test]
    fn one_goes_up_and_the_other_down() {
        let crossings = |sweep: Sweep, from: f64| {
            let samples: Vec<f64> =
                (0..768).map(|i| sweep.at(from + f64::from(i) / 48_000.0)).collect();
            samples.windows(2).filter(|pair| pair[0] * pair[1] < 0.0).count()
        };
        let late = 0.75 * LENGTH_S;
        assert!(crossings(Sweep::Up, 0.0) * 3 / 2 < crossings(Sweep::Up, late));
        assert!(crossings(Sweep::Down, late) * 3 / 2 < crossings(Sweep::Down, 0.0));
    }

    #[test]
    fn chirps_are_where_the_servers_time_says() {
        for (start_us, rate_hz) in [(0, 48_000), (7_123_456_789, 44_100), (-1_234_567, 48_000)] {
            let timeline = Timeline::new(ServerTime::from_micros(start_us), rate_hz);
            for sweep in [Sweep::Up, Sweep::Down] {
                let chirps = Chirps { sweep, timeline };
                for position in [-40_000, 0, 1_000, 99_999, 4_000_000_000] {
                    for position in position..position + 90_000 {
                        let us = start_us as f64 + position as f64 * 1e6 / f64::from(rate_hz);
                        let s = (us * 1e-6 - sweep.slot_s()).rem_euclid(PERIOD_S);
                        let due = sweep.at(s);
                        assert!((f64::from(chirps.at(position)) - due).abs() < 2e-3, "{position}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_sound_gives_way_to_the_other_without_a_step() {
        let timeline = Timeline::new(ServerTime::from_micros(0), 48_000);
        let mut overlay = Overlay::default();
        let mut frames = [[0.5, -0.5]; 2_000];
        overlay.apply(0, &mut frames);
        assert_eq!(frames, [[0.5, -0.5]; 2_000], "the stream passes as it is");
        overlay.change(Some(Chirps { sweep: Sweep::Down, timeline }), 500);
        overlay.apply(0, &mut frames);
        assert_eq!(frames[500], [0.5, -0.5]);
        assert_eq!(frames[980], [0.0; 2], "between two chirps there is silence");
        let steps = frames.windows(2).map(|pair| (pair[1][0] - pair[0][0]).abs());
        assert!(steps.fold(0.0, f32::max) < 0.002);
        overlay.change(None, 1_000);
        let mut frames = [[0.5, -0.5]; 1_000];
        overlay.apply(1_000, &mut frames);
        assert_eq!((frames[0], frames[480]), ([0.0; 2], [0.5, -0.5]));
    }
}
