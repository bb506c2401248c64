//! The controller role's objects.

use serde::{Deserialize, Serialize};

use super::field::known_entries;

/// A command to the group, in `client/command`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum ControllerCommand {
    /// Play, or go on after a pause.
    Play,
    /// Pause.
    Pause,
    /// Stop.
    Stop,
    /// Go to the next track.
    Next,
    /// Go to the previous track.
    Previous,
    /// Set the group's volume.
    Volume {
        /// Perceived loudness, 0 to 100.
        volume: u8,
    },
    /// Mute or unmute the group.
    Mute {
        /// Whether to be silent.
        mute: bool,
    },
    /// Play the list once.
    RepeatOff,
    /// Repeat the track.
    RepeatOne,
    /// Repeat the list.
    RepeatAll,
    /// Play in random order.
    Shuffle,
    /// Play in order.
    Unshuffle,
    /// Move this client to the next group.
    Switch,
    /// Go to a position in the track.
    Seek {
        /// Milliseconds from the track's start.
        position_ms: u64,
    },
    /// Move within the track.
    SeekRelative {
        /// Milliseconds, negative is back.
        offset_ms: i64,
    },
}

/// What a controller may do and how the group is set, in `server/state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControllerState {
    /// Names of the commands that the group obeys now, as in [`ControllerCommand`]. A name that this end
    /// does not know stays in the list: it is only ever compared.
    #[serde(deserialize_with = "known_entries")]
    pub supported_commands: Vec<String>,
    /// Mean volume of the group's players, 0 to 100.
    pub volume: u8,
    /// Whether every player of the group is muted.
    pub muted: bool,
    /// What is repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// Whether tracks come in random order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffle: Option<bool>,
    /// Last position that [`ControllerCommand::Seek`] may go to, milliseconds. There when seeking is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seek_max_ms: Option<u64>,
}

/// What is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Repeat {
    /// Nothing.
    Off,
    /// The track.
    One,
    /// The list.
    All,
}
