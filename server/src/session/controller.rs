//! The controller role: tells a client what it may ask for, and how the group is set.

use protocol::message::{ControllerState, Rights, ServerMessage, ServerState};

use crate::fanout::stage::Stage;
use crate::group::View;
use crate::group::players::Players;

/// What is told to those who may not set the volume: the group's real one would change for all whenever somebody comes.
const NO_VOLUME: u8 = 100;

/// A client's controller role: what it was told last.
#[derive(Debug, Default)]
pub(super) struct ControllerRole {
    told: Option<ControllerState>,
}

impl ControllerRole {
    /// The message that brings a client with `rights` up to date, if it is not.
    pub(super) fn follow(
        &mut self,
        rights: Rights,
        view: &View<'_>,
        stage: &Stage,
    ) -> Option<ServerMessage> {
        let state = describe(rights, view, stage);
        if self.told.as_ref() == Some(&state) {
            return None;
        }
        self.told = Some(state.clone());
        Some(ServerState { controller: Some(state), ..ServerState::default() }.into())
    }
}

fn describe(rights: Rights, view: &View<'_>, stage: &Stage) -> ControllerState {
    let abilities = view.offer.abilities;
    let may = |right| rights >= right;
    let players = may(Rights::Volume).then_some(&stage.players);
    let volume = players.and_then(Players::volume);
    let muted = players.and_then(Players::muted);
    let length = view.now_playing.and_then(|mark| mark.track.duration_ms);
    let seeks = may(Rights::All) && abilities.seek && length.is_some();
    let commands: [(bool, &[&str]); 7] = [
        (volume.is_some(), &["volume"]),
        (muted.is_some(), &["mute"]),
        (may(Rights::All), &["play", "pause", "stop"]),
        (may(Rights::Skip) && abilities.skip, &["next"]),
        (may(Rights::All) && (abilities.skip || abilities.seek), &["previous"]),
        (seeks, &["seek", "seek_relative"]),
        (
            may(Rights::All) && abilities.order,
            &["repeat_off", "repeat_one", "repeat_all", "shuffle", "unshuffle"],
        ),
    ];
    let offered = commands.into_iter().filter(|(is_offered, _)| *is_offered);
    ControllerState {
        supported_commands: offered.flat_map(|(_, names)| names).map(|&name| name.into()).collect(),
        volume: volume.unwrap_or(NO_VOLUME),
        muted: muted.unwrap_or(false),
        repeat: Some(view.offer.order.repeat),
        shuffle: Some(view.offer.order.shuffle),
        seek_max_ms: length.filter(|_| seeks),
    }
}
