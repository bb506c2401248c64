//! The only bridge between the page and the player: the player's events become signals, clicks become commands.
//!
//! Nothing on screen changes because of a click: it changes when the player says that something changed. The
//! exceptions are volume and mute, which the page owns while nothing is playing and remembers between visits.

use std::rc::Rc;

use leptos::prelude::*;
use player_wasm::browser::{Party, Settings, stats_json};
use player_wasm::player::{
    Calibration, CalibrationWish, Command, ControllerCommand, ControllerState, Event, Failure,
    NowPlaying, PartyCommand, PartyState, PartySupport, Position, Rights,
};
use player_wasm::stats::{State, Stats};
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;

use crate::identity::Identity;
use crate::server_address::ServerAddress;
use crate::{host_link, output_device, remembered, system, texts};

/// Why the page cannot play.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// What was given as the server's address is none.
    InvalidServer(String),
    /// The player gave up.
    Player(Failure),
}

/// Why nothing plays although all is well with this player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The last track has been played.
    Over,
    /// Whoever makes the sound is away.
    HostAway,
    /// The host has paused the track.
    ByHost,
}

/// What the player reported last. Components read these and derive the rest.
#[derive(Clone, Copy, Debug)]
struct Reported {
    state: RwSignal<State>,
    trouble: RwSignal<Option<Trouble>>,
    ended: RwSignal<bool>,
    waiting: RwSignal<bool>,
    now_playing: RwSignal<NowPlaying>,
    server_name: RwSignal<Option<String>>,
    volume: RwSignal<u8>,
    muted: RwSignal<bool>,
    output: RwSignal<String>,
    delay_ms: RwSignal<i16>,
    calibration: RwSignal<Calibration>,
    interrupted: RwSignal<bool>,
    controller: RwSignal<Option<ControllerState>>,
    party: RwSignal<PartyState>,
    /// The key was refused since listening began.
    key_refused: RwSignal<bool>,
}

/// The page's hold on the player. Cheap to copy; every component finds it in the context.
#[derive(Clone, Copy, Debug)]
pub struct PlayerHandle {
    party: StoredValue<Party, LocalStorage>,
    identity: StoredValue<Identity, LocalStorage>,
    server: StoredValue<ServerAddress>,
    name: RwSignal<Option<String>>,
    reported: Reported,
}

impl PlayerHandle {
    /// Makes the page's one player, idle, and offers its figures as `window.partyline.stats()`.
    ///
    /// An invalid `server` is reported at once: the person who opened the page should not have to press Join
    /// to find out.
    #[must_use]
    pub fn new(server: ServerAddress) -> Self {
        let output = remembered::output().unwrap_or_else(|| output_device::CHOICES[0].to_owned());
        let reported = Reported {
            state: RwSignal::new(State::Idle),
            trouble: RwSignal::new(None),
            ended: RwSignal::new(false),
            waiting: RwSignal::new(false),
            now_playing: RwSignal::new(NowPlaying::default()),
            server_name: RwSignal::new(None),
            volume: RwSignal::new(remembered::volume()),
            muted: RwSignal::new(remembered::muted()),
            delay_ms: RwSignal::new(remembered::delay_ms(&output)),
            output: RwSignal::new(output),
            calibration: RwSignal::new(Calibration::Off),
            interrupted: RwSignal::new(false),
            controller: RwSignal::new(None),
            party: RwSignal::new(PartyState::default()),
            key_refused: RwSignal::new(false),
        };
        let party = Party::new(move |event| reported.take(event));
        offer_stats(party.clone());
        mirror_state(State::Idle);
        let handle = Self {
            party: StoredValue::new_local(party),
            identity: StoredValue::new_local(Identity::claim()),
            server: StoredValue::new(server),
            name: RwSignal::new(remembered::name()),
            reported,
        };
        handle.server_is_valid();
        host_link::take_from_address(&handle.server());
        Effect::new(move |_| {
            if handle.party().key_refused {
                host_link::forget(&handle.server());
            }
        });
        output_device::watch(Rc::new(move |name| handle.set_output(name)));
        handle.follow_names();
        handle
    }

    /// The handle of the page that the calling component is part of.
    ///
    /// # Panics
    ///
    /// When called outside [`crate::app::App`], which provides it.
    #[must_use]
    pub fn of_page() -> Self {
        expect_context()
    }

    /// Starts to listen. Must be called synchronously in a click: browsers allow sound only there.
    pub fn join(self) {
        if !self.server_is_valid() {
            return;
        }
        let ServerAddress::Valid(server_url) = self.server.get_value() else {
            return;
        };
        let client_id = self.identity.with_value(Identity::client_id);
        let settings = Settings {
            server_url,
            name: self.name_of(&client_id),
            client_id,
            volume: self.reported.volume.get_untracked(),
            muted: self.reported.muted.get_untracked(),
            delay_ms: self.reported.delay_ms.get_untracked(),
            party: PartySupport { host_key: host_link::key(&self.server.get_value()) },
        };
        system::anchor();
        self.party.with_value(|party| party.join(settings));
    }

    /// Stops listening.
    pub fn stop(self) {
        self.party.with_value(Party::stop);
    }

    /// What the person calls this player; `None` while it goes by [`Self::given_name`].
    #[must_use]
    pub fn name(self) -> Option<String> {
        self.name.get()
    }

    /// What this player is called as long as nobody calls it otherwise.
    #[must_use]
    pub fn given_name(self) -> String {
        texts::player_name(&self.identity.with_value(Identity::client_id))
    }

    /// Calls this player `name`, now and for the next visit. A name of spaces is none.
    pub fn set_name(self, name: &str) {
        let name = texts::own_name(name);
        remembered::set_name(&name);
        self.name.set((!name.is_empty()).then_some(name));
        let client_id = self.identity.with_value(Identity::client_id);
        let name = self.name_of(&client_id);
        self.party.with_value(|party| party.set_name(name));
    }

    fn name_of(self, client_id: &str) -> String {
        self.name.get_untracked().unwrap_or_else(|| texts::player_name(client_id))
    }

    /// Sets the perceived loudness, 0 to 100, now and for the next visit.
    pub fn set_volume(self, volume: u8) {
        self.reported.keep_volume(volume);
        self.party.with_value(|party| party.set_volume(volume));
    }

    /// Mutes or unmutes, now and for the next visit.
    pub fn set_muted(self, muted: bool) {
        self.reported.keep_muted(muted);
        self.party.with_value(|party| party.set_muted(muted));
    }

    /// Takes `output`, a name or one of [`output_device::CHOICES`], for what the sound comes out of, now and for the
    /// next visit. It brings its delay with it.
    pub fn set_output(self, output: String) {
        let delay_ms = remembered::delay_ms(&output);
        remembered::set_output(&output);
        self.reported.output.set(output);
        self.set_delay(delay_ms);
    }

    /// Sets how much later than the browser says this device is heard, milliseconds, now and for the next time with
    /// the present output.
    pub fn set_delay(self, ms: i16) {
        let ms = ms.clamp(-1_000, 5_000);
        self.reported.keep_delay(ms);
        self.party.with_value(|party| party.set_delay(ms));
    }

    /// Compares this device with another one by chirps, or ends that.
    pub fn calibrate(self, wish: CalibrationWish) {
        self.party.with_value(|party| party.command(Command::Calibrate(wish)));
    }

    /// Browsers name outputs to sites that may use the microphone: once it is there, the present output may have a name
    /// of its own, and will have it at the next visit.
    fn follow_names(self) {
        Effect::new(move |_| {
            if matches!(self.calibration(), Calibration::Measuring { .. }) {
                output_device::look(Rc::new(move |name| self.name_output(name)));
            }
        });
    }

    /// The present output turns out to have a name: it keeps its delay, if none is remembered under that name.
    fn name_output(self, name: String) {
        if self.reported.output.with_untracked(|output| *output != name) {
            if remembered::known_delay_ms(&name).is_none() {
                remembered::set_delay_ms(&name, self.reported.delay_ms.get_untracked());
            }
            self.set_output(name);
        }
    }

    /// Lets sound that the system interrupted go on. Must be called synchronously in a click, as
    /// [`Self::join`].
    pub fn resume(self) {
        self.party.with_value(Party::resume);
    }

    /// Asks the party for something. What comes of it is reported like everything else.
    pub fn control(self, command: ControllerCommand) {
        self.party.with_value(|party| party.command(Command::Control(command)));
    }

    /// Asks the party for something that only a host may.
    pub fn ask(self, command: PartyCommand) {
        self.party.with_value(|party| party.command(Command::Party(command)));
    }

    /// Whether the party would obey the command of this name now, from this page.
    #[must_use]
    pub fn may(self, command: &str) -> bool {
        self.reported.controller.with(|state| {
            state
                .as_ref()
                .is_some_and(|state| state.supported_commands.iter().any(|it| it == command))
        })
    }

    /// What may be asked of the party, and how it is set; `None` where a server does not tell.
    #[must_use]
    pub fn controller(self) -> Option<ControllerState> {
        self.reported.controller.get()
    }

    /// What this listener may do, what comes next and who else is here.
    #[must_use]
    pub fn party(self) -> PartyState {
        self.reported.party.get()
    }

    /// Whether this page may do all that `rights` allow.
    #[must_use]
    pub fn has_rights(self, rights: Rights) -> bool {
        self.reported.party.with(|party| party.rights >= rights)
    }

    /// Whether this page may turn others up and down, or sees who they are.
    #[must_use]
    pub fn looks_after_others(self) -> bool {
        let sees = self.reported.party.with(|party| party.players.is_some());
        self.has_server() && (sees || self.may("volume") || self.may("mute"))
    }

    /// Whether the host's link that this page came by is an old one.
    #[must_use]
    pub fn is_key_refused(self) -> bool {
        self.reported.key_refused.get()
    }

    /// How far the track is at this moment. Not tracked: it changes all the time.
    #[must_use]
    pub fn position(self) -> Option<Position> {
        let told = self.reported.now_playing.with_untracked(|track| track.progress);
        // While the server's clock is not known: as it was when it was told.
        self.party.with_value(Party::position).or_else(|| told.map(|told| told.at(told.at)))
    }

    /// How loud each band is that is heard now, 0 to 255, the lowest first; `false` where the browser does not tell.
    #[must_use]
    pub fn loudness(self, bands: &mut [u8]) -> bool {
        self.party.try_with_value(|party| party.loudness(bands)).unwrap_or_default()
    }

    /// Takes what a player reports, as if it came from this page's own. What the page shows can be looked at so.
    pub fn take(self, event: Event) {
        self.reported.take(event);
    }

    /// The player's figures at this moment.
    #[must_use]
    pub fn stats(self) -> Stats {
        self.party.with_value(Party::stats)
    }

    /// What the player is doing.
    #[must_use]
    pub fn state(self) -> State {
        self.reported.state.get()
    }

    /// Whether the player listens or tries to.
    #[must_use]
    pub fn is_listening(self) -> bool {
        !matches!(self.state(), State::Idle | State::Error)
    }

    /// Whether a server is or was connected since listening began.
    #[must_use]
    pub fn has_server(self) -> bool {
        matches!(self.state(), State::Buffering | State::Playing | State::Reconnecting)
    }

    /// Why the page cannot play; `None` while it can.
    #[must_use]
    pub fn trouble(self) -> Option<Trouble> {
        self.reported.trouble.get()
    }

    /// Whether the party plays nothing now: paused, or after its last track.
    #[must_use]
    pub fn has_ended(self) -> bool {
        self.reported.ended.get()
    }

    /// The server says whether it waits for whoever makes the sound.
    pub fn set_waiting(self, waiting: bool) {
        self.reported.waiting.set(waiting);
    }

    /// Whether nothing can be heard until the host is back.
    #[must_use]
    pub fn is_waiting(self) -> bool {
        let is_silent = self.has_ended() || self.state() == State::Reconnecting;
        is_silent && self.reported.waiting.get()
    }

    /// Why nothing plays, if that is not this player's doing.
    #[must_use]
    pub fn pause(self) -> Option<Pause> {
        if self.is_waiting() {
            return Some(Pause::HostAway);
        }
        let is_paused = || {
            self.reported.now_playing.with(|track| track.progress.is_some_and(|it| it.is_paused()))
        };
        self.has_ended().then(|| if is_paused() { Pause::ByHost } else { Pause::Over })
    }

    /// What is playing.
    #[must_use]
    pub fn now_playing(self) -> NowPlaying {
        self.reported.now_playing.get()
    }

    /// The server's name, once it has told it.
    #[must_use]
    pub fn server_name(self) -> Option<String> {
        self.reported.server_name.get()
    }

    /// Perceived loudness, 0 to 100.
    #[must_use]
    pub fn volume(self) -> u8 {
        self.reported.volume.get()
    }

    /// Whether the player is silent whatever its volume.
    #[must_use]
    pub fn is_muted(self) -> bool {
        self.reported.muted.get()
    }

    /// What the sound comes out of: a name or one of [`output_device::CHOICES`].
    #[must_use]
    pub fn output(self) -> String {
        self.reported.output.get()
    }

    /// How much later than the browser says this device is heard, milliseconds.
    #[must_use]
    pub fn delay_ms(self) -> i16 {
        self.reported.delay_ms.get()
    }

    /// Where a calibration is.
    #[must_use]
    pub fn calibration(self) -> Calibration {
        self.reported.calibration.get()
    }

    /// Whether the system holds the sound up, in a phone call say.
    #[must_use]
    pub fn is_interrupted(self) -> bool {
        self.reported.interrupted.get()
    }

    /// The server that the page listens to.
    #[must_use]
    pub fn server(self) -> ServerAddress {
        self.server.get_value()
    }

    fn server_is_valid(self) -> bool {
        if let ServerAddress::Invalid(given) = self.server.get_value() {
            self.reported.fail(Trouble::InvalidServer(given));
            return false;
        }
        true
    }
}

impl Reported {
    fn take(self, event: Event) {
        match event {
            Event::State(state) => self.enter(state),
            Event::NowPlaying(now_playing) => self.now_playing.set(now_playing),
            Event::Ended(ended) => self.ended.set(ended),
            Event::Volume { volume, muted } => {
                self.keep_volume(volume);
                self.keep_muted(muted);
            }
            Event::Delay(ms) => self.keep_delay(ms),
            Event::Calibration(calibration) => self.calibration.set(calibration),
            Event::Interrupted(interrupted) => self.interrupted.set(interrupted),
            Event::ServerName(name) => self.server_name.set(Some(name)),
            Event::Failed(failure) => self.fail(Trouble::Player(failure)),
            Event::Controller(controller) => self.controller.set(controller),
            Event::Party(party) => {
                if party.key_refused {
                    self.key_refused.set(true);
                }
                self.party.set(party);
            }
            // Later players may tell more than this page shows.
            _ => {}
        }
    }

    fn enter(self, state: State) {
        mirror_state(state);
        if state != State::Error {
            self.trouble.set(None);
        }
        if matches!(state, State::Idle | State::Connecting | State::Error) {
            self.now_playing.set(NowPlaying::default());
            self.server_name.set(None);
            self.ended.set(false);
            self.interrupted.set(false);
            self.controller.set(None);
            self.party.set(PartyState::default());
            self.key_refused.set(false);
        }
        self.state.set(state);
    }

    fn fail(self, trouble: Trouble) {
        self.enter(State::Error);
        self.trouble.set(Some(trouble));
    }

    fn keep_volume(self, volume: u8) {
        remembered::set_volume(volume);
        self.volume.set(volume);
    }

    fn keep_delay(self, ms: i16) {
        remembered::set_delay_ms(&self.output.get_untracked(), ms);
        self.delay_ms.set(ms);
    }

    fn keep_muted(self, muted: bool) {
        remembered::set_muted(muted);
        self.muted.set(muted);
    }
}

/// Writes the state to `<body data-state>`, for the style sheet and for whoever watches the page from outside.
pub(crate) fn mirror_state(state: State) {
    if let Some(body) = document().body() {
        // Fails only for an invalid attribute name.
        drop(body.set_attribute("data-state", state.as_str()));
    }
}

/// Makes `window.partyline.stats()` return the player's figures as a plain object, at any time.
fn offer_stats(party: Party) {
    let stats = Closure::<dyn Fn() -> JsValue>::new(move || stats_json(&party.stats()));
    let partyline = js_sys::Object::new();
    let placed = js_sys::Reflect::set(&partyline, &"stats".into(), &stats.into_js_value())
        .and_then(|_| js_sys::Reflect::set(&window(), &"partyline".into(), &partyline));
    if placed.is_err() {
        leptos::logging::error!("window.partyline could not be set");
    }
}
