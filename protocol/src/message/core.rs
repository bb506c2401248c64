//! Hello, time, state, command, goodbye and group: what every connection has.

use serde::{Deserialize, Serialize};

use super::artwork::ArtworkSupport;
use super::color::ColorState;
use super::controller::{ControllerCommand, ControllerState};
use super::field::{known, known_entries};
use super::metadata::Metadata;
use super::party::{PartyCommand, PartyState, PartySupport, SyncReport};
use super::player::{PlayerCommand, PlayerState, PlayerSupport};
use super::visualizer::VisualizerSupport;
use crate::time::{ClientTime, ServerTime};

/// `client/hello`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientHello {
    /// Names the client across connections.
    pub client_id: String,
    /// For people.
    pub name: String,
    /// Protocol version, [`VERSION`](super::VERSION).
    pub version: u32,
    /// Versioned role names in order of preference.
    #[serde(deserialize_with = "known_entries")]
    pub supported_roles: Vec<String>,
    /// What the client runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_info: Option<DeviceInfo>,
    /// What the player role can play; the role does not activate without it.
    #[serde(rename = "player@v1_support", default, skip_serializing_if = "Option::is_none")]
    pub player_support: Option<PlayerSupport>,
    /// What the artwork role can show; the role does not activate without it.
    #[serde(
        rename = "artwork@v1_support",
        default,
        deserialize_with = "known",
        skip_serializing_if = "Option::is_none"
    )]
    pub artwork_support: Option<ArtworkSupport>,
    /// What the visualizer role can show; the role does not activate without it.
    #[serde(
        rename = "visualizer@v1_support",
        default,
        deserialize_with = "known",
        skip_serializing_if = "Option::is_none"
    )]
    pub visualizer_support: Option<VisualizerSupport>,
    /// Asks for the party role.
    #[serde(rename = "_partyline@v1_support", default, skip_serializing_if = "Option::is_none")]
    pub party_support: Option<PartySupport>,
}

/// What a client runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Product, for example a browser's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_name: Option<String>,
    /// Who makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software_version: Option<String>,
}

/// `server/hello`. All fields are required by clients of this generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerHello {
    /// Names the server across connections.
    pub server_id: String,
    /// For people.
    pub name: String,
    /// Protocol version, [`VERSION`](super::VERSION).
    pub version: u32,
    /// Versioned names of the roles that are active on this connection.
    pub active_roles: Vec<String>,
    /// Why the two are connected.
    pub connection_reason: ConnectionReason,
}

/// Why a server and a client are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionReason {
    /// One found the other.
    Discovery,
    /// There is something to play.
    Playback,
}

/// `client/time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTimeRequest {
    /// The client's clock just before the message left.
    pub client_transmitted: ClientTime,
}

/// `server/time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerTimeReply {
    /// Echo of the request's stamp.
    pub client_transmitted: ClientTime,
    /// The server's clock when the request arrived.
    pub server_received: ServerTime,
    /// The server's clock just before this reply left.
    pub server_transmitted: ServerTime,
}

/// A reply that waits to be written. It has no transmit stamp, hence another type, so that an unstamped
/// reply cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnstampedTimeReply {
    /// Echo of the request's stamp.
    pub client_transmitted: ClientTime,
    /// The server's clock when the request arrived, read before the request was parsed.
    pub server_received: ServerTime,
}

impl UnstampedTimeReply {
    /// Completes the reply. `now` must be read immediately before the bytes go to the socket: half of
    /// any delay in between becomes an error of the client's clock.
    #[must_use]
    pub const fn stamp(self, now: ServerTime) -> ServerTimeReply {
        ServerTimeReply {
            client_transmitted: self.client_transmitted,
            server_received: self.server_received,
            server_transmitted: now,
        }
    }
}

/// `client/state`, a delta.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientState {
    /// What the client as a whole is doing. sendspin-js 3.2.1 never sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<OperationalState>,
    /// The player role's part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player: Option<PlayerState>,
    /// The party role's part.
    #[serde(rename = "_partyline", default, skip_serializing_if = "Option::is_none")]
    pub party: Option<SyncReport>,
}

/// What a client is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationalState {
    /// Ready, or playing in step.
    Synchronized,
    /// Out of step and silent for now.
    Error,
    /// Busy with something that is not this server's.
    ExternalSource,
}

/// `client/command`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCommand {
    /// The controller role's command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<ControllerCommand>,
    /// The party role's command.
    #[serde(rename = "_partyline", default, skip_serializing_if = "Option::is_none")]
    pub party: Option<PartyCommand>,
}

/// `client/goodbye`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientGoodbye {
    /// Why the client leaves.
    pub reason: GoodbyeReason,
}

/// Why a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoodbyeReason {
    /// It listens to somebody else now.
    AnotherServer,
    /// It is going down.
    Shutdown,
    /// It will be back.
    Restart,
    /// A person stopped it.
    UserRequest,
    /// A reason of another generation of the protocol: a goodbye is one whatever its reason.
    #[serde(other)]
    Other,
}

/// `server/state`, a delta of each role's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerState {
    /// What is playing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// What can be controlled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<ControllerState>,
    /// The colours of what is playing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<ColorState>,
    /// The party role's state.
    #[serde(rename = "_partyline", default, skip_serializing_if = "Option::is_none")]
    pub party: Option<PartyState>,
}

/// `server/command`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerCommand {
    /// The player role's command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player: Option<PlayerCommand>,
}

/// `group/update`, a delta.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupUpdate {
    /// Whether the group plays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playback_state: Option<PlaybackState>,
    /// Names the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
}

/// Whether a group plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlaybackState {
    /// Audio is being sent.
    Playing,
    /// Nothing is.
    Stopped,
}
