//! One connection's side of the protocol.
//!
//! Pure: hand in what arrives and when, then call [`Session::poll_output`] until it says to wait. Nothing
//! here waits, reads a clock or touches a socket.
//!
//! Here: the order of a connection's life, and what to do about each message. One role, one file.
//! Not here: which bytes go first (`fanout::outbox`), what plays (`group`).
//!
//! Source: wire reference 1.3 for the handshake, 8.1 for the reactions to wrong input.

mod artwork;
mod color;
mod controller;
mod metadata;
mod negotiation;
mod party;
mod player;
mod screen;
#[cfg(test)]
mod tests;
mod visualizer;

use std::sync::Arc;

use protocol::message::{
    ClientCommand, ClientMessage, ClientState, ConnectionReason, DecodeError, GroupUpdate,
    PartyCommand, PlaybackState, ServerCommand, ServerHello, ServerMessage, StreamEnd,
    StreamRequestFormat, UnstampedTimeReply, VERSION,
};
use protocol::time::{ServerSpan, ServerTime};

pub(crate) use self::negotiation::Client;
use self::negotiation::{is_name, negotiate};
use self::player::PlayerRole;
use self::screen::Sight;
use crate::bucket::Bucket;
use crate::control::Command;
use crate::fanout::outbox::{Close, Outbox, Output, Urgent, Wait, close_code};
use crate::fanout::stage::Stage;
use crate::group::players::Told;
use crate::group::{Group, Offer};
use crate::metrics::Leave;
use crate::picture::darkroom::Wish;
use crate::pipeline::ROUND_SPAN;
use crate::pipeline::encoder::WireFormat;
use crate::rights::Rules;

/// How long a client may take for its hello. A person's phone on a bad network needs a second; a connection
/// that says nothing must not be kept for long.
const HELLO_WITHIN: ServerSpan = ServerSpan::from_secs(10);

/// How many wrong messages of one connection are logged. A broken client must not fill the disk.
const COMPLAINTS_MAX: u8 = 16;

/// How often a client is asked for a sign of life, and how long it may be silent: long enough for one lost answer.
const PING_EVERY: ServerSpan = ServerSpan::from_secs(30);
const SILENCE_MAX: ServerSpan = ServerSpan::from_secs(60);

/// Messages that a client may send, in a second and at once. The busiest is a volume slider that is dragged.
const MESSAGES_PER_S: i64 = 150;
const MESSAGES_AT_ONCE: i64 = 300;

/// The same for `client/time` alone: players ask in bursts of eight, and once in a second or less otherwise.
const TIMES_PER_S: i64 = 50;
const TIMES_AT_ONCE: i64 = 100;

/// Those whose turn comes within this time are served together: to be woken costs the server as much as to serve one.
const SLOT_SPAN: ServerSpan = ServerSpan::from_millis(10);

/// How often those who are told how the players are set look at them. To a person it is at once; for the server it does
/// not matter how often players report.
const LOOK_EVERY: ServerSpan = ServerSpan::from_millis(500);

/// What the server tells about itself, and how it treats who comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    /// Names the server across connections.
    pub(crate) server_id: String,
    /// For people.
    pub(crate) name: String,
    /// Who may do what.
    pub(crate) rules: Rules,
}

/// The protocol state of one connection, and what it has to send.
#[derive(Debug)]
pub(crate) struct Session {
    identity: Arc<Identity>,
    phase: Phase,
    outbox: Outbox,
    messages: Bucket,
    times: Bucket,
    complaints: u8,
    heard_at: ServerTime,
    ping_at: ServerTime,
    /// What the last message was about, if that is not for the session alone.
    asked: Option<Asked>,
    /// How the client calls this server.
    base_url: Option<Arc<str>>,
}

/// What a client said that concerns others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    /// It tells how it is set.
    Tell(Told),
    /// It asks for something that it may ask for.
    Do(Command),
}

#[derive(Debug)]
enum Phase {
    /// Nothing has come.
    Greeting { until: ServerTime },
    /// The hellos are done.
    Active(Box<Active>),
    /// The connection is being closed.
    Closing,
}

#[derive(Debug)]
struct Active {
    client: Client,
    /// What the last `group/update` said, once there was one.
    playback: Option<PlaybackState>,
    /// What its player told of itself.
    told: Told,
    /// Wishes that it has seen, once it has looked.
    wishes: Option<u64>,
    /// What its controls show.
    seen: Option<Seen>,
    /// When it looks at the players next, and how often it has.
    look: (ServerTime, u64),
}

/// What controls depend on. As long as it is the same, there is nothing new to tell.
#[derive(Debug)]
struct Seen {
    offer: Arc<Offer>,
    track_from: Option<ServerTime>,
    looks: u64,
    is_watched: bool,
}

impl PartialEq for Seen {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.offer, &other.offer)
            && (self.track_from, self.looks, self.is_watched)
                == (other.track_from, other.looks, other.is_watched)
    }
}

impl Session {
    /// A connection that was accepted at `now`, the `number`th of all.
    pub(crate) fn new(identity: Arc<Identity>, number: u64, now: ServerTime) -> Self {
        Self {
            identity,
            phase: Phase::Greeting { until: now + HELLO_WITHIN },
            outbox: Outbox::new(turn(number)),
            messages: Bucket::new(per_second(MESSAGES_PER_S) * MESSAGES_AT_ONCE, 1, now),
            times: Bucket::new(per_second(TIMES_PER_S) * TIMES_AT_ONCE, 1, now),
            complaints: 0,
            heard_at: now,
            ping_at: now + PING_EVERY,
            asked: None,
            base_url: None,
        }
    }

    /// The same for a client that calls this server so: its addresses begin with that, without a slash at the end.
    pub(crate) fn called(self, base_url: Option<String>) -> Self {
        Self { base_url: base_url.map(Arc::from), ..self }
    }

    /// What the last message was about, if that concerns others. Once.
    pub(crate) fn take_asked(&mut self) -> Option<Asked> {
        self.asked.take()
    }

    /// What was asked for could not be done.
    pub(crate) fn handle_denied(&mut self, why: &str) {
        self.complain(why);
    }

    /// Takes a text message that arrived at `arrived`.
    ///
    /// `arrived` must have been read before the text was looked at: it becomes `server_received`, and
    /// half of its lateness becomes an error of the client's clock.
    pub(crate) fn handle_text(&mut self, arrived: ServerTime, text: &str) {
        if !self.admit(arrived) {
            return;
        }
        let decoded = ClientMessage::decode(text);
        match &mut self.phase {
            Phase::Greeting { .. } => match decoded {
                Ok(Some(ClientMessage::Hello(hello))) => {
                    match negotiate(hello, &self.identity.rules, arrived) {
                        Ok(client) => self.activate(client, arrived),
                        Err(close) => self.close(close),
                    }
                }
                Ok(_) => self.refuse_greeting("client/hello must come first"),
                Err(error) => self.refuse_greeting(&error.to_string()),
            },
            Phase::Active(_) => match decoded {
                Ok(Some(message)) => self.handle_message(arrived, message),
                Ok(None) => self.complain("a message of unknown type"),
                Err(error @ DecodeError::Envelope(_)) => {
                    self.close(Close::new(close_code::PROTOCOL, error.to_string()));
                }
                Err(error) => self.complain(&error.to_string()),
            },
            Phase::Closing => {}
        }
    }

    /// Takes a binary message that arrived at `arrived`. No role that this server has sends any.
    pub(crate) fn handle_binary(&mut self, arrived: ServerTime) {
        if !self.admit(arrived) {
            return;
        }
        match self.phase {
            Phase::Greeting { .. } => self.refuse_greeting("client/hello must come first"),
            Phase::Active(_) => self.complain("a binary message"),
            Phase::Closing => {}
        }
    }

    /// Takes a ping or its answer that arrived at `arrived`.
    pub(crate) fn handle_sign_of_life(&mut self, arrived: ServerTime) {
        self.admit(arrived);
    }

    /// Counts something that arrived, before it is looked at. Returns whether it was not one too many.
    fn admit(&mut self, arrived: ServerTime) -> bool {
        self.heard_at = arrived;
        let is_within = self.messages.take(arrived, per_second(MESSAGES_PER_S));
        if !is_within {
            self.close(Close::new(close_code::POLICY, "too many messages"));
        }
        is_within
    }

    /// Says goodbye to the client because the server goes down.
    pub(crate) fn handle_shutdown(&mut self, group: &Group) {
        if let Phase::Active(active) = &mut self.phase {
            self.outbox.push(group_update(group, PlaybackState::Stopped));
            if active.client.player.as_mut().is_some_and(PlayerRole::stop) {
                end_stream(&mut self.outbox);
            }
            active.client.screen.stop(&mut self.outbox);
        }
        self.close(Close::new(close_code::GOING_AWAY, "the server is shutting down"));
    }

    /// Ends the connection when what is queued has been sent.
    pub(crate) fn close(&mut self, close: Close) {
        self.phase = Phase::Closing;
        self.outbox.close(close);
    }

    /// The client, once it has said hello.
    pub(crate) fn client(&self) -> Option<&Client> {
        match &self.phase {
            Phase::Active(active) => Some(&active.client),
            Phase::Greeting { .. } | Phase::Closing => None,
        }
    }

    /// The format that the client's chunks are in, if it is to have any.
    pub(crate) fn format(&self) -> Option<WireFormat> {
        self.client()?.format()
    }

    /// A picture that somebody has to print for this client, if one is missing.
    pub(crate) fn take_wish(&mut self) -> Option<Wish> {
        let Phase::Active(active) = &mut self.phase else { return None };
        active.client.screen.take_wish()
    }

    /// Whether it is to get figures of the sound.
    pub(crate) fn shows_figures(&self) -> bool {
        self.client().is_some_and(|client| client.screen.shows_figures())
    }

    /// How many chunks were left out since this was last asked.
    pub(crate) fn take_skipped(&mut self) -> u64 {
        self.outbox.take_skipped()
    }

    /// The next thing to do at `now`. Call again until it is [`Output::Wait`]; then call when the time it
    /// names has come, when the stage has changed, or after any `handle_*`. Extra calls are harmless.
    pub(crate) fn poll_output(&mut self, now: ServerTime, stage: &Stage) -> Output {
        let timer = self.handle_timeout(now, stage);
        if matches!(self.phase, Phase::Active(_)) && self.ping_at <= now {
            self.ping_at = now + PING_EVERY;
            return Output::Ping;
        }
        let output = self.outbox.poll(now, stage);
        if self.outbox.is_closing() {
            // The outbox may have ended the connection by itself.
            self.phase = Phase::Closing;
        }
        match (output, timer) {
            (Output::Wait(wait), Some((earlier, why)))
                if wait.until.is_none_or(|until| earlier < until) =>
            {
                Output::Wait(Wait { until: Some(earlier), why, ..wait })
            }
            (output, _) => output,
        }
    }

    /// The next thing that goes before chunks which were handed out and are not on the wire.
    pub(crate) fn poll_urgent(&mut self, now: ServerTime, stage: &Stage) -> Option<Urgent> {
        self.handle_timeout(now, stage);
        self.outbox.poll_urgent()
    }

    /// Does what is due at `now` and names the next wake-up.
    fn handle_timeout(
        &mut self,
        now: ServerTime,
        stage: &Stage,
    ) -> Option<(ServerTime, &'static str)> {
        match &mut self.phase {
            Phase::Greeting { until } if *until <= now => {
                self.refuse_greeting("client/hello did not come in time");
                None
            }
            Phase::Greeting { until } => Some((*until, "client/hello")),
            Phase::Active(_) if self.heard_at + SILENCE_MAX <= now => {
                // It may be asleep. Not a refusal: who comes back is to come in.
                let close = Close::new(close_code::GOING_AWAY, "silent for too long");
                self.close(Close { leave: Leave::Silent, ..close });
                None
            }
            Phase::Active(active) => {
                let silence = (self.ping_at.min(self.heard_at + SILENCE_MAX), "a sign of life");
                let group = active.follow(stage, now, &mut self.outbox);
                group.filter(|&(at, _)| at < silence.0).or(Some(silence))
            }
            Phase::Closing => None,
        }
    }

    fn activate(&mut self, mut client: Client, now: ServerTime) {
        if let Some(metadata) = &mut client.metadata {
            metadata.set_base_url(self.base_url.take());
        }
        self.outbox.push(
            ServerHello {
                server_id: self.identity.server_id.clone(),
                name: self.identity.name.clone(),
                version: VERSION,
                active_roles: client.active_roles(),
                connection_reason: ConnectionReason::Discovery,
            }
            .into(),
        );
        let told = Told { name: client.name.clone(), ..Told::default() };
        self.phase = Phase::Active(Box::new(Active {
            client,
            playback: None,
            told,
            wishes: None,
            seen: None,
            look: (now, 0),
        }));
    }

    fn handle_message(&mut self, arrived: ServerTime, message: ClientMessage) {
        match message {
            ClientMessage::Time(_) if !self.times.take(arrived, per_second(TIMES_PER_S)) => {
                self.complain("client/time too often");
            }
            ClientMessage::Time(request) => self.outbox.push_time_reply(UnstampedTimeReply {
                client_transmitted: request.client_transmitted,
                server_received: arrived,
            }),
            ClientMessage::State(state) => self.handle_state(&state),
            ClientMessage::RequestFormat(request) => self.handle_format(arrived, &request),
            ClientMessage::Goodbye(goodbye) => {
                tracing::debug!(reason = ?goodbye.reason, "goodbye");
                self.close(Close::new(close_code::NORMAL, "goodbye"));
            }
            ClientMessage::Hello(_) => self.complain("a second client/hello"),
            ClientMessage::Command(command) => self.handle_command(command),
        }
    }

    fn handle_command(&mut self, command: ClientCommand) {
        let Phase::Active(active) = &self.phase else { return };
        let Client { rights, controller, party, .. } = &active.client;
        let controller = command.controller.filter(|_| controller.is_some());
        let party = command.party.filter(|_| party.is_some());
        if let Some(PartyCommand::Rename { name }) = party {
            return self.rename(name);
        }
        let command = match (controller, party) {
            (Some(command), _) => Command::of_controller(command),
            (None, Some(command)) => Command::of_party(command),
            (None, None) => return self.complain("a command without the role for it"),
        };
        match command {
            Some(command) if *rights >= command.needs() => self.asked = Some(Asked::Do(command)),
            Some(_) => self.complain("a command that this client may not give"),
            None => self.complain("a command that is not offered"),
        }
    }

    fn rename(&mut self, name: String) {
        let Phase::Active(active) = &mut self.phase else { return };
        if !is_name(&name) {
            return self.complain("a name that is too long");
        }
        active.told.name = name;
        if active.client.player.is_some() {
            self.asked = Some(Asked::Tell(active.told.clone()));
        }
    }

    fn handle_state(&mut self, state: &ClientState) {
        let Phase::Active(active) = &mut self.phase else { return };
        if let Some(player) = &mut active.client.player {
            player.handle_state(state);
            self.outbox.set_audio_terms(player.terms());
            let (volume, muted) = player.loudness();
            let sync = state.party.or(active.told.sync);
            let told = Told { volume, muted, sync, name: active.told.name.clone() };
            if told != active.told {
                active.told = told.clone();
                self.asked = Some(Asked::Tell(told));
            }
        }
    }

    fn handle_format(&mut self, now: ServerTime, request: &StreamRequestFormat) {
        let Phase::Active(active) = &mut self.phase else { return };
        if request.player.is_none() && (request.artwork.is_some() || request.visualizer.is_some()) {
            let taken = active.client.screen.handle_format(request, &mut self.outbox);
            return taken.unwrap_or_else(|what| self.complain(what));
        }
        let (Some(wish), Some(player)) = (&request.player, &mut active.client.player) else {
            return self.complain("stream/request-format for a role that is not active");
        };
        if !player.streams() {
            return self.complain("stream/request-format without an active stream");
        }
        let granted = player.handle_format(wish);
        self.outbox.start_audio(player.terms(), now);
        if !granted {
            self.complain("stream/request-format for a format this server does not make");
        }
    }

    /// Refuses a connection whose first message is no hello, in the words of the reference server.
    fn refuse_greeting(&mut self, reason: &str) {
        let close = Close::new(close_code::PROTOCOL, reason);
        self.close(Close { error: Some("malformed"), ..close });
    }

    fn complain(&mut self, what: &str) {
        if self.complaints < COMPLAINTS_MAX {
            self.complaints += 1;
            tracing::warn!(what, "ignored");
        }
    }
}

impl Active {
    /// Brings the client up to date with the group and names the next time at which it will not be.
    ///
    /// `group/update` goes before the stream messages that follow from it (wire reference 5.3).
    fn follow(
        &mut self,
        stage: &Stage,
        now: ServerTime,
        outbox: &mut Outbox,
    ) -> Option<(ServerTime, &'static str)> {
        let group = &stage.group;
        let view = group.view(now);
        if self.playback != Some(view.playback) {
            self.playback = Some(view.playback);
            outbox.push(group_update(group, view.playback));
        }
        let sight = Sight { view: &view, gallery: &stage.gallery, now };
        if let Some(state) = self.client.metadata.as_mut().and_then(|role| role.follow(&sight)) {
            outbox.push(state);
        }
        self.client.screen.follow(&sight, outbox);
        let mut wake = view.changes_at.map(|at| (at, "the group"));
        if let Some(at) = self.follow_controls(stage, now, outbox)
            && wake.is_none_or(|(wake, _)| at < wake)
        {
            wake = Some((at, "the players"));
        }
        self.pass_wishes(stage, outbox);
        if let Some(player) = &mut self.client.player {
            let (wanted, decides_at) = player.wants_stream(&view, now);
            if wanted && !player.streams() {
                player.start();
                outbox.start_audio(player.terms(), now);
            } else if !wanted && player.stop() {
                end_stream(outbox);
            }
            if let Some(at) = decides_at.filter(|&at| wake.is_none_or(|(wake, _)| at < wake)) {
                wake = Some((at, "the first client/state"));
            }
        }
        wake
    }

    /// Brings controls up to date. Returns when to look at the players again, for those who see them.
    fn follow_controls(
        &mut self,
        stage: &Stage,
        now: ServerTime,
        outbox: &mut Outbox,
    ) -> Option<ServerTime> {
        let Self { client, look, seen, .. } = self;
        let watches = client.watches();
        if watches && look.0 <= now {
            *look = (now + LOOK_EVERY, look.1 + 1);
        }
        let view = stage.group.view(now);
        let present = Seen {
            offer: Arc::clone(view.offer),
            track_from: view.now_playing.map(|mark| mark.from),
            looks: look.1,
            is_watched: stage.players.is_watched(),
        };
        if seen.as_ref() != Some(&present) {
            *seen = Some(present);
            let Client { rights, controller, party, .. } = client;
            let controls = controller.as_mut().and_then(|role| role.follow(*rights, &view, stage));
            let party = party.as_mut().and_then(|role| role.follow(*rights, &view, stage));
            controls.into_iter().chain(party).for_each(|message| outbox.push(message));
        }
        watches.then_some(look.0)
    }

    /// Passes on how the player is to be set.
    fn pass_wishes(&mut self, stage: &Stage, outbox: &mut Outbox) {
        let seen = *self.wishes.get_or_insert(stage.players.wishes_so_far());
        let (commands, seen) = stage.players.wishes(&self.client.id, seen);
        self.wishes = Some(seen);
        for command in commands {
            outbox.push(ServerCommand { player: Some(command) }.into());
        }
    }
}

/// The share of a second of each of `count` messages.
const fn per_second(count: i64) -> ServerSpan {
    ServerSpan::from_micros(1_000_000 / count)
}

/// When in every round the `number`th connection is served: any number of successive ones are spread evenly.
///
/// Source: multiples of the golden ratio's fraction, as in Knuth, "The Art of Computer Programming" 3, 6.4.
fn turn(number: u64) -> ServerSpan {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let part = number.wrapping_mul(GOLDEN) >> 32;
    let slots = ROUND_SPAN.as_micros() / SLOT_SPAN.as_micros();
    ServerSpan::from_micros(((slots * part as i64) >> 32) * SLOT_SPAN.as_micros())
}

fn group_update(group: &Group, playback: PlaybackState) -> ServerMessage {
    GroupUpdate {
        playback_state: Some(playback),
        group_id: Some(group.id().to_owned()),
        group_name: Some(group.name().to_owned()),
    }
    .into()
}

fn end_stream(outbox: &mut Outbox) {
    outbox.stop_audio();
    outbox.push(StreamEnd { roles: Some(vec!["player".to_owned()]) }.into());
}
