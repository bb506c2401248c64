//! The metadata role: tells a client what is heard, when it is heard.

use protocol::message::{Field, Metadata, PlaybackState, Progress, ServerMessage, ServerState};
use protocol::time::ServerTime;

use crate::group::View;
use crate::source::Order;

/// Normal speed, in thousandths.
const SPEED: u32 = 1_000;

/// A client's metadata role: what it was told last.
#[derive(Debug, Default)]
pub(super) struct MetadataRole {
    told: Option<Told>,
}

/// Start of the track that was reported, whether it was running, and in which order tracks come.
type Told = (Option<ServerTime>, PlaybackState, Order);

impl MetadataRole {
    /// The message that brings the client up to date with `view`, if it is not.
    pub(super) fn follow(&mut self, view: &View<'_>, now: ServerTime) -> Option<ServerMessage> {
        let current = (view.now_playing.map(|mark| mark.from), view.playback, view.offer.order);
        if self.told == Some(current) {
            return None;
        }
        self.told = Some(current);
        let metadata = Some(describe(view, now));
        Some(ServerState { metadata, ..ServerState::default() }.into())
    }
}

/// All of it: what a track does not have is `null`, so that nothing of the one before stays on a screen.
fn describe(view: &View<'_>, now: ServerTime) -> Metadata {
    let order = view.offer.order;
    let Some(mark) = view.now_playing else {
        return Metadata {
            timestamp: now,
            title: Field::Null,
            artist: Field::Null,
            album_artist: Field::Null,
            album: Field::Null,
            artwork_url: Field::Null,
            year: Field::Null,
            track: Field::Null,
            progress: Field::Null,
            repeat: Field::Value(order.repeat),
            shuffle: Field::Value(order.shuffle),
        };
    };
    // Counted from the time at which the track began, which may be long ago for one who joins now.
    let timestamp = view.ended.unwrap_or(mark.from);
    let track = &mark.track;
    let progress = Progress {
        track_progress: mark.progress_at(timestamp),
        track_duration: track.duration_ms.unwrap_or(0),
        playback_speed: if view.playback == PlaybackState::Playing { SPEED } else { 0 },
    };
    Metadata {
        timestamp,
        title: Field::Value(track.title.clone()),
        artist: track.artist.clone().into(),
        album_artist: track.album_artist.clone().into(),
        album: track.album.clone().into(),
        artwork_url: Field::Null,
        year: track.year.into(),
        track: track.track_number.into(),
        progress: Field::Value(progress),
        repeat: Field::Value(order.repeat),
        shuffle: Field::Value(order.shuffle),
    }
}
