//! One server, N players, in virtual time.

use std::collections::VecDeque;

use player_wasm::player::Command;
use player_wasm::stats::{State, Stats};

use super::clock::SimClock;
use super::edge::SimEdge;
use super::link::LinkProfile;
use super::origin::Origin;
use super::rng::Rng;
use super::seat::{Seat, SeatConfig};
use super::server::Server;
use super::speaker::{Heard, Reports, Speaker};

/// True time between two looks at what is heard, microseconds. Prime, so that it does not beat with
/// slices, ticks and chunks.
const LISTEN_US: f64 = 49_999.0;
/// Looks over which a speed has to last, 150 ms, to be one (wire reference 5.5): a jump, with its fade, is over sooner.
const SPEED_LOOKS: usize = 4;
/// From this error on a listener hears the difference to the speaker next door, microseconds.
const AUDIBLE_US: f64 = 5_000.0;
/// Wander of every clock's drift around its mean, ppm: a crystal in a room.
const WANDER_PPM: f64 = 1.0;
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
    /// Step of the players' clocks, microseconds.
    pub resolution_us: f64,
    /// Frames per second of the devices.
    pub device_hz: u32,
    /// How the browsers report the output's clock.
    pub reports: Reports,
    /// Edges that players are spread over; with 0 all are at the origin.
    pub edges: usize,
    /// Between edges and the origin, each way.
    pub uplink: LinkProfile,
    /// From the players to the server.
    pub up: LinkProfile,
    /// From the server to the players.
    pub down: LinkProfile,
}

impl WorldConfig {
    /// One player at home, whose browser tells the time to 5 µs.
    pub const HOME: Self = Self {
        seed: 0,
        players: 1,
        drift_ppm_max: 100.0,
        resolution_us: 5.0,
        device_hz: 48_000,
        reports: Reports::Good,
        edges: 0,
        uplink: LinkProfile::NONE,
        up: LinkProfile::HOME,
        down: LinkProfile::HOME,
    };

    /// The same world with this network in both directions.
    #[must_use]
    pub const fn with_link(self, link: LinkProfile) -> Self {
        Self { up: LinkProfile { sleep_us: (0.0, 0.0), ..link }, down: link, ..self }
    }
}

/// Something that happens to every player at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Every connection breaks; the server stays.
    CutConnections,
    /// Nothing passes the network for this many seconds; then everything does.
    Stall(f64),
    /// The page's main thread is busy for this many seconds.
    Block(f64),
    /// The machine sleeps for this many seconds.
    Sleep(f64),
    /// The page is hidden; its timers fire this many seconds apart. 0: it is shown again.
    Hide(f64),
    /// The sound takes a way that is this much longer, milliseconds, and the browser says so.
    AddLatency(f64),
    /// The browser reports its output's clock like this.
    Report(Reports),
    /// Every connection is delayed like this, in both directions.
    Use(LinkProfile),
    /// Nothing passes between edges and the origin for this many seconds.
    CutUplinks(f64),
    /// Of the chunks on the way to edges, one in this many is lost.
    LoseChunks(u64),
    /// The stream goes on with samples of this many bits.
    ChangeFormat(u8),
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
    /// Differences between players of different edges, µs, at every look at both.
    pub apart_us: Vec<f64>,
    /// Errors of the edges' idea of the origin's clock, µs, at every look.
    pub clock_errors_us: Vec<f64>,
    /// Longest time that somebody was out of step so that it could be heard, milliseconds.
    pub astray_ms: f64,
    /// Largest difference of a speaker's speed from what was due, ppm.
    pub speed_ppm: f64,
}

impl Report {
    /// The error that a part `quantile` of the looks does not exceed.
    ///
    /// # Panics
    ///
    /// When nothing was heard: a report of silence has no error to state.
    pub fn error_us(&mut self, quantile: f64) -> f64 {
        quantile_of(&mut self.errors_us, quantile)
    }

    /// The difference between players of different edges that a part `quantile` of the looks does not exceed.
    ///
    /// # Panics
    ///
    /// When no two were heard.
    pub fn apart_us(&mut self, quantile: f64) -> f64 {
        quantile_of(&mut self.apart_us, quantile)
    }

    /// The error of edges' clocks that a part `quantile` of the looks does not exceed.
    ///
    /// # Panics
    ///
    /// When there is no edge that knows the time.
    pub fn clock_error_us(&mut self, quantile: f64) -> f64 {
        quantile_of(&mut self.clock_errors_us, quantile)
    }

    /// Takes another report's looks in.
    pub fn extend(&mut self, other: &Self) {
        self.errors_us.extend_from_slice(&other.errors_us);
        self.apart_us.extend_from_slice(&other.apart_us);
        self.clock_errors_us.extend_from_slice(&other.clock_errors_us);
        self.silent_looks += other.silent_looks;
        self.first_heard_us.extend_from_slice(&other.first_heard_us);
        self.astray_ms = self.astray_ms.max(other.astray_ms);
        self.speed_ppm = self.speed_ppm.max(other.speed_ppm);
    }
}

fn quantile_of(looks: &mut [f64], quantile: f64) -> f64 {
    assert!(!looks.is_empty(), "nothing was heard");
    looks.sort_by(f64::total_cmp);
    let last = looks.len() - 1;
    looks[(last as f64 * quantile).round() as usize]
}

/// The world.
#[derive(Debug)]
pub struct World {
    now_us: f64,
    listen_us: f64,
    server_us: f64,
    origin: Option<Origin>,
    edges: Vec<SimEdge>,
    seats: Vec<Seat>,
    rng: Rng,
    config: WorldConfig,
    report: Report,
    /// Since when each player has been audibly out of step, µs.
    astray_since_us: Vec<Option<f64>>,
    /// When each player was looked at, and how late it was, µs: the latest looks without silence between.
    heard_us: Vec<VecDeque<(f64, f64)>>,
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
            origin: Some(origin(&mut rng, &config)),
            edges: Vec::new(),
            seats: Vec::new(),
            rng,
            config,
            report: Report::default(),
            astray_since_us: Vec::new(),
            heard_us: Vec::new(),
            expects_sound: true,
        };
        for number in 0..config.edges {
            let epoch_us = world.rng.between(0.0, 1e12);
            let clock = crystal(&mut world.rng, &config, epoch_us);
            let seed = world.rng.bits();
            world.edges.push(SimEdge::new(format!("edge-{number}"), clock, config.uplink, seed));
        }
        for _ in 0..config.players {
            world.join();
        }
        world
    }

    /// Another player joins now.
    pub fn join(&mut self) {
        let WorldConfig { resolution_us, device_hz, reports, up, down, .. } = self.config;
        let rng = &mut self.rng;
        let epoch_us = rng.between(0.0, 1e9);
        let clock = crystal(rng, &self.config, epoch_us).with_resolution(resolution_us);
        let crystal = crystal(rng, &self.config, 0.0);
        let seed = rng.bits();
        let join_us = self.now_us;
        self.seats.push(Seat::new(SeatConfig {
            join_us,
            clock,
            crystal,
            device_hz,
            reports,
            up,
            down,
            seed,
        }));
        self.astray_since_us.push(None);
        self.heard_us.push(VecDeque::new());
        self.report.first_heard_us.push(None);
    }

    /// Everybody who stopped joins again, on the same page.
    pub fn join_again(&mut self) {
        self.expects_sound = true;
        for seat in &mut self.seats {
            seat.join_again(self.now_us);
        }
    }

    /// The origin ends; every connection to it breaks.
    pub fn stop_server(&mut self) {
        self.origin = None;
        if !self.edges.is_empty() {
            return;
        }
        for seat in &mut self.seats {
            seat.lose_connection(self.now_us);
        }
    }

    /// A server starts, with a clock of another origin.
    pub fn start_server(&mut self) {
        self.origin = Some(origin(&mut self.rng, &self.config));
    }

    /// Lets something happen to every player.
    pub fn suffer(&mut self, fault: Fault) {
        let now_us = self.now_us;
        if let Fault::Use(link) = fault {
            self.config = self.config.with_link(link);
        }
        for edge in &mut self.edges {
            match fault {
                Fault::CutUplinks(seconds) => edge.hold(now_us + seconds * 1e6),
                Fault::LoseChunks(one_in) => edge.lose(one_in),
                _ => {}
            }
        }
        for (number, seat) in self.seats.iter_mut().enumerate() {
            match fault {
                Fault::CutUplinks(_) | Fault::LoseChunks(_) => {}
                Fault::CutConnections => seat.lose_connection(now_us),
                Fault::Stall(seconds) => {
                    seat.up.hold(now_us + seconds * 1e6);
                    seat.down.hold(now_us + seconds * 1e6);
                }
                Fault::Block(seconds) => seat.freeze(now_us + seconds * 1e6),
                Fault::Sleep(seconds) => seat.suspend(now_us, seconds * 1e6),
                Fault::Hide(seconds) => seat.hide(now_us, seconds * 1e6),
                Fault::AddLatency(ms) => seat.speaker.add_latency_ms(ms),
                Fault::Report(reports) => seat.speaker.set_reports(reports),
                Fault::ChangeFormat(bit_depth) => {
                    if let Some(server) = server(self.origin.as_ref(), &self.edges, number) {
                        seat.request_format(now_us, server, bit_depth);
                    }
                }
                Fault::Use(_) => {
                    seat.up.set_profile(self.config.up);
                    seat.down.set_profile(self.config.down);
                }
            }
        }
    }

    /// Every player is told this.
    pub fn command(&mut self, command: &Command) {
        self.expects_sound = *command != Command::Stop;
        for seat in &mut self.seats {
            seat.command(self.now_us, command.clone());
        }
    }

    /// One player is told this.
    pub fn tell(&mut self, player: usize, command: Command) {
        self.seats[player].command(self.now_us, command);
    }

    pub(super) fn now_us(&self) -> f64 {
        self.now_us
    }

    pub(super) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    pub(super) fn seat(&mut self, player: usize) -> &mut Seat {
        &mut self.seats[player]
    }

    /// Runs until `seconds` of true time have passed, jumping from event to event.
    pub fn run(&mut self, seconds: f64) {
        let end_us = self.now_us + seconds * 1e6;
        loop {
            let seats = self.seats.iter().map(Seat::next_at);
            let edges = self.edges.iter().map(SimEdge::next_at);
            let next_us = seats.chain(edges).fold(self.listen_us.min(self.server_us), f64::min);
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
        self.run_edges();
        for (number, seat) in self.seats.iter_mut().enumerate() {
            let server = server(self.origin.as_ref(), &self.edges, number);
            if seat.wants_connection {
                match server.and_then(|server| server.accept(now_us)) {
                    Some(connection) => seat.connect(now_us, connection),
                    None if server.is_some() => seat.turn_away(now_us),
                    None => seat.lose_connection(now_us),
                }
            }
            seat.wake(now_us);
            if let Some(server) = server {
                seat.serve(now_us, server);
            }
            seat.receive(now_us);
        }
        if now_us >= self.listen_us {
            self.listen_us = now_us + LISTEN_US;
            self.look();
        }
    }

    fn run_edges(&mut self) {
        let now_us = self.now_us;
        for (id, say) in self.origin.as_mut().map(|origin| origin.push(now_us)).unwrap_or_default()
        {
            if let Some(edge) = self.edges.iter_mut().find(|edge| edge.name() == id) {
                edge.push(now_us, say);
            }
        }
        let count = self.edges.len();
        for (at, edge) in self.edges.iter_mut().enumerate() {
            edge.run(now_us, self.origin.as_mut());
            if edge.take_upheaval() {
                let seats = self.seats.iter_mut().skip(at).step_by(count);
                seats
                    .filter(|seat| seat.is_connected())
                    .for_each(|seat| seat.lose_connection(now_us));
            }
        }
    }

    /// Looks at every speaker now. [`World::run`] does so ten times a second.
    pub fn look(&mut self) {
        let Some(due_s) = self.origin.as_ref().and_then(|origin| origin.due_s(self.now_us)) else {
            return;
        };
        let mut lateness = Vec::new();
        for (i, seat) in self.seats.iter_mut().enumerate() {
            let first = &mut self.report.first_heard_us[i];
            let astray_since = &mut self.astray_since_us[i];
            let heard = &mut self.heard_us[i];
            match seat.listen(self.now_us) {
                Heard::Position(heard_s) => {
                    first.get_or_insert(self.now_us);
                    let late_us = Speaker::lateness_us(heard_s, due_s);
                    lateness.push((i, late_us));
                    heard.push_back((self.now_us, late_us));
                    if heard.len() == SPEED_LOOKS {
                        self.report.speed_ppm = self.report.speed_ppm.max(lasting_speed_ppm(heard));
                        heard.pop_front();
                    }
                    let error_us = late_us.abs();
                    self.report.errors_us.push(error_us);
                    if error_us > AUDIBLE_US {
                        let since_us = *astray_since.get_or_insert(self.now_us);
                        let astray_ms = (self.now_us - since_us) / 1e3;
                        self.report.astray_ms = self.report.astray_ms.max(astray_ms);
                    } else {
                        *astray_since = None;
                    }
                }
                Heard::Silence => {
                    heard.clear();
                    let is_missed = first.is_some() && self.expects_sound;
                    self.report.silent_looks += usize::from(is_missed && !seat.sleeps(self.now_us));
                }
            }
        }
        if !self.edges.is_empty() {
            self.compare(&lateness);
        }
    }

    /// Compares players of different edges, by their numbers and lateness in µs, and the edges' clocks with the origin's.
    fn compare(&mut self, lateness: &[(usize, f64)]) {
        let (edges, Some(origin)) = (&self.edges, &self.origin) else { return };
        for (at, (one, late_us)) in lateness.iter().enumerate() {
            let others = lateness[at + 1..].iter();
            let elsewhere =
                others.filter(|(other, _)| (one % edges.len()) != (other % edges.len()));
            self.report.apart_us.extend(elsewhere.map(|(_, other_us)| (late_us - other_us).abs()));
        }
        let errors_us = edges.iter().filter_map(|edge| edge.clock_error_us(self.now_us, origin));
        self.report.clock_errors_us.extend(errors_us.map(f64::abs));
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

/// Speed that all looks agree on, ppm, each with its time and lateness in µs.
fn lasting_speed_ppm(looks: &VecDeque<(f64, f64)>) -> f64 {
    let pairs = looks.iter().zip(looks.iter().skip(1));
    let speeds = pairs.map(|(from, to)| (to.1 - from.1).abs() / (to.0 - from.0));
    1e6 * speeds.fold(f64::INFINITY, f64::min)
}

fn origin(rng: &mut Rng, config: &WorldConfig) -> Origin {
    let epoch_us = rng.between(0.0, 1e12);
    let clock = crystal(rng, config, epoch_us);
    let instance = (config.edges > 0).then(|| rng.bits());
    Origin::new(clock, instance)
}

/// Whom the `number`th player is connected to.
fn server<'a>(
    origin: Option<&'a Origin>,
    edges: &'a [SimEdge],
    number: usize,
) -> Option<Server<'a>> {
    match edges.len() {
        0 => origin.map(Server::Origin),
        count => Some(Server::Edge(&edges[number % count])),
    }
}

fn crystal(rng: &mut Rng, config: &WorldConfig, epoch_us: f64) -> SimClock {
    let ppm_max = config.drift_ppm_max;
    let ppm = rng.between(-ppm_max, ppm_max);
    let phase = rng.between(0.0, std::f64::consts::TAU);
    SimClock::new(epoch_us, ppm).with_wander(WANDER_PPM, phase)
}
