//! An edge over Zenoh: asks, follows, and finds its way back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use protocol::time::ClientTime;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use zenoh::bytes::ZBytes;
use zenoh::liveliness::LivelinessToken;
use zenoh::pubsub::{Publisher, Subscriber};
use zenoh::qos::{CongestionControl, Priority};
use zenoh::query::{ConsolidationMode, Reply};
use zenoh::sample::{Sample, SampleKind};
use zenoh::{Session, Wait};

use super::config::Meeting;
use super::{UplinkError, close, jitter, told};
use crate::host_clock;
use crate::pipeline::encoder::WireFormat;
use crate::studio::Venue;
use crate::uplink::figures::{SHEET_BYTES_MAX, Sheet, SheetHeader};
use crate::uplink::follower::{Fetched, Follower, Output, Wanted};
use crate::uplink::reassembly::Raw;
use crate::uplink::wire::{
    self, Answer, CallMessage, ChunkHeader, Fetch, PIECE_BYTES, PictureRequest, Refusal, Report,
    State, TimeReply, TimeRequest,
};

/// What came and was not looked at yet: all chunks that can be ahead, of all formats. When full, the newest is dropped:
/// chunks are fetched, and all else is asked for again.
const EVENTS_MAX: usize = 1_024;

/// How long it may take to reach the origin. A packet that is lost on the way is sent again after one second.
const OPEN_WITHIN: Duration = Duration::from_secs(3);

/// First and longest pause between two attempts. Each is drawn from half of it to all of it, so that the edges of a
/// restarted origin do not come all at once.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Something that came.
enum Event {
    Answer(Answer),
    Refused(String),
    State(State),
    Chunk(Raw),
    Fetched(Fetched),
    Time(ClientTime, TimeReply),
    Piece(PictureRequest, Bytes),
    Figures(Sheet),
    Call(CallMessage),
    OriginGone,
}

/// Follows the origin of the party of `venue` until it is told to stop.
pub(super) async fn run(
    venue: Venue,
    meeting: Meeting,
    name: String,
    mut stop: watch::Receiver<bool>,
) {
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    let mut follower = Follower::new(&name, venue.clock.clone(), host_clock::now());
    let mut pause = PAUSE_MIN;
    let mut told_once = false;
    let mut refused = None;
    loop {
        let opened = tokio::select! {
            opened = timeout(OPEN_WITHIN, Edge::open(&meeting, &sender)) => opened,
            () = told(&mut stop) => return,
        };
        match opened.unwrap_or(Err(UplinkError::Timeout)) {
            Ok(mut edge) => {
                told_once = false;
                edge.refused = refused.take();
                let before: ClientTime = host_clock::now();
                let is_over = tokio::select! {
                    () = edge.follow(&venue, &mut follower, &mut events) => false,
                    () = told(&mut stop) => true,
                };
                refused = edge.refused.take();
                close(edge.session).await;
                if is_over {
                    return;
                }
                let lasted = host_clock::now() - before;
                if lasted.as_secs_f64() > 2.0 * PAUSE_MAX.as_secs_f64() {
                    pause = PAUSE_MIN;
                }
            }
            Err(error) => {
                let at = meeting.connect.iter().map(ToString::to_string).collect::<Vec<_>>();
                if !told_once {
                    tracing::warn!(
                        "the origin is not reached at {}: {error}; trying on",
                        at.join(", ")
                    );
                }
                told_once = true;
            }
        }
        tokio::select! {
            () = sleep(pause.mul_f64(0.5 + 0.5 * jitter())) => {}
            () = told(&mut stop) => return,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// One session.
struct Edge {
    session: Session,
    meeting: Meeting,
    id: String,
    events: mpsc::Sender<Event>,
    /// Carries questions for the time.
    time: Publisher<'static>,
    chunks: [Option<Subscriber<()>>; WireFormat::ALL.len()],
    figures: Option<Subscriber<()>>,
    /// What the origin said when it refused this edge.
    refused: Option<String>,
    /// Undeclared when they are dropped.
    _declared: ([Subscriber<()>; 4], LivelinessToken),
}

impl Edge {
    async fn open(meeting: &Meeting, events: &mpsc::Sender<Event>) -> Result<Self, UplinkError> {
        let session = meeting.open_edge().await?;
        let id = session.zid().to_string();
        let hand_in = events.clone();
        let state = session
            .declare_subscriber(meeting.key("state"))
            .callback(move |sample: Sample| {
                if let Ok(state) = wire::decode(&sample.payload().to_bytes()) {
                    // See [`EVENTS_MAX`], here and below.
                    let _ = hand_in.try_send(Event::State(state));
                }
            })
            .await
            .map_err(UplinkError::zenoh)?;
        let hand_in = events.clone();
        let calls = session
            .declare_subscriber(meeting.key("call"))
            .callback(move |sample: Sample| {
                if let Ok(message) = wire::decode(&sample.payload().to_bytes()) {
                    let _ = hand_in.try_send(Event::Call(message));
                }
            })
            .await
            .map_err(UplinkError::zenoh)?;
        let hand_in = events.clone();
        let time = session
            .declare_subscriber(meeting.key(&format!("time/say/{id}")))
            .callback(move |sample: Sample| {
                // Read first: half of any delay here is an error of the clock.
                let arrived = host_clock::now();
                if let Ok(reply) = wire::decode(&sample.payload().to_bytes()) {
                    let _ = hand_in.try_send(Event::Time(arrived, reply));
                }
            })
            .await
            .map_err(UplinkError::zenoh)?;
        let time_asking = session
            .declare_publisher(meeting.key(&format!("time/ask/{id}")))
            .priority(Priority::RealTime)
            .congestion_control(CongestionControl::Drop)
            .express(true)
            .await
            .map_err(UplinkError::zenoh)?;
        let hand_in = events.clone();
        let origin = session
            .liveliness()
            .declare_subscriber(meeting.key("origin"))
            .callback(move |sample: Sample| {
                if sample.kind() == SampleKind::Delete {
                    let _ = hand_in.try_send(Event::OriginGone);
                }
            })
            .await
            .map_err(UplinkError::zenoh)?;
        let token = session
            .liveliness()
            .declare_token(meeting.key(&format!("edge/{id}")))
            .await
            .map_err(UplinkError::zenoh)?;
        Ok(Self {
            session,
            meeting: meeting.clone(),
            id,
            events: events.clone(),
            time: time_asking,
            chunks: Default::default(),
            figures: None,
            refused: None,
            _declared: ([state, calls, time, origin], token),
        })
    }

    /// Follows until the origin is away.
    async fn follow(
        &mut self,
        venue: &Venue,
        follower: &mut Follower,
        events: &mut mpsc::Receiver<Event>,
    ) {
        // What is left of the session before is no news of this one.
        while events.try_recv().is_ok() {}
        follower.handle_connected(host_clock::now());
        loop {
            follower.handle_wanted(host_clock::now(), wanted(venue));
            follower.handle_timeout(host_clock::now(), &venue.hub);
            self.pass_commands(venue);
            venue.demand.set_elsewhere(follower.elsewhere() as usize);
            let until = loop {
                match follower.poll_output() {
                    Output::Timeout(until) => break until,
                    Output::Reconnect => return,
                    output => {
                        if let Err(error) = self.perform(output, follower) {
                            // It is asked again, or the origin is found to be away.
                            tracing::debug!(%error, "not asked");
                        }
                    }
                }
            };
            let micros = (until - host_clock::now()).as_micros();
            tokio::select! {
                Some(event) = events.recv() => {
                    self.hand_in(event, venue, follower);
                    while let Ok(event) = events.try_recv() {
                        self.hand_in(event, venue, follower);
                    }
                }
                () = venue.demand.changed() => {}
                () = sleep(Duration::from_micros(u64::try_from(micros).unwrap_or(0))) => {}
            }
        }
    }

    fn hand_in(&mut self, event: Event, venue: &Venue, follower: &mut Follower) {
        let now = host_clock::now();
        match event {
            Event::Answer(answer) => follower.handle_answer(now, answer, &venue.hub),
            Event::State(state) => follower.handle_state(now, state, &venue.hub),
            Event::Chunk(raw) => follower.handle_chunk(now, raw, &venue.hub),
            Event::Fetched(fetched) => follower.handle_fetched(now, fetched, &venue.hub),
            Event::Time(arrived, reply) => follower.handle_time_reply(arrived, reply),
            Event::Figures(sheet) => follower.handle_figures(now, &sheet, &venue.hub),
            Event::Call(message) => follower.handle_call(&message, &venue.hub),
            Event::Piece(request, piece) => {
                if let Some(jpeg) = follower.handle_piece(now, request, &piece) {
                    venue.darkroom.borrow(request.id, jpeg);
                }
            }
            Event::OriginGone => follower.handle_gone(now, &venue.hub),
            Event::Refused(reason) => {
                if self.refused.as_ref() != Some(&reason) {
                    tracing::error!("the origin refuses this edge: {reason}");
                    self.refused = Some(reason);
                }
            }
        }
    }

    fn perform(&mut self, output: Output, follower: &mut Follower) -> zenoh::Result<()> {
        match output {
            Output::Time(request) => self.ask_time(request, follower),
            Output::Report(report) => self.report(&report),
            Output::Fetch(format, fetch) => self.fetch(format, fetch),
            Output::Figures(true) => self.subscribe_figures(),
            Output::Figures(false) => {
                self.figures = None;
                Ok(())
            }
            Output::Picture(request) => self.ask_piece(request),
            Output::Subscribe(format, true) => self.subscribe(format),
            Output::Subscribe(format, false) => {
                self.chunks[format as usize] = None;
                Ok(())
            }
            Output::Reconnect | Output::Timeout(_) => Ok(()),
        }
    }

    /// Passes on what people ask of the source, which is at the origin, and of players, which may be anywhere.
    fn pass_commands(&self, venue: &Venue) {
        while let Some(command) = venue.control.take() {
            let put = self
                .session
                .put(self.meeting.key(&format!("command/{}", self.id)), wire::encode(&command))
                .priority(Priority::InteractiveHigh)
                .congestion_control(CongestionControl::Block)
                .express(true)
                .wait();
            if let Err(error) = put {
                tracing::warn!(%error, "the origin was not told what somebody asked for");
            }
        }
    }

    /// Not a query: both ways are to take as long as each other, and a query is more work than an answer.
    fn ask_time(&self, asked: TimeRequest, follower: &mut Follower) -> zenoh::Result<()> {
        // Read again: half of what was done since is an error of the clock.
        let sent = host_clock::now();
        let put = self.time.put(wire::encode(&TimeRequest { client_transmitted: sent })).wait();
        follower.handle_time_sent(asked.client_transmitted, sent);
        put
    }

    fn report(&self, report: &Report) -> zenoh::Result<()> {
        let events = self.events.clone();
        let callback = move |reply: Reply| {
            let event = match reply.result() {
                Ok(sample) => match wire::decode_versioned(&sample.payload().to_bytes()) {
                    Ok(answer) => Event::Answer(answer),
                    Err(error) => Event::Refused(error.to_string()),
                },
                Err(error) => match wire::decode::<Refusal>(&error.payload().to_bytes()) {
                    Ok(refusal) => Event::Refused(refusal.reason),
                    // Zenoh's own: nobody answered.
                    Err(_) => return,
                },
            };
            let _ = events.try_send(event);
        };
        self.session
            .get(self.meeting.key(&format!("report/{}", self.id)))
            .payload(wire::encode(report))
            .priority(Priority::InteractiveHigh)
            .congestion_control(CongestionControl::Block)
            .express(true)
            .consolidation(ConsolidationMode::None)
            .timeout(ANSWER_WITHIN)
            .callback(callback)
            .wait()
    }

    fn fetch(&self, format: WireFormat, fetch: Fetch) -> zenoh::Result<()> {
        let events = self.events.clone();
        // Whether all that came could be handed in.
        let is_whole = AtomicBool::new(true);
        let callback = move |reply: Reply| {
            let Ok(sample) = reply.result() else { return };
            let event = match raw(format, sample) {
                Some(raw) => Event::Chunk(raw),
                // The end of a good answer. One that was broken off has none, and is asked for again.
                None if sample.payload().is_empty() && is_whole.load(Ordering::Acquire) => {
                    Event::Fetched(Fetched { format, fetch })
                }
                None => return,
            };
            if events.try_send(event).is_err() {
                is_whole.store(false, Ordering::Release);
            }
        };
        self.session
            .get(self.meeting.key(&format!("fetch/{}", format.name())))
            .payload(wire::encode(&fetch))
            .priority(Priority::DataLow)
            .congestion_control(CongestionControl::Block)
            .consolidation(ConsolidationMode::None)
            .timeout(ANSWER_WITHIN)
            .callback(callback)
            .wait()
    }

    fn ask_piece(&self, request: PictureRequest) -> zenoh::Result<()> {
        let events = self.events.clone();
        let callback = move |reply: Reply| {
            let Ok(sample) = reply.result() else { return };
            if sample.payload().len() <= PIECE_BYTES {
                let piece = Bytes::copy_from_slice(&sample.payload().to_bytes());
                let _ = events.try_send(Event::Piece(request, piece));
            }
        };
        self.session
            .get(self.meeting.key("picture"))
            .payload(wire::encode(&request))
            .priority(Priority::Background)
            .congestion_control(CongestionControl::Block)
            .consolidation(ConsolidationMode::None)
            .timeout(ANSWER_WITHIN)
            .callback(callback)
            .wait()
    }

    fn subscribe(&mut self, format: WireFormat) -> zenoh::Result<()> {
        let events = self.events.clone();
        let subscriber = self
            .session
            .declare_subscriber(self.meeting.key(&format!("chunks/{}", format.name())))
            .callback(move |sample: Sample| {
                if let Some(raw) = raw(format, &sample) {
                    let _ = events.try_send(Event::Chunk(raw));
                }
            })
            .wait()?;
        self.chunks[format as usize] = Some(subscriber);
        Ok(())
    }

    fn subscribe_figures(&mut self) -> zenoh::Result<()> {
        let events = self.events.clone();
        let subscriber = self
            .session
            .declare_subscriber(self.meeting.key("figures"))
            .callback(move |sample: Sample| {
                if let Some(sheet) = sheet(&sample) {
                    let _ = events.try_send(Event::Figures(sheet));
                }
            })
            .wait()?;
        self.figures = Some(subscriber);
        Ok(())
    }
}

/// Figures of the sound, if their size is that of some.
fn sheet(sample: &Sample) -> Option<Sheet> {
    let header = SheetHeader::decode(&sample.attachment()?.to_bytes())?;
    let payload = sample.payload();
    let is_one = payload.len() <= SHEET_BYTES_MAX;
    is_one.then(|| Sheet { header, moments: Bytes::copy_from_slice(&payload.to_bytes()) })
}

/// A chunk of what came, if its size is that of one.
fn raw(format: WireFormat, sample: &Sample) -> Option<Raw> {
    let header = ChunkHeader::decode(&sample.attachment()?.to_bytes())?;
    let payload: &ZBytes = sample.payload();
    let is_one = payload.len() <= format.message_bytes_max();
    is_one.then(|| Raw { format, header, message: Bytes::copy_from_slice(&payload.to_bytes()) })
}

fn wanted(venue: &Venue) -> Wanted {
    Wanted {
        listeners: u32::try_from(venue.demand.here()).unwrap_or(u32::MAX),
        formats: WireFormat::ALL.map(|format| venue.demand.wants(format)),
        figures: venue.demand.wants_figures(),
        looks: venue.hub.stage().players.looks(),
    }
}
