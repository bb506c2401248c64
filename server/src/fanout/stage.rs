//! What all listeners see.

use std::sync::Arc;

use super::ring::Rings;
use crate::group::Group;
use crate::group::players::Players;
use crate::session::Identity;

/// Chunks and titles. They are read under one lock, so that a listener who joins gets a position in the
/// ring and the title that belongs to it in one step.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The chunks.
    pub(crate) rings: Rings,
    /// The party.
    pub(crate) group: Group,
    /// Who plays here.
    pub(crate) players: Players,
    /// Whose party it is.
    pub(crate) identity: Arc<Identity>,
}
