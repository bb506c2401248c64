//! The real server over real sockets, spoken to by hand.
//!
//! Every wait has a limit, every server picks its own port, and nothing sleeps.

mod acme;
mod audio;
mod control;
mod edges;
mod faults;
mod greeting;
mod http;
mod limits;
mod lists;
mod live;
#[cfg(target_os = "linux")]
mod mdns;
mod ops;
mod refusals;
mod roles;
mod shutdown;
mod sources;
mod subpath;
mod tls;
mod trust;
mod workers;

use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::client::REPLY_LIMIT;
use e2e::http::get;
use e2e::process::ServerProcess;
use e2e::signal::Stereo16;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{interval, timeout};

/// A server that plays a sound which the test knows to the last bit.
struct Party {
    server: ServerProcess,
    sound: Stereo16,
    /// Holds the file; it goes when the party is over.
    _folder: TempDir,
}

impl Party {
    /// Plays `frames` frames of noise.
    async fn start(frames: usize, options: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("noise.wav");
        let sound = Stereo16::noise(frames, frames as u64);
        sound.write_wav(&path)?;
        let mut args: Vec<OsString> = vec!["--source".into(), path.into()];
        args.extend(options.iter().map(OsString::from));
        Ok(Self { server: ServerProcess::start(&args).await?, sound, _folder: folder })
    }

    fn url(&self) -> String {
        self.server.socket_url()
    }
}

/// A file that came with the project.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio").join(name)
}

/// The number that the page polls.
async fn listeners(port: u16) -> Result<u64> {
    let status: Value = serde_json::from_str(&get(port, "/api/status").await?.text()?)?;
    status["total_clients"].as_u64().with_context(|| status.to_string())
}

/// Asks again and again until the answer is `wanted`, for what other processes bring about.
async fn until<T, F>(wanted: T, ask: impl Fn() -> F) -> Result<()>
where
    T: PartialEq + std::fmt::Debug,
    F: Future<Output = Result<T>>,
{
    let mut ticks = interval(Duration::from_millis(10));
    let asking = async {
        while ask().await? != wanted {
            ticks.tick().await;
        }
        anyhow::Ok(())
    };
    timeout(REPLY_LIMIT, asking).await.with_context(|| format!("never {wanted:?}"))?
}
