//! An audio device with a crystal of its own that records which stream position was heard when.
//!
//! The party's track is a slow rotation: left is its sine, right its cosine, so that every frame tells
//! where in the stream it comes from, whatever resampler it went through.

use player_wasm::output_clock::DeviceReading;
use player_wasm::scheduler::Block;
use protocol::time::ClientTime;

use super::clock::SimClock;
use super::rng::Rng;

/// Turns of the track's rotation in a second. A position is known within half a turn, 100 ms.
const TURNS_PER_S: f64 = 5.0;
/// Level of the track, a quarter below full scale.
const LEVEL: f64 = 0.75;
/// Below this level what is heard is silence, or a fade.
const LEVEL_MIN: f64 = 0.7;
/// Frames that the device takes at a time.
const BATCH: f64 = 480.0;
/// Time between rendering and hearing at first.
const LATENCY_S: f64 = 0.030;
/// Error of the pair that the browser reports from one to the next, µs: Chromium was measured to have a standard
/// deviation of 45.
const REPORT_ERROR_US: f64 = 80.0;
/// What the pairs are astray by 4 s after the output's start, µs, as a power of ten: in Chromium over PulseAudio half
/// of the starts were measured to have more than 130, with threads of real-time priority. A fifth had more than 400:
/// [`Reports::Astray`].
const ASTRAY_POWER: (f64, f64) = (1.3, 2.6);
/// The same at a bad start, µs: three of 30 had more than 1,000, one 6,500.
const ASTRAY_US_BAD: f64 = 3_000.0;

/// How the browser reports the output's clock. All but the first were seen in the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reports {
    /// A pair that is up to 10 ms old, right to a tenth of a millisecond once the output has settled.
    #[default]
    Good,
    /// Like [`Self::Good`], but astray by milliseconds for the first ten seconds.
    Astray,
    /// No pair at all, as in old browsers: only what was rendered, which moves in batches.
    Absent,
    /// The same pair for ever.
    Stale,
    /// A moment that is yet to come, by half a second.
    Future,
    /// Zeros.
    Zero,
    /// Context time in milliseconds in place of seconds.
    WrongScale,
    /// A clock that runs a tenth too fast.
    WrongSlope,
    /// Every fifth pair is off by up to 20 ms.
    Erratic,
}

/// The track's frame at a position in seconds.
#[must_use]
pub(super) fn track(position_s: f64) -> [f32; 2] {
    let (sin, cos) = (position_s * TURNS_PER_S * std::f64::consts::TAU).sin_cos();
    [(LEVEL * sin) as f32, (LEVEL * cos) as f32]
}

/// What is heard at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Heard {
    /// Nothing, or a fade.
    Silence,
    /// The track at this position, seconds, within a turn.
    Position(f64),
}

/// How the pairs of an output go astray that began `s` seconds ago, as a part of the most: PulseAudio's library goes by
/// a line through its first readings, which is right at their middle, and forgets them after 5 s.
fn settling(s: f64) -> f64 {
    if s < 5.0 { (s.max(0.2) - 0.95) / 3.05 } else { 1.33 * ((5.0 - s) / 3.5).exp() }
}

/// Frames that the device's memory holds: more than any page hands out ahead.
const RING: usize = 1 << 18;

/// A device of one player.
#[derive(Debug)]
pub(super) struct Speaker {
    rate_hz: u32,
    /// Microseconds of the device's crystal, from true time.
    crystal: SimClock,
    /// What is on each frame, by its index modulo the length, with the index it was written for.
    ring: Vec<(i64, [f32; 2])>,
    latency_s: f64,
    /// Way of the sound of which no browser knows, as to a Bluetooth speaker, microseconds.
    detour_us: f64,
    reports: Reports,
    /// See [`ASTRAY_POWER`].
    astray_us: f64,
    rng: Rng,
}

impl Speaker {
    /// A device that starts at true time `start_us`.
    #[must_use]
    pub(super) fn new(rate_hz: u32, mut crystal: SimClock, start_us: f64, mut rng: Rng) -> Self {
        crystal.step(-crystal.at(start_us));
        let sign = if rng.bits().is_multiple_of(2) { 1.0 } else { -1.0 };
        let astray_us = sign * 10_f64.powf(rng.between(ASTRAY_POWER.0, ASTRAY_POWER.1));
        Self {
            rate_hz,
            crystal,
            ring: vec![(-1, [0.0; 2]); RING],
            latency_s: LATENCY_S,
            detour_us: 0.0,
            reports: Reports::Good,
            astray_us,
            rng,
        }
    }

    /// Changes how the browser reports the output's clock.
    pub(super) fn set_reports(&mut self, reports: Reports) {
        self.reports = reports;
    }

    /// The sound takes another way, which is this much longer, milliseconds.
    pub(super) fn add_latency_ms(&mut self, ms: f64) {
        self.latency_s = (self.latency_s + ms / 1e3).max(0.0);
    }

    /// The sound takes another way of which no browser knows, milliseconds.
    pub(super) fn set_detour_ms(&mut self, ms: f64) {
        self.detour_us = ms * 1e3;
    }

    /// The device stood still for this long, microseconds.
    pub(super) fn stood_still(&mut self, us: f64) {
        self.crystal.step(-us);
    }

    /// Frames rendered by a true time.
    fn rendered(&self, now_us: f64) -> f64 {
        let frames = self.crystal.at(now_us) * 1e-6 * f64::from(self.rate_hz);
        (frames / BATCH).floor().max(0.0) * BATCH
    }

    /// The fractional frame that is heard at a true time.
    fn heard_frame(&self, now_us: f64) -> f64 {
        (self.crystal.at(now_us) * 1e-6 - self.latency_s) * f64::from(self.rate_hz)
    }

    /// What the browser would report, `client` being its clock.
    pub(super) fn reading(&mut self, now_us: f64, client: &SimClock) -> DeviceReading {
        let rate_hz = f64::from(self.rate_hz);
        let then_us = now_us - self.rng.between(0.0, 10_000.0);
        let is_bad = self.reports == Reports::Astray;
        let astray_us = if is_bad { ASTRAY_US_BAD } else { self.astray_us };
        let noise_us = self.rng.between(-REPORT_ERROR_US, REPORT_ERROR_US);
        let error_us = noise_us + astray_us * settling(self.crystal.at(then_us) * 1e-6);
        let odd = self.rng.bits().is_multiple_of(5);
        let odd_us = if odd { self.rng.between(-20_000.0, 20_000.0) } else { error_us };
        let heard_s = |at_us: f64| (self.heard_frame(at_us) / rate_hz).max(0.0);
        let (context_s, then_us) = match self.reports {
            Reports::Good | Reports::Astray | Reports::Absent => {
                (heard_s(then_us + error_us), then_us)
            }
            Reports::Stale => (heard_s(now_us).min(0.5), now_us.min(500_000.0)),
            Reports::Future => (heard_s(now_us), now_us + 500_000.0),
            Reports::Zero => (0.0, 0.0),
            Reports::WrongScale => (heard_s(then_us) * 1e3, then_us),
            Reports::WrongSlope => (heard_s(then_us) * 1.1, then_us),
            Reports::Erratic => (heard_s(then_us + odd_us), then_us),
        };
        DeviceReading {
            rate_hz: self.rate_hz,
            rendered_s: self.rendered(now_us) / rate_hz,
            output_timestamp: (self.reports != Reports::Absent)
                .then(|| (context_s, ClientTime::from_micros(client.read(then_us)))),
            latency_s: Some(self.latency_s),
        }
    }

    /// Takes a block at a true time. Frames that are rendered already are lost.
    pub(super) fn play(&mut self, now_us: f64, block: &Block) {
        let rendered = self.rendered(now_us) as i64;
        let [left, right] = &block.pcm;
        for (i, (left, right)) in left.iter().zip(right).enumerate() {
            let frame = block.at.0 + i as i64;
            if frame >= rendered {
                self.ring[frame as usize % RING] = (frame, [*left, *right]);
            }
        }
    }

    /// Forgets what is not rendered yet.
    pub(super) fn clear(&mut self, now_us: f64) {
        let rendered = self.rendered(now_us) as i64;
        for (frame, _) in &mut self.ring {
            if *frame >= rendered {
                *frame = -1;
            }
        }
    }

    /// What is heard at a true time.
    #[must_use]
    pub(super) fn listen(&self, now_us: f64) -> Heard {
        let at = self.heard_frame(now_us - self.detour_us);
        let frame = at.floor() as i64;
        let (written_for, pcm) = self.ring[frame.rem_euclid(RING as i64) as usize];
        let [left, right] = pcm.map(f64::from);
        if written_for != frame || left.hypot(right) < LEVEL_MIN {
            return Heard::Silence;
        }
        let turns = left.atan2(right) / std::f64::consts::TAU;
        let into_frame_s = (at - frame as f64) / f64::from(self.rate_hz);
        Heard::Position((turns / TURNS_PER_S + into_frame_s).rem_euclid(1.0 / TURNS_PER_S))
    }

    /// What the left channel does to the air at a true time.
    #[must_use]
    pub(super) fn air(&self, now_us: f64) -> f64 {
        let at = self.heard_frame(now_us - self.detour_us);
        let sample = |frame: i64| {
            let (written_for, pcm) = self.ring[frame.rem_euclid(RING as i64) as usize];
            if written_for == frame { f64::from(pcm[0]) } else { 0.0 }
        };
        let frame = at.floor() as i64;
        let [before, after] = [frame, frame + 1].map(sample);
        before + (at - at.floor()) * (after - before)
    }

    /// Heard minus due in microseconds, positive is late, when `due_s` of the track is due.
    #[must_use]
    pub(super) fn lateness_us(heard_s: f64, due_s: f64) -> f64 {
        let turn = 1.0 / TURNS_PER_S;
        let behind = (due_s - heard_s).rem_euclid(turn);
        1e6 * if behind > turn / 2.0 { behind - turn } else { behind }
    }
}
