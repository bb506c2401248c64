//! Who may do what, over the socket and over HTTP, and how soon it is heard.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::client::{Chunk, Client, Hello, Received, state};
use e2e::http::{get, post};
use e2e::process::ServerProcess;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{fixture, until};

const KEY: &str = "the-hosts-own-key";
/// What the host and guests know of each other here has to come within this, microseconds.
const SOON_US: i64 = 2_000_000;

/// A party of two tracks whose guests may as much.
async fn party(guests: &str) -> Result<ServerProcess> {
    let [one, two] = ["ramp-48k-16.flac", "tone-44k1.mp3"].map(fixture);
    let sources = [one, two].map(|path| path.to_string_lossy().into_owned());
    let args = ["--source", &sources[0], "--source", &sources[1], "--host-key", KEY];
    ServerProcess::start(&[&args[..], &["--guests", guests]].concat()).await
}

fn hello(name: &str, key: Option<&'static str>) -> Hello {
    Hello { controls: Some(key), ..Hello::pcm16(name) }
}

/// One who listens and has been told what may be asked for.
pub(crate) async fn join(
    server: &ServerProcess,
    name: &str,
    key: Option<&'static str>,
) -> Result<Client> {
    let (mut client, _) = Client::listen(&server.socket_url(), &hello(name, key), 250).await?;
    client.chunk().await?;
    Ok(client)
}

pub(crate) async fn command(client: &mut Client, payload: Value) -> Result<()> {
    client.send(&json!({"type": "client/command", "payload": payload})).await
}

/// Reads until something of that type comes that `is_it`.
pub(crate) async fn wait_for(
    client: &mut Client,
    kind: &str,
    is_it: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let waiting = async {
        loop {
            match client.receive().await? {
                Received::Json(message)
                    if message["type"] == kind && is_it(&message["payload"]) =>
                {
                    return Ok(message["payload"].clone());
                }
                Received::Json(_) | Received::Chunk(_) => {}
                end => bail!("{end:?} instead of {kind}"),
            }
        }
    };
    timeout(Duration::from_secs(10), waiting).await.with_context(|| format!("no {kind}"))?
}

async fn now_playing(server: &ServerProcess) -> Result<Value> {
    Ok(serde_json::from_str(&get(server.port(), "/api/now-playing").await?.text()?)?)
}

/// Asks something that the server surely has done nothing about before it answers.
pub(crate) async fn settle(client: &mut Client) -> Result<()> {
    client.ask_time().await.map(drop)
}

#[tokio::test]
async fn a_guest_may_what_the_host_lets_it_and_the_host_everything() -> Result<()> {
    let all = ["pause", "play", "stop", "next", "previous", "seek", "repeat_one", "shuffle"];
    for (guests, allowed) in
        [("may=nothing", &[][..]), ("may=skip", &["next"]), ("may=all", &all[..])]
    {
        let server = party(guests).await?;
        let mut guest = join(&server, "guest", None).await?;
        for name in all {
            let before = now_playing(&server).await?;
            command(&mut guest, json!({"controller": {"command": name, "position_ms": 50}}))
                .await?;
            settle(&mut guest).await?;
            if !allowed.contains(&name) {
                let after = now_playing(&server).await?;
                for same in ["playing", "repeat", "shuffle"] {
                    ensure!(before[same] == after[same], "{guests} {name}: {after}");
                }
            }
        }
        if allowed.len() == all.len() {
            until(json!(["one", true]), || async {
                let now = now_playing(&server).await?;
                Ok(json!([now["repeat"], now["shuffle"]]))
            })
            .await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_host_is_known_by_its_key_alone() -> Result<()> {
    let server = party("may=nothing").await?;
    for (key, rights, refused) in [
        (Some(KEY), "host", false),
        (Some("the-key-of-yesterday"), "listen", true),
        (None, "listen", false),
    ] {
        let (mut client, _) = Client::greet(&server.socket_url(), &hello("who", key)).await?;
        client.send(&state(250)).await?;
        let told = wait_for(&mut client, "server/state", |state| !state["_partyline"].is_null());
        let told = told.await?["_partyline"].clone();
        assert_eq!((&told["rights"], &told["key_refused"]), (&json!(rights), &json!(refused)));
        assert_eq!(told["players"].is_null(), rights != "host", "{told}");
    }
    Ok(())
}

/// Players tell how well they are in step while somebody sees it. One who may set the volume of all does not.
#[tokio::test]
async fn players_report_while_the_host_looks() -> Result<()> {
    let server = party("may=volume").await?;
    let reports =
        |wanted: bool| move |state: &Value| state["_partyline"]["report"] == json!(wanted);
    let _guest = join(&server, "guest", None).await?;
    let (mut player, _) = Client::greet(&server.socket_url(), &hello("player", None)).await?;
    player.send(&state(250)).await?;
    let is_told = |state: &Value| !state["_partyline"].is_null();
    let told = wait_for(&mut player, "server/state", is_told).await?;
    assert_eq!(told["_partyline"]["report"], false);
    let host = join(&server, "host", Some(KEY)).await?;
    wait_for(&mut player, "server/state", reports(true)).await?;
    host.leave().await?;
    wait_for(&mut player, "server/state", reports(false)).await?;
    Ok(())
}

/// Stream time of the first chunk after what was ahead became void, as this client's time.
async fn first_after_clear(client: &mut Client) -> Result<Chunk> {
    wait_for(client, "stream/clear", |_| true).await?;
    client.chunk().await
}

/// The bars of the issue: what is asked for is heard within the start lead and 100 ms, volumes are told within 50 ms.
#[tokio::test]
async fn what_the_host_asks_for_is_heard_soon() -> Result<()> {
    const START_LEAD_US: i64 = 300_000;
    let server = party("may=nothing").await?;
    let mut host = join(&server, "host", Some(KEY)).await?;
    let offset = host.offset().await?;
    let mut delays = Vec::new();
    for payload in [
        json!({"command": "next"}),
        json!({"command": "seek", "position_ms": 100}),
        json!({"command": "previous"}),
        json!({"command": "next"}),
        json!({"command": "next"}),
    ] {
        let asked = host.now();
        command(&mut host, json!({ "controller": payload })).await?;
        let chunk = first_after_clear(&mut host).await?;
        delays.push(chunk.timestamp - offset.server_ahead - asked);
    }
    delays.sort_unstable();
    println!("command to sound: {delays:?} us");
    // The median: a machine that is busy with other tests is late now and then.
    ensure!(delays[2] <= START_LEAD_US + 100_000, "{delays:?} us");

    command(&mut host, json!({"controller": {"command": "pause"}})).await?;
    wait_for(&mut host, "stream/end", |_| true).await?;
    assert_eq!(now_playing(&server).await?["playing"], false);
    let asked = host.now();
    command(&mut host, json!({"controller": {"command": "play"}})).await?;
    wait_for(&mut host, "stream/start", |_| true).await?;
    let chunk = host.chunk().await?;
    let delay = chunk.timestamp - offset.server_ahead - asked;
    ensure!(delay <= SOON_US, "goes on after {delay} us");

    let mut volumes = Vec::new();
    for volume in [10, 90, 30, 70, 50] {
        let asked = host.now();
        command(&mut host, json!({"controller": {"command": "volume", "volume": volume}})).await?;
        let told = wait_for(&mut host, "server/command", |_| true).await?;
        assert_eq!(told["player"], json!({"command": "volume", "volume": volume}));
        volumes.push(host.now() - asked);
    }
    volumes.sort_unstable();
    println!("command to volume: {volumes:?} us");
    ensure!(volumes[2] <= 50_000, "{volumes:?} us");
    Ok(())
}

#[tokio::test]
async fn a_pause_is_everybodys_and_keeps_its_place() -> Result<()> {
    let server = party("may=nothing").await?;
    let mut host = join(&server, "host", Some(KEY)).await?;
    let mut guest = join(&server, "guest", None).await?;
    command(&mut host, json!({"controller": {"command": "pause"}})).await?;
    for client in [&mut host, &mut guest] {
        let stopped = |update: &Value| update["playback_state"] == "stopped";
        wait_for(client, "group/update", stopped).await?;
        let state = wait_for(client, "server/state", |state| !state["metadata"].is_null()).await?;
        assert_eq!(state["metadata"]["progress"]["playback_speed"], 0);
    }
    let place = now_playing(&server).await?["track"]["position_ms"].clone();
    settle(&mut guest).await?;
    assert_eq!(now_playing(&server).await?["track"]["position_ms"], place);
    // Who comes now waits, and hears it go on.
    let (mut late, _) = Client::greet(&server.socket_url(), &hello("late", None)).await?;
    late.send(&state(250)).await?;
    command(&mut host, json!({"controller": {"command": "play"}})).await?;
    for client in [&mut host, &mut guest, &mut late] {
        wait_for(client, "stream/start", |_| true).await?;
        client.chunk().await?;
    }
    Ok(())
}

#[tokio::test]
async fn programs_need_the_key_and_pages_of_other_sites_do_not_get_in() -> Result<()> {
    let server = party("may=all").await?;
    let port = server.port();
    let mut guest = join(&server, "guest", None).await?;
    let right = ("Authorization", "Bearer the-hosts-own-key");
    let wrong = ("Authorization", "Bearer the-key-of-yesterday");
    let basic = ("Authorization", "Basic the-hosts-own-key");
    let other_site = ("Origin", "https://elsewhere.example");
    for (command, body) in [
        ("play", ""),
        ("pause", ""),
        ("stop", ""),
        ("next", ""),
        ("previous", ""),
        ("seek", r#"{"position_ms":10}"#),
        ("volume", r#"{"volume":50}"#),
    ] {
        let path = format!("/api/group/{command}");
        for (headers, status) in [
            (&[][..], 401),
            (&[wrong], 403),
            (&[basic], 403),
            (&[right, other_site], 403),
            (&[right], 202),
        ] {
            let answer = post((port, &path), headers, body).await?;
            assert_eq!(answer.status, status, "{command} {headers:?}: {}", answer.text()?);
            let told: Value = serde_json::from_str(&answer.text()?)?;
            assert_eq!(told["error"].is_string(), status != 202, "{told}");
        }
    }
    wait_for(&mut guest, "server/command", |_| true).await?;
    for (path, body, status) in [
        ("/api/group/dance", "", 404),
        ("/api/group/seek", "", 400),
        ("/api/group/seek", r#"{"position_ms":-1}"#, 400),
        ("/api/group/volume", "{}", 400),
        ("/api/group/volume", r#"{"volume":101}"#, 400),
        ("/api/group/volume", &"x".repeat(2_000), 400),
    ] {
        let answer = post((port, path), &[right], body).await?;
        assert_eq!(answer.status, status, "{path} {body:.40}");
    }
    assert_eq!(get(port, "/api/players").await?.status, 401);
    assert_eq!(get(port, "/api/openapi.json").await?.status, 200);
    // No guess at the key, and no preflight, is answered with more than that.
    assert_eq!(get(port, "/api/group/play").await?.status, 405);
    Ok(())
}
