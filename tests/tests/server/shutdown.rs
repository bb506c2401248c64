//! How a party is ended.

use std::time::Duration;

use anyhow::Result;
use e2e::client::{Client, Hello, Received};
use rustix::process::Signal;

use crate::Party;

/// What the server promises.
const EXIT_LIMIT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_signal_ends_streams_and_connections_in_order() -> Result<()> {
    for signal in [Signal::INT, Signal::TERM] {
        let party = Party::start(48_000, &[]).await?;
        let (one, _) = Client::listen(&party.url(), &Hello::pcm16("one"), 250).await?;
        let (two, _) = Client::listen(&party.url(), &Hello::pcm16("two"), 250).await?;
        // One that says nothing after its handshake, and one that never reads, are no reason to wait.
        let _silent = Client::connect(&party.url()).await?;
        let _stuck = Client::listen(&party.url(), &Hello::pcm16("stuck"), 250).await?;
        let Party { server, .. } = party;
        server.signal(signal)?;
        for mut client in [one, two] {
            client.expect("stream/end").await?;
            let end = client.end().await?;
            assert!(matches!(end, Received::Close { .. }), "{signal:?}: {end:?}");
        }
        let exit = server.exit(EXIT_LIMIT * 4).await?;
        assert_eq!(exit.status.code(), Some(0), "{signal:?}: {exit:?}");
        assert!(exit.took <= EXIT_LIMIT, "{signal:?}: {:?}", exit.took);
    }
    Ok(())
}

#[tokio::test]
async fn a_second_interrupt_does_not_wait_for_anybody() -> Result<()> {
    let party = Party::start(48_000, &[]).await?;
    let mut stuck = Vec::new();
    for name in ["a", "b"] {
        let mut hello = Hello::pcm16(name);
        hello.buffer_capacity = u64::MAX;
        stuck.push(Client::listen(&party.url(), &hello, 250).await?);
    }
    let Party { mut server, .. } = party;
    server.signal(Signal::INT)?;
    // The system delivers two signals that come at once as one.
    server.line_with("stopping", EXIT_LIMIT).await?;
    // It may be gone already, which is as good.
    server.signal(Signal::INT).ok();
    let exit = server.exit(EXIT_LIMIT * 4).await?;
    assert!(exit.took <= Duration::from_millis(500), "{exit:?}");
    Ok(())
}

#[tokio::test]
async fn a_server_without_listeners_ends_as_well() -> Result<()> {
    let Party { server, .. } = Party::start(48_000, &[]).await?;
    server.signal(Signal::TERM)?;
    let exit = server.exit(EXIT_LIMIT).await?;
    assert_eq!(exit.status.code(), Some(0), "{exit:?}");
    Ok(())
}
