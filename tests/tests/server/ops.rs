//! What those who run a server see of it.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::client::{Client, Hello};
use e2e::http::get;

use crate::{Party, until};

/// The value of one line of `/metrics`.
async fn metric(port: u16, name: &str) -> Result<f64> {
    let text = get(port, "/metrics").await?.text()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {name} in\n{text}"))?.parse()?)
}

#[tokio::test]
async fn the_metrics_tell_what_happened() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let port = party.server.port();
    assert_eq!(get(port, "/healthz").await?.text()?, "ok\n");
    // Nobody listens, so nothing has been decoded.
    assert_eq!(metric(port, "partyline_decoding_seconds_total").await?, 0.0);

    let (mut client, _) = Client::listen(&party.url(), &Hello::pcm16("counted"), 250).await?;
    let chunks = client.chunks(12).await?;
    client.ask_time().await?;
    assert_eq!(metric(port, "partyline_listeners").await?, 1.0);
    assert_eq!(metric(port, "partyline_joins_total").await?, 1.0);
    assert_eq!(metric(port, "partyline_time_replies_total").await?, 1.0);
    assert!(metric(port, "partyline_chunks_sent_total").await? >= chunks.len() as f64);
    assert!(metric(port, "partyline_audio_sent_bytes_total").await? >= 12.0 * 19_209.0);
    assert!(metric(port, "partyline_encoding_seconds_total").await? > 0.0);
    assert!(metric(port, "partyline_decoding_seconds_total").await? > 0.0);
    let clock = metric(port, "partyline_clock_seconds").await?;
    let due = chunks[11].timestamp as f64 * 1e-6;
    assert!((due - clock).abs() < 6.0, "a chunk for {due}, the clock says {clock}");

    client.leave().await?;
    let left = async || {
        let counted = metric(port, "partyline_leaves_total{reason=\"Left\"}").await;
        // There is no line before the first.
        Ok(counted.unwrap_or(0.0))
    };
    until(1.0, left).await?;
    assert_eq!(metric(port, "partyline_listeners").await?, 0.0);
    Ok(())
}

#[tokio::test]
async fn a_port_of_their_own_keeps_them_from_guests() -> Result<()> {
    let mut party = Party::start(48_000, &["--ops-port", "0"]).await?;
    let line = party.server.line_with("operations", Duration::from_secs(10)).await?;
    let port = line.rsplit_once(':').context("no port")?.1.trim().parse()?;
    assert_eq!(get(port, "/healthz").await?.status, 200);
    assert!(get(port, "/metrics").await?.text()?.ends_with("# EOF\n"));
    assert_eq!(get(port, "/").await?.status, 404);
    for path in ["/healthz", "/metrics"] {
        assert_eq!(get(party.server.port(), path).await?.status, 404, "{path}");
    }
    Ok(())
}
