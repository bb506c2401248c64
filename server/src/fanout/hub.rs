//! The one place where the pump and the listeners meet.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use protocol::time::ServerTime;
use tokio::sync::watch;

use super::chunk::Chunk;
use super::ring::Ring;
use super::stage::Stage;
use crate::group::{Group, TrackMark};

/// Holds the [`Stage`] and tells when it has changed.
#[derive(Debug)]
pub(crate) struct Hub {
    stage: RwLock<Stage>,
    version: watch::Sender<u64>,
}

impl Hub {
    /// An empty ring, and `group`.
    pub(crate) fn new(group: Group) -> Self {
        let stage = RwLock::new(Stage { ring: Ring::default(), group });
        Self { stage, version: watch::Sender::new(0) }
    }

    /// The stage, to look at. Nobody may wait for anything while holding it: the pump wants to write.
    pub(crate) fn stage(&self) -> RwLockReadGuard<'_, Stage> {
        // The lock guards plain data that is whole between any two statements that could panic.
        self.stage.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes with every change of the stage.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Adds a chunk, and the tracks that begin in it.
    pub(crate) fn publish(&self, chunk: Chunk, marks: Vec<TrackMark>, now: ServerTime) {
        let chunk = Arc::new(chunk);
        let mut stage = self.write();
        stage.group.begin();
        for mark in marks {
            stage.group.mark(mark, now);
        }
        stage.ring.push(chunk, now);
        drop(stage);
        self.announce();
    }

    /// There will be no more chunks; the last has been heard at `at`.
    pub(crate) fn end(&self, at: ServerTime) {
        self.write().group.end(at);
        self.announce();
    }

    fn write(&self) -> RwLockWriteGuard<'_, Stage> {
        self.stage.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}
