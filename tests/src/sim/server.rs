//! Whom a player is connected to: the origin itself, or one of its edges.

use protocol::time::ServerTime;
use server::sans_io::{Connection, House};

use super::edge::SimEdge;
use super::origin::Origin;

/// One of the two.
#[derive(Clone, Copy, Debug)]
pub(super) enum Server<'a> {
    Origin(&'a Origin),
    Edge(&'a SimEdge),
}

impl<'a> Server<'a> {
    /// The time that it tells its listeners. An edge that does not know it has none.
    pub(super) fn now(self, true_us: f64) -> ServerTime {
        match self {
            Self::Origin(origin) => origin.now(true_us),
            Self::Edge(edge) => edge.now(true_us).unwrap_or(ServerTime::from_micros(0)),
        }
    }

    /// The true time at which that is `at`.
    pub(super) fn when(self, true_us: f64, at: ServerTime) -> f64 {
        match self {
            Self::Origin(origin) => origin.when(at),
            Self::Edge(edge) => edge.when(true_us, at),
        }
    }

    pub(super) fn house(self) -> House<'a> {
        match self {
            Self::Origin(origin) => origin.house(),
            Self::Edge(edge) => edge.house(),
        }
    }

    /// A connection, if it takes any now.
    pub(super) fn accept(self, true_us: f64) -> Option<Connection> {
        match self {
            Self::Origin(origin) => Some(origin.accept(true_us)),
            Self::Edge(edge) => edge.accept(true_us),
        }
    }
}
