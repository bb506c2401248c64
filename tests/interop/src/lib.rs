//! Starts the server that `PARTYLINE_SERVER` names, with a file that the test knows to the last bit.
//!
//! On purpose this package shares no code with the project: what connects here was written by others, and
//! the file is written by hand.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Longest wait for the server to listen.
const START_LIMIT: Duration = Duration::from_secs(15);

/// A server that plays noise in a loop; it ends with this value.
#[derive(Debug)]
pub struct Server {
    /// Where its WebSocket is.
    pub url: String,
    /// The file's audio: 16-bit stereo at 48 kHz, little-endian.
    pub audio: Vec<u8>,
    _child: Child,
    _folder: TempDir,
}

impl Server {
    /// Starts one that plays `frames` frames.
    ///
    /// # Errors
    ///
    /// When `PARTYLINE_SERVER` is not set, or the server does not listen in time.
    pub async fn start(frames: usize) -> Result<Self> {
        let binary = server_binary()?;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("noise.wav");
        let audio = noise(frames);
        std::fs::write(&path, wav(&audio)?)?;
        let mut child = Command::new(binary)
            .args(["--host", "127.0.0.1", "--port", "0", "--source"])
            .arg(&path)
            .env("NO_COLOR", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .context("PARTYLINE_SERVER")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let (found, address) = tokio::sync::oneshot::channel();
        // Reads to the end, so that the server never waits on a full pipe.
        tokio::spawn(async move {
            let mut found = Some(found);
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((_, address)) = line.split_once("listening on http://")
                    && let Some(found) = found.take()
                {
                    found.send(address.trim_end().trim_end_matches('/').to_owned()).ok();
                }
            }
        });
        let address =
            timeout(START_LIMIT, address).await.context("the server does not listen")??;
        Ok(Self { url: format!("ws://{address}/sendspin"), audio, _child: child, _folder: folder })
    }
}

fn server_binary() -> Result<PathBuf> {
    let path = std::env::var_os("PARTYLINE_SERVER").context(
        "PARTYLINE_SERVER must name the server to test, for example target/release/server",
    )?;
    let path = PathBuf::from(path);
    let from_root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(&path);
    [path.clone(), from_root]
        .into_iter()
        .find(|path| path.is_file())
        .with_context(|| format!("PARTYLINE_SERVER: there is no file {}", path.display()))
}

/// Bytes without a pattern (xorshift64*, Vigna 2014), the same each time.
fn noise(frames: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    (0..frames * 4)
        .map(|_| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 56) as u8
        })
        .collect()
}

fn wav(audio: &[u8]) -> Result<Vec<u8>> {
    let bytes = u32::try_from(audio.len())?;
    let mut file = Vec::with_capacity(44 + audio.len());
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(bytes + 36).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
    file.extend_from_slice(&48_000_u32.to_le_bytes());
    file.extend_from_slice(&192_000_u32.to_le_bytes());
    file.extend_from_slice(b"\x04\0\x10\0data");
    file.extend_from_slice(&bytes.to_le_bytes());
    file.extend_from_slice(audio);
    Ok(file)
}
