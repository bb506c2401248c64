//! From a client's hello to the roles that are active, or to a refusal that says why.

use protocol::message::{ClientHello, VERSION};
use protocol::role::{METADATA_V1, PLAYER_V1};
use protocol::time::ServerTime;

use super::metadata::MetadataRole;
use super::player::PlayerRole;
use super::screen::Screen;
use crate::fanout::outbox::{Close, close_code};
use crate::pipeline::encoder::WireFormat;

/// Longest client id and name, in bytes. They are kept for as long as the connection lives and stand in logs.
const NAME_BYTES_MAX: usize = 256;

/// A client that was let in.
#[derive(Debug)]
pub(crate) struct Client {
    /// Names the client across connections.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// Its player role, if active.
    pub(super) player: Option<PlayerRole>,
    /// Its metadata role, if active.
    pub(super) metadata: Option<MetadataRole>,
    /// What it shows.
    pub(super) screen: Screen,
}

impl Client {
    /// Whether it is to be counted as a listener.
    pub(crate) fn listens(&self) -> bool {
        self.player.is_some()
    }

    /// The format of its chunks, if its player is active.
    pub(super) fn format(&self) -> Option<WireFormat> {
        self.player.as_ref().map(PlayerRole::format)
    }

    /// Versioned names of the active roles.
    pub(super) fn active_roles(&self) -> Vec<String> {
        let roles =
            [self.player.as_ref().map(|_| PLAYER_V1), self.metadata.as_ref().map(|_| METADATA_V1)];
        roles.into_iter().flatten().chain(self.screen.roles()).map(str::to_owned).collect()
    }
}

/// Decides which roles are active for the sender of `hello`.
///
/// A role without its version, or without the support object it requires, is not activated, and the
/// connection goes on without it (wire reference 2.1).
///
/// # Errors
///
/// How to close: another protocol version, an id or name that is missing or too long, or a player that can
/// play nothing this server makes.
pub(super) fn negotiate(hello: ClientHello, now: ServerTime) -> Result<Client, Close> {
    if hello.version != VERSION {
        let reason = format!("version {} is not supported, only {VERSION}", hello.version);
        return Err(Close::new(close_code::PROTOCOL, reason));
    }
    if hello.client_id.is_empty() {
        return Err(Close::new(close_code::POLICY, "client_id is empty"));
    }
    for (field, value) in [("client_id", &hello.client_id), ("name", &hello.name)] {
        if value.len() > NAME_BYTES_MAX {
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
    Ok(Client { player, metadata, screen, id: hello.client_id, name: hello.name })
}
