//! What is playing, from the moment on that it is heard.
//!
//! A server may tell of a track before its first sample is heard: the metadata's timestamp says when it is. Until then
//! the page shows what came before.

use std::collections::VecDeque;

use protocol::clock_sync::ClockSync;
use protocol::message::{Metadata, Progress};
use protocol::time::{ClientTime, ServerSpan, ServerTime};

use super::Player;
use super::api::{Event, Output};
use super::controls::clipped;
use crate::playout_clock::ServerMapping;

/// Changes that wait for their time. Of more, the last two become one.
const WAITING_MAX: usize = 16;
/// A change that is further ahead is shown at once: no server knows so long before what is heard.
const AHEAD_MAX: ServerSpan = ServerSpan::from_secs(60);
/// Longest address of a picture, bytes: what browsers and proxies take without complaint.
const URL_BYTES_MAX: usize = 2_000;

/// What is playing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NowPlaying {
    /// Title of the track.
    pub title: Option<String>,
    /// Who performs it.
    pub artist: Option<String>,
    /// The album.
    pub album: Option<String>,
    /// Who made the album.
    pub album_artist: Option<String>,
    /// Year of release.
    pub year: Option<u32>,
    /// Number within the album.
    pub track: Option<u32>,
    /// Where a picture is, untrusted text.
    pub artwork_url: Option<String>,
    /// How far the track is.
    pub progress: Option<TrackProgress>,
}

/// How far a track is, at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackProgress {
    /// The instant that `heard_ms` is told for.
    pub at: ServerTime,
    /// Milliseconds of the track that had been heard then.
    pub heard_ms: u64,
    /// Milliseconds that the track has; `None` when unknown or endless.
    pub duration_ms: Option<u64>,
    /// Speed in thousandths; 0 when paused.
    pub speed: u32,
}

/// How far a track is at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Milliseconds of the track that have been heard.
    pub heard_ms: u64,
    /// Milliseconds that the track has; `None` when unknown or endless.
    pub duration_ms: Option<u64>,
}

impl TrackProgress {
    /// How far the track is at `now`: never before its start, never past its end.
    #[must_use]
    pub fn at(&self, now: ServerTime) -> Position {
        let since_us = now.as_micros().saturating_sub(self.at.as_micros());
        // Widened: a speed that somebody made up must not overflow.
        let moved_ms = i128::from(since_us) * i128::from(self.speed) / 1_000_000;
        let heard_ms = (i128::from(self.heard_ms) + moved_ms).max(0);
        let heard_ms = u64::try_from(heard_ms).unwrap_or(u64::MAX);
        let heard_ms = self.duration_ms.map_or(heard_ms, |end| heard_ms.min(end));
        Position { heard_ms, duration_ms: self.duration_ms }
    }

    /// Whether the track stands still before its end: somebody paused it.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.speed == 0 && self.duration_ms.is_none_or(|end| self.heard_ms < end)
    }
}

impl NowPlaying {
    /// Brings it up to date with a delta.
    fn apply(&mut self, metadata: Metadata) {
        metadata.title.apply_to(&mut self.title);
        metadata.artist.apply_to(&mut self.artist);
        metadata.album.apply_to(&mut self.album);
        metadata.album_artist.apply_to(&mut self.album_artist);
        metadata.year.apply_to(&mut self.year);
        metadata.track.apply_to(&mut self.track);
        metadata.artwork_url.apply_to(&mut self.artwork_url);
        self.artwork_url = self.artwork_url.take().filter(|url| url.len() <= URL_BYTES_MAX);
        if !metadata.progress.is_absent() {
            self.progress = metadata.progress.value().map(|progress| {
                let Progress { track_progress, track_duration, playback_speed } = *progress;
                TrackProgress {
                    at: metadata.timestamp,
                    heard_ms: track_progress,
                    duration_ms: Some(track_duration).filter(|ms| *ms > 0),
                    speed: playback_speed,
                }
            });
        }
        for text in [&mut self.title, &mut self.artist, &mut self.album, &mut self.album_artist] {
            *text = text.as_deref().map(clipped);
        }
    }
}

/// What is playing and what the server has told of what comes.
#[derive(Debug, Default)]
pub(super) struct Programme {
    shown: NowPlaying,
    /// From when on which is to be shown, in order of time. Each is whole.
    waiting: VecDeque<(ServerTime, NowPlaying)>,
}

impl Programme {
    /// Takes a delta. It counts from what was told before, and overrides what was told for later.
    fn take(&mut self, metadata: Metadata) {
        let at = metadata.timestamp;
        let told = self.waiting.back().map_or(&self.shown, |(_, last)| last);
        let mut next = told.clone();
        next.apply(metadata);
        while self.waiting.back().is_some_and(|(later, _)| *later >= at) {
            self.waiting.pop_back();
        }
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_back();
        }
        self.waiting.push_back((at, next));
    }

    /// What is to be shown at `now`, if that is news. Without a time, all is due.
    fn due(&mut self, now: Option<ServerTime>) -> Option<&NowPlaying> {
        let is_due = |at: ServerTime| {
            now.is_none_or(|now| at <= now || at.as_micros() > (now + AHEAD_MAX).as_micros())
        };
        let mut next = None;
        while self.waiting.front().is_some_and(|(at, _)| is_due(*at)) {
            next = self.waiting.pop_front();
        }
        let (_, next) = next?;
        let is_news = next != self.shown;
        self.shown = next;
        is_news.then_some(&self.shown)
    }

    /// When the next change is due.
    fn due_at(&self) -> Option<ServerTime> {
        self.waiting.front().map(|(at, _)| *at)
    }
}

impl Player {
    pub(super) fn handle_metadata(&mut self, now: ClientTime, metadata: Metadata) {
        self.programme.take(metadata);
        self.show_what_is_due(now);
    }

    /// Tells the page of a change whose time has come. While the server's clock is not known every change has.
    pub(super) fn show_what_is_due(&mut self, now: ClientTime) {
        let now = self.server_mapping().map(|mapping| mapping.to_remote(now));
        if let Some(now_playing) = self.programme.due(now) {
            let event = Event::NowPlaying(now_playing.clone());
            self.outputs.push_back(Output::Event(event));
        }
    }

    pub(super) fn title_due_at(&self) -> Option<ClientTime> {
        let at = self.programme.due_at()?;
        self.server_mapping().map(|mapping| mapping.to_local(at))
    }

    /// How far the track is at `now`; `None` when the server does not tell or its clock is not known.
    #[must_use]
    pub fn position(&self, now: ClientTime) -> Option<Position> {
        let progress = self.programme.shown.progress?;
        if progress.speed == 0 {
            return Some(progress.at(progress.at));
        }
        Some(progress.at(self.server_mapping()?.to_remote(now)))
    }

    fn server_mapping(&self) -> Option<ServerMapping> {
        self.clock.as_ref().and_then(ClockSync::mapping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::message::Field;

    fn titled(at_ms: i64, title: &str) -> Metadata {
        let mut metadata = blank(at_ms);
        metadata.title = Field::Value(title.to_owned());
        metadata
    }

    fn blank(at_ms: i64) -> Metadata {
        Metadata {
            timestamp: ms(at_ms),
            title: Field::Absent,
            artist: Field::Absent,
            album_artist: Field::Absent,
            album: Field::Absent,
            artwork_url: Field::Absent,
            year: Field::Absent,
            track: Field::Absent,
            progress: Field::Absent,
            repeat: Field::Absent,
            shuffle: Field::Absent,
        }
    }

    fn ms(ms: i64) -> ServerTime {
        ServerTime::from_micros(ms * 1_000)
    }

    fn title(shown: Option<&NowPlaying>) -> Option<String> {
        shown.and_then(|shown| shown.title.clone())
    }

    #[test]
    fn a_title_is_shown_when_it_is_heard() {
        let mut programme = Programme::default();
        programme.take(titled(1_000, "one"));
        assert_eq!(title(programme.due(Some(ms(1_000)))).as_deref(), Some("one"));
        programme.take(titled(9_000, "two"));
        assert_eq!(programme.due(Some(ms(8_999))), None);
        assert_eq!(programme.due_at(), Some(ms(9_000)));
        assert_eq!(title(programme.due(Some(ms(9_000)))).as_deref(), Some("two"));
        assert_eq!(programme.due_at(), None);
    }

    #[test]
    fn what_is_told_for_earlier_overrides_and_keeps_what_it_does_not_name() {
        let mut programme = Programme::default();
        let mut whole = titled(9_000, "two");
        whole.artist = Field::Value("them".to_owned());
        programme.take(whole);
        programme.take(titled(5_000, "skipped to"));
        let shown = programme.due(Some(ms(5_000))).cloned().unwrap_or_default();
        assert_eq!(
            (shown.title.as_deref(), shown.artist.as_deref()),
            (Some("skipped to"), Some("them"))
        );
        assert_eq!(programme.due(Some(ms(20_000))), None, "the track that was skipped came back");
    }

    #[test]
    fn without_a_clock_and_far_ahead_all_is_due() {
        let mut programme = Programme::default();
        programme.take(titled(9_000, "early"));
        assert_eq!(title(programme.due(None)).as_deref(), Some("early"));
        programme.take(titled(100_000, "made up"));
        assert_eq!(title(programme.due(Some(ms(9_000)))).as_deref(), Some("made up"));
    }

    #[test]
    fn a_server_that_announces_for_ever_fills_nothing() {
        let mut programme = Programme::default();
        for i in 0..1_000 {
            programme.take(titled(1_000 + i, &i.to_string()));
        }
        assert_eq!(programme.waiting.len(), WAITING_MAX);
        assert_eq!(title(programme.due(Some(ms(9_000)))).as_deref(), Some("999"));
    }

    #[test]
    fn progress_moves_with_the_servers_clock_and_stays_within_the_track() {
        let progress =
            TrackProgress { at: ms(10_000), heard_ms: 500, duration_ms: Some(3_000), speed: 1_000 };
        assert_eq!(progress.at(ms(11_000)).heard_ms, 1_500);
        assert_eq!(progress.at(ms(9_000)).heard_ms, 0);
        assert_eq!(progress.at(ms(99_000)).heard_ms, 3_000);
        let wild = TrackProgress { speed: u32::MAX, duration_ms: None, ..progress };
        assert!(wild.at(ServerTime::from_micros(i64::MAX)).heard_ms > 1_500);
    }

    #[test]
    fn a_pause_is_told_from_an_end() {
        let at =
            |heard_ms, duration_ms| TrackProgress { at: ms(0), heard_ms, duration_ms, speed: 0 };
        assert!(at(500, Some(3_000)).is_paused());
        assert!(at(500, None).is_paused());
        assert!(!at(3_000, Some(3_000)).is_paused());
        assert!(!TrackProgress { speed: 1_000, ..at(500, None) }.is_paused());
    }
}
