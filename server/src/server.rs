//! The assembled server: every thread and task, and what becomes of each at the end.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::app::{self, App};
use crate::config::Config;
use crate::fanout::count::Roster;
use crate::fanout::demand::Demand;
use crate::fanout::hub::Hub;
use crate::group::Group;
use crate::http::accept::{self, Door};
pub use crate::http::gate::connections_max;
use crate::http::gate::{Gate, Limits};
pub use crate::http::join_url::{join_url, url};
use crate::http::origins::Origins;
use crate::http::socket::dispatcher::Dispatcher;
use crate::metrics::Metrics;
use crate::pipeline::pump::Pump;
use crate::session::Identity;
use crate::source::{self, Source, SourceError};

/// Connections to the port of those who run the server: a few programs that look now and then.
const OPS_LIMITS: Limits = Limits { listeners: 0, per_address: 100 };

/// Why a server did not start. Shows as one line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is nothing to play.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The port is taken, or the address is not this machine's.
    #[error("cannot listen on {}: {}", url(.host, *.port), cause(.error))]
    Listen {
        /// As configured.
        host: String,
        /// As configured.
        port: u16,
        /// The system's word.
        error: io::Error,
    },
    /// The system has no thread to give.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use; choose another with --port".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not use that port".to_owned(),
        _ => error.to_string(),
    }
}

/// A running server. Dropped without [`Server::shutdown`], its thread stops, its connections and its
/// listener stay until the runtime ends.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// Tells connections to say goodbye, and the listener to take no more.
    shutdown: watch::Sender<bool>,
    /// Accepts connections and answers requests. Ends when it is told and all requests are answered.
    http: JoinHandle<()>,
    /// Ends when the last connection has closed: see `App`.
    connections: mpsc::Receiver<()>,
    /// The decoding thread. Ends after the block it is at.
    pump: Pump,
}

impl Server {
    /// Opens the sources, binds the port, and starts the party.
    ///
    /// # Errors
    ///
    /// [`StartError`]. Nothing has been bound when a source is wrong, and nothing runs after any error.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let (sources, looped) = (config.sources.clone(), !config.no_loop);
        let source = tokio::task::spawn_blocking(move || source::open(&sources, looped))
            .await
            .map_err(|error| StartError::Thread(error.into()))??;
        Self::start_with(config, source).await
    }

    /// Starts a party with `source` instead of those that `config` names.
    ///
    /// # Errors
    ///
    /// [`StartError`], but for its sources. Nothing runs after any error.
    pub async fn start_with(config: Config, source: Box<dyn Source>) -> Result<Self, StartError> {
        let listen_error =
            |error| StartError::Listen { host: config.host.clone(), port: config.port, error };
        let listener = accept::bind(&config.host, config.port).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let ops = match config.ops_port {
            Some(port) => {
                let error = |error| StartError::Listen { host: config.host.clone(), port, error };
                let ops = accept::bind(&config.host, port).await.map_err(error)?;
                tracing::info!(address = %ops.local_addr().map_err(error)?, "operations");
                Some(ops)
            }
            None => None,
        };

        let server_id = server_id(&config.name, address.port());
        let group = Group::new(format!("{server_id}-group"), config.name.clone());
        let hub = Arc::new(Hub::new(group));
        let demand = Arc::new(Demand::default());
        let (shutdown, told) = watch::channel(false);
        let (alive, connections) = mpsc::channel(1);
        let metrics = Arc::new(Metrics::default());
        let gate = Arc::new(Gate::new(Limits {
            listeners: config.max_listeners,
            per_address: config.max_per_address,
        }));
        let state = Arc::new(App {
            gate: Arc::clone(&gate),
            origins: Origins::new(&config.allow_origins),
            dispatcher: Dispatcher::start(&hub, &told),
            hub: Arc::clone(&hub),
            roster: Arc::new(Roster::new(Arc::clone(&demand))),
            metrics: Arc::clone(&metrics),
            accepted: AtomicU64::new(0),
            identity: Arc::new(Identity { server_id, name: config.name }),
            shutdown: told.clone(),
            _alive: alive,
        });
        let pump = Pump::start(source, hub, demand, metrics).map_err(StartError::Thread)?;
        if let Some(ops) = ops {
            let gate = Arc::new(Gate::new(OPS_LIMITS));
            let routes = app::ops(Arc::clone(&state));
            tokio::spawn(accept::serve(ops, Door { gate, metrics: None }, routes, told.clone()));
        }
        let routes = app::app(Arc::clone(&state), config.ops_port.is_none());
        let door = Door { gate, metrics: Some(Arc::clone(&state.metrics)) };
        let http = tokio::spawn(accept::serve(listener, door, routes, told));
        Ok(Self { address, shutdown, http, connections, pump })
    }

    /// The address that is bound, with the real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Ends streams, closes connections and stops. Returns whether all of it was done within `limit`; what
    /// was not is abandoned.
    pub async fn shutdown(mut self, limit: Duration) -> bool {
        // An error says that nobody listens any more.
        let _ = self.shutdown.send(true);
        let finish = async {
            // An error says that the task is gone, which is as good.
            let _ = (&mut self.http).await;
            while self.connections.recv().await.is_some() {}
            self.pump.stop().await;
        };
        let done = timeout(limit, finish).await.is_ok();
        self.http.abort();
        done
    }
}

/// An id that stays the same when the same party is started again on the same machine.
fn server_id(name: &str, port: u16) -> String {
    let mut hasher = DefaultHasher::new();
    #[cfg(unix)]
    rustix::system::uname().nodename().hash(&mut hasher);
    (name, port).hash(&mut hasher);
    format!("partyline-{:016x}", hasher.finish())
}
