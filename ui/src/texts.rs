//! Every word a person reads on the page, in one place, so that another language is another module.
//!
//! Only the stand-in of `index.html` has words of its own: it is on screen before this program is.
//! Words from a server are untrusted: they are cut to length here and reach the page as text, never as markup.

use player_wasm::player::Failure;
use player_wasm::stats::{Dialect, OutputKind, State, Stats};

use crate::player_handle::{Pause, Trouble};

/// Most characters of a text that someone else wrote: what fits the space the page keeps for it.
const FOREIGN_CHARS_MAX: usize = 100;

/// Sync error below which nobody hears a difference between two players in one room, microseconds.
const IN_STEP_US: f64 = 1_000.0;
/// Close code of a server that has no room now (1013 of the IANA registry).
const TRY_AGAIN_LATER: u16 = 1013;

pub(crate) const BRAND: &str = "Partyline";
pub(crate) const JOIN: &str = "Join";
pub(crate) const STOP: &str = "Stop";
pub(crate) const VOLUME: &str = "Volume";
pub(crate) const MUTE: &str = "Mute";
pub(crate) const INVITATION: &str = "Press Join and hear the same moment as everyone else here.";
pub(crate) const ENDED_HEADLINE: &str = "That was the last track";
pub(crate) const ENDED_ADVICE: &str = "Stay on this page to hear what comes next.";
pub(crate) const WAITING_HEADLINE: &str = "The host is away";
pub(crate) const WAITING_ADVICE: &str = "It goes on by itself when the host is back.";
pub(crate) const CRASHED: &str = "This page has stopped working. Please reload it.";

pub(crate) const SYNC_TITLE: &str = "How well in step";
pub(crate) const UNKNOWN: &str = "–";
pub(crate) const STAT_STATE: &str = "State";
pub(crate) const STAT_SYNC_ERROR: &str = "Sync error";
pub(crate) const STAT_CLOCK_ERROR: &str = "Clock error";
pub(crate) const STAT_DRIFT: &str = "Drift";
pub(crate) const STAT_BUFFERED: &str = "Buffered";
pub(crate) const STAT_ROUND_TRIP: &str = "Round trip";
pub(crate) const STAT_REANCHORS: &str = "Re-anchors";
pub(crate) const STAT_UNDERRUNS: &str = "Underruns";
pub(crate) const STAT_LATE_CHUNKS: &str = "Late chunks";
pub(crate) const STAT_OUTPUT: &str = "Output";
pub(crate) const STAT_OUTPUT_LATENCY: &str = "Output latency";
pub(crate) const STAT_OUTPUT_RATE: &str = "Output rate";
pub(crate) const STAT_CODEC: &str = "Codec";
pub(crate) const STAT_DIALECT: &str = "Protocol";
pub(crate) const FIGURES_NOTE: &str =
    "Sync error: heard minus due, by the server's clock. Positive is late.";
pub(crate) const INSECURE_PAGE: &str = "This page came over plain http, where browsers offer no \
    AudioWorklet. Sound is scheduled block by block instead, and stays in step all the same.";

pub(crate) const INTERRUPTED: &str = "Something else uses the sound of this device.";
pub(crate) const RESUME: &str = "Go on here";
pub(crate) const GRAPH: &str = "Sync error, clock error and buffer of the last minute";
pub(crate) const KEY_ERROR: &str = "sync error, ±1 ms";
pub(crate) const KEY_CLOCK: &str = "clock error";
pub(crate) const KEY_BUFFER: &str = "buffer, 5 s";
pub(crate) const DELAY: &str = "Delay";
pub(crate) const OUTPUT_DEVICE: &str = "Heard through";
pub(crate) const DELAY_MS: &str = "Delay in milliseconds";
pub(crate) const DELAY_NOTE: &str = "Does this speaker lag behind the others, as Bluetooth speakers and televisions \
    do? Add milliseconds until it does not. If it is ahead, take some away. Each output keeps its own.";
pub(crate) const COPY: &str = "Copy diagnostics";
pub(crate) const COPIED: &str = "Copied";

/// Something that sound comes out of, by its id or the system's name for it.
pub(crate) fn output_device(id: &str) -> String {
    match id {
        "speakers" => "Built-in or wired speakers".to_owned(),
        "headphones" => "Headphones".to_owned(),
        "bluetooth" => "Bluetooth".to_owned(),
        "tv" => "Television".to_owned(),
        name => name.to_owned(),
    }
}

/// What a step of the delay does.
pub(crate) fn delay_step(ms: i16) -> String {
    let what = if ms < 0 { "Play later" } else { "Play earlier" };
    format!("{what} by {} ms", ms.abs())
}

/// `+10`, with a real minus sign.
pub(crate) fn signed(ms: i16) -> String {
    let sign = if ms > 0 { "+" } else { "" };
    format!("{sign}{ms}").replace('-', "−")
}

/// How well in step, and a warning.
pub(crate) fn often_disturbed(words: &str, count: u32) -> String {
    format!("{words} – {count} jumps or holes in the last minute")
}

/// Figures for somebody who can help.
pub(crate) fn diagnostics(browser: &str, figures: &str) -> String {
    format!("Partyline {}\n{browser}\n{figures}\n", env!("CARGO_PKG_VERSION"))
}

/// What went wrong, and what a person can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) what: String,
    pub(crate) advice: &'static str,
}

/// What the player is doing.
pub(crate) const fn state(state: State, pause: Option<Pause>) -> &'static str {
    match state {
        State::Idle => "Not listening",
        State::Connecting => "Connecting",
        State::Buffering | State::Playing | State::Reconnecting
            if matches!(pause, Some(Pause::HostAway)) =>
        {
            "Waiting for the host"
        }
        State::Buffering | State::Playing if pause.is_some() => "The party is over",
        State::Buffering => "Getting in step",
        State::Playing => "Playing",
        State::Reconnecting => "Lost the server – trying to get back",
        State::Error => "Not playing",
    }
}

/// How well in step the player is, without a figure.
pub(crate) fn in_step(stats: &Stats) -> &'static str {
    match stats.state {
        State::Idle => "Not listening",
        State::Connecting => "Looking for the server",
        State::Buffering => "Starting",
        State::Playing => match stats.sync_error_us {
            None => "Measuring",
            Some(error) if error.abs() < IN_STEP_US => "In step",
            Some(_) => "Getting in step",
        },
        State::Reconnecting if stats.buffered_ms > 0.0 => {
            "Lost the server – still playing what is here"
        }
        State::Reconnecting => "Lost the server – nothing left to play",
        State::Error => "Not playing",
    }
}

/// What to say about `trouble` with the server at `host`.
pub(crate) fn trouble(trouble: &Trouble, host: &str) -> Notice {
    let host = foreign(host);
    let notice = |what, advice| Notice { what, advice };
    match trouble {
        Trouble::InvalidServer(given) => notice(
            format!("“{}” is not the address of a server.", foreign(given)),
            "An address looks like ws://192.168.1.20:8927/sendspin. Check the part after “?server=” above.",
        ),
        Trouble::Player(Failure::NoServer) => notice(
            format!("There is no answer from {host}."),
            "Check that the server is running and that this device is on its network. Then press Join again.",
        ),
        Trouble::Player(Failure::Refused { code: TRY_AGAIN_LATER, .. }) => notice(
            format!("The party at {host} is full."),
            "Press Join again in a moment: there is room when somebody leaves.",
        ),
        Trouble::Player(Failure::Refused { code, reason }) if reason.is_empty() => notice(
            format!("{host} ended the connection (code {code})."),
            "Ask the host of the party, or press Join to try again.",
        ),
        Trouble::Player(Failure::Refused { code, reason }) => notice(
            format!("{host} said no: {} (code {code})", foreign(reason)),
            "Ask the host of the party, or press Join to try again.",
        ),
        Trouble::Player(Failure::Unsupported { what }) => notice(
            format!("This page and {host} do not understand each other: {}", foreign(what)),
            "Check the address, and that server and page are up to date. Then press Join again.",
        ),
        Trouble::Player(Failure::AudioBlocked) => notice(
            "The browser does not let this page play sound.".to_owned(),
            "Allow sound for this site in the address bar or the browser's settings. Then press Join again.",
        ),
        Trouble::Player(Failure::AudioFailed { what }) => notice(
            format!("The sound output could not be started: {}", foreign(what)),
            "Check that a speaker or headphones are connected, and close other programs that use them. \
             Then press Join again.",
        ),
        Trouble::Player(_) => notice(
            "Listening has ended for a reason this page does not know.".to_owned(),
            "Reload the page and press Join again.",
        ),
    }
}

/// The number of listeners, this one included.
pub(crate) fn listeners(count: u32) -> String {
    match count {
        // Counted before this page was: nobody is better than a wrong one.
        0 => "Nobody yet".to_owned(),
        1 => "Only you".to_owned(),
        _ => format!("{count} listening"),
    }
}

/// Artist and album in one line, as far as they are known.
pub(crate) fn byline(artist: Option<&str>, album: Option<&str>) -> String {
    match (artist, album) {
        (Some(artist), Some(album)) => format!("{artist} · {album}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => String::new(),
    }
}

/// Where the sound comes from.
pub(crate) fn from_server(name: &str) -> String {
    format!("from {}", foreign(name))
}

/// The name in the browser's tab.
pub(crate) fn document_title(track: Option<&str>) -> String {
    track.map_or_else(|| BRAND.to_owned(), |track| format!("{} · {BRAND}", foreign(track)))
}

/// The name under which a server lists this player. The end of the id keeps two of them apart.
pub(crate) fn player_name(client_id: &str) -> String {
    let end = client_id.len().saturating_sub(4);
    format!("Web player {}", client_id.get(end..).unwrap_or_default())
}

/// How blocks reach the audio output.
pub(crate) const fn output(kind: OutputKind) -> &'static str {
    match kind {
        OutputKind::Worklet => "AudioWorklet",
        OutputKind::BufferSource => "buffer source",
    }
}

/// The generation of the protocol.
pub(crate) const fn dialect(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Clear => "clear text",
    }
}

/// Cuts a text that someone else wrote to length, on one line.
fn foreign(text: &str) -> String {
    let mut chars = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut cut: String = chars.by_ref().take(FOREIGN_CHARS_MAX).collect();
    if chars.next().is_some() {
        cut.push('…');
    }
    cut
}

/// Figures with their units.
pub(crate) mod unit {
    /// `+120 µs`; the sign is always there, for it says late or early.
    pub(crate) fn signed_us(us: f64) -> String {
        let whole = us.round() as i64;
        let sign = if whole > 0 { "+" } else { "" };
        format!("{sign}{whole} µs").replace('-', "−")
    }

    /// `± 35 µs`.
    pub(crate) fn bound_us(us: f64) -> String {
        format!("± {} µs", us.round() as i64)
    }

    /// `+12.3 ppm`.
    pub(crate) fn ppm(ppm: f64) -> String {
        let sign = if ppm > 0.0 { "+" } else { "" };
        format!("{sign}{} ppm", tenths(ppm)).replace('-', "−")
    }

    /// `4820 ms`.
    pub(crate) fn ms(ms: f64) -> String {
        format!("{} ms", ms.round() as i64)
    }

    /// `1.4 ms`.
    pub(crate) fn fine_ms(ms: f64) -> String {
        format!("{} ms", tenths(ms))
    }

    /// `48000 Hz`.
    pub(crate) fn hz(hz: u32) -> String {
        format!("{hz} Hz")
    }

    /// One digit after the point. The general float formatting of the standard library weighs more than this page
    /// should.
    fn tenths(value: f64) -> String {
        let tenths = (value * 10.0).round() as i64;
        let sign = if tenths < 0 { "-" } else { "" };
        format!("{sign}{}.{}", tenths.abs() / 10, tenths.abs() % 10)
    }
}

#[cfg(test)]
mod tests {
    use player_wasm::stats::{State, Stats};
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::{FOREIGN_CHARS_MAX, Pause, foreign, in_step, listeners, player_name, state, unit};

    #[wasm_bindgen_test]
    fn figures_have_sign_and_unit() {
        assert_eq!(unit::signed_us(119.6), "+120 µs");
        assert_eq!(unit::signed_us(-119.6), "−120 µs");
        assert_eq!(unit::signed_us(0.2), "0 µs");
        assert_eq!(unit::bound_us(35.4), "± 35 µs");
        assert_eq!(unit::ppm(12.34), "+12.3 ppm");
        assert_eq!(unit::ppm(-0.26), "−0.3 ppm");
        assert_eq!(unit::ppm(0.0), "0.0 ppm");
        assert_eq!(unit::fine_ms(1.96), "2.0 ms");
        assert_eq!(unit::ms(4_820.4), "4820 ms");
        assert_eq!(unit::hz(44_100), "44100 Hz");
    }

    #[wasm_bindgen_test]
    fn listeners_are_counted_in_words() {
        assert_eq!(listeners(1), "Only you");
        assert_eq!(listeners(2), "2 listening");
    }

    #[wasm_bindgen_test]
    fn foreign_text_is_cut_and_put_on_one_line() {
        assert_eq!(foreign(" a\nb\t"), "a b");
        let long = foreign(&"ü".repeat(FOREIGN_CHARS_MAX + 1));
        assert_eq!(long.chars().count(), FOREIGN_CHARS_MAX + 1);
        assert!(long.ends_with('…'));
        assert_eq!(foreign(&"ü".repeat(FOREIGN_CHARS_MAX)), "ü".repeat(FOREIGN_CHARS_MAX));
    }

    #[wasm_bindgen_test]
    fn words_follow_the_sync_error() {
        let playing =
            |sync_error_us| Stats { state: State::Playing, sync_error_us, ..Stats::default() };
        assert_eq!(in_step(&playing(None)), "Measuring");
        assert_eq!(in_step(&playing(Some(-999.0))), "In step");
        assert_eq!(in_step(&playing(Some(-1_000.0))), "Getting in step");
        let lost =
            |buffered_ms| Stats { state: State::Reconnecting, buffered_ms, ..Stats::default() };
        assert_eq!(in_step(&lost(1.0)), "Lost the server – still playing what is here");
        assert_eq!(in_step(&lost(0.0)), "Lost the server – nothing left to play");
    }

    #[wasm_bindgen_test]
    fn the_end_is_said_only_while_connected() {
        assert_eq!(state(State::Buffering, Some(Pause::Over)), "The party is over");
        assert_eq!(state(State::Idle, Some(Pause::Over)), "Not listening");
        assert_eq!(state(State::Playing, None), "Playing");
    }

    #[wasm_bindgen_test]
    fn waiting_is_said_as_long_as_there_is_hope() {
        assert_eq!(state(State::Reconnecting, Some(Pause::HostAway)), "Waiting for the host");
        assert_eq!(state(State::Playing, Some(Pause::HostAway)), "Waiting for the host");
        assert_eq!(state(State::Error, Some(Pause::HostAway)), "Not playing");
    }

    #[wasm_bindgen_test]
    fn players_of_one_kind_have_different_names() {
        assert_eq!(player_name("00ff00ff00ff00ff00ff00ff00ff3a9c"), "Web player 3a9c");
        assert_eq!(player_name("ab"), "Web player ab");
    }
}
