//! The real server, as its own process on a port that the system picks.
//!
//! The binary is the one that `PARTYLINE_SERVER` names, else the debug build of the workspace, brought up
//! to date once. A server ends with its [`ServerProcess`], whatever becomes of the test.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest wait for a server to say that it listens, and for one that refuses to start. Both take
/// milliseconds; the rest is for a busy machine.
const START_LIMIT: Duration = Duration::from_secs(15);

/// A running server.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    port: u16,
    ready_after: Duration,
    output: Output,
}

/// How a server ended.
#[derive(Debug)]
pub struct Exit {
    /// What it reported to the system.
    pub status: ExitStatus,
    /// From the signal, or from the start if it was not asked, to the end.
    pub took: Duration,
    /// All that it wrote on standard output.
    pub stdout: String,
    /// All that it wrote on standard error.
    pub stderr: String,
}

impl ServerProcess {
    /// Starts a server with `args` on a free port of the loopback address, and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it ends instead, or says nothing in time; with what it wrote.
    pub async fn start<A: AsRef<OsStr>>(args: &[A]) -> Result<Self> {
        Self::start_on(0, args).await
    }

    /// As [`Self::start`], with `stdin` as the server's standard input.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub async fn start_reading<A: AsRef<OsStr>>(args: &[A], stdin: Stdio) -> Result<Self> {
        Self::spawned(0, args, stdin).await
    }

    /// As [`Self::start`], on a port that is known, for a server that takes the place of another.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub async fn start_on<A: AsRef<OsStr>>(port: u16, args: &[A]) -> Result<Self> {
        Self::spawned(port, args, Stdio::null()).await
    }

    async fn spawned<A: AsRef<OsStr>>(port: u16, args: &[A], stdin: Stdio) -> Result<Self> {
        let started = Instant::now();
        let (mut child, mut output) = spawn(port, args, stdin)?;
        let listening = timeout(START_LIMIT, output.line_with("listening on http")).await;
        let ready_after = started.elapsed();
        let Ok(Some(line)) = listening else {
            child.start_kill().ok();
            let text = output.finish().await;
            bail!("the server does not listen: {text:?}");
        };
        let port = port_of(&line).with_context(|| format!("no port in {line:?}"))?;
        Ok(Self { child, port, ready_after, output })
    }

    /// Starts a server that is expected to end by itself, and waits for that.
    ///
    /// # Errors
    ///
    /// When it still runs after a generous time.
    pub async fn run<A: AsRef<OsStr>>(port: u16, args: &[A]) -> Result<Exit> {
        let started = Instant::now();
        let (child, output) = spawn(port, args, Stdio::null())?;
        exit_of(child, output, started, START_LIMIT).await
    }

    /// As [`Self::run`], with `stdin` as the server's standard input.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub async fn run_reading<A: AsRef<OsStr>>(args: &[A], stdin: Stdio) -> Result<Exit> {
        let started = Instant::now();
        let (child, output) = spawn(0, args, stdin)?;
        exit_of(child, output, started, START_LIMIT).await
    }

    /// The port that it listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// From the start of the process to its `listening on` line.
    #[must_use]
    pub const fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Its number on this machine.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn id(&self) -> Result<u32> {
        self.child.id().context("the server is gone")
    }

    /// Address of the page.
    #[must_use]
    pub fn page_url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Address of the WebSocket.
    #[must_use]
    pub fn socket_url(&self) -> String {
        format!("ws://127.0.0.1:{}/sendspin", self.port)
    }

    /// Sends a signal, as a terminal or a service manager would.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.id()?)?).context("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// When it does not come within `limit`.
    pub async fn exit(self, limit: Duration) -> Result<Exit> {
        exit_of(self.child, self.output, Instant::now(), limit).await
    }

    /// Waits for a line on standard error or standard output that contains `words`.
    ///
    /// # Errors
    ///
    /// When there is none within `limit`.
    pub async fn line_with(&mut self, words: &str, limit: Duration) -> Result<String> {
        timeout(limit, self.output.line_with(words))
            .await
            .ok()
            .flatten()
            .with_context(|| format!("the server did not write {words:?}"))
    }

    /// Ends it the hard way, as a power cut would, and waits until its port is free.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

async fn exit_of(
    mut child: Child,
    output: Output,
    since: Instant,
    limit: Duration,
) -> Result<Exit> {
    let Ok(status) = timeout(limit, child.wait()).await else {
        child.start_kill().ok();
        let text = output.finish().await;
        bail!("the server still runs after {limit:?}: {text:?}");
    };
    let took = since.elapsed();
    let Text { stdout, stderr } = output.finish().await;
    Ok(Exit { status: status?, took, stdout, stderr })
}

fn spawn<A: AsRef<OsStr>>(port: u16, args: &[A], stdin: Stdio) -> Result<(Child, Output)> {
    let binary = server_binary()?;
    // On this machine's own address nothing is announced on the network.
    let mut child = Command::new(binary)
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args(args)
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| binary.display().to_string())?;
    let output = Output::collect(&mut child)?;
    Ok((child, output))
}

/// The port after the last colon of the address in a `listening on` line.
fn port_of(line: &str) -> Option<u16> {
    let (_, address) = line.split_once("://")?;
    let address = address.split([' ', '/']).next()?;
    address.rsplit_once(':')?.1.parse().ok()
}

/// Path of the server to test.
///
/// # Errors
///
/// When `PARTYLINE_SERVER` names no file, or the workspace does not build.
pub fn server_binary() -> Result<&'static Path> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = BINARY.get_or_init(|| locate().map_err(|error| format!("{error:#}")));
    match found {
        Ok(path) => Ok(path),
        Err(error) => bail!("{error}"),
    }
}

fn locate() -> Result<PathBuf> {
    if let Some(path) = env::var_os("PARTYLINE_SERVER") {
        let path = PathBuf::from(path);
        // Tests run in their package's folder, people write paths from the root.
        let from_root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&path);
        return [path.clone(), from_root]
            .into_iter()
            .find(|path| path.is_file())
            .with_context(|| format!("PARTYLINE_SERVER: there is no file {}", path.display()));
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = StdCommand::new(cargo)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--quiet", "--package", "server", "--bin", "server"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("cargo build -p server")?;
    ensure!(build.status.success(), "the server does not build");
    String::from_utf8(build.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "server")
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
        .context("cargo named no server binary")
}

/// Processes that `parent` started and that run, by the kernel's list.
///
/// # Errors
///
/// When there is no such list, as on systems without `/proc`.
pub fn children(parent: u32) -> Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(id) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else {
            continue;
        };
        // One that has just ended is none.
        let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
        // After the name, which may hold anything but ends at the last bracket: state, parent.
        let rest = stat.rsplit_once(") ").context("a process without a name")?.1;
        let mut fields = rest.split(' ');
        let state = fields.next();
        if fields.next() == Some(&parent.to_string()) && state != Some("Z") {
            found.insert(id);
        }
    }
    Ok(found)
}

/// Clock ticks in a second, as Linux counts time in `/proc` on every machine of today.
const TICKS_PER_S: f64 = 100.0;

/// Processor time that a process took so far, in its own code and in the kernel's on its behalf, seconds.
///
/// # Errors
///
/// When it is gone, or there are no such accounts, as on systems without `/proc`.
pub fn cpu_s(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is a name in brackets, which may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("/proc/…/stat")?;
    let field = |at: usize| fields.split_whitespace().nth(at)?.parse::<f64>().ok();
    let ticks = field(11).zip(field(12)).map(|(user, system)| user + system);
    Ok(ticks.context("no times in /proc/…/stat")? / TICKS_PER_S)
}

/// What a process wrote, line by line as it comes.
#[derive(Debug)]
struct Output {
    text: watch::Receiver<Text>,
    readers: [JoinHandle<()>; 2],
}

#[derive(Clone, Debug, Default)]
struct Text {
    stdout: String,
    stderr: String,
}

impl Output {
    fn collect(child: &mut Child) -> Result<Self> {
        let stdout = child.stdout.take().context("no standard output")?;
        let stderr = child.stderr.take().context("no standard error")?;
        let (sender, text) = watch::channel(Text::default());
        let sender = Arc::new(sender);
        let readers = [
            tokio::spawn(read_lines(stdout, Arc::clone(&sender), |text| &mut text.stdout)),
            tokio::spawn(read_lines(stderr, sender, |text| &mut text.stderr)),
        ];
        Ok(Self { text, readers })
    }

    /// The first line that contains `words`, or `None` when the process ends without one.
    async fn line_with(&mut self, words: &str) -> Option<String> {
        let found = |text: &Text| {
            let mut lines = text.stdout.lines().chain(text.stderr.lines());
            lines.find(|line| line.contains(words)).map(str::to_owned)
        };
        let text = self.text.wait_for(|text| found(text).is_some()).await.ok()?;
        found(&text)
    }

    /// All that was written, once the process has ended.
    async fn finish(self) -> Text {
        for reader in self.readers {
            // A grandchild could hold the pipe open; what was read by then is enough.
            timeout(Duration::from_secs(2), reader).await.ok();
        }
        self.text.borrow().clone()
    }
}

async fn read_lines(
    pipe: impl AsyncRead + Unpin,
    text: Arc<watch::Sender<Text>>,
    part: fn(&mut Text) -> &mut String,
) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        text.send_modify(|text| {
            let part = part(text);
            part.push_str(&line);
            part.push('\n');
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_every_form_of_address() {
        assert_eq!(port_of("listening on http://127.0.0.1:8927/"), Some(8927));
        assert_eq!(port_of("INFO listening on http://[::1]:80 (all)"), Some(80));
        assert_eq!(port_of("listening on https://127.0.0.1:443"), Some(443));
        assert_eq!(port_of("listening on http://party.test"), None);
    }
}
