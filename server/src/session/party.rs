//! The party role: what this project's page shows beside the specification. See `protocol::message::PartyState`.

use protocol::message::{PartyState, Rights, ServerMessage, ServerState};

use crate::fanout::stage::Stage;
use crate::group::View;

/// A client's party role: what it was told last.
#[derive(Debug)]
pub(super) struct PartyRole {
    key_refused: bool,
    told: Option<PartyState>,
}

impl PartyRole {
    /// The role of a client whose key was not the host's, or that has none or the right one.
    pub(super) fn new(key_refused: bool) -> Self {
        Self { key_refused, told: None }
    }

    /// The message that brings a client with `rights` up to date, if it is not.
    pub(super) fn follow(
        &mut self,
        rights: Rights,
        view: &View<'_>,
        stage: &Stage,
    ) -> Option<ServerMessage> {
        let state = PartyState {
            rights,
            key_refused: self.key_refused,
            next_up: view.offer.next_up.clone(),
            players: (rights == Rights::Host).then(|| stage.players.list()),
            report: stage.players.is_watched(),
        };
        if self.told.as_ref() == Some(&state) {
            return None;
        }
        self.told = Some(state.clone());
        Some(ServerState { party: Some(state), ..ServerState::default() }.into())
    }
}
