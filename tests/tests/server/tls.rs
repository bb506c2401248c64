//! Connections that the server encrypts itself.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::client::{Client, Hello, REPLY_LIMIT, Received};
use e2e::http::{get, request};
use e2e::process::ServerProcess;
use e2e::proxy::{Proxy, Secure};
use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::audio::{assert_contiguous, assert_is_loop_of, frames_of, joined};
use crate::{Party, until};

/// What the server gives a connection until it is encrypted, and twice as much again for a busy machine.
const GREET_LIMIT: Duration = Duration::from_secs(30);

/// A certificate for `localhost` and its key, in files.
struct Certificate {
    der: CertificateDer<'static>,
    folder: TempDir,
}

impl Certificate {
    fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let made = CertificateParams::new(["localhost".to_owned()])?.self_signed(&key)?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("cert.pem"), made.pem())?;
        fs::write(folder.path().join("key.pem"), key.serialize_pem())?;
        Ok(Self { der: made.der().clone(), folder })
    }

    fn path(&self, name: &str) -> Result<String> {
        Ok(self.folder.path().join(name).to_str().context("a path")?.to_owned())
    }

    fn options(&self) -> Result<Vec<String>> {
        let (cert, key) = (self.path("cert.pem")?, self.path("key.pem")?);
        Ok(vec!["--tls-cert".to_owned(), cert, "--tls-key".to_owned(), key])
    }

    /// As browsers ask: they can do more than the server does.
    fn trusted(&self) -> Result<Secure> {
        Secure::new(self.der.clone(), "localhost", &["h2", "http/1.1"])
    }

    async fn party(&self, frames: usize) -> Result<Party> {
        let options = self.options()?;
        Party::start(frames, &options.iter().map(String::as_str).collect::<Vec<_>>()).await
    }
}

#[tokio::test]
async fn a_listener_gets_the_file_to_the_bit_encrypted() -> Result<()> {
    let certificate = Certificate::new()?;
    let mut party = certificate.party(61_987).await?;
    party.server.line_with("listening on https://127.0.0.1:", REPLY_LIMIT).await?;
    let proxy = Proxy::encrypting(certificate.trusted()?, party.server.port())?;
    let page = get(proxy.port(), "/").await?;
    assert_eq!((page.status, page.header("strict-transport-security")), (200, ""));
    let url = format!("ws://127.0.0.1:{}/sendspin", proxy.port());
    let (mut client, _) = Client::listen(&url, &Hello::pcm16("secure"), 250).await?;
    let chunks = frames_of(&mut client, 3 * 61_987, 4).await?;
    assert_contiguous(&chunks, 4);
    assert_is_loop_of(&joined(&chunks), &party.sound.bytes(), 4)?;
    // Time is asked for while sound is on its way.
    let offset = client.offset().await?;
    ensure!(offset.error < 50_000, "{offset:?}");
    party.server.signal(Signal::TERM)?;
    assert!(matches!(client.end().await?, Received::Close { code: 1001, .. }));
    Ok(())
}

#[tokio::test]
async fn one_protocol_is_spoken() -> Result<()> {
    let certificate = Certificate::new()?;
    let party = certificate.party(48_000).await?;
    let port = party.server.port();
    let stream = certificate.trusted()?.connect(port).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let other = Secure::new(certificate.der.clone(), "localhost", &["h2"])?;
    assert!(other.connect(port).await.is_err());
    let stranger = Certificate::new()?.trusted()?;
    assert!(stranger.connect(port).await.is_err(), "the test trusts everybody");
    Ok(())
}

/// A peer that does not read: its frames come whole afterwards, and what is urgent comes soon.
#[tokio::test]
async fn who_stops_reading_goes_on_where_it_stopped() -> Result<()> {
    let certificate = Certificate::new()?;
    let party = certificate.party(61_987).await?;
    let proxy = Proxy::encrypting(certificate.trusted()?, party.server.port())?;
    let url = format!("ws://127.0.0.1:{}/sendspin", proxy.port());
    let mut slow = Client::connect_narrow(&url, 8 << 10).await?;
    slow.send(&Hello::pcm16("slow").message()).await?;
    slow.send(&e2e::client::state(250)).await?;
    slow.expect("stream/start").await?;
    until(true, async || {
        let text = get(proxy.port(), "/metrics").await?.text()?;
        let line = text.lines().find_map(|line| line.strip_prefix("partyline_unsent_bytes "));
        Ok(line.context("no metric")?.parse::<f64>()? > 0.0)
    })
    .await?;
    // Another one is not disturbed.
    let (mut other, _) = Client::listen(&url, &Hello::pcm16("other"), 250).await?;
    other.chunks(5).await?;
    slow.ask_time().await?;
    let mut last = i64::MIN;
    for chunk in slow.chunks(20).await? {
        assert_eq!(chunk.audio.len(), 4 * 4_800);
        assert!(chunk.timestamp > last, "{} after {last}", chunk.timestamp);
        last = chunk.timestamp;
    }
    Ok(())
}

#[tokio::test]
async fn who_comes_without_encryption_is_told_where_to_go() -> Result<()> {
    let certificate = Certificate::new()?;
    let party = certificate.party(48_000).await?;
    let port = party.server.port();
    let led = get(port, "/a/b?c=d").await?;
    let to = format!("https://127.0.0.1:{port}/a/b?c=d");
    assert_eq!((led.status, led.header("location")), (308, to.as_str()));
    assert_eq!(led.header("cache-control"), "no-store");
    let upgrade = [("Upgrade", "websocket")];
    let refused = request(port, "GET /sendspin", &upgrade).await?;
    assert_eq!(refused.status, 400);
    assert!(refused.text()?.contains("expected wss://"), "{refused:?}");
    Ok(())
}

/// Nobody keeps a connection by saying nothing, or something else.
#[tokio::test]
async fn who_does_not_come_to_the_point_is_hung_up_on() -> Result<()> {
    let certificate = Certificate::new()?;
    let party = certificate.party(48_000).await?;
    let begun = [0x16, 3, 1, 2, 0];
    for first in [&b""[..], &begun, &[0x16; 600], b"GET / HT", &[0xff; 40]] {
        let mut stream = TcpStream::connect(("127.0.0.1", party.server.port())).await?;
        stream.write_all(first).await?;
        let mut rest = Vec::new();
        // How it ends is the server's choice.
        let end = timeout(GREET_LIMIT, stream.read_to_end(&mut rest)).await;
        end.with_context(|| format!("still open after {first:?}"))?.ok();
    }
    certificate.trusted()?.connect(party.server.port()).await?;
    Ok(())
}

#[tokio::test]
async fn nobody_is_waited_for_who_says_nothing() -> Result<()> {
    let certificate = Certificate::new()?;
    let Party { server, .. } = certificate.party(48_000).await?;
    let mut silent = TcpStream::connect(("127.0.0.1", server.port())).await?;
    // Later connections are taken after it.
    certificate.trusted()?.connect(server.port()).await?;
    server.signal(Signal::TERM)?;
    let exit = server.exit(REPLY_LIMIT).await?;
    assert_eq!(exit.status.code(), Some(0), "{exit:?}");
    assert!(!exit.stderr.contains("without waiting"), "{}", exit.stderr);
    silent.read_to_end(&mut Vec::new()).await.ok();
    Ok(())
}

#[tokio::test]
async fn workers_encrypt_too() -> Result<()> {
    let certificate = Certificate::new()?;
    let mut args =
        vec!["--source".to_owned(), "demo".to_owned(), "--workers".to_owned(), "2".to_owned()];
    args.extend(certificate.options()?);
    let server = ServerProcess::start(&args).await?;
    let proxy = Proxy::encrypting(certificate.trusted()?, server.port())?;
    for _ in 0..8 {
        assert_eq!(get(proxy.port(), "/api/status").await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_is_said_in_one_line_at_the_start() -> Result<()> {
    let (one, other) = (Certificate::new()?, Certificate::new()?);
    let (cert, key) = (one.path("cert.pem")?, one.path("key.pem")?);
    let none = one.path("none.pem")?;
    let refused = async |cert: &str, key: &str, workers: bool| {
        let mut args = vec!["--source", "demo", "--tls-cert", cert, "--tls-key", key];
        args.extend(if workers { &["--workers", "2"][..] } else { &[] });
        let exit = ServerProcess::run(0, &args).await?;
        ensure!(exit.status.code() == Some(2), "{exit:?}");
        ensure!(exit.stderr.trim().lines().count() == 1, "{}", exit.stderr);
        anyhow::Ok(exit.stderr)
    };
    for workers in [false, true] {
        let text = refused(&none, &key, workers).await?;
        assert!(text.contains("--tls-cert") && text.contains("none.pem"), "{text}");
        let text = refused(&key, &key, workers).await?;
        assert!(text.contains("--tls-cert") && text.contains("expected PEM"), "{text}");
        let text = refused(&cert, &cert, workers).await?;
        assert!(text.contains("--tls-key") && text.contains("expected PEM"), "{text}");
        let text = refused(&cert, &other.path("key.pem")?, workers).await?;
        assert!(text.contains("--tls-key") && text.contains("does not fit --tls-cert"), "{text}");
    }
    for (option, file) in [("--tls-cert", &cert), ("--tls-key", &key)] {
        let exit = ServerProcess::run(0, &["--source", "demo", option, file]).await?;
        assert_eq!(exit.status.code(), Some(2), "{exit:?}");
        for both in ["--tls-cert", "--tls-key"] {
            assert!(exit.stderr.contains(both), "{}", exit.stderr);
        }
    }
    let acme = ["--source", "demo", "--acme", "party.example", "--workers", "2"];
    let exit = ServerProcess::run(0, &acme).await?;
    assert_eq!(exit.status.code(), Some(2), "{exit:?}");
    assert!(exit.stderr.contains("--acme") && exit.stderr.contains("--workers"), "{}", exit.stderr);
    Ok(())
}

/// While there is no certificate, and nobody who gives one, the server waits for it.
#[tokio::test]
async fn without_a_certificate_yet_the_server_stays() -> Result<()> {
    let ours = Certificate::new()?;
    let (cache, ca) = (ours.path("cache/acme")?, ours.path("cert.pem")?);
    let nobody = "https://localhost:9/directory";
    let args = [
        &["--source", "demo", "--qr", "--acme", "party.example", "--acme-cache", &cache][..],
        &["--acme-directory", nobody, "--acme-ca", &ca],
    ]
    .concat();
    let mut server = ServerProcess::start(&args).await?;
    server.line_with("no certificate for party.example yet", GREET_LIMIT).await?;
    server.line_with("give --port 443", REPLY_LIMIT).await?;
    let join = format!("Join the party: https://party.example:{}", server.port());
    server.line_with(&join, REPLY_LIMIT).await?;
    assert!(ours.trusted()?.connect(server.port()).await.is_err());
    assert_eq!(get(server.port(), "/").await?.status, 308);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(Path::new(&cache))?.permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    Ok(())
}
