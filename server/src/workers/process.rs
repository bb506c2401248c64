//! One worker process.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// What a worker says first when it listens.
const READY: &str = "listening on ";

/// A process of this same program. Killed when dropped.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    /// It stops when this is closed, also when this process is gone without having had time for anything.
    tether: Option<ChildStdin>,
    output: Option<Lines<BufReader<ChildStdout>>>,
}

/// What happens to a worker.
#[derive(Debug)]
pub(super) enum Happening {
    /// It listens at this address.
    Ready(String),
    /// It has ended.
    Ended(io::Result<ExitStatus>),
}

impl Worker {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn start(arguments: &[OsString]) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        // An interrupt from the keyboard is for the coordinator, which stops its workers in order.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        let output = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        Ok(Self { tether: child.stdin.take(), output, child })
    }

    /// Waits for the next thing that happens to it. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Happening {
        loop {
            let Some(output) = &mut self.output else {
                return Happening::Ended(self.child.wait().await);
            };
            tokio::select! {
                line = output.next_line() => match line {
                    Ok(Some(line)) => {
                        if let Some(address) = line.strip_prefix(READY) {
                            return Happening::Ready(address.to_owned());
                        }
                    }
                    // No more will come; its end will.
                    Ok(None) | Err(_) => self.output = None,
                },
                ended = self.child.wait() => return Happening::Ended(ended),
            }
        }
    }

    /// Tells it to stop in order.
    pub(super) fn release(&mut self) {
        self.tether = None;
    }

    /// Ends it at once.
    pub(super) fn kill(&mut self) {
        // An error says that it is gone already.
        let _ = self.child.start_kill();
    }
}
