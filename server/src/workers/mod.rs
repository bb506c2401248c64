//! Several processes behind one port, started and watched by one that decodes for them: the coordinator.
//!
//! A worker is an edge on the same machine, and the system gives each connection to one of them.

mod process;
mod supervisor;

use std::ffi::OsString;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use tempfile::TempDir;
use thiserror::Error;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::process::{Happening, Worker};
use self::supervisor::{Fate, Order, Supervisor};
use crate::cluster::{Cluster, Endpoint};
use crate::config::Config;
use crate::host_clock;
use crate::http::accept::{self, Reserved};
use crate::server::{StartError, identity, open_sources};
use crate::studio::Studio;
use crate::uplink::transport::jitter;

/// How long a worker may take to stop in order: its own limit, and some time for a busy machine.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// None of the workers is left. Shows as one line.
#[derive(Debug, Error)]
#[error("all workers ended too often: see the messages before this one")]
pub struct AllDead;

/// A running coordinator.
#[derive(Debug)]
pub struct Coordinator {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    watching: JoinHandle<Result<(), AllDead>>,
    /// What the workers follow, if it is here.
    studio: Option<Studio>,
    /// Holds the port.
    _reserved: Option<Reserved>,
    /// Where the workers and this process meet.
    _folder: Option<TempDir>,
}

impl Coordinator {
    /// Opens the sources, reserves the port, and starts the workers. Returns when all of them listen.
    ///
    /// # Errors
    ///
    /// [`StartError`]. Nothing runs after any error.
    pub async fn start(config: Config, workers: u16) -> Result<Self, StartError> {
        config.cluster.check(config.port, config.ops_port)?;
        // Here it is said once, and at once.
        #[cfg(feature = "tls")]
        config.tls.check()?;
        let listen_error =
            |error| StartError::Listen { host: config.host.clone(), port: config.port, error };
        let source =
            if config.cluster.is_edge() { None } else { Some(open_sources(&config).await?) };
        let reserved = accept::reserve(&config.host, config.port).await.map_err(listen_error)?;
        let address = reserved.address();
        // Workers that have ports of their own bind them.
        let reserved = (!config.cluster.worker_ports).then_some(reserved);
        let (mut studio, mut folder) = (None, None);
        let cluster = match source {
            None => {
                config.cluster.meeting().await?;
                config.cluster.clone()
            }
            Some(source) => {
                let mut meeting = config.cluster.meeting().await?;
                let mut builder = tempfile::Builder::new();
                builder.prefix("partyline-");
                // Who reaches the socket may follow.
                #[cfg(unix)]
                builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
                let place = builder.tempdir();
                let place = place.map_err(StartError::Folder)?;
                let endpoint = Endpoint::unix(&place.path().join("origin").to_string_lossy());
                meeting.listen.push(endpoint.clone());
                let identity = identity(&config, address.port());
                studio = Some(Studio::play(identity, source, Some(meeting)).await?);
                folder = Some(place);
                Cluster { edge: vec![endpoint], ..config.cluster.clone() }
            }
        };
        let template = Template { config, cluster, port: address.port() };
        let (stop, stopped) = watch::channel(false);
        let (complete, completed) = oneshot::channel();
        let watch = Watch {
            supervisor: Supervisor::new(workers, host_clock::now()),
            running: (0..workers).map(|_| None).collect(),
            template,
            complete: Some(complete),
        };
        let watching = tokio::spawn(watch.run(stopped));
        if completed.await.is_err() {
            return Err(StartError::Workers(AllDead));
        }
        Ok(Self { address, stop, watching, studio, _reserved: reserved, _folder: folder })
    }

    /// The address that is bound, or the first one, with the real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns when none of the workers is left.
    pub async fn failed(&mut self) -> AllDead {
        // It ends by itself for no other reason, but for a panic.
        let _ = (&mut self.watching).await;
        AllDead
    }

    /// Stops the workers in order, and then what they followed. Returns whether all of it was done within `limit`, and
    /// some time for workers; what was not is killed.
    pub async fn shutdown(mut self, limit: Duration) -> bool {
        // An error says that nothing runs any more.
        let _ = self.stop.send(true);
        let finish = async {
            if !self.watching.is_finished() {
                let _ = (&mut self.watching).await;
            }
            if let Some(studio) = &mut self.studio {
                studio.close().await;
            }
        };
        let done = timeout(limit + STOP_WITHIN, finish).await.is_ok();
        self.watching.abort();
        done
    }
}

/// What a worker is told on its command line.
#[derive(Debug)]
struct Template {
    config: Config,
    cluster: Cluster,
    port: u16,
}

impl Template {
    fn arguments(&self, worker: usize) -> Vec<OsString> {
        let Self { config, cluster, port } = self;
        let worker = u16::try_from(worker).unwrap_or(u16::MAX);
        let offset = if cluster.worker_ports { worker } else { 0 };
        let mut line: Vec<OsString> = vec!["--worker".into()];
        if !cluster.worker_ports {
            line.push("--shared-port".into());
        }
        let mut option = |name: &str, value: OsString| line.extend([name.into(), value]);
        option("--host", config.host.clone().into());
        option("--port", port.saturating_add(offset).to_string().into());
        option("--max-listeners", config.max_listeners.to_string().into());
        option("--max-per-address", config.max_per_address.to_string().into());
        option("--party", cluster.party.clone().into());
        for origin in &config.allow_origins {
            option("--allow-origin", origin.into());
        }
        if let Some(url) = &config.public_url {
            option("--public-url", url.to_string().into());
        }
        option("--base-path", config.base_path.to_string().into());
        for endpoint in &cluster.edge {
            option("--edge", endpoint.to_string().into());
        }
        if let Some(ops_port) = config.ops_port {
            let ops_port = if ops_port == 0 { 0 } else { ops_port.saturating_add(worker) };
            option("--ops-port", ops_port.to_string().into());
        }
        for (name, file) in [
            ("--edge-secret", &cluster.edge_secret),
            ("--edge-ca", &cluster.edge_ca),
            ("--edge-cert", &cluster.edge_cert),
            ("--edge-key", &cluster.edge_key),
            #[cfg(feature = "tls")]
            ("--tls-cert", &config.tls.tls_cert),
            #[cfg(feature = "tls")]
            ("--tls-key", &config.tls.tls_key),
        ] {
            if let Some(file) = file {
                option(name, file.into());
            }
        }
        if cluster.insecure_edges {
            line.push("--insecure-edges".into());
        }
        line
    }
}

/// Watches over the workers.
struct Watch {
    supervisor: Supervisor,
    running: Vec<Option<Worker>>,
    template: Template,
    /// Waits for all of them to listen.
    complete: Option<oneshot::Sender<()>>,
}

impl Watch {
    async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), AllDead> {
        loop {
            let now = host_clock::now();
            while let Some(order) = self.supervisor.poll(now) {
                self.carry_out(order);
            }
            if self.supervisor.is_dead() {
                return Err(AllDead);
            }
            if self.supervisor.is_complete()
                && let Some(complete) = self.complete.take()
            {
                // An error says that nobody waits for it any more.
                let _ = complete.send(());
            }
            let wait = self.supervisor.deadline().map(|at| (at - now).as_micros());
            let wait = wait
                .map_or(Duration::MAX, |us| Duration::from_micros(u64::try_from(us).unwrap_or(0)));
            tokio::select! {
                (worker, happening) = next(&mut self.running) => self.note(worker, happening),
                () = sleep(wait) => {}
                _ = stop.wait_for(|&stop| stop) => break,
            }
        }
        self.stop().await;
        Ok(())
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Start(worker) => match Worker::start(&self.template.arguments(worker)) {
                Ok(started) => self.running[worker] = Some(started),
                Err(error) => self.ended(worker, &format!("cannot be started: {error}")),
            },
            Order::Kill(worker) => {
                tracing::error!("worker {} is not ready in time: killed", worker + 1);
                if let Some(running) = &mut self.running[worker] {
                    running.kill();
                }
            }
        }
    }

    fn note(&mut self, worker: usize, happening: Happening) {
        match happening {
            Happening::Ready(address) => {
                tracing::info!("worker {} listens on {address}", worker + 1);
                self.supervisor.handle_ready(host_clock::now(), worker);
            }
            Happening::Ended(Ok(status)) => self.ended(worker, &format!("ended: {status}")),
            Happening::Ended(Err(error)) => self.ended(worker, &format!("is lost: {error}")),
        }
    }

    fn ended(&mut self, worker: usize, how: &str) {
        self.running[worker] = None;
        let number = worker + 1;
        let fate = self.supervisor.handle_end(host_clock::now(), worker, jitter());
        match fate {
            Fate::Again(pause) => {
                let seconds = pause.as_secs_f64();
                tracing::error!("worker {number} {how}; started again in {seconds:.1} s");
            }
            Fate::GivenUp => {
                tracing::error!("worker {number} {how}; it ends too often and is given up");
            }
        }
    }

    async fn stop(&mut self) {
        let mut running: Vec<Worker> = self.running.iter_mut().filter_map(Option::take).collect();
        running.iter_mut().for_each(Worker::release);
        let all = async {
            for worker in &mut running {
                while !matches!(worker.next().await, Happening::Ended(_)) {}
            }
        };
        // Those that are left are killed.
        if timeout(STOP_WITHIN, all).await.is_err() {
            tracing::warn!("a worker does not stop: killed");
        }
    }
}

/// The next thing that happens to any of `workers`. Never, without workers.
async fn next(workers: &mut [Option<Worker>]) -> (usize, Happening) {
    let mut waits: Vec<_> = workers
        .iter_mut()
        .enumerate()
        .filter_map(|(number, worker)| Some((number, Box::pin(worker.as_mut()?.next()))))
        .collect();
    poll_fn(|context| {
        for (number, wait) in &mut waits {
            if let Poll::Ready(happening) = wait.as_mut().poll(context) {
                return Poll::Ready((*number, happening));
            }
        }
        Poll::Pending
    })
    .await
}

/// Resolves when whoever started this process is gone, or wants it to stop: its end of the standard input is closed.
pub async fn untethered() {
    let (gone, wait) = oneshot::channel();
    let reading = std::thread::Builder::new().name("tether".to_owned()).spawn(move || {
        // Nothing is ever written there. An error is an end as well.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = gone.send(());
    });
    match reading {
        // An error says that the thread is gone, which is as good.
        Ok(_) => drop(wait.await),
        Err(error) => tracing::error!(%error, "cannot watch the coordinator"),
    }
}
