//! The door: takes connections in, refuses those beyond the limits, and gives each its time to ask.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tower_service::Service;

use super::gate::{Gate, Pass, Refusal};
#[cfg(feature = "tls")]
use super::tls::{self, Tls};
use crate::metrics::Metrics;

/// How long a request's head may take: a phone on a bad network needs a second.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection may be kept for further requests, and how long the answer that is under way then may take: a
/// peer that does not read its answer must not be kept for ever. A WebSocket has limits of its own.
const OPEN_MAX: Duration = Duration::from_mins(2);
const FINISH_WITHIN: Duration = Duration::from_secs(30);

/// Largest head of a request, bytes. Browsers send less than 2 KiB.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Bytes that the system holds back unsent for a connection before it makes the writer wait.
///
/// What waits in the server can be overtaken by a time reply; what waits in the system cannot. This is about
/// two chunks. Less would wake the writer more often than there are chunks.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES_MAX: u32 = 32 << 10;

/// Connections that the system holds until they are taken, unless it is set to hold fewer. The usual 128 are full after a
/// few milliseconds when a hall opens the page at once, and who comes then waits for seconds.
const BACKLOG: u32 = 4_096;

/// How long to wait when the system has no descriptor or memory for a connection: one may have been closed by then.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(50);

/// When to come back, seconds.
pub(crate) const RETRY_AFTER_S: u64 = 5;

/// Whose request it is. Among its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Where it comes from.
    pub(crate) address: SocketAddr,
    /// Its connection counts as long as this lives.
    pub(crate) _pass: Arc<Pass>,
}

/// Binds the first address of `host` that can be bound. With `shared`, other processes may bind it as well, and the system
/// gives each connection to one of them.
///
/// # Errors
///
/// The system's, for the last address.
pub(crate) async fn bind(host: &str, port: u16, shared: bool) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await? {
        match listen(address, shared) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// A port that is kept from others, while workers listen there.
#[derive(Debug)]
pub(crate) struct Reserved {
    _socket: TcpSocket,
    address: SocketAddr,
}

impl Reserved {
    /// What is reserved, with the real port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Reserves the first address of `host` that is free.
///
/// # Errors
///
/// The system's, for the last address.
pub(crate) async fn reserve(host: &str, port: u16) -> io::Result<Reserved> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await? {
        // Shared ports can be shared with another party by mistake: first it has to be free for one alone.
        let free = open(address, false).and_then(|socket| socket.local_addr());
        let reserved = free.and_then(|free| {
            let socket = open(free, true)?;
            Ok(Reserved { address: socket.local_addr()?, _socket: socket })
        });
        match reserved {
            Ok(reserved) => return Ok(reserved),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    open(address, shared)?.listen(BACKLOG)
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that is started again need not wait for the connections of the one before.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    #[cfg(target_os = "linux")]
    socket.set_reuseport(shared)?;
    #[cfg(not(target_os = "linux"))]
    let _ = shared;
    socket.bind(address)?;
    Ok(socket)
}

/// Serves `router` to whoever connects, until it is told to stop. Connections end after what they are at; each holds a
/// clone of the router.
pub(crate) async fn serve(
    listener: TcpListener,
    door: Door,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(&mut stop) => break,
        };
        match accepted {
            Ok((stream, address)) => match door.gate.enter(address.ip()) {
                Ok(pass) => {
                    prepare(&stream);
                    let peer = Peer { address, _pass: Arc::new(pass) };
                    let visit = Visit { peer, router: router.clone(), stop: stop.clone() };
                    door.show_in(stream, visit);
                }
                Err(refusal) => door.refuse(&stream, refusal),
            },
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken");
                sleep(EXHAUSTED_WAIT).await;
            }
        }
    }
}

/// Returns when it is time to stop.
async fn told(stop: &mut watch::Receiver<bool>) {
    // An error says that the server was dropped, which is as good.
    let _ = stop.wait_for(|&stop| stop).await;
}

/// Returns when a connection that begins now is to take no more requests.
async fn told_or_old(stop: &mut watch::Receiver<bool>) {
    // An error says that it is old.
    let _ = timeout(OPEN_MAX, told(stop)).await;
}

/// What one connection is answered with.
#[derive(Debug)]
pub(crate) struct Visit {
    peer: Peer,
    router: Router,
    /// Becomes true when no more requests are to be taken.
    stop: watch::Receiver<bool>,
}

impl Visit {
    /// Where the connection comes from.
    #[cfg(feature = "tls")]
    pub(crate) fn address(&self) -> SocketAddr {
        self.peer.address
    }

    /// Returns when it is time to stop.
    #[cfg(feature = "tls")]
    pub(crate) async fn told(&self) {
        told(&mut self.stop.clone()).await;
    }

    /// The same with other answers.
    #[cfg(feature = "tls")]
    pub(crate) fn with(self, router: Router) -> Self {
        Self { router, ..self }
    }

    /// Answers the connection's requests. A WebSocket goes on without it.
    pub(crate) async fn answer<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, router, mut stop } = self;
        let address = peer.address;
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), Requests { router, peer })
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => Ok(ended),
            () = told_or_old(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                timeout(FINISH_WITHIN, connection).await
            }
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%address, %error, "a connection ended"),
            Err(_) => tracing::debug!(%address, "does not read its answer"),
        }
    }
}

/// Hands each request of one connection to the routes, and says whose it is.
#[derive(Clone, Debug)]
struct Requests {
    router: Router,
    peer: Peer,
}

impl hyper::service::Service<hyper::Request<Incoming>> for Requests {
    type Response = Response;
    type Error = Infallible;
    type Future = <Router as Service<Request>>::Future;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer.clone());
        // A router is always ready.
        self.router.clone().call(request)
    }
}

/// Messages leave when they are written, and little of them waits where nothing can overtake it.
fn prepare(stream: &TcpStream) {
    let set = || -> io::Result<()> {
        stream.set_nodelay(true)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
        Ok(())
    };
    if let Err(error) = set() {
        tracing::debug!(%error, "a connection without socket options");
    }
}

/// Who may come in, and where those are counted who may not.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) gate: Arc<Gate>,
    pub(crate) metrics: Option<Arc<Metrics>>,
    /// How connections are encrypted, if they are.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
}

impl Door {
    /// A door without encryption, where nobody is counted.
    pub(crate) fn open(gate: Arc<Gate>) -> Self {
        Self {
            gate,
            metrics: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Answers a connection that may come in.
    #[cfg_attr(
        not(feature = "tls"),
        allow(clippy::unused_self, reason = "without encryption nobody is greeted first")
    )]
    fn show_in(&self, stream: TcpStream, visit: Visit) {
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls.clone() {
            tokio::spawn(tls::greet(tls, stream, visit));
            return;
        }
        tokio::spawn(visit.answer(stream));
    }

    fn refuse(&self, stream: &TcpStream, refusal: Refusal) {
        if self.metrics.as_ref().is_some_and(|metrics| metrics.refuse(refusal.into())) {
            tracing::warn!("refused a connection: {}; more are counted only", refusal.in_words());
        }
        refuse(stream, refusal);
    }
}

/// Says why, as far as that goes without waiting, and hangs up.
fn refuse(stream: &TcpStream, refusal: Refusal) {
    let words = refusal.in_words();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {RETRY_AFTER_S}\r\nConnection: close\r\n\
         Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{words}\n",
        words.len() + 1
    );
    // Fits into the empty buffer of a fresh connection; a peer that is gone needs no answer.
    let _ = stream.try_write(answer.as_bytes());
}

/// Whether only the connection that was to be taken is at fault: it was gone again.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
