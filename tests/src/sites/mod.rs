//! Origin and edges as real processes, on one machine and with networks between them: how exact an edge's clock is, what an
//! edge costs its origin, and what listeners notice when something goes.
//!
//! All processes of one machine read the same clock, so an edge's idea of the origin's clock less its own is its error.

mod relay;

use std::fmt::Write as _;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use self::relay::Relay;
use crate::client::{Client, Hello, Received};
use crate::http::get;
use crate::load::cpu_s_of;
use crate::process::{ServerProcess, children, server_binary};

/// The delay between sites: 5 ± 3 ms.
const DELAY: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(8));

/// How long edges are given to settle before anything is measured.
const SETTLE: Duration = Duration::from_secs(10);

/// Runs the scenario that `arguments` name, and tells what was seen.
///
/// # Errors
///
/// When there is no such scenario, or it does not come about.
pub async fn run(arguments: &[&str]) -> Result<String> {
    let number = |at: usize, default: u64| match arguments.get(at) {
        Some(text) => text.parse().with_context(|| format!("{text}: expected a number")),
        None => Ok(default),
    };
    match arguments.first() {
        Some(&"clock") => clock(number(1, 60)?).await,
        Some(&"delay") => delay(number(1, 60)?).await,
        Some(&"cut") => cut(number(1, 5)?).await,
        Some(&"many") => many(number(1, 50)?, number(2, 20)?, number(3, 20)?).await,
        Some(&"kill") => kill(number(1, 500)?).await,
        Some(&"cost") => cost(number(1, 500)?, number(2, 20)?).await,
        _ => bail!(
            "expected `clock [seconds]`, `delay [seconds]`, `cut [seconds]`, `many [edges] [listeners] [seconds]`, \
             `kill [listeners]` or `cost [listeners] [seconds]`"
        ),
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

async fn origin(port: u16) -> Result<ServerProcess> {
    let endpoint = format!("tcp/127.0.0.1:{port}");
    ServerProcess::start(&["--source", "demo", "--serve-edges", &endpoint]).await
}

async fn edge(port: u16) -> Result<ServerProcess> {
    let endpoint = format!("tcp/127.0.0.1:{port}");
    ServerProcess::start(&["--edge", &endpoint]).await
}

/// How far an edge's clock is off, microseconds.
async fn clock_error_us(edge: &ServerProcess) -> Result<f64> {
    let text = get(edge.port(), "/metrics").await?.text()?;
    let line = text.lines().find_map(|line| line.strip_prefix("partyline_clock_offset_seconds "));
    Ok(line.context("no clock")?.parse::<f64>()? * 1e6)
}

fn quantile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[((samples.len() - 1) as f64 * part).round() as usize]
}

fn summary(name: &str, samples: &mut [f64]) -> String {
    let at = |samples: &mut [f64], part| quantile(samples, part);
    format!(
        "{name}: median {:.0}, p95 {:.0}, p99 {:.0}, largest {:.0} us of {}\n",
        at(samples, 0.5),
        at(samples, 0.95),
        at(samples, 0.99),
        at(samples, 1.0),
        samples.len()
    )
}

/// One edge on the origin's machine.
async fn clock(seconds: u64) -> Result<String> {
    let port = free_port()?;
    let (_origin, edge) = (origin(port).await?, edge(port).await?);
    let mut ticks = interval(Duration::from_millis(100));
    let mut errors = Vec::new();
    for _ in 0..seconds * 10 {
        ticks.tick().await;
        errors.push(clock_error_us(&edge).await?.abs());
    }
    Ok(summary(
        "error of an edge's clock on the origin's machine, from its first second on",
        &mut errors,
    ))
}

/// Two edges, each behind a network of its own.
async fn delay(seconds: u64) -> Result<String> {
    let port = free_port()?;
    let _origin = origin(port).await?;
    let (one, two) = (Relay::start(port, DELAY, 1)?, Relay::start(port, DELAY, 2)?);
    let (first, second) = (edge(one.port()).await?, edge(two.port()).await?);
    // As players ask for it: an edge that nobody listens to gets no audio through the same network.
    let mut inside = Vec::new();
    for edge in [&first, &second] {
        let (client, _) = Client::listen(&edge.socket_url(), &Hello::pcm16("one"), 250).await?;
        inside.push(tokio::spawn(drain(client)));
    }
    let mut ticks = interval(Duration::from_millis(100));
    let settled = Instant::now() + SETTLE;
    let (mut errors, mut apart) = (Vec::new(), Vec::new());
    while errors.len() < seconds as usize * 20 {
        ticks.tick().await;
        let (one, two) = (clock_error_us(&first).await?, clock_error_us(&second).await?);
        if Instant::now() > settled {
            errors.extend([one.abs(), two.abs()]);
            apart.push((one - two).abs());
        }
    }
    inside.iter().for_each(tokio::task::JoinHandle::abort);
    let behind = summary("error of an edge's clock behind 5 +- 3 ms", &mut errors);
    let between = summary("difference between the clocks of two edges", &mut apart);
    Ok(format!("{behind}{between}"))
}

/// Reads until the connection ends. Returns how many chunks came, and how many of them followed a hole.
async fn drain(mut client: Client) -> (u64, u64) {
    let (mut chunks, mut holes, mut last) = (0, 0, None);
    loop {
        match client.receive().await {
            Ok(Received::Chunk(chunk)) => {
                chunks += 1;
                let due = last.replace(chunk.timestamp).map(|last: i64| last + 100_000);
                holes += u64::from(due.is_some_and(|due| (due - chunk.timestamp).abs() > 1));
            }
            Ok(Received::Json(_)) => {}
            _ => return (chunks, holes),
        }
    }
}

/// A network of the kernel's between origin and edge, which goes away for a while.
async fn cut(seconds: u64) -> Result<String> {
    let site = Site::start().await?;
    let edge = ServerProcess::start(&["--edge", "tcp/10.77.7.2:7447"]).await?;
    let (mut client, _) = Client::listen(&edge.socket_url(), &Hello::pcm16("one"), 250).await?;
    let offset = client.offset().await?;
    let began = Instant::now();
    let (away, back) = (Duration::from_secs(15), Duration::from_secs(15 + seconds));
    let end = back + Duration::from_secs(15);
    let (mut is_away, mut is_back) = (false, false);
    let (mut chunks, mut holes, mut lead_min, mut last) = (0, 0, i64::MAX, None);
    while began.elapsed() < end {
        if !is_away && began.elapsed() >= away {
            is_away = true;
            // The first chunks of one who joins have the lead that it asked for.
            lead_min = i64::MAX;
            site.link("down").await?;
        }
        if !is_back && began.elapsed() >= back {
            is_back = true;
            site.link("up").await?;
        }
        let Ok(received) = timeout(Duration::from_millis(100), client.receive()).await else {
            continue;
        };
        match received? {
            Received::Chunk(chunk) => {
                chunks += 1;
                let due = last.replace(chunk.timestamp).map(|last: i64| last + 100_000);
                holes += u64::from(due.is_some_and(|due| (due - chunk.timestamp).abs() > 1));
                let lead = chunk.timestamp - offset.server_ahead - chunk.arrived;
                lead_min = lead_min.min(lead);
            }
            Received::Json(_) => {}
            end => bail!("{end:?}"),
        }
    }
    let error_us = clock_error_us(&edge).await?;
    Site::remove().await;
    Ok(format!(
        "network away for {seconds} s: {chunks} chunks, {holes} holes, smallest lead {} ms, clock off by {error_us:.0} us afterwards\n",
        lead_min / 1_000
    ))
}

/// An origin in a network namespace of its own.
struct Site {
    _origin: Child,
}

/// Its name, which is this project's alone.
const SITE: &str = "partyline-site";

impl Site {
    async fn start() -> Result<Self> {
        Self::remove().await;
        for line in [
            format!("netns add {SITE}"),
            format!("link add plsite0 type veth peer name plsite1 netns {SITE}"),
            "addr add 10.77.7.1/24 dev plsite0".to_owned(),
            "link set plsite0 up".to_owned(),
            format!("-n {SITE} addr add 10.77.7.2/24 dev plsite1"),
            format!("-n {SITE} link set plsite1 up"),
            format!("-n {SITE} link set lo up"),
        ] {
            ip(&line).await?;
        }
        let mut origin = Command::new("ip")
            .args(["netns", "exec", SITE])
            .arg(server_binary()?)
            .args(["--source", "demo", "--port", "0", "--serve-edges", "tcp/10.77.7.2:7447"])
            .arg("--no-mdns")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = origin.stdout.take().context("no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = timeout(Duration::from_secs(10), lines.next_line());
        ensure!(line.await??.is_some(), "the origin does not start");
        Ok(Self { _origin: origin })
    }

    async fn link(&self, state: &str) -> Result<()> {
        ip(&format!("link set plsite0 {state}")).await
    }

    /// Errors say that there is nothing to remove.
    async fn remove() {
        let _ = ip(&format!("netns del {SITE}")).await;
    }
}

async fn ip(line: &str) -> Result<()> {
    let done = Command::new("ip").args(line.split(' ')).stderr(Stdio::null()).status().await?;
    ensure!(done.success(), "ip {line}: {done} (this needs the rights of root)");
    Ok(())
}

/// Many edges with a few listeners each.
async fn many(edges: u64, listeners: u64, seconds: u64) -> Result<String> {
    let port = free_port()?;
    let origin = origin(port).await?;
    let relay = Relay::start(port, (Duration::ZERO, Duration::ZERO), 1)?;
    let mut following = Vec::new();
    let mut inside = JoinSet::new();
    for _ in 0..edges {
        let edge = edge(relay.port()).await?;
        for number in 0..listeners {
            let hello = Hello::pcm16(&number.to_string());
            let (client, _) = Client::listen(&edge.socket_url(), &hello, 250).await?;
            inside.spawn(drain(client));
        }
        following.push(edge);
    }
    let mut ticks = interval(Duration::from_secs(1));
    for _ in 0..SETTLE.as_secs() {
        ticks.tick().await;
    }
    let costs = |following: &[ServerProcess]| -> Result<f64> {
        following.iter().map(|edge| cpu_s_of(edge.id()?)).sum()
    };
    let before = (cpu_s_of(origin.id()?)?, costs(&following)?, relay.carried(), Instant::now());
    for _ in 0..seconds {
        ticks.tick().await;
    }
    let passed = before.3.elapsed().as_secs_f64();
    let status = get(origin.port(), "/api/status").await?.text()?;
    let origin_part = (cpu_s_of(origin.id()?)? - before.0) / passed;
    let edge_part = (costs(&following)? - before.1) / passed / edges as f64;
    let bytes = (relay.carried() - before.2) as f64 / passed / edges as f64;
    Ok(format!(
        "{edges} edges with {listeners} listeners each: origin {:.2} % of a core, {:.3} % for each edge; \
         {:.3} Mbit/s to each edge; an edge takes {:.2} % of a core; {status}\n",
        100.0 * origin_part,
        100.0 * origin_part / edges as f64,
        bytes * 8e-6,
        100.0 * edge_part,
    ))
}

/// One of two workers is killed.
async fn kill(listeners: u64) -> Result<String> {
    let server = ServerProcess::start(&["--source", "demo", "--workers", "2"]).await?;
    let url = server.socket_url();
    let mut inside = JoinSet::new();
    for number in 0..listeners {
        let (client, _) = Client::listen(&url, &Hello::pcm16(&number.to_string()), 250).await?;
        let url = url.clone();
        inside.spawn(async move {
            let (_, holes) = drain(client).await;
            let lost = Instant::now();
            let mut pause = Duration::from_millis(500 + number * 500 / listeners);
            // As a page does it: half a second to a second, then twice as long.
            loop {
                tokio::time::sleep(pause).await; // Polls: a page's own pause.
                let hello = Hello::pcm16(&number.to_string());
                if let Ok((mut client, _)) = Client::listen(&url, &hello, 250).await
                    && client.chunk().await.is_ok()
                {
                    return (holes, lost.elapsed().as_secs_f64(), client);
                }
                pause *= 2;
            }
        });
    }
    let workers = children(server.id()?)?;
    let victim = *workers.first().context("no worker")?;
    let killed = Instant::now();
    let pid = Pid::from_raw(i32::try_from(victim)?).context("no process")?;
    kill_process(pid, Signal::KILL)?;
    let (mut times, mut back) = (Vec::new(), Vec::new());
    let (mut counted, mut ticks) = (None, interval(Duration::from_millis(20)));
    while killed.elapsed() < Duration::from_secs(5) {
        ticks.tick().await;
        while let Some(done) = inside.try_join_next() {
            let (holes, took, client) = done?;
            ensure!(holes == 0, "a hole before the end");
            times.push(took);
            back.push(tokio::spawn(drain(client)));
        }
        let status = get(server.port(), "/api/status").await;
        let is_right = status.is_ok_and(|status| {
            status
                .text()
                .is_ok_and(|text| text.contains(&format!("\"total_clients\":{listeners},")))
        });
        if !is_right {
            counted = None;
        } else if killed.elapsed() > Duration::from_millis(300) {
            counted.get_or_insert(killed.elapsed());
        }
    }
    let stayed = inside.len();
    let mut text = String::new();
    let at = |times: &mut [f64], part| quantile(times, part);
    ensure!(!times.is_empty(), "nobody was at that worker");
    writeln!(
        text,
        "{} of {listeners} were at the worker that was killed: sound again after {:.2} s in the median, {:.2} s p99; \
         {stayed} others were not disturbed; the count is right after {:.2} s",
        times.len(),
        at(&mut times, 0.5),
        at(&mut times, 0.99),
        counted.context("counted wrongly")?.as_secs_f64()
    )?;
    Ok(text)
}

/// What the same load costs one process, and two workers with their coordinator.
async fn cost(listeners: u64, seconds: u64) -> Result<String> {
    let mut text = String::new();
    for args in [&["--source", "demo"][..], &["--source", "demo", "--workers", "2"]] {
        let server = ServerProcess::start(args).await?;
        let mut inside = JoinSet::new();
        for number in 0..listeners {
            let hello = Hello::pcm16(&number.to_string());
            let (client, _) = Client::listen(&server.socket_url(), &hello, 250).await?;
            inside.spawn(drain(client));
        }
        let mut ticks = interval(Duration::from_secs(1));
        for _ in 0..SETTLE.as_secs() {
            ticks.tick().await;
        }
        let processes: Vec<u32> =
            [server.id()?].into_iter().chain(children(server.id()?)?).collect();
        let cpu = || processes.iter().map(|&id| cpu_s_of(id)).collect::<Result<Vec<f64>>>();
        let before = cpu()?;
        for _ in 0..seconds {
            ticks.tick().await;
        }
        let parts: Vec<String> = (cpu()?.iter().zip(&before))
            .map(|(after, before)| format!("{:.2}", 100.0 * (after - before) / seconds as f64))
            .collect();
        writeln!(
            text,
            "{}: {} % of a core, {listeners} listeners",
            args.join(" "),
            parts.join(" + ")
        )?;
    }
    Ok(text)
}
