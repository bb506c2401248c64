//! Comparing this device with another one: who chirps, how long, and what comes of what the microphone hears.

use protocol::clock_sync::ClockSync;
use protocol::time::{ClientSpan, ClientTime};

use super::Player;
use super::api::{Event, Output};
use super::controls::{DELAY_MS_MAX, DELAY_MS_MIN};
use crate::calibration::{Doubt, Measurement, Offset};
use crate::chirp::Sweep;

/// A device plays along for this long: time for a person to walk to another one and measure that, some times over.
const PLAY_ALONG_MAX: ClientSpan = ClientSpan::from_secs(120);
/// A person has this long to answer the browser's question for the microphone.
const ANSWER_MAX: ClientSpan = ClientSpan::from_secs(60);
/// A measurement gives up after this: it needs half as long where both devices are heard.
const MEASURE_MAX: ClientSpan = ClientSpan::from_secs(30);
/// What browsers tell of two outputs' clocks is off by up to this, milliseconds, once they have settled: in the simulated
/// world a player is less than 0.2 ms out of step in 99 of 100 looks.
const OUTPUT_CLOCKS_MS: f64 = 0.3;
/// The delay is a whole number of milliseconds, which is off by up to this, milliseconds.
const ROUNDING_MS: f64 = 0.5;

/// What a person wants of a calibration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalibrationWish {
    /// This device is right: it chirps for others to be compared with.
    PlayAlong,
    /// This device is to be set by what its microphone hears.
    Measure,
    /// Enough of it: the stream sounds again.
    End,
    /// The delay is to be as it was before the last measurement.
    Undo,
}

/// Where a calibration is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Calibration {
    /// Nothing is being calibrated.
    #[default]
    Off,
    /// This device chirps for others.
    PlayingAlong,
    /// The browser asks the person for the microphone.
    Asking,
    /// Both devices are listened to.
    Measuring {
        /// Rounds that were measured, of [`ROUNDS`](crate::calibration::ROUNDS).
        rounds: usize,
        /// Whether the other device was heard.
        heard_other: bool,
        /// Whether this device was heard.
        heard_this: bool,
    },
    /// The delay was set.
    Done {
        /// How much later this device was heard than the other, milliseconds; negative is earlier.
        late_ms: f64,
        /// What that may be wrong by, milliseconds: what the rounds, the two clocks and the rounding say.
        within_ms: f64,
        /// The delay as it is now, milliseconds.
        delay_ms: i16,
        /// The delay as it was.
        before_ms: i16,
    },
    /// Nothing was set.
    Refused(Refusal),
}

impl Calibration {
    /// Whether the microphone is asked for or listened to.
    #[must_use]
    pub const fn records(self) -> bool {
        matches!(self, Self::Asking | Self::Measuring { .. })
    }
}

/// Why a calibration came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no stream whose place the chirps could take.
    NothingPlays,
    /// The recording says too little.
    Doubt(Doubt),
    /// There is no recording.
    Microphone(MicrophoneTrouble),
}

/// Why there is no recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MicrophoneTrouble {
    /// The person, the browser or the system said no.
    NotAllowed,
    /// There is none, or it does not work.
    NotFound,
    /// It was there, and is gone.
    Lost,
    /// Nobody answered the browser's question.
    NoAnswer,
}

/// The player's calibration.
#[derive(Debug, Default)]
pub(super) struct Calibrator {
    stage: Calibration,
    /// The stage ends then.
    until: Option<ClientTime>,
    /// Begins with the microphone's first block.
    measurement: Option<Measurement>,
}

impl Calibrator {
    /// When the present stage ends by itself.
    pub(super) fn until(&self) -> Option<ClientTime> {
        self.until
    }

    /// What this device plays in place of the stream.
    pub(super) fn sweep(&self) -> Option<Sweep> {
        match self.stage {
            Calibration::PlayingAlong => Some(Sweep::Up),
            Calibration::Measuring { .. } => Some(Sweep::Down),
            _ => None,
        }
    }
}

impl Player {
    /// Takes what the microphone heard: mono, in order, without a gap.
    pub fn handle_microphone(&mut self, now: ClientTime, rate_hz: u32, samples: &[f32]) {
        if !self.calibrator.stage.records() {
            return;
        }
        if self.calibrator.stage == Calibration::Asking {
            let nothing =
                Calibration::Measuring { rounds: 0, heard_other: false, heard_this: false };
            self.enter_calibration(nothing, Some(now + MEASURE_MAX));
        }
        let made = || Measurement::new(rate_hz);
        let measurement = self.calibrator.measurement.get_or_insert_with(made);
        measurement.hear(samples);
        let (rounds, [heard_other, heard_this]) = (measurement.rounds(), measurement.has_heard());
        let until = self.calibrator.until;
        match measurement.offset() {
            Some(offset) => self.apply(offset),
            None => self.enter_calibration(
                Calibration::Measuring { rounds, heard_other, heard_this },
                until,
            ),
        }
        self.tend_calibration(now);
        self.top_up(now);
    }

    /// There is no microphone, or no longer.
    pub fn handle_microphone_trouble(&mut self, now: ClientTime, trouble: MicrophoneTrouble) {
        if self.calibrator.stage.records() {
            self.refuse_calibration(Refusal::Microphone(trouble));
            self.top_up(now);
        }
    }

    pub(super) fn calibrate(&mut self, now: ClientTime, wish: CalibrationWish) {
        match wish {
            CalibrationWish::PlayAlong | CalibrationWish::Measure if self.stream.is_none() => {
                self.refuse_calibration(Refusal::NothingPlays);
            }
            CalibrationWish::PlayAlong => {
                self.enter_calibration(Calibration::PlayingAlong, Some(now + PLAY_ALONG_MAX));
            }
            CalibrationWish::Measure => {
                self.enter_calibration(Calibration::Asking, Some(now + ANSWER_MAX));
            }
            CalibrationWish::End => self.end_calibration(),
            CalibrationWish::Undo => {
                if let Calibration::Done { before_ms, .. } = self.calibrator.stage {
                    self.move_to(before_ms);
                }
            }
        }
        self.top_up(now);
    }

    /// Ends what has lasted long enough, or cannot go on.
    pub(super) fn tend_calibration(&mut self, now: ClientTime) {
        let is_over = self.calibrator.until.is_some_and(|until| now >= until);
        match self.calibrator.stage {
            Calibration::Measuring { .. } if self.stream.is_none() => {
                self.refuse_calibration(Refusal::NothingPlays);
            }
            Calibration::PlayingAlong if is_over => self.end_calibration(),
            Calibration::Asking if is_over => {
                self.refuse_calibration(Refusal::Microphone(MicrophoneTrouble::NoAnswer));
            }
            Calibration::Measuring { .. } if is_over => {
                let doubt = self.calibrator.measurement.as_ref().map(Measurement::doubt);
                self.refuse_calibration(Refusal::Doubt(doubt.unwrap_or(Doubt::Unsteady)));
            }
            _ => {}
        }
    }

    /// The sound is moved: what was measured so far is void, and what was said of the delay is no longer so.
    pub(super) fn forget_calibration(&mut self) {
        self.calibrator.measurement = None;
        if matches!(self.calibrator.stage, Calibration::Done { .. }) {
            self.end_calibration();
        }
    }

    pub(super) fn end_calibration(&mut self) {
        self.enter_calibration(Calibration::Off, None);
    }

    fn refuse_calibration(&mut self, refusal: Refusal) {
        self.enter_calibration(Calibration::Refused(refusal), None);
    }

    /// Puts the delay right by what was measured.
    fn apply(&mut self, offset: Offset) {
        let before_ms = self.config.delay_ms;
        let wanted_ms = f64::from(before_ms) + offset.late_ms.round();
        if !(f64::from(DELAY_MS_MIN)..=f64::from(DELAY_MS_MAX)).contains(&wanted_ms) {
            return self.refuse_calibration(Refusal::Doubt(Doubt::TooFarApart));
        }
        let delay_ms = wanted_ms as i16;
        // Two standard errors of two devices' ideas of the server's clock; the other's is taken to be like this one's.
        let clock_us = self.clock.as_ref().and_then(ClockSync::error_us).unwrap_or_default();
        let clocks_ms = 2.0 * std::f64::consts::SQRT_2 * clock_us / 1e3;
        let within_ms = offset.within_ms + clocks_ms + OUTPUT_CLOCKS_MS + ROUNDING_MS;
        let late_ms = offset.late_ms;
        self.move_to(delay_ms);
        let done = Calibration::Done { late_ms, within_ms, delay_ms, before_ms };
        self.enter_calibration(done, None);
    }

    fn move_to(&mut self, delay_ms: i16) {
        self.set_delay(delay_ms);
        self.outputs.push_back(Output::Event(Event::Delay(delay_ms)));
    }

    /// Goes to a stage, asks for the microphone or lets go of it, and tells the page what changed.
    fn enter_calibration(&mut self, stage: Calibration, until: Option<ClientTime>) {
        let recorded = self.calibrator.stage.records();
        let is_news = self.calibrator.stage != stage;
        self.calibrator.stage = stage;
        self.calibrator.until = until;
        let records = self.calibrator.stage.records();
        if !records || stage == Calibration::Asking {
            self.calibrator.measurement = None;
        }
        if records != recorded {
            self.outputs.push_back(Output::Microphone(records));
        }
        if is_news {
            self.outputs.push_back(Output::Event(Event::Calibration(stage)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chirp::PERIOD_S;
    use crate::player::{Command, Config, Disconnect};
    use crate::stats::OutputKind;
    use protocol::message::PartySupport;

    const HELLO: &str = r#"{"type":"server/hello","payload":{"server_id":"s","name":"S","version":1,
        "active_roles":["player@v1"],"connection_reason":"playback"}}"#;
    const STREAM: &str = r#"{"type":"stream/start","payload":{"player":{"codec":"pcm",
        "sample_rate":48000,"channels":2,"bit_depth":16}}}"#;
    const STREAM_END: &str = r#"{"type":"stream/end","payload":{"roles":["player"]}}"#;

    fn at(ms: i64) -> ClientTime {
        ClientTime::from_micros(ms * 1_000)
    }

    /// A player with a stream and the delay of 10 ms.
    fn listening() -> Player {
        let config = Config {
            client_id: "c".to_owned(),
            name: "C".to_owned(),
            product: None,
            volume: 50,
            muted: false,
            delay_ms: 10,
            output: OutputKind::Worklet,
            seed: 1,
            party: PartySupport::default(),
        };
        let mut player = Player::new(config, at(0));
        player.connected(at(1));
        for text in [HELLO, STREAM] {
            player.handle_text(at(2), text);
        }
        told(&mut player);
        player
    }

    fn wish(player: &mut Player, wish: CalibrationWish) {
        player.command(at(100), Command::Calibrate(wish));
    }

    /// What the page and the shell hear of the calibration and the delay.
    fn told(player: &mut Player) -> Vec<Output> {
        let all = std::iter::repeat_with(|| player.poll_output());
        let all = all.take_while(|output| !matches!(output, Output::Timeout(_)));
        all.filter(|output| {
            matches!(
                output,
                Output::Microphone(_) | Output::Event(Event::Calibration(_) | Event::Delay(_))
            )
        })
        .collect()
    }

    fn stage(stage: Calibration) -> Output {
        Output::Event(Event::Calibration(stage))
    }

    fn refused(refusal: Refusal) -> Output {
        stage(Calibration::Refused(refusal))
    }

    /// Hands over a recording of both devices, this one `late_s` after the other, from `from_ms` on; the last time.
    fn record(player: &mut Player, from_ms: i64, late_s: f64) -> i64 {
        let mut now_ms = from_ms;
        for block in 0..160 {
            let samples: Vec<f32> = (block * 4_800..(block + 1) * 4_800)
                .map(|frame| {
                    let s = f64::from(frame) / 48_000.0;
                    let one = |sweep: Sweep, late: f64| {
                        sweep.at((s - late - sweep.slot_s()).rem_euclid(PERIOD_S))
                    };
                    (one(Sweep::Up, 0.2) + one(Sweep::Down, 0.2 + late_s)) as f32
                })
                .collect();
            now_ms = from_ms + 100 * i64::from(block);
            player.handle_microphone(at(now_ms), 48_000, &samples);
        }
        now_ms
    }

    #[test]
    fn playing_along_ends_by_itself_and_when_told() {
        let mut player = listening();
        wish(&mut player, CalibrationWish::PlayAlong);
        assert_eq!(player.calibrator.sweep(), Some(Sweep::Up));
        assert_eq!(told(&mut player), [stage(Calibration::PlayingAlong)]);
        player.handle_timeout(at(120_099));
        assert_eq!(told(&mut player), []);
        player.handle_timeout(at(120_100));
        assert_eq!(told(&mut player), [stage(Calibration::Off)]);
        assert_eq!(player.calibrator.sweep(), None);
        for end in [Command::Calibrate(CalibrationWish::End), Command::Stop] {
            let mut player = listening();
            wish(&mut player, CalibrationWish::PlayAlong);
            player.command(at(200), end);
            assert_eq!(told(&mut player).last(), Some(&stage(Calibration::Off)));
        }
    }

    #[test]
    fn what_is_measured_becomes_the_delay_and_can_be_undone() {
        let mut player = listening();
        wish(&mut player, CalibrationWish::Measure);
        assert_eq!(player.calibrator.sweep(), None, "no sound before there is a microphone");
        assert_eq!(told(&mut player), [Output::Microphone(true), stage(Calibration::Asking)]);
        record(&mut player, 200, 0.0374);
        let told_all = told(&mut player);
        let [.., delay, microphone, Output::Event(Event::Calibration(done))] = &told_all[..] else {
            panic!("{told_all:?}")
        };
        assert_eq!(*delay, Output::Event(Event::Delay(47)));
        assert_eq!(*microphone, Output::Microphone(false));
        let Calibration::Done { late_ms, within_ms, delay_ms, before_ms } = *done else {
            panic!("{done:?}")
        };
        assert!((late_ms - 37.4).abs() < 0.01 && (0.8..0.9).contains(&within_ms), "{done:?}");
        assert_eq!((delay_ms, before_ms), (47, 10));
        let measuring = told_all.iter().filter(|output| {
            matches!(output, Output::Event(Event::Calibration(Calibration::Measuring { .. })))
        });
        assert!((5..10).contains(&measuring.count()), "progress is told once each: {told_all:?}");
        wish(&mut player, CalibrationWish::Undo);
        let undone = [stage(Calibration::Off), Output::Event(Event::Delay(10))];
        assert_eq!(told(&mut player), undone);
        wish(&mut player, CalibrationWish::Undo);
        assert_eq!(told(&mut player), [], "once");
    }

    #[test]
    fn a_delay_that_is_set_meanwhile_begins_the_measurement_anew() {
        let mut player = listening();
        wish(&mut player, CalibrationWish::Measure);
        player.handle_microphone(at(200), 48_000, &[0.0; 480]);
        record(&mut player, 300, f64::NAN);
        player.command(at(20_000), Command::SetDelay(100));
        assert!(player.calibrator.measurement.is_none());
        told(&mut player);
        record(&mut player, 13_000, -0.05);
        let done = told(&mut player).pop();
        assert!(
            matches!(
                done,
                Some(Output::Event(Event::Calibration(Calibration::Done {
                    delay_ms: 50,
                    before_ms: 100,
                    ..
                })))
            ),
            "{done:?}"
        );
        player.command(at(40_000), Command::SetDelay(51));
        assert_eq!(told(&mut player), [stage(Calibration::Off)], "what was said is no longer so");
    }

    #[test]
    fn what_was_not_heard_is_said_in_the_end_and_nothing_is_set() {
        let mut player = listening();
        wish(&mut player, CalibrationWish::Measure);
        for ms in (200..30_300).step_by(100) {
            assert_eq!(player.config.delay_ms, 10);
            player.handle_microphone(at(ms), 48_000, &[0.0; 4_000]);
        }
        let told = told(&mut player);
        let nothing = refused(Refusal::Doubt(Doubt::NothingHeard));
        assert_eq!(told[told.len() - 2..], [Output::Microphone(false), nothing]);
        assert_eq!(player.calibrator.sweep(), None);
    }

    #[test]
    fn an_offset_beyond_the_bounds_of_the_delay_is_refused() {
        let mut player = listening();
        player.command(at(50), Command::SetDelay(4_800));
        wish(&mut player, CalibrationWish::Measure);
        record(&mut player, 200, 0.3);
        let too_far = refused(Refusal::Doubt(Doubt::TooFarApart));
        assert_eq!(told(&mut player).last(), Some(&too_far));
        assert_eq!(player.config.delay_ms, 4_800);
    }

    /// What ends a measurement, and what the page is told then.
    type End = (fn(&mut Player), Output);

    #[test]
    fn every_end_lets_go_of_the_microphone() {
        let lost = Refusal::Microphone(MicrophoneTrouble::Lost);
        let no_answer = Refusal::Microphone(MicrophoneTrouble::NoAnswer);
        let cases: [End; 7] = [
            (|player| wish(player, CalibrationWish::End), stage(Calibration::Off)),
            (|player| wish(player, CalibrationWish::PlayAlong), stage(Calibration::PlayingAlong)),
            (|player| player.command(at(300), Command::Stop), stage(Calibration::Off)),
            (
                |player| player.handle_microphone_trouble(at(300), MicrophoneTrouble::Lost),
                refused(lost),
            ),
            (|player| player.handle_new_output(at(300)), refused(lost)),
            (|player| player.handle_timeout(at(60_100)), refused(no_answer)),
            (
                |player| {
                    player.handle_microphone(at(300), 48_000, &[0.0; 480]);
                    told(player);
                    player.handle_text(at(400), STREAM_END);
                    player.handle_timeout(at(500));
                },
                refused(Refusal::NothingPlays),
            ),
        ];
        for (end, expected) in cases {
            let mut player = listening();
            wish(&mut player, CalibrationWish::Measure);
            told(&mut player);
            end(&mut player);
            assert_eq!(told(&mut player), [Output::Microphone(false), expected]);
        }
    }

    #[test]
    fn nothing_is_begun_where_nothing_plays() {
        let mut player = listening();
        player.handle_text(at(50), STREAM_END);
        for begin in [CalibrationWish::Measure, CalibrationWish::PlayAlong] {
            wish(&mut player, begin);
            assert_eq!(player.calibrator.sweep(), None);
        }
        assert_eq!(told(&mut player), [refused(Refusal::NothingPlays)]);
        player.handle_microphone(at(100), 48_000, &[0.0; 480]);
        player.handle_microphone_trouble(at(100), MicrophoneTrouble::Lost);
        player.disconnected(at(200), &Disconnect::default());
        assert_eq!(told(&mut player), [], "nobody asked for a microphone");
    }
}
