//! Streams: start, clear, end, and a client's wish for another format.

use serde::{Deserialize, Serialize};

use super::artwork::{ArtworkRequest, ArtworkStream};
use super::visualizer::{VisualizerRequest, VisualizerStream};
use crate::audio::{AudioFormat, Codec};
use crate::time::ServerTime;

/// `stream/start`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStart {
    /// The server's clock just before the message left. Clients of this generation ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_transmitted: Option<ServerTime>,
    /// The player role's stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player: Option<StreamFormat>,
    /// The artwork role's channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artwork: Option<ArtworkStream>,
    /// The visualizer role's stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visualizer: Option<VisualizerStream>,
}

/// The format of a player's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFormat {
    /// Codec and shape of the chunks that follow.
    #[serde(flatten)]
    pub format: AudioFormat,
    /// What the decoder needs before the first chunk, in Base64 with padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec_header: Option<String>,
}

/// `stream/clear`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamClear {
    /// The server's clock just before the message left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_transmitted: Option<ServerTime>,
    /// Unversioned names of the roles whose buffers are void; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
}

/// `stream/end`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEnd {
    /// Unversioned names of the roles whose stream is over; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
}

impl StreamClear {
    /// Whether it concerns the player role.
    #[must_use]
    pub fn concerns_player(&self) -> bool {
        names_player(self.roles.as_deref())
    }
}

impl StreamEnd {
    /// Whether it concerns the player role.
    #[must_use]
    pub fn concerns_player(&self) -> bool {
        names_player(self.roles.as_deref())
    }
}

fn names_player(roles: Option<&[String]>) -> bool {
    roles.is_none_or(|roles| roles.iter().any(|role| role == "player"))
}

/// `stream/request-format`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRequestFormat {
    /// The player role's wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player: Option<FormatRequest>,
    /// The artwork role's wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artwork: Option<ArtworkRequest>,
    /// The visualizer role's wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visualizer: Option<VisualizerRequest>,
}

/// A wish for another format. Absent fields stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormatRequest {
    /// Encoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<Codec>,
    /// Channels in a frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// Frames per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    /// Bits in a sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bit_depth: Option<u8>,
}

impl FormatRequest {
    /// `current` with the requested fields changed.
    #[must_use]
    pub fn applied_to(&self, current: AudioFormat) -> AudioFormat {
        AudioFormat {
            codec: self.codec.unwrap_or(current.codec),
            channels: self.channels.unwrap_or(current.channels),
            sample_rate: self.sample_rate.unwrap_or(current.sample_rate),
            bit_depth: self.bit_depth.unwrap_or(current.bit_depth),
        }
    }
}
