//! A certificate from an ACME server: from Pebble, which Let's Encrypt tests its clients with. Skipped without it.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::client::{Client, Hello};
use e2e::process::ServerProcess;
use e2e::proxy::{Proxy, Secure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use tokio::net::{TcpListener, UdpSocket};
use tokio::process::{Child, Command};

use crate::until;

/// A few questions and answers, with pauses of a second that the client makes.
const ORDER_LIMIT: Duration = Duration::from_secs(40);

/// Pebble, and its name server, for which every name leads to this machine.
struct Pebble {
    port: u16,
    management: u16,
    _processes: [Child; 2],
}

impl Pebble {
    /// Starts both in `folder`, where the API's certificate is. The names are looked for at `asked_port`. `None` without them.
    async fn start(folder: &Path, asked_port: u16) -> Result<Option<Self>> {
        let (port, management, dns) =
            (free_port().await?, free_port().await?, free_udp_port().await?);
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": folder.join("api.pem"),
            "privateKey": folder.join("api.key"),
            "httpPort": free_port().await?,
            "tlsPort": asked_port,
        }});
        let file = folder.join("pebble.json");
        fs::write(&file, config.to_string())?;
        let dns = format!("127.0.0.1:{dns}");
        let mut names = Command::new(program("pebble-challtestsrv"));
        names.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", &dns]);
        names.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        names.args(["-management", &format!("127.0.0.1:{}", free_port().await?)]);
        let mut pebble = Command::new(program("pebble"));
        pebble.arg("-config").arg(&file).args(["-dnsserver", &dns]);
        pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "0");
        let mut started = Vec::new();
        for mut command in [names, pebble] {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            match command.kill_on_drop(true).spawn() {
                Ok(child) => started.push(child),
                Err(_) => return Ok(None),
            }
        }
        let processes = started.try_into().ok().context("two processes")?;
        Ok(Some(Self { port, management, _processes: processes }))
    }

    /// What vouches for the certificates that it gives.
    async fn root(&self, api: &Secure) -> Result<CertificateDer<'static>> {
        let proxy = Proxy::encrypting(api.clone(), self.management)?;
        let pem = e2e::http::get(proxy.port(), "/roots/0").await?.body;
        Ok(CertificateDer::from_pem_slice(&pem)?)
    }
}

/// A program on the path, or in the folder that `PEBBLE` names.
fn program(name: &str) -> std::path::PathBuf {
    env::var_os("PEBBLE").map_or_else(|| name.into(), |folder| Path::new(&folder).join(name))
}

async fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port())
}

async fn free_udp_port() -> Result<u16> {
    Ok(UdpSocket::bind(("127.0.0.1", 0)).await?.local_addr()?.port())
}

#[tokio::test]
async fn a_certificate_is_got_kept_and_used_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let api = CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &authority)?;
    for (name, content) in
        [("ca.pem", authority.pem()), ("api.pem", api.pem()), ("api.key", key.serialize_pem())]
    {
        fs::write(folder.path().join(name), content)?;
    }
    let port = free_port().await?;
    let Some(pebble) = Pebble::start(folder.path(), port).await? else {
        eprintln!("skipped: there is no pebble");
        return Ok(());
    };
    let authority = CertificateDer::from_pem_slice(authority.pem().as_bytes())?;
    let trusted = Secure::new(authority, "localhost", &[])?;
    until(true, async || Ok(trusted.connect(pebble.port).await.is_ok())).await?;

    let directory = format!("https://localhost:{}/dir", pebble.port);
    let (ca, cache) = (folder.path().join("ca.pem"), folder.path().join("cache"));
    let (ca, cache) = (ca.to_str().context("a path")?, cache.to_str().context("a path")?);
    let args = [
        &["--source", "demo", "--acme", "party.example", "--acme-email", "me@party.example"][..],
        &["--acme-cache", cache, "--acme-directory", &directory, "--acme-ca", ca],
    ]
    .concat();
    let mut server = ServerProcess::start_on(port, &args).await?;
    server.line_with("there is a certificate for party.example", ORDER_LIMIT).await?;
    let guest = Secure::new(pebble.root(&trusted).await?, "party.example", &["http/1.1"])?;
    let proxy = Proxy::encrypting(guest.clone(), port)?;
    let url = format!("ws://127.0.0.1:{}/sendspin", proxy.port());
    let (mut client, _) = Client::listen(&url, &Hello::pcm16("secure"), 250).await?;
    client.chunks(3).await?;

    // Started again without anybody to ask.
    server.kill().await?;
    drop(pebble);
    let mut server = ServerProcess::start_on(port, &args).await?;
    server.line_with("for party.example, from before", ORDER_LIMIT).await?;
    guest.connect(port).await?;
    Ok(())
}
