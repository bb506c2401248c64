//! What may stand between a listener and the server: a reverse proxy below a path, and a listener's own encryption.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longest head of a request, bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How long a connection or a handshake may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// What the system holds of a connection that is encrypted here, bytes: little, so that who does not read is noticed.
const HELD_BYTES: u32 = 16 << 10;

/// What a proxy does to the connections through it.
#[derive(Clone, Debug)]
enum Way {
    /// Answers below this path, and passes requests on without it.
    CutsOff(&'static str),
    /// Encrypts.
    Encrypts(Secure),
}

/// A proxy on a port of its own. Its connections end with it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A reverse proxy that serves what is at `server` below `path`, and cuts it off.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn below(path: &'static str, server: u16) -> Result<Self> {
        Self::start(Way::CutsOff(path), server)
    }

    /// Encrypts for those who cannot, as `secure` has it.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn encrypting(secure: Secure, server: u16) -> Result<Self> {
        Self::start(Way::Encrypts(secure), server)
    }

    fn start(way: Way, server: u16) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_send_buffer_size(HELD_BYTES)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(64)?;
        let port = listener.local_addr()?.port();
        Ok(Self { port, task: tokio::spawn(serve(listener, way, server)) })
    }

    /// Where it is reached.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, way: Way, server: u16) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let way = way.clone();
        connections.spawn(async move {
            // Whoever asks sees that the connection ends.
            let _ = pass(stream, way, server).await;
        });
    }
}

async fn pass(mut stream: TcpStream, way: Way, server: u16) -> Result<()> {
    match way {
        Way::CutsOff(path) => {
            let Some(head) = cut_off(path, &mut stream).await? else { return Ok(()) };
            let mut onward = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
            onward.write_all(&head).await?;
            copy_bidirectional(&mut stream, &mut onward).await?;
        }
        Way::Encrypts(secure) => {
            let mut onward = secure.connect(server).await?;
            copy_bidirectional(&mut stream, &mut onward).await?;
        }
    }
    Ok(())
}

/// What has been read of a request, without `path`. Whoever asks for something else is answered here.
async fn cut_off(path: &str, stream: &mut TcpStream) -> Result<Option<Vec<u8>>> {
    let mut read = Vec::new();
    while !read.windows(4).any(|four| four == b"\r\n\r\n") {
        ensure!(read.len() < HEAD_BYTES_MAX, "a long head");
        ensure!(stream.read_buf(&mut read).await? > 0, "an end in the middle of a head");
    }
    let text = String::from_utf8(read)?;
    let (method, rest) = text.split_once(' ').context("no request")?;
    match rest.strip_prefix(path) {
        Some(below) if below.starts_with('/') => Ok(Some(format!("{method} {below}").into_bytes())),
        _ => {
            let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).await?;
            Ok(None)
        }
    }
}

/// How a server is checked, and by which name.
#[derive(Clone, Debug)]
pub struct Secure {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Secure {
    /// Trusts `certificate`, and what it vouches for, as `name`. `protocols` are offered.
    ///
    /// # Errors
    ///
    /// When these are none.
    pub fn new(
        certificate: CertificateDer<'static>,
        name: &str,
        protocols: &[&str],
    ) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(name.to_owned())?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// Connects to a port of this machine, with little room for what is not read.
    ///
    /// # Errors
    ///
    /// When nobody listens, or both sides do not agree.
    pub async fn connect(&self, port: u16) -> Result<TlsStream<TcpStream>> {
        let connecting = async {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(HELD_BYTES)?;
            let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await?;
            TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), stream).await
        };
        Ok(timeout(CONNECT_LIMIT, connecting).await.context("no connection in time")??)
    }
}
