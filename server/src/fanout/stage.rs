//! What all listeners see.

use super::ring::Ring;
use crate::group::Group;

/// Chunks and titles. They are read under one lock, so that a listener who joins gets a position in the
/// ring and the title that belongs to it in one step.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The chunks.
    pub(crate) ring: Ring,
    /// The party.
    pub(crate) group: Group,
}
