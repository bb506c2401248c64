//! Origin and edge without a network between them: what one asks and the other says is handed over by the caller.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use protocol::message::ServerTimeReply;
use protocol::time::{ClientTime, ServerTime};

use super::{Connection, House, Party};
use crate::fanout::hub::Hub;
use crate::fanout::ring::Cursor;
use crate::group::Group;
use crate::party_clock::PartyClock;
use crate::picture::develop::keep;
use crate::pipeline::encoder::WireFormat;
use crate::session::Identity;
use crate::uplink::follower::{Fetched, Follower, Output, Wanted};
use crate::uplink::origin::{Numbered, Origin, Present, piece};
use crate::uplink::reassembly::Raw;
use crate::uplink::wire::{Answer, Fetch, PictureRequest, Report, State, TimeReply, TimeRequest};

/// What an edge asks its origin.
#[derive(Clone, Debug)]
pub struct Ask(Question);

#[derive(Clone, Debug)]
enum Question {
    Time(TimeRequest),
    Report(Report),
    Fetch(WireFormat, Fetch),
    Picture(PictureRequest),
    Subscribe(WireFormat, bool),
}

/// What an origin says to an edge.
#[derive(Clone, Debug)]
pub struct Say(Word);

#[derive(Clone, Debug)]
enum Word {
    Answer(Answer),
    State(State),
    Chunk(Raw),
    Fetched(Fetched),
    Time(TimeReply),
    Piece(PictureRequest, Bytes),
}

impl Say {
    /// About how many bytes it is on the wire.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Word::Chunk(raw) => raw.message.len(),
            Word::Piece(_, piece) => piece.len(),
            _ => 200,
        }
    }

    /// Whether it is a chunk, of which a network may drop some.
    #[must_use]
    pub fn is_chunk(&self) -> bool {
        matches!(self.0, Word::Chunk(_))
    }
}

/// The origin's side of a party.
#[derive(Debug)]
pub(super) struct Edges {
    origin: Origin,
    /// Who wants chunks in which formats.
    subscribed: BTreeMap<String, [bool; WireFormat::ALL.len()]>,
    /// The next chunk to go, for each format.
    cursors: [Cursor; WireFormat::ALL.len()],
    changes: u64,
}

impl Edges {
    pub(super) fn new(instance: u64) -> Self {
        Self {
            origin: Origin::new(instance),
            subscribed: BTreeMap::new(),
            cursors: [Cursor::at(0); WireFormat::ALL.len()],
            changes: 0,
        }
    }
}

fn chunk(format: WireFormat, numbered: &Numbered) -> Say {
    let message = numbered.chunk.message(format);
    Say(Word::Chunk(Raw { format, header: numbered.header, message }))
}

impl Party {
    /// What it says at `now` to what the edge `id` asks. Nothing, if it serves no edges.
    pub fn answer(&mut self, now: ServerTime, id: &str, ask: &Ask) -> Vec<Say> {
        let (Some(edges), stage) = (&mut self.edges, self.hub.stage()) else { return Vec::new() };
        match &ask.0 {
            Question::Time(request) => {
                let stamps = ServerTimeReply {
                    client_transmitted: request.client_transmitted,
                    server_received: now,
                    server_transmitted: now,
                };
                vec![Say(Word::Time(TimeReply { instance: edges.origin.instance(), stamps }))]
            }
            Question::Report(report) => {
                let present = Present { now, here: 0, stage: &stage };
                vec![Say(Word::Answer(edges.origin.handle_report(id, report.clone(), present)))]
            }
            Question::Fetch(format, fetch) => {
                let found = edges.origin.fetch(fetch, *format, &stage);
                let chunks = found.iter().map(|numbered| chunk(*format, numbered));
                let fetched = Fetched { format: *format, fetch: *fetch };
                chunks.chain([Say(Word::Fetched(fetched))]).collect()
            }
            Question::Picture(request) => {
                vec![Say(Word::Piece(*request, piece(*request, &stage)))]
            }
            Question::Subscribe(format, wants) => {
                edges.subscribed.entry(id.to_owned()).or_default()[*format as usize] = *wants;
                Vec::new()
            }
        }
    }

    /// What there is for the edge of each id, unasked, since the last call.
    pub fn push(&mut self, now: ServerTime) -> Vec<(String, Say)> {
        let (Some(edges), stage) = (&mut self.edges, self.hub.stage()) else { return Vec::new() };
        let mut said = Vec::new();
        edges.origin.handle_timeout(now);
        let changes = *self.hub.changes().borrow();
        if edges.changes != changes {
            edges.changes = changes;
            let news = edges.origin.handle_change(&stage);
            said.extend(news.into_iter().flat_map(|state| {
                let say = move |id: &String| (id.clone(), Say(Word::State(state.clone())));
                edges.subscribed.keys().map(say)
            }));
        }
        for format in WireFormat::ALL {
            let cursor = &mut edges.cursors[format as usize];
            while let Some(numbered) = edges.origin.chunk(*cursor, format, &stage) {
                *cursor = cursor.next();
                let wanting = edges.subscribed.iter().filter(|(_, wants)| wants[format as usize]);
                said.extend(wanting.map(|(id, _)| (id.clone(), chunk(format, &numbered))));
            }
        }
        said
    }
}

/// An edge.
#[derive(Debug)]
pub struct Edge {
    follower: Follower,
    hub: Hub,
    accepted: AtomicU64,
    asks: VecDeque<Ask>,
    wants_connection: bool,
    wake: ClientTime,
}

impl Edge {
    /// An edge without a connection.
    #[must_use]
    pub fn new(name: &str, now: ClientTime) -> Self {
        let identity = Identity::default();
        Self {
            follower: Follower::new(name, PartyClock::followed(), now),
            hub: Hub::new(identity, Group::new(String::new(), String::new())),
            accepted: AtomicU64::new(0),
            asks: VecDeque::new(),
            wants_connection: true,
            wake: now,
        }
    }

    /// The origin can be reached.
    pub fn handle_connected(&mut self, now: ClientTime) {
        self.wants_connection = false;
        self.follower.handle_connected(now);
        self.turn(now);
    }

    /// The origin has said this.
    pub fn handle(&mut self, now: ClientTime, say: Say) {
        match say.0 {
            Word::Answer(answer) => self.follower.handle_answer(now, answer, &self.hub),
            Word::State(state) => self.follower.handle_state(now, state, &self.hub),
            Word::Chunk(raw) => self.follower.handle_chunk(now, raw, &self.hub),
            Word::Fetched(fetched) => self.follower.handle_fetched(now, fetched, &self.hub),
            Word::Time(reply) => self.follower.handle_time_reply(now, reply),
            Word::Piece(request, piece) => {
                let jpeg = self.follower.handle_piece(now, request, &piece);
                if let Some(picture) = jpeg.and_then(|jpeg| keep(jpeg).ok()) {
                    self.hub.show(|stage| stage.gallery.hang(Arc::new(picture)));
                }
            }
        }
        self.turn(now);
    }

    /// Does what is due at `now`, for listeners who want 16 bits.
    pub fn turn(&mut self, now: ClientTime) {
        let wanted = Wanted { listeners: 1, formats: [true, false], ..Wanted::default() };
        self.follower.handle_wanted(now, wanted);
        self.follower.handle_timeout(now, &self.hub);
        self.wake = loop {
            self.asks.push_back(Ask(match self.follower.poll_output() {
                Output::Time(request) => Question::Time(request),
                Output::Report(report) => Question::Report(report),
                Output::Fetch(format, fetch) => Question::Fetch(format, fetch),
                Output::Picture(request) => Question::Picture(request),
                Output::Subscribe(format, wants) => Question::Subscribe(format, wants),
                // Nobody in this world looks at the sound.
                Output::Figures(_) => continue,
                Output::Reconnect => {
                    self.wants_connection = true;
                    continue;
                }
                Output::Timeout(at) => break at,
            }));
        };
    }

    /// The next thing to ask.
    pub fn poll(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    /// When to call [`Edge::turn`] again.
    #[must_use]
    pub fn wake(&self) -> ClientTime {
        self.wake
    }

    /// Whether it has lost its origin, or never had one.
    #[must_use]
    pub fn wants_connection(&self) -> bool {
        self.wants_connection
    }

    /// The party's time at a time of this edge's own clock, once it is known: then listeners may come.
    #[must_use]
    pub fn party_time(&self, now: ClientTime) -> Option<ServerTime> {
        self.follower.party_time(now)
    }

    /// How often all connections had to end.
    #[must_use]
    pub fn upheavals(&self) -> u64 {
        *self.hub.upheavals().borrow()
    }

    /// A connection that was accepted at `now`.
    #[must_use]
    pub fn accept(&self, now: ServerTime) -> Connection {
        Connection::new(&self.hub, &self.accepted, now)
    }

    /// What its listeners look at.
    #[must_use]
    pub fn house(&self) -> House<'_> {
        House(&self.hub)
    }
}
