//! The party role: what this project's page and server tell each other beside the specification.
//!
//! A vendor role, as its leading underscore says; others ignore it. Who may do what is decided by the server alone: a page
//! that was told its rights wrongly could show a button, and nothing would come of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::field::known_entries;

/// Asks for the role, in `client/hello`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartySupport {
    /// What the host's link carries, if this client has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
}

/// Without the key: what is debugged ends in logs.
impl fmt::Debug for PartySupport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host_key = self.host_key.as_ref().map(|_| "…");
        f.debug_struct("PartySupport").field("host_key", &host_key).finish()
    }
}

/// What a client may do, each with what the ones before it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rights {
    /// Listen, as loud as it likes.
    #[default]
    Listen,
    /// Set the group's volume.
    Volume,
    /// Go to the next track.
    Skip,
    /// Everything that changes what is heard.
    All,
    /// See and set each player as well.
    Host,
}

/// The role's state, in `server/state`: always whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyState {
    /// What this client may do.
    #[serde(default)]
    pub rights: Rights,
    /// Whether the key in its hello was not the host's: its link is an old one.
    #[serde(default)]
    pub key_refused: bool,
    /// What is played after the present track, the next one first. Only the beginning of a long list.
    #[serde(default, deserialize_with = "known_entries")]
    pub next_up: Vec<QueueEntry>,
    /// All players, for the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub players: Option<Vec<PlayerInfo>>,
    /// Whether the client is to tell how well it is in step: somebody looks.
    #[serde(default)]
    pub report: bool,
}

/// A track that is to come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    /// Names the entry while it is in the list.
    pub id: u64,
    /// Title.
    pub title: String,
    /// Who performs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artist: Option<String>,
    /// Length in milliseconds, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// A player of the party, as the host sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlayerInfo {
    /// Names the player across connections.
    pub id: String,
    /// For people.
    pub name: String,
    /// Perceived loudness, 0 to 100; `None` when it cannot be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<u8>,
    /// Whether it is silent whatever its volume; `None` when it cannot be muted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted: Option<bool>,
    /// How well it is in step, if it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncReport>,
}

/// Players are compared to see whether there is news; figures that are not numbers do not come from JSON.
impl Eq for PlayerInfo {}

/// How well a player is in step, in `client/state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SyncReport {
    /// Whether it is heard.
    #[serde(default)]
    pub playing: bool,
    /// How far what is heard is from where it should be, microseconds; positive is late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_us: Option<f64>,
    /// Audio that it has in hand, milliseconds.
    #[serde(default)]
    pub buffered_ms: f64,
    /// How often it jumped.
    #[serde(default)]
    pub reanchors: u64,
    /// How often it ran empty.
    #[serde(default)]
    pub underruns: u64,
}

/// A command of the party role, in `client/command`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum PartyCommand {
    /// Set one player's volume.
    PlayerVolume {
        /// Its [`PlayerInfo::id`].
        player: String,
        /// Perceived loudness, 0 to 100.
        volume: u8,
    },
    /// Mute or unmute one player.
    PlayerMute {
        /// Its [`PlayerInfo::id`].
        player: String,
        /// Whether to be silent.
        mute: bool,
    },
    /// Play an entry of the list now.
    PlayEntry {
        /// Its [`QueueEntry::id`].
        entry: u64,
    },
    /// Be called so from now on. What the hello said holds until then.
    Rename {
        /// For people.
        name: String,
    },
}
