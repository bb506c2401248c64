//! The assembled server: every thread and task, and what becomes of each at the end.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::app::{self, App};
#[cfg(feature = "cluster")]
use crate::cluster::{ClusterError, UplinkError};
use crate::config::{Config, PublicUrl};
use crate::fanout::count::Roster;
use crate::http::accept::{self, Door};
pub use crate::http::entrance::url;
pub use crate::http::gate::connections_max;
use crate::http::gate::{Gate, Limits};
use crate::http::origins::Origins;
use crate::http::own_url::Approach;
use crate::http::socket::dispatcher::Dispatcher;
use crate::session::Identity;
use crate::source::{self, Source, SourceError};
use crate::studio::{Studio, Venue};

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
    /// Connections cannot be encrypted.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] crate::http::tls::TlsError),
    /// The options for more than one process do not fit together, or the world.
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Edges cannot be served.
    #[cfg(feature = "cluster")]
    #[error("edges cannot be served: {0}")]
    Edges(UplinkError),
    /// Workers and their coordinator have no place to meet.
    #[cfg(feature = "cluster")]
    #[error("cannot make a folder for the workers: {0}")]
    Folder(io::Error),
    /// The workers do not start.
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Workers(crate::workers::AllDead),
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
    /// What makes the sound.
    studio: Studio,
}

impl Server {
    /// Opens the sources, binds the port, and starts the party.
    ///
    /// # Errors
    ///
    /// [`StartError`]. Nothing has been bound when a source is wrong, and nothing runs after any error.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        #[cfg(feature = "cluster")]
        {
            config.cluster.check(config.port, config.ops_port)?;
            if config.cluster.is_edge() {
                let meeting = config.cluster.meeting().await?;
                let studio = Studio::follow(&config, meeting).await?;
                let listener = listen(&config).await?;
                return Self::open(config, studio, listener).await;
            }
        }
        let source = open_sources(&config).await?;
        Self::start_with(config, source).await
    }

    /// Starts a party with `source` instead of those that `config` names.
    ///
    /// # Errors
    ///
    /// [`StartError`], but for its sources. Nothing runs after any error.
    pub async fn start_with(config: Config, source: Box<dyn Source>) -> Result<Self, StartError> {
        let listener = listen(&config).await?;
        let port = listener.local_addr().map_or(config.port, |address| address.port());
        let identity = identity(&config, port);
        #[cfg(feature = "cluster")]
        let studio = {
            let is_origin = config.cluster.is_used();
            let meeting = if is_origin { Some(config.cluster.meeting().await?) } else { None };
            Studio::play(identity, source, meeting).await?
        };
        #[cfg(not(feature = "cluster"))]
        let studio = Studio::play(identity, source)?;
        Self::open(config, studio, listener).await
    }

    /// Opens the door to what plays in `studio`.
    async fn open(
        config: Config,
        studio: Studio,
        listener: TcpListener,
    ) -> Result<Self, StartError> {
        let listen_error =
            |error| StartError::Listen { host: config.host.clone(), port: config.port, error };
        let address = listener.local_addr().map_err(listen_error)?;
        let ops = match config.ops_port {
            Some(port) => {
                let error = |error| StartError::Listen { host: config.host.clone(), port, error };
                let ops = accept::bind(&config.host, port, false).await.map_err(error)?;
                tracing::info!(address = %ops.local_addr().map_err(error)?, "operations");
                Some(ops)
            }
            None => None,
        };
        let (shutdown, told) = watch::channel(false);
        #[cfg(feature = "tls")]
        let tls = config.tls.open(address.port(), &told)?;
        let Venue { hub, demand, clock, metrics, control, darkroom, observatory } =
            studio.venue.clone();
        let (alive, connections) = mpsc::channel(1);
        let gate = Arc::new(Gate::new(Limits {
            listeners: config.max_listeners,
            per_address: config.max_per_address,
        }));
        let state = Arc::new(App {
            gate: Arc::clone(&gate),
            origins: origins(&config),
            dispatcher: Dispatcher::start(&hub, &clock, &told),
            darkroom,
            observatory,
            hub,
            roster: Arc::new(Roster::new(demand)),
            clock,
            metrics,
            control,
            usual: Approach {
                is_secure: config.entrance().is_secure,
                path: config.base_path.to_string(),
            },
            accepted: AtomicU64::new(0),
            shutdown: told.clone(),
            _alive: alive,
        });
        if let Some(ops) = ops {
            let gate = Arc::new(Gate::new(OPS_LIMITS));
            let routes = app::ops(Arc::clone(&state));
            tokio::spawn(accept::serve(ops, Door::open(gate), routes, told.clone()));
        }
        let routes = app::app(Arc::clone(&state), config.base_path, config.ops_port.is_none());
        let door = Door {
            metrics: Some(Arc::clone(&state.metrics)),
            #[cfg(feature = "tls")]
            tls,
            ..Door::open(gate)
        };
        let http = tokio::spawn(accept::serve(listener, door, routes, told));
        Ok(Self { address, shutdown, http, connections, studio })
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
            self.studio.close().await;
        };
        let done = timeout(limit, finish).await.is_ok();
        self.http.abort();
        done
    }
}

/// Opens the sources.
pub(crate) async fn open_sources(config: &Config) -> Result<Box<dyn Source>, StartError> {
    let (sources, options) = (config.sources.clone(), config.playback());
    let opened = tokio::task::spawn_blocking(move || source::open(&sources, &options)).await;
    Ok(opened.map_err(|error| StartError::Thread(error.into()))??)
}

/// The sites whose pages may listen, besides this server itself.
fn origins(config: &Config) -> Origins {
    let public = config.public_url.as_ref().map(PublicUrl::origin);
    Origins::new(config.allow_origins.iter().map(String::as_str).chain(public))
}

/// Who this is, at this port.
pub(crate) fn identity(config: &Config, port: u16) -> Identity {
    let rules = config.rules();
    Identity { server_id: server_id(&config.name, port), name: config.name.clone(), rules }
}

/// Binds the port.
async fn listen(config: &Config) -> Result<TcpListener, StartError> {
    #[cfg(feature = "cluster")]
    let shared = config.cluster.shared_port;
    #[cfg(not(feature = "cluster"))]
    let shared = false;
    let bound = accept::bind(&config.host, config.port, shared).await;
    bound.map_err(|error| StartError::Listen {
        host: config.host.clone(),
        port: config.port,
        error,
    })
}

/// An id that stays the same when the same party is started again on the same machine.
fn server_id(name: &str, port: u16) -> String {
    let mut hasher = DefaultHasher::new();
    #[cfg(unix)]
    rustix::system::uname().nodename().hash(&mut hasher);
    (name, port).hash(&mut hasher);
    format!("partyline-{:016x}", hasher.finish())
}
