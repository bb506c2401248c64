//! The artwork role's objects: which pictures a client wants, and which it gets.
//!
//! Source: wire reference 2.1 and 2.2. The pictures themselves are binary messages, see
//! [`crate::binary`].

use serde::{Deserialize, Serialize};

use super::field::known_entries;

/// Most channels of a client: the wire has no more message ids (wire reference 3.1).
pub const ARTWORK_CHANNELS_MAX: usize = 4;

/// What the artwork role can show, in `client/hello`. A channel is known by its place in the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtworkSupport {
    /// One to [`ARTWORK_CHANNELS_MAX`].
    #[serde(deserialize_with = "known_entries")]
    pub channels: Vec<ArtworkChannel>,
}

/// What one channel can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtworkChannel {
    /// Whose picture.
    pub source: ArtworkSource,
    /// How it is to be encoded.
    pub format: ImageFormat,
    /// Width of the screen, pixels.
    pub media_width: u32,
    /// Height of the screen, pixels.
    pub media_height: u32,
}

/// Whose picture a channel shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtworkSource {
    /// The album's.
    Album,
    /// The artist's.
    Artist,
    /// Nobody's: the channel is off.
    None,
}

/// How a picture is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// BMP.
    Bmp,
}

/// What the channels carry, in `stream/start`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtworkStream {
    /// One for each channel of the hello, in its order.
    #[serde(deserialize_with = "known_entries")]
    pub channels: Vec<ArtworkStreamChannel>,
}

/// What one channel carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtworkStreamChannel {
    /// Whose picture.
    pub source: ArtworkSource,
    /// How it is encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ImageFormat>,
    /// Width of every picture, pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height of every picture, pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

/// A wish for something else on one channel, in `stream/request-format`. Absent fields stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtworkRequest {
    /// Which, from 0.
    pub channel: u8,
    /// Whose picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ArtworkSource>,
    /// How it is to be encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ImageFormat>,
    /// Width of the screen, pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_width: Option<u32>,
    /// Height of the screen, pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_height: Option<u32>,
}

impl ArtworkRequest {
    /// `current` with the requested fields changed.
    #[must_use]
    pub fn applied_to(&self, current: ArtworkChannel) -> ArtworkChannel {
        ArtworkChannel {
            source: self.source.unwrap_or(current.source),
            format: self.format.unwrap_or(current.format),
            media_width: self.media_width.unwrap_or(current.media_width),
            media_height: self.media_height.unwrap_or(current.media_height),
        }
    }
}
