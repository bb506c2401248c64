//! Origin and edges as real processes: the same bytes, the same clock, one count, and what happens when one of them goes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use e2e::client::{Chunk, Client, Hello, Received};
use e2e::http::{get, post, request};
use e2e::process::ServerProcess;
use e2e::signal::Stereo16;
use rustix::process::Signal;
use serde_json::{Value, json};
use server::config::Config;
use server::server::Server;
use tempfile::TempDir;
use tokio::time::{interval, timeout};

use crate::control::{command, join, settle as ask_and_hear, wait_for};
use crate::faults::Moody;
use crate::roles::Screen;
use crate::{fixture, listeners, until};

/// Microseconds of one chunk, and how far the ends of two may be apart by rounding.
const CHUNK_US: i64 = 100_000;

const KEY: &str = "the-hosts-own-key";

/// An origin and a folder where edges find it.
struct Origin {
    server: ServerProcess,
    folder: TempDir,
}

impl Origin {
    async fn start(source: &Path) -> Result<Self> {
        Self::start_in(tempfile::tempdir()?, source, 0).await
    }

    async fn start_in(folder: TempDir, source: &Path, port: u16) -> Result<Self> {
        let source = source.to_str().context("a path")?;
        let endpoint = endpoint(&folder);
        let args = ["--source", source, "--serve-edges", &endpoint, "--host-key", KEY];
        Ok(Self { server: ServerProcess::start_on(port, &args).await?, folder })
    }

    async fn edge(&self) -> Result<ServerProcess> {
        ServerProcess::start(&["--edge", &endpoint(&self.folder)]).await
    }
}

fn endpoint(folder: &TempDir) -> String {
    format!("unixsock-stream/{}", folder.path().join("origin").display())
}

async fn status(port: u16) -> Result<Value> {
    Ok(serde_json::from_str(&get(port, "/api/status").await?.text()?)?)
}

/// A figure of `/metrics`.
async fn metric(port: u16, name: &str) -> Result<f64> {
    let text = get(port, "/metrics").await?.text()?;
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    let value = line.and_then(|line| line.split(' ').nth(1)).with_context(|| name.to_owned())?;
    Ok(value.parse()?)
}

/// Reads until the party has some seconds in hand. It begins with a few tenths, and a busy machine may take as long over
/// its first chunks: then it pauses once, as it should, and that is no loss.
async fn settle(client: &mut Client) -> Result<()> {
    const IN_HAND_US: i64 = 2_000_000;
    let offset = client.offset().await?;
    loop {
        let chunk = client.chunk().await?;
        if chunk.timestamp - offset.server_ahead - chunk.arrived > IN_HAND_US {
            return Ok(());
        }
    }
}

/// The chunks that come to one who has just joined, and those to another one, by their time: equal, and without a hole.
async fn compare(direct: &mut Client, other: &mut Client, count: usize) -> Result<()> {
    let by_time = |chunks: Vec<Chunk>| -> BTreeMap<i64, Vec<u8>> {
        chunks.into_iter().map(|chunk| (chunk.timestamp, chunk.audio)).collect()
    };
    let (one, two) = tokio::try_join!(direct.chunks(count), other.chunks(count))?;
    let (one, two) = (by_time(one), by_time(two));
    let both: Vec<_> = two.iter().filter(|(time, _)| one.contains_key(time)).collect();
    ensure!(both.len() > count / 2, "{} chunks of {count} in common", both.len());
    for (time, audio) in both {
        ensure!(one[time] == *audio, "other bytes at {time}");
    }
    let times: Vec<_> = two.keys().collect();
    let gap = times.windows(2).find(|pair| (pair[1] - pair[0] - CHUNK_US).abs() > 1);
    ensure!(gap.is_none(), "a hole: {gap:?}");
    Ok(())
}

/// Sources at 44.1 and 48 kHz, without and with loss: what an edge's listener gets is what a direct one gets.
#[tokio::test]
async fn an_edge_passes_on_every_byte() -> Result<()> {
    for name in ["ramp-48k-24.flac", "speakers-16k.flac", "tone-44k1.mp3", "tone-44k1.m4a"] {
        let origin = Origin::start(&fixture(name)).await?;
        let edge = origin.edge().await?;
        for bits in [16, 24] {
            let hello = |id: &str| Hello {
                formats: vec![("pcm", 2, 48_000, bits)],
                ..Hello::pcm16(&format!("{id}-{bits}"))
            };
            let (mut direct, _) =
                Client::listen(&origin.server.socket_url(), &hello("direct"), 250).await?;
            settle(&mut direct).await?;
            let (mut other, _) = Client::listen(&edge.socket_url(), &hello("edge"), 250).await?;
            compare(&mut direct, &mut other, 60).await.with_context(|| format!("{name} {bits}"))?;
        }
    }
    Ok(())
}

/// To a player the origin and its edges are one server, with one clock.
#[tokio::test]
async fn an_edge_is_the_same_server_with_the_same_clock() -> Result<()> {
    let origin = Origin::start(&fixture("ramp-48k-16.flac")).await?;
    let edge = origin.edge().await?;
    let hello = Hello::pcm16("one");
    let (mut here, told_here) = Client::greet(&origin.server.socket_url(), &hello).await?;
    let (mut there, told_there) = Client::greet(&edge.socket_url(), &hello).await?;
    assert_eq!(told_here["server_id"], told_there["server_id"]);
    assert_eq!(told_here["name"], told_there["name"]);
    // This test's processes share a machine, and so a clock: what is between the two is the edge's error.
    let (one, two) = (here.offset().await?, there.offset().await?);
    let apart_us = (one.server_ahead + here.now()) - (two.server_ahead + there.now());
    let error_us = one.error + two.error + 2_000;
    ensure!(apart_us.abs() < error_us, "{apart_us} us apart, {error_us} us explained");
    // Much finer, as the edge itself sees it. Idle machines are within 50 us, this one may be busy.
    let offset_us = metric(edge.port(), "partyline_clock_offset_seconds").await? * 1e6;
    ensure!(offset_us.abs() < 2_000.0, "the clock is off by {offset_us} us");
    Ok(())
}

/// Nobody is counted twice, or when gone: not even by an edge that dies without a word.
#[tokio::test]
async fn listeners_are_counted_everywhere_and_those_of_a_dead_edge_are_gone() -> Result<()> {
    let origin = Origin::start(&fixture("ramp-48k-16.flac")).await?;
    let (one, two) = (origin.edge().await?, origin.edge().await?);
    let mut inside = Vec::new();
    for (server, count) in [(&origin.server, 1), (&one, 2), (&two, 3)] {
        for number in 0..count {
            let hello = Hello::pcm16(&format!("{}-{number}", server.port()));
            inside.push(Client::listen(&server.socket_url(), &hello, 250).await?);
        }
    }
    for server in [&origin.server, &one, &two] {
        until(6, || listeners(server.port())).await?;
    }
    two.kill().await?;
    let gone = async {
        until(3, || listeners(origin.server.port())).await?;
        until(3, || listeners(one.port())).await
    };
    timeout(Duration::from_secs(3), gone).await.context("still counted after 3 s")??;
    drop(inside);
    until(0, || listeners(origin.server.port())).await?;
    until(0, || listeners(one.port())).await
}

/// Decoding costs nothing while nobody listens anywhere, and the first who comes, wherever that is, has sound at once.
#[tokio::test]
async fn the_first_listener_of_an_edge_wakes_the_origin_and_the_last_lets_it_rest() -> Result<()> {
    let origin = Origin::start(&fixture("ramp-48k-16.flac")).await?;
    let edge = origin.edge().await?;
    let decoded = || metric(origin.server.port(), "partyline_decoding_seconds_total");
    assert_eq!(decoded().await?, 0.0);
    let (mut client, _) = Client::listen(&edge.socket_url(), &Hello::pcm16("first"), 250).await?;
    let joined = client.now();
    let chunk = client.chunk().await?;
    let offset = client.offset().await?;
    ensure!(chunk.arrived - joined < 1_000_000, "{} us", chunk.arrived - joined);
    let due = chunk.timestamp - offset.server_ahead;
    ensure!((0..2_000_000).contains(&(due - joined)), "heard after {} us", due - joined);
    ensure!(decoded().await? > 0.0, "not decoded");
    client.leave().await?;
    until(0, || listeners(origin.server.port())).await?;
    // What is under way is finished; then nothing more is done.
    let mut before = decoded().await?;
    let mut ticks = interval(Duration::from_millis(500));
    ticks.tick().await;
    let still = async {
        loop {
            ticks.tick().await;
            let now = decoded().await?;
            if now == before {
                return anyhow::Ok(());
            }
            before = now;
        }
    };
    timeout(Duration::from_secs(10), still).await.context("decodes for nobody")?
}

/// Who joins in the middle hears the present at once, from an edge that has just come as well.
#[tokio::test]
async fn an_edge_that_comes_late_serves_at_once() -> Result<()> {
    let origin = Origin::start(&fixture("ramp-48k-16.flac")).await?;
    let (mut direct, _) =
        Client::listen(&origin.server.socket_url(), &Hello::pcm16("early"), 250).await?;
    settle(&mut direct).await?;
    let edge = origin.edge().await?;
    let (mut late, _) = Client::listen(&edge.socket_url(), &Hello::pcm16("late"), 250).await?;
    let joined = late.now();
    let first = late.chunk().await?;
    let offset = late.offset().await?;
    ensure!(first.arrived - joined < 500_000, "{} us", first.arrived - joined);
    let lead = first.timestamp - offset.server_ahead - joined;
    ensure!((0..1_500_000).contains(&lead), "begins {lead} us ahead");
    compare(&mut direct, &mut late, 60).await
}

/// The origin goes down and comes back: the edge plays what it has, waits, says so, and goes on.
#[tokio::test]
async fn an_edge_outlives_its_origin() -> Result<()> {
    let source = fixture("ramp-48k-16.flac");
    let origin = Origin::start(&source).await?;
    let port = origin.server.port();
    let edge = origin.edge().await?;
    let (mut client, _) = Client::listen(&edge.socket_url(), &Hello::pcm16("loyal"), 250).await?;
    client.chunks(55).await?;
    let Origin { server, folder } = origin;
    server.kill().await?;
    // What is there is played: ten seconds at most. Then the stream ends, and the connection does not.
    let end = async {
        loop {
            match client.receive().await? {
                Received::Json(message) if message["type"] == "stream/end" => return Ok(()),
                Received::Json(_) | Received::Chunk(_) => {}
                end => anyhow::bail!("{end:?}"),
            }
        }
    };
    timeout(Duration::from_secs(15), end).await.context("plays on without its origin")??;
    until(Value::Bool(true), || async { Ok(status(edge.port()).await?["waiting"].clone()) })
        .await?;
    let origin = Origin::start_in(folder, &source, port).await?;
    // It may be another clock: everybody is asked to come again, and is welcome.
    let end = client.end().await?;
    ensure!(matches!(end, Received::Close { code: 1001, .. }), "{end:?}");
    let (mut direct, _) =
        Client::listen(&origin.server.socket_url(), &Hello::pcm16("direct"), 250).await?;
    settle(&mut direct).await?;
    let (mut client, _) = Client::listen(&edge.socket_url(), &Hello::pcm16("loyal"), 250).await?;
    compare(&mut direct, &mut client, 60).await?;
    assert_eq!(status(edge.port()).await?["waiting"], false);
    Ok(())
}

/// An edge that is there before its origin says so, and lets listeners in when there is something to hear.
#[tokio::test]
async fn an_edge_may_come_before_its_origin() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let edge = ServerProcess::start(&["--edge", &endpoint(&folder)]).await?;
    assert_eq!(status(edge.port()).await?["waiting"], true);
    assert_eq!(get(edge.port(), "/healthz").await?.status, 503);
    ensure!(Client::connect(&edge.socket_url()).await.is_err(), "let in to nothing");
    let _origin = Origin::start_in(folder, &fixture("ramp-48k-16.flac"), 0).await?;
    until(200, || async { Ok(get(edge.port(), "/healthz").await?.status) }).await?;
    let (mut client, _) = Client::listen(&edge.socket_url(), &Hello::pcm16("first"), 250).await?;
    client.chunk().await?;
    edge.signal(Signal::TERM)?;
    let exit = edge.exit(Duration::from_secs(8)).await?;
    assert_eq!(exit.status.code(), Some(0), "{exit:?}");
    Ok(())
}

/// The host may be anywhere: what it asks for is done at the origin, and heard everywhere at the same time.
#[tokio::test]
async fn what_the_host_asks_for_at_an_edge_is_heard_everywhere() -> Result<()> {
    let origin = Origin::start(&fixture("ramp-48k-16.flac")).await?;
    let edge = origin.edge().await?;
    let (mut direct, _) =
        Client::listen(&origin.server.socket_url(), &Hello::pcm16("direct"), 250).await?;
    settle(&mut direct).await?;
    let hello = Hello { controls: Some(Some(KEY)), ..Hello::pcm16("host") };
    let (mut host, _) = Client::listen(&edge.socket_url(), &hello, 250).await?;
    let ask = |command: &str| {
        let controller = json!({"command": command, "position_ms": 100});
        json!({"type": "client/command", "payload": {"controller": controller}})
    };
    // What was made before is void, at both.
    host.chunks(5).await?;
    host.send(&ask("seek")).await?;
    tokio::try_join!(
        until_message(&mut direct, "stream/clear"),
        until_message(&mut host, "stream/clear")
    )?;
    tokio::try_join!(settle(&mut direct), settle(&mut host))?;
    compare(&mut direct, &mut host, 30).await?;
    host.send(&ask("pause")).await?;
    tokio::try_join!(
        until_message(&mut direct, "stream/end"),
        until_message(&mut host, "stream/end")
    )?;
    host.send(&ask("play")).await?;
    tokio::try_join!(
        until_message(&mut direct, "stream/start"),
        until_message(&mut host, "stream/start")
    )?;
    tokio::try_join!(settle(&mut direct), settle(&mut host))?;
    compare(&mut direct, &mut host, 30).await
}

/// Reads until a message of that type comes.
async fn until_message(client: &mut Client, kind: &str) -> Result<()> {
    let waiting = async {
        loop {
            match client.receive().await? {
                Received::Json(message) if message["type"] == kind => return Ok(()),
                Received::Json(_) | Received::Chunk(_) => {}
                end => anyhow::bail!("{end:?}"),
            }
        }
    };
    timeout(Duration::from_secs(15), waiting).await.with_context(|| format!("no {kind}"))?
}

/// The picture at the address that a screen was given, from the server that it is connected to.
pub(crate) async fn whole_picture(screen: &Screen, server: &ServerProcess) -> Result<Vec<u8>> {
    whole_picture_at(screen, server, server).await
}

/// The same from another server of the party.
async fn whole_picture_at(
    screen: &Screen,
    server: &ServerProcess,
    other: &ServerProcess,
) -> Result<Vec<u8>> {
    let url = screen.metadata["artwork_url"].as_str().context("artwork_url")?.to_owned();
    let page = server.page_url();
    let path = url.strip_prefix(page.trim_end_matches('/')).with_context(|| url.clone())?;
    let answer = get(other.port(), path).await?;
    ensure!((answer.status, answer.header("content-type")) == (200, "image/jpeg"), "{path}");
    Ok(answer.body)
}

/// A picture without any pattern, which has many bytes however it is kept: a BMP of three bytes for each pixel.
fn noise_picture(side: u32) -> Vec<u8> {
    let pixels = side * side * 3;
    let mut bytes = b"BM".to_vec();
    for word in [54 + pixels, 0, 54, 40, side, side, 0x0018_0001, 0, pixels, 0, 0, 0, 0] {
        bytes.extend(word.to_le_bytes());
    }
    let mut state = 1_u32;
    bytes.extend((0..pixels).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    }));
    bytes
}

/// One that takes many messages.
#[tokio::test]
async fn a_large_picture_gets_to_an_edge_whole() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sound = folder.path().join("sound.wav");
    Stereo16::noise(480_000, 7).write_wav(&sound)?;
    fs::write(folder.path().join("cover.png"), noise_picture(640))?;
    let origin = Origin::start(&sound).await?;
    let edge = origin.edge().await?;
    let mut screen = Screen::join(&edge.socket_url()).await?;
    screen.until("picture", Screen::has_all_of_the_picture).await?;
    let whole = whole_picture(&screen, &edge).await?;
    ensure!(whole.len() > 200_000, "{} bytes", whole.len());
    ensure!(whole == whole_picture_at(&screen, &edge, &origin.server).await?, "another picture");
    Ok(())
}

/// A screen at an edge shows what one at the origin shows.
#[tokio::test]
async fn a_screen_at_an_edge_gets_the_picture_and_its_colours() -> Result<()> {
    let origin = Origin::start(&fixture("picture.flac")).await?;
    let edge = origin.edge().await?;
    let mut there = Screen::join(&edge.socket_url()).await?;
    there.until("picture", Screen::has_all_of_the_picture).await?;
    let mut here = Screen::join(&origin.server.socket_url()).await?;
    here.until("picture", Screen::has_all_of_the_picture).await?;
    for name in ["background_dark", "background_light", "primary", "accent", "on_dark", "on_light"]
    {
        ensure!(here.color[name].is_array(), "{}", here.color);
        assert_eq!(here.color[name], there.color[name]);
    }
    for channel in 0..2 {
        let image = |screen: &Screen| screen.picture(channel).map(|(_, image)| image.clone());
        ensure!(image(&here) == image(&there), "channel {channel}");
    }
    let whole = whole_picture(&there, &edge).await?;
    ensure!(whole.starts_with(&[0xff, 0xd8]), "no JPEG");
    ensure!(whole == whole_picture(&here, &origin.server).await?, "another picture");
    // An edge that comes when all of it is there already.
    let late = origin.edge().await?;
    let mut screen = Screen::join(&late.socket_url()).await?;
    screen.until("picture", Screen::has_all_of_the_picture).await?;
    ensure!(whole == whole_picture(&screen, &late).await?, "another picture");
    Ok(())
}

/// Figures are computed once: a screen at an edge gets the same ones, for the same moments, whenever it comes.
#[tokio::test]
async fn a_screen_at_an_edge_gets_the_origins_figures() -> Result<()> {
    /// As often as there are any.
    const RATE: u32 = 50;
    let origin = Origin::start(&fixture("picture.flac")).await?;
    let edge = origin.edge().await?;
    let mut there = Screen::join_at(&edge.socket_url(), RATE).await?;
    there.until("figures", |screen| screen.got(18).len() > 10).await?;
    let mut here = Screen::join_at(&origin.server.socket_url(), RATE).await?;
    here.until("figures", |screen| screen.got(18).len() > 10).await?;
    let late = origin.edge().await?;
    let mut other = Screen::join_at(&late.socket_url(), RATE).await?;
    for screen in [&mut there, &mut other] {
        let last = |screen: &Screen| screen.got(18).last().map(|&(at, _)| at);
        let (one, two) = (last(&here), last(screen));
        screen.until("figures", |screen| screen.got(18).len() > 60 && last(screen) > one).await?;
        here.until("figures", |here| last(here) > two && last(here) > last(screen)).await?;
        for id in [16, 18, 19] {
            let by_time: BTreeMap<_, _> = here.got(id).iter().cloned().collect();
            let common: Vec<_> =
                screen.got(id).iter().filter(|(at, _)| by_time.contains_key(at)).collect();
            ensure!(common.len() > 20, "{id}: {} in common", common.len());
            ensure!(common.iter().all(|(at, figure)| by_time[at] == *figure), "others of {id}");
            let times = || screen.got(id).iter().map(|&(at, _)| at);
            let gap =
                times().zip(times().skip(1)).find(|(one, next)| (next - one - 20_000).abs() > 1);
            ensure!(gap.is_none(), "a hole of {id}: {gap:?}");
        }
    }
    Ok(())
}

/// Ids and volumes of the players that the host is shown, sorted.
fn shown(party: &Value) -> Vec<(String, u64)> {
    let players = party["players"].as_array().into_iter().flatten();
    let told = players.map(|player| (player["id"].as_str(), player["volume"].as_u64()));
    told.map(|(id, volume)| (id.unwrap_or_default().to_owned(), volume.unwrap_or(0))).collect()
}

/// The next volume that a player is asked to have.
async fn asked_volume(client: &mut Client) -> Result<Value> {
    let is_volume = |asked: &Value| asked["player"]["command"] == "volume";
    Ok(wait_for(client, "server/command", is_volume).await?["player"]["volume"].clone())
}

/// Players are anywhere, and so is the host: it sees and sets them all. A guest does not.
#[tokio::test]
async fn the_host_sets_the_players_of_all_processes() -> Result<()> {
    let origin = Origin::start(&fixture("ramp-48k-16.flac")).await?;
    let (one, two) = (origin.edge().await?, origin.edge().await?);
    for server in [&origin.server, &one] {
        let mut host = join(server, "host", Some(KEY)).await?;
        let mut guest = join(&one, "guest", None).await?;
        let mut far = join(&two, "far", None).await?;
        let all = |far: u64| {
            let volumes = [("far", far), ("guest", 100), ("host", 100)];
            volumes.map(|(id, volume)| (id.to_owned(), volume)).to_vec()
        };
        let shows = |volumes: Vec<(String, u64)>| {
            move |state: &Value| shown(&state["_partyline"]) == volumes
        };
        wait_for(&mut host, "server/state", shows(all(100))).await?;
        let set = |volume: u64| {
            let one = json!({"command": "player_volume", "player": "far", "volume": volume});
            json!({ "_partyline": one })
        };
        // Were it done, it would be the first that the player is asked.
        command(&mut guest, set(11)).await?;
        ask_and_hear(&mut guest).await?;
        let asked = host.now();
        command(&mut host, set(31)).await?;
        assert_eq!(asked_volume(&mut far).await?, 31);
        let took_us = host.now() - asked;
        println!("command to a player of another process: {took_us} us");
        ensure!(took_us < 1_000_000, "{took_us} us");
        wait_for(&mut host, "server/state", shows(all(31))).await?;
        // Of 100, 100 and 31 the mean is 77: 27 fewer for everybody.
        command(&mut host, json!({"controller": {"command": "volume", "volume": 50}})).await?;
        for (client, volume) in [(&mut host, 73), (&mut guest, 73), (&mut far, 4)] {
            assert_eq!(asked_volume(client).await?, volume);
        }
        // At once the next: it begins where the last one ends, not where reports are.
        for (group, own) in [(40, 60), (30, 45), (20, 30)] {
            let volume = json!({"command": "volume", "volume": group});
            command(&mut host, json!({ "controller": volume })).await?;
            assert_eq!(asked_volume(&mut far).await?, 0);
            assert_eq!(asked_volume(&mut guest).await?, own);
        }
        for client in [&mut host, &mut guest, &mut far] {
            client
                .send(&json!({"type": "client/goodbye", "payload": {"reason": "shutdown"}}))
                .await?;
        }
        until(0, || listeners(origin.server.port())).await?;
    }
    Ok(())
}

/// For programs it is the same, at whichever process they ask.
#[tokio::test]
async fn programs_see_the_players_of_all_processes() -> Result<()> {
    let origin = Origin::start(&fixture("ramp-48k-16.flac")).await?;
    let (one, two) = (origin.edge().await?, origin.edge().await?);
    let mut inside = Vec::new();
    for (server, name) in [(&origin.server, "a"), (&one, "b"), (&two, "c")] {
        inside.push(join(server, name, None).await?);
    }
    until(3, || listeners(one.port())).await?;
    let key = ("Authorization", "Bearer the-hosts-own-key");
    for server in [&origin.server, &one, &two] {
        let answer = request(server.port(), "GET /api/players", &[key]).await?;
        let told: Value = serde_json::from_str(&answer.text()?)?;
        let ids: Vec<_> = shown(&told).into_iter().map(|(id, _)| id).collect();
        assert_eq!(
            (ids, &told["volume"]),
            (["a", "b", "c"].map(str::to_owned).to_vec(), &json!(100))
        );
    }
    for (server, volume) in [(&origin.server, 80), (&two, 60)] {
        let body = json!({ "volume": volume }).to_string();
        let answer = post((server.port(), "/api/group/volume"), &[key], &body).await?;
        assert_eq!(answer.status, 202, "{}", answer.text()?);
        for client in &mut inside {
            assert_eq!(asked_volume(client).await?, volume);
        }
    }
    Ok(())
}

/// A source that was silent for longer than everything that is ahead is heard again soon, everywhere at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_long_silence_of_the_source_edges_go_on_in_step() -> Result<()> {
    /// More than an origin makes ahead.
    const SILENCE: Duration = Duration::from_secs(13);
    let folder = tempfile::tempdir()?;
    let endpoint = endpoint(&folder);
    let line = ["server", "--source", "demo", "--host", "127.0.0.1", "--port", "0"];
    let config = Config::try_parse_from(line.into_iter().chain(["--serve-edges", &endpoint]))?;
    let (calm, source) = Moody::new();
    let origin = Server::start_with(config, Box::new(source)).await?;
    let edge = ServerProcess::start(&["--edge", &endpoint]).await?;
    let url = format!("ws://127.0.0.1:{}/sendspin", origin.local_addr().port());
    let (mut direct, _) = Client::listen(&url, &Hello::pcm16("direct"), 250).await?;
    let (mut other, _) = Client::listen(&edge.socket_url(), &Hello::pcm16("edge"), 250).await?;
    tokio::try_join!(direct.chunks(50), other.chunks(50))?;

    let (sound, silence) = mpsc::sync_channel::<()>(1);
    calm.send(silence).ok().context("the source is gone")?;
    let offset = other.offset().await?;
    let silent_until = other.now() + SILENCE.as_micros() as i64;
    let hears = |client: &Client| client.now() < silent_until;
    let mut last = i64::MIN;
    while hears(&other) {
        // Both read on: who does not is disconnected.
        let pause = Duration::from_millis(200);
        let (one, two) =
            tokio::join!(timeout(pause, direct.chunk()), timeout(pause, other.chunk()));
        for heard in [one, two].into_iter().flatten() {
            last = last.max(heard?.timestamp);
        }
    }
    ensure!(last + CHUNK_US < other.now() + offset.server_ahead, "the silence was too short");
    let back = other.now() + offset.server_ahead;
    drop(sound);
    let (one, two) = tokio::try_join!(direct.chunk(), other.chunk())?;
    ensure!(two.timestamp - back <= 1_000_000, "heard after {} us", two.timestamp - back);
    ensure!(two.arrived + offset.server_ahead < two.timestamp, "too late to be heard");
    assert_eq!(one.timestamp, two.timestamp);
    tokio::try_join!(settle(&mut direct), settle(&mut other))?;
    compare(&mut direct, &mut other, 50).await?;
    ensure!(origin.shutdown(Duration::from_secs(5)).await, "does not stop");
    Ok(())
}
