//! What all listeners see.

use std::sync::Arc;

use super::ring::{Ring, Rings};
use crate::group::Group;
use crate::group::players::Players;
use crate::picture::gallery::Gallery;
use crate::session::Identity;
use crate::visual::reel::Reel;

/// Chunks and titles. They are read under one lock, so that a listener who joins gets a position in the
/// ring and the title that belongs to it in one step.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The chunks.
    pub(crate) rings: Rings,
    /// The party.
    pub(crate) group: Group,
    /// Who plays, here and elsewhere.
    pub(crate) players: Players,
    /// Pictures of what it plays.
    pub(crate) gallery: Gallery,
    /// Figures of the sound.
    pub(crate) reel: Reel,
    /// Whose party it is.
    pub(crate) identity: Arc<Identity>,
}

impl Stage {
    /// Nothing is there yet but the `group` of the party of `identity`.
    pub(crate) fn new(identity: Arc<Identity>, group: Group) -> Self {
        Self {
            rings: Rings::default(),
            group,
            players: Players::default(),
            gallery: Gallery::default(),
            reel: Reel::default(),
            identity,
        }
    }

    /// Forgets the sound that has not been heard, and what goes with it.
    pub(crate) fn clear(&mut self) {
        self.rings.all_mut().for_each(Ring::clear);
        self.reel.cut();
    }
}
