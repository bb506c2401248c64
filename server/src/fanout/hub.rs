//! The one place where the pump and the listeners meet.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use protocol::time::ServerTime;
use tokio::sync::watch;

use super::chunk::Chunk;
use super::stage::Stage;
use crate::group::players::Players;
use crate::group::{Group, Offer, Program, TrackMark};
use crate::pipeline::encoder::WireFormat;
use crate::session::Identity;
use crate::visual::reel::Reel;

/// Holds the [`Stage`] and tells when it has changed.
#[derive(Debug)]
pub(crate) struct Hub {
    stage: RwLock<Stage>,
    changes: watch::Sender<u64>,
    chunks: watch::Sender<u64>,
    upheavals: watch::Sender<u64>,
}

impl Hub {
    /// No chunks, and the `group` of the party of `identity`.
    pub(crate) fn new(identity: Identity, group: Group) -> Self {
        let identity = Arc::new(identity);
        Self {
            stage: RwLock::new(Stage::new(identity, group)),
            changes: watch::Sender::new(0),
            chunks: watch::Sender::new(0),
            upheavals: watch::Sender::new(0),
        }
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

    /// Changes when the party's clock is another one: what was sent and planned means nothing any more.
    pub(crate) fn upheavals(&self) -> watch::Receiver<u64> {
        self.upheavals.subscribe()
    }

    /// How often that has happened.
    pub(crate) fn upheavals_so_far(&self) -> u64 {
        *self.upheavals.borrow()
    }

    /// Adds a chunk, and the tracks that begin in it.
    pub(crate) fn publish(&self, chunk: Chunk, marks: Vec<TrackMark>, now: ServerTime) {
        let chunk = Arc::new(chunk);
        let mut stage = self.write();
        let is_news = stage.group.begin(now) || !marks.is_empty();
        for mark in marks {
            stage.group.mark(mark, now);
        }
        for ring in stage.rings.all_mut() {
            ring.push(Arc::clone(&chunk), now);
        }
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

    /// What is there and has not been heard is void: listeners are told to forget it. Either there will be other chunks
    /// soon, or the party stands still at a position in the track, milliseconds.
    pub(crate) fn cut(&self, now: ServerTime, stops_at: Option<u64>) {
        let mut stage = self.write();
        stage.clear();
        stage.group.cut(now, stops_at);
        drop(stage);
        announce(&self.changes);
    }

    /// What can be asked of the group, and what it will play.
    pub(crate) fn offer(&self, offer: Offer) {
        if self.write().group.offer(offer) {
            announce(&self.changes);
        }
    }

    /// Adds a chunk that is there in `format` only, if it is heard after those that are there.
    pub(crate) fn publish_made(&self, format: WireFormat, chunk: Chunk, now: ServerTime) {
        let mut stage = self.write();
        let ring = stage.rings.of_mut(format);
        // What is there comes again when a format is asked for once more.
        if ring.end().is_some_and(|end| chunk.play_at() < end) {
            return;
        }
        ring.push(Arc::new(chunk), now);
        drop(stage);
        announce(&self.chunks);
    }

    /// What an origin plays is `program`.
    pub(crate) fn follow(&self, program: Program) {
        let mut stage = self.write();
        if program.cuts() > stage.group.cuts() {
            stage.clear();
        }
        stage.group.follow(program);
        drop(stage);
        announce(&self.changes);
    }

    /// Something has come that was made after so many cuts. Returns whether it is not void: there have been no more.
    pub(crate) fn follow_cuts(&self, cuts: u64, now: ServerTime) -> bool {
        let known = self.stage().group.cuts();
        if cuts > known {
            let mut stage = self.write();
            stage.clear();
            stage.group.follow_cuts(cuts, now);
            drop(stage);
            announce(&self.changes);
        }
        cuts >= known
    }

    /// Lets `change` bring the group up to date.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Group)) {
        change(&mut self.write().group);
        announce(&self.changes);
    }

    /// Lets `change` bring the list of players up to date. It says whether others have to know.
    pub(crate) fn update_players<T>(&self, change: impl FnOnce(&mut Players) -> (T, bool)) -> T {
        let (result, is_news) = change(&mut self.write().players);
        if is_news {
            announce(&self.changes);
        }
        result
    }

    /// Lets `change` bring what is seen up to date.
    pub(crate) fn show(&self, change: impl FnOnce(&mut Stage)) {
        change(&mut self.write());
        announce(&self.changes);
    }

    /// Lets `change` bring the figures of the sound up to date. Nobody is told: they are sent with the sound.
    pub(crate) fn project(&self, change: impl FnOnce(&mut Reel)) {
        change(&mut self.write().reel);
    }

    /// Begins anew: another party, or the same one on another clock. All connections end, and are welcome to come again.
    pub(crate) fn begin_anew(&self, identity: Identity, group: Group) {
        let mut stage = self.write();
        stage.clear();
        stage.identity = Arc::new(identity);
        stage.group = group;
        drop(stage);
        announce(&self.upheavals);
    }

    fn write(&self) -> RwLockWriteGuard<'_, Stage> {
        self.stage.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn announce(version: &watch::Sender<u64>) {
    version.send_modify(|version| *version += 1);
}
