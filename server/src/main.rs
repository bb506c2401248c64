//! Reads the command line, starts the server, waits for a signal. Nothing else.

use std::future::pending;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;
use server::announce::Announcement;
use server::config::Config;
use server::rights::HostKey;
use server::server::{Server, StartError};
#[cfg(feature = "cluster")]
use server::workers::Coordinator;
use tracing_subscriber::EnvFilter;

/// What is logged unless `RUST_LOG` says otherwise. The decoders' own words are left out: the source says what is
/// wrong with a file, once and by its name. So do those of who asks for certificates.
const LOG_FILTER: &str = "info,symphonia=off,rustls_acme=warn";

/// How long stopping may take. Container runtimes kill after ten seconds, people after two.
const STOP_WITHIN: Duration = Duration::from_millis(1_500);

/// Exit code for a start that the person has to change something for, as clap's.
const EXIT_USAGE: u8 = 2;

/// Exit code of a process that ended on the second interrupt: 128 and the signal's number.
const EXIT_INTERRUPTED: i32 = 130;

fn main() -> anyhow::Result<ExitCode> {
    let config = match Config::try_parse() {
        Ok(config) => config,
        // The message says what is expected; what clap puts below it is for mistyped options.
        Err(error) if error.kind() == ErrorKind::ValueValidation => {
            let text = error.to_string();
            writeln!(io::stderr(), "{}", text.lines().next().unwrap_or_default())?;
            return Ok(ExitCode::from(EXIT_USAGE));
        }
        Err(error) => error.exit(),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    // Whatever is asked for: it logs its configuration, and so the secret of edges.
    let filter = filter.add_directive("zenoh=error".parse()?);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    #[cfg(unix)]
    allow_descriptors(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(run(config));
    // Not dropped: that would wait for a decode that blocks.
    runtime.shutdown_background();
    code
}

/// Open files that a server has besides those of its connections: sources, the runtime's own, and what is on the way.
#[cfg(unix)]
const OTHER_FILES: u64 = 64;

/// Lets the process have as many open files as the system allows it, and warns when those are too few.
#[cfg(unix)]
fn allow_descriptors(config: &Config) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let allowed = if raised.is_ok() { maximum } else { current };
    let needed = server::server::connections_max(config.max_listeners) as u64 + OTHER_FILES;
    if allowed.is_some_and(|allowed| allowed < needed) {
        tracing::warn!(
            "--max-listeners {} needs {needed} open files, the system allows {}: raise `ulimit -Hn`",
            config.max_listeners,
            allowed.unwrap_or_default()
        );
    }
}

async fn run(mut config: Config) -> anyhow::Result<ExitCode> {
    if config.host_key.is_none() && !config.follows() {
        config.host_key = Some(HostKey::random()?);
    }
    let asked = config.clone();
    let mut signals = Signals::new()?;
    #[cfg(feature = "cluster")]
    let is_worker = config.cluster.worker;
    #[cfg(not(feature = "cluster"))]
    let is_worker = false;
    let started = tokio::select! {
        started = Running::start(config) => started,
        // What was begun ends with the process.
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let mut server = match started {
        Ok(server) => server,
        Err(error) => {
            writeln!(io::stderr(), "error: {error}")?;
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    let address = server.local_addr();
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {}", asked.entrance().listening(address.port()))?;
    stdout.flush()?;
    let join_url = asked.entrance().join_url(address);
    // An edge's host is its origin's.
    if let Some(key) = asked.host_key.as_ref().filter(|_| !asked.follows()) {
        // On standard output, as logs are kept and passed around. Who started it may have stopped reading.
        let _ = writeln!(stdout, "host link: {}", key.link(&join_url));
        let _ = stdout.flush();
    }
    if !is_worker && (asked.qr || io::stderr().is_terminal()) {
        invite(&join_url)?;
    }
    let announcement = Announcement::start(&asked, address);
    tokio::select! {
        () = signals.next() => {}
        () = untethered(is_worker) => {}
        error = server.failed() => {
            writeln!(io::stderr(), "error: {error}")?;
            return Ok(ExitCode::FAILURE);
        }
    }
    tracing::info!("stopping");
    tokio::spawn(async move {
        signals.next().await;
        exit_now();
    });
    let goodbye = async {
        if let Some(announcement) = announcement {
            announcement.take_back().await;
        }
    };
    let (in_order, ()) = tokio::join!(server.shutdown(STOP_WITHIN), goodbye);
    if !in_order {
        tracing::warn!("stopped without waiting for everyone");
    }
    Ok(ExitCode::SUCCESS)
}

/// What this process runs.
enum Running {
    Server(Server),
    #[cfg(feature = "cluster")]
    Coordinator(Coordinator),
}

impl Running {
    async fn start(config: Config) -> Result<Self, StartError> {
        #[cfg(feature = "cluster")]
        if let Some(workers) = config.cluster.workers {
            return Coordinator::start(config, workers).await.map(Self::Coordinator);
        }
        Server::start(config).await.map(Self::Server)
    }

    fn local_addr(&self) -> SocketAddr {
        match self {
            Self::Server(server) => server.local_addr(),
            #[cfg(feature = "cluster")]
            Self::Coordinator(coordinator) => coordinator.local_addr(),
        }
    }

    /// Returns why it cannot go on. Never, while it can.
    async fn failed(&mut self) -> String {
        match self {
            Self::Server(_) => pending().await,
            #[cfg(feature = "cluster")]
            Self::Coordinator(coordinator) => coordinator.failed().await.to_string(),
        }
    }

    async fn shutdown(self, limit: Duration) -> bool {
        match self {
            Self::Server(server) => server.shutdown(limit).await,
            #[cfg(feature = "cluster")]
            Self::Coordinator(coordinator) => coordinator.shutdown(limit).await,
        }
    }
}

/// Returns when a worker is to stop because its coordinator says so, or is gone.
async fn untethered(is_worker: bool) {
    #[cfg(feature = "cluster")]
    if is_worker {
        return server::workers::untethered().await;
    }
    let _ = is_worker;
    pending::<()>().await;
}

/// Prints the address for guests and its QR code.
fn invite(url: &str) -> anyhow::Result<()> {
    let mut stderr = io::stderr().lock();
    writeln!(stderr, "\n  Join the party: {url}\n")?;
    let code = fast_qr::QRBuilder::new(url).build()?;
    writeln!(stderr, "{}", code.to_str())?;
    Ok(())
}

#[allow(clippy::exit, reason = "a second interrupt means now, whatever still runs")]
fn exit_now() -> ! {
    std::process::exit(EXIT_INTERRUPTED)
}

/// What asks the process to stop: an interrupt from the keyboard, or a request to terminate.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        // An error says that there is no console to be interrupted from.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
