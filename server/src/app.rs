//! Which path leads where, and what the handlers share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use tokio::sync::{mpsc, watch};

use crate::control::{self, Command, Control, Denied};
use crate::fanout::count::Roster;
use crate::fanout::hub::Hub;
use crate::http::gate::Gate;
use crate::http::origins::Origins;
use crate::http::socket::dispatcher::Dispatcher;
use crate::http::{api, artwork, assets, headers, ops, socket, status};
use crate::metrics::Metrics;
use crate::party_clock::PartyClock;
use crate::picture::darkroom::Darkroom;
use crate::visual::observatory::Observatory;

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
    /// Serves the connections.
    pub(crate) dispatcher: Dispatcher,
    /// Makes pictures.
    pub(crate) darkroom: Darkroom,
    /// Looks at the sound.
    pub(crate) observatory: Observatory,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// What is asked of what makes the sound.
    pub(crate) control: Arc<Control>,
    /// Connections so far.
    pub(crate) accepted: AtomicU64,
    /// What time it is.
    pub(crate) clock: PartyClock,
    /// Becomes true when connections are to be closed.
    pub(crate) shutdown: watch::Receiver<bool>,
    /// Never used: it is gone when the routes and the last connection are, which is how the server knows.
    pub(crate) _alive: mpsc::Sender<()>,
}

impl App {
    /// Does what somebody asked for who may.
    ///
    /// # Errors
    ///
    /// [`Denied`], in words for whoever asked.
    pub(crate) fn obey(&self, command: &Command) -> Result<(), Denied> {
        if let Command::Source(request) = command {
            self.control.ask(*request, &self.hub.stage().group.view(self.clock.now()))?;
            self.roster.demand().poke();
            return Ok(());
        }
        self.hub.update_players(|players| {
            let done = control::set_players(players, command);
            let is_news = done.is_ok();
            (done, is_news)
        })
    }
}

/// What guests reach. Without a port of its own, what concerns those who run the server as well.
pub(crate) fn app(state: Arc<App>, with_ops: bool) -> Router {
    let guests = Router::new()
        .route("/sendspin", get(socket::upgrade))
        .route("/api/status", get(status::get))
        .merge(api::routes())
        .route("/artwork/{name}", get(artwork::get))
        .fallback(assets::get);
    let all = if with_ops { guests.merge(ops::routes()) } else { guests };
    all.layer(middleware::from_fn(headers::secure)).with_state(state)
}

/// What concerns those who run the server, for a port of its own.
pub(crate) fn ops(state: Arc<App>) -> Router {
    ops::routes().layer(middleware::from_fn(headers::secure)).with_state(state)
}
