//! Who plays: how loud each player is, and what it was asked to be.
//!
//! Pure. Players report; a person who may sets one or all of them; what comes of that is a wish, which the player's own
//! connection passes on. Group volume is the wire reference's algorithm (6.3).

use std::collections::BTreeMap;

use protocol::message::{PlayerCommand, PlayerInfo, SyncReport};

/// Loudest.
const VOLUME_MAX: f64 = 100.0;

/// Most players in a list: more than a person looks through, in a message that does not hold up others.
const LIST_MAX: usize = 200;

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

/// The players that are connected here, by client id. Bounded by the listeners that are let in.
#[derive(Debug, Default)]
pub(crate) struct Players {
    seats: BTreeMap<String, Seat>,
    /// Counts the wishes.
    wishes: u64,
    /// How many look at the list.
    watchers: usize,
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
        match self.seats.get_mut(id) {
            Some(seat) => {
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
        if self.seats.get(id).is_some_and(|seat| seat.number == number) {
            self.seats.remove(id);
        }
    }

    /// One more looks at the list, or one less. Returns whether that makes a difference to the players.
    pub(crate) fn watch(&mut self, one_more: bool) -> bool {
        let was_watched = self.is_watched();
        self.watchers = if one_more { self.watchers + 1 } else { self.watchers.saturating_sub(1) };
        self.is_watched() != was_watched
    }

    /// Whether anybody looks.
    pub(crate) fn is_watched(&self) -> bool {
        self.watchers > 0
    }

    /// The first of them by id, [`LIST_MAX`] at most.
    pub(crate) fn list(&self) -> Vec<PlayerInfo> {
        let info = |(id, seat): (&String, &Seat)| PlayerInfo {
            id: id.clone(),
            name: seat.told.name.clone(),
            volume: seat.told.volume,
            muted: seat.told.muted,
            sync: seat.told.sync,
        };
        self.seats.iter().take(LIST_MAX).map(info).collect()
    }

    /// Mean volume of those that can be set; `None` without any.
    pub(crate) fn volume(&self) -> Option<u8> {
        let volumes: Vec<f64> = self.volumes().map(f64::from).collect();
        let mean = volumes.iter().sum::<f64>() / volumes.len() as f64;
        (!volumes.is_empty()).then_some(mean.round() as u8)
    }

    /// Whether all are muted that can be; `None` without any.
    pub(crate) fn muted(&self) -> Option<bool> {
        let mut muted = self.seats.values().filter_map(|seat| seat.told.muted).peekable();
        muted.peek().is_some().then(|| muted.all(|muted| muted))
    }

    /// Sets the group's volume, 0 to 100: each player's differs from the others as before, as far as its limits allow.
    pub(crate) fn set_volume(&mut self, volume: u8) {
        let before: Vec<f64> = self.volumes().map(f64::from).collect();
        let set = spread(&before, f64::from(volume).min(VOLUME_MAX));
        self.wishes += 1;
        let able = self.seats.values_mut().filter(|seat| seat.told.volume.is_some());
        for (seat, volume) in able.zip(set) {
            seat.wish_volume(self.wishes, volume.round() as u8);
        }
    }

    /// Mutes all that can be muted, or none.
    pub(crate) fn set_muted(&mut self, muted: bool) {
        self.wishes += 1;
        for seat in self.seats.values_mut() {
            seat.wish_muted(self.wishes, muted);
        }
    }

    /// Sets one player's volume, 0 to 100. Returns whether there is such a player, and it can be set.
    pub(crate) fn set_player_volume(&mut self, id: &str, volume: u8) -> bool {
        self.wishes += 1;
        let seat = self.seats.get_mut(id);
        seat.is_some_and(|seat| seat.wish_volume(self.wishes, volume.min(VOLUME_MAX as u8)))
    }

    /// Mutes one player or not. Returns whether there is such a player, and it can be muted.
    pub(crate) fn set_player_muted(&mut self, id: &str, muted: bool) -> bool {
        self.wishes += 1;
        self.seats.get_mut(id).is_some_and(|seat| seat.wish_muted(self.wishes, muted))
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

    fn volumes(&self) -> impl Iterator<Item = u8> {
        self.seats.values().filter_map(|seat| seat.told.volume)
    }
}

impl Seat {
    /// What was wished is taken for true until the player reports: the next wish starts from it.
    fn wish_volume(&mut self, number: u64, volume: u8) -> bool {
        let is_able = self.told.volume.is_some();
        if is_able {
            self.told.volume = Some(volume);
            self.volume = Some((number, volume));
        }
        is_able
    }

    fn wish_muted(&mut self, number: u64, muted: bool) -> bool {
        let is_able = self.told.muted.is_some();
        if is_able {
            self.told.muted = Some(muted);
            self.muted = Some((number, muted));
        }
        is_able
    }
}

/// Volumes whose mean is `target`, with the differences of `before` where the limits allow it: what a limit cuts off is
/// shared by those who are not at theirs.
fn spread(before: &[f64], target: f64) -> Vec<f64> {
    let mut after = before.to_vec();
    // Each round but the last puts one more at its limit.
    for _ in 0..=before.len() {
        let missing = target * after.len() as f64 - after.iter().sum::<f64>();
        let is_free =
            |volume: &f64| if missing > 0.0 { *volume < VOLUME_MAX } else { *volume > 0.0 };
        let free = after.iter().filter(|volume| is_free(volume)).count();
        if free == 0 || missing.abs() < 1e-6 {
            break;
        }
        let share = missing / free as f64;
        for volume in after.iter_mut().filter(|volume| is_free(volume)) {
            *volume = (*volume + share).clamp(0.0, VOLUME_MAX);
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn players(volumes: &[u8]) -> Players {
        let mut players = Players::default();
        for (number, volume) in volumes.iter().enumerate() {
            let told = Told { volume: Some(*volume), muted: Some(false), ..Told::default() };
            players.tell(&number.to_string(), 0, told);
        }
        players
    }

    fn volumes(players: &Players) -> Vec<u8> {
        players.volumes().collect()
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
        assert!(players.set_player_volume("1", 33));
        assert!(!players.set_player_volume("screen", 33));
        assert!(!players.set_player_muted("nobody", true));
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

    proptest! {
        #[test]
        fn the_mean_is_what_was_asked_for(
            before in prop::collection::vec(0_u8..=100, 1..20),
            target in 0_u8..=100,
        ) {
            let before: Vec<f64> = before.into_iter().map(f64::from).collect();
            let after = spread(&before, f64::from(target));
            let mean = after.iter().sum::<f64>() / after.len() as f64;
            prop_assert!((mean - f64::from(target)).abs() < 0.01, "{mean}");
            prop_assert!(after.iter().all(|volume| (0.0..=100.0).contains(volume)));
        }
    }
}
