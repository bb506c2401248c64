//! Which path leads where, and what the handlers share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use tokio::sync::{mpsc, watch};

use crate::fanout::count::Roster;
use crate::fanout::hub::Hub;
use crate::http::gate::Gate;
use crate::http::origins::Origins;
use crate::http::{assets, headers, socket, status};
use crate::session::Identity;

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct App {
    /// Chunks and titles.
    pub(crate) hub: Arc<Hub>,
    /// Who is connected.
    pub(crate) roster: Arc<Roster>,
    /// Who may come in.
    pub(crate) gate: Arc<Gate>,
    /// Whose pages may listen.
    pub(crate) origins: Origins,
    /// Connections so far.
    pub(crate) accepted: AtomicU64,
    /// What the server tells about itself.
    pub(crate) identity: Arc<Identity>,
    /// Becomes true when connections are to be closed.
    pub(crate) shutdown: watch::Receiver<bool>,
    /// Never used: it is gone when the routes and the last connection are, which is how the server knows.
    pub(crate) _alive: mpsc::Sender<()>,
}

/// The routes of the server.
pub(crate) fn app(state: Arc<App>) -> Router {
    Router::new()
        .route("/sendspin", get(socket::upgrade))
        .route("/api/status", get(status::get))
        .fallback(assets::get)
        .layer(middleware::from_fn(headers::secure))
        .with_state(state)
}
