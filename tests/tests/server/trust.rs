//! Who may follow whom: secrets, certificates, versions.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::client::{Client, Hello};
use e2e::http::get;
use e2e::process::ServerProcess;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use zenoh::Wait;

use crate::until;

/// How long it may take to find out that one is not wanted.
const SOON: Duration = Duration::from_secs(8);

async fn health(server: &ServerProcess) -> Result<u16> {
    Ok(get(server.port(), "/healthz").await?.status)
}

/// A port that was free a moment ago.
async fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}

#[tokio::test]
async fn who_does_not_know_the_secret_does_not_follow() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
    fs::write(&good, "correct-horse-battery\n")?;
    fs::write(&bad, "wrong-horse-battery-x\n")?;
    let endpoint = format!("tcp/127.0.0.1:{}", free_port().await?);
    let serve = ["--source", "demo", "--serve-edges", &endpoint, "--edge-secret", text(&good)?];
    let _origin = ServerProcess::start(&serve).await?;
    let edge = ServerProcess::start(&["--edge", &endpoint, "--edge-secret", text(&good)?]).await?;
    until(200, || health(&edge)).await?;
    for wrong in [&["--edge", &endpoint, "--edge-secret", text(&bad)?][..], &["--edge", &endpoint]]
    {
        let mut stranger = ServerProcess::start(wrong).await?;
        let line = stranger.line_with("the origin is not reached", SOON).await?;
        assert!(!line.contains("horse"), "{line}");
        assert_eq!(health(&stranger).await?, 503);
    }
    // Those who know it are not disturbed.
    let (mut client, _) = Client::listen(&edge.socket_url(), &Hello::pcm16("one"), 250).await?;
    client.chunk().await?;
    Ok(())
}

/// Certificates of an authority, in files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("ca.pem"), issuer.pem())?;
        Ok(Self { issuer, folder })
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for `name` and its key.
    fn issue(&self, name: &str) -> Result<[PathBuf; 2]> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec![name.to_owned()])?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let files = ["pem", "key"].map(|end| self.folder.path().join(format!("{name}.{end}")));
        fs::write(&files[0], certificate.pem())?;
        fs::write(&files[1], key.serialize_pem())?;
        Ok(files)
    }
}

/// Encrypted, with certificates on both sides; a stranger's is not enough, and none is not either.
#[tokio::test]
async fn edges_prove_themselves_with_certificates() -> Result<()> {
    let (party, stranger) = (Authority::new()?, Authority::new()?);
    let ca = party.ca();
    for carrier in ["tls", "quic"] {
        let [cert, key] = party.issue("localhost")?;
        let port = free_port().await?;
        let listen = format!("{carrier}/127.0.0.1:{port}");
        let mut serve = vec!["--source", "demo", "--serve-edges", &listen];
        serve.extend(["--edge-ca", text(&ca)?, "--edge-cert", text(&cert)?]);
        serve.extend(["--edge-key", text(&key)?]);
        let _origin = ServerProcess::start(&serve).await?;
        let follow = format!("{carrier}/localhost:{port}");
        let known = party.issue("edge")?;
        let unknown = stranger.issue("edge")?;
        for (proof, status) in [(Some(&known), 200), (Some(&unknown), 503), (None, 503)] {
            let mut args = vec!["--edge", &follow, "--edge-ca", text(&ca)?];
            if let Some([cert, key]) = proof {
                args.extend(["--edge-cert", text(cert)?, "--edge-key", text(key)?]);
            }
            let mut edge = ServerProcess::start(&args).await?;
            if status == 503 {
                edge.line_with("the origin is not reached", SOON).await?;
            }
            until(status, || health(&edge)).await.context(carrier)?;
        }
    }
    Ok(())
}

fn config(mode: &str, endpoint: &str) -> Result<zenoh::Config> {
    let way = if mode == "client" { "connect" } else { "listen" };
    let config = json!({
        "mode": mode,
        way: { "endpoints": [endpoint] },
        "scouting": { "multicast": { "enabled": false }, "gossip": { "enabled": false } },
    });
    zenoh::Config::from_json5(&config.to_string()).map_err(anyhow::Error::msg)
}

/// An edge of a later release asks an origin of this one, which says in words that they do not fit.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_of_another_version_is_refused_in_words() -> Result<()> {
    let endpoint = format!("tcp/127.0.0.1:{}", free_port().await?);
    let mut origin =
        ServerProcess::start(&["--source", "demo", "--serve-edges", &endpoint]).await?;
    let session = zenoh::open(config("client", &endpoint)?).await.map_err(anyhow::Error::msg)?;
    let report = json!({ "version": 99, "name": "future", "something": "new" });
    let replies = session
        .get("partyline/main/report/future")
        .payload(report.to_string())
        .await
        .map_err(anyhow::Error::msg)?;
    let reply =
        tokio::time::timeout(SOON, replies.recv_async()).await?.map_err(anyhow::Error::msg)?;
    let refusal = reply.into_result().err().context("not refused")?;
    let refusal: Value = serde_json::from_slice(&refusal.payload().to_bytes())?;
    let ours = refusal["version"].as_u64().context("a version")?;
    let reason = refusal["reason"].as_str().context("a reason")?;
    assert!(
        reason.contains("version 99") && reason.contains(&format!("version {ours}")),
        "{reason}"
    );
    let line = origin.line_with("an edge is refused", SOON).await?;
    assert!(line.contains("version 99"), "{line}");
    session.close().await.map_err(anyhow::Error::msg)
}

/// An edge of this release finds an origin of a later one, and says why it does not follow.
#[tokio::test(flavor = "multi_thread")]
async fn an_origin_of_another_version_is_not_followed() -> Result<()> {
    let endpoint = format!("tcp/127.0.0.1:{}", free_port().await?);
    let session = zenoh::open(config("peer", &endpoint)?).await.map_err(anyhow::Error::msg)?;
    let answer = |query: zenoh::query::Query| {
        let answer = json!({ "version": 99, "another": "world" });
        // The edge asks again if this fails.
        let _ = query.reply(query.key_expr(), answer.to_string()).wait();
    };
    let _answering = session
        .declare_queryable("partyline/main/report/*")
        .callback(answer)
        .await
        .map_err(anyhow::Error::msg)?;
    let mut edge = ServerProcess::start(&["--edge", &endpoint]).await?;
    let line = edge.line_with("the origin refuses this edge", SOON).await?;
    assert!(line.contains("version 99") && line.contains("same release"), "{line}");
    assert_eq!(health(&edge).await?, 503);
    session.close().await.map_err(anyhow::Error::msg)
}
