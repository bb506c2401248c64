//! Many real listeners on the loopback interface, and what they cost the server.
//!
//! The server runs on one core, the listeners on the others. A *floor* program then writes the same bytes at the same
//! times to as many sockets and does nothing else: what the server takes beyond it is the server's own.

mod cost;
mod floor;
mod listener;
mod probe;
mod report;
mod wire;

use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tempfile::TempDir;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until};

pub use self::floor::serve as serve_floor;
pub use self::report::Report;

use self::cost::{Cost, Costs};
use self::listener::{Ears, Kind};
use crate::process::ServerProcess;
use crate::signal::Stereo16;

/// Most that may be asked for: what one loopback address has ports for, and an evening.
const LISTENERS_MAX: usize = 20_000;
const SECONDS_MAX: u64 = 3_600;
/// Listeners that arrive in a second before the measurement begins.
const ARRIVALS_PER_S: f64 = 250.0;
/// From the last arrival until all have the whole lead, at twice real time.
const FILL: Duration = Duration::from_secs(7);
/// Longest look at the floor, which does the same all the time.
const FLOOR_SECONDS_MAX: u64 = 60;
/// Frames of the noise that is played: four seconds that do not repeat.
const FRAMES: usize = 192_000;

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Listeners that stay.
    pub listeners: usize,
    /// How many more connect, ask for the stream, and never read again.
    pub stalled: usize,
    /// Joins in a second, each followed by a leave two seconds later.
    pub churn_per_s: f64,
    /// Length of the measurement.
    pub seconds: u64,
}

impl Load {
    /// # Errors
    ///
    /// When it is more than this is made for.
    fn check(self) -> Result<Self> {
        let all = self.listeners + self.stalled;
        ensure!(
            (1..=LISTENERS_MAX).contains(&all),
            "{all} listeners; expected 1 to {LISTENERS_MAX}"
        );
        let seconds = self.seconds;
        ensure!((1..=SECONDS_MAX).contains(&seconds), "{seconds} s; expected 1 to {SECONDS_MAX}");
        ensure!(
            (0.0..=1_000.0).contains(&self.churn_per_s),
            "{} joins in a second; expected 0 to 1,000",
            self.churn_per_s
        );
        Ok(self)
    }
}

/// Processor time that a process has taken so far, seconds.
///
/// # Errors
///
/// When it is gone.
pub fn cpu_s_of(process: u32) -> Result<f64> {
    Ok(Cost::of(process)?.cpu_s)
}

/// Runs the load against the server that `PARTYLINE_SERVER` names, then against the floor.
///
/// Call it on the thread of a single-threaded runtime: it decides on which cores this thread, and what it starts, runs.
///
/// # Errors
///
/// When something does not start. What goes wrong later is in the report.
pub async fn run(load: Load) -> Result<Report> {
    let load = load.check()?;
    allow_descriptors(2 * load.listeners + load.stalled + 1_000)?;
    let cores = Cores::split()?;
    let noise = Noise::new()?;

    cores.take_first()?;
    let server = ServerProcess::start(&noise.arguments()).await?;
    cores.take_others()?;
    let process = server.id()?;
    let ears = Rc::new(Ears::new(&noise.sound.bytes()));
    let local = LocalSet::new();
    let url = server.socket_url();
    let work = listen(load, &url, Rc::clone(&ears), process);
    let (empty, full) = local.run_until(work).await?;
    drop(local);
    drop(server);

    let (bytes, every) = ears.cadence().context("no chunk came")?;
    let heard = ears.heard.take();
    let together = heard.together();
    cores.take_first()?;
    let floor = floor::start(load.listeners, bytes * together as usize, every * together)?;
    cores.take_others()?;
    let seconds = load.seconds.min(FLOOR_SECONDS_MAX);
    let floor = LocalSet::new().run_until(floor::read(floor, load.listeners, seconds)).await?;
    Ok(Report::new(load, heard, &Costs { empty, full, floor }))
}

/// Joins everybody, measures, and returns what the empty server and the full one take.
async fn listen(load: Load, url: &str, ears: Rc<Ears>, process: u32) -> Result<(Cost, [Cost; 2])> {
    // One that comes and goes, so that what the first listener ever costs is not counted.
    listener::run(url.to_owned(), "first".to_owned(), Kind::Brief, Rc::clone(&ears)).await;
    let empty = Cost::of(process)?;
    let mut tasks = JoinSet::new();
    let mut next = Instant::now();
    let join = |tasks: &mut JoinSet<()>, name: String, kind: Kind| {
        tasks.spawn_local(listener::run(url.to_owned(), name, kind, Rc::clone(&ears)));
    };
    for number in 0..load.listeners + load.stalled {
        let kind = if number < load.listeners { Kind::Stays } else { Kind::Stalled };
        join(&mut tasks, format!("load-{number}"), kind);
        next += Duration::from_secs_f64(ARRIVALS_PER_S.recip());
        sleep_until(next).await;
    }
    sleep_until(next + FILL).await;
    let probes = probe::start(url.to_owned())?;
    ears.begin();
    let before = Cost::of(process)?;
    let until = Instant::now() + Duration::from_secs(load.seconds);
    let mut number = 0;
    let mut next = Instant::now();
    while load.churn_per_s > 0.0 && next < until {
        join(&mut tasks, format!("churn-{number}"), Kind::Brief);
        number += 1;
        next += Duration::from_secs_f64(load.churn_per_s.recip());
        sleep_until(next.min(until)).await;
    }
    sleep_until(until).await;
    let after = Cost::of(process)?;
    ears.end();
    ears.heard.borrow_mut().replies = probes.finish()?;
    tasks.shutdown().await;
    Ok((empty, [before, after]))
}

/// The sound that is played.
struct Noise {
    sound: Stereo16,
    path: PathBuf,
    _folder: TempDir,
}

impl Noise {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("noise.wav");
        let sound = Stereo16::noise(FRAMES, 1);
        sound.write_wav(&path)?;
        Ok(Self { sound, path, _folder: folder })
    }

    fn arguments(&self) -> [OsString; 4] {
        let places = (2 * LISTENERS_MAX).to_string();
        ["--source".into(), self.path.clone().into(), "--max-listeners".into(), places.into()]
    }
}

/// The cores of this machine: one for the server, the others for the listeners.
struct Cores {
    first: CpuSet,
    others: CpuSet,
}

impl Cores {
    fn split() -> Result<Self> {
        let all = sched_getaffinity(None)?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core));
        let (mut first, mut others) = (CpuSet::new(), CpuSet::new());
        first.set(usable.next().context("no core")?);
        usable.for_each(|core| others.set(core));
        ensure!(others.count() > 0, "one core only: the listeners need another than the server");
        Ok(Self { first, others })
    }

    /// This thread, and what it starts, runs on the server's core from now on.
    fn take_first(&self) -> Result<()> {
        Ok(sched_setaffinity(None, &self.first)?)
    }

    fn take_others(&self) -> Result<()> {
        Ok(sched_setaffinity(None, &self.others)?)
    }
}

/// Raises the limit of open sockets, which child processes inherit, as far as the system lets it.
fn allow_descriptors(needed: usize) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let allowed = maximum.unwrap_or(u64::MAX);
    ensure!(allowed >= needed as u64, "{needed} open files are needed, `ulimit -Hn` is {allowed}");
    Ok(())
}
