//! `GET /artwork/{id}.jpg`: the picture with that name, as this server made it.
//!
//! A name is looked up in the gallery and never becomes a path of the file system.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::http::assets::CACHE_FOREVER;
use crate::picture::{ENDING, Picture};

/// Answers with a picture. Any page may show it.
pub(crate) async fn get(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    let Some(picture) = find(&app, &name) else {
        return (StatusCode::NOT_FOUND, "not found\n").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, "image/jpeg"),
        (header::CACHE_CONTROL, CACHE_FOREVER),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    (headers, picture.jpeg.clone()).into_response()
}

fn find(app: &App, name: &str) -> Option<Arc<Picture>> {
    let id = name.strip_suffix(ENDING)?.parse().ok()?;
    app.hub.stage().gallery.get(id).cloned()
}
