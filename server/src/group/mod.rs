//! The party: what plays, and from when on each title is heard.
//!
//! Pure. Audio is made seconds before it is heard, so everything here carries the time at which it becomes
//! true, and [`Group::view`] says what is true at a given moment.

mod artwork;
pub(crate) mod loudness;
pub(crate) mod players;

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::message::{PlaybackState, QueueEntry};
use protocol::time::ServerTime;
use serde::{Deserialize, Serialize};

use crate::source::{Abilities, Order, Track};

/// Most titles held: the one that is heard and those within the lead. Tracks shorter than the lead divided
/// by this are too short to read; when full, the newest replaces the one before.
const MARKS_MAX: usize = 64;

/// From `from` on, `track` is heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrackMark {
    /// When.
    pub(crate) from: ServerTime,
    /// Which run of the source it is.
    pub(crate) run: u64,
    /// What.
    pub(crate) track: Arc<Track>,
    /// Milliseconds of it that have been heard before `from`.
    pub(crate) progress_ms: u64,
}

impl TrackMark {
    /// How much of the track has been heard at `now`, milliseconds.
    pub(crate) fn progress_at(&self, now: ServerTime) -> u64 {
        self.progress_ms.saturating_add_signed((now - self.from).as_micros().max(0) / 1_000)
    }
}

/// What can be asked of the group now, and what it will play.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// What the source can do.
    pub(crate) abilities: Abilities,
    /// In which order it plays.
    pub(crate) order: Order,
    /// The next tracks.
    pub(crate) next_up: Vec<QueueEntry>,
}

/// The single group of a party. Everyone is in it.
#[derive(Debug)]
pub(crate) struct Group {
    id: String,
    name: String,
    program: Program,
    /// Who makes the sound is away, and the last that is there has been heard then.
    away: Option<ServerTime>,
}

/// What a group plays. An origin tells its edges as much.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    begun: bool,
    ends: Option<ServerTime>,
    /// How often what was ahead became void.
    #[serde(default)]
    cuts: u64,
    #[serde(default)]
    offer: Arc<Offer>,
    /// The newest of those that have begun comes first, then those to come, in order.
    marks: VecDeque<TrackMark>,
}

impl Program {
    /// How often what was ahead became void.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts
    }
}

/// What is true of a group at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct View<'a> {
    /// Whether it plays.
    pub(crate) playback: PlaybackState,
    /// The track that is heard; the last one when it has ended.
    pub(crate) now_playing: Option<&'a TrackMark>,
    /// The track that is heard first, if nothing has been.
    pub(crate) first: Option<&'a TrackMark>,
    /// When the last frame has been heard, if that is the past.
    pub(crate) ended: Option<ServerTime>,
    /// Whether all that can be done is to wait for who makes the sound.
    pub(crate) waiting: bool,
    /// What can be asked of it, and what it will play.
    pub(crate) offer: &'a Arc<Offer>,
    /// When the view will differ, if that is known.
    pub(crate) changes_at: Option<ServerTime>,
}

impl Group {
    /// A group that is stopped.
    pub(crate) fn new(id: String, name: String) -> Self {
        Self { id, name, program: Program::default(), away: None }
    }

    /// Names the group on the wire.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// For people.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it plays.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// From now on it plays `program`, and who makes the sound is there.
    pub(crate) fn follow(&mut self, mut program: Program) {
        program.marks.truncate(MARKS_MAX);
        // What was made after a cut may come before the news of it.
        program.cuts = program.cuts.max(self.program.cuts);
        self.program = program;
        self.away = None;
    }

    /// Who makes the sound is away. What is there has been heard at `at`; then the party waits. Only the first call counts.
    pub(crate) fn leave(&mut self, at: ServerTime) {
        self.away.get_or_insert(at);
    }

    /// Whether who makes the sound is away.
    pub(crate) fn is_left(&self) -> bool {
        self.away.is_some()
    }

    /// Who makes the sound is there again, and plays what it played.
    pub(crate) fn come_back(&mut self) {
        self.away = None;
    }

    /// There is audio now, or soon: also after an end or a pause. Returns whether that is news.
    pub(crate) fn begin(&mut self, now: ServerTime) -> bool {
        let is_news = !self.program.begun || self.program.ends.is_some();
        if self.program.ends.is_some() {
            self.stay(now);
            self.program.ends = None;
        }
        self.program.begun = true;
        is_news
    }

    /// What was to be heard after `now` is void. The track that is heard stays on screens until another one begins. With
    /// a position in it, milliseconds, the group stands still there.
    pub(crate) fn cut(&mut self, now: ServerTime, stops_at: Option<u64>) {
        self.stay(now);
        self.program.cuts += 1;
        if let Some(position_ms) = stops_at {
            self.program.ends = Some(now);
            self.program.marks.iter_mut().for_each(|mark| mark.progress_ms = position_ms);
        }
    }

    /// There have been so many cuts where the sound is made, the last of them before `now`.
    pub(crate) fn follow_cuts(&mut self, cuts: u64, now: ServerTime) {
        self.stay(now);
        self.program.cuts = cuts;
    }

    /// How often that has happened.
    pub(crate) fn cuts(&self) -> u64 {
        self.program.cuts
    }

    /// The present track is all that is known, and it is where it is at `now`.
    fn stay(&mut self, now: ServerTime) {
        let view = self.view(now);
        let at = view.ended.unwrap_or(now);
        let heard = view.now_playing.or(self.program.marks.front()).cloned();
        self.program.marks = heard
            .map(|mark| TrackMark { from: now, progress_ms: mark.progress_at(at), ..mark })
            .into_iter()
            .collect();
    }

    /// What can be asked of it, and what it will play. Returns whether that is news.
    pub(crate) fn offer(&mut self, offer: Offer) -> bool {
        let is_news = *self.program.offer != offer;
        if is_news {
            self.program.offer = Arc::new(offer);
        }
        is_news
    }

    /// The last frame has been heard at `at`. Only the first call counts.
    pub(crate) fn end(&mut self, at: ServerTime) {
        self.program.ends.get_or_insert(at);
    }

    /// Takes note of a track. Marks come in the order of their times.
    pub(crate) fn mark(&mut self, mark: TrackMark, now: ServerTime) {
        let marks = &mut self.program.marks;
        while marks.get(1).is_some_and(|second| second.from <= now) {
            marks.pop_front();
        }
        if marks.len() >= MARKS_MAX {
            marks.pop_back();
        }
        marks.push_back(mark);
    }

    /// What is true at `now`.
    pub(crate) fn view(&self, now: ServerTime) -> View<'_> {
        let Program { begun, ends, marks, offer, .. } = &self.program;
        let ends = [*ends, self.away].into_iter().flatten().min();
        let ended = ends.filter(|&ends| ends <= now);
        let heard = marks.partition_point(|mark| mark.from <= now);
        let next_mark = marks.get(heard).map(|mark| mark.from);
        let changes = [next_mark, ends.filter(|_| ended.is_none())];
        View {
            playback: if *begun && ended.is_none() {
                PlaybackState::Playing
            } else {
                PlaybackState::Stopped
            },
            now_playing: heard.checked_sub(1).and_then(|at| marks.get(at)),
            waiting: ended.is_some() && ended == self.away,
            first: marks.front(),
            ended,
            offer,
            changes_at: changes.into_iter().flatten().min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> ServerTime {
        ServerTime::from_micros(millis * 1_000)
    }

    fn mark(from: i64, title: &str) -> TrackMark {
        let track = Arc::new(Track { title: title.to_owned(), ..Track::default() });
        TrackMark { from: at(from), run: 0, track, progress_ms: 0 }
    }

    fn group() -> Group {
        Group::new("id".to_owned(), "name".to_owned())
    }

    fn title<'a>(view: &View<'a>) -> Option<&'a str> {
        view.now_playing.map(|mark| mark.track.title.as_str())
    }

    #[test]
    fn a_title_is_true_when_it_is_heard() {
        let mut group = group();
        group.begin(at(0));
        group.mark(mark(1_000, "one"), at(0));
        group.mark(mark(3_000, "two"), at(0));
        let before = group.view(at(999));
        assert_eq!((title(&before), before.changes_at), (None, Some(at(1_000))));
        let first = group.view(at(2_999));
        assert_eq!((title(&first), first.changes_at), (Some("one"), Some(at(3_000))));
        let second = group.view(at(3_000));
        assert_eq!((title(&second), second.changes_at), (Some("two"), None));
    }

    #[test]
    fn the_party_stops_when_the_last_frame_has_been_heard() {
        let mut group = group();
        assert_eq!(group.view(at(0)).playback, PlaybackState::Stopped);
        group.begin(at(0));
        group.mark(mark(1_000, "one"), at(0));
        group.end(at(5_000));
        group.end(at(9_000));
        let last = group.view(at(4_999));
        assert_eq!((last.playback, last.changes_at), (PlaybackState::Playing, Some(at(5_000))));
        let over = group.view(at(5_000));
        assert_eq!((over.playback, over.ended), (PlaybackState::Stopped, Some(at(5_000))));
        assert_eq!((title(&over), over.changes_at), (Some("one"), None));
    }

    #[test]
    fn a_pause_keeps_the_place_and_going_on_takes_it_up() {
        let mut group = group();
        group.begin(at(0));
        group.mark(mark(1_000, "one"), at(0));
        group.mark(mark(9_000, "two"), at(0));
        group.cut(at(4_000), Some(3_000));
        let place = |group: &Group, now| {
            let view = group.view(now);
            let mark = view.now_playing.expect("a track");
            (mark.progress_at(view.ended.unwrap_or(now)), view.playback, view.changes_at)
        };
        assert_eq!(place(&group, at(10_000)), (3_000, PlaybackState::Stopped, None));
        assert_eq!(title(&group.view(at(10_000))), Some("one"));
        assert!(group.begin(at(60_000)));
        assert_eq!(place(&group, at(60_000)), (3_000, PlaybackState::Playing, None));
        assert!(!group.begin(at(60_100)));
    }

    #[test]
    fn past_titles_are_forgotten_and_too_many_do_not_pile_up() {
        let mut group = group();
        for number in 0..10_000 {
            group.mark(mark(number, &number.to_string()), at(0));
        }
        assert_eq!(group.program.marks.len(), MARKS_MAX);
        assert_eq!(title(&group.view(at(60_000))), Some("9999"));
        group.mark(mark(70_000, "next"), at(60_000));
        assert_eq!(group.program.marks.len(), 2);
        assert_eq!(title(&group.view(at(60_000))), Some("9999"));
    }
}
