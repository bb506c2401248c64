//! `/sendspin`: one WebSocket, one [`Session`].
//!
//! A task of its own reads each connection: it stamps what arrives, hands it in and sends the answer. Chunks are sent by
//! the dispatcher, which serves all connections in turn. No write waits: a connection whose socket takes no more goes on
//! when it does, and nobody else notices.
//!
//! A chunk's frame is written as it is, from the bytes that all listeners share.

mod batch;
mod connection;
pub(crate) mod dispatcher;
mod inbound;
mod reader;
mod wire;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ORIGIN, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use self::connection::Connection;
use self::reader::Reader;
use self::wire::Wire;
use crate::app::App;
use crate::fanout::frame;
use crate::fanout::outbox::close_code;
use crate::http::accept::{Peer, RETRY_AFTER_S};
use crate::http::own_url::own_url;
use crate::metrics::Refused;
use crate::session::Session;

/// How long a peer that there is no room for may take to hear that.
const SAY_WITHIN: Duration = Duration::from_secs(5);

/// What those are told who come to an edge that has not found its origin. They are welcome to come again.
const WAITING: (u16, &str) = (close_code::GOING_AWAY, "waiting for the host");

/// Answers the upgrade and runs the connection.
///
/// Refuses pages of other sites, and whoever comes when all places are taken.
pub(crate) async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
) -> Response {
    let response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let headers = request.headers();
    if !app.origins.allow(headers) {
        if app.metrics.refuse(Refused::Origin) {
            let origin = headers.get(ORIGIN);
            tracing::warn!(?origin, "refused a page of another site: see --allow-origin");
        }
        return (StatusCode::FORBIDDEN, "pages of other sites may not listen here\n")
            .into_response();
    }
    if !app.clock.is_known() {
        return turn_away(request, response, peer, WAITING);
    }
    let place = match app.gate.listen() {
        Ok(place) => place,
        Err(refusal) => {
            if app.metrics.refuse(refusal.into()) {
                tracing::warn!("refused a listener: {}", refusal.in_words());
            }
            let farewell = (close_code::TRY_AGAIN_LATER, refusal.in_words());
            return turn_away(request, response, peer, farewell);
        }
    };
    let base_url = own_url(request.headers(), &app.usual);
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(upgraded) => run(upgraded, base_url, app).await,
            Err(error) => tracing::debug!(%error, "no upgrade"),
        }
        drop((place, peer));
    });
    response
}

/// Refuses a connection, with the code and the words of a close. `response` is the one that would have let it in.
fn turn_away(
    mut request: Request,
    response: Response,
    peer: Peer,
    farewell: (u16, &'static str),
) -> Response {
    if request.headers().contains_key(ORIGIN) {
        // Browsers tell their pages nothing of a refused handshake, but the words of a close.
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let _ = timeout(SAY_WITHIN, say_no(upgraded, farewell)).await;
            drop(peer);
        });
        return response;
    }
    let retry = [(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))];
    (StatusCode::SERVICE_UNAVAILABLE, retry, format!("{}\n", farewell.1)).into_response()
}

/// Closes a connection that is not wanted now.
async fn say_no(upgraded: OnUpgrade, (code, words): (u16, &str)) -> io::Result<()> {
    let Ok(upgraded) = upgraded.await else { return Ok(()) };
    let mut stream = TokioIo::new(upgraded);
    stream.write_all(&frame::close(code, words)).await?;
    stream.flush().await?;
    // Its answer, or its end: a connection with unread bytes would be reset, and the words lost.
    stream.read(&mut [0; 64]).await.map(drop)
}

/// Runs a connection until it is over. Its client calls this server by that address.
async fn run(upgraded: Upgraded, base_url: Option<String>, app: Arc<App>) {
    let Some((wire, early)) = Wire::of(upgraded) else {
        return tracing::error!("a connection of another kind than were accepted");
    };
    let number = app.accepted.fetch_add(1, Ordering::Relaxed);
    // Before the party is looked at: one that comes after this is noticed.
    let upheavals = app.hub.upheavals_so_far();
    let session = Session::new(Arc::clone(&app.hub.stage().identity), number, app.clock.now())
        .called(base_url);
    let shard = app.dispatcher.shard(number);
    let connection = Arc::new(Connection::new(wire, session, (shard, upheavals), app));
    Reader::new(connection, early.to_vec()).await.run().await;
}
