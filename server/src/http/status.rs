//! `GET /api/status`: how many listen, and to what. Any page may read it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use protocol::message::PlaybackState;
use serde_json::json;

use crate::app::App;
use crate::host_clock;

/// The party in a few words. `total_clients` counts connections with an active player.
pub(crate) async fn get(State(app): State<Arc<App>>) -> impl IntoResponse {
    let (playing, title) = {
        let stage = app.hub.stage();
        let view = stage.group.view(host_clock::now());
        let title = view.now_playing.map(|mark| mark.track.title.clone());
        (view.playback == PlaybackState::Playing, title)
    };
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    let body = json!({
        "total_clients": app.roster.listeners(),
        "name": app.identity.name,
        "playing": playing,
        "title": title,
    });
    (headers, body.to_string())
}
