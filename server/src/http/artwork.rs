//! `GET /artwork/{id}.jpg`: the picture with that name, as this server made it.
//!
//! A name is looked up in the gallery and never becomes a path of the file system.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use crate::app::App;
use crate::http::assets::CACHE_FOREVER;
use crate::picture::{ENDING, Picture};
use crate::source::PictureId;

/// How long a picture is waited for that a track has and that is not here yet: another process of the party, which named
/// it to a page, may have got it sooner.
const COMES_WITHIN: Duration = Duration::from_secs(2);

/// Answers with a picture. Any page may show it.
pub(crate) async fn get(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    let Some(picture) = find(&app, &name).await else {
        return (StatusCode::NOT_FOUND, "not found\n").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, "image/jpeg"),
        (header::CACHE_CONTROL, CACHE_FOREVER),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    (headers, picture.jpeg.clone()).into_response()
}

async fn find(app: &App, name: &str) -> Option<Arc<Picture>> {
    let id: PictureId = name.strip_suffix(ENDING)?.parse().ok()?;
    let mut changes = app.hub.changes();
    let comes = async {
        loop {
            {
                let stage = app.hub.stage();
                let found = stage.gallery.get(id).cloned();
                if found.is_some() || stage.group.pictures().all(|known| known != id) {
                    return found;
                }
            }
            changes.changed().await.ok()?;
        }
    };
    // An error says that it does not come.
    timeout(COMES_WITHIN, comes).await.ok().flatten()
}
