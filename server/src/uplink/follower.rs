//! An edge's side: what it asks its origin, what it publishes of the answers, and what time it is.
//!
//! Sans-IO: hand in what comes and when, and the hub that listeners look at; then drain [`Follower::poll_output`].
//!
//! The edge is its origin's client: its own clock is the client's clock, the origin's the server's. What it shows to its
//! listeners changes only when the origin's clock is known: until then a new origin is a candidate.

use std::collections::VecDeque;

use bytes::Bytes;
use protocol::clock_sync::{self, ClockSync};
use protocol::time::{ClientClock, ClientSpan, ClientTime, ServerClock, ServerTime};
use protocol::time_filter::ClockMapping;

use super::figures::{Screening, Sheet};
use super::lanes::{Formats, Lanes};
use super::pictures::Pictures;
use super::players::{LIST_EVERY, Reporter};
use super::reassembly::Raw;
use super::wire::{self, Answer, CallMessage, Fetch, PictureRequest, Report, State, TimeReply};
use crate::fanout::hub::Hub;
use crate::group::Group;
use crate::group::players::Roll;
use crate::party_clock::{Course, PartyClock};
use crate::pipeline::REACH_MAX;
use crate::pipeline::encoder::WireFormat;
use crate::session::Identity;

/// How often an edge reports when nothing changes. Three lost ones are noticed within [`AWAY_AFTER`].
const REPORT_EVERY: ClientSpan = ClientSpan::from_millis(800);

/// Shortest time between two reports: listeners may come by the hundred.
const REPORT_SPACING: ClientSpan = ClientSpan::from_millis(100);

/// An origin that says nothing for so long is away.
const AWAY_AFTER: ClientSpan = ClientSpan::from_millis(2_500);

/// Standard error of the origin's clock that is good enough to begin with, in microseconds.
const CLOCK_ERROR_US: f64 = 100.0;

/// What is good enough after this: a bad network does not get better by waiting.
const CLOCK_PATIENCE: ClientSpan = ClientSpan::from_millis(1_500);

/// Longest pause between bursts of questions for the time: an edge's error is that of all its listeners.
const ASK_EVERY: ClientSpan = ClientSpan::from_secs(1);

/// Numbers of chunks are below this: a party of a million years.
const NUMBERS_MAX: u64 = 1 << 48;

/// How far a chunk may be ahead of what is known of the origin: what it can make at once.
const NUMBERS_AHEAD_MAX: u64 = 1_000;

/// What the shell does next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Output {
    /// Ask the origin for the time, now. If it leaves later than this says, say so instead, here as well.
    Time(wire::TimeRequest),
    /// Report to the origin; hand its answer in.
    Report(Report),
    /// Ask the origin for chunks; hand them in, then the end of the answer.
    Fetch(WireFormat, Fetch),
    /// Follow the figures of the sound, or no more.
    Figures(bool),
    /// Ask the origin for a piece of a picture; hand it in.
    Picture(PictureRequest),
    /// Follow the chunks in this format, or no more.
    Subscribe(WireFormat, bool),
    /// The origin is away: make a new connection, and say when there is one.
    Reconnect,
    /// Drained. Call [`Follower::handle_timeout`] no later than this.
    Timeout(ClientTime),
}

/// A fetch whose answer has come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// Of chunks in this format.
    pub(crate) format: WireFormat,
    /// What was asked for.
    pub(crate) fetch: Fetch,
}

/// What listeners of this edge want.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// How many there are.
    pub(crate) listeners: u32,
    /// In which formats somebody wants chunks.
    pub(crate) formats: Formats,
    /// Whether somebody wants figures of the sound.
    pub(crate) figures: bool,
    /// Whether somebody looks at the list of players.
    pub(crate) looks: bool,
}

/// Follows an origin.
#[derive(Debug)]
pub(crate) struct Follower {
    name: String,
    clock: PartyClock,
    sync: ClockSync,
    course: Option<Course>,
    /// Since when there is a connection.
    connected: Option<ClientTime>,
    /// When the origin that is shown, or that is to be shown, was heard last.
    heard_at: ClientTime,
    /// The origin was lost: another one may take its place.
    is_open: bool,
    /// What is shown to listeners.
    shown: Option<(u64, u64)>,
    /// The state of an origin whose clock is not known yet, and since when it is there.
    candidate: Option<(State, ClientTime)>,
    /// Since when the origin's clock is not where it was.
    astray_since: Option<ClientTime>,
    /// Number of the next chunk of an instance, as far as is known.
    head: Option<(u64, u64)>,
    /// Listeners that are not this edge's.
    elsewhere: u32,
    lanes: Lanes,
    pictures: Pictures,
    screening: Screening,
    reporter: Reporter,
    wanted: Wanted,
    /// What was reported last, and when.
    reported: Option<(Wanted, ClientTime)>,
    /// What is wrong with what comes was said.
    is_warned: bool,
    /// That there are two origins was said.
    is_contested: bool,
    outputs: VecDeque<Output>,
}

impl Follower {
    /// An edge called `name` that steers `clock`, without a connection at `now`.
    pub(crate) fn new(name: &str, clock: PartyClock, now: ClientTime) -> Self {
        let mut sync = ClockSync::keen(now, ASK_EVERY);
        sync.close();
        Self {
            name: wire::printable(name),
            clock,
            sync,
            course: None,
            connected: None,
            heard_at: now,
            is_open: true,
            shown: None,
            candidate: None,
            astray_since: None,
            head: None,
            elsewhere: 0,
            lanes: Lanes::default(),
            pictures: Pictures::default(),
            screening: Screening::default(),
            reporter: Reporter::default(),
            wanted: Wanted::default(),
            reported: None,
            is_warned: false,
            is_contested: false,
            outputs: VecDeque::new(),
        }
    }

    /// There is a connection to the origin, or to what leads to it.
    pub(crate) fn handle_connected(&mut self, now: ClientTime) {
        self.connected = Some(now);
        self.is_open = true;
        self.heard_at = now;
        self.sync.reopen(now);
        self.reported = None;
        self.pictures.disconnect();
        self.reporter.disconnect();
        self.outputs.extend(self.wanted.figures.then_some(Output::Figures(true)));
        let followed = self.lanes.disconnect();
        self.outputs.extend(followed.into_iter().map(|format| Output::Subscribe(format, true)));
    }

    /// What listeners want has changed, or not.
    pub(crate) fn handle_wanted(&mut self, now: ClientTime, wanted: Wanted) {
        let before = std::mem::replace(&mut self.wanted, wanted);
        if wanted.figures != before.figures && self.connected.is_some() {
            self.outputs.push_back(Output::Figures(wanted.figures));
        }
        let followed = self.lanes.want(now, wanted.formats);
        self.outputs.extend(followed.into_iter().map(|format| Output::Subscribe(format, true)));
    }

    /// The origin has answered a report.
    pub(crate) fn handle_answer(&mut self, now: ClientTime, answer: Answer, hub: &Hub) {
        let is_sane = answer.head < NUMBERS_MAX;
        if self.connected.is_none() || !is_sane || !self.is_from_mine(now, answer.instance) {
            return;
        }
        self.note_head(answer.instance, answer.head);
        self.elsewhere = answer.elsewhere;
        self.reporter.handle_roll(answer.players, hub);
        match answer.state {
            Some(state) => self.handle_state(now, state, hub),
            None => come_back(hub),
        }
    }

    /// The origin's state has changed.
    pub(crate) fn handle_state(&mut self, now: ClientTime, state: State, hub: &Hub) {
        if self.connected.is_none() || !self.is_from_mine(now, state.instance) {
            return;
        }
        match self.shown {
            Some((instance, edition)) if instance == state.instance => {
                come_back(hub);
                if state.edition >= edition {
                    self.shown = Some((instance, state.edition));
                    hub.follow(state.program);
                }
            }
            _ => {
                let known = self.candidate.as_ref();
                let since = known.filter(|(known, _)| known.instance == state.instance);
                let since = since.map(|&(_, since)| since);
                if since.is_none() {
                    // Its clock may be another one.
                    self.sync.forget(now);
                }
                self.candidate = Some((state, since.unwrap_or(now)));
            }
        }
    }

    /// Whether something at `now` is from the origin that is followed, or from one that may take its place: the one that is
    /// followed has been silent.
    fn is_from_mine(&mut self, now: ClientTime, instance: u64) -> bool {
        let is_mine = self.shown.is_some_and(|(shown, _)| shown == instance);
        if is_mine || self.is_open {
            self.heard_at = now;
            if is_mine {
                self.is_open = false;
                self.candidate = None;
            }
            return true;
        }
        if !std::mem::replace(&mut self.is_contested, true) {
            tracing::warn!(
                "two origins of one party; the first is followed: give them different --party names"
            );
        }
        false
    }

    fn note_head(&mut self, instance: u64, head: u64) {
        self.head = match self.head {
            Some((known, before)) if known == instance => Some((instance, before.max(head))),
            _ => Some((instance, head)),
        };
    }

    /// Number of the next chunk of the origin that is shown.
    fn known_head(&self) -> u64 {
        let shown = self.shown.map(|(instance, _)| instance);
        self.head.filter(|&(instance, _)| Some(instance) == shown).map_or(0, |(_, head)| head)
    }

    /// A chunk has come, asked for or not.
    pub(crate) fn handle_chunk(&mut self, now: ClientTime, raw: Raw, hub: &Hub) {
        let is_mine = self.shown.is_some_and(|(instance, _)| instance == raw.header.instance);
        let Some(course) = self.course.filter(|_| is_mine && self.connected.is_some()) else {
            return;
        };
        let is_near = raw.header.end <= course.at(now) + REACH_MAX + REACH_MAX;
        if !is_near || raw.header.number > self.known_head().saturating_add(NUMBERS_AHEAD_MAX) {
            return self.warn("a chunk that is too far ahead");
        }
        self.heard_at = now;
        self.note_head(raw.header.instance, raw.header.number.saturating_add(1));
        self.lanes.push(raw);
        self.publish(now, hub);
    }

    /// All chunks of an answer to a fetch have come.
    pub(crate) fn handle_fetched(&mut self, now: ClientTime, fetched: Fetched, hub: &Hub) {
        let head = self.known_head();
        self.lanes.answered(fetched.format, &fetched.fetch, head);
        self.publish(now, hub);
    }

    /// Figures of the sound have come.
    pub(crate) fn handle_figures(&mut self, now: ClientTime, sheet: &Sheet, hub: &Hub) {
        let is_mine = self.shown.is_some_and(|(it, _)| it == sheet.header.instance);
        let Some(course) = self.course.filter(|_| is_mine && self.connected.is_some()) else {
            return;
        };
        if !self.screening.show(course.at(now), sheet, hub) {
            self.warn("figures of the sound that are none, or too far ahead");
        }
    }

    /// Players are asked for something.
    pub(crate) fn handle_call(&mut self, message: &CallMessage, hub: &Hub) {
        if self.connected.is_some() && self.shown.is_some_and(|(it, _)| it == message.instance) {
            self.reporter.handle_call(message, hub);
        }
    }

    /// The origin has answered a request for a piece of a picture. Returns what it had, when that is the last one.
    pub(crate) fn handle_piece(
        &mut self,
        now: ClientTime,
        request: PictureRequest,
        piece: &[u8],
    ) -> Option<Bytes> {
        self.pictures.handle_piece(now, request, piece)
    }

    /// The origin is gone, as far as the network knows.
    pub(crate) fn handle_gone(&mut self, now: ClientTime, hub: &Hub) {
        if self.connected.is_some() {
            self.lose(now, hub);
        }
    }

    /// The question for the time that was to be asked at `asked` left at `sent`, and says so.
    pub(crate) fn handle_time_sent(&mut self, asked: ClientTime, sent: ClientTime) {
        self.sync.handle_sent(asked, sent);
    }

    /// The origin has said what time it is, in a message that arrived at `now`.
    pub(crate) fn handle_time_reply(&mut self, now: ClientTime, reply: TimeReply) {
        let candidate = self.candidate.as_ref().map(|(state, _)| state.instance);
        let followed = candidate.or(self.shown.map(|(instance, _)| instance));
        // Another origin's clock is another clock, and no sign of life of this one.
        if self.connected.is_none() || followed != Some(reply.instance) {
            return;
        }
        self.heard_at = now;
        if let Err(error) = self.sync.handle_time_reply(now, reply.stamps) {
            tracing::debug!(%error, "from the origin");
        }
    }

    /// Does what is due at `now`. Calling early or twice is harmless.
    pub(crate) fn handle_timeout(&mut self, now: ClientTime, hub: &Hub) {
        if self.connected.is_none() {
            return;
        }
        self.sync.handle_timeout(now);
        loop {
            match self.sync.poll_output() {
                clock_sync::Output::SendTime { client_transmitted } => {
                    let request = wire::TimeRequest { client_transmitted };
                    self.outputs.push_back(Output::Time(request));
                }
                clock_sync::Output::Mapping(mapping) => {
                    self.handle_mapping(now, mapping, hub);
                }
                clock_sync::Output::Timeout(_) => break,
            }
        }
        if now - self.heard_at >= AWAY_AFTER {
            self.lose(now, hub);
            return;
        }
        self.report(now, hub);
        self.linger(now);
        self.publish(now, hub);
        self.fetch(now);
        if self.shown.is_some() {
            let next = self.pictures.next(now, &hub.stage());
            self.outputs.extend(next.map(Output::Picture));
        }
    }

    /// Next thing for the shell to do. Ends with [`Output::Timeout`].
    pub(crate) fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Timeout(self.deadline()))
    }

    /// The party's time at a time of this host, once it is known.
    pub(crate) fn party_time(&self, now: ClientTime) -> Option<ServerTime> {
        Some(self.course?.at(now))
    }

    /// How many listen elsewhere, as far as is known.
    pub(crate) fn elsewhere(&self) -> u32 {
        self.elsewhere
    }

    fn deadline(&self) -> ClientTime {
        if self.connected.is_none() {
            return ClientTime::from_micros(i64::MAX);
        }
        let reported = self.reported.map_or(self.heard_at, |last| self.report_at(last));
        [self.sync.deadline(), reported, self.heard_at + AWAY_AFTER]
            .into_iter()
            .chain(self.lanes.deadline())
            .chain(self.pictures.deadline())
            .fold(ClientTime::from_micros(i64::MAX), ClientTime::min)
    }

    /// The origin's clock is known, or known better.
    fn handle_mapping(
        &mut self,
        now: ClientTime,
        mapping: ClockMapping<ClientClock, ServerClock>,
        hub: &Hub,
    ) {
        let is_good = self.sync.error_us().is_some_and(|error_us| error_us < CLOCK_ERROR_US);
        let is_long = |since: ClientTime| now - since >= CLOCK_PATIENCE;
        let old = self.course.and_then(|course| course.toward(mapping, now));
        if let Some((state, _)) = self.candidate.take_if(|(_, since)| is_good || is_long(*since)) {
            self.steer(old.unwrap_or_else(|| Course::new(mapping, now)));
            self.show(state, hub);
            return;
        }
        if self.candidate.is_some() || self.shown.is_none() || self.course.is_none() {
            return;
        }
        if let Some(course) = old {
            return self.steer(course);
        }
        // The same origin on another clock: its machine slept, for example.
        let since = *self.astray_since.get_or_insert(now);
        if is_good || is_long(since) {
            self.steer(Course::new(mapping, now));
            let stage = hub.stage();
            let (identity, id) = (Identity::clone(&stage.identity), stage.group.id().to_owned());
            let program = stage.group.program().clone();
            drop(stage);
            begin(hub, identity, id, program);
            self.lanes.begin_anew();
        }
    }

    fn steer(&mut self, course: Course) {
        self.astray_since = None;
        self.course = Some(course);
        self.clock.steer(course);
    }

    /// From now on listeners see this party.
    fn show(&mut self, state: State, hub: &Hub) {
        self.shown = Some((state.instance, state.edition));
        self.is_open = false;
        let identity =
            Identity { server_id: state.server_id, name: state.name, rules: state.rules };
        begin(hub, identity, state.group_id, state.program);
        self.lanes.begin_anew();
    }

    /// The origin is away. What is here is played, and then everybody waits.
    fn lose(&mut self, now: ClientTime, hub: &Hub) {
        self.connected = None;
        self.is_open = true;
        self.sync.close();
        self.candidate = None;
        self.outputs.clear();
        self.outputs.push_back(Output::Reconnect);
        let stage = hub.stage();
        let ends = WireFormat::ALL.into_iter().filter_map(|format| stage.rings.of(format).end());
        let last = ends.reduce(ServerTime::max).or_else(|| Some(self.course?.at(now)));
        let is_news = !stage.group.is_left();
        drop(stage);
        self.elsewhere = 0;
        self.reporter.disconnect();
        self.reporter.handle_roll((Roll::default(), 0), hub);
        if let Some(last) = last.filter(|_| self.shown.is_some() && is_news) {
            tracing::warn!("the origin is away: what is here is played, then listeners wait");
            hub.update(|group| group.leave(last));
        }
    }

    /// When to report once more, after what was reported last.
    fn report_at(&self, (wanted, at): (Wanted, ClientTime)) -> ClientTime {
        at + if wanted != self.wanted || self.reporter.owes_list() {
            REPORT_SPACING
        } else if wanted.looks || self.reporter.is_looked_at() {
            LIST_EVERY
        } else {
            REPORT_EVERY
        }
    }

    fn report(&mut self, now: ClientTime, hub: &Hub) {
        if self.reported.is_none_or(|last| now >= self.report_at(last)) {
            self.reported = Some((self.wanted, now));
            self.outputs.push_back(Output::Report(Report {
                version: wire::VERSION,
                name: self.name.clone(),
                listeners: self.wanted.listeners,
                has: self.shown.filter(|_| self.candidate.is_none()),
                players: self.reporter.report(now, &hub.stage().players),
            }));
        }
    }

    fn linger(&mut self, now: ClientTime) {
        let left = self.lanes.linger(now);
        self.outputs.extend(left.into_iter().map(|format| Output::Subscribe(format, false)));
    }

    /// Publishes the chunks that are next.
    fn publish(&mut self, now: ClientTime, hub: &Hub) {
        let (Some(course), Some(_)) = (&self.course, &self.shown) else { return };
        if let Err(error) = self.lanes.publish(course.at(now), hub) {
            self.warn(&error.to_string());
        }
    }

    /// Says once that something came that should not.
    fn warn(&mut self, what: &str) {
        if !std::mem::replace(&mut self.is_warned, true) {
            tracing::warn!(what, "from the origin; ignored, as all of that kind");
        }
    }

    /// Asks for what is missing.
    fn fetch(&mut self, now: ClientTime) {
        let (Some(course), Some(_)) = (&self.course, &self.shown) else { return };
        let (party_now, head) = (course.at(now), self.known_head());
        let fetches = self.lanes.fetches(now, party_now, head);
        self.outputs
            .extend(fetches.into_iter().map(|(format, fetch)| Output::Fetch(format, fetch)));
    }
}

/// The origin is there again, if it was away.
fn come_back(hub: &Hub) {
    if hub.stage().group.is_left() {
        tracing::info!("the origin is back");
        hub.update(Group::come_back);
    }
}

fn begin(hub: &Hub, identity: Identity, group_id: String, program: crate::group::Program) {
    let mut group = Group::new(group_id, identity.name.clone());
    group.follow(program);
    hub.begin_anew(identity, group);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Program;
    use crate::group::players::Call;
    use crate::rights::Rules;
    use crate::uplink::figures::{self, SheetHeader};
    use crate::uplink::wire::ChunkHeader;
    use crate::visual::analyser::Finding;
    use crate::visual::reel::Moment;
    use protocol::message::ServerTimeReply;
    use std::sync::Arc;

    const MINE: u64 = 1;
    const OTHER: u64 = 2;
    /// The origins' clocks are ahead by this much for each instance.
    const AHEAD_US: i64 = 1_000_000_000;

    fn host(millis: i64) -> ClientTime {
        ClientTime::from_micros(millis * 1_000)
    }

    fn answer(instance: u64) -> Answer {
        let state = State {
            instance,
            edition: 1,
            server_id: format!("server-{instance}"),
            rules: Rules::default(),
            name: "n".to_owned(),
            group_id: "g".to_owned(),
            program: Program::default(),
        };
        let (version, state, players) = (wire::VERSION, Some(state), (Roll::default(), 0));
        Answer { version, elsewhere: 7, head: 5, instance, state, players }
    }

    /// An edge, and what its listeners look at.
    struct Scene {
        follower: Follower,
        hub: Hub,
        now: i64,
        reports: usize,
    }

    impl Scene {
        fn connected() -> Self {
            let identity = Identity::default();
            let hub = Hub::new(identity, Group::new(String::new(), String::new()));
            let mut follower = Follower::new("edge", PartyClock::followed(), host(0));
            follower.handle_connected(host(0));
            Self { follower, hub, now: 0, reports: 0 }
        }

        /// Runs for so many milliseconds. These origins tell the time at once, and report themselves when asked. Returns
        /// whether the edge wanted another connection.
        fn run(&mut self, millis: i64, origins: &[u64]) -> bool {
            for _ in 0..millis {
                self.now += 1;
                let now = host(self.now);
                self.follower.handle_timeout(now, &self.hub);
                loop {
                    match self.follower.poll_output() {
                        Output::Time(request) => {
                            for &instance in origins {
                                let asked = request.client_transmitted;
                                let there = asked.as_micros() + AHEAD_US * instance as i64;
                                let there = ServerTime::from_micros(there);
                                let stamps = ServerTimeReply {
                                    client_transmitted: asked,
                                    server_received: there,
                                    server_transmitted: there,
                                };
                                self.follower
                                    .handle_time_reply(now, TimeReply { instance, stamps });
                            }
                        }
                        Output::Report(_) => {
                            self.reports += 1;
                            for &instance in origins {
                                self.follower.handle_answer(now, answer(instance), &self.hub);
                            }
                        }
                        Output::Reconnect => return true,
                        Output::Timeout(_) => break,
                        Output::Fetch(..)
                        | Output::Subscribe(..)
                        | Output::Figures(_)
                        | Output::Picture(_) => {}
                    }
                }
            }
            false
        }

        fn follows(&self) -> String {
            self.hub.stage().identity.server_id.clone()
        }

        /// How far the party's clock is ahead of this host's.
        fn ahead_us(&self) -> Option<i64> {
            let time = self.follower.party_time(host(self.now))?;
            Some(time.as_micros() - self.now * 1_000)
        }
    }

    #[test]
    fn a_second_origin_of_the_party_neither_moves_the_clock_nor_takes_over() {
        let mut scene = Scene::connected();
        assert!(!scene.run(1_000, &[MINE]));
        assert_eq!((scene.follows(), scene.ahead_us()), ("server-1".to_owned(), Some(AHEAD_US)));
        let before = scene.hub.upheavals_so_far();
        assert!(!scene.run(5_000, &[OTHER, MINE]));
        assert_eq!((scene.follows(), scene.ahead_us()), ("server-1".to_owned(), Some(AHEAD_US)));
        assert_eq!(scene.hub.upheavals_so_far(), before);
    }

    #[test]
    fn a_second_origin_is_no_sign_of_life_of_the_first_and_takes_its_place() {
        let mut scene = Scene::connected();
        assert!(!scene.run(1_000, &[MINE]));
        assert!(scene.run(4_000, &[OTHER]), "locked on an origin that is gone");
        assert_eq!(scene.follower.elsewhere(), 0);
        scene.follower.handle_connected(host(scene.now));
        assert!(!scene.run(3_000, &[OTHER]));
        let ahead_us = Some(AHEAD_US * OTHER as i64);
        assert_eq!((scene.follows(), scene.ahead_us()), ("server-2".to_owned(), ahead_us));
    }

    #[test]
    fn a_confused_origin_does_not_lead_astray() {
        let mut scene = Scene::connected();
        assert!(!scene.run(1_000, &[MINE]));
        let chunk = |number, end_us| {
            let end = ServerTime::from_micros(end_us);
            let header = ChunkHeader { instance: MINE, number, epoch: 0, cuts: 0, end };
            Raw { format: WireFormat::Pcm16, header, message: Bytes::new() }
        };
        for (number, end_us) in [(u64::MAX, AHEAD_US), (u64::MAX - 5, 0), (6, i64::MAX)] {
            scene.follower.handle_chunk(host(scene.now), chunk(number, end_us), &scene.hub);
        }
        let mad = Answer { head: u64::MAX, ..answer(MINE) };
        scene.follower.handle_answer(host(scene.now), mad, &scene.hub);
        assert_eq!(scene.follower.known_head(), 5);
    }

    #[test]
    fn what_another_origin_says_of_figures_and_players_is_nothing() {
        let mut scene = Scene::connected();
        assert!(!scene.run(1_000, &[MINE]));
        let beat_at = |instance, millis: i64| {
            let at = AHEAD_US + (scene.now + millis) * 1_000;
            let moment = Moment::new(ServerTime::from_micros(at), Finding::Beat);
            let header = SheetHeader { instance, cuts: 0, take: 1 };
            Sheet { header, moments: figures::encode(&[Arc::new(moment)]).into() }
        };
        let (other, far, near) = (beat_at(OTHER, 500), beat_at(MINE, 60_000), beat_at(MINE, 600));
        let scrap = Sheet { moments: Bytes::from_static(b"scrap"), ..near.clone() };
        let call = |instance| CallMessage { instance, number: 1, call: Call::Mute(true) };
        let seen = |scene: &Scene| {
            let stage = scene.hub.stage();
            (stage.reel.get(0).is_some(), stage.players.wishes_so_far())
        };
        let now = host(scene.now);
        for sheet in [other, far, scrap] {
            scene.follower.handle_figures(now, &sheet, &scene.hub);
        }
        scene.follower.handle_call(&call(OTHER), &scene.hub);
        assert_eq!(seen(&scene), (false, 0));
        scene.follower.handle_figures(now, &near, &scene.hub);
        scene.follower.handle_call(&call(MINE), &scene.hub);
        assert_eq!(seen(&scene), (true, 1));
    }

    #[test]
    fn what_is_looked_at_is_told_soon_and_often() {
        let mut scene = Scene::connected();
        let reports = |scene: &mut Scene, millis: i64, looks: bool| {
            let before = scene.reports;
            for _ in 0..millis {
                let wanted = Wanted { looks, ..Wanted::default() };
                scene.follower.handle_wanted(host(scene.now), wanted);
                assert!(!scene.run(1, &[MINE]));
            }
            scene.reports - before
        };
        reports(&mut scene, 1_000, false);
        assert_eq!(reports(&mut scene, 8_000, false), 10);
        assert_eq!(reports(&mut scene, 101, true), 1);
        assert_eq!(reports(&mut scene, 8_000, true), 16);
    }
}
