//! The players of all processes: what edges tell their origin of theirs, and what they hear of all others.
//!
//! Pure. How loud players are is told with every report; lists only while somebody looks at one somewhere. What they are
//! asked is a [`Call`], which the origin makes, numbers and sends to all edges.

use std::collections::BTreeMap;

use protocol::message::PlayerInfo;
use protocol::time::{ClientSpan, ClientTime, ServerSpan, ServerTime};

use super::wire::CallMessage;
use crate::fanout::hub::Hub;
use crate::group::loudness::{Loudness, VOLUME_MAX};
use crate::group::players::{Call, LIST_MAX, Players, Roll};

/// How often an edge tells its list while somebody elsewhere looks, and asks for one while somebody looks there.
pub(crate) const LIST_EVERY: ClientSpan = ClientSpan::from_millis(500);

/// Shortest time between two lists that an origin sends one edge: a little less, as reports do not come to the millisecond.
const LIST_SPACING: ServerSpan = ServerSpan::from_millis(400);

/// Most players in all lists that an origin keeps: some more than are shown.
const LISTED_MAX: usize = 5 * LIST_MAX;

/// Most players of a kind that one process is believed to have.
const PLAYERS_MAX: u64 = 1_000_000;

/// Longest id and name of a player, in bytes: as long as a client may have.
const NAME_BYTES_MAX: usize = 256;

/// What an edge says soon after a call may have been said before it heard of it. After this, it is believed again: the call
/// may have got lost.
const HEARD_WITHIN: ServerSpan = ServerSpan::from_secs(1);

/// What came, within bounds.
fn checked(roll: Roll) -> Roll {
    let is_sane = |info: &PlayerInfo| {
        info.id.len() <= NAME_BYTES_MAX
            && info.name.len() <= NAME_BYTES_MAX
            && info.volume.is_none_or(|volume| volume <= VOLUME_MAX)
    };
    let list = roll.list.map(|list| list.into_iter().filter(is_sane).take(LIST_MAX).collect());
    Roll { loudness: roll.loudness.checked(PLAYERS_MAX), list, ..roll }
}

/// The first players of several lists, by id. One that is in two of them is one.
fn merged<'a>(lists: impl Iterator<Item = &'a PlayerInfo>) -> Vec<PlayerInfo> {
    let by_id: BTreeMap<&str, &PlayerInfo> = lists.map(|info| (info.id.as_str(), info)).collect();
    by_id.into_values().take(LIST_MAX).cloned().collect()
}

/// What an origin knows of the players of its edges.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    edges: BTreeMap<String, Entry>,
    /// All of them together.
    total: Loudness,
    /// At how many edges somebody looks.
    looking: usize,
    /// Calls so far, and when the last one was.
    calls: u64,
    called_at: Option<ServerTime>,
}

#[derive(Debug, Default)]
struct Entry {
    roll: Roll,
    /// When it was sent a list.
    answered_at: Option<ServerTime>,
}

impl Registry {
    /// The edge `id` has told of its players, after so many calls.
    pub(crate) fn tell(&mut self, now: ServerTime, id: &str, (roll, calls): (Roll, u64)) {
        let is_outdated =
            calls < self.calls && self.called_at.is_some_and(|at| now - at < HEARD_WITHIN);
        let mut roll = checked(roll);
        let entry = self.edges.entry(id.to_owned()).or_default();
        self.looking -= usize::from(entry.roll.looks);
        self.looking += usize::from(roll.looks);
        entry.roll.looks = roll.looks;
        if is_outdated {
            return;
        }
        self.total.take(&entry.roll.loudness);
        self.total.add(&roll.loudness);
        entry.roll.loudness = roll.loudness;
        if let Some(list) = &mut roll.list {
            entry.roll.list = None;
            let listed = self.lists().count();
            list.truncate(LISTED_MAX.saturating_sub(listed));
            self.edges.entry(id.to_owned()).or_default().roll.list = roll.list;
        }
    }

    /// The edge `id` is gone.
    pub(crate) fn leave(&mut self, id: &str) {
        if let Some(Entry { roll, .. }) = self.edges.remove(id) {
            self.total.take(&roll.loudness);
            self.looking -= usize::from(roll.looks);
        }
    }

    /// The players of all others, for the edge `id`, and after how many calls: those of the origin are `here`.
    pub(crate) fn answer(&mut self, now: ServerTime, id: &str, here: &Players) -> (Roll, u64) {
        let unknown = Entry::default();
        let own = self.edges.get(id).unwrap_or(&unknown);
        let others = || self.edges.iter().filter(|(other, _)| *other != id);
        let is_due = own.answered_at.is_none_or(|at| now - at >= LIST_SPACING);
        let with_list = own.roll.looks && is_due;
        let Roll { mut loudness, looks, list, .. } = here.roll(with_list);
        loudness.add(&self.total);
        loudness.take(&own.roll.loudness);
        let list = list.map(|here| {
            let lists = others().flat_map(|(_, entry)| entry.roll.list.iter().flatten());
            merged(lists.chain(&here))
        });
        let roll = Roll {
            loudness,
            looks: looks || self.looking > usize::from(own.roll.looks),
            list,
            is_partial: !own.roll.looks || others().any(|(_, entry)| entry.roll.list.is_none()),
        };
        if let Some(own) = self.edges.get_mut(id).filter(|_| with_list) {
            own.answered_at = Some(now);
        }
        (roll, self.calls)
    }

    /// The players of all edges, for the origin itself, where somebody looks or not.
    pub(crate) fn elsewhere(&mut self, looks_here: bool) -> Roll {
        let is_watched = looks_here || self.looking > 0;
        if !is_watched {
            // What comes when somebody looks again is the present.
            self.edges.values_mut().for_each(|entry| entry.roll.list = None);
        }
        Roll {
            loudness: self.total.clone(),
            looks: self.looking > 0,
            list: is_watched.then(|| merged(self.lists())),
            is_partial: self.edges.values().any(|entry| entry.roll.list.is_none()),
        }
    }

    /// All players are asked for this. The answer is the number of it; until they have heard it, they are taken to have done it.
    pub(crate) fn call(&mut self, now: ServerTime, call: &Call) -> u64 {
        self.total = Loudness::default();
        for entry in self.edges.values_mut() {
            entry.roll.obey(call);
            self.total.add(&entry.roll.loudness);
        }
        self.called_at = Some(now);
        self.calls += 1;
        self.calls
    }

    fn lists(&self) -> impl Iterator<Item = &PlayerInfo> {
        self.edges.values().flat_map(|entry| entry.roll.list.iter().flatten())
    }
}

/// What an edge has told of its players, and heard.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    /// Somebody elsewhere looks at the list.
    is_looked_at: bool,
    /// When the list was told last, since somebody looks.
    listed_at: Option<ClientTime>,
    /// Number of the last call.
    calls: u64,
}

impl Reporter {
    /// There is another connection: nobody is known to look.
    pub(crate) fn disconnect(&mut self) {
        *self = Self::default();
    }

    /// Whether a list is wanted at once.
    pub(crate) fn owes_list(&self) -> bool {
        self.is_looked_at && self.listed_at.is_none()
    }

    /// Whether a list is wanted now and then.
    pub(crate) fn is_looked_at(&self) -> bool {
        self.is_looked_at
    }

    /// What to report of these players at `now`: of them, and after how many calls.
    pub(crate) fn report(&mut self, now: ClientTime, players: &Players) -> (Roll, u64) {
        let is_due = self.listed_at.is_none_or(|at| now - at >= LIST_EVERY);
        let with_list = self.is_looked_at && is_due;
        if with_list {
            self.listed_at = Some(now);
        }
        (players.roll(with_list), self.calls)
    }

    /// The origin has told of the players of others, after so many calls.
    pub(crate) fn handle_roll(&mut self, (roll, calls): (Roll, u64), hub: &Hub) {
        self.is_looked_at = roll.looks;
        if !roll.looks {
            self.listed_at = None;
        }
        if calls < self.calls {
            // On its way for longer than the last call, which these have done by now.
            return;
        }
        let roll = checked(roll);
        hub.update_players(|players| ((), players.hear(roll)));
    }

    /// The origin asks something of players.
    pub(crate) fn handle_call(&mut self, message: &CallMessage, hub: &Hub) {
        self.calls = message.number;
        hub.update_players(|players| (players.obey(&message.call), true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::fixture::at;
    use crate::group::players::Told;

    fn host(millis: i64) -> ClientTime {
        ClientTime::from_micros(millis * 1_000)
    }

    fn hub() -> Hub {
        Hub::new(
            crate::session::Identity::default(),
            crate::group::Group::new(String::new(), String::new()),
        )
    }

    fn players(volumes: &[(&str, u8)]) -> Players {
        let mut players = Players::default();
        for &(id, volume) in volumes {
            let told = Told { volume: Some(volume), muted: Some(false), ..Told::default() };
            players.tell(id, 0, told);
        }
        players
    }

    fn volumes(players: &Players) -> Vec<(String, u8)> {
        let list = players.list().into_iter();
        list.filter_map(|info| Some((info.id, info.volume?))).collect()
    }

    fn named(volumes: &[(&str, u8)]) -> Vec<(String, u8)> {
        volumes.iter().map(|&(id, volume)| (id.to_owned(), volume)).collect()
    }

    #[test]
    fn everybody_knows_how_loud_all_are_and_who_looks_gets_the_list() {
        let (mut registry, mut here) = (Registry::default(), players(&[("o", 10)]));
        let (one, mut two) = (players(&[("a", 20), ("b", 30)]), players(&[("c", 60)]));
        registry.tell(at(0), "one", (one.roll(false), 0));
        registry.tell(at(0), "two", (two.roll(false), 0));
        here.hear(registry.elsewhere(false));
        assert_eq!((here.volume(), here.list().len(), here.is_watched()), (Some(30), 1, false));
        // Somebody looks at the second edge.
        two.watch(true);
        two.hear(registry.answer(at(0), "two", &here).0);
        assert_eq!((two.volume(), two.is_partial()), (Some(30), true));
        registry.tell(at(100), "two", (two.roll(true), 0));
        let (told, _) = registry.answer(at(100), "one", &here);
        assert!(told.looks && told.list.is_none());
        registry.tell(at(200), "one", (one.roll(told.looks), 0));
        two.hear(registry.answer(at(200), "two", &here).0);
        assert!(!two.is_partial());
        assert_eq!(volumes(&two), named(&[("a", 20), ("b", 30), ("c", 60), ("o", 10)]));
        // The next one comes later, and this one stays until then.
        let (soon, _) = registry.answer(at(300), "two", &here);
        assert_eq!((soon.list.is_none(), two.hear(soon)), (true, false));
        assert_eq!(volumes(&two).len(), 4);
        assert!(registry.answer(at(700), "two", &here).0.list.is_some());
        here.hear(registry.elsewhere(false));
        assert!(here.is_watched() && volumes(&here).len() == 4);
        registry.leave("two");
        registry.leave("two");
        here.hear(registry.elsewhere(false));
        assert_eq!((here.volume(), here.is_watched()), (Some(20), false));
    }

    #[test]
    fn a_call_reaches_all_and_what_was_said_before_it_does_not_count() {
        let (mut registry, mut here) = (Registry::default(), players(&[("o", 10)]));
        let mut one = players(&[("a", 20), ("b", 60)]);
        let before = (one.roll(true), 0);
        registry.tell(at(0), "one", before.clone());
        here.hear(registry.elsewhere(true));
        here.set_volume(40);
        let calls = here.take_calls();
        assert_eq!(calls.len(), 1);
        let number = registry.call(at(10), &calls[0]);
        // A report that was on its way.
        registry.tell(at(20), "one", before.clone());
        here.hear(registry.elsewhere(true));
        assert_eq!((here.volume(), number), (Some(40), 1));
        one.obey(&calls[0]);
        assert_eq!(volumes(&one), named(&[("a", 30), ("b", 70)]));
        assert_eq!(volumes(&here), named(&[("a", 30), ("b", 70), ("o", 20)]));
        here.set_player_volume("b", 1);
        let call = here.take_calls().pop_front().expect("a call");
        registry.call(at(30), &call);
        assert_eq!(registry.elsewhere(true).loudness.volume(), Some(16));
        one.obey(&call);
        registry.tell(at(40), "one", (one.roll(true), 2));
        assert_eq!(registry.elsewhere(true).loudness.volume(), Some(16));
        // A call that got lost.
        registry.tell(at(1_030), "one", before);
        assert_eq!(registry.elsewhere(true).loudness.volume(), Some(40));
    }

    #[test]
    fn a_hostile_edge_fills_nobodys_memory() {
        let info = |id: String| PlayerInfo {
            id,
            name: String::new(),
            volume: Some(1),
            muted: None,
            sync: None,
        };
        let mut registry = Registry::default();
        for edge in 0..50 {
            let list = (0..1_000).map(|number| info(format!("{edge}-{number}"))).collect();
            let roll = Roll { list: Some(list), looks: true, ..Roll::default() };
            registry.tell(at(0), &edge.to_string(), (roll, 0));
        }
        assert_eq!(registry.lists().count(), LISTED_MAX);
        assert_eq!(registry.elsewhere(true).list.map(|list| list.len()), Some(LIST_MAX));
        let long = info("x".repeat(300));
        let loud = PlayerInfo { volume: Some(101), ..info("loud".to_owned()) };
        let roll = Roll { list: Some(vec![long, loud]), ..Roll::default() };
        assert_eq!(checked(roll).list, Some(Vec::new()));
    }

    #[test]
    fn an_edge_tells_its_list_while_somebody_looks() {
        let (hub, mut reporter, here) = (hub(), Reporter::default(), players(&[("a", 20)]));
        let lists =
            |reporter: &mut Reporter, millis| reporter.report(host(millis), &here).0.list.is_some();
        assert!(!lists(&mut reporter, 0));
        reporter.handle_roll((Roll { looks: true, ..Roll::default() }, 0), &hub);
        assert!(reporter.owes_list() && lists(&mut reporter, 100) && !reporter.owes_list());
        assert!(!lists(&mut reporter, 400) && lists(&mut reporter, 600));
        assert!(hub.stage().players.is_watched());
        reporter.handle_roll((Roll::default(), 0), &hub);
        assert!(!lists(&mut reporter, 5_000) && !hub.stage().players.is_watched());
    }

    #[test]
    fn what_was_so_before_a_call_is_not_heard_after_it() {
        let hub = hub();
        let (mut registry, mut reporter) = (Registry::default(), Reporter::default());
        let call = Call::PlayerVolume("o".to_owned(), 5);
        let volume = || hub.stage().players.volume();
        let before = registry.answer(at(0), "one", &players(&[("o", 50)]));
        reporter.handle_roll(before.clone(), &hub);
        let number = registry.call(at(10), &call);
        reporter.handle_call(&CallMessage { instance: 1, number, call }, &hub);
        let after = registry.answer(at(20), "one", &players(&[("o", 5)]));
        reporter.handle_roll(after, &hub);
        reporter.handle_roll(before.clone(), &hub);
        assert_eq!(volume(), Some(5));
        // Another origin begins to count anew.
        reporter.disconnect();
        reporter.handle_roll(before, &hub);
        assert_eq!(volume(), Some(50));
    }
}
