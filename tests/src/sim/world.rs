//! One server, N players, in virtual time.

use player_wasm::player::Command;
use player_wasm::stats::{State, Stats};

use super::clock::SimClock;
use super::link::LinkProfile;
use super::origin::Origin;
use super::rng::Rng;
use super::seat::{Seat, SeatConfig};
use super::speaker::{Heard, Speaker};

/// True time between two looks at what is heard, microseconds. Prime, so that it does not beat with
/// slices, ticks and chunks.
const LISTEN_US: f64 = 100_003.0;
/// True time between two turns of the server's pump, microseconds.
const SERVER_TICK_US: f64 = 50_000.0;

/// How a world begins.
#[derive(Clone, Copy, Debug)]
pub struct WorldConfig {
    /// Seed of everything that is random.
    pub seed: u64,
    /// Players, all there from the start.
    pub players: usize,
    /// Every clock is off by up to this much, ppm either way.
    pub drift_ppm_max: f64,
    /// Frames per second of the devices.
    pub device_hz: u32,
    /// Every connection, both directions.
    pub link: LinkProfile,
}

/// What the speakers of a world recorded.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Absolute sync errors, µs, of every look at a sounding speaker.
    pub errors_us: Vec<f64>,
    /// Looks at a speaker that was silent after it had begun to sound.
    pub silent_looks: usize,
    /// True time until each player was first heard, µs from the world's start.
    pub first_heard_us: Vec<Option<f64>>,
}

impl Report {
    /// The error that a part `quantile` of the looks does not exceed.
    ///
    /// # Panics
    ///
    /// When nothing was heard: a report of silence has no error to state.
    pub fn error_us(&mut self, quantile: f64) -> f64 {
        assert!(!self.errors_us.is_empty(), "nothing was heard");
        self.errors_us.sort_by(f64::total_cmp);
        let last = self.errors_us.len() - 1;
        self.errors_us[(last as f64 * quantile).round() as usize]
    }

    /// Takes another report's looks in.
    pub fn extend(&mut self, other: &Self) {
        self.errors_us.extend_from_slice(&other.errors_us);
        self.silent_looks += other.silent_looks;
        self.first_heard_us.extend_from_slice(&other.first_heard_us);
    }
}

/// The world.
#[derive(Debug)]
pub struct World {
    now_us: f64,
    listen_us: f64,
    server_us: f64,
    origin: Option<Origin>,
    seats: Vec<Seat>,
    rng: Rng,
    config: WorldConfig,
    report: Report,
    expects_sound: bool,
}

impl World {
    /// A world at true time 0.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        let mut rng = Rng::new(config.seed);
        let mut world = Self {
            now_us: 0.0,
            listen_us: LISTEN_US,
            server_us: 0.0,
            origin: Some(origin(&mut rng, config)),
            seats: Vec::new(),
            rng,
            config,
            report: Report::default(),
            expects_sound: true,
        };
        for _ in 0..config.players {
            world.join();
        }
        world
    }

    /// Another player joins now.
    pub fn join(&mut self) {
        let WorldConfig { drift_ppm_max, device_hz, link, .. } = self.config;
        let mut ppm = || self.rng.between(-drift_ppm_max, drift_ppm_max);
        let (client_ppm, device_ppm) = (ppm(), ppm());
        let seed = self.rng.bits();
        let join_us = self.now_us;
        self.seats.push(Seat::new(SeatConfig {
            join_us,
            client_ppm,
            device_ppm,
            device_hz,
            link,
            seed,
        }));
        self.report.first_heard_us.push(None);
    }

    /// The server ends; every connection breaks.
    pub fn stop_server(&mut self) {
        self.origin = None;
        for seat in &mut self.seats {
            seat.lose_connection(self.now_us);
        }
    }

    /// A server starts, with a clock of another origin.
    pub fn start_server(&mut self) {
        self.origin = Some(origin(&mut self.rng, self.config));
    }

    /// Every connection breaks; the server stays.
    pub fn cut_connections(&mut self) {
        for seat in &mut self.seats {
            seat.lose_connection(self.now_us);
        }
    }

    /// Every connection is delayed like this from now on.
    pub fn set_link(&mut self, link: LinkProfile) {
        self.config.link = link;
        for seat in &mut self.seats {
            seat.up.set_profile(link);
            seat.down.set_profile(link);
        }
    }

    /// Every player is told this.
    pub fn command(&mut self, command: Command) {
        self.expects_sound = command != Command::Stop;
        for seat in &mut self.seats {
            seat.command(self.now_us, command);
        }
    }

    /// Runs until `seconds` of true time have passed, jumping from event to event.
    pub fn run(&mut self, seconds: f64) {
        let end_us = self.now_us + seconds * 1e6;
        loop {
            let seats = self.seats.iter();
            let next_us = seats
                .flat_map(|seat| {
                    [
                        Some(seat.wake_us),
                        seat.server_wake_us,
                        seat.up.next_at(),
                        seat.down.next_at(),
                    ]
                })
                .flatten()
                .chain([self.listen_us, self.server_us])
                .fold(f64::INFINITY, f64::min);
            if next_us > end_us {
                self.now_us = end_us;
                return;
            }
            self.now_us = self.now_us.max(next_us);
            self.step();
        }
    }

    fn step(&mut self) {
        let now_us = self.now_us;
        if now_us >= self.server_us {
            self.server_us = now_us + SERVER_TICK_US;
            if let Some(origin) = &mut self.origin {
                origin.advance(now_us);
            }
        }
        for seat in &mut self.seats {
            if seat.wants_connection {
                match &self.origin {
                    Some(origin) => seat.connect(now_us, origin.accept(now_us)),
                    None => seat.lose_connection(now_us),
                }
            }
            seat.wake(now_us);
            if let Some(origin) = &self.origin {
                seat.serve(now_us, origin);
            }
            seat.receive(now_us);
        }
        if now_us >= self.listen_us {
            self.listen_us = now_us + LISTEN_US;
            self.look();
        }
    }

    /// Looks at every speaker now. [`World::run`] does so ten times a second.
    pub fn look(&mut self) {
        let Some(due_s) = self.origin.as_ref().and_then(|origin| origin.due_s(self.now_us)) else {
            return;
        };
        for (seat, first) in self.seats.iter_mut().zip(&mut self.report.first_heard_us) {
            match seat.listen(self.now_us) {
                Heard::Position(heard_s) => {
                    first.get_or_insert(self.now_us);
                    self.report.errors_us.push(Speaker::lateness_us(heard_s, due_s).abs());
                }
                Heard::Silence if first.is_some() && self.expects_sound => {
                    self.report.silent_looks += 1;
                }
                Heard::Silence => {}
            }
        }
    }

    /// What was recorded since the last call.
    pub fn take_report(&mut self) -> Report {
        let first_heard_us = self.report.first_heard_us.clone();
        std::mem::replace(&mut self.report, Report { first_heard_us, ..Report::default() })
    }

    /// What each player says of itself.
    #[must_use]
    pub fn stats(&self) -> Vec<Stats> {
        self.seats.iter().map(|seat| seat.stats(self.now_us)).collect()
    }

    /// The states that each player went through.
    #[must_use]
    pub fn states(&self) -> Vec<&[State]> {
        self.seats.iter().map(|seat| seat.states.as_slice()).collect()
    }
}

fn origin(rng: &mut Rng, config: WorldConfig) -> Origin {
    let epoch_us = rng.between(0.0, 1e12);
    let ppm = rng.between(-config.drift_ppm_max, config.drift_ppm_max);
    Origin::new(SimClock::new(epoch_us, ppm))
}
