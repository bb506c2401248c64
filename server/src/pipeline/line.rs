//! The way of a sample from the source to the hub: read, cut, stamp, publish; and from when on which title
//! is heard.
//!
//! No thread and no clock: `pump` has both.

use std::sync::Arc;
use std::time::Duration;

use protocol::audio::FrameIndex;
use protocol::message::QueueEntry;
use protocol::time::{ServerSpan, ServerTime};

use super::chunker::Chunker;
use super::timeline::PartyTimeline;
use super::{CHUNK_FRAMES, LEAD_MAX};
use crate::control::Request;
use crate::fanout::chunk::Chunk;
use crate::fanout::hub::Hub;
use crate::group::{Offer, TrackMark};
use crate::source::{CHANNELS, DRY, Jump, Order, Pcm, RATE_HZ, Read, Run, Source, Upcoming};

/// What is between the source and the hub.
#[derive(Debug)]
pub(crate) struct Line {
    /// How far ahead of the clock it makes chunks.
    reach: ServerSpan,
    chunker: Chunker,
    timeline: PartyTimeline,
    /// The run of the frames that were read last.
    current: Option<u64>,
    /// The run of the frames that were cut last.
    running: Option<Playing>,
    /// Runs whose first frame is in the chunker.
    beginning: Vec<Playing>,
    epoch: u32,
    /// Somebody wants it to stand still, and this was heard then.
    paused: Option<Place>,
    /// The source has ended.
    is_over: bool,
    /// Chunks until it is looked whether the source offers something else.
    offer_in: u32,
}

/// What is heard at some moment.
#[derive(Clone, Copy, Debug)]
struct Place {
    run: u64,
    position_ms: u64,
}

/// After so much of a track, going back goes to its beginning, milliseconds: as people know it from players.
const BACK_WITHIN_MS: u64 = 3_000;

/// Entries of what comes next that everybody is told.
const NEXT_UP_TOLD: usize = 20;

/// How often it is looked whether the source offers something else, in chunks: titles of later tracks may become known.
const OFFER_EVERY: u32 = 20;

/// What a look at the source came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There may be more at once.
    More,
    /// The source has nothing yet, and enough is in hand: look again when it says so, or soon.
    Wait,
    /// The music is over.
    Over,
}

/// A run and where it begins.
#[derive(Clone, Debug)]
struct Playing {
    run: Run,
    first: FrameIndex,
}

impl Playing {
    /// From `from` on it is heard, `heard_ms` after its beginning.
    fn mark(&self, from: ServerTime, heard_ms: u64) -> TrackMark {
        let Run { number, track, from_ms } = &self.run;
        let progress_ms = from_ms.saturating_add(heard_ms);
        TrackMark { from, run: *number, track: Arc::clone(track), progress_ms }
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::reaching(LEAD_MAX)
    }
}

impl Line {
    /// A line that makes chunks `reach` ahead of the clock.
    pub(crate) fn reaching(reach: ServerSpan) -> Self {
        Self {
            reach,
            chunker: Chunker::default(),
            timeline: PartyTimeline::default(),
            current: None,
            running: None,
            beginning: Vec::new(),
            epoch: 0,
            paused: None,
            is_over: false,
            offer_in: 0,
        }
    }

    /// Whether it has nothing to do until somebody asks for something.
    pub(crate) fn stands_still(&self) -> bool {
        self.paused.is_some() || self.is_over
    }

    /// Does what somebody asked for, if it can be done.
    pub(crate) fn handle_request(
        &mut self,
        request: Request,
        source: &mut dyn Source,
        (hub, now): (&Hub, ServerTime),
    ) {
        let heard = self.paused.or_else(|| heard(hub, now));
        let Some(Place { run, position_ms }) = heard else {
            // Nothing was ever heard: all there is to say is in which order.
            return self.set_order(request, source, hub);
        };
        let seek = |position_ms| Jump::Seek { heard: run, position_ms };
        match request {
            Request::Play => self.go_on(seek(position_ms), source, (hub, now)),
            Request::Pause => self.stand_still(Place { run, position_ms }, (hub, now)),
            Request::Stop => self.stand_still(Place { run, position_ms: 0 }, (hub, now)),
            Request::Next => self.jump(Jump::Next { heard: run }, source, (hub, now)),
            Request::Previous if position_ms > BACK_WITHIN_MS => {
                self.jump(seek(0), source, (hub, now));
            }
            Request::Previous => self.jump(Jump::Previous { heard: run }, source, (hub, now)),
            Request::Seek(to) => self.jump(seek(to), source, (hub, now)),
            Request::SeekRelative(by) => {
                self.jump(seek(position_ms.saturating_add_signed(by)), source, (hub, now));
            }
            Request::Entry(id) => self.jump(Jump::Entry { id }, source, (hub, now)),
            Request::Repeat(_) | Request::Shuffle(_) => self.set_order(request, source, hub),
        }
    }

    fn set_order(&mut self, request: Request, source: &mut dyn Source, hub: &Hub) {
        let order = source.order();
        match request {
            Request::Repeat(repeat) => source.set_order(Order { repeat, ..order }),
            Request::Shuffle(shuffle) => source.set_order(Order { shuffle, ..order }),
            _ => {}
        }
        self.tell(source, hub);
    }

    /// Stands still at `place`. What has been heard to its end does already.
    fn stand_still(&mut self, place: Place, (hub, now): (&Hub, ServerTime)) {
        if self.paused.is_none() && hub.stage().group.view(now).ended.is_some() {
            return;
        }
        self.paused = Some(place);
        self.drop_ahead();
        hub.cut(now, Some(place.position_ms));
    }

    /// Goes on after a pause or an end. A live source has nothing to go back to: it goes on with the present.
    fn go_on(&mut self, back: Jump, source: &mut dyn Source, (hub, now): (&Hub, ServerTime)) {
        if self.paused.take().is_some() {
            if source.jump(back) {
                self.is_over = false;
            }
            self.tell(source, hub);
        } else if let (true, Jump::Seek { heard, .. }) = (self.is_over, back) {
            self.jump(Jump::Seek { heard, position_ms: 0 }, source, (hub, now));
        }
    }

    fn jump(&mut self, jump: Jump, source: &mut dyn Source, (hub, now): (&Hub, ServerTime)) {
        if !source.jump(jump) {
            return;
        }
        (self.paused, self.is_over) = (None, false);
        self.drop_ahead();
        // Also after the source's end: its last seconds may still be heard.
        hub.cut(now, None);
        self.tell(source, hub);
    }

    /// Forgets what is made and not heard.
    fn drop_ahead(&mut self) {
        self.chunker.clear();
        self.beginning.clear();
        self.current = None;
        self.timeline.cut();
    }

    /// Tells everybody what can be asked for, and what comes next.
    pub(crate) fn tell(&mut self, source: &dyn Source, hub: &Hub) {
        self.offer_in = OFFER_EVERY;
        let next_up = source.next_up().into_iter().take(NEXT_UP_TOLD);
        let entry = |upcoming: Upcoming| QueueEntry {
            id: upcoming.id,
            title: upcoming.track.title.clone(),
            artist: upcoming.track.artist.clone(),
            duration_ms: upcoming.track.duration_ms,
        };
        hub.offer(Offer {
            abilities: source.abilities(),
            order: source.order(),
            next_up: next_up.map(entry).collect(),
        });
    }

    /// Reads the source once and publishes what that completes.
    pub(crate) fn turn(
        &mut self,
        source: &mut dyn Source,
        hub: &Hub,
        now: impl Fn() -> ServerTime,
    ) -> Turn {
        let run = source.run().number;
        let turn = self.fill(source, now());
        let is_over = turn == Turn::Over;
        let mut made = 0;
        while let Some((chunk, marks)) = self.next(now(), is_over) {
            hub.publish(chunk, marks, now());
            made += 1;
        }
        self.offer_in = self.offer_in.saturating_sub(made);
        if self.offer_in == 0 || source.run().number != run {
            self.tell(source, hub);
        }
        if is_over {
            self.is_over = true;
            hub.end(self.end().unwrap_or_else(now));
        }
        turn
    }

    /// Nobody listens: if the music stands still for longer than it reaches ahead, it goes on where it stood, and
    /// soon, when somebody comes.
    pub(crate) fn pause(&mut self) {
        self.timeline.pause();
    }

    /// When frame 0 is heard, or would have been in the present epoch. `None` before the first chunk.
    pub(crate) fn begins(&self) -> Option<ServerTime> {
        self.timeline.time_of(FrameIndex(0))
    }

    /// How long to wait until the next chunk is wanted; `None` is not at all.
    pub(crate) fn ahead(&self, now: ServerTime) -> Option<Duration> {
        let wanted_at = self.timeline.time_of(self.chunker.next_cut())? - self.reach;
        let micros = u64::try_from((wanted_at - now).as_micros()).ok()?;
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    /// Reads the source once. Puts silence in when it has nothing and little is in hand, so that the timeline goes on.
    fn fill(&mut self, source: &mut dyn Source, now: ServerTime) -> Turn {
        self.note_run(source.run());
        match source.read(self.in_hand(now)) {
            Ok(Read::Pcm(pcm)) => {
                self.chunker.push(&pcm);
                Turn::More
            }
            Ok(Read::NotYet) if self.current != Some(source.run().number) => Turn::More,
            Ok(Read::NotYet) if self.in_hand(now) < DRY => {
                let samples = vec![0.0; CHUNK_FRAMES * CHANNELS];
                self.chunker.push(&Pcm { samples, resolution_bits: 16 });
                Turn::More
            }
            Ok(Read::NotYet) => Turn::Wait,
            Ok(Read::End) => Turn::Over,
            Err(error) => {
                tracing::error!(%error, "the music stops");
                Turn::Over
            }
        }
    }

    /// How long that which was read lasts from `now` on.
    fn in_hand(&self, now: ServerTime) -> Duration {
        let end = self.timeline.time_of(self.chunker.next_frame());
        let micros = end.map_or(0, |end| (end - now).as_micros().max(0));
        Duration::from_micros(micros.unsigned_abs())
    }

    /// Notes where a run begins.
    fn note_run(&mut self, run: &Run) {
        if self.current != Some(run.number) {
            self.current = Some(run.number);
            self.beginning.push(Playing { run: run.clone(), first: self.chunker.next_frame() });
        }
    }

    /// The next chunk, made at `now`, and the tracks that begin in it. A short one only at the `end`.
    fn next(&mut self, now: ServerTime, end: bool) -> Option<(Chunk, Vec<TrackMark>)> {
        let cut = match self.chunker.cut() {
            Some(cut) => cut,
            None if end => self.chunker.finish()?,
            None => return None,
        };
        let frames = self.chunker.next_cut().0 - cut.first.0;
        let stamp = self.timeline.stamp(cut.first, frames, now);
        let mut marks = Vec::new();
        if stamp.epoch != self.epoch {
            if stamp.is_late {
                tracing::warn!("decoding fell behind: the party pauses and goes on");
            }
            self.epoch = stamp.epoch;
            marks.extend(self.mark_running(cut.first));
        }
        let within = |playing: &mut Playing| playing.first < self.chunker.next_cut();
        for begins in self.beginning.extract_if(.., within) {
            let from = self.timeline.time_of(begins.first).unwrap_or(stamp.play_at);
            marks.push(begins.mark(from, 0));
            self.running = Some(begins);
        }
        Some((Chunk::new(cut, stamp), marks))
    }

    /// The track that runs across the start of a new epoch: its frames are heard later than was said.
    fn mark_running(&self, first: FrameIndex) -> Option<TrackMark> {
        let playing = self.running.as_ref()?;
        let heard = u64::try_from(first.0 - playing.first.0).ok()?;
        let heard_ms = heard.saturating_mul(1_000) / u64::from(RATE_HZ);
        Some(playing.mark(self.timeline.time_of(first)?, heard_ms))
    }

    /// When the last frame that was cut has been heard. `None` when there was none.
    fn end(&self) -> Option<ServerTime> {
        self.timeline.time_of(self.chunker.next_cut())
    }
}

/// What is heard now; before the first frame, what is heard first.
fn heard(hub: &Hub, now: ServerTime) -> Option<Place> {
    let stage = hub.stage();
    let view = stage.group.view(now);
    let mark = view.now_playing.or(view.first)?;
    Some(Place { run: mark.run, position_ms: mark.progress_at(view.ended.unwrap_or(now)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{CHANNELS, Pcm, SourceError, Track};

    /// Music of a stated number of frames for each track, in blocks of an odd size.
    struct Score {
        runs: Vec<(Run, usize)>,
        at: usize,
    }

    const BLOCK: usize = 1_000;

    impl Score {
        fn new(tracks: &[(&str, usize)]) -> Self {
            let run = |(number, &(title, frames)): (usize, &(&str, usize))| {
                let track = Arc::new(Track { title: title.to_owned(), ..Track::default() });
                (Run { number: number as u64, track, from_ms: 0 }, frames)
            };
            Self { runs: tracks.iter().enumerate().map(run).collect(), at: 0 }
        }
    }

    impl Source for Score {
        fn read(&mut self, _ahead: Duration) -> Result<Read, SourceError> {
            while self.at + 1 < self.runs.len() && self.runs[self.at].1 == 0 {
                self.at += 1;
            }
            let left = &mut self.runs[self.at].1;
            let frames = (*left).min(BLOCK);
            *left -= frames;
            if *left == 0 && self.at + 1 < self.runs.len() {
                self.at += 1;
            }
            let samples = vec![0.0; frames * CHANNELS];
            let pcm = Pcm { samples, resolution_bits: 16 };
            Ok(if frames > 0 { Read::Pcm(pcm) } else { Read::End })
        }

        fn run(&self) -> &Run {
            &self.runs[self.at].0
        }
    }

    fn at(millis: i64) -> ServerTime {
        ServerTime::from_micros(millis * 1_000)
    }

    /// Everything the line makes of `score` at one time.
    fn make(line: &mut Line, score: &mut Score, now: ServerTime) -> (Vec<Chunk>, Vec<TrackMark>) {
        let (mut chunks, mut marks) = (Vec::new(), Vec::new());
        loop {
            let turn = line.fill(score, now);
            while let Some((chunk, begins)) = line.next(now, turn == Turn::Over) {
                chunks.push(chunk);
                marks.extend(begins);
            }
            if turn != Turn::More {
                return (chunks, marks);
            }
        }
    }

    #[test]
    fn chunks_are_gapless_and_the_last_one_is_short() {
        let mut line = Line::default();
        let (chunks, _) = make(&mut line, &mut Score::new(&[("one", 24_010)]), at(0));
        assert_eq!(chunks.len(), 6);
        assert!(chunks.windows(2).all(|pair| pair[0].end() == pair[1].play_at()));
        assert_eq!(chunks[5].duration(), ServerSpan::from_micros(208));
        assert_eq!(line.end(), chunks.last().map(Chunk::end));
    }

    #[test]
    fn a_track_is_marked_at_the_frame_at_which_it_is_heard() {
        let mut line = Line::default();
        let mut score = Score::new(&[("one", 10_000), ("two", 7_000), ("three", 100)]);
        let (chunks, marks) = make(&mut line, &mut score, at(0));
        let start = chunks[0].play_at();
        let heard: Vec<_> = (marks.iter())
            .map(|mark| (mark.track.title.as_str(), (mark.from - start).as_micros()))
            .collect();
        assert_eq!(heard, [("one", 0), ("two", 208_333), ("three", 354_166)]);
    }

    #[test]
    fn the_same_track_once_more_begins_anew() {
        let mut line = Line::default();
        let mut score = Score::new(&[("loop", 4_800), ("loop", 4_800), ("loop", 2_400)]);
        let (chunks, marks) = make(&mut line, &mut score, at(0));
        let start = chunks[0].play_at();
        let starts: Vec<_> = marks.iter().map(|mark| (mark.from - start).as_micros()).collect();
        assert_eq!(starts, [0, 100_000, 200_000]);
        assert!(marks.iter().all(|mark| mark.progress_ms == 0));
    }

    #[test]
    fn a_stall_in_a_track_moves_its_progress_with_it() {
        let mut line = Line::default();
        let mut score = Score::new(&[("one", 48_000)]);
        for _ in 0..5 {
            line.fill(&mut score, at(0));
        }
        assert!(line.next(at(0), false).is_some());
        for _ in 0..5 {
            line.fill(&mut score, at(0));
        }
        let (chunk, marks) = line.next(at(3_000), false).unwrap();
        assert_eq!((chunk.epoch(), chunk.play_at()), (1, at(3_800)));
        assert_eq!((marks[0].from, marks[0].progress_ms), (at(3_800), 100));
    }

    /// Two tracks of ten seconds, any position of which can be gone to.
    struct Album {
        run: Run,
        frame: u64,
        order: Order,
    }

    const LENGTH: u64 = 480_000;

    impl Album {
        fn go(&mut self, title: &str, position_ms: u64) -> bool {
            let track = Arc::new(Track { title: title.to_owned(), ..Track::default() });
            self.run = Run { number: self.run.number + 1, track, from_ms: position_ms };
            self.frame = position_ms * 48;
            true
        }
    }

    impl Source for Album {
        fn read(&mut self, _ahead: Duration) -> Result<Read, SourceError> {
            if self.frame >= LENGTH {
                if self.run.track.title == "two" {
                    return Ok(Read::End);
                }
                self.go("two", 0);
            }
            self.frame += 480;
            Ok(Read::Pcm(Pcm { samples: vec![0.0; 480 * CHANNELS], resolution_bits: 16 }))
        }

        fn run(&self) -> &Run {
            &self.run
        }

        fn jump(&mut self, jump: Jump) -> bool {
            match jump {
                // The first run is the first track; after that, by its title.
                Jump::Next { heard: 1 } => self.go("two", 0),
                Jump::Previous { .. } => self.go("one", 0),
                Jump::Seek { heard: 1, position_ms } => self.go("one", position_ms),
                Jump::Seek { position_ms, .. } => {
                    let title = self.run.track.title.clone();
                    self.go(&title, position_ms)
                }
                Jump::Next { .. } | Jump::Entry { .. } => false,
            }
        }

        fn order(&self) -> Order {
            self.order
        }

        fn set_order(&mut self, order: Order) {
            self.order = order;
        }
    }

    /// A line and what it plays, in virtual time.
    struct Studio {
        line: Line,
        album: Album,
        hub: Hub,
        now: ServerTime,
    }

    impl Studio {
        fn new() -> Self {
            let group = crate::group::Group::new("id".to_owned(), "name".to_owned());
            let hub = Hub::new(crate::session::Identity::default(), group);
            let run = Run::default();
            let mut album = Album { run, frame: 0, order: Order::default() };
            album.go("one", 0);
            Self { line: Line::default(), album, hub, now: at(0) }
        }

        /// Lets time go by, and makes what is wanted in it.
        fn run_to(&mut self, millis: i64) {
            while self.now < at(millis) {
                self.now += ServerSpan::from_millis(10);
                while !self.line.stands_still() && self.line.ahead(self.now).is_none() {
                    let now = self.now;
                    self.line.turn(&mut self.album, &self.hub, || now);
                }
            }
        }

        fn ask(&mut self, request: Request) {
            self.line.handle_request(request, &mut self.album, (&self.hub, self.now));
        }

        /// Title and position that are heard, and whether the party plays.
        fn heard(&self) -> (String, u64, bool) {
            let stage = self.hub.stage();
            let view = stage.group.view(self.now);
            let mark = view.now_playing.expect("a track");
            let plays = view.playback == protocol::message::PlaybackState::Playing;
            let at = view.ended.unwrap_or(self.now);
            (mark.track.title.clone(), mark.progress_at(at), plays)
        }

        /// When the first chunk that is left is heard.
        fn first_ahead(&self) -> Option<ServerTime> {
            let stage = self.hub.stage();
            let ring = stage.rings.of(crate::pipeline::encoder::WireFormat::Pcm16);
            ring.get(ring.oldest()).map(|chunk| chunk.play_at())
        }
    }

    fn one(position_ms: u64) -> (String, u64, bool) {
        ("one".to_owned(), position_ms, true)
    }

    #[test]
    fn a_pause_holds_what_was_heard_and_not_what_was_made() {
        let mut studio = Studio::new();
        studio.run_to(3_000);
        let (_, position, _) = studio.heard();
        studio.ask(Request::Pause);
        assert_eq!(studio.heard(), ("one".to_owned(), position, false));
        assert_eq!(studio.first_ahead(), None);
        studio.run_to(60_000);
        assert_eq!(studio.heard(), ("one".to_owned(), position, false));
        studio.ask(Request::Play);
        studio.run_to(60_010);
        assert_eq!(studio.first_ahead(), Some(at(60_310)));
        studio.run_to(61_310);
        assert_eq!(studio.heard(), one(position + 1_000));
        // Twice is once, in both directions.
        studio.ask(Request::Play);
        studio.run_to(61_320);
        assert_eq!(studio.heard(), one(position + 1_010));
    }

    #[test]
    fn a_jump_is_from_what_is_heard_and_soon() {
        let mut studio = Studio::new();
        // Heard is the first track still, while the second is being made.
        studio.run_to(8_000);
        assert_eq!(studio.album.run.track.title, "two");
        studio.ask(Request::Seek(5_000));
        studio.run_to(8_010);
        assert_eq!(studio.first_ahead(), Some(at(8_310)));
        studio.run_to(8_310);
        assert_eq!(studio.heard(), one(5_000));
        studio.ask(Request::SeekRelative(-2_000));
        studio.run_to(8_620);
        assert_eq!(studio.heard().1, 3_000);
        studio.ask(Request::Previous);
        studio.run_to(10_000);
        assert!(studio.heard().1 < 1_500);
        studio.ask(Request::Stop);
        assert_eq!(studio.heard(), ("one".to_owned(), 0, false));
    }

    #[test]
    fn the_last_seconds_can_be_held_and_left_as_any_others() {
        let mut studio = Studio::new();
        // The source has ended, and what it gave is heard for three seconds more.
        studio.run_to(17_300);
        assert!(studio.line.is_over);
        let (title, position, plays) = studio.heard();
        assert_eq!((title.as_str(), plays), ("two", true));
        studio.ask(Request::Pause);
        assert_eq!(studio.heard(), (title.clone(), position, false));
        assert_eq!(studio.first_ahead(), None);
        studio.run_to(40_000);
        studio.ask(Request::Play);
        studio.run_to(40_310);
        assert_eq!(studio.heard(), (title, position, true));
        // Nothing of the end is left in the way of what comes instead.
        studio.run_to(41_000);
        studio.ask(Request::Previous);
        studio.run_to(41_010);
        assert_eq!(studio.first_ahead(), Some(at(41_310)));
        studio.run_to(42_310);
        assert_eq!(studio.heard().1, 1_000);
    }

    #[test]
    fn what_is_over_can_be_heard_again() {
        let mut studio = Studio::new();
        studio.run_to(25_000);
        assert!(studio.line.stands_still());
        assert!(!studio.heard().2);
        studio.ask(Request::Play);
        studio.run_to(25_310);
        assert_eq!(studio.heard(), ("two".to_owned(), 0, true));
        studio.ask(Request::Shuffle(true));
        assert!(studio.hub.stage().group.view(studio.now).offer.order.shuffle);
    }

    /// Gives blocks only when they are put in.
    #[derive(Default)]
    struct Tap {
        blocks: usize,
        run: Run,
        next: Option<Run>,
    }

    impl Source for Tap {
        fn read(&mut self, _ahead: Duration) -> Result<Read, SourceError> {
            if let Some(run) = self.next.take() {
                self.run = run;
                return Ok(Read::NotYet);
            }
            let Some(left) = self.blocks.checked_sub(1) else { return Ok(Read::NotYet) };
            self.blocks = left;
            Ok(Read::Pcm(Pcm { samples: vec![0.5; BLOCK * CHANNELS], resolution_bits: 16 }))
        }

        fn run(&self) -> &Run {
            &self.run
        }
    }

    /// Everything the line makes of `tap` at one time, until it waits.
    fn draw(line: &mut Line, tap: &mut Tap, now: ServerTime) -> (Vec<Chunk>, Vec<TrackMark>) {
        let (mut chunks, mut marks) = (Vec::new(), Vec::new());
        while line.fill(tap, now) == Turn::More {
            while let Some((chunk, begins)) = line.next(now, false) {
                chunks.push(chunk);
                marks.extend(begins);
            }
        }
        (chunks, marks)
    }

    #[test]
    fn a_source_that_gives_nothing_gets_silence_without_a_seam() {
        let mut line = Line::default();
        let mut tap = Tap { blocks: 48, ..Tap::default() };
        let (mut chunks, _) = draw(&mut line, &mut tap, at(0));
        assert_eq!(chunks.len(), 10);
        for step in 1..500 {
            // It comes back for a second, and goes again.
            tap.blocks = if step == 250 { 48 } else { 0 };
            let now = at(20 * step);
            chunks.extend(draw(&mut line, &mut tap, now).0);
            assert!(line.in_hand(now) >= DRY, "at {now:?}");
            let in_hand = chunks.last().map(|last| last.end() - now);
            assert!(in_hand >= Some(ServerSpan::from_millis(300)), "{in_hand:?} at {now:?}");
        }
        assert!(chunks.iter().all(|chunk| chunk.epoch() == 0));
        assert!(chunks.windows(2).all(|pair| pair[0].end() == pair[1].play_at()));
        // Silence is made no further ahead than it has to be.
        assert!(line.in_hand(at(20 * 499)) < DRY + Duration::from_millis(120));
    }

    #[test]
    fn a_title_that_comes_after_a_silence_is_that_of_its_first_frame() {
        let mut line = Line::default();
        let mut tap = Tap { blocks: 5, ..Tap::default() };
        let (chunks, _) = draw(&mut line, &mut tap, at(0));
        let start = chunks[0].play_at();
        let track = Arc::new(Track { title: "news".to_owned(), ..Track::default() });
        tap.next = Some(Run { number: 1, track, from_ms: 0 });
        tap.blocks = 5;
        let heard = (line.timeline.time_of(line.chunker.next_frame()).unwrap() - start).as_micros();
        let (_, marks) = draw(&mut line, &mut tap, at(100));
        assert_eq!(marks.len(), 1);
        assert_eq!((marks[0].run, (marks[0].from - start).as_micros()), (1, heard));
    }

    #[test]
    fn it_waits_when_it_is_the_lead_ahead() {
        let mut line = Line::default();
        assert_eq!(line.ahead(at(0)), None);
        let (chunks, _) = make(&mut line, &mut Score::new(&[("one", 48_000 * 10)]), at(0));
        let end = chunks.last().unwrap().end();
        assert_eq!(line.ahead(end - LEAD_MAX), None);
        let early = end - LEAD_MAX - ServerSpan::from_millis(7);
        assert_eq!(line.ahead(early), Some(Duration::from_millis(7)));
    }
}
