//! What people ask of the party, from anywhere, on its way to what makes the sound.
//!
//! One way for all: a page's command, a native controller's and a program's end up here. Who asks has certain
//! [`Rights`]; what can be asked for depends on the source.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use protocol::message::{ControllerCommand, PartyCommand, Repeat, Rights};
use serde::{Deserialize, Serialize};

use crate::group::View;
use crate::group::loudness::VOLUME_MAX;
use crate::group::players::Players;
use crate::source::Abilities;

/// Most requests that wait. The source is asked between two blocks; a person cannot press as fast. When full, what comes
/// is refused.
const WAITING_MAX: usize = 64;

/// Something that is asked of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Play, or go on after a pause or the end.
    Play,
    /// Stand still, and keep the place.
    Pause,
    /// Stand still at the beginning of the track.
    Stop,
    /// Go to the next track.
    Next,
    /// Go to the previous track; to the beginning of the present one, unless that was just heard.
    Previous,
    /// Go to a position in the track, milliseconds.
    Seek(u64),
    /// Move within the track, milliseconds.
    SeekRelative(i64),
    /// What is repeated.
    Repeat(Repeat),
    /// Whether the order is random.
    Shuffle(bool),
    /// Play an entry of what comes next.
    Entry(u64),
}

/// Why a request is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Denied {
    /// The source cannot do it, or not now.
    #[error("not possible with what is playing")]
    Impossible,
    /// No such player, or it does not take such a command.
    #[error("no player of that id takes this command")]
    NoPlayer,
    /// A value out of range.
    #[error("the volume is not within 0 to 100")]
    Volume,
    /// Too many at once.
    #[error("too many requests: try again")]
    Busy,
}

impl Request {
    /// What one has to be allowed for it.
    pub(crate) fn needs(self) -> Rights {
        match self {
            Self::Next => Rights::Skip,
            _ => Rights::All,
        }
    }

    /// Whether a source with these abilities can do it.
    pub(crate) fn is_possible(self, abilities: Abilities) -> bool {
        match self {
            Self::Play | Self::Pause | Self::Stop => true,
            Self::Next | Self::Entry(_) => abilities.skip,
            Self::Previous => abilities.skip || abilities.seek,
            Self::Seek(_) | Self::SeekRelative(_) => abilities.seek,
            Self::Repeat(_) | Self::Shuffle(_) => abilities.order,
        }
    }
}

/// A command by what it concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    /// What plays.
    Source(Request),
    /// How loud all are.
    Volume(u8),
    /// Whether all are silent.
    Mute(bool),
    /// How loud one is.
    PlayerVolume(String, u8),
    /// Whether one is silent.
    PlayerMute(String, bool),
}

impl Command {
    /// What a controller's command is. `None` for what this server never offers.
    pub(crate) fn of_controller(command: ControllerCommand) -> Option<Self> {
        use ControllerCommand as C;
        Some(match command {
            C::Play => Self::Source(Request::Play),
            C::Pause => Self::Source(Request::Pause),
            C::Stop => Self::Source(Request::Stop),
            C::Next => Self::Source(Request::Next),
            C::Previous => Self::Source(Request::Previous),
            C::Volume { volume } => Self::Volume(volume),
            C::Mute { mute } => Self::Mute(mute),
            C::RepeatOff => Self::Source(Request::Repeat(Repeat::Off)),
            C::RepeatOne => Self::Source(Request::Repeat(Repeat::One)),
            C::RepeatAll => Self::Source(Request::Repeat(Repeat::All)),
            C::Shuffle => Self::Source(Request::Shuffle(true)),
            C::Unshuffle => Self::Source(Request::Shuffle(false)),
            C::Seek { position_ms } => Self::Source(Request::Seek(position_ms)),
            C::SeekRelative { offset_ms } => Self::Source(Request::SeekRelative(offset_ms)),
            // There is one group.
            C::Switch => return None,
        })
    }

    /// What a page's command is. `None` for what concerns nobody but the page itself.
    pub(crate) fn of_party(command: PartyCommand) -> Option<Self> {
        Some(match command {
            PartyCommand::PlayerVolume { player, volume } => Self::PlayerVolume(player, volume),
            PartyCommand::PlayerMute { player, mute } => Self::PlayerMute(player, mute),
            PartyCommand::PlayEntry { entry } => Self::Source(Request::Entry(entry)),
            PartyCommand::Rename { .. } => return None,
        })
    }

    /// What one has to be allowed for it.
    pub(crate) fn needs(&self) -> Rights {
        match self {
            Self::Source(request) => request.needs(),
            Self::Volume(_) | Self::Mute(_) => Rights::Volume,
            Self::PlayerVolume(..) | Self::PlayerMute(..) => Rights::Host,
        }
    }
}

/// Commands on their way to whoever makes the sound.
#[derive(Debug, Default)]
pub(crate) struct Control {
    waiting: Mutex<VecDeque<Command>>,
    /// That is an origin elsewhere, which knows all players as well.
    leads_away: bool,
}

impl Control {
    /// The way to an origin.
    #[cfg(feature = "cluster")]
    pub(crate) fn to_origin() -> Self {
        Self { leads_away: true, ..Self::default() }
    }

    /// Whether what concerns players is to be passed on as well.
    pub(crate) fn leads_away(&self) -> bool {
        self.leads_away
    }

    /// Takes a request, for a source with these abilities.
    ///
    /// # Errors
    ///
    /// [`Denied::Impossible`] and [`Denied::Busy`]. Rights are the caller's to look at.
    pub(crate) fn ask(&self, request: Request, view: &View<'_>) -> Result<(), Denied> {
        if !request.is_possible(view.offer.abilities) {
            return Err(Denied::Impossible);
        }
        self.push(Command::Source(request))
    }

    /// Takes what concerns players, for an origin that can reach them all.
    ///
    /// # Errors
    ///
    /// Those of [`set_players`], as far as it can be told from `players`, and [`Denied::Busy`].
    pub(crate) fn pass(&self, command: &Command, players: &Players) -> Result<(), Denied> {
        check(players, command)?;
        self.push(command.clone())
    }

    fn push(&self, command: Command) -> Result<(), Denied> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            return Err(Denied::Busy);
        }
        waiting.push_back(command);
        Ok(())
    }

    /// The oldest command, which is done with then.
    pub(crate) fn take(&self) -> Option<Command> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Does what concerns the players.
///
/// # Errors
///
/// [`Denied`].
pub(crate) fn set_players(players: &mut Players, command: &Command) -> Result<(), Denied> {
    check(players, command)?;
    match command {
        Command::Volume(volume) => players.set_volume(*volume),
        Command::Mute(mute) => players.set_muted(*mute),
        Command::PlayerVolume(id, volume) => players.set_player_volume(id, *volume),
        Command::PlayerMute(id, mute) => players.set_player_muted(id, *mute),
        Command::Source(_) => {}
    }
    Ok(())
}

/// Whether there are players that take such a command.
fn check(players: &Players, command: &Command) -> Result<(), Denied> {
    let is_known = match command {
        Command::Volume(volume) | Command::PlayerVolume(_, volume) if *volume > VOLUME_MAX => {
            return Err(Denied::Volume);
        }
        Command::Volume(_) => players.volume().is_some(),
        Command::Mute(_) => players.muted().is_some(),
        Command::PlayerVolume(id, _) => players.can_set(id),
        Command::PlayerMute(id, _) => players.can_mute(id),
        Command::Source(_) => return Err(Denied::Impossible),
    };
    if is_known { Ok(()) } else { Err(Denied::NoPlayer) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::players::Told;
    use crate::group::{Group, Offer};
    use protocol::time::ServerTime;

    #[test]
    fn only_what_the_source_can_do_is_taken_and_no_more_than_fits() {
        let mut group = Group::new("id".to_owned(), "name".to_owned());
        let control = Control::default();
        let now = ServerTime::from_micros(0);
        for request in [Request::Next, Request::Seek(1), Request::Shuffle(true), Request::Entry(1)]
        {
            assert_eq!(control.ask(request, &group.view(now)), Err(Denied::Impossible));
        }
        assert_eq!(control.ask(Request::Pause, &group.view(now)), Ok(()));
        let abilities = Abilities { skip: true, seek: true, order: true };
        group.offer(Offer { abilities, ..Offer::default() });
        for _ in 1..WAITING_MAX {
            assert_eq!(control.ask(Request::Next, &group.view(now)), Ok(()));
        }
        assert_eq!(control.ask(Request::Next, &group.view(now)), Err(Denied::Busy));
        assert_eq!(control.take(), Some(Command::Source(Request::Pause)));
        assert_eq!(control.take(), Some(Command::Source(Request::Next)));
    }

    #[test]
    fn what_is_for_players_elsewhere_is_checked_before_it_is_passed_on() {
        let (control, mut players) = (Control::default(), Players::default());
        let pass = |command, players: &Players| control.pass(&command, players);
        let one = |volume| Command::PlayerVolume("one".to_owned(), volume);
        assert_eq!(pass(Command::Volume(5), &players), Err(Denied::NoPlayer));
        assert_eq!(pass(one(5), &players), Err(Denied::NoPlayer));
        players.tell("one", 0, Told { volume: Some(3), ..Told::default() });
        assert_eq!(pass(one(101), &players), Err(Denied::Volume));
        assert_eq!(pass(Command::Mute(true), &players), Err(Denied::NoPlayer));
        assert_eq!(pass(one(5), &players), Ok(()));
        assert_eq!((control.take(), control.take()), (Some(one(5)), None));
        // Nothing was done here.
        assert_eq!(players.volume(), Some(3));
    }

    #[test]
    fn each_command_needs_its_right() {
        let needs = |command| Command::of_controller(command).map(|command| command.needs());
        for (command, right) in [
            (ControllerCommand::Volume { volume: 1 }, Rights::Volume),
            (ControllerCommand::Mute { mute: true }, Rights::Volume),
            (ControllerCommand::Next, Rights::Skip),
            (ControllerCommand::Previous, Rights::All),
            (ControllerCommand::Pause, Rights::All),
            (ControllerCommand::Seek { position_ms: 1 }, Rights::All),
            (ControllerCommand::Shuffle, Rights::All),
        ] {
            assert_eq!(needs(command), Some(right), "{command:?}");
        }
        assert_eq!(needs(ControllerCommand::Switch), None);
        let entry = Command::of_party(PartyCommand::PlayEntry { entry: 1 });
        assert_eq!(entry.map(|entry| entry.needs()), Some(Rights::All));
        let player = "p".to_owned();
        let volume = Command::of_party(PartyCommand::PlayerVolume { player, volume: 5 });
        assert_eq!(volume.map(|volume| volume.needs()), Some(Rights::Host));
    }
}
