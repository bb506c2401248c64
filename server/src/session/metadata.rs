//! The metadata role: tells a client what is heard, when it is heard.

use std::sync::Arc;

use protocol::message::{Field, Metadata, PlaybackState, Progress, ServerMessage, ServerState};
use protocol::time::ServerTime;

use super::screen::Sight;
use crate::picture::{ENDING, PATH};
use crate::source::{Order, PictureId};

/// Normal speed, in thousandths.
const SPEED: u32 = 1_000;

/// A client's metadata role: what it was told last.
#[derive(Debug, Default)]
pub(super) struct MetadataRole {
    told: Option<Told>,
    /// How the client calls this server.
    base_url: Option<Arc<str>>,
}

/// Start of the track that was reported, its picture, whether it was running, and in which order tracks come.
type Told = (Option<ServerTime>, Option<PictureId>, PlaybackState, Order);

impl MetadataRole {
    /// How the client calls this server. Without it, nothing has an address.
    pub(super) fn set_base_url(&mut self, base_url: Option<Arc<str>>) {
        self.base_url = base_url;
    }

    /// The message that brings the client up to date, if it is not.
    pub(super) fn follow(&mut self, sight: &Sight<'_>) -> Option<ServerMessage> {
        let picture = sight.picture().map(|picture| picture.id);
        let view = sight.view;
        let from = view.now_playing.map(|mark| mark.from);
        let current = (from, picture, view.playback, view.offer.order);
        if self.told == Some(current) {
            return None;
        }
        self.told = Some(current);
        let address = |(base, id)| format!("{base}{PATH}{id}{ENDING}");
        let artwork_url = self.base_url.as_ref().zip(picture).map(address).into();
        let metadata = Some(Metadata { artwork_url, ..describe(sight) });
        Some(ServerState { metadata, ..ServerState::default() }.into())
    }
}

/// All of it: what a track does not have is `null`, so that nothing of the one before stays on a screen.
fn describe(&Sight { view, now, .. }: &Sight<'_>) -> Metadata {
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
