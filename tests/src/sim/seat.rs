//! One listener in the simulated world: a player, its clock, its device and its connection.

use player_wasm::player::{
    Calibration, Command, Config, Disconnect, Event, Output, PartySupport, Player,
};
use player_wasm::stats::{OutputKind, State, Stats};
use protocol::time::ClientTime;
use server::sans_io::Connection;

use super::clock::SimClock;
use super::link::{Link, LinkProfile};
use super::origin::poll;
use super::rng::Rng;
use super::server::Server;
use super::speaker::{Heard, Reports, Speaker};

/// True time between two chunks of the server.
const CHUNK_US: f64 = 50_000.0;

/// A message as the socket hands it over.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Text(String),
    Binary(bytes::Bytes),
    Close(u16, String),
}

impl Message {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Close(_, reason) => reason.len(),
        }
    }
}

/// A listener.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) player: Player,
    clock: SimClock,
    pub(super) speaker: Speaker,
    pub(super) up: Link<Message>,
    pub(super) down: Link<Message>,
    /// The server's end of the connection, while there is one.
    pub(super) peer: Option<Connection>,
    /// True time at which the server's end has more to send, if it knows.
    pub(super) server_wake_us: Option<f64>,
    /// The player asked for a connection.
    pub(super) wants_connection: bool,
    /// True time of the next wake-up.
    wake_us: f64,
    /// When the player wants to be woken.
    deadline: ClientTime,
    /// Nothing runs in the page before.
    frozen_until_us: f64,
    /// The machine slept since the page ran last.
    slept: bool,
    /// The machine is off before.
    asleep_until_us: f64,
    /// How far apart the browser lets timers of the page fire.
    throttle_us: f64,
    /// Since when the output rests because the person stopped.
    stopped_us: Option<f64>,
    seed: u64,
    rng: Rng,
    pub(super) states: Vec<State>,
    /// What the player last said of its calibration.
    pub(super) calibration: Calibration,
    pub(super) records: bool,
}

/// What makes one listener different from another.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeatConfig {
    pub(super) join_us: f64,
    pub(super) clock: SimClock,
    pub(super) crystal: SimClock,
    pub(super) device_hz: u32,
    pub(super) reports: Reports,
    pub(super) up: LinkProfile,
    pub(super) down: LinkProfile,
    pub(super) seed: u64,
}

impl Seat {
    pub(super) fn new(config: SeatConfig) -> Self {
        let rng = Rng::new(config.seed);
        let SeatConfig { clock, crystal, device_hz, join_us, .. } = config;
        let now = ClientTime::from_micros(clock.read(join_us));
        let player = player(config.seed, now);
        let up = Link::new(config.up, Rng::new(config.seed ^ 0x75));
        let down = Link::new(config.down, Rng::new(config.seed ^ 0x64));
        let device = Rng::new(config.seed ^ 0x6465);
        let mut speaker = Speaker::new(device_hz, crystal, join_us, device);
        speaker.set_reports(config.reports);
        let mut seat = Self {
            player,
            clock,
            speaker,
            up,
            down,
            peer: None,
            server_wake_us: None,
            wants_connection: false,
            wake_us: join_us,
            deadline: now,
            frozen_until_us: 0.0,
            slept: false,
            asleep_until_us: 0.0,
            throttle_us: 0.0,
            stopped_us: None,
            seed: config.seed,
            rng,
            states: Vec::new(),
            calibration: Calibration::Off,
            records: false,
        };
        seat.drain(join_us);
        seat
    }

    fn now(&self, true_us: f64) -> ClientTime {
        ClientTime::from_micros(self.clock.read(true_us))
    }

    /// The connection that the player asked for is open.
    pub(super) fn connect(&mut self, true_us: f64, peer: Connection) {
        self.wants_connection = false;
        self.peer = Some(peer);
        self.server_wake_us = Some(true_us);
        let now = self.now(true_us);
        self.player.connected(now);
        self.drain(true_us);
    }

    /// Whether there is a connection.
    pub(super) fn is_connected(&self) -> bool {
        self.peer.is_some()
    }

    /// The connection is opened, and closed with the advice to come again.
    pub(super) fn turn_away(&mut self, true_us: f64) {
        self.wants_connection = false;
        let now = self.now(true_us);
        self.player.connected(now);
        self.drain(true_us);
        self.hang_up();
        let reason = "waiting for the host".to_owned();
        self.player.disconnected(now, &Disconnect { code: 1001, reason });
        self.drain(true_us);
    }

    /// The connection breaks.
    pub(super) fn lose_connection(&mut self, true_us: f64) {
        self.wants_connection = false;
        self.hang_up();
        let now = self.now(true_us);
        self.player.disconnected(now, &Disconnect { code: 1006, reason: String::new() });
        self.drain(true_us);
    }

    /// Nothing is under way any more.
    fn hang_up(&mut self) {
        self.peer = None;
        self.server_wake_us = None;
        self.up.cut();
        self.down.cut();
    }

    /// When something happens here next.
    pub(super) fn next_at(&self) -> f64 {
        let page_us = self.down.next_at().unwrap_or(f64::INFINITY).min(self.wake_us);
        let server = [self.server_wake_us, self.up.next_at()];
        server.into_iter().flatten().fold(page_us.max(self.frozen_until_us), f64::min)
    }

    /// Nothing runs in the page until then: timers and messages wait.
    pub(super) fn freeze(&mut self, until_us: f64) {
        self.frozen_until_us = until_us;
    }

    /// The machine sleeps from now on for this long, microseconds: the page and the device stand still, and so
    /// does the page's clock, as in browsers that count only the time awake.
    pub(super) fn suspend(&mut self, true_us: f64, us: f64) {
        self.freeze(true_us + us);
        self.asleep_until_us = true_us + us;
        self.slept = true;
        self.up.hold(true_us + us);
        self.clock.step(-us);
        self.speaker.stood_still(us);
    }

    /// The page is hidden or shown. Its timers fire that far apart, microseconds.
    pub(super) fn hide(&mut self, true_us: f64, throttle_us: f64) {
        self.throttle_us = throttle_us;
        let now = self.now(true_us);
        self.player.set_hidden(now, throttle_us > 0.0);
        self.drain(true_us);
    }

    /// Takes what has arrived by a true time.
    pub(super) fn receive(&mut self, true_us: f64) {
        if true_us < self.frozen_until_us {
            return;
        }
        while let Some(message) = self.down.receive(true_us) {
            let now = self.now(true_us);
            match message {
                Message::Text(text) => self.player.handle_text(now, &text),
                Message::Binary(bytes) => self.player.handle_binary(now, &bytes),
                Message::Close(code, reason) => {
                    self.hang_up();
                    self.player.disconnected(now, &Disconnect { code, reason });
                }
            }
            self.drain(true_us);
            // As the shell does: browsers slow down the timers of hidden pages, but not their sockets.
            if now >= self.deadline {
                self.turn(true_us);
            }
        }
    }

    /// Wakes the player up if it is due.
    pub(super) fn wake(&mut self, true_us: f64) {
        if true_us >= self.wake_us.max(self.frozen_until_us) {
            self.turn(true_us);
        }
    }

    /// Tells the player the time, and the output's.
    fn turn(&mut self, true_us: f64) {
        let now = self.now(true_us);
        let runs = self.stopped_us.is_none();
        let reading = runs.then(|| self.speaker.reading(true_us, &self.clock));
        self.player.handle_device(now, reading);
        if std::mem::take(&mut self.slept) {
            // The shell compares with the wall clock, which is not simulated.
            self.player.handle_clock_jump(now);
        }
        self.player.handle_timeout(now);
        self.drain(true_us);
    }

    /// Does what a person asks.
    pub(super) fn command(&mut self, true_us: f64, command: Command) {
        let now = self.now(true_us);
        if command == Command::Stop {
            self.stopped_us = Some(true_us);
        }
        self.player.command(now, command);
        self.drain(true_us);
    }

    /// Hands over what the microphone heard, mono.
    pub(super) fn hear(&mut self, true_us: f64, rate_hz: u32, samples: &[f32]) {
        if self.records {
            let now = self.now(true_us);
            self.player.handle_microphone(now, rate_hz, samples);
            self.drain(true_us);
        }
    }

    /// Joins again after [`Command::Stop`], with the output that rested meanwhile.
    pub(super) fn join_again(&mut self, true_us: f64) {
        if let Some(since_us) = self.stopped_us.take() {
            self.speaker.stood_still(true_us - since_us);
        }
        self.player = player(self.seed, self.now(true_us));
        self.drain(true_us);
    }

    /// The server goes on in another format, as it may at any time: here it is asked to.
    pub(super) fn request_format(&mut self, true_us: f64, server: Server<'_>, bit_depth: u8) {
        if let Some(peer) = &mut self.peer {
            let player = format!(r#"{{"player":{{"bit_depth":{bit_depth}}}}}"#);
            let wish = format!(r#"{{"type":"stream/request-format","payload":{player}}}"#);
            peer.handle_text(server.now(true_us), &wish);
            self.server_wake_us = Some(true_us);
        }
    }

    /// The server's end takes what has arrived and sends what is due.
    pub(super) fn serve(&mut self, true_us: f64, server: Server<'_>) {
        let Some(peer) = &mut self.peer else {
            return;
        };
        let mut woken = self.server_wake_us.is_some_and(|wake_us| wake_us <= true_us);
        while let Some(message) = self.up.receive(true_us) {
            if let Message::Text(text) = message {
                peer.handle_text(server.now(true_us), &text);
            }
            woken = true;
        }
        if woken {
            let down = &mut self.down;
            let more = poll(peer, server.now(true_us), server.house(), |message| {
                let bytes = message.len();
                down.send(true_us, message, bytes);
            });
            let more = more.map(|at| server.when(true_us, at));
            // The hub's announcement of a new chunk, which a task would wait for.
            let announced = true_us + CHUNK_US;
            self.server_wake_us = Some(more.map_or(announced, |more| more.min(announced)));
        }
    }

    fn drain(&mut self, true_us: f64) {
        loop {
            match self.player.poll_output() {
                Output::Connect => self.wants_connection = true,
                Output::Disconnect => self.hang_up(),
                Output::Send(text) => {
                    let bytes = text.len();
                    self.up.send(true_us, Message::Text(text), bytes);
                    self.down.wake(true_us);
                }
                Output::Play(block) => self.speaker.play(true_us, &block),
                Output::Clear => self.speaker.clear(true_us),
                Output::Event(Event::State(state)) => self.states.push(state),
                Output::Event(Event::Calibration(stage)) => self.calibration = stage,
                Output::Microphone(wanted) => self.records = wanted,
                Output::Gain(_) | Output::Event(_) => {}
                Output::Timeout(at) => {
                    // A timer fires late, never early.
                    let due_us = self.clock.when(at.as_micros() as f64 + 1.0);
                    let late_us = self.rng.between(0.0, 4_000.0_f64.max(self.throttle_us));
                    self.wake_us = due_us.max(true_us) + late_us;
                    self.deadline = at;
                    return;
                }
            }
        }
    }

    pub(super) fn stats(&self, true_us: f64) -> Stats {
        self.player.stats(self.now(true_us))
    }

    /// Whether the machine is off, or the device has not come back yet.
    pub(super) fn sleeps(&self, true_us: f64) -> bool {
        true_us < self.asleep_until_us
    }

    pub(super) fn listen(&self, true_us: f64) -> Heard {
        if self.sleeps(true_us) { Heard::Silence } else { self.speaker.listen(true_us) }
    }
}

fn player(seed: u64, now: ClientTime) -> Player {
    let config = Config {
        client_id: format!("seat-{seed}"),
        name: "Simulated".to_owned(),
        product: None,
        volume: 100,
        muted: false,
        delay_ms: 0,
        output: OutputKind::Worklet,
        seed,
        party: PartySupport::default(),
    };
    Player::new(config, now)
}
