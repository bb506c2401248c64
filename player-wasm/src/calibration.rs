//! How much later one device is heard than another, from a recording of the chirps of both.
//!
//! Pure: blocks of the recording in, rounds and an answer out. The recording has a clock and a latency of its own; neither
//! matters, for only times within one recording are compared, and each chirp of one device with its two neighbours of the
//! other.

use crate::chirp::{CENTRE_HZ, PERIOD_S, SLOPE};
use crate::chirp_detector::ChirpDetector;

/// Rounds that have to agree.
pub const ROUNDS: usize = 5;
/// Rounds agree when each is this near to the middle, seconds. Noise moves them by less; a device that jumps, or slides
/// into step, by more.
const AGREE_S: f64 = 0.001;
/// Two chirps of a device are neighbours when the recording's clock is at most this far off, a part. Crystals are off by
/// a tenth of it.
const CLOCK_OFF_MAX: f64 = 0.001;
/// A larger difference, seconds, is refused: nearer to the next chirp, it might be one in the other direction.
pub const OFFSET_S_MAX: f64 = 0.9;
/// Chirps of one device that are kept: more than any measurement lasts. When full, the oldest goes.
const KEPT_MAX: usize = 32;
/// Median absolute deviation to standard deviation, for the normal distribution.
const MAD_TO_SIGMA: f64 = 1.482_6;

/// How two devices differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offset {
    /// How much later the measured device is heard, milliseconds; negative is earlier.
    pub late_ms: f64,
    /// Two standard errors of that, milliseconds, as far as the rounds tell.
    pub within_ms: f64,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Neither device is heard above the noise.
    NothingHeard,
    /// The device that plays along is not heard above the noise.
    OtherNotHeard,
    /// The device that is measured is not heard above the noise.
    ThisNotHeard,
    /// Both are heard, but not steadily: the rounds say different things.
    Unsteady,
    /// They are further apart than can be measured.
    TooFarApart,
}

/// One measurement, in one recording.
#[derive(Debug)]
pub struct Measurement {
    detector: ChirpDetector,
    /// When chirps were heard, seconds, up and down.
    heard: [Vec<f64>; 2],
}

impl Measurement {
    /// Of a recording at `rate_hz`.
    #[must_use]
    pub fn new(rate_hz: u32) -> Self {
        Self { detector: ChirpDetector::new(rate_hz), heard: [Vec::new(), Vec::new()] }
    }

    /// Takes the next block of the recording.
    pub fn hear(&mut self, samples: &[f32]) {
        self.detector.hear(samples);
        while let Some(arrivals) = self.detector.next_period() {
            for (heard, arrival) in self.heard.iter_mut().zip(arrivals) {
                if let Some(at) = arrival {
                    if heard.len() == KEPT_MAX {
                        heard.remove(0);
                    }
                    heard.push(at);
                }
            }
        }
    }

    /// Whether the other device and this one were heard.
    #[must_use]
    pub fn has_heard(&self) -> [bool; 2] {
        [0, 1].map(|sweep| !self.heard[sweep].is_empty())
    }

    /// Rounds that count, at most [`ROUNDS`].
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.offsets().len()
    }

    /// The answer, once enough rounds agree.
    #[must_use]
    pub fn offset(&self) -> Option<Offset> {
        let offsets = self.offsets();
        let (middle, spread) = middle_and_spread(&offsets)?;
        let is_steady = offsets.iter().all(|offset| (offset - middle).abs() <= AGREE_S);
        let is_sure = offsets.len() == ROUNDS && is_steady && middle.abs() <= OFFSET_S_MAX;
        // The standard error of a median is a quarter more than that of a mean.
        let error = 1.25 * MAD_TO_SIGMA * spread / (ROUNDS as f64).sqrt();
        is_sure.then_some(Offset { late_ms: middle * 1e3, within_ms: 2.0 * error * 1e3 })
    }

    /// Why there is no answer yet.
    #[must_use]
    pub fn doubt(&self) -> Doubt {
        let middle = middle_and_spread(&self.offsets()).map(|(middle, _)| middle);
        match (self.has_heard(), middle) {
            ([false, false], _) => Doubt::NothingHeard,
            ([false, true], _) => Doubt::OtherNotHeard,
            ([true, false], _) => Doubt::ThisNotHeard,
            (_, Some(middle)) if middle.abs() > OFFSET_S_MAX => Doubt::TooFarApart,
            _ => Doubt::Unsteady,
        }
    }

    /// The latest rounds, seconds on the server's clock: each chirp of the measured device against the middle between
    /// its neighbours of the other, which is where it belongs.
    fn offsets(&self) -> Vec<f64> {
        let [ups, downs] = &self.heard;
        let round = |pair: &[f64]| {
            let [before, after] = *pair.first_chunk::<2>()?;
            let clock_off = (after - before) / PERIOD_S - 1.0;
            let down = downs.iter().find(|down| (before..after).contains(*down))?;
            let apart = (down - f64::midpoint(before, after)) / (1.0 + clock_off);
            // A clock that is off shifts the pitch, and a sweep that is shifted is found where it has the pitch: one
            // earlier and the other later.
            let bent = 2.0 * clock_off * CENTRE_HZ / SLOPE;
            (clock_off.abs() <= CLOCK_OFF_MAX).then_some(apart + bent)
        };
        let mut offsets: Vec<f64> = ups.windows(2).filter_map(round).collect();
        offsets.drain(..offsets.len().saturating_sub(ROUNDS));
        offsets
    }
}

/// Median and median absolute deviation; `None` of nothing.
fn middle_and_spread(offsets: &[f64]) -> Option<(f64, f64)> {
    let middle = median(offsets)?;
    let apart: Vec<f64> = offsets.iter().map(|offset| (offset - middle).abs()).collect();
    let spread = median(&apart)?;
    Some((middle, spread))
}

/// The value in the middle; `None` of nothing. Counts in place of sorting: that takes a quarter of the code, which every
/// page carries, and here are no more than some hundred values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    values.iter().copied().find(|value| {
        let below = values.iter().filter(|other| *other < value).count();
        let equal = values.iter().filter(|other| *other == value).count();
        (below..below + equal).contains(&(values.len() / 2))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chirp::Sweep;
    use std::f64::consts::{SQRT_2, TAU};

    const RATE_HZ: f64 = 48_000.0;

    /// What a microphone records in a room with two devices.
    #[derive(Clone, Debug)]
    struct Room {
        /// How much later the measured device is heard, seconds.
        late_s: f64,
        /// How loud the other device and the measured one are.
        levels: [f64; 2],
        /// Sound of the measured device that comes by other ways: how much later, seconds, and how loud against the
        /// direct one.
        echoes: Vec<(f64, f64)>,
        /// Effective noise, of full scale.
        noise: f64,
        /// How much faster the recording's clock runs, ppm.
        clock_ppm: f64,
        /// Where in a period the recording begins, seconds.
        begin_s: f64,
        rate_hz: f64,
        seed: u64,
    }

    impl Default for Room {
        fn default() -> Self {
            Self {
                late_s: 0.040,
                levels: [1.0, 1.0],
                echoes: Vec::new(),
                noise: 0.0,
                clock_ppm: 0.0,
                begin_s: 0.3,
                rate_hz: RATE_HZ,
                seed: 1,
            }
        }
    }

    impl Room {
        /// Noise for a ratio of a chirp's effective level to it, dB.
        fn with_snr(self, db: f64) -> Self {
            let loudest = self.levels[0].max(self.levels[1]);
            Self { noise: 0.25 / SQRT_2 * loudest / 10_f64.powf(db / 20.0), ..self }
        }

        fn recorded(&self, seconds: f64) -> Vec<f32> {
            let mut random = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            let mut uniform = move || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random >> 11) as f64 / (1_u64 << 53) as f64
            };
            let frames = (seconds * self.rate_hz) as usize;
            (0..frames)
                .map(|frame| {
                    let s =
                        self.begin_s + frame as f64 / self.rate_hz / (1.0 + self.clock_ppm * 1e-6);
                    let noise =
                        (-2.0 * uniform().max(1e-300).ln()).sqrt() * (TAU * uniform()).cos();
                    (self.chirps_at(s) + self.noise * noise) as f32
                })
                .collect()
        }

        fn chirps_at(&self, s: f64) -> f64 {
            let one = |sweep: Sweep, late: f64| {
                sweep.at((s - late - sweep.slot_s()).rem_euclid(PERIOD_S))
            };
            let this = |late: f64| self.levels[1] * one(Sweep::Down, self.late_s + late);
            let echoes: f64 = self.echoes.iter().map(|(late, level)| level * this(*late)).sum();
            self.levels[0] * one(Sweep::Up, 0.0) + this(0.0) + echoes
        }

        fn measured(&self, seconds: f64) -> Measurement {
            let mut measurement = Measurement::new(self.rate_hz as u32);
            for block in self.recorded(seconds).chunks(4_096) {
                measurement.hear(block);
            }
            measurement
        }

        /// The error in milliseconds after 16 s.
        fn error_ms(&self) -> f64 {
            let measurement = self.measured(16.0);
            let Some(offset) = measurement.offset() else {
                panic!("{self:?}: {:?}, {:?}", measurement.doubt(), measurement.heard);
            };
            offset.late_ms - self.late_s * 1e3
        }
    }

    #[test]
    fn a_clear_recording_is_right_to_some_microseconds() {
        for late_s in [0.0, 0.040_013, -0.025_007, 0.3, -0.85, 0.85] {
            let error_ms = Room { late_s, ..Room::default() }.error_ms();
            assert!(error_ms.abs() <= 0.005, "{late_s} s: {error_ms} ms off");
        }
    }

    #[test]
    fn any_place_of_the_beginning_and_any_rate_will_do() {
        for begin_s in [0.0, 0.03, 0.05, 0.99, 1.03, 1.07, 1.95, 1.99] {
            let error_ms = Room { begin_s, ..Room::default() }.error_ms();
            assert!(error_ms.abs() <= 0.005, "from {begin_s} s: {error_ms} ms off");
        }
        for rate_hz in [16_000.0, 44_100.0, 96_000.0] {
            let error_ms = Room { rate_hz, ..Room::default() }.with_snr(20.0).error_ms();
            assert!(error_ms.abs() <= 0.1, "{rate_hz} Hz: {error_ms} ms off");
        }
    }

    #[test]
    fn a_clock_that_is_off_does_not_matter() {
        for clock_ppm in [-300.0, 300.0] {
            let room = Room { clock_ppm, late_s: 0.6, ..Room::default() };
            let error_ms = room.error_ms();
            assert!(error_ms.abs() <= 0.01, "{clock_ppm} ppm: {error_ms} ms off");
        }
    }

    #[test]
    fn what_comes_by_other_ways_does_not_count() {
        // A wall whose echo is louder than the way through a body, and the long tail of a hall.
        let wall = vec![(0.004, 1.4), (0.011, 0.8)];
        let hall =
            (1..60).map(|i| (0.009 * f64::from(i) + 0.0003, 0.6 * 0.9_f64.powi(i))).collect();
        for echoes in [wall, hall] {
            let error_ms = Room { echoes, ..Room::default() }.with_snr(20.0).error_ms();
            assert!(error_ms.abs() <= 0.1, "{error_ms} ms off");
        }
    }

    #[test]
    fn a_device_far_away_is_heard_beside_a_near_one() {
        for levels in [[0.02, 1.0], [1.0, 0.02]] {
            let room = Room { levels, ..Room::default() }.with_snr(40.0);
            let error_ms = room.error_ms();
            assert!(error_ms.abs() <= 0.1, "{levels:?}: {error_ms} ms off");
        }
    }

    #[test]
    fn chirps_may_be_as_quiet_as_the_noise() {
        let error_ms = Room::default().with_snr(0.0).error_ms();
        assert!(error_ms.abs() <= 0.3, "{error_ms} ms off");
        let error_ms = Room { levels: [0.002, 0.002], ..Room::default() }.with_snr(20.0).error_ms();
        assert!(error_ms.abs() <= 0.1, "{error_ms} ms off");
    }

    #[test]
    fn what_the_rounds_say_of_their_error_is_about_right() {
        let quiet = Room::default().with_snr(30.0).measured(16.0).offset().unwrap();
        let noisy = Room::default().with_snr(0.0).measured(16.0).offset().unwrap();
        assert!(quiet.within_ms < 0.02 && noisy.within_ms > quiet.within_ms, "{quiet:?} {noisy:?}");
        assert!((noisy.late_ms - 40.0).abs() <= 3.0 * noisy.within_ms.max(0.02), "{noisy:?}");
    }

    #[test]
    fn what_is_not_heard_is_said() {
        let doubt = |levels: [f64; 2]| {
            let room = Room { levels, noise: 0.05, ..Room::default() };
            let measurement = room.measured(30.0);
            assert_eq!(measurement.offset(), None, "{levels:?}");
            measurement.doubt()
        };
        assert_eq!(doubt([0.0, 0.0]), Doubt::NothingHeard);
        assert_eq!(doubt([0.0, 1.0]), Doubt::OtherNotHeard);
        assert_eq!(doubt([1.0, 0.0]), Doubt::ThisNotHeard);
        assert_eq!(Measurement::new(48_000).doubt(), Doubt::NothingHeard);
        let mut silence = Measurement::new(48_000);
        silence.hear(&vec![0.0; 480_000]);
        assert_eq!(silence.doubt(), Doubt::NothingHeard);
    }

    #[test]
    fn rounds_that_disagree_are_no_answer() {
        let mut measurement = Measurement::new(48_000);
        for (round, late_s) in [0.040, 0.043, 0.049, 0.031, 0.046, 0.035].into_iter().enumerate() {
            let room = Room { late_s, begin_s: 1.8, ..Room::default() };
            assert!(measurement.offset().is_none(), "after {round} rounds");
            measurement.hear(&room.recorded(2.0));
        }
        measurement.hear(&Room { begin_s: 1.8, ..Room::default() }.recorded(3.0));
        assert!(measurement.rounds() >= ROUNDS);
        assert_eq!((measurement.offset(), measurement.doubt()), (None, Doubt::Unsteady));
    }

    #[test]
    fn a_jump_among_the_rounds_is_no_answer_whatever_most_of_them_say() {
        let mut measurement = Measurement::new(48_000);
        measurement.hear(&Room { begin_s: 1.8, ..Room::default() }.recorded(8.0));
        assert!((2..ROUNDS).contains(&measurement.rounds()), "{}", measurement.rounds());
        measurement.hear(&Room { begin_s: 1.8, late_s: 0.043, ..Room::default() }.recorded(5.0));
        assert_eq!(measurement.rounds(), ROUNDS);
        assert_eq!((measurement.offset(), measurement.doubt()), (None, Doubt::Unsteady));
    }

    #[test]
    fn what_was_moved_meanwhile_is_measured_where_it_is_now() {
        let mut measurement = Measurement::new(48_000);
        measurement.hear(&Room { late_s: 0.1, ..Room::default() }.recorded(8.0));
        measurement.hear(&Room { late_s: -0.2, ..Room::default() }.recorded(14.0));
        let offset = measurement.offset().unwrap();
        assert!((offset.late_ms + 200.0).abs() < 0.01, "{offset:?}");
    }

    #[test]
    fn too_far_apart_is_said_and_not_taken_for_the_other_direction() {
        for late_s in [0.91, -0.915] {
            let measurement = Room { late_s, ..Room::default() }.measured(16.0);
            assert_eq!(measurement.offset(), None);
            assert_eq!(measurement.doubt(), Doubt::TooFarApart, "{late_s}");
        }
        for late_s in [0.96, 1.0, -0.97] {
            assert_eq!(
                Room { late_s, ..Room::default() }.measured(16.0).offset(),
                None,
                "{late_s}"
            );
        }
    }

    #[test]
    fn music_and_whistling_are_no_chirps() {
        let mut measurement = Measurement::new(48_000);
        let sound: Vec<f32> = (0..960_000)
            .map(|frame| {
                let s = f64::from(frame) / RATE_HZ;
                let beat = (-12.0 * (s % 0.5)).exp();
                let tones = [220.0, 440.0, 1_760.0, 3_520.0, 4_186.0];
                let chord: f64 = tones.iter().map(|hz| (TAU * hz * s).sin()).sum();
                (0.1 * beat * chord + 0.1 * (TAU * (2_500.0 * s + 300.0 * (3.0 * s).sin())).sin())
                    as f32
            })
            .collect();
        measurement.hear(&sound);
        assert_eq!(measurement.offset(), None, "{:?}", measurement.heard);
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
        #[test]
        fn at_20_db_above_the_noise_the_error_is_below_a_tenth_of_a_millisecond(
            late_s in -0.85..0.85_f64,
            clock_ppm in -300.0..300.0_f64,
            begin_s in 0.0..2.0_f64,
            louder in -12.0..12.0_f64,
            seed in 1..u64::MAX,
        ) {
            let levels = [10_f64.powf(louder.min(0.0) / 20.0), 10_f64.powf(-louder.max(0.0) / 20.0)];
            let quieter_db = -louder.abs();
            let room = Room { late_s, levels, clock_ppm, begin_s, seed, ..Room::default() };
            // The quieter one is 20 dB above the noise.
            let error_ms = room.with_snr(20.0 - quieter_db).error_ms();
            proptest::prop_assert!(error_ms.abs() <= 0.1, "{} ms off", error_ms);
        }
    }
}
