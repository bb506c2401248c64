//! An origin's side: what it answers, and who follows it.
//!
//! Pure: questions and times go in, answers come out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use protocol::time::{ServerSpan, ServerTime};

use super::players::Registry;
use super::reassembly::fetch_count;
use super::wire::{
    Answer, CallMessage, ChunkHeader, Fetch, PIECE_BYTES, PictureRequest, Report, State, VERSION,
    printable,
};
use crate::fanout::chunk::Chunk;
use crate::fanout::ring::Cursor;
use crate::fanout::stage::Stage;
use crate::group::players::{Call, Roll};
use crate::pipeline::encoder::WireFormat;

/// An edge that does not report for so long is gone, and its listeners with it.
const GONE_AFTER: ServerSpan = ServerSpan::from_millis(2_500);

/// Most edges at a time. Each costs a few hundred bytes.
const EDGES_MAX: usize = 10_000;

/// Most listeners that one edge is believed to have.
const LISTENERS_MAX: u32 = 1_000_000;

/// What is true where a report is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present<'a> {
    /// The party's time.
    pub(crate) now: ServerTime,
    /// Listeners of the origin itself.
    pub(crate) here: usize,
    /// What they see.
    pub(crate) stage: &'a Stage,
}

/// An origin.
#[derive(Debug)]
pub(crate) struct Origin {
    instance: u64,
    /// Changes of the state so far, and what it was after the last one.
    edition: u64,
    known: Option<State>,
    edges: BTreeMap<String, Edge>,
    registry: Registry,
    /// Edges that were refused, for the log.
    refused: BTreeSet<String>,
}

#[derive(Debug)]
struct Edge {
    name: String,
    listeners: u32,
    heard_at: ServerTime,
}

impl Origin {
    /// An origin that nobody follows. `instance` tells it from others, and from itself after a restart.
    pub(crate) fn new(instance: u64) -> Self {
        Self {
            instance,
            edition: 1,
            known: None,
            edges: BTreeMap::new(),
            registry: Registry::default(),
            refused: BTreeSet::new(),
        }
    }

    /// Something has changed. Returns the state of the party if that is it.
    pub(crate) fn handle_change(&mut self, stage: &Stage) -> Option<State> {
        if self.known.as_ref() == Some(&self.state(stage)) {
            return None;
        }
        self.edition += 1;
        self.known = Some(self.state(stage));
        self.known.clone()
    }

    /// Players are asked for this at `now`, wherever they are. Returns what edges are told.
    pub(crate) fn call(&mut self, now: ServerTime, call: Call) -> CallMessage {
        let number = self.registry.call(now, &call);
        CallMessage { instance: self.instance, number, call }
    }

    /// The players of edges, for those who look at the origin, if somebody does.
    pub(crate) fn players(&mut self, looks_here: bool) -> Roll {
        self.registry.elsewhere(looks_here)
    }

    /// Takes a report of the edge `id`; answers it.
    pub(crate) fn handle_report(
        &mut self,
        id: &str,
        report: Report,
        present: Present<'_>,
    ) -> Answer {
        let Present { now, here, stage } = present;
        let listeners = report.listeners.min(LISTENERS_MAX);
        if !self.edges.contains_key(id) && self.edges.len() < EDGES_MAX {
            let name = printable(&report.name);
            tracing::info!(edge = name, id, "an edge follows");
            self.edges.insert(id.to_owned(), Edge { name, listeners: 0, heard_at: now });
        }
        if let Some(edge) = self.edges.get_mut(id) {
            edge.listeners = listeners;
            edge.heard_at = now;
            self.registry.tell(now, id, report.players);
        }
        let state = (report.has != Some((self.instance, self.edition))).then(|| self.state(stage));
        // A change of which nobody was told yet: others are to hear of it, whatever follows.
        self.known.take_if(|known| state.as_ref().is_some_and(|state| state != known));
        let others = self.listeners() + here as u64;
        let own = self.edges.get(id).map_or(0, |edge| edge.listeners);
        Answer {
            version: VERSION,
            elsewhere: u32::try_from(others - u64::from(own)).unwrap_or(u32::MAX),
            players: self.registry.answer(now, id, &stage.players),
            head: stage.rings.of(WireFormat::ALL[0]).newest().number(),
            instance: self.instance,
            state,
        }
    }

    /// Which origin this is.
    pub(crate) fn instance(&self) -> u64 {
        self.instance
    }

    /// The edge `id` is refused. Returns whether that is news: it asks again every second.
    pub(crate) fn note_refusal(&mut self, id: &str) -> bool {
        if self.refused.len() >= EDGES_MAX {
            self.refused.clear();
        }
        self.refused.insert(id.to_owned())
    }

    /// The edge `id` is gone.
    pub(crate) fn handle_gone(&mut self, id: &str) {
        self.registry.leave(id);
        if let Some(edge) = self.edges.remove(id) {
            tracing::info!(edge = edge.name, id, listeners = edge.listeners, "an edge is gone");
        }
    }

    /// Gives up edges that have been silent at `now`.
    pub(crate) fn handle_timeout(&mut self, now: ServerTime) {
        let registry = &mut self.registry;
        self.edges.retain(|id, edge| {
            let is_there = now - edge.heard_at < GONE_AFTER;
            if !is_there {
                registry.leave(id);
                tracing::warn!(
                    edge = edge.name,
                    id,
                    listeners = edge.listeners,
                    "an edge is silent"
                );
            }
            is_there
        });
    }

    /// Listeners of all edges.
    pub(crate) fn listeners(&self) -> u64 {
        self.edges.values().map(|edge| u64::from(edge.listeners)).sum()
    }

    /// Edges that follow.
    pub(crate) fn edges(&self) -> usize {
        self.edges.len()
    }

    /// The present state.
    pub(crate) fn state(&self, stage: &Stage) -> State {
        State {
            instance: self.instance,
            edition: self.edition,
            server_id: stage.identity.server_id.clone(),
            name: stage.identity.name.clone(),
            rules: stage.identity.rules.clone(),
            group_id: stage.group.id().to_owned(),
            program: stage.group.program().clone(),
        }
    }

    /// The chunks that an edge asks for, as far as there are any.
    pub(crate) fn fetch(&self, fetch: &Fetch, format: WireFormat, stage: &Stage) -> Vec<Numbered> {
        let ring = stage.rings.of(format);
        let first = ring.oldest().max(Cursor::at(fetch.from));
        let mut numbered = std::iter::successors(Some(first), |cursor| Some(cursor.next()))
            .map_while(|cursor| Some((cursor, ring.get(cursor)?)))
            .skip_while(|(_, chunk)| chunk.end() <= fetch.after)
            .peekable();
        let begins = numbered.peek().map_or(fetch.to, |(cursor, _)| cursor.number());
        let count = fetch_count(&Fetch { from: begins, ..*fetch });
        numbered
            .take(usize::try_from(count).unwrap_or(usize::MAX))
            .map(|(cursor, chunk)| self.numbered(cursor, chunk, stage))
            .collect()
    }

    /// The chunk at `cursor`, if it is there.
    pub(crate) fn chunk(
        &self,
        cursor: Cursor,
        format: WireFormat,
        stage: &Stage,
    ) -> Option<Numbered> {
        Some(self.numbered(cursor, stage.rings.of(format).get(cursor)?, stage))
    }

    fn numbered(&self, cursor: Cursor, chunk: &Arc<Chunk>, stage: &Stage) -> Numbered {
        let header = ChunkHeader {
            instance: self.instance,
            number: cursor.number(),
            epoch: chunk.epoch(),
            // What is in the ring was made after the last one.
            cuts: stage.group.cuts(),
            end: chunk.end(),
        };
        Numbered { header, chunk: Arc::clone(chunk) }
    }
}

/// A piece of a picture for an edge. Nothing instead of the first one says that there is no such picture.
pub(crate) fn piece(PictureRequest { id, from }: PictureRequest, stage: &Stage) -> Bytes {
    let Some(picture) = stage.gallery.get(id) else { return Bytes::new() };
    let jpeg = &picture.jpeg;
    let from = from.min(jpeg.len());
    jpeg.slice(from..jpeg.len().min(from + PIECE_BYTES))
}

/// A chunk for edges. Its bytes are made where nobody waits for it.
#[derive(Debug)]
pub(crate) struct Numbered {
    /// What goes beside its bytes.
    pub(crate) header: ChunkHeader,
    /// The chunk.
    pub(crate) chunk: Arc<Chunk>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::fixture::{at, fill_all};
    use crate::group::Group;
    use crate::picture::Picture;
    use crate::picture::gallery::tests::picture;
    use crate::session::Identity;

    fn stage() -> Stage {
        let identity =
            Identity { server_id: "s".to_owned(), name: "n".to_owned(), ..Identity::default() };
        let group = Group::new("g".to_owned(), "n".to_owned());
        let mut stage = Stage::new(Arc::new(identity), group);
        // Twenty chunks of 50 ms.
        fill_all(&mut stage.rings, at(1_000), at(2_000), at(0));
        stage
    }

    fn present(millis: i64, here: usize, stage: &Stage) -> Present<'_> {
        Present { now: at(millis), here, stage }
    }

    fn report(listeners: u32) -> Report {
        let players = (Roll::default(), 0);
        Report { version: VERSION, name: "edge".to_owned(), listeners, has: None, players }
    }

    #[test]
    fn listeners_are_summed_and_those_of_a_dead_edge_are_gone() {
        let (mut origin, stage) = (Origin::new(7), stage());
        assert_eq!(origin.handle_report("a", report(10), present(0, 1, &stage)).elsewhere, 1);
        assert_eq!(origin.handle_report("b", report(5), present(0, 1, &stage)).elsewhere, 11);
        let answer = origin.handle_report("a", report(3), present(1_000, 1, &stage));
        assert_eq!((answer.elsewhere, answer.head, origin.listeners()), (6, 20, 8));
        origin.handle_timeout(at(2_499));
        assert_eq!(origin.listeners(), 8);
        origin.handle_timeout(at(2_500));
        assert_eq!((origin.listeners(), origin.edges()), (3, 1));
        origin.handle_gone("a");
        origin.handle_gone("a");
        assert_eq!(origin.listeners(), 0);
    }

    #[test]
    fn an_edge_cannot_claim_more_than_is_believed() {
        let (mut origin, stage) = (Origin::new(7), stage());
        origin.handle_report("a", report(u32::MAX), present(0, 0, &stage));
        assert_eq!(origin.listeners(), u64::from(LISTENERS_MAX));
        for edge in 0..EDGES_MAX + 10 {
            origin.handle_report(&edge.to_string(), report(0), present(0, 0, &stage));
        }
        assert_eq!(origin.edges(), EDGES_MAX);
    }

    #[test]
    fn the_state_is_sent_to_those_who_do_not_have_it() {
        let (mut origin, stage) = (Origin::new(7), stage());
        let state =
            origin.handle_report("a", report(0), present(0, 0, &stage)).state.expect("news");
        let has = Report { has: Some((state.instance, state.edition)), ..report(0) };
        assert_eq!(origin.handle_report("a", has.clone(), present(0, 0, &stage)).state, None);
        assert!(origin.handle_change(&stage).is_some());
        assert!(origin.handle_change(&stage).is_none(), "nothing has changed");
        assert!(origin.handle_report("a", has.clone(), present(0, 0, &stage)).state.is_some());
        let other = Report { has: Some((8, state.edition + 1)), ..report(0) };
        assert!(origin.handle_report("a", other, present(0, 0, &stage)).state.is_some());
    }

    #[test]
    fn a_picture_goes_in_pieces() {
        let mut stage = stage();
        let jpeg: Bytes = (0..PIECE_BYTES + 9).map(|at| at as u8).collect();
        let known = Picture { jpeg: jpeg.clone(), ..(*picture(1)).clone() };
        let id = known.id;
        stage.gallery.hang(Arc::new(known));
        let from = |from| piece(PictureRequest { id, from }, &stage);
        assert_eq!([from(0), from(PIECE_BYTES)].concat(), jpeg);
        assert!(from(jpeg.len()).is_empty() && from(usize::MAX).is_empty());
        assert!(piece(PictureRequest { id: picture(2).id, from: 0 }, &stage).is_empty());
    }

    #[test]
    fn a_fetch_gets_what_is_there_and_not_heard_yet() {
        let (origin, stage) = (Origin::new(7), stage());
        let numbers = |from, to, after| -> Vec<u64> {
            let fetch = Fetch { from, to, after: at(after) };
            let chunks = origin.fetch(&fetch, WireFormat::Pcm16, &stage);
            chunks.iter().map(|numbered| numbered.header.number).collect()
        };
        assert_eq!(numbers(3, 6, 0), [3, 4, 5]);
        assert_eq!(numbers(0, u64::MAX, 0), (0..8).collect::<Vec<_>>());
        assert_eq!(numbers(0, u64::MAX, 1_500), (10..18).collect::<Vec<_>>());
        assert_eq!(numbers(0, 11, 1_500), [10]);
        assert_eq!(numbers(0, 10, 1_500), [0_u64; 0]);
        assert_eq!(numbers(18, 99, 0), [18, 19]);
        assert_eq!(numbers(20, 99, 0), [0_u64; 0]);
        assert_eq!(numbers(9, 3, 0), [0_u64; 0]);
    }
}
