//! Who plays: how loud each player is, and what it was asked to be.
//!
//! Pure. Players report; a person who may sets one or all of them; what comes of that is a wish, which the player's own
//! connection passes on. Those of other processes of the party are known by what these tell: see [`Roll`] and [`Call`].

use std::collections::{BTreeMap, VecDeque};

use protocol::message::{PlayerCommand, PlayerInfo, SyncReport};
use serde::{Deserialize, Serialize};

use super::loudness::{Loudness, Shift, VOLUME_MAX};

/// Most players in a list: more than a person looks through, in a message that does not hold up others.
pub(crate) const LIST_MAX: usize = 200;

/// Most bytes of a list that is passed on, as they are counted by [`Players::roll`].
#[cfg(feature = "cluster")]
pub(crate) const LIST_BYTES_MAX: usize = 128 << 10;

/// Bytes of a player in a list, but for its id and name; and of a byte of these, when it is one that JSON spells out.
#[cfg(feature = "cluster")]
const INFO_BYTES: usize = 250;
#[cfg(feature = "cluster")]
const SPELLED_BYTES: usize = 6;

/// Most calls that wait for other processes to be told. A person cannot turn a knob as fast. When full, the oldest goes: a
/// later one follows.
const CALLS_MAX: usize = 64;

/// What a player told of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    /// For people.
    pub(crate) name: String,
    /// Perceived loudness, 0 to 100, of one that can be set.
    pub(crate) volume: Option<u8>,
    /// Whether it is silent, of one that can be muted.
    pub(crate) muted: Option<bool>,
    /// How well it is in step.
    pub(crate) sync: Option<SyncReport>,
}

/// What one process of the party tells another of players.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Roll {
    /// How loud they are.
    pub(crate) loudness: Loudness,
    /// Whether somebody there looks at the list.
    pub(crate) looks: bool,
    /// The first of them by id, if that is wanted and there is news.
    pub(crate) list: Option<Vec<PlayerInfo>>,
    /// There are some that the list does not have yet.
    pub(crate) is_partial: bool,
}

/// What players of all processes are asked to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Call {
    /// All that can be set: as loud as the table says.
    Shift(Shift),
    /// All that can be muted: silent or not.
    Mute(bool),
    /// One: how loud.
    PlayerVolume(String, u8),
    /// One: whether it is silent.
    PlayerMute(String, bool),
}

/// The players of the party. Those that are connected here, by client id, are bounded by the listeners that are let in.
#[derive(Debug, Default)]
pub(crate) struct Players {
    seats: BTreeMap<String, Seat>,
    /// How loud these are.
    here: Loudness,
    /// Counts the wishes.
    wishes: u64,
    /// How many look at the list.
    watchers: usize,
    /// Those of other processes.
    elsewhere: Roll,
    /// What those are to be asked.
    calls: VecDeque<Call>,
}

#[derive(Debug, Default)]
struct Seat {
    /// The connection that it told over.
    number: u64,
    told: Told,
    /// Wishes by their numbers.
    volume: Option<(u64, u8)>,
    muted: Option<(u64, bool)>,
}

impl Players {
    /// The player `id` has told something over its `number`th connection.
    pub(crate) fn tell(&mut self, id: &str, number: u64, told: Told) {
        self.here.enter(&told);
        match self.seats.get_mut(id) {
            Some(seat) => {
                self.here.leave(&seat.told);
                seat.number = number;
                seat.told = told;
            }
            None => {
                self.seats.insert(id.to_owned(), Seat { number, told, ..Seat::default() });
            }
        }
    }

    /// The player `id` is gone, unless it has another connection by now.
    pub(crate) fn leave(&mut self, id: &str, number: u64) {
        if self.seats.get(id).is_some_and(|seat| seat.number == number)
            && let Some(seat) = self.seats.remove(id)
        {
            self.here.leave(&seat.told);
        }
    }

    /// One more looks at the list, or one less. Returns whether that makes a difference to the players.
    pub(crate) fn watch(&mut self, one_more: bool) -> bool {
        let was_watched = self.is_watched();
        self.watchers = if one_more { self.watchers + 1 } else { self.watchers.saturating_sub(1) };
        self.is_watched() != was_watched
    }

    /// Whether anybody looks, here or elsewhere.
    pub(crate) fn is_watched(&self) -> bool {
        self.watchers > 0 || self.elsewhere.looks
    }

    /// Whether players may be missing in the list, as others have not told yet.
    pub(crate) fn is_partial(&self) -> bool {
        self.elsewhere.is_partial
    }

    /// The first of them by id, [`LIST_MAX`] at most.
    pub(crate) fn list(&self) -> Vec<PlayerInfo> {
        let here = self.seats.iter().take(LIST_MAX).map(|(id, seat)| seat.info(id));
        let mut all: Vec<PlayerInfo> = here.collect();
        let elsewhere = self.elsewhere.list.iter().flatten();
        all.extend(elsewhere.filter(|info| !self.seats.contains_key(&info.id)).cloned());
        all.sort_by(|one, other| one.id.cmp(&other.id));
        all.truncate(LIST_MAX);
        all
    }

    /// Mean volume of those that can be set; `None` without any.
    pub(crate) fn volume(&self) -> Option<u8> {
        self.loudness().volume()
    }

    /// Whether all are muted that can be; `None` without any.
    pub(crate) fn muted(&self) -> Option<bool> {
        self.loudness().muted()
    }

    /// Sets the group's volume, 0 to 100: each player's differs from the others as before, as far as its limits allow.
    pub(crate) fn set_volume(&mut self, volume: u8) {
        self.call(Call::Shift(self.loudness().shift_to(volume)));
    }

    /// Mutes all that can be muted, or none.
    pub(crate) fn set_muted(&mut self, muted: bool) {
        self.call(Call::Mute(muted));
    }

    /// Sets one player's volume, 0 to 100.
    pub(crate) fn set_player_volume(&mut self, id: &str, volume: u8) {
        self.call(Call::PlayerVolume(id.to_owned(), volume.min(VOLUME_MAX)));
    }

    /// Mutes one player or not.
    pub(crate) fn set_player_muted(&mut self, id: &str, muted: bool) {
        self.call(Call::PlayerMute(id.to_owned(), muted));
    }

    /// Whether there is such a player, and its volume can be set.
    pub(crate) fn can_set(&self, id: &str) -> bool {
        let here = self.seats.get(id).is_some_and(|seat| seat.told.volume.is_some());
        here || self.elsewhere(id).is_some_and(|info| info.volume.is_some())
    }

    /// Whether there is such a player, and it can be muted.
    pub(crate) fn can_mute(&self, id: &str) -> bool {
        let here = self.seats.get(id).is_some_and(|seat| seat.told.muted.is_some());
        here || self.elsewhere(id).is_some_and(|info| info.muted.is_some())
    }

    /// Asks all players that it concerns: those of this process, and those of others if there are any.
    fn call(&mut self, call: Call) {
        self.obey(&call);
        if !self.elsewhere.loudness.is_empty() {
            if self.calls.len() >= CALLS_MAX {
                self.calls.pop_front();
            }
            self.calls.push_back(call);
        }
    }

    /// All players have been asked for this: those of this process are passed a wish, and others are taken to have done it
    /// until they tell.
    pub(crate) fn obey(&mut self, call: &Call) {
        self.wishes += 1;
        let wishes = self.wishes;
        let mut wish = |id: &str, seat: &mut Seat| {
            self.here.leave(&seat.told);
            seat.wish(wishes, id, call);
            self.here.enter(&seat.told);
        };
        match call {
            Call::PlayerVolume(id, _) | Call::PlayerMute(id, _) => {
                self.seats.get_mut(id).into_iter().for_each(|seat| wish(id, seat));
            }
            Call::Shift(_) | Call::Mute(_) => {
                self.seats.iter_mut().for_each(|(id, seat)| wish(id, seat));
            }
        }
        self.elsewhere.obey(call);
    }

    /// What the player `id` is asked after the `seen`th wish, and how many wishes there have been.
    pub(crate) fn wishes(&self, id: &str, seen: u64) -> (Vec<PlayerCommand>, u64) {
        if seen == self.wishes {
            return (Vec::new(), seen);
        }
        let seat = self.seats.get(id);
        let volume = seat.and_then(|seat| seat.volume).filter(|(number, _)| *number > seen);
        let muted = seat.and_then(|seat| seat.muted).filter(|(number, _)| *number > seen);
        let volume = volume.map(|(_, volume)| PlayerCommand::Volume { volume });
        let muted = muted.map(|(_, mute)| PlayerCommand::Mute { mute });
        (volume.into_iter().chain(muted).collect(), self.wishes)
    }

    /// How many wishes there have been: what a new connection has seen.
    pub(crate) fn wishes_so_far(&self) -> u64 {
        self.wishes
    }

    fn loudness(&self) -> Loudness {
        let mut all = self.here.clone();
        all.add(&self.elsewhere.loudness);
        all
    }

    fn elsewhere(&self, id: &str) -> Option<&PlayerInfo> {
        self.elsewhere.list.iter().flatten().find(|info| info.id == id)
    }
}

/// What one process of a party tells others of its players, and hears of theirs.
#[cfg(feature = "cluster")]
impl Players {
    /// Whether somebody here looks at the list.
    pub(crate) fn looks(&self) -> bool {
        self.watchers > 0
    }

    /// The players of this process, with their list if it is wanted.
    pub(crate) fn roll(&self, with_list: bool) -> Roll {
        let mut bytes = 0;
        let is_within = |info: &PlayerInfo| {
            bytes += INFO_BYTES + SPELLED_BYTES * (info.id.len() + info.name.len());
            bytes <= LIST_BYTES_MAX
        };
        let list = || self.seats.iter().map(|(id, seat)| seat.info(id));
        let list = || list().take(LIST_MAX).take_while(is_within).collect();
        Roll {
            loudness: self.here.clone(),
            looks: self.looks(),
            list: with_list.then(list),
            is_partial: false,
        }
    }

    /// So it is with the players of other processes. Returns whether that makes a difference to the players here: see
    /// [`Players::watch`]. A list stays as long as somebody here looks and no other comes.
    pub(crate) fn hear(&mut self, elsewhere: Roll) -> bool {
        let was_watched = self.is_watched();
        let before = std::mem::replace(&mut self.elsewhere, elsewhere);
        if self.elsewhere.list.is_none() && self.looks() {
            self.elsewhere.list = before.list;
        }
        self.is_watched() != was_watched
    }

    /// What players of other processes are to be asked, since the last call.
    pub(crate) fn take_calls(&mut self) -> VecDeque<Call> {
        std::mem::take(&mut self.calls)
    }

    /// Whether there is anything like that.
    pub(crate) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }
}

impl Roll {
    /// These players are taken to have done what they were asked for.
    pub(crate) fn obey(&mut self, call: &Call) {
        match call {
            Call::Shift(shift) => self.loudness.shift(shift),
            Call::Mute(muted) => self.loudness.mute(*muted),
            Call::PlayerVolume(..) | Call::PlayerMute(..) => {}
        }
        for info in self.list.iter_mut().flatten() {
            let mut told = Told { volume: info.volume, muted: info.muted, ..Told::default() };
            let before = told.clone();
            if told.obey(&info.id, call)
                && matches!(call, Call::PlayerVolume(..) | Call::PlayerMute(..))
            {
                self.loudness.leave(&before);
                self.loudness.enter(&told);
            }
            (info.volume, info.muted) = (told.volume, told.muted);
        }
    }
}

impl Told {
    /// What the player `id` told, once it has done what it is asked for. Returns whether that is anything to it.
    fn obey(&mut self, id: &str, call: &Call) -> bool {
        match call {
            Call::PlayerVolume(one, _) | Call::PlayerMute(one, _) if one != id => return false,
            Call::Shift(shift) => self.volume = self.volume.map(|volume| shift.of(volume)),
            Call::PlayerVolume(_, volume) => {
                self.volume = self.volume.map(|_| (*volume).min(VOLUME_MAX));
            }
            Call::Mute(muted) | Call::PlayerMute(_, muted) => {
                self.muted = self.muted.map(|_| *muted);
            }
        }
        true
    }
}

impl Seat {
    fn info(&self, id: &str) -> PlayerInfo {
        let Told { name, volume, muted, sync } = self.told.clone();
        PlayerInfo { id: id.to_owned(), name, volume, muted, sync }
    }

    /// What was wished is taken for true until the player reports: the next wish starts from it.
    fn wish(&mut self, number: u64, id: &str, call: &Call) {
        if !self.told.obey(id, call) {
            return;
        }
        match call {
            Call::Shift(_) | Call::PlayerVolume(..) => {
                self.volume = self.told.volume.map(|volume| (number, volume)).or(self.volume);
            }
            Call::Mute(_) | Call::PlayerMute(..) => {
                self.muted = self.told.muted.map(|muted| (number, muted)).or(self.muted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn players(volumes: &[u8]) -> Players {
        let mut players = Players::default();
        for (number, volume) in volumes.iter().enumerate() {
            let told = Told { volume: Some(*volume), muted: Some(false), ..Told::default() };
            players.tell(&number.to_string(), 0, told);
        }
        players
    }

    fn volumes(players: &Players) -> Vec<u8> {
        players.seats.values().filter_map(|seat| seat.told.volume).collect()
    }

    #[test]
    fn group_volume_keeps_the_differences() {
        let mut players = players(&[20, 40, 60]);
        assert_eq!(players.volume(), Some(40));
        players.set_volume(50);
        assert_eq!(volumes(&players), [30, 50, 70]);
    }

    #[test]
    fn what_a_limit_cuts_off_is_shared_by_the_others() {
        let mut louder = players(&[10, 50, 90]);
        louder.set_volume(75);
        assert_eq!(volumes(&louder), [43, 83, 100]);
        louder.set_volume(100);
        assert_eq!(volumes(&louder), [100, 100, 100]);
        let mut softer = players(&[10, 50, 90]);
        softer.set_volume(30);
        assert_eq!(volumes(&softer), [0, 25, 65]);
    }

    #[test]
    fn a_player_is_asked_once_and_those_that_cannot_are_not() {
        let mut players = players(&[10, 20]);
        players.tell("screen", 0, Told::default());
        let seen = players.wishes_so_far();
        players.set_muted(true);
        players.set_player_volume("1", 33);
        players.set_player_volume("screen", 33);
        players.set_player_muted("nobody", true);
        assert!(players.can_set("1") && !players.can_set("screen") && !players.can_mute("nobody"));
        let (wishes, now) = players.wishes("1", seen);
        let both = [PlayerCommand::Volume { volume: 33 }, PlayerCommand::Mute { mute: true }];
        assert_eq!(wishes, both);
        assert_eq!(players.wishes("1", now).0, []);
        assert_eq!(players.wishes("0", seen).0, [PlayerCommand::Mute { mute: true }]);
        assert_eq!(players.wishes("screen", seen).0, []);
        assert_eq!((players.muted(), players.list().len()), (Some(true), 3));
    }

    #[test]
    fn who_came_again_does_not_leave_with_its_old_connection() {
        let mut players = Players::default();
        players.tell("phone", 1, Told::default());
        players.tell("phone", 2, Told::default());
        players.leave("phone", 1);
        assert_eq!(players.list().len(), 1);
        players.leave("phone", 2);
        assert_eq!(players.list().len(), 0);
    }

    #[test]
    fn nobody_has_no_volume() {
        assert_eq!((Players::default().volume(), Players::default().muted()), (None, None));
    }
}
