//! The player: messages, clock readings and a person's wishes in; messages, blocks and events out.
//!
//! Sans-IO: it reads no clock and owns no socket. The shell waits, reads the clock once, hands over one
//! input and drains [`Player::poll_output`] until [`Output::Timeout`].

mod api;
mod calibrator;
mod controls;
mod figures;
mod guest;
mod hand_out;
mod link;
mod now_playing;
mod stream;

use std::collections::VecDeque;

use protocol::binary::{AudioChunk, BinaryMessage};
use protocol::clock_sync::{self, ClockSync};
use protocol::message::{
    ClientCommand, ClientGoodbye, ClientHello, ClientMessage, ClientState, ClientTimeRequest,
    DeviceInfo, GoodbyeReason, OperationalState, PlaybackState, PlayerCommandName, PlayerState,
    PlayerSupport, ServerHello, ServerMessage, StreamStart, VERSION,
};
use protocol::role::{CONTROLLER_V1, METADATA_V1, PARTY_V1, PLAYER_V1};
use protocol::time::ClientTime;

pub use protocol::message::{
    ControllerCommand, ControllerState, PartyCommand, PartyState, PartySupport, PlayerInfo,
    QueueEntry, Repeat, Rights, SyncReport,
};
pub use protocol::time::ServerTime;

pub use self::api::{Command, Config, Disconnect, Event, Failure, Output};
use self::calibrator::Calibrator;
pub use self::calibrator::{Calibration, CalibrationWish, MicrophoneTrouble, Refusal};
use self::controls::clipped;
use self::guest::Guest;
use self::hand_out::START_WAIT;
use self::link::{Due, Link};
use self::now_playing::Programme;
pub use self::now_playing::{NowPlaying, Position, TrackProgress};
use self::stream::{Chunk, Stream};
use crate::decoder::FORMATS;
use crate::gain::amplitude;
use crate::output_clock::{DeviceReading, OutputClock};
use crate::scheduler::Disturbances;
use crate::stats::State;

/// Bytes of encoded audio that the server may have on the way and in the buffer: 5 s of the largest
/// format (288 kB/s), and some for headers.
const BUFFER_CAPACITY_BYTES: u64 = 1_600_000;
/// What the player needs between a stream's first chunk and its time, ms: a burst of time exchanges, a few
/// hand-overs to the output and the output's own latency.
const REQUIRED_LEAD_MS: u32 = 250;
/// Audio wanted in the buffer at all times, ms.
const MIN_BUFFER_MS: u32 = 250;
/// What a server may ask of this player.
const COMMANDS: [PlayerCommandName; 3] =
    [PlayerCommandName::Volume, PlayerCommandName::Mute, PlayerCommandName::SetStaticDelay];

/// Sans-IO player of one party. `now` is always a fresh reading of the client's clock, or the arrival time
/// of the message that is handed in.
#[derive(Debug)]
pub struct Player {
    config: Config,
    state: State,
    link: Link,
    clock: Option<ClockSync>,
    /// The stream that sounds.
    stream: Option<Stream>,
    /// The stream of a new connection, until its clock is known; the old one plays on meanwhile.
    next_stream: Option<Stream>,
    output: Option<OutputClock>,
    hidden: bool,
    /// The output stands still although it was not asked to.
    interrupted: bool,
    /// When the output is topped up next.
    tick_at: ClientTime,
    /// Sound begins then, however little is known of the server's clock.
    start_by: ClientTime,
    /// When the present stream began to sound: the look-ahead grows from there.
    sounding_since: Option<ClientTime>,
    playback: Option<PlaybackState>,
    programme: Programme,
    guest: Guest,
    calibrator: Calibrator,
    /// Of the streams that are over.
    past: Disturbances,
    late_chunks: u32,
    outputs: VecDeque<Output>,
}

impl Player {
    /// Starts to connect at `now`.
    #[must_use]
    pub fn new(config: Config, now: ClientTime) -> Self {
        let gain = amplitude(config.volume, config.muted);
        let mut player = Self {
            link: Link::new(now, config.seed),
            config,
            state: State::Idle,
            clock: None,
            stream: None,
            next_stream: None,
            output: None,
            hidden: false,
            interrupted: false,
            tick_at: now,
            start_by: now,
            sounding_since: None,
            playback: None,
            programme: Programme::default(),
            guest: Guest::default(),
            calibrator: Calibrator::default(),
            past: Disturbances::default(),
            late_chunks: 0,
            outputs: VecDeque::from([Output::Gain(gain), Output::Connect]),
        };
        player.set_state(State::Connecting);
        player
    }

    /// The connection is open: says hello.
    pub fn connected(&mut self, _now: ClientTime) {
        let hello = ClientHello {
            client_id: self.config.client_id.clone(),
            name: self.config.name.clone(),
            version: VERSION,
            supported_roles: [PLAYER_V1, METADATA_V1, CONTROLLER_V1, PARTY_V1]
                .map(str::to_owned)
                .to_vec(),
            device_info: Some(DeviceInfo {
                product_name: self.config.product.clone(),
                manufacturer: None,
                software_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            }),
            player_support: Some(PlayerSupport {
                supported_formats: FORMATS.to_vec(),
                buffer_capacity: BUFFER_CAPACITY_BYTES,
                supported_commands: COMMANDS.to_vec(),
            }),
            party_support: Some(self.config.party.clone()),
            ..ClientHello::default()
        };
        self.send(hello);
    }

    /// The connection ended, or did not come about.
    pub fn disconnected(&mut self, now: ClientTime, how: &Disconnect) {
        if self.link.is_ended() {
            return;
        }
        if let Some(clock) = &mut self.clock {
            clock.close();
        }
        self.next_stream = None;
        if let Some(stream) = &mut self.stream {
            stream.orphan();
        }
        if how.is_invitation() {
            self.link.invite();
        }
        let is_refusal = how.is_refusal();
        if !is_refusal && self.link.lost(now) {
            self.set_state(State::Reconnecting);
        } else if is_refusal || how.has_reason() {
            self.fail(now, Failure::Refused { code: how.code, reason: clipped(&how.reason) });
        } else {
            self.fail(now, Failure::NoServer);
        }
    }

    /// Takes a text message that arrived at `now`. What is no message of this protocol is passed over: a
    /// newer server may say more than this player understands.
    pub fn handle_text(&mut self, now: ClientTime, text: &str) {
        if self.link.is_ended() || self.link.is_waiting() {
            return;
        }
        self.link.heard(now);
        let Ok(Some(message)) = ServerMessage::decode(text) else {
            return;
        };
        match message {
            ServerMessage::Hello(hello) => self.handle_hello(now, &hello),
            _ if !self.link.is_open() => {}
            ServerMessage::Time(reply) => {
                if let Some(clock) = &mut self.clock {
                    // A reply that is late or impossible is of no use, and the next one is due anyway.
                    let _ = clock.handle_time_reply(now, reply);
                    self.drain_clock(now);
                }
            }
            ServerMessage::State(state) => {
                if let Some(metadata) = state.metadata {
                    self.handle_metadata(now, metadata);
                }
                self.handle_rights(now, state.controller, state.party);
            }
            ServerMessage::Command(command) => {
                if let Some(command) = command.player {
                    self.handle_player_command(command);
                }
            }
            ServerMessage::StreamStart(start) => self.handle_stream_start(now, &start),
            ServerMessage::StreamClear(clear) if clear.concerns_player() => self.clear_stream(),
            ServerMessage::StreamEnd(end) if end.concerns_player() => self.end_stream(),
            ServerMessage::StreamClear(_) | ServerMessage::StreamEnd(_) => {}
            ServerMessage::GroupUpdate(update) => self.handle_group(&update),
        }
        self.top_up(now);
    }

    /// Takes a binary message that arrived at `now`. Unknown ids are ignored, as the wire asks.
    pub fn handle_binary(&mut self, now: ClientTime, bytes: &[u8]) {
        if !self.link.is_open() {
            return;
        }
        self.link.heard(now);
        let Ok(BinaryMessage::Audio(AudioChunk { play_at, audio })) = BinaryMessage::decode(bytes)
        else {
            return;
        };
        let Some(stream) = self.fed_stream() else {
            return;
        };
        match stream.handle_chunk(play_at, audio) {
            Ok(Chunk::Accepted | Chunk::Overflow) => self.adopt_next_stream(now),
            Ok(Chunk::Late) => self.late_chunks += 1,
            Err(error) => self.fail(now, Failure::Unsupported { what: error.to_string() }),
        }
    }

    /// Takes a reading of the output's clock, or that there is none because the output stands still. Due right
    /// before each [`Self::handle_timeout`].
    pub fn handle_device(&mut self, now: ClientTime, reading: Option<DeviceReading>) {
        match (&mut self.output, reading) {
            (Some(output), Some(reading)) => output.handle_reading(now, &reading),
            (None, Some(reading)) => self.output = Some(OutputClock::new(now, &reading)),
            (_, None) => {}
        }
        let frozen = self.output.as_ref().is_some_and(|output| output.is_frozen(now));
        let interrupted = frozen && !self.link.is_ended();
        if std::mem::replace(&mut self.interrupted, interrupted) != interrupted {
            self.outputs.push_back(Output::Event(Event::Interrupted(interrupted)));
        }
    }

    /// The output was replaced by another one, which counts its frames from zero and is silent until told.
    pub fn handle_new_output(&mut self, now: ClientTime) {
        self.output = None;
        self.sounding_since = None;
        if let Some(stream) = &mut self.stream {
            stream.forget_output();
        }
        self.outputs.push_back(Output::Gain(amplitude(self.config.volume, self.config.muted)));
        self.handle_microphone_trouble(now, MicrophoneTrouble::Lost);
        self.handle_timeout(now);
    }

    /// Something happened that may have moved a clock or cost the connection: the page was shown again, the
    /// network came back. The server's clock is compared at once.
    pub fn handle_wake_up(&mut self, now: ClientTime) {
        if let Some(clock) = &mut self.clock {
            clock.hurry(now);
        }
        self.link.hurry(now);
        self.handle_timeout(now);
    }

    /// The client's clock jumped against the world's, as it does where it stands still while the machine sleeps.
    /// Nothing sounds until the server's clock is known again.
    pub fn handle_clock_jump(&mut self, now: ClientTime) {
        if let Some(clock) = &mut self.clock {
            clock.forget(now);
        }
        if let Some(output) = &mut self.output {
            output.restart();
        }
        if let Some(stream) = &mut self.stream {
            stream.forget_mapping();
        }
        self.sounding_since = None;
        self.start_by = now + START_WAIT;
        self.outputs.push_back(Output::Clear);
        self.handle_wake_up(now);
    }

    /// The page was hidden or shown: hidden pages wake up once a second at best.
    pub fn set_hidden(&mut self, now: ClientTime, hidden: bool) {
        self.hidden = hidden;
        self.top_up(now);
    }

    /// Ends listening because something went wrong, here or in the shell.
    pub fn fail(&mut self, _now: ClientTime, failure: Failure) {
        self.leave(State::Error);
        self.outputs.push_back(Output::Event(Event::Failed(failure)));
    }

    /// Does what a person asked.
    pub fn command(&mut self, now: ClientTime, command: Command) {
        match command {
            Command::SetDelay(ms) => {
                self.set_delay(ms);
                self.top_up(now);
            }
            Command::SetVolume(volume) => self.set_gain(volume.min(100), self.config.muted),
            Command::SetMuted(muted) => self.set_gain(self.config.volume, muted),
            Command::SetName(name) => self.set_name(name),
            Command::Control(command) => {
                self.ask(ClientCommand { controller: Some(command), party: None });
            }
            Command::Party(command) => {
                self.ask(ClientCommand { controller: None, party: Some(command) });
            }
            Command::Calibrate(wish) => self.calibrate(now, wish),
            Command::Stop => {
                if self.link.is_open() {
                    self.send(ClientGoodbye { reason: GoodbyeReason::UserRequest });
                }
                self.leave(State::Idle);
            }
        }
    }

    /// Advances time. Calling early or twice is harmless.
    pub fn handle_timeout(&mut self, now: ClientTime) {
        match self.link.handle_timeout(now) {
            Some(Due::Connect) => self.outputs.push_back(Output::Connect),
            Some(Due::GiveUp) => {
                self.outputs.push_back(Output::Disconnect);
                self.disconnected(now, &Disconnect::default());
            }
            None => {}
        }
        if let Some(clock) = &mut self.clock {
            clock.handle_timeout(now);
            self.drain_clock(now);
        }
        self.show_what_is_due(now);
        self.report(now);
        self.tend_calibration(now);
        self.tick(now);
    }

    /// Next thing for the caller to do. Ends with [`Output::Timeout`].
    #[must_use]
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Timeout(self.deadline()))
    }

    fn deadline(&self) -> ClientTime {
        let clock = self.clock.as_ref().map(ClockSync::deadline);
        let tick = self.stream.as_ref().or(self.next_stream.as_ref()).map(|_| self.tick_at);
        let never = ClientTime::from_micros(i64::MAX);
        let others = [self.title_due_at(), self.guest.report_at(), self.calibrator.until()];
        let all = [self.link.deadline(), clock, tick].into_iter().chain(others);
        all.flatten().min().unwrap_or(never)
    }

    fn handle_hello(&mut self, now: ClientTime, hello: &ServerHello) {
        if self.link.is_open() {
            return;
        }
        if hello.version != VERSION {
            let what = format!("server speaks version {}, expected {VERSION}", hello.version);
            return self.fail(now, Failure::Unsupported { what });
        }
        if !hello.active_roles.iter().any(|role| role == PLAYER_V1) {
            let what = format!("server does not play to this page: it lacks the role {PLAYER_V1}");
            return self.fail(now, Failure::Unsupported { what });
        }
        self.link.opened(now);
        self.start_by = now + START_WAIT;
        match &mut self.clock {
            Some(clock) => clock.reopen(now),
            None => self.clock = Some(ClockSync::new(now)),
        }
        self.outputs.push_back(Output::Event(Event::ServerName(clipped(&hello.name))));
        self.forget_rights();
        self.send(ClientState {
            state: Some(OperationalState::Synchronized),
            player: Some(PlayerState {
                static_delay_ms: Some(self.delay_on_the_wire()),
                required_lead_time_ms: Some(REQUIRED_LEAD_MS),
                min_buffer_ms: Some(MIN_BUFFER_MS),
                supported_commands: Some(COMMANDS.to_vec()),
                ..self.volume_state()
            }),
            party: None,
        });
        self.refresh_state(now);
        self.handle_timeout(now);
    }

    fn handle_stream_start(&mut self, now: ClientTime, start: &StreamStart) {
        let Some(format) = start.player.as_ref().map(|player| player.format) else {
            return;
        };
        let started = match self.fed_stream() {
            // In place: the timeline goes on.
            Some(stream) if stream.format().sample_rate == format.sample_rate => {
                stream.set_format(format)
            }
            _ => Stream::new(format).map(|mut stream| {
                if let Some(mapping) = self.clock.as_ref().and_then(ClockSync::mapping) {
                    stream.set_mapping(mapping);
                }
                self.next_stream = Some(stream);
            }),
        };
        match started {
            Ok(()) => self.adopt_next_stream(now),
            Err(error) => self.fail(now, Failure::Unsupported { what: error.to_string() }),
        }
    }

    /// Lets the new connection's stream sound, once it can be scheduled or nothing else sounds.
    fn adopt_next_stream(&mut self, now: ClientTime) {
        let ready = self.next_stream.as_ref().is_some_and(Stream::can_take_over);
        if !(ready || self.stream.is_none()) {
            return;
        }
        let Some(next) = self.next_stream.take() else {
            return;
        };
        if let Some(stream) = &mut self.stream {
            if let Some(distance) = stream.distance_to(&next, now.as_micros() as f64) {
                return stream.continue_with(next, distance);
            }
            self.outputs.push_back(Output::Clear);
        }
        self.retire_stream();
        self.stream = Some(next);
    }

    /// The stream that the present connection feeds.
    fn fed_stream(&mut self) -> Option<&mut Stream> {
        self.next_stream.as_mut().or(self.stream.as_mut().filter(|stream| !stream.is_orphaned()))
    }

    fn retire_stream(&mut self) {
        if let Some(stream) = self.stream.take() {
            let Disturbances { jumps, underruns } = stream.disturbances();
            self.past.jumps += jumps;
            self.past.underruns += underruns;
        }
        self.sounding_since = None;
    }

    fn clear_stream(&mut self) {
        if let Some(stream) = self.fed_stream() {
            stream.clear();
        }
        self.sounding_since = None;
        self.outputs.push_back(Output::Clear);
    }

    fn end_stream(&mut self) {
        self.next_stream = None;
        self.retire_stream();
        self.outputs.push_back(Output::Clear);
    }

    /// Passes on what the clock asks for.
    fn drain_clock(&mut self, now: ClientTime) {
        while let Some(clock) = &mut self.clock {
            match clock.poll_output() {
                clock_sync::Output::SendTime { client_transmitted } => {
                    self.send(ClientTimeRequest { client_transmitted });
                }
                clock_sync::Output::Mapping(mapping) => {
                    if let Some(stream) = self.fed_stream() {
                        stream.set_mapping(mapping);
                    }
                    self.adopt_next_stream(now);
                }
                clock_sync::Output::Timeout(_) => break,
            }
        }
    }

    /// The state follows from what is there: an ended link leaves it as it is.
    fn refresh_state(&mut self, now: ClientTime) {
        if self.link.is_ended() || self.state == State::Idle {
            return;
        }
        let sounds =
            self.output.as_ref().zip(self.stream.as_ref()).is_some_and(|(output, stream)| {
                let heard = output.heard_frame(now.as_micros() as f64);
                heard.is_some_and(|frame| stream.sounds_on(frame))
            });
        let state = match (self.link.is_open(), sounds) {
            (true, true) => State::Playing,
            (true, false) => State::Buffering,
            (false, _) if self.state == State::Connecting => State::Connecting,
            (false, _) => State::Reconnecting,
        };
        self.set_state(state);
    }

    fn set_state(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.outputs.push_back(Output::Event(Event::State(state)));
        }
    }

    /// Ends listening: nothing sounds, nothing is tried again.
    fn leave(&mut self, state: State) {
        self.link.end();
        self.clock = None;
        self.guest = Guest::default();
        self.end_calibration();
        self.end_stream();
        self.outputs.push_back(Output::Disconnect);
        self.set_state(state);
    }

    fn send(&mut self, message: impl Into<ClientMessage>) {
        self.outputs.push_back(Output::Send(message.into().encode()));
    }
}
