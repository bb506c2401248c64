//! `/api`: the party for programs. `openapi.json` beside this file describes it, and is served as well.
//!
//! What changes anything needs the host's key, in the header `Authorization: Bearer KEY`. Pages of other sites are refused
//! even with it, unless `--allow-origin` names them: their requests would come with whatever a browser adds.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use protocol::message::PlaybackState;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{interval, timeout};

use crate::app::App;
use crate::control::{Command, Denied, Request as Asked};

/// Longest body, in bytes: a number and its name.
const BODY_BYTES_MAX: usize = 1 << 10;

/// How long other processes of the party may take to tell of their players, and how often it is seen whether they have. They
/// report within 0.8 s, twice if it goes from one edge to another.
const GATHER_WITHIN: Duration = Duration::from_millis(2_500);
const GATHER_EVERY: Duration = Duration::from_millis(25);

const OPENAPI: &str = include_str!("openapi.json");

/// The paths below `/api` but for the status.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/openapi.json", get(|| async { as_json(StatusCode::OK, OPENAPI.to_owned()) }))
        .route("/api/now-playing", get(now_playing))
        .route("/api/players", get(players))
        .route("/api/group/{command}", post(command))
}

/// Why a request is not done. Told as JSON: what is wrong, and what is expected.
enum Refusal {
    NoKey,
    WrongKey,
    OtherSite,
    NoCommand,
    Body(String),
    Denied(Denied),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let key = "the header `Authorization: Bearer KEY` with the host's key";
        let (status, error, expected) = match self {
            Self::NoKey => (StatusCode::UNAUTHORIZED, "there is no key".to_owned(), key),
            Self::WrongKey => (StatusCode::FORBIDDEN, "the key is not the host's".to_owned(), key),
            Self::OtherSite => (
                StatusCode::FORBIDDEN,
                "a page of another site".to_owned(),
                "this server's own page, a program, or a site that --allow-origin names",
            ),
            Self::NoCommand => (
                StatusCode::NOT_FOUND,
                "no such command".to_owned(),
                "play, pause, stop, next, previous, seek or volume",
            ),
            Self::Body(error) => {
                (StatusCode::BAD_REQUEST, error, "a JSON object as in openapi.json")
            }
            Self::Denied(denied) => {
                let status = match denied {
                    Denied::Volume => StatusCode::BAD_REQUEST,
                    Denied::Busy => StatusCode::TOO_MANY_REQUESTS,
                    Denied::Impossible | Denied::NoPlayer => StatusCode::CONFLICT,
                };
                (status, denied.to_string(), "a command that is possible now")
            }
        };
        let mut response =
            as_json(status, json!({"error": error, "expected": expected}).to_string());
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

fn as_json(status: StatusCode, body: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

/// Lets pass who has the host's key.
fn check(app: &App, headers: &HeaderMap) -> Result<(), Refusal> {
    if !app.origins.allow(headers) {
        return Err(Refusal::OtherSite);
    }
    let given = headers.get(header::AUTHORIZATION).ok_or(Refusal::NoKey)?;
    let key = given.to_str().ok().and_then(|given| given.strip_prefix("Bearer "));
    let is_host = key.is_some_and(|key| app.hub.stage().identity.rules.is_host(key.trim()));
    if is_host { Ok(()) } else { Err(Refusal::WrongKey) }
}

/// What is heard now.
async fn now_playing(State(app): State<Arc<App>>) -> Response {
    let stage = app.hub.stage();
    let now = app.clock.now();
    let view = stage.group.view(now);
    let track = view.now_playing.map(|mark| {
        let track = &mark.track;
        json!({
            "title": track.title,
            "artist": track.artist,
            "album": track.album,
            "album_artist": track.album_artist,
            "year": track.year,
            "track": track.track_number,
            "position_ms": mark.progress_at(view.ended.unwrap_or(now)),
            "duration_ms": track.duration_ms,
        })
    });
    let body = json!({
        "playing": view.playback == PlaybackState::Playing,
        "track": track,
        "next_up": view.offer.next_up,
        "repeat": view.offer.order.repeat,
        "shuffle": view.offer.order.shuffle,
    });
    as_json(StatusCode::OK, body.to_string())
}

/// Somebody looks at the list of players, as long as this is there.
struct Look<'a>(&'a App);

impl<'a> Look<'a> {
    fn begin(app: &'a App) -> Self {
        app.hub.update_players(|players| ((), players.watch(true)));
        app.roster.demand().poke();
        Self(app)
    }

    /// Returns when other processes of the party have told of theirs, or after some time.
    async fn gather(&self) {
        let mut ticks = interval(GATHER_EVERY);
        let told = async {
            while self.0.hub.stage().players.is_partial() {
                ticks.tick().await;
            }
        };
        // An error says that the list is as long as it gets.
        let _ = timeout(GATHER_WITHIN, told).await;
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.0.hub.update_players(|players| ((), players.watch(false)));
    }
}

/// Who plays how loud, for the host.
async fn players(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refusal> {
    check(&app, &headers)?;
    if app.hub.stage().players.is_partial() {
        Look::begin(&app).gather().await;
    }
    let stage = app.hub.stage();
    let players = &stage.players;
    let body = json!({
        "volume": players.volume(),
        "muted": players.muted(),
        "players": players.list(),
    });
    Ok(as_json(StatusCode::OK, body.to_string()))
}

#[derive(Deserialize)]
struct SeekBody {
    position_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VolumeBody {
    volume: Option<u8>,
    mute: Option<bool>,
}

/// Does one thing to the group. The answer says that it was taken; what comes of it is heard, and in `now-playing`.
async fn command(
    State(app): State<Arc<App>>,
    Path(command): Path<String>,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    check(&app, &parts.headers)?;
    let body = to_bytes(body, BODY_BYTES_MAX).await;
    let body = body.map_err(|_| Refusal::Body(format!("more than {BODY_BYTES_MAX} bytes")))?;
    let commands = match command.as_str() {
        "play" => vec![Command::Source(Asked::Play)],
        "pause" => vec![Command::Source(Asked::Pause)],
        "stop" => vec![Command::Source(Asked::Stop)],
        "next" => vec![Command::Source(Asked::Next)],
        "previous" => vec![Command::Source(Asked::Previous)],
        "seek" => vec![Command::Source(Asked::Seek(read::<SeekBody>(&body)?.position_ms))],
        "volume" => {
            let VolumeBody { volume, mute } = read(&body)?;
            let commands = volume.map(Command::Volume).into_iter().chain(mute.map(Command::Mute));
            let commands: Vec<_> = commands.collect();
            if commands.is_empty() {
                return Err(Refusal::Body("neither volume nor mute".to_owned()));
            }
            commands
        }
        _ => return Err(Refusal::NoCommand),
    };
    for command in commands {
        app.obey(&command).map_err(Refusal::Denied)?;
    }
    Ok(as_json(StatusCode::ACCEPTED, json!({"accepted": true}).to_string()))
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::Body(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The description names the paths that there are, and no others.
    #[test]
    fn the_description_is_of_this_server() {
        let described: serde_json::Value = serde_json::from_str(OPENAPI).expect("JSON");
        let paths = described["paths"].as_object().expect("paths");
        let mut names: Vec<_> = paths.keys().map(String::as_str).collect();
        names.sort_unstable();
        let commands = ["next", "pause", "play", "previous", "seek", "stop", "volume"];
        let commands = commands.map(|command| format!("/api/group/{command}"));
        let mut expected: Vec<_> = commands.iter().map(String::as_str).collect();
        expected.extend(["/api/now-playing", "/api/players", "/api/status"]);
        assert_eq!(names, expected);
    }
}
