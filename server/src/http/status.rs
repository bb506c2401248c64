//! `GET /api/status`: how many listen, and to what. Any page may read it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use protocol::message::PlaybackState;
use serde_json::json;

use crate::app::App;

/// The party in a few words. `total_clients` counts connections with an active player, those of all edges together;
/// `waiting` says that nothing can be heard because the origin is away.
pub(crate) async fn get(State(app): State<Arc<App>>) -> impl IntoResponse {
    let (playing, waiting, name, title) = {
        let stage = app.hub.stage();
        let view = stage.group.view(app.clock.now());
        let title = view.now_playing.map(|mark| mark.track.title.clone());
        let waiting = view.waiting || !app.clock.is_known();
        (view.playback == PlaybackState::Playing, waiting, stage.identity.name.clone(), title)
    };
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    let body = json!({
        "total_clients": app.roster.listeners(),
        "name": name,
        "playing": playing,
        "waiting": waiting,
        "title": title,
    });
    (headers, body.to_string())
}
