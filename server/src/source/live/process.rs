//! Programs that make sound, and `ffmpeg` for what nobody here can read.
//!
//! A program runs in a process group of its own, so that it ends with everything it has started. What it writes on
//! standard error goes to the log, line by line and within limits.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::trouble::Trouble;
use crate::source::Fault;

/// Longest line of a program that is logged, in bytes; longer ones are cut.
const LINE_BYTES_MAX: u64 = 500;

/// Most lines that are logged in a minute. The rest is counted.
const LINES_PER_MINUTE: u32 = 30;

/// How long a program may take to end when it is asked to, and how often is looked.
const END_WITHIN: Duration = Duration::from_millis(300);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running program.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    pub(super) group: Group,
}

/// The process group of a program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group(u32);

impl Group {
    /// Asks all of its processes to end, or makes them.
    pub(super) fn end(self, by_force: bool) {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, Signal, kill_process_group};
            let signal = if by_force { Signal::KILL } else { Signal::TERM };
            if let Some(pid) = i32::try_from(self.0).ok().and_then(Pid::from_raw) {
                // An error says that it is gone.
                let _ = kill_process_group(pid, signal);
            }
        }
        #[cfg(not(unix))]
        let _ = (self.0, by_force);
    }
}

impl Program {
    /// Starts `words[0]` with the other words as its arguments, and reads what it writes. `input` is its standard input;
    /// what it says on standard error is `logged`, or nobody's business.
    ///
    /// # Errors
    ///
    /// [`Trouble`].
    pub(super) fn start(
        words: &[String],
        input: Stdio,
        logged: bool,
    ) -> Result<(Self, ChildStdout), Trouble> {
        let (program, arguments) = words.split_first().ok_or(Trouble::Command)?;
        let mut command = Command::new(program);
        let errors = if logged { Stdio::piped() } else { Stdio::null() };
        command.args(arguments).stdin(input).stdout(Stdio::piped()).stderr(errors);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(Trouble::Start)?;
        let group = Group(child.id());
        let output = child.stdout.take().ok_or(Trouble::Nothing)?;
        if let Some(errors) = child.stderr.take() {
            let name = program.clone();
            let log = move || log_lines(&name, errors);
            let started = thread::Builder::new().name("exec-log".to_owned()).spawn(log);
            started.map_err(Trouble::Start)?;
        }
        Ok((Self { child, group }, output))
    }

    /// The other end of its standard input, if that is a pipe.
    fn input(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Ends it with everything it has started, and says how it ended.
    pub(super) fn end(&mut self) -> String {
        // It may be about to end by itself, with something to say.
        if !self.is_gone_within(END_WITHIN) {
            self.group.end(false);
            if !self.is_gone_within(END_WITHIN) {
                self.group.end(true);
            }
        }
        let status = self.child.wait();
        // Those that it left behind.
        self.group.end(true);
        status.map_or_else(|error| error.to_string(), |status| status.to_string())
    }

    fn is_gone_within(&mut self, limit: Duration) -> bool {
        let limit = Instant::now() + limit;
        loop {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            if Instant::now() >= limit {
                return false;
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

fn log_lines(name: &str, errors: impl Read) {
    let mut errors = BufReader::new(errors);
    let (mut minute, mut lines, mut left_out) = (Instant::now(), 0, 0_u32);
    loop {
        let mut line = Vec::new();
        match (&mut errors).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(1..) => {}
            _ => return,
        }
        if minute.elapsed() >= Duration::from_mins(1) {
            if left_out > 0 {
                tracing::warn!(program = ?name, "{left_out} lines were left out");
            }
            (minute, lines, left_out) = (Instant::now(), 0, 0);
        }
        lines += 1;
        if lines > LINES_PER_MINUTE {
            left_out += 1;
            continue;
        }
        let text = String::from_utf8_lossy(&line);
        tracing::info!(program = ?name, "{}", text.trim_end().escape_debug());
    }
}

/// The words of a command, as a shell would tell them apart. No shell runs it.
///
/// # Errors
///
/// [`Trouble::Command`].
pub(super) fn words(command: &str) -> Result<Vec<String>, Trouble> {
    shlex::split(command).filter(|words| !words.is_empty()).ok_or(Trouble::Command)
}

/// How containers begin that we can read: FLAC, WAV, AIFF, Ogg, MP3.
const OURS: [&[u8]; 5] = [b"fLaC", b"RIFF", b"FORM", b"OggS", b"ID3"];

/// Whether ffmpeg may know what we do not, of a stream that `begins` so: what we can read and is broken stays broken.
pub(super) fn is_foreign(begins: &[u8], fault: &Fault) -> bool {
    // MPEG audio without a tag begins with eleven ones, and MP4 names itself after four bytes.
    let is_ours = OURS.iter().any(|ours| begins.starts_with(ours))
        || matches!(begins, [0xff, second, ..] if *second >= 0xe0)
        || begins.get(4..8) == Some(b"ftyp");
    match fault {
        Fault::Unsupported(_) => true,
        Fault::Unrecognised(_) => !is_ours,
        _ => false,
    }
}

/// Has ffmpeg play what comes from `input`.
///
/// # Errors
///
/// [`Trouble::NoFfmpeg`] with what was wrong without it.
pub(super) fn ffmpeg(
    input: &Input<'_>,
    wrong: &str,
) -> Result<(Program, ChildStdout, Option<std::process::ChildStdin>), Trouble> {
    // Named files only: a playlist must not send it elsewhere.
    let (protocols, name, stdin) = match input {
        Input::Pipe => ("pipe", "pipe:0".to_owned(), Stdio::piped()),
        Input::File(path) => ("file", format!("file:{}", path.display()), Stdio::null()),
    };
    let words = [
        "ffmpeg",
        "-hide_banner",
        "-loglevel",
        "error",
        "-nostdin",
        "-protocol_whitelist",
        protocols,
        "-i",
        &name,
        "-map",
        "0:a:0",
        "-f",
        "f32le",
        "-ar",
        "48000",
        "-ac",
        "2",
        "pipe:1",
    ];
    let words = words.map(str::to_owned);
    // What is wrong with a file is said once, by its name.
    match Program::start(&words, stdin, false) {
        Ok((mut program, output)) => {
            let input = program.input();
            Ok((program, output, input))
        }
        Err(Trouble::Start(error)) if error.kind() == io::ErrorKind::NotFound => {
            Err(Trouble::NoFfmpeg(wrong.to_owned()))
        }
        Err(trouble) => Err(trouble),
    }
}

/// Where ffmpeg takes its input from.
pub(super) enum Input<'a> {
    /// What is written to it.
    Pipe,
    /// A file.
    File(&'a Path),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart_as_by_a_shell() {
        assert_eq!(words("play 'a b' c\\ d \"e;f\"").unwrap(), ["play", "a b", "c d", "e;f"]);
        for wrong in ["", "  ", "play 'a"] {
            assert!(matches!(words(wrong), Err(Trouble::Command)), "{wrong}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_program_ends_with_what_it_has_started() {
        let command = words("sh -c 'echo begun; cat /dev/zero & exec cat /dev/zero'").unwrap();
        let (mut program, mut output) = Program::start(&command, Stdio::null(), true).unwrap();
        let mut first = [0; 6];
        output.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"begun\n");
        assert!(program.end().contains("signal"));
        // Nobody holds the pipe any more.
        io::copy(&mut output, &mut io::sink()).unwrap();
    }
}
