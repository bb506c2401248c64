//! The player role's objects.

use serde::{Deserialize, Serialize};

use super::core::OperationalState;
use super::field::{known_entries, known_entries_opt};
use crate::audio::AudioFormat;

/// What a player can play, in `client/hello`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayerSupport {
    /// Formats in order of preference. Entries with a codec that this end does not know are left out.
    #[serde(deserialize_with = "known_entries")]
    pub supported_formats: Vec<AudioFormat>,
    /// Bytes of encoded audio, headers included, that the player can hold.
    pub buffer_capacity: u64,
    /// Commands that the player obeys.
    #[serde(default, deserialize_with = "known_entries", skip_serializing_if = "Vec::is_empty")]
    pub supported_commands: Vec<PlayerCommandName>,
}

/// A player's state, a delta.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayerState {
    /// Where sendspin-js 3.2.1 puts what others send as the top-level `state`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<OperationalState>,
    /// Perceived loudness, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<u8>,
    /// Whether the player is silent whatever its volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted: Option<bool>,
    /// Milliseconds by which the sound leaves this player's speaker later than its output.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "output_delay_ms")]
    pub static_delay_ms: Option<u32>,
    /// Milliseconds that the player needs between a stream's first chunk and its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_lead_time_ms: Option<u32>,
    /// Milliseconds of audio that the player wants in its buffer at all times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_buffer_ms: Option<u32>,
    /// Commands that the player obeys, beside those of its hello.
    #[serde(
        default,
        deserialize_with = "known_entries_opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub supported_commands: Option<Vec<PlayerCommandName>>,
}

/// Name of a command that a player may obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlayerCommandName {
    /// Set the volume.
    Volume,
    /// Mute or unmute.
    Mute,
    /// Set the static delay.
    SetStaticDelay,
}

/// A command to a player, in `server/command`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum PlayerCommand {
    /// Set the volume.
    Volume {
        /// Perceived loudness, 0 to 100.
        volume: u8,
    },
    /// Mute or unmute.
    Mute {
        /// Whether to be silent.
        mute: bool,
    },
    /// Set the static delay.
    SetStaticDelay {
        /// Milliseconds, 0 to 5000.
        static_delay_ms: u32,
    },
}
