//! Several processes behind one port.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::client::{Client, Hello};
use e2e::http::request;
use e2e::process::{ServerProcess, children};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::edges::whole_picture;
use crate::roles::Screen;
use crate::{Party, fixture, listeners, until};

/// What is promised for anything that concerns a dead worker.
const SOON: Duration = Duration::from_secs(3);

fn pid(id: u32) -> Result<Pid> {
    Pid::from_raw(i32::try_from(id)?).context("no process")
}

fn is_alive(id: u32) -> Result<bool> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let is_dead = stat.is_empty() || stat.contains(") Z ");
    Ok(!is_dead && test_kill_process(pid(id)?).is_ok())
}

async fn until_dead(ids: &BTreeSet<u32>) -> Result<()> {
    for &id in ids {
        until(false, || async { is_alive(id) }).await?;
    }
    Ok(())
}

/// Two workers, and whom of the listeners each has.
#[tokio::test]
async fn workers_share_a_port_and_a_dead_one_is_replaced() -> Result<()> {
    const LISTENERS: usize = 24;
    let party = Party::start(61_987, &["--workers", "2"]).await?;
    let coordinator = party.server.id()?;
    let workers = children(coordinator)?;
    assert_eq!(workers.len(), 2);
    let mut clients = Vec::new();
    for number in 0..LISTENERS {
        let hello = Hello::pcm16(&number.to_string());
        clients.push(Client::listen(&party.url(), &hello, 250).await?.0);
    }
    until(LISTENERS as u64, || listeners(party.server.port())).await?;
    let victim = *workers.first().context("a worker")?;
    kill_process(pid(victim)?, Signal::KILL)?;

    // Those of the other one notice nothing; those of this one are told by the system at once.
    let mut hearing = tokio::task::JoinSet::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        hearing.spawn(async move { (number, client.chunks(20).await.is_ok(), client) });
    }
    let (mut stayed, mut lost) = (Vec::new(), Vec::new());
    while let Some(heard) = hearing.join_next().await {
        let (number, is_there, client) = heard?;
        if is_there { stayed.push(client) } else { lost.push(number) }
    }
    // 2^-23 that all are at one of them.
    ensure!(!stayed.is_empty() && !lost.is_empty(), "{} stayed, {} lost", stayed.len(), lost.len());
    let back = async {
        for number in &lost {
            let hello = Hello::pcm16(&number.to_string());
            let (mut client, _) = Client::listen(&party.url(), &hello, 250).await?;
            client.chunk().await?;
            stayed.push(client);
        }
        anyhow::Ok(())
    };
    timeout(SOON, back).await.context("not back in time")??;
    let counted = until(LISTENERS as u64, || listeners(party.server.port()));
    timeout(SOON, counted).await.context("counted wrongly")??;
    until(2, || async { Ok(children(coordinator)?.len()) }).await?;
    ensure!(!children(coordinator)?.contains(&victim), "the dead one is still there");
    Ok(())
}

/// The coordinator makes it, and whichever worker a page reaches has it.
#[tokio::test]
async fn a_page_of_a_worker_has_the_picture() -> Result<()> {
    let source = fixture("picture.flac");
    let source = source.to_str().context("a path")?;
    let server = ServerProcess::start(&["--source", source, "--workers", "2"]).await?;
    let mut screen = Screen::join(&server.socket_url()).await?;
    screen.until("picture", Screen::has_all_of_the_picture).await?;
    // The system chooses a worker for each request: 2^-7 that the same is chosen for all.
    for _ in 0..8 {
        whole_picture(&screen, &server).await?;
    }
    Ok(())
}

/// The list of players is whole, whichever worker is asked.
#[tokio::test]
async fn a_worker_knows_the_players_of_the_others() -> Result<()> {
    const LISTENERS: usize = 8;
    let party =
        Party::start(61_987, &["--workers", "2", "--host-key", "the-hosts-own-key"]).await?;
    let mut inside = Vec::new();
    for number in 0..LISTENERS {
        let hello = Hello::pcm16(&number.to_string());
        inside.push(Client::listen(&party.url(), &hello, 250).await?);
    }
    let key = ("Authorization", "Bearer the-hosts-own-key");
    for _ in 0..3 {
        let answer = request(party.server.port(), "GET /api/players", &[key]).await?;
        let told: Value = serde_json::from_str(&answer.text()?)?;
        assert_eq!(told["players"].as_array().map(Vec::len), Some(LISTENERS), "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn a_signal_ends_all_workers_in_order() -> Result<()> {
    for signal in [Signal::INT, Signal::TERM] {
        let Party { server, .. } = Party::start(48_000, &["--workers", "2"]).await?;
        let workers = children(server.id()?)?;
        let mut clients = Vec::new();
        for number in 0..4 {
            let hello = Hello::pcm16(&number.to_string());
            clients.push(Client::listen(&server.socket_url(), &hello, 250).await?.0);
        }
        server.signal(signal)?;
        for client in &mut clients {
            client.expect("stream/end").await?;
        }
        let exit = server.exit(Duration::from_secs(8)).await?;
        assert_eq!(exit.status.code(), Some(0), "{exit:?}");
        ensure!(exit.took <= SOON, "{:?}", exit.took);
        until_dead(&workers).await?;
    }
    Ok(())
}

#[tokio::test]
async fn no_worker_is_left_when_the_coordinator_is_killed() -> Result<()> {
    let Party { server, .. } = Party::start(48_000, &["--workers", "2"]).await?;
    let workers = children(server.id()?)?;
    assert_eq!(workers.len(), 2);
    server.kill().await?;
    timeout(SOON, until_dead(&workers)).await.context("orphans")?
}

#[tokio::test]
async fn workers_may_have_ports_of_their_own() -> Result<()> {
    // Ports that were free a moment ago: others may take them, then it is tried with others.
    let mut attempts = 0;
    let (server, port) = loop {
        attempts += 1;
        let port = free_pair().await?;
        let source = fixture("ramp-48k-16.flac");
        let source = source.to_str().context("a path")?;
        let args = ["--source", source, "--workers", "2", "--worker-ports"];
        match ServerProcess::start_on(port, &args).await {
            Ok(server) => break (server, port),
            Err(error) if attempts > 3 => return Err(error),
            Err(_) => {}
        }
    };
    assert_eq!(server.port(), port);
    let mut clients = Vec::new();
    for port in [port, port + 1] {
        let url = format!("ws://127.0.0.1:{port}/sendspin");
        let hello = Hello::pcm16(&port.to_string());
        clients.push(Client::listen(&url, &hello, 250).await?);
    }
    until(2, || listeners(port)).await?;
    until(2, || listeners(port + 1)).await
}

async fn free_pair() -> Result<u16> {
    loop {
        let first = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = first.local_addr()?.port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).await.is_ok() {
            return Ok(port);
        }
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_not_shared_with_a_stranger() -> Result<()> {
    let first = Party::start(48_000, &["--workers", "1"]).await?;
    let args = ["--source", "demo", "--workers", "1"];
    let exit = ServerProcess::run(first.server.port(), &args).await?;
    assert_eq!(exit.status.code(), Some(2), "{exit:?}");
    ensure!(exit.stderr.contains("the port is in use"), "{}", exit.stderr);
    Ok(())
}

/// The second worker's port is taken, so it ends whenever it is started.
#[tokio::test]
async fn a_worker_that_never_starts_is_given_up_and_none_left_is_an_error() -> Result<()> {
    let pair = free_pair().await?;
    let _taken = TcpListener::bind(("127.0.0.1", pair + 1)).await?;
    let args = ["--source", "demo", "--workers", "2", "--worker-ports"];
    let mut server = ServerProcess::start_on(pair, &args).await?;
    server.line_with("worker 2 ended: exit status: 2; it ends too often", SOON * 4).await?;
    let url = server.socket_url();
    let (mut client, _) = Client::listen(&url, &Hello::pcm16("one"), 250).await?;
    client.chunk().await?;
    // The other one is killed again and again: then none is left.
    let coordinator = server.id()?;
    let exit = tokio::spawn(server.exit(SOON * 10));
    while !exit.is_finished() {
        for worker in children(coordinator)? {
            kill_process(pid(worker)?, Signal::KILL).ok();
        }
        tokio::task::yield_now().await;
    }
    let exit = exit.await??;
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    ensure!(exit.stderr.contains("error: all workers ended too often"), "{}", exit.stderr);
    Ok(())
}

#[tokio::test]
async fn options_that_exclude_each_other_are_refused_with_both_names() -> Result<()> {
    for (args, words) in [
        (&["--source", "demo", "--workers", "0"][..], &["--workers", "1..=256"][..]),
        (&["--source", "demo", "--worker-ports"], &["--worker-ports", "--workers"]),
        (
            &["--source", "demo", "--workers", "2", "--worker-ports"],
            &["--worker-ports", "--port 0"],
        ),
        (&["--source", "demo", "--edge", "tcp/127.0.0.1:1"], &["--source", "--edge"]),
        (&["--edge", "tcp/127.0.0.1:1", "--name", "x"], &["--name", "--edge"]),
        (&["--edge", "tcp/127.0.0.1:1", "--no-loop"], &["--no-loop", "--edge"]),
        (&["--edge", "tcp/8.8.8.8:7447"], &["--edge tcp/8.8.8.8:7447", "--insecure-edges"]),
        (
            &["--source", "demo", "--serve-edges", "tls/127.0.0.1:7447"],
            &["--serve-edges", "--edge-cert"],
        ),
    ] {
        let exit = ServerProcess::run(0, args).await?;
        assert_eq!(exit.status.code(), Some(2), "{args:?}: {exit:?}");
        for word in words {
            ensure!(exit.stderr.contains(word), "{args:?}: no {word:?} in {}", exit.stderr);
        }
    }
    Ok(())
}
