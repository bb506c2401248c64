//! Who is connected: one connection for each client id, and how many of them listen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::demand::Demand;

/// The connected clients.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    entries: Mutex<Entries>,
    demand: Arc<Demand>,
}

#[derive(Debug, Default)]
struct Entries {
    by_client: BTreeMap<String, Entry>,
    registered: u64,
}

#[derive(Debug)]
struct Entry {
    /// Tells a connection from a later one of the same client.
    number: u64,
    listens: bool,
    replace: oneshot::Sender<()>,
}

impl Roster {
    /// Nobody. Those with an active player will add to `demand`.
    pub(crate) fn new(demand: Arc<Demand>) -> Self {
        Self { entries: Mutex::default(), demand }
    }

    /// Enters a connection of `client_id`. An older one of the same client is told that it is replaced.
    ///
    /// Returns the entry, which leaves the roster when dropped, and what resolves with `Ok` when this
    /// connection is replaced in turn.
    pub(crate) fn register(
        self: &Arc<Self>,
        client_id: &str,
        listens: bool,
    ) -> (Registration, oneshot::Receiver<()>) {
        let (replace, replaced) = oneshot::channel();
        let mut entries = self.lock();
        entries.registered += 1;
        let number = entries.registered;
        let entry = Entry { number, listens, replace };
        if listens {
            self.demand.add();
        }
        if let Some(older) = entries.by_client.insert(client_id.to_owned(), entry) {
            if older.listens {
                self.demand.remove();
            }
            // An error says that the older one has just ended by itself.
            let _ = older.replace.send(());
        }
        drop(entries);
        let client_id = client_id.to_owned();
        (Registration { roster: Arc::clone(self), client_id, number }, replaced)
    }

    /// How many clients have an active player, here or at another edge.
    pub(crate) fn listeners(&self) -> usize {
        self.demand.listening()
    }

    /// What they are counted for.
    pub(crate) fn demand(&self) -> &Demand {
        &self.demand
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the roster.
#[derive(Debug)]
pub(crate) struct Registration {
    roster: Arc<Roster>,
    client_id: String,
    number: u64,
}

impl Registration {
    /// The client's id, and a number that no other registration has.
    pub(crate) fn name(&self) -> (&str, u64) {
        (&self.client_id, self.number)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut entries = self.roster.lock();
        // The place may already belong to the connection that replaced this one.
        if entries.by_client.get(&self.client_id).is_some_and(|entry| entry.number == self.number)
            && let Some(entry) = entries.by_client.remove(&self.client_id)
            && entry.listens
        {
            self.roster.demand.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_players_count() {
        let roster = Arc::new(Roster::new(Arc::default()));
        let (speaker, _) = roster.register("speaker", true);
        let (_screen, _) = roster.register("screen", false);
        assert_eq!(roster.listeners(), 1);
        drop(speaker);
        assert_eq!(roster.listeners(), 0);
    }

    #[test]
    fn a_newer_connection_replaces_the_older_one_and_outlives_it() {
        let roster = Arc::new(Roster::new(Arc::default()));
        let (older, mut told) = roster.register("phone", true);
        assert!(told.try_recv().is_err());
        let (newer, mut untold) = roster.register("phone", true);
        assert_eq!(told.try_recv(), Ok(()));
        assert_eq!(roster.listeners(), 1);
        drop(older);
        assert_eq!(roster.listeners(), 1);
        assert!(untold.try_recv().is_err());
        drop(newer);
        assert_eq!(roster.listeners(), 0);
    }
}
