//! Which path leads where, and what the handlers share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use tokio::sync::{mpsc, watch};
use tower_service::Service;

use crate::control::{self, Command, Control, Denied};
use crate::fanout::count::Roster;
use crate::fanout::hub::Hub;
use crate::http::entrance::{BasePath, Below};
use crate::http::gate::Gate;
use crate::http::origins::Origins;
use crate::http::own_url::Approach;
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
    pub(crate) darkroom: Arc<Darkroom>,
    /// Looks at the sound.
    pub(crate) observatory: Arc<Observatory>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// What is asked of what makes the sound.
    pub(crate) control: Arc<Control>,
    /// How it is reached.
    pub(crate) usual: Approach,
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
        if self.control.leads_away() {
            let stage = self.hub.stage();
            // Without its origin, an edge does what it can.
            if !stage.group.is_left() {
                self.control.pass(command, &stage.players)?;
                self.roster.demand().poke();
                return Ok(());
            }
        }
        self.hub.update_players(|players| {
            let done = control::set_players(players, command);
            let is_news = done.is_ok();
            (done, is_news)
        })
    }
}

/// What guests reach, below `base`. Without a port of its own, what concerns those who run the server as well, always at the
/// root: what a proxy passes on below a path is not that.
pub(crate) fn app(state: Arc<App>, base: BasePath, with_ops: bool) -> Router {
    let guests = Router::new()
        .route("/sendspin", get(socket::upgrade))
        .route("/api/status", get(status::get))
        .merge(api::routes())
        .route("/artwork/{name}", get(artwork::get))
        .fallback(assets::get)
        .with_state(Arc::clone(&state));
    let guests = if base.is_root() {
        guests
    } else {
        Router::new().fallback(move |request| below(base.clone(), guests.clone(), request))
    };
    let all = if with_ops { guests.merge(ops::routes().with_state(state)) } else { guests };
    all.layer(middleware::from_fn(headers::secure))
}

/// Answers a request as if `base` were the root.
async fn below(base: BasePath, mut guests: Router, mut request: Request) -> Response {
    let uri = request.uri();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let rest = match base.locate(uri.path()) {
        Below::Rest(rest) => format!("{rest}{query}"),
        Below::Bare => return Redirect::permanent(&format!("{base}/{query}")).into_response(),
        Below::Outside => {
            return (StatusCode::NOT_FOUND, format!("not found: the party is at {base}/\n"))
                .into_response();
        }
    };
    let Ok(rest) = rest.parse() else { return StatusCode::BAD_REQUEST.into_response() };
    *request.uri_mut() = rest;
    // A router is always ready.
    guests.call(request).await.unwrap_or_else(|never| match never {})
}

/// What concerns those who run the server, for a port of its own.
pub(crate) fn ops(state: Arc<App>) -> Router {
    ops::routes().layer(middleware::from_fn(headers::secure)).with_state(state)
}
