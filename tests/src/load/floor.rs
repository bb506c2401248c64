//! The least that any program must do: the same bytes at the same times to as many sockets.

use std::env;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::net::TcpStream as Reader;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::cost::Cost;
use super::wire::desk;

/// The first argument that makes the program the floor.
pub(super) const ARGUMENT: &str = "--floor";
/// From the start of the writing until it is measured.
const SETTLE: Duration = Duration::from_secs(2);
/// How often the floor looks whose turn it is.
const TICK: Duration = Duration::from_millis(1);
/// What it writes.
const FILL: u8 = 0x55;

/// A running floor.
pub(super) struct Floor {
    child: Child,
    port: u16,
}

impl Drop for Floor {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts this program once more, as the floor.
pub(super) fn start(listeners: usize, bytes: usize, every: Duration) -> Result<Floor> {
    let mut child = Command::new(env::current_exe()?)
        .arg(ARGUMENT)
        .args([listeners.to_string(), bytes.to_string(), every.as_micros().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("no standard output")?;
    let mut port = String::new();
    BufReader::new(output).read_line(&mut port)?;
    let port = port.trim().parse().with_context(|| format!("the floor's port: {port:?}"))?;
    Ok(Floor { child, port })
}

/// Reads as many streams as there were listeners, for so long. Returns what the floor took at both ends of the measurement.
pub(super) async fn read(floor: Floor, listeners: usize, seconds: u64) -> Result<[Cost; 2]> {
    let mut tasks = JoinSet::new();
    let desk = Rc::new(desk());
    for _ in 0..listeners {
        let stream = Reader::connect(("127.0.0.1", floor.port)).await?;
        let desk = Rc::clone(&desk);
        tasks.spawn_local(async move {
            while stream.readable().await.is_ok() {
                let desk = &mut *desk.borrow_mut();
                match stream.try_read(desk) {
                    Ok(0) => break,
                    // As much as listeners do with what they read.
                    Ok(bytes) => assert!(desk[..bytes].iter().all(|&byte| byte == FILL)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
        });
    }
    sleep(SETTLE).await;
    let before = Cost::of(floor.child.id())?;
    sleep(Duration::from_secs(seconds)).await;
    let after = Cost::of(floor.child.id())?;
    ensure!(tasks.try_join_next().is_none(), "the floor lost a connection");
    tasks.shutdown().await;
    Ok([before, after])
}

/// Prints a port, takes `listeners` connections there, then writes `bytes` bytes to each once in `every`, spread evenly
/// over that time.
///
/// # Errors
///
/// When it cannot, or a connection ends.
pub fn serve(listeners: usize, bytes: usize, every: Duration) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut output = std::io::stdout();
    writeln!(output, "{}", listener.local_addr()?.port())?;
    output.flush()?;
    let mut streams = Vec::with_capacity(listeners);
    for _ in 0..listeners {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        streams.push(stream);
    }
    write_for_ever(&mut streams, &vec![FILL; bytes], every)
}

/// Once in a millisecond, as the timers of servers go, writes the whole block to each stream whose turn it is.
fn write_for_ever(streams: &mut [TcpStream], block: &[u8], every: Duration) -> Result<()> {
    let begun = Instant::now();
    let mut written = 0_u64;
    // What streams did not take at once: their readers are behind.
    let mut rest: Vec<(usize, usize)> = Vec::new();
    loop {
        let late = std::mem::take(&mut rest);
        let turns = begun.elapsed().as_secs_f64() / every.as_secs_f64();
        let due = (turns * streams.len() as f64) as u64;
        let count = streams.len() as u64;
        let now = (written..due).map(|turn| ((turn % count) as usize, 0));
        for (number, from) in late.into_iter().chain(now) {
            let to = write(&mut streams[number], block, from)?;
            if to < block.len() {
                rest.push((number, to));
            }
        }
        written = due;
        thread::sleep(TICK);
    }
}

/// Writes `block` from a byte on. Returns up to which byte the stream took it.
fn write(stream: &mut TcpStream, block: &[u8], mut from: usize) -> Result<usize> {
    while from < block.len() {
        match stream.write(&block[from..]) {
            Ok(written) => from += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(from)
}
