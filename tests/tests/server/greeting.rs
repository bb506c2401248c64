//! Hello, clock, and who is counted.

use std::ffi::OsString;

use anyhow::Result;
use e2e::client::{Client, Hello, Received, state};
use e2e::http::get;
use e2e::process::ServerProcess;
use serde_json::{Value, json};

use crate::{Party, fixture, listeners, until};

#[tokio::test]
async fn the_hello_names_the_server_and_the_roles_that_are_active() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let (_client, hello) = Client::greet(&party.url(), &Hello::pcm16("kitchen")).await?;
    assert_eq!(hello["version"], 1);
    assert!(!hello["server_id"].as_str().unwrap_or_default().is_empty(), "{hello}");
    assert!(!hello["name"].as_str().unwrap_or_default().is_empty(), "{hello}");
    assert!(["discovery", "playback"].contains(&hello["connection_reason"].as_str().unwrap_or("")));
    assert_eq!(hello["active_roles"], json!(["player@v1", "metadata@v1"]));
    Ok(())
}

#[tokio::test]
async fn roles_without_version_support_or_meaning_stay_inactive() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let mut hello = Hello::pcm16("odd").message();
    hello["payload"]["supported_roles"] =
        json!(["player", "levitation@v1", "player@v1", "metadata@v1", "player@v2"]);
    hello["payload"].as_object_mut().expect("an object").remove("player@v1_support");
    let mut client = Client::connect(&party.url()).await?;
    client.send(&hello).await?;
    let reply = client.expect("server/hello").await?;
    assert_eq!(reply["active_roles"], json!(["metadata@v1"]));
    Ok(())
}

#[tokio::test]
async fn the_group_plays_before_its_stream_starts_and_the_metadata_names_the_track() -> Result<()> {
    let file = fixture("ramp-48k-16.flac");
    let server = ServerProcess::start(&[OsString::from("--source"), file.into()]).await?;
    let (mut client, _) = Client::greet(&server.socket_url(), &Hello::pcm16("kitchen")).await?;
    client.send(&state(250)).await?;
    let mut types = Vec::new();
    // A client that comes within milliseconds of the server finds the group stopped: there is no audio yet.
    let (mut metadata, mut playback) = (Value::Null, Value::Null);
    // The first state says what is heard now, which just after the start is nothing yet.
    while metadata["title"].is_null() {
        match client.receive().await? {
            Received::Json(message) => {
                types.push(message["type"].as_str().unwrap_or_default().to_owned());
                if message["type"] == "group/update" {
                    playback = message["payload"]["playback_state"].clone();
                }
                if message["type"] == "stream/start" {
                    assert_eq!(playback, "playing", "before the stream starts");
                }
                if !message["payload"]["metadata"].is_null() {
                    metadata = message["payload"]["metadata"].clone();
                }
            }
            Received::Chunk(_) => {}
            end => anyhow::bail!("{end:?}"),
        }
    }
    let position = |name: &str| types.iter().position(|found| found == name);
    let (group, start) = (position("group/update"), position("stream/start"));
    assert!(group.is_some() && start.is_some() && group < start, "{types:?}");
    assert_eq!(metadata["title"], "Tone", "{metadata}");
    assert_eq!(metadata["artist"], "Partyline", "{metadata}");
    assert_eq!(metadata["album"], "Fixtures", "{metadata}");
    assert!(metadata["timestamp"].is_i64(), "{metadata}");
    Ok(())
}

#[tokio::test]
async fn the_clock_echoes_exactly_and_never_runs_backwards() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let (mut client, _) = Client::greet(&party.url(), &Hello::pcm16("clock")).await?;
    let mut latest = i64::MIN;
    for client_transmitted in [0, 1, -7, 9_007_199_254_740_991, i64::MAX, i64::MIN] {
        let request =
            json!({"payload": {"client_transmitted": client_transmitted}, "type": "client/time"});
        client.send(&request).await?;
        let reply = client.expect("server/time").await?;
        assert_eq!(reply["client_transmitted"], client_transmitted);
        let received = reply["server_received"].as_i64().expect("an integer");
        let transmitted = reply["server_transmitted"].as_i64().expect("an integer");
        assert!(latest < received && received <= transmitted, "{latest} {reply}");
        latest = transmitted;
    }
    Ok(())
}

/// Two readings a second of audio apart must differ by that second: the stamps are microseconds of a
/// clock that runs.
#[tokio::test]
async fn the_clock_runs_at_the_speed_of_ours() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let (mut client, _) = Client::listen(&party.url(), &Hello::pcm16("clock"), 250).await?;
    let before = client.offset().await?;
    let first = client.chunk().await?;
    // Real time passes while the server fills its lead and then sends as fast as it plays.
    while client.chunk().await?.arrived - first.arrived < 1_000_000 {}
    let after = client.offset().await?;
    let moved = (after.server_ahead - before.server_ahead).abs();
    // Both error bounds, and 1000 ppm for the rate of two readings of one crystal.
    assert!(moved <= before.error + after.error + 1_000, "{before:?} {after:?}");
    Ok(())
}

#[tokio::test]
async fn a_client_that_comes_back_replaces_itself() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let hello = Hello::pcm16("phone");
    let (mut old, _) = Client::listen(&party.url(), &hello, 250).await?;
    let (mut new, _) = Client::listen(&party.url(), &hello, 250).await?;
    assert!(matches!(old.end().await?, Received::Close { .. } | Received::Lost));
    new.chunk().await?;
    until(1, || listeners(party.server.port())).await
}

#[tokio::test]
async fn the_count_follows_the_listeners() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let port = party.server.port();
    assert_eq!(listeners(port).await?, 0);
    let (one, _) = Client::listen(&party.url(), &Hello::pcm16("one"), 250).await?;
    let (two, _) = Client::listen(&party.url(), &Hello::pcm16("two"), 250).await?;
    until(2, || listeners(port)).await?;
    one.leave().await?;
    until(1, || listeners(port)).await?;
    // The other just vanishes.
    drop(two);
    until(0, || listeners(port)).await
}

#[tokio::test]
async fn the_status_may_be_read_by_any_page() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let status = get(party.server.port(), "/api/status").await?;
    assert_eq!(status.status, 200);
    assert_eq!(status.header("access-control-allow-origin"), "*");
    assert!(status.header("content-type").starts_with("application/json"));
    assert_eq!(status.header("cache-control"), "no-store");
    Ok(())
}

/// A listener that stops reading costs itself, nobody else.
#[tokio::test]
async fn one_that_does_not_read_disturbs_nobody() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let mut stuck = Vec::new();
    for name in ["a", "b", "c"] {
        let mut hello = Hello::pcm16(name);
        hello.buffer_capacity = u64::MAX;
        stuck.push(Client::listen(&party.url(), &hello, 250).await?);
    }
    let (mut client, _) = Client::listen(&party.url(), &Hello::pcm16("fine"), 250).await?;
    let first = client.chunk().await?;
    let mut latest = first.clone();
    let mut round_trips = Vec::new();
    while latest.timestamp - first.timestamp < 7_000_000 {
        latest = client.chunk().await?;
        if round_trips.len() < 50 {
            let asked = client.now();
            let (_, back) = client.ask_time().await?;
            round_trips.push(back - asked);
        }
    }
    round_trips.sort_unstable();
    let median = round_trips[round_trips.len() / 2];
    assert!(median < 20_000, "median round trip {median} µs");
    Ok(())
}
