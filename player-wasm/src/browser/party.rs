//! The run loop: one [`Player`], its socket, its timer and its audio output.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};

use protocol::time::ClientTime;

use super::audio_output::{AudioOutput, Notice};
use super::host_clock;
use super::microphone::{Heard, Microphone};
use super::page_life::PageLife;
use super::socket::{Arrival, Socket};
use super::timer::Timer;
use crate::player::{Command, Config, Event, Failure, Output, PartySupport, Player, Position};
use crate::stats::{OutputKind, State, Stats};

/// What kind of player this is, for lists of players.
const PRODUCT: &str = "Partyline page";

/// How to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// WebSocket address of the server, `ws` or `wss`.
    pub server_url: String,
    /// Name of this player, for people.
    pub name: String,
    /// Names this player across visits.
    pub client_id: String,
    /// Perceived loudness, 0 to 100.
    pub volume: u8,
    /// Whether to be silent whatever the volume.
    pub muted: bool,
    /// How much later than the browser says the sound reaches the air, milliseconds; negative is earlier.
    pub delay_ms: i16,
    /// What this page asks to be: the host, with a key, or a guest.
    pub party: PartySupport,
}

/// The page's player. Cheap to clone; every clone is the same player. A page has one.
#[derive(Clone)]
pub struct Party(Rc<Shell>);

impl Party {
    /// An idle player: neither network nor sound. `on_event` hears of every change, and may call back.
    #[must_use]
    pub fn new(on_event: impl Fn(Event) + 'static) -> Self {
        Self(Rc::new_cyclic(|shell| Shell::new(shell, on_event)))
    }

    /// Begins to listen; stops first what is going on.
    ///
    /// Must be called synchronously in a click: browsers allow sound only there. What goes wrong, now or
    /// later, is told as [`Event::Failed`].
    pub fn join(&self, settings: Settings) {
        self.0.join(settings);
    }

    /// Stops listening.
    pub fn stop(&self) {
        self.0.command(Command::Stop);
    }

    /// Sets the perceived loudness, 0 to 100, while listening.
    pub fn set_volume(&self, percent: u8) {
        self.0.command(Command::SetVolume(percent));
    }

    /// Mutes or unmutes, while listening.
    pub fn set_muted(&self, muted: bool) {
        self.0.command(Command::SetMuted(muted));
    }

    /// Changes the name of this player, while listening.
    pub fn set_name(&self, name: String) {
        self.0.command(Command::SetName(name));
    }

    /// Sets how much later than the browser says the sound reaches the air, milliseconds, while listening.
    pub fn set_delay(&self, ms: i16) {
        self.0.command(Command::SetDelay(ms));
    }

    /// Has the player do what a person asked, while listening.
    pub fn command(&self, command: Command) {
        self.0.command(command);
    }

    /// How far the track is at this moment.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        let now = host_clock::now();
        self.0.with_player(|player| player.position(now)).flatten()
    }

    /// How loud each band is that is heard now: see [`AudioOutput::loudness`].
    pub fn loudness(&self, bands: &mut [u8]) -> bool {
        self.0.output.borrow().as_ref().is_some_and(|output| output.loudness(bands))
    }

    /// Lets an output that stands still run again, after a phone call say. Must be called synchronously in a
    /// click, as [`Self::join`].
    pub fn resume(&self) {
        self.0.resume();
    }

    /// The figures at this moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let now = host_clock::now();
        self.0.with_player(|player| player.stats(now)).unwrap_or_default()
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Party").field(&self.stats().state).finish()
    }
}

/// What the browser calls back into. No borrow of a cell is held while anything is called that may call back.
struct Shell {
    /// Itself, for callbacks.
    weak: Weak<Shell>,
    on_event: Box<dyn Fn(Event)>,
    player: RefCell<Option<Player>>,
    /// When the player wants to be woken.
    deadline: Cell<ClientTime>,
    timer: Timer,
    /// Outputs are being carried out: whoever calls back adds to them, and they are done in order.
    draining: Cell<bool>,
    server_url: RefCell<String>,
    socket: RefCell<Option<Socket>>,
    output: RefCell<Option<AudioOutput>>,
    microphone: RefCell<Option<Microphone>>,
    life: PageLife,
}

impl Shell {
    fn new(weak: &Weak<Self>, on_event: impl Fn(Event) + 'static) -> Self {
        Self {
            weak: weak.clone(),
            on_event: Box::new(on_event),
            player: RefCell::default(),
            deadline: Cell::new(ClientTime::from_micros(i64::MAX)),
            timer: Timer::new(calling(weak, Self::wake)),
            draining: Cell::new(false),
            server_url: RefCell::default(),
            socket: RefCell::default(),
            output: RefCell::default(),
            microphone: RefCell::default(),
            life: PageLife::new(
                calling(weak, Self::tell_visibility),
                calling(weak, Self::tell_return),
            ),
        }
    }

    fn join(&self, settings: Settings) {
        self.leave();
        let opened = self.resume_output();
        let now = host_clock::now();
        let config = Config {
            client_id: settings.client_id,
            name: settings.name,
            product: Some(PRODUCT.to_owned()),
            volume: settings.volume,
            muted: settings.muted,
            delay_ms: settings.delay_ms,
            output: *opened.as_ref().unwrap_or(&OutputKind::BufferSource),
            seed: js_sys::Math::random().to_bits(),
            party: settings.party,
        };
        let mut player = Player::new(config, now);
        player.set_hidden(now, self.life.is_hidden());
        if let Err(what) = opened {
            player.fail(now, Failure::AudioFailed { what });
        }
        self.server_url.replace(settings.server_url);
        self.player.replace(Some(player));
        self.drain();
    }

    /// Stops what is going on, to the end: the next player knows nothing of it.
    fn leave(&self) {
        let now = host_clock::now();
        self.with_player(|player| {
            if !is_over(player.stats(now).state) {
                player.command(now, Command::Stop);
            }
        });
        // Even while draining, when an event is answered with a call of `join`.
        self.carry_out_all();
    }

    /// Opens the output, or takes the one that is there, and lets it run: still within the click.
    fn resume_output(&self) -> Result<OutputKind, String> {
        let mut output = self.output.borrow_mut();
        if output.is_none() {
            let shell = self.weak.clone();
            *output = Some(AudioOutput::open(move |notice| {
                if let Some(shell) = shell.upgrade() {
                    shell.take_notice(notice);
                }
            })?);
        }
        let output = output.as_ref().expect("opened above");
        output.resume();
        Ok(output.kind())
    }

    fn resume(&self) {
        let now = host_clock::now();
        if self.output.borrow().as_ref().is_some_and(AudioOutput::is_running) {
            // It says that it runs, and stands still all the same: browsers come out of a phone call like that.
            self.output.take();
            self.with_player(|player| player.handle_new_output(now));
        }
        if let Err(what) = self.resume_output() {
            self.with_player(|player| player.fail(now, Failure::AudioFailed { what }));
        }
        self.drain();
    }

    fn command(&self, command: Command) {
        let now = host_clock::now();
        self.with_player(|player| player.command(now, command));
        self.drain();
    }

    fn take_notice(&self, notice: Notice) {
        let failure = match notice {
            Notice::Running => return self.wake(),
            Notice::Blocked => Failure::AudioBlocked,
            Notice::Failed(what) => Failure::AudioFailed { what },
        };
        if matches!(failure, Failure::AudioFailed { .. }) {
            // The next click gets a new one.
            self.output.take();
        }
        let now = host_clock::now();
        self.with_player(|player| player.fail(now, failure));
        self.drain();
    }

    fn take_arrival(&self, now: ClientTime, arrival: Arrival) {
        if let Arrival::Closed(_) = arrival {
            self.socket.take();
        }
        self.with_player(|player| match arrival {
            Arrival::Opened => player.connected(now),
            Arrival::Text(text) => player.handle_text(now, &text),
            Arrival::Binary(bytes) => player.handle_binary(now, &bytes),
            Arrival::Closed(how) => player.disconnected(now, &how),
        });
        self.drain();
        // Browsers slow down the timers of hidden pages, but not their sockets.
        if now >= self.deadline.get() {
            self.wake();
        }
    }

    fn tell_visibility(&self) {
        let (now, hidden) = (host_clock::now(), self.life.is_hidden());
        self.with_player(|player| player.set_hidden(now, hidden));
        if hidden { self.wake() } else { self.tell_return() }
    }

    /// Who was away may have missed the network's end, or slept.
    fn tell_return(&self) {
        let now = host_clock::now();
        self.with_player(|player| player.handle_wake_up(now));
        self.wake();
    }

    /// Tells the player the time, and the output's.
    fn wake(&self) {
        let now = host_clock::now();
        let reading = self.output.borrow().as_ref().and_then(AudioOutput::reading);
        let stood_still = self.life.clock_stood_still();
        self.with_player(|player| {
            if stood_still {
                player.handle_clock_jump(now);
            }
            player.handle_device(now, reading);
            player.handle_timeout(now);
        });
        self.drain();
    }

    fn with_player<T>(&self, input: impl FnOnce(&mut Player) -> T) -> Option<T> {
        self.player.borrow_mut().as_mut().map(input)
    }

    /// Carries out all that the player wants, unless that is going on already.
    fn drain(&self) {
        if !self.draining.replace(true) {
            self.carry_out_all();
            self.draining.set(false);
        }
    }

    /// Carries out all that the player wants, then waits for its deadline.
    fn carry_out_all(&self) {
        while let Some(output) = self.with_player(Player::poll_output) {
            if let Output::Timeout(deadline) = output {
                self.deadline.set(deadline);
                self.timer.arm(deadline - host_clock::now());
                break;
            }
            self.carry_out(output);
        }
    }

    fn carry_out(&self, output: Output) {
        match output {
            Output::Connect => self.connect(),
            Output::Send(text) => self.send(&text),
            Output::Disconnect => drop(self.socket.take()),
            Output::Play(block) => self.with_output(|output| output.play(block)),
            Output::Clear => self.with_output(AudioOutput::clear),
            Output::Gain(amplitude) => self.with_output(|output| output.set_gain(amplitude)),
            Output::Microphone(wanted) => self.record(wanted),
            Output::Event(event) => {
                if matches!(event, Event::State(state) if is_over(state)) {
                    self.with_output(AudioOutput::suspend);
                }
                (self.on_event)(event);
            }
            // Ends `carry_out_all`.
            Output::Timeout(_) => {}
        }
    }

    fn connect(&self) {
        let shell = self.weak.clone();
        let opened = Socket::open(&self.server_url.borrow(), move |now, arrival| {
            if let Some(shell) = shell.upgrade() {
                shell.take_arrival(now, arrival);
            }
        });
        match opened {
            Ok(socket) => drop(self.socket.replace(Some(socket))),
            Err(how) => self.take_arrival(host_clock::now(), Arrival::Closed(how)),
        }
    }

    fn record(&self, wanted: bool) {
        let shell = self.weak.clone();
        let opened = self.output.borrow().as_ref().filter(|_| wanted).map(|output| {
            output.open_microphone(move |heard| {
                if let Some(shell) = shell.upgrade() {
                    shell.take_heard(&heard);
                }
            })
        });
        self.microphone.replace(opened);
    }

    fn take_heard(&self, heard: &Heard) {
        let now = host_clock::now();
        let rate_hz = self.output.borrow().as_ref().map_or(0, AudioOutput::rate_hz);
        self.with_player(|player| match heard {
            Heard::Sound(samples) => player.handle_microphone(now, rate_hz, samples),
            Heard::Trouble(trouble) => player.handle_microphone_trouble(now, *trouble),
        });
        self.drain();
    }

    fn send(&self, text: &str) {
        let sent = self.socket.borrow().as_ref().map(|socket| socket.send(text));
        if let Some(Err(how)) = sent {
            self.take_arrival(host_clock::now(), Arrival::Closed(how));
        }
    }

    fn with_output(&self, action: impl FnOnce(&AudioOutput)) {
        if let Some(output) = &*self.output.borrow() {
            action(output);
        }
    }
}

/// Whether listening is over in this state, so that the output may rest.
fn is_over(state: State) -> bool {
    matches!(state, State::Idle | State::Error)
}

/// A callback that does nothing once the shell is gone.
fn calling(shell: &Weak<Shell>, method: fn(&Shell)) -> impl Fn() + Clone + 'static {
    let shell = shell.clone();
    move || {
        if let Some(shell) = shell.upgrade() {
            method(&shell);
        }
    }
}
