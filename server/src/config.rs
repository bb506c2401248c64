//! The command line as plain values.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use protocol::message::{Repeat, Rights};

pub use crate::http::entrance::{BasePath, BasePathError, Entrance, PublicUrl, PublicUrlError};
#[cfg(feature = "tls")]
pub use crate::http::tls::TlsOptions;
use crate::rights::{HostKey, Rules};
use crate::source::{LiveOptions, Options, Order, SourceFormat, SourceSpec};

/// One binary that turns any audio into a party URL.
///
/// Everyone who opens the address hears the same at the same moment, in a plain browser tab.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own on the command line"
)]
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "server", version)]
pub struct Config {
    /// What to play: an audio file, a folder of them, a playlist, `demo` for the built-in track, or `metronome` for a
    /// tick each second, by which the delay of a loudspeaker is set by ear.
    ///
    /// Files are FLAC, MP3, M4A (AAC-LC, ALAC), Ogg Vorbis, WAV or AIFF, and anything else if `ffmpeg` is installed; playlists
    /// M3U, M3U8, PLS or XSPF. A folder is played with all folders below it, in natural order. Also an audio file or a radio
    /// station on the web, `http://…` or `https://…`; standard input, `-`; a named pipe; a command that writes sound,
    /// `exec:COMMAND`, which is run without a shell. Give it more than once to play one after the other.
    #[arg(long = "source", value_name = "FILE|FOLDER|PLAYLIST|URL|-|exec:COMMAND|demo|metronome")]
    #[cfg_attr(feature = "cluster", arg(required_unless_present = "edge"))]
    #[cfg_attr(not(feature = "cluster"), arg(required = true))]
    pub sources: Vec<SourceSpec>,

    /// What standard input, pipes and commands write, if it is raw samples: encoding, rate and channels, such as
    /// `s16le/48000/2`. Without this, an audio file or stream of any kind is expected.
    #[arg(long, value_name = "FORMAT")]
    pub source_format: Option<SourceFormat>,

    /// How much of a live source is in hand before it plays, in milliseconds: 500 to 4000. Less is nearer to the moment, more
    /// bridges longer holes. After a hole of up to 3 s it is as much more as was missing. A source that is faster than real time fills all the lead there is.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(500..=4_000))]
    pub live_lead: u16,

    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 8927)]
    pub port: u16,

    /// Address or host name to listen on.
    #[arg(long, default_value = "0.0.0.0")]
    pub host: String,

    /// Name of the party, shown to guests.
    #[arg(long, default_value = "Partyline", value_parser = name)]
    pub name: String,

    /// End the party after the last track, as `--repeat off` does.
    #[arg(long)]
    pub no_loop: bool,

    /// What is played again: nothing, each track, or the whole list, which then starts over without a gap.
    #[arg(
        long,
        value_name = "off|one|all",
        default_value = "all",
        conflicts_with = "no_loop",
        value_parser = PossibleValuesParser::new(["off", "one", "all"]).map(|value| repeat(&value)),
    )]
    pub repeat: Repeat,

    /// Play in random order, another one each round.
    #[arg(long)]
    pub shuffle: bool,

    /// Play every file as loud as it is, whatever its `ReplayGain` or R128 tags say.
    #[arg(long)]
    pub no_replay_gain: bool,

    /// Measure files without such tags, and bring them to the same loudness, -18 LUFS. A track that begins before it has
    /// been measured is played as it is, and comes at the right level from the next time on.
    #[arg(long)]
    pub normalize: bool,

    /// Most listeners at a time; who comes later is told to try again.
    ///
    /// Each takes 1.5 Mbit/s of the network for PCM, and one open file. With workers, it is the limit of each.
    #[arg(long, default_value_t = 5_000)]
    pub max_listeners: usize,

    /// Most connections of one address at a time. This machine's own, as those of a reverse proxy on it, are not limited.
    #[arg(long, default_value_t = 100)]
    pub max_per_address: usize,

    /// Let pages of this site listen too, as `https://radio.example`; `*` lets all. Give it more than once for several.
    /// Programs that are no browsers, and this server's own page, may always.
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub allow_origins: Vec<String>,

    /// Answer `/healthz` and `/metrics` on this port instead, so that guests cannot see them; 0 takes a free one. Workers
    /// take this and the following ones.
    #[arg(long)]
    pub ops_port: Option<u16>,

    /// The secret in the link that makes whoever opens it the host: letters, digits, `-` and `_`, twelve at least. Without
    /// it, one is made at each start. Better given as the environment variable, which other users cannot see.
    #[arg(long, value_name = "KEY", env = "PARTYLINE_HOST_KEY", hide_env_values = true)]
    pub host_key: Option<HostKey>,

    /// What guests may do beside listening as loud as they like: `may=nothing`, `may=volume` (the volume of all),
    /// `may=skip` (that, and the next track), or `may=all`.
    #[arg(long, default_value = "may=nothing", value_parser = guests)]
    pub guests: Rights,
    /// Answer below this path, as `/music/party`, for a reverse proxy that passes requests on with it. One that cuts it off
    /// needs nothing of this.
    #[arg(long, value_name = "PATH", default_value = "", value_parser = base_path, hide_default_value = true)]
    pub base_path: BasePath,

    /// What guests are to open, as `https://home.example/party`, when that is another address than this server's own: behind
    /// a reverse proxy, or with a name of its own.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<PublicUrl>,

    /// Do not announce the party on the local network, where players without a browser look for it. With encryption, and on
    /// this machine's own address, it never is.
    #[arg(long)]
    pub no_mdns: bool,

    /// Print the address as a QR code even when standard error is not a terminal.
    #[arg(long)]
    pub qr: bool,

    /// Encryption.
    #[cfg(feature = "tls")]
    #[command(flatten)]
    pub tls: TlsOptions,

    /// The party beyond one process.
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    pub cluster: crate::cluster::Cluster,
}

impl Config {
    /// Whether it plays nothing itself, and is told by an origin what its guests may do and who the host is.
    #[must_use]
    pub fn follows(&self) -> bool {
        #[cfg(feature = "cluster")]
        return self.cluster.is_edge();
        #[cfg(not(feature = "cluster"))]
        return false;
    }

    /// Who may do what.
    pub(crate) fn rules(&self) -> Rules {
        Rules::new(self.guests, self.host_key.as_ref())
    }

    /// How the sources are played.
    pub fn playback(&self) -> Options {
        let repeat = if self.no_loop { Repeat::Off } else { self.repeat };
        let lead = Duration::from_millis(u64::from(self.live_lead));
        Options {
            order: Order { repeat, shuffle: self.shuffle },
            // Seeded by the system anew each time.
            seed: RandomState::new().hash_one(0),
            replay_gain: !self.no_replay_gain,
            normalize: self.normalize,
            live: LiveOptions { format: self.source_format, lead },
        }
    }

    /// The ways to the page.
    #[must_use]
    pub fn entrance(&self) -> Entrance {
        #[cfg(feature = "tls")]
        let (is_secure, name) = (self.tls.is_used(), self.tls.acme.clone());
        #[cfg(not(feature = "tls"))]
        let (is_secure, name) = (false, None);
        Entrance {
            host: self.host.clone(),
            is_secure,
            name,
            path: self.base_path.clone(),
            public: self.public_url.clone(),
        }
    }
}

/// Why a value of `--guests` is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected may=nothing, may=volume, may=skip or may=all")]
pub struct GuestsError;

fn guests(value: &str) -> Result<Rights, GuestsError> {
    match value {
        "may=nothing" => Ok(Rights::Listen),
        "may=volume" => Ok(Rights::Volume),
        "may=skip" => Ok(Rights::Skip),
        "may=all" => Ok(Rights::All),
        _ => Err(GuestsError),
    }
}

/// One of the values that the parser lets through.
fn repeat(value: &str) -> Repeat {
    match value {
        "off" => Repeat::Off,
        "one" => Repeat::One,
        _ => Repeat::All,
    }
}

/// An empty value stands for the root.
fn base_path(value: &str) -> Result<BasePath, BasePathError> {
    if value.is_empty() { Ok(BasePath::default()) } else { value.parse() }
}

/// Longest party name, in characters: it has to fit on a phone's screen.
const NAME_CHARS_MAX: usize = 80;

/// Why a name is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It is empty or blank.
    #[error("expected at least one character")]
    Empty,
    /// It is too long.
    #[error("{chars} characters; expected at most {NAME_CHARS_MAX}")]
    TooLong {
        /// How long it is.
        chars: usize,
    },
    /// It has a line break, or another character that cannot be shown.
    #[error("expected no control characters")]
    Control,
}

fn name(value: &str) -> Result<String, NameError> {
    let value = value.trim();
    let chars = value.chars().count();
    if chars == 0 {
        return Err(NameError::Empty);
    }
    if chars > NAME_CHARS_MAX {
        return Err(NameError::TooLong { chars });
    }
    if value.contains(char::is_control) {
        return Err(NameError::Control);
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};
    use std::path::PathBuf;

    #[test]
    fn the_definition_is_consistent() {
        Config::command().debug_assert();
    }

    #[test]
    fn sources_keep_their_order() {
        let line = ["server", "--source", "b.flac", "--source", "demo"];
        let config = Config::try_parse_from(line).unwrap();
        let file = SourceSpec::File(PathBuf::from("b.flac"));
        assert_eq!(config.sources, [file, SourceSpec::Demo]);
        assert_eq!((config.port, config.host.as_str()), (8927, "0.0.0.0"));
    }

    #[test]
    fn the_music_starts_over_unless_told_otherwise() {
        let playback = |options: &[&str]| {
            let line = ["server", "--source", "demo"].iter().chain(options);
            Config::try_parse_from(line).unwrap().playback()
        };
        let order = |repeat, shuffle| Order { repeat, shuffle };
        assert_eq!(playback(&[]).order, order(Repeat::All, false));
        assert_eq!(playback(&["--no-loop"]).order, order(Repeat::Off, false));
        assert_eq!(playback(&["--repeat", "off"]).order, order(Repeat::Off, false));
        assert_eq!(playback(&["--repeat", "one", "--shuffle"]).order, order(Repeat::One, true));
        let plain = playback(&[]);
        assert!(plain.replay_gain && !plain.normalize && plain.seed != playback(&[]).seed);
        let loud = playback(&["--no-replay-gain", "--normalize"]);
        assert!(!loud.replay_gain && loud.normalize);
    }

    #[test]
    fn options_that_contradict_each_other_are_both_named() {
        let line = ["server", "--source", "demo", "--no-loop", "--repeat", "one"];
        let error = Config::try_parse_from(line).unwrap_err().to_string();
        assert!(error.contains("--no-loop") && error.contains("--repeat"), "{error}");
    }

    #[test]
    fn wrong_values_are_refused() {
        for wrong in [
            &["server"][..],
            &["server", "--source", "demo", "--repeat", "twice"],
            &["server", "--source", ""],
            &["server", "--source", "demo", "--port", "65536"],
            &["server", "--source", "demo", "--name", " "],
            &["server", "--source", "demo", "--name", "a\nb"],
            &["server", "--source", "demo", "extra"],
            &["server", "--source", "-", "--source-format", "s16le"],
            &["server", "--source", "-", "--live-lead", "499"],
            &["server", "--source", "demo", "--base-path", "party"],
            &["server", "--source", "demo", "--public-url", "party.example"],
            #[cfg(feature = "tls")]
            &["server", "--source", "demo", "--tls-cert", "a.pem"],
            #[cfg(feature = "tls")]
            &["server", "--source", "demo", "--tls-key", "a.key"],
            #[cfg(feature = "tls")]
            &["server", "--source", "demo", "--acme-staging"],
            #[cfg(feature = "tls")]
            &["server", "--source", "demo", "--acme", "party.example:443"],
            #[cfg(feature = "tls")]
            &["server", "--source", "demo", "--acme", "a.b", "--tls-cert", "a", "--tls-key", "b"],
            #[cfg(all(feature = "tls", feature = "cluster"))]
            &["server", "--source", "demo", "--acme", "party.example", "--workers", "2"],
            #[cfg(feature = "cluster")]
            &["server", "--source", "demo", "--edge", "tcp/127.0.0.1:7447"],
            #[cfg(feature = "cluster")]
            &["server", "--edge", "tcp/127.0.0.1:7447", "--serve-edges", "tcp/127.0.0.1:7448"],
            #[cfg(feature = "cluster")]
            &["server", "--source", "demo", "--workers", "0"],
            #[cfg(feature = "cluster")]
            &["server", "--source", "demo", "--worker-ports"],
        ] {
            assert!(Config::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(name(&"ä".repeat(81)), Err(NameError::TooLong { chars: 81 }));
    }
}
