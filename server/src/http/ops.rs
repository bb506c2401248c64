//! `/healthz` and `/metrics`, for those who run the server.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::app::App;
use crate::metrics::Present;

/// What Prometheus and its kin are told the text to be.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The routes.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/healthz", get(health)).route("/metrics", get(metrics))
}

/// Whether the server takes listeners.
async fn health(State(app): State<Arc<App>>) -> Response {
    if *app.shutdown.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response();
    }
    if !app.clock.is_known() {
        return (StatusCode::SERVICE_UNAVAILABLE, "waiting for the origin\n").into_response();
    }
    "ok\n".into_response()
}

async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    let clock_s = app.clock.now().as_micros() as f64 * 1e-6;
    let text = app.metrics.text(Present {
        listeners: app.roster.demand().here(),
        party: app.roster.listeners(),
        clock_s,
        clock_offset_s: app.clock.offset_us() as f64 * 1e-6,
    });
    ([(header::CONTENT_TYPE, OPEN_METRICS), (header::CACHE_CONTROL, "no-store")], text)
}
