//! The page and its assets, as a browser asks for them and as an attacker does.

use anyhow::{Context, Result};
use e2e::http::{Response, get, request};
use e2e::process::ServerProcess;

async fn demo() -> Result<ServerProcess> {
    ServerProcess::start(&["--source", "demo"]).await
}

/// Paths in the page's attributes, quoted or not, and in the imports of its script.
fn assets(page: &str) -> Vec<String> {
    let mut found: Vec<String> = page
        .split(['"', '\'', '=', '>', ' '])
        .filter(|text| text.starts_with('/') || text.starts_with("./"))
        .filter(|text| text.contains('.'))
        .map(|text| text.trim_start_matches('.').to_owned())
        .collect();
    found.sort();
    found.dedup();
    found
}

async fn page_and_assets(port: u16) -> Result<Vec<(String, Response)>> {
    let page = get(port, "/").await?;
    let mut all = Vec::new();
    for path in assets(&page.text()?) {
        let response = get(port, &path).await?;
        all.push((path, response));
    }
    all.push(("/".to_owned(), page));
    Ok(all)
}

#[tokio::test]
async fn the_page_and_all_that_it_names_are_there_with_their_types() -> Result<()> {
    let server = demo().await?;
    let all = page_and_assets(server.port()).await?;
    for extension in [".js", ".wasm", ".css"] {
        assert!(
            all.iter().any(|(path, _)| path.ends_with(extension)),
            "no {extension} in the page"
        );
    }
    for (path, response) in &all {
        assert_eq!(response.status, 200, "{path}");
        assert!(!response.body.is_empty(), "{path}");
        let expected = match path.rsplit_once('.').map(|(_, extension)| extension) {
            None => "text/html",
            Some("js") => "text/javascript",
            Some("wasm") => "application/wasm",
            Some("css") => "text/css",
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            Some("ico") => "image/",
            Some("webmanifest") => "application/manifest+json",
            Some(other) => panic!("{path}: what type has {other}?"),
        };
        assert!(response.header("content-type").starts_with(expected), "{path}: {response:?}");
    }
    Ok(())
}

#[tokio::test]
async fn compressed_forms_hold_the_same_bytes_and_the_smaller_wins() -> Result<()> {
    let server = demo().await?;
    for (path, plain) in page_and_assets(server.port()).await? {
        assert_eq!(plain.header("content-encoding"), "", "{path}: compressed unasked");
        for (accepted, encodings) in [
            ("br", vec!["br", ""]),
            ("gzip", vec!["gzip", ""]),
            ("gzip, deflate, br, zstd", vec!["br", ""]),
            ("br;q=0, gzip", vec!["gzip", ""]),
            ("identity", vec![""]),
        ] {
            let response =
                request(server.port(), &format!("GET {path}"), &[("Accept-Encoding", accepted)])
                    .await?;
            let encoding = response.header("content-encoding");
            assert!(encodings.contains(&encoding), "{path}: {accepted} gives {encoding}");
            assert_eq!(response.decoded().context(path.clone())?, plain.body, "{path} {accepted}");
            assert!(response.body.len() <= plain.body.len(), "{path} {accepted}");
            if [".wasm", ".js"].iter().any(|ending| path.ends_with(ending)) {
                assert!(
                    response.header("vary").to_lowercase().contains("accept-encoding"),
                    "{path}"
                );
                if accepted == "br" {
                    assert_eq!(encoding, "br", "{path} is worth compressing");
                    assert!(response.body.len() * 3 < plain.body.len() * 2, "{path}");
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_page_that_is_known_is_not_sent_again() -> Result<()> {
    let server = demo().await?;
    for (path, response) in page_and_assets(server.port()).await? {
        let etag = response.header("etag");
        assert!(etag.len() > 8 && etag.ends_with('"'), "{path}: {etag:?}");
        let line = format!("GET {path}");
        for same in [etag.to_owned(), format!("\"other\", {etag}"), "*".to_owned()] {
            let again = request(server.port(), &line, &[("If-None-Match", &same)]).await?;
            assert_eq!((again.status, again.body.len()), (304, 0), "{path} {same}");
            assert_eq!(again.header("etag"), etag, "{path}");
        }
        let changed = request(server.port(), &line, &[("If-None-Match", "\"other\"")]).await?;
        assert_eq!(changed.status, 200, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn the_page_runs_its_own_scripts_and_nobody_elses() -> Result<()> {
    let server = demo().await?;
    let page = get(server.port(), "/").await?;
    let policy = page.header("content-security-policy");
    for directive in ["default-src 'none'", "base-uri 'none'", "frame-ancestors "] {
        assert!(policy.contains(directive), "{directive} is not in {policy}");
    }
    assert!(!policy.contains("frame-ancestors *"), "{policy}");
    assert!(policy.contains("'wasm-unsafe-eval'") && !policy.contains("'unsafe-eval'"), "{policy}");
    let scripts = policy.split(';').find(|part| part.trim().starts_with("script-src"));
    let scripts = scripts.context("no script-src")?;
    for open in ["'unsafe-inline'", "*", "http:", "https:", "data:"] {
        assert!(!scripts.contains(open), "{scripts}");
    }
    for path in ["/", "/api/status", "/nothing-here"] {
        let response = get(server.port(), path).await?;
        assert_eq!(response.header("x-content-type-options"), "nosniff", "{path}");
    }
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    Ok(())
}

#[tokio::test]
async fn head_is_get_without_the_body() -> Result<()> {
    let server = demo().await?;
    for (path, get) in page_and_assets(server.port()).await? {
        let head = request(server.port(), &format!("HEAD {path}"), &[]).await?;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        for name in ["content-length", "content-type", "etag"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn only_what_is_there_is_served() -> Result<()> {
    let server = demo().await?;
    for path in [
        "/nothing-here",
        "/api/nothing",
        "/../Cargo.toml",
        "/../../../../../../etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/./../etc/passwd",
        "/..\\..\\etc\\passwd",
        "/index.html%00.js",
        "/%ff%fe",
    ] {
        let response = get(server.port(), path).await?;
        assert!((400..500).contains(&response.status), "{path}: {}", response.status);
        assert!(!String::from_utf8_lossy(&response.body).contains("root:"), "{path}");
    }
    for line in ["POST /", "DELETE /api/status", "PUT /sendspin"] {
        let response = request(server.port(), line, &[("Content-Length", "0")]).await?;
        assert_eq!(response.status, 405, "{line}");
    }
    // No upgrade, no WebSocket: a clear client error.
    let plain = get(server.port(), "/sendspin").await?;
    assert!((400..500).contains(&plain.status), "{}", plain.status);
    Ok(())
}
