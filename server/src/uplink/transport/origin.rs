//! An origin over Zenoh: answers, pushes state and chunks.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use protocol::message::ServerTimeReply;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use zenoh::bytes::ZBytes;
use zenoh::liveliness::LivelinessToken;
use zenoh::pubsub::{Publisher, Subscriber};
use zenoh::qos::{CongestionControl, Priority};
use zenoh::query::{Query, Queryable};
use zenoh::sample::{Sample, SampleKind};
use zenoh::{Session, Wait};

use super::config::Meeting;
use super::figures::Figures;
use super::{UplinkError, close, random, told};
use crate::control::{self, Command};
use crate::fanout::ring::Cursor;
use crate::pipeline::encoder::WireFormat;
use crate::studio::Venue;
use crate::uplink::origin::{self, Present};
use crate::uplink::wire::{self, Fetch, Refusal, Report, TimeReply, TimeRequest};

/// Questions that wait for an answer. When full, the newest is not answered, and asked again; a command is not done.
const QUESTIONS_MAX: usize = 1_024;

/// How often edges are looked after.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A running origin.
pub(super) struct Origin {
    shared: Arc<Shared>,
    session: Session,
    questions: mpsc::Receiver<Question>,
    lanes: Vec<Lane>,
    figures: Figures,
    state: Publisher<'static>,
    calls: Publisher<'static>,
    /// Undeclared when they are dropped.
    _declared: (Vec<Queryable<()>>, [Subscriber<()>; 3], LivelinessToken),
}

/// What callbacks and threads share.
struct Shared {
    venue: Venue,
    origin: Mutex<origin::Origin>,
}

/// What the loop is to answer.
enum Question {
    Report(Query),
    Asked(Command),
    Gone(String),
}

/// One format on its way to edges.
struct Lane {
    format: WireFormat,
    publisher: Publisher<'static>,
    /// Whether an edge wants it.
    wanted: Arc<AtomicBool>,
    /// The next chunk to go.
    cursor: Cursor,
}

impl Shared {
    fn origin(&self) -> MutexGuard<'_, origin::Origin> {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What listeners of edges add up to has changed, or not.
    fn count(&self) {
        let (listeners, edges) = {
            let origin = self.origin();
            (origin.listeners(), origin.edges())
        };
        self.venue.metrics.edges.set(i64::try_from(edges).unwrap_or(i64::MAX));
        self.venue.demand.set_elsewhere(usize::try_from(listeners).unwrap_or(usize::MAX));
    }
}

impl Origin {
    /// Opens the addresses of `meeting`.
    pub(super) async fn open(venue: Venue, meeting: &Meeting) -> Result<Self, UplinkError> {
        let session = meeting.open_origin().await?;
        let origin = Mutex::new(origin::Origin::new(random()));
        let shared = Arc::new(Shared { venue, origin });
        let (ask, questions) = mpsc::channel(QUESTIONS_MAX);
        let time = declare_time(&session, meeting, &shared).await?;
        let commands = declare_commands(&session, meeting, ask.clone()).await?;
        let mut queryables = vec![declare_report(&session, meeting, ask.clone()).await?];
        let mut lanes = Vec::new();
        let fetches = start_fetching(&shared)?;
        queryables.push(declare_picture(&session, meeting, fetches.clone()).await?);
        for format in WireFormat::ALL {
            lanes.push(Lane::declare(&session, meeting, format).await?);
            queryables.push(declare_fetch(&session, meeting, format, fetches.clone()).await?);
        }
        let figures = Figures::declare(&session, meeting, &shared.venue).await?;
        let state = session
            .declare_publisher(meeting.key("state"))
            .congestion_control(CongestionControl::Block)
            .priority(Priority::InteractiveHigh)
            .await
            .map_err(UplinkError::zenoh)?;
        let calls = session
            .declare_publisher(meeting.key("call"))
            .congestion_control(CongestionControl::Block)
            .priority(Priority::InteractiveHigh)
            .express(true)
            .await
            .map_err(UplinkError::zenoh)?;
        let edges = session
            .liveliness()
            .declare_subscriber(meeting.key("edge/*"))
            .callback(move |sample: Sample| {
                if sample.kind() == SampleKind::Delete
                    && let Some(id) = sample.key_expr().as_str().rsplit('/').next()
                {
                    // When full, its silence tells.
                    let _ = ask.try_send(Question::Gone(id.to_owned()));
                }
            })
            .await
            .map_err(UplinkError::zenoh)?;
        // Last: who sees it finds everything else.
        let token = session
            .liveliness()
            .declare_token(meeting.key("origin"))
            .await
            .map_err(UplinkError::zenoh)?;
        Ok(Self {
            shared,
            session,
            questions,
            lanes,
            figures,
            state,
            calls,
            _declared: (queryables, [time, commands, edges], token),
        })
    }

    /// Serves edges until it is told to stop.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let hub = Arc::clone(&self.shared.venue.hub);
        let (mut chunks, mut changes) = (hub.chunks(), hub.changes());
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Errors only without those who announce or ask, which then have nothing to say any more.
            tokio::select! {
                () = told(&mut stop) => break,
                Some(question) = self.questions.recv() => self.answer(question),
                Ok(()) = changes.changed() => {
                    self.push_calls();
                    self.push_state();
                }
                Ok(()) = chunks.changed() => {
                    let shared = &self.shared;
                    self.lanes.iter_mut().for_each(|lane| lane.push_chunks(shared));
                    self.push_figures();
                }
                _ = look.tick() => {
                    self.shared.origin().handle_timeout(self.shared.venue.clock.now());
                    self.shared.count();
                    self.gather_players();
                    self.push_figures();
                }
            }
        }
        close(self.session).await;
    }

    fn answer(&self, question: Question) {
        match question {
            Question::Report(query) => self.answer_report(&query),
            Question::Asked(command) => self.obey(&command),
            Question::Gone(id) => {
                self.shared.origin().handle_gone(&id);
                self.shared.count();
            }
        }
    }

    /// Does what somebody asks for at an edge.
    fn obey(&self, command: &Command) {
        let Venue { hub, control, demand, clock, .. } = &self.shared.venue;
        let done = if let Command::Source(request) = command {
            let asked = control.ask(*request, &hub.stage().group.view(clock.now()));
            asked.map(|()| demand.poke())
        } else {
            // The edge has shown what it was told before, and that is here as well.
            self.gather_players();
            hub.update_players(|players| {
                let done = control::set_players(players, command);
                let is_news = done.is_ok();
                (done, is_news)
            })
        };
        if let Err(denied) = done {
            tracing::debug!(%denied, "asked at an edge");
        }
    }

    /// Brings what is known here of the players of edges up to date.
    fn gather_players(&self) {
        self.push_calls();
        let hub = &self.shared.venue.hub;
        let looks = hub.stage().players.looks();
        let roll = self.shared.origin().players(looks);
        // What was called meanwhile is not in it: the next one has it.
        hub.update_players(|players| ((), !players.has_calls() && players.hear(roll)));
    }

    fn answer_report(&self, query: &Query) {
        let id = query.key_expr().as_str().rsplit('/').next().unwrap_or_default().to_owned();
        let report: Report = match wire::decode_versioned(&content(query)) {
            Ok(report) => report,
            Err(error) => {
                if self.shared.origin().note_refusal(&id) {
                    tracing::warn!(id, "an edge is refused: {error}");
                }
                let refusal = Refusal { version: wire::VERSION, reason: error.to_string() };
                let _ = query.reply_err(wire::encode(&refusal)).wait();
                return;
            }
        };
        self.push_calls();
        let Venue { hub, demand, clock, .. } = &self.shared.venue;
        let answer = {
            let stage = hub.stage();
            let present = Present { now: clock.now(), here: demand.here(), stage: &stage };
            self.shared.origin().handle_report(&id, report, present)
        };
        self.shared.count();
        let _ = query.reply(query.key_expr(), wire::encode(&answer)).wait();
    }

    fn push_figures(&mut self) {
        let instance = self.shared.origin().instance();
        self.figures.push(&self.shared.venue, instance);
    }

    fn push_state(&self) {
        let state = {
            let stage = self.shared.venue.hub.stage();
            self.shared.origin().handle_change(&stage)
        };
        let Some(state) = state else { return };
        if let Err(error) = self.state.put(wire::encode(&state)).wait() {
            tracing::debug!(%error, "state not sent");
        }
    }

    /// Tells edges what players are asked for.
    fn push_calls(&self) {
        let Venue { hub, clock, .. } = &self.shared.venue;
        if !hub.stage().players.has_calls() {
            return;
        }
        for call in hub.update_players(|players| (players.take_calls(), false)) {
            let message = self.shared.origin().call(clock.now(), call);
            if let Err(error) = self.calls.put(wire::encode(&message)).wait() {
                tracing::warn!(%error, "edges were not told what players are asked for");
            }
        }
    }
}

impl Lane {
    async fn declare(
        session: &Session,
        meeting: &Meeting,
        format: WireFormat,
    ) -> Result<Self, UplinkError> {
        let publisher = session
            .declare_publisher(meeting.key(&format!("chunks/{}", format.name())))
            .congestion_control(CongestionControl::Drop)
            .priority(Priority::Data)
            .await
            .map_err(UplinkError::zenoh)?;
        let wanted = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&wanted);
        publisher
            .matching_listener()
            .callback(move |status| told.store(status.matching(), Ordering::Release))
            .background()
            .await
            .map_err(UplinkError::zenoh)?;
        let status = publisher.matching_status().await.map_err(UplinkError::zenoh)?;
        wanted.fetch_or(status.matching(), Ordering::AcqRel);
        Ok(Self { format, publisher, wanted, cursor: Cursor::at(0) })
    }

    /// Sends the chunks that are there and have not been sent, if anybody wants them.
    fn push_chunks(&mut self, shared: &Shared) {
        if !self.wanted.load(Ordering::Acquire) {
            // Who comes fetches what is there by then.
            self.cursor = shared.venue.hub.stage().rings.of(self.format).newest();
            return;
        }
        loop {
            let next = {
                let stage = shared.venue.hub.stage();
                self.cursor = self.cursor.max(stage.rings.of(self.format).oldest());
                shared.origin().chunk(self.cursor, self.format, &stage)
            };
            let Some(numbered) = next else { return };
            self.cursor = self.cursor.next();
            let message = numbered.chunk.message(self.format);
            let put = self.publisher.put(message).attachment(numbered.header.encode());
            if let Err(error) = put.wait() {
                tracing::debug!(%error, "a chunk not sent");
            }
        }
    }
}

/// Answers what time it is, at once: half of any delay is an error of the edge's clock.
async fn declare_time(
    session: &Session,
    meeting: &Meeting,
    shared: &Arc<Shared>,
) -> Result<Subscriber<()>, UplinkError> {
    let clock = shared.venue.clock.clone();
    let instance = shared.origin().instance();
    let say = meeting.key("time/say");
    let answering = session.clone();
    let callback = move |sample: Sample| {
        let server_received = clock.now();
        let id = sample.key_expr().as_str().rsplit('/').next().unwrap_or_default();
        let Ok(TimeRequest { client_transmitted }) = wire::decode(&sample.payload().to_bytes())
        else {
            return;
        };
        let key = format!("{say}/{id}");
        let server_transmitted = clock.now();
        let stamps = ServerTimeReply { client_transmitted, server_received, server_transmitted };
        // What is not answered is asked again.
        let _ = answering
            .put(key, wire::encode(&TimeReply { instance, stamps }))
            .priority(Priority::RealTime)
            .congestion_control(CongestionControl::Drop)
            .express(true)
            .wait();
    };
    let subscriber = session.declare_subscriber(meeting.key("time/ask/*")).callback(callback);
    subscriber.await.map_err(UplinkError::zenoh)
}

/// Takes what people at edges ask of the source and of players. Who may ask for it was looked at there.
async fn declare_commands(
    session: &Session,
    meeting: &Meeting,
    ask: mpsc::Sender<Question>,
) -> Result<Subscriber<()>, UplinkError> {
    let callback = move |sample: Sample| {
        let Ok(command) = wire::decode(&sample.payload().to_bytes()) else { return };
        if ask.try_send(Question::Asked(command)).is_err() {
            tracing::debug!("too much at once: what somebody asked for at an edge is not done");
        }
    };
    let subscriber = session.declare_subscriber(meeting.key("command/*")).callback(callback);
    subscriber.await.map_err(UplinkError::zenoh)
}

async fn declare_report(
    session: &Session,
    meeting: &Meeting,
    ask: mpsc::Sender<Question>,
) -> Result<Queryable<()>, UplinkError> {
    let callback = move |query| {
        // When full, the edge reports again.
        let _ = ask.try_send(Question::Report(query));
    };
    let queryable = session.declare_queryable(meeting.key("report/*")).callback(callback);
    queryable.await.map_err(UplinkError::zenoh)
}

/// A question for something large.
enum FetchQuestion {
    Chunks(WireFormat, Query),
    Picture(Query),
}

async fn declare_fetch(
    session: &Session,
    meeting: &Meeting,
    format: WireFormat,
    fetches: mpsc::Sender<FetchQuestion>,
) -> Result<Queryable<()>, UplinkError> {
    let callback = move |query| {
        // When full, the edge asks again.
        let _ = fetches.try_send(FetchQuestion::Chunks(format, query));
    };
    let key = meeting.key(&format!("fetch/{}", format.name()));
    session.declare_queryable(key).callback(callback).await.map_err(UplinkError::zenoh)
}

async fn declare_picture(
    session: &Session,
    meeting: &Meeting,
    fetches: mpsc::Sender<FetchQuestion>,
) -> Result<Queryable<()>, UplinkError> {
    let callback = move |query| {
        // When full, the edge asks again.
        let _ = fetches.try_send(FetchQuestion::Picture(query));
    };
    let queryable = session.declare_queryable(meeting.key("picture")).callback(callback);
    queryable.await.map_err(UplinkError::zenoh)
}

/// Starts the thread that sends what edges fetch: it may have to wait for one of them, and nobody else shall.
fn start_fetching(shared: &Arc<Shared>) -> Result<mpsc::Sender<FetchQuestion>, UplinkError> {
    let (ask, mut questions) = mpsc::channel::<FetchQuestion>(QUESTIONS_MAX);
    let shared = Arc::clone(shared);
    // Ends when nobody can ask any more.
    thread::Builder::new().name("uplink-fetch".to_owned()).spawn(move || {
        while let Some(question) = questions.blocking_recv() {
            // An error says that the edge is gone. Otherwise it asks again.
            let _ = match question {
                FetchQuestion::Chunks(format, query) => answer_fetch(&shared, format, &query),
                FetchQuestion::Picture(query) => answer_picture(&shared, &query),
            };
        }
    })?;
    Ok(ask)
}

fn answer_fetch(shared: &Shared, format: WireFormat, query: &Query) -> zenoh::Result<()> {
    let fetch: Fetch = wire::decode(&content(query))?;
    let chunks = {
        let stage = shared.venue.hub.stage();
        shared.origin().fetch(&fetch, format, &stage)
    };
    for numbered in chunks {
        let message = numbered.chunk.message(format);
        let header = numbered.header.encode();
        query.reply(query.key_expr(), message).attachment(header).wait()?;
    }
    // Nothing after chunks says that these were all.
    query.reply(query.key_expr(), Vec::new()).wait()
}

fn answer_picture(shared: &Shared, query: &Query) -> zenoh::Result<()> {
    let request = wire::decode(&content(query))?;
    let piece = origin::piece(request, &shared.venue.hub.stage());
    query.reply(query.key_expr(), piece).wait()
}

fn content(query: &Query) -> Cow<'_, [u8]> {
    query.payload().map(ZBytes::to_bytes).unwrap_or_default()
}
