//! The metadata role's object.

use serde::{Deserialize, Serialize};

use super::controller::Repeat;
use super::field::Field;
use crate::time::ServerTime;

/// What is playing, in `server/state`: a delta.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// From when on this holds. A progress is counted from here.
    pub timestamp: ServerTime,
    /// Title of the track.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub title: Field<String>,
    /// Who performs it.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub artist: Field<String>,
    /// Who made the album.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub album_artist: Field<String>,
    /// The album.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub album: Field<String>,
    /// Where a picture is.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub artwork_url: Field<String>,
    /// Year of release.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub year: Field<u32>,
    /// Number within the album.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub track: Field<u32>,
    /// How far the track is.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub progress: Field<Progress>,
    /// What is repeated. Clients of this generation read it here as well as in the controller's state.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub repeat: Field<Repeat>,
    /// Whether tracks come in random order. As `repeat`.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub shuffle: Field<bool>,
}

/// How far a track is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Milliseconds of the track that had been heard at the metadata's timestamp.
    pub track_progress: u64,
    /// Milliseconds that the track has; 0 when unknown or endless.
    pub track_duration: u64,
    /// Speed in thousandths; 0 when paused.
    pub playback_speed: u32,
}
