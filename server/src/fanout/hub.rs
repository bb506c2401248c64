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
    changes: watch::Sender<u64>,
    chunks: watch::Sender<u64>,
}

impl Hub {
    /// An empty ring, and `group`.
    pub(crate) fn new(group: Group) -> Self {
        let stage = RwLock::new(Stage { ring: Ring::default(), group });
        Self { stage, changes: watch::Sender::new(0), chunks: watch::Sender::new(0) }
    }

    /// The stage, to look at. Nobody may wait for anything while holding it: the pump wants to write.
    pub(crate) fn stage(&self) -> RwLockReadGuard<'_, Stage> {
        // The lock guards plain data that is whole between any two statements that could panic.
        self.stage.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes with every change of the group.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Changes with every chunk. Few listeners look: most wait for their turn to send one that was there before.
    pub(crate) fn chunks(&self) -> watch::Receiver<u64> {
        self.chunks.subscribe()
    }

    /// Adds a chunk, and the tracks that begin in it.
    pub(crate) fn publish(&self, chunk: Chunk, marks: Vec<TrackMark>, now: ServerTime) {
        let chunk = Arc::new(chunk);
        let mut stage = self.write();
        let is_news = !marks.is_empty() || !stage.group.has_begun();
        stage.group.begin();
        for mark in marks {
            stage.group.mark(mark, now);
        }
        stage.ring.push(chunk, now);
        drop(stage);
        announce(&self.chunks);
        if is_news {
            announce(&self.changes);
        }
    }

    /// There will be no more chunks; the last has been heard at `at`.
    pub(crate) fn end(&self, at: ServerTime) {
        self.write().group.end(at);
        announce(&self.changes);
    }

    fn write(&self) -> RwLockWriteGuard<'_, Stage> {
        self.stage.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn announce(version: &watch::Sender<u64>) {
    version.send_modify(|version| *version += 1);
}
