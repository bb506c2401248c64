//! The page below a path of somebody else's: behind a proxy that cuts the path off, and behind one that does not.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use e2e::client::{Client, Hello, REPLY_LIMIT};
use e2e::http::{get, request};
use e2e::process::ServerProcess;
use e2e::proxy::Proxy;
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Error};

use crate::fixture;

const PATH: &str = "/music/party";

/// Everything that a page names: in its attributes, quoted or not, and in the strings of its script.
fn references(page: &str) -> BTreeSet<String> {
    let attributes = ["href=", "src="].into_iter().flat_map(|name| {
        page.split(name).skip(1).filter_map(|after| {
            after.trim_start_matches('"').split(['"', ' ', '>']).next().map(str::to_owned)
        })
    });
    let script = page.split("<script").skip(1).filter_map(|after| after.split("</script").next());
    let strings = script.flat_map(|script| script.split('\'').skip(1).step_by(2));
    let files = strings.filter(|text| text.contains('.')).map(str::to_owned);
    attributes.chain(files).filter(|found| !found.starts_with('#')).collect()
}

/// What `reference` is on a page at `path`, which ends with a slash, as a browser has it.
fn resolve(path: &str, reference: &str) -> Result<String> {
    ensure!(!reference.starts_with('/'), "{reference} leads to the root");
    ensure!(!reference.contains("://"), "{reference} leads elsewhere");
    let name = reference.strip_prefix("./").unwrap_or(reference);
    ensure!(!name.starts_with('.'), "{reference} leads above the page");
    Ok(format!("{path}{name}"))
}

/// Follows everything that leads on from a page at this port, below [`PATH`].
async fn follow_all(port: u16) -> Result<()> {
    let base = format!("{PATH}/");
    let page = get(port, &base).await?;
    ensure!(page.status == 200, "{page:?}");
    let mut kinds = BTreeSet::new();
    for reference in references(&page.text()?) {
        let path = resolve(&base, &reference)?;
        let response = get(port, &path).await?;
        ensure!(response.status == 200 && !response.body.is_empty(), "{path}: {}", response.status);
        kinds.extend(reference.rsplit_once('.').map(|(_, kind)| kind.to_owned()));
    }
    for kind in ["js", "wasm", "css", "svg", "png"] {
        ensure!(kinds.contains(kind), "the page names no {kind}: {kinds:?}");
    }
    // Scripts and styles fetch from the page's own origin only, and paths are no part of that.
    let policy = page.header("content-security-policy");
    ensure!(policy.contains("script-src 'self'") && !policy.contains("'self'/"), "{policy}");
    // As the page asks: beside itself.
    let status: Value =
        serde_json::from_str(&get(port, &format!("{base}api/status")).await?.text()?)?;
    ensure!(status["total_clients"] == 0, "{status}");
    let url = format!("ws://127.0.0.1:{port}{base}sendspin");
    let (mut client, _) = Client::listen(&url, &Hello::pcm16("below"), 250).await?;
    client.chunks(3).await?;
    Ok(())
}

/// The status of the answer to a page of `origin` that asks for a WebSocket.
async fn ask_from(origin: &str, port: u16) -> Result<u16> {
    let url: Uri = format!("ws://127.0.0.1:{port}{PATH}/sendspin").parse()?;
    let asked = ClientRequestBuilder::new(url).with_header("Origin", origin);
    match timeout(REPLY_LIMIT, connect_async(asked)).await? {
        Ok((_, response)) => Ok(response.status().as_u16()),
        Err(Error::Http(response)) => Ok(response.status().as_u16()),
        Err(error) => bail!("{error}"),
    }
}

#[tokio::test]
async fn everything_works_behind_a_proxy_that_cuts_the_path_off() -> Result<()> {
    let server = ServerProcess::start(&["--source", "demo"]).await?;
    let proxy = Proxy::below(PATH, server.port())?;
    follow_all(proxy.port()).await?;
    let own = format!("http://127.0.0.1:{}", proxy.port());
    assert_eq!(ask_from(&own, proxy.port()).await?, 101);
    assert_eq!(ask_from("https://other.example", proxy.port()).await?, 403);
    Ok(())
}

#[tokio::test]
async fn everything_works_behind_a_proxy_that_passes_the_path_on() -> Result<()> {
    let server = ServerProcess::start(&["--source", "demo", "--base-path", PATH]).await?;
    let port = server.port();
    follow_all(port).await?;
    assert_eq!(ask_from(&format!("http://127.0.0.1:{port}"), port).await?, 101);
    assert_eq!(ask_from("https://other.example", port).await?, 403);
    // A page without the slash could not name its files.
    for (path, location) in
        [(PATH.to_owned(), ""), (format!("{PATH}?server=ws%3A"), "?server=ws%3A")]
    {
        let bare = get(port, &path).await?;
        assert_eq!((bare.status, bare.header("location")), (308, &*format!("{PATH}/{location}")));
    }
    for outside in
        ["/", "/api/status", "/sendspin", "/music", "/music/partyline/", "/music/party/x"]
    {
        let response = get(port, outside).await?;
        assert_eq!(response.status, 404, "{outside}");
        assert_eq!(response.header("x-content-type-options"), "nosniff", "{outside}");
    }
    // What concerns those who run the server is not passed on by a proxy of that path.
    assert_eq!(get(port, "/healthz").await?.status, 200);
    assert_eq!(get(port, &format!("{PATH}/healthz")).await?.status, 404);
    let posted = request(port, &format!("POST {PATH}/"), &[("Content-Length", "0")]).await?;
    assert_eq!(posted.status, 405);
    Ok(())
}

/// Guests are sent where the proxy is, and pages from there may listen, whatever the proxy tells of the host.
#[tokio::test]
async fn the_address_for_guests_is_the_one_that_was_given() -> Result<()> {
    let url = "https://home.example/music/party";
    let options = ["--source", "demo", "--qr", "--base-path", PATH, "--public-url", url];
    let mut server = ServerProcess::start(&options).await?;
    let line = server.line_with("Join the party:", REPLY_LIMIT).await?;
    assert_eq!(line.trim(), "Join the party: https://home.example/music/party/");
    assert_eq!(ask_from("https://home.example", server.port()).await?, 101);
    assert_eq!(ask_from("http://home.example", server.port()).await?, 403);
    Ok(())
}

#[tokio::test]
async fn workers_are_below_the_path_too() -> Result<()> {
    let options = ["--source", "demo", "--workers", "2", "--base-path", PATH];
    let server = ServerProcess::start(&options).await.context("workers")?;
    for _ in 0..8 {
        assert_eq!(get(server.port(), &format!("{PATH}/api/status")).await?.status, 200);
        assert_eq!(get(server.port(), "/api/status").await?.status, 404);
    }
    Ok(())
}

#[tokio::test]
async fn wrong_addresses_are_refused_in_one_line() -> Result<()> {
    for (option, value, words) in [
        ("--base-path", "party", "expected a path as `/music/party`"),
        ("--base-path", "/a/../b", "expected a path as `/music/party`"),
        ("--public-url", "home.example", "expected an address as `https://party.example`"),
        ("--public-url", "https://a:b@home.example", "expected an address"),
    ] {
        let exit = ServerProcess::run(0, &["--source", "demo", option, value]).await?;
        assert_eq!(exit.status.code(), Some(2), "{exit:?}");
        assert_eq!(exit.stderr.trim().lines().count(), 1, "{}", exit.stderr);
        assert!(exit.stderr.contains(option) && exit.stderr.contains(words), "{}", exit.stderr);
    }
    Ok(())
}

/// A native player is told addresses that lead below the path as well.
#[tokio::test]
async fn the_address_of_a_picture_is_below_the_path() -> Result<()> {
    let file = fixture("picture.flac");
    let file = file.to_str().context("a path that is not UTF-8")?;
    let server = ServerProcess::start(&["--source", file, "--base-path", PATH]).await?;
    let url = format!("ws://127.0.0.1:{}{PATH}/sendspin", server.port());
    let (mut client, _) = Client::listen(&url, &Hello::pcm16("screen"), 250).await?;
    let waiting = async {
        loop {
            let state = client.expect("server/state").await?;
            if let Some(url) = state["metadata"]["artwork_url"].as_str() {
                return anyhow::Ok(url.to_owned());
            }
        }
    };
    let url = timeout(REPLY_LIMIT, waiting).await??;
    let path =
        url.strip_prefix(server.page_url().trim_end_matches('/')).with_context(|| url.clone())?;
    ensure!(path.starts_with(PATH), "{url}");
    assert_eq!(get(server.port(), path).await?.status, 200);
    Ok(())
}
