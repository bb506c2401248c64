//! What one visitor may take, and that the others notice nothing of it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::client::{Client, Hello, Received};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{Party, listeners, until};

/// What the server gives the head of a request, and twice as much again for a busy machine.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// The request that opens a WebSocket, but for the end of its head.
fn handshake(headers: &str) -> String {
    format!(
        "GET /sendspin HTTP/1.1\r\nHost: party.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}"
    )
}

/// The first line that comes back on a new connection.
async fn answer_to(party: &Party, head: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", party.server.port())).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(b"\r\n").await?;
    let mut answer = vec![0; 256];
    let bytes = timeout(HEAD_LIMIT, stream.read(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer[..bytes]).lines().next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_full_party_says_so_and_has_room_again_when_somebody_leaves() -> Result<()> {
    let party = Party::start(48_000, &["--max-listeners", "2"]).await?;
    let (first, _) = Client::listen(&party.url(), &Hello::pcm16("first"), 250).await?;
    let (mut second, _) = Client::listen(&party.url(), &Hello::pcm16("second"), 250).await?;
    let head = handshake("");
    assert_eq!(answer_to(&party, &head).await?, "HTTP/1.1 503 Service Unavailable");
    // A page is told in words that browsers let it read.
    let mut page = TcpStream::connect(("127.0.0.1", party.server.port())).await?;
    let head = handshake("Origin: http://party.test\r\n");
    page.write_all(format!("{head}\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"later") {
        ensure!(timeout(HEAD_LIMIT, page.read_buf(&mut answer)).await?? > 0, "{answer:?}");
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    let close = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("no end")? + 4;
    assert_eq!(
        (answer[close], u16::from_be_bytes([answer[close + 2], answer[close + 3]])),
        (0x88, 1013)
    );
    // The page and the status are still there.
    assert_eq!(listeners(party.server.port()).await?, 2);
    second.chunk().await?;

    first.leave().await?;
    let switching = "HTTP/1.1 101 Switching Protocols".to_owned();
    until(switching, || answer_to(&party, &head)).await?;
    Ok(())
}

#[tokio::test]
async fn pages_of_other_sites_listen_only_when_they_are_named() -> Result<()> {
    let options = ["--allow-origin", "https://radio.example"];
    let party = Party::start(48_000, &options).await?;
    for (origin, answer) in [
        ("", "HTTP/1.1 101 Switching Protocols"),
        ("Origin: http://party.test\r\n", "HTTP/1.1 101 Switching Protocols"),
        ("Origin: https://radio.example\r\n", "HTTP/1.1 101 Switching Protocols"),
        ("Origin: https://other.example\r\n", "HTTP/1.1 403 Forbidden"),
        ("Origin: null\r\n", "HTTP/1.1 403 Forbidden"),
    ] {
        assert_eq!(answer_to(&party, &handshake(origin)).await?, answer, "{origin:?}");
    }
    Ok(())
}

/// Sends `first` and nothing more; returns when the server hangs up.
async fn waits_for_the_end(port: u16, first: Vec<u8>) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(&first).await?;
    let mut rest = Vec::new();
    // How it ends, with an answer or without, is the server's choice.
    let end = timeout(HEAD_LIMIT, stream.read_to_end(&mut rest)).await;
    end.with_context(|| format!("still open after {:?}", String::from_utf8_lossy(&first)))?.ok();
    Ok(())
}

#[tokio::test]
async fn who_says_nothing_or_never_ends_is_shown_out_and_the_party_goes_on() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let (mut listener, _) = Client::listen(&party.url(), &Hello::pcm16("listener"), 250).await?;
    let port = party.server.port();
    let mut visitors = JoinSet::new();
    for _ in 0..300 {
        visitors.spawn(waits_for_the_end(port, Vec::new()));
        visitors.spawn(waits_for_the_end(port, b"GET /sendspin HT".to_vec()));
        // Answered, and then nothing.
        let status = b"GET /api/status HTTP/1.1\r\nHost: x\r\n\r\n";
        visitors.spawn(waits_for_the_end(port, status.to_vec()));
    }
    // A WebSocket on which no hello comes, and one with half a frame.
    for frame in [&b""[..], &[0x81, 0xfe, 0x01]] {
        let opened = [handshake("").as_bytes(), b"\r\n", frame].concat();
        visitors.spawn(waits_for_the_end(port, opened));
    }
    let mut due: Option<i64> = None;
    while !visitors.is_empty() {
        tokio::select! {
            Some(left) = visitors.join_next() => left??,
            chunk = listener.chunk() => {
                let chunk = chunk?;
                ensure!(due.is_none_or(|due| (chunk.timestamp - due).abs() <= 1), "a gap");
                let frames = i64::try_from(chunk.audio.len() / 4)?;
                due = Some(chunk.timestamp + frames * 1_000_000 / 48_000);
            }
        }
    }
    assert_eq!(listeners(port).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_flood_of_time_requests_costs_the_flooder_its_answers() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let (mut flooder, _) = Client::greet(&party.url(), &Hello::pcm16("flooder")).await?;
    let (mut other, _) = Client::greet(&party.url(), &Hello::pcm16("other")).await?;
    for number in 0..1_000 {
        let ask = json!({"type": "client/time", "payload": {"client_transmitted": number}});
        if flooder.send(&ask).await.is_err() {
            break;
        }
    }
    let Received::Close { reason, .. } = flooder.end().await? else {
        anyhow::bail!("the flooder may go on");
    };
    assert_eq!(reason, "too many messages");
    other.ask_time().await?;
    Ok(())
}
