//! From a client's hello to the roles that are active, or to a refusal that says why.

use protocol::message::{ClientHello, Rights, VERSION};
use protocol::role::{CONTROLLER_V1, METADATA_V1, PARTY_V1, PLAYER_V1};
use protocol::time::ServerTime;

use super::controller::ControllerRole;
use super::metadata::MetadataRole;
use super::party::PartyRole;
use super::player::PlayerRole;
use super::screen::Screen;
use crate::fanout::outbox::{Close, close_code};
use crate::pipeline::encoder::WireFormat;
use crate::rights::Rules;

/// Longest client id and name, in bytes. They are kept for as long as the connection lives and stand in logs.
const NAME_BYTES_MAX: usize = 256;

/// Whether it is short enough for a client's id or name.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
}

/// A client that was let in.
#[derive(Debug)]
pub(crate) struct Client {
    /// Names the client across connections.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// What it may do.
    pub(crate) rights: Rights,
    /// Its player role, if active.
    pub(super) player: Option<PlayerRole>,
    /// Its metadata role, if active.
    pub(super) metadata: Option<MetadataRole>,
    /// Its controller role, if active.
    pub(super) controller: Option<ControllerRole>,
    /// Its party role, if active.
    pub(super) party: Option<PartyRole>,
    /// What it shows.
    pub(super) screen: Screen,
}

impl Client {
    /// Whether it is to be counted as a listener.
    pub(crate) fn listens(&self) -> bool {
        self.player.is_some()
    }

    /// Whether it is told how the players are set.
    pub(crate) fn watches(&self) -> bool {
        self.rights >= Rights::Volume && (self.controller.is_some() || self.party.is_some())
    }

    /// Whether it is shown the list of players.
    pub(crate) fn sees_players(&self) -> bool {
        self.rights == Rights::Host && self.party.is_some()
    }

    /// The format of its chunks, if its player is active.
    pub(super) fn format(&self) -> Option<WireFormat> {
        self.player.as_ref().map(PlayerRole::format)
    }

    /// Versioned names of the active roles.
    pub(super) fn active_roles(&self) -> Vec<String> {
        let roles = [
            (PLAYER_V1, self.player.is_some()),
            (METADATA_V1, self.metadata.is_some()),
            (CONTROLLER_V1, self.controller.is_some()),
            (PARTY_V1, self.party.is_some()),
        ];
        let active = roles.into_iter().filter(|(_, is_active)| *is_active);
        active.map(|(role, _)| role).chain(self.screen.roles()).map(str::to_owned).collect()
    }
}

/// Decides which roles are active for the sender of `hello`, and what it may do.
///
/// A role without its version, or without the support object it requires, is not activated, and the
/// connection goes on without it (wire reference 2.1).
///
/// # Errors
///
/// How to close: another protocol version, an id or name that is missing or too long, or a player that can
/// play nothing this server makes.
pub(super) fn negotiate(
    hello: ClientHello,
    rules: &Rules,
    now: ServerTime,
) -> Result<Client, Close> {
    if hello.version != VERSION {
        let reason = format!("version {} is not supported, only {VERSION}", hello.version);
        return Err(Close::new(close_code::PROTOCOL, reason));
    }
    if hello.client_id.is_empty() {
        return Err(Close::new(close_code::POLICY, "client_id is empty"));
    }
    for (field, value) in [("client_id", &hello.client_id), ("name", &hello.name)] {
        if !is_name(value) {
            let reason = format!("{field} is longer than {NAME_BYTES_MAX} bytes");
            return Err(Close::new(close_code::POLICY, reason));
        }
    }
    let lists = |role: &str| hello.supported_roles.iter().any(|listed| listed == role);
    let player = match &hello.player_support {
        Some(support) if lists(PLAYER_V1) => Some(PlayerRole::new(support, now)?),
        _ => None,
    };
    let metadata = lists(METADATA_V1).then(MetadataRole::default);
    let screen = Screen::new(&hello);
    let controller = lists(CONTROLLER_V1).then(ControllerRole::default);
    let has_party = lists(PARTY_V1);
    let support = hello.party_support.filter(|_| has_party);
    let is_host = support.as_ref().and_then(|support| support.host_key.as_deref());
    let is_host = is_host.map(|key| rules.is_host(key));
    let party = support.map(|_| PartyRole::new(is_host == Some(false)));
    let rights = if is_host == Some(true) { Rights::Host } else { rules.guests };
    let (id, name) = (hello.client_id, hello.name);
    Ok(Client { id, name, rights, player, metadata, controller, party, screen })
}
