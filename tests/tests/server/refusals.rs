//! What the server does not put up with, what it overlooks, and that each costs nobody else anything.

use anyhow::Result;
use e2e::client::{Client, Hello, Received, state};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::Party;

/// Close codes of RFC 6455 section 7.4.1: the protocol was broken, and there is nothing that the client
/// could take.
const PROTOCOL: u16 = 1002;
const UNSUPPORTED: u16 = 1003;

fn hello_with(change: impl FnOnce(&mut Value)) -> Message {
    let mut hello = Hello::pcm16("refused").message();
    change(&mut hello["payload"]);
    Message::text(hello.to_string())
}

#[tokio::test]
async fn a_first_message_that_is_no_acceptable_hello_is_refused_with_a_reason() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let opus = json!([{"codec": "opus", "channels": 2, "sample_rate": 48_000, "bit_depth": 16}]);
    let cases = [
        ("version 2", hello_with(|hello| hello["version"] = 2.into()), PROTOCOL, "version"),
        (
            "time first",
            text(&json!({"type": "client/time", "payload": {"client_transmitted": 1}})),
            PROTOCOL,
            "hello",
        ),
        ("binary first", Message::binary(vec![4; 40]), PROTOCOL, "hello"),
        ("no JSON", Message::text("{\"type\":"), PROTOCOL, ""),
        ("a JSON array", Message::text("[1,2,3]"), PROTOCOL, ""),
        (
            "hello without id",
            hello_with(|hello| *hello = json!({"name": "?"})),
            PROTOCOL,
            "client_id",
        ),
        (
            "no common format",
            hello_with(|hello| hello["player@v1_support"]["supported_formats"] = opus),
            UNSUPPORTED,
            "pcm",
        ),
    ];
    for (case, message, expected, word) in cases {
        let mut client = Client::connect(&party.url()).await?;
        client.send_raw(message).await?;
        match client.end().await? {
            Received::Close { code, reason } => {
                assert_eq!(code, expected, "{case}: {reason}");
                assert!(!reason.is_empty() && reason.len() <= 123, "{case}: {reason:?}");
                assert!(reason.to_lowercase().contains(word), "{case}: {reason:?}");
            }
            other => panic!("{case}: {other:?}"),
        }
    }
    // The server is as before.
    Client::listen(&party.url(), &Hello::pcm16("welcome"), 250).await?;
    Ok(())
}

#[tokio::test]
async fn later_garbage_ends_the_connection() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    for garbage in ["no JSON at all", "[]", "{\"type\":5}", "\u{0}"] {
        let (mut client, _) = Client::greet(&party.url(), &Hello::pcm16("garbage")).await?;
        client.send_raw(Message::text(garbage)).await?;
        let end = client.end().await?;
        assert!(matches!(end, Received::Close { .. }), "{garbage:?}: {end:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_only_one_side_knows_or_got_wrong_is_overlooked() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let (mut client, _) = Client::greet(&party.url(), &Hello::pcm16("clumsy")).await?;
    client.send(&state(250)).await?;
    let overlooked = [
        text(&json!({"type": "client/levitate", "payload": {"height": 3}})),
        text(&json!({"type": "client/levitate"})),
        text(&json!({"type": "server/time", "payload": {}})),
        text(&json!({"type": "client/state", "payload": {"player": {"volume": "loud"}}})),
        text(&json!({"type": "client/command", "payload": {"controller": {"command": "rewind"}}})),
        text(&json!({"type": "client/command", "payload": {"controller": {"command": "pause"}}})),
        text(&json!({"type": "client/state", "payload": {"state": "dancing"}})),
        Hello::pcm16("clumsy").message().to_string().into(),
        Message::binary(vec![]),
        Message::binary(vec![12, 0, 0, 0, 0, 0, 0, 0, 1, 2]),
        Message::Ping(vec![7; 20].into()),
    ];
    for message in overlooked {
        let shown = format!("{message:?}");
        client.send_raw(message).await?;
        let (reply, _) =
            client.ask_time().await.unwrap_or_else(|error| panic!("{shown}: {error:#}"));
        assert!(reply["server_transmitted"].is_i64(), "{shown}: {reply}");
    }
    client.chunk().await?;
    Ok(())
}

#[tokio::test]
async fn a_message_of_absurd_size_ends_the_connection_not_the_server() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let mut client = Client::connect(&party.url()).await?;
    let huge = Message::text(format!("{{\"type\":\"{}\"}}", "x".repeat(8 << 20)));
    // The server may close before all of it has gone out.
    client.send_raw(huge).await.ok();
    assert!(matches!(client.end().await?, Received::Close { .. } | Received::Lost));
    Client::listen(&party.url(), &Hello::pcm16("welcome"), 250).await?;
    Ok(())
}

#[tokio::test]
async fn a_goodbye_is_answered_with_a_close() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    for reason in ["user_request", "another_server", "a reason of the future"] {
        let (mut client, _) = Client::listen(&party.url(), &Hello::pcm16("leaver"), 250).await?;
        client.send(&json!({"type": "client/goodbye", "payload": {"reason": reason}})).await?;
        let end = client.end().await?;
        assert!(matches!(end, Received::Close { .. }), "{reason}: {end:?}");
    }
    Ok(())
}

fn text(message: &Value) -> Message {
    Message::text(message.to_string())
}
