//! What the page says: the chosen language's words put together with what the player reports.
//!
//! Words from a server are untrusted: they are cut to length here and reach the page as text, never as markup.

use std::cmp::Ordering;

use player_wasm::calibration::{Doubt, ROUNDS};
use player_wasm::player::{
    Calibration, CalibrationWish, Failure, MicrophoneTrouble, NowPlaying, Refusal, Repeat,
    SyncReport,
};
use player_wasm::stats::{Dialect, OutputKind, State, Stats};

use crate::language::{self, words};
use crate::messages::fill;
use crate::player_handle::{Pause, Trouble};

/// Most characters of a text that someone else wrote: what fits the space the page keeps for it.
const FOREIGN_CHARS_MAX: usize = 100;

/// Sync error below which nobody hears a difference between two players in one room, microseconds.
const IN_STEP_US: f64 = 1_000.0;
/// Close code of a server that has no room now (1013 of the IANA registry).
const TRY_AGAIN_LATER: u16 = 1013;
/// What stands for a figure that is not known.
pub(crate) const UNKNOWN: &str = "–";

/// Something that sound comes out of, by its id or the system's name for it.
pub(crate) fn output_device(id: &str) -> String {
    match id {
        "speakers" => words().output_speakers.to_owned(),
        "headphones" => words().output_headphones.to_owned(),
        "bluetooth" => words().output_bluetooth.to_owned(),
        "tv" => words().output_tv.to_owned(),
        name => name.to_owned(),
    }
}

/// What a step of the delay does.
pub(crate) fn delay_step(ms: i16) -> String {
    let what = if ms < 0 { words().delay_later } else { words().delay_earlier };
    fill(what, &[("ms", &ms.unsigned_abs().to_string())])
}

/// `+10`, with a real minus sign.
pub(crate) fn signed(ms: i16) -> String {
    language::signed(f64::from(ms))
}

/// Where a calibration is; nothing to say while there is none.
pub(crate) fn calibration(stage: Calibration) -> String {
    let words = words();
    match stage {
        Calibration::Off => String::new(),
        Calibration::PlayingAlong => words.calibrate_chirping.to_owned(),
        Calibration::Asking => words.calibrate_asking.to_owned(),
        Calibration::Measuring { rounds, heard_other, heard_this } => {
            let template = match (heard_other, heard_this) {
                (false, false) => words.calibrate_hearing,
                (true, false) => words.calibrate_hearing_other,
                (false, true) => words.calibrate_hearing_this,
                (true, true) => words.calibrate_round,
            };
            fill(template, &[("count", &rounds.to_string()), ("rounds", &ROUNDS.to_string())])
        }
        Calibration::Done { late_ms, within_ms, delay_ms, before_ms } => {
            let template = match delay_ms.cmp(&before_ms) {
                Ordering::Greater => words.calibrate_late,
                Ordering::Less => words.calibrate_early,
                Ordering::Equal => words.calibrate_right,
            };
            let ms = language::tenth(late_ms.abs());
            let (delay, within) = (signed(delay_ms), language::tenth(within_ms));
            fill(template, &[("ms", &ms), ("delay", &delay), ("within", &within)])
        }
        Calibration::Refused(why) => fill(words.calibrate_refused, &[("why", refusal(why))]),
    }
}

/// Why a calibration came to nothing, and what can be done about it.
fn refusal(why: Refusal) -> &'static str {
    let words = words();
    match why {
        Refusal::NothingPlays => words.nothing_plays,
        Refusal::Doubt(Doubt::NothingHeard) => words.nothing_heard,
        Refusal::Doubt(Doubt::OtherNotHeard) => words.other_not_heard,
        Refusal::Doubt(Doubt::ThisNotHeard) => words.this_not_heard,
        Refusal::Doubt(Doubt::Unsteady) => words.unsteady,
        Refusal::Doubt(Doubt::TooFarApart) => words.too_far_apart,
        Refusal::Microphone(MicrophoneTrouble::NotAllowed) => words.microphone_not_allowed,
        Refusal::Microphone(MicrophoneTrouble::NotFound) => words.microphone_not_found,
        Refusal::Microphone(MicrophoneTrouble::Lost) => words.microphone_lost,
        Refusal::Microphone(MicrophoneTrouble::NoAnswer) => words.microphone_no_answer,
    }
}

/// A button of the calibration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lever {
    /// Lets this device play along.
    Along,
    /// Measures this device.
    Measure,
    /// Takes the measurement back.
    Undo,
}

/// What a button of the calibration says and does; `None` while it is of no use. One that began something ends it, so that
/// the keyboard focus stays where it is.
pub(crate) fn lever(lever: Lever, stage: Calibration) -> Option<(String, CalibrationWish)> {
    let words = words();
    let (label, wish) = match (lever, stage) {
        (Lever::Along, Calibration::PlayingAlong) => (words.calibrate_end, CalibrationWish::End),
        (Lever::Measure, _) if stage.records() => (words.calibrate_end, CalibrationWish::End),
        (Lever::Measure, Calibration::PlayingAlong) => return None,
        (Lever::Along, _) if stage.records() => return None,
        (Lever::Along, _) => (words.calibrate_along, CalibrationWish::PlayAlong),
        (Lever::Measure, _) => (words.calibrate_measure, CalibrationWish::Measure),
        (Lever::Undo, Calibration::Done { before_ms, delay_ms, .. }) if before_ms != delay_ms => {
            let before = [("ms", &*signed(before_ms))];
            return Some((fill(words.calibrate_undo, &before), CalibrationWish::Undo));
        }
        (Lever::Undo, _) => return None,
    };
    Some((label.to_owned(), wish))
}

/// How well in step, and a warning.
pub(crate) fn often_disturbed(in_step: &str, count: u32) -> String {
    fill(words().sync_disturbed, &[("words", in_step), ("count", &count.to_string())])
}

/// Figures for somebody who can help. Not translated: the helper may speak another language.
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
pub(crate) fn state(state: State, pause: Option<Pause>) -> &'static str {
    let words = words();
    match (state, pause) {
        (State::Idle, _) => words.state_idle,
        (State::Connecting, _) => words.state_connecting,
        (State::Error, _) => words.state_error,
        (_, Some(Pause::HostAway)) => words.state_waiting,
        (State::Reconnecting, _) => words.state_reconnecting,
        (_, Some(Pause::ByHost)) => words.state_paused,
        (_, Some(Pause::Over)) => words.state_over,
        (State::Buffering, None) => words.state_buffering,
        (State::Playing, None) => words.state_playing,
    }
}

/// How well in step the player is, without a figure.
pub(crate) fn in_step(stats: &Stats) -> &'static str {
    let words = words();
    match stats.state {
        State::Idle => words.state_idle,
        State::Connecting => words.sync_connecting,
        State::Buffering => words.sync_buffering,
        State::Playing => match stats.sync_error_us {
            None => words.sync_measuring,
            Some(error) if error.abs() < IN_STEP_US => words.sync_in_step,
            Some(_) => words.sync_not_yet,
        },
        State::Reconnecting if stats.buffered_ms > 0.0 => words.sync_lost,
        State::Reconnecting => words.sync_lost_empty,
        State::Error => words.state_error,
    }
}

/// How well in step somebody else's player is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quality {
    /// Nobody hears a difference.
    Good,
    /// Out of step, or silent.
    Poor,
    /// It does not tell.
    Unknown,
}

/// How well in step the player is that sent `report`, and in words.
pub(crate) fn quality(report: Option<&SyncReport>) -> (Quality, String) {
    match report {
        None => (Quality::Unknown, words().player_unknown.to_owned()),
        Some(SyncReport { playing: false, .. }) => {
            (Quality::Poor, words().player_silent.to_owned())
        }
        Some(SyncReport { error_us: None, .. }) => {
            (Quality::Unknown, words().sync_measuring.to_owned())
        }
        Some(SyncReport { error_us: Some(us), .. }) if us.abs() < IN_STEP_US => {
            (Quality::Good, words().player_in_step.to_owned())
        }
        Some(SyncReport { error_us: Some(us), .. }) => {
            let ms = language::tenth(us.abs() / 1e3);
            (Quality::Poor, fill(words().player_off_by, &[("ms", &ms)]))
        }
    }
}

/// What to say about `trouble` with the server at `host`.
pub(crate) fn trouble(trouble: &Trouble, host: &str) -> Notice {
    let (words, host) = (words(), foreign(host));
    let notice =
        |what: &str, values: &[(&str, &str)], advice| Notice { what: fill(what, values), advice };
    let host = ("host", host.as_str());
    match trouble {
        Trouble::InvalidServer(given) => notice(
            words.trouble_address,
            &[("given", &foreign(given))],
            words.trouble_address_advice,
        ),
        Trouble::Player(Failure::NoServer) => {
            notice(words.trouble_no_answer, &[host], words.trouble_no_answer_advice)
        }
        Trouble::Player(Failure::Refused { code: TRY_AGAIN_LATER, .. }) => {
            notice(words.trouble_full, &[host], words.trouble_full_advice)
        }
        Trouble::Player(Failure::Refused { code, reason }) => {
            let what = if reason.is_empty() { words.trouble_ended } else { words.trouble_refused };
            let (code, reason) = (code.to_string(), foreign(reason));
            let values = [host, ("code", &code), ("reason", &reason)];
            notice(what, &values, words.trouble_ask_host)
        }
        Trouble::Player(Failure::Unsupported { what }) => notice(
            words.trouble_unsupported,
            &[host, ("what", &foreign(what))],
            words.trouble_unsupported_advice,
        ),
        Trouble::Player(Failure::AudioBlocked) => {
            notice(words.trouble_blocked, &[], words.trouble_blocked_advice)
        }
        Trouble::Player(Failure::AudioFailed { what }) => {
            notice(words.trouble_output, &[("what", &foreign(what))], words.trouble_output_advice)
        }
        Trouble::Player(_) => notice(words.trouble_unknown, &[], words.trouble_unknown_advice),
    }
}

/// The number of listeners, this one included.
pub(crate) fn listeners(count: u32) -> String {
    match count {
        // Counted before this page was: nobody is better than a wrong one.
        0 => words().listeners_none.to_owned(),
        1 => words().listeners_one.to_owned(),
        _ => fill(words().listeners_many, &[("count", &language::whole(f64::from(count)))]),
    }
}

/// Who performs the track and where it is from, in one line, as far as that is known.
pub(crate) fn byline(track: &NowPlaying) -> String {
    let artist = track.artist.as_deref().or(track.album_artist.as_deref());
    let year = track.year.map(|year| year.to_string());
    let album = track.album.as_deref().map(|album| match &year {
        Some(year) => fill(words().album_year, &[("album", album), ("year", year)]),
        None => album.to_owned(),
    });
    match (artist, album) {
        (Some(artist), Some(album)) => format!("{artist} · {album}"),
        (Some(artist), None) => artist.to_owned(),
        (None, Some(album)) => album,
        (None, None) => String::new(),
    }
}

/// How far a track is, read out.
pub(crate) fn spoken_progress(heard_ms: u64, duration_ms: Option<u64>) -> String {
    let position = language::spoken(heard_ms);
    match duration_ms.map(language::spoken) {
        Some(duration) => {
            fill(words().progress_of, &[("position", &position), ("duration", &duration)])
        }
        None => fill(words().progress_open, &[("position", &position)]),
    }
}

/// What is repeated.
pub(crate) fn repeat(repeat: Repeat) -> &'static str {
    match repeat {
        Repeat::Off => words().repeat_off,
        Repeat::All => words().repeat_all,
        Repeat::One => words().repeat_one,
    }
}

/// A sentence about something that has a name of its own.
pub(crate) fn about(template: &str, name: &str) -> String {
    fill(template, &[("name", &foreign(name))])
}

/// Where the sound comes from.
pub(crate) fn from_server(name: &str) -> String {
    about(words().from_server, name)
}

/// The name in the browser's tab.
pub(crate) fn document_title(track: Option<&str>) -> String {
    let brand = words().brand;
    track.map_or_else(|| brand.to_owned(), |track| format!("{} · {brand}", foreign(track)))
}

/// The name under which a server lists this player. The end of the id keeps two of them apart.
pub(crate) fn player_name(client_id: &str) -> String {
    let end = client_id.len().saturating_sub(4);
    fill(words().player_name, &[("id", client_id.get(end..).unwrap_or_default())])
}

/// Longest name that a person gives to a player, in characters: a line on a phone.
pub(crate) const NAME_CHARS_MAX: usize = 40;

/// What a person typed as a name, on one line and cut to length. May be empty.
pub(crate) fn own_name(typed: &str) -> String {
    let one_line = typed.trim().chars().filter(|c| !c.is_control());
    one_line.take(NAME_CHARS_MAX).collect()
}

/// How blocks reach the audio output.
pub(crate) fn output(kind: OutputKind) -> &'static str {
    match kind {
        OutputKind::Worklet => words().output_worklet,
        OutputKind::BufferSource => words().output_buffer_source,
    }
}

/// The generation of the protocol.
pub(crate) fn dialect(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Clear => words().dialect_clear,
    }
}

/// Cuts a text that someone else wrote to length, on one line.
pub(crate) fn foreign(text: &str) -> String {
    let mut chars = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut cut: String = chars.by_ref().take(FOREIGN_CHARS_MAX).collect();
    if chars.next().is_some() {
        cut.push('…');
    }
    cut
}

/// Figures with their units, which are the same in every language.
pub(crate) mod unit {
    use crate::language;

    /// `+120 µs`; the sign is always there, for it says late or early.
    pub(crate) fn signed_us(us: f64) -> String {
        format!("{} µs", language::signed(us))
    }

    /// `± 35 µs`.
    pub(crate) fn bound_us(us: f64) -> String {
        format!("± {} µs", language::whole(us))
    }

    /// `+12.3 ppm`.
    pub(crate) fn ppm(ppm: f64) -> String {
        format!("{} ppm", language::signed_tenth(ppm))
    }

    /// `4,820 ms`.
    pub(crate) fn ms(ms: f64) -> String {
        format!("{} ms", language::whole(ms))
    }

    /// `1.4 ms`.
    pub(crate) fn fine_ms(ms: f64) -> String {
        format!("{} ms", language::tenth(ms))
    }

    /// `48,000 Hz`.
    pub(crate) fn hz(hz: u32) -> String {
        format!("{} Hz", language::whole(f64::from(hz)))
    }
}

#[cfg(test)]
mod tests {
    use player_wasm::player::{Calibration, MicrophoneTrouble, NowPlaying, Refusal, SyncReport};
    use player_wasm::stats::{State, Stats};
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::{
        FOREIGN_CHARS_MAX, Pause, Quality, byline, calibration, foreign, in_step, listeners,
        player_name, quality, state, unit,
    };

    #[wasm_bindgen_test]
    fn figures_have_sign_and_unit() {
        assert_eq!(unit::signed_us(119.6), "+120 µs");
        assert_eq!(unit::signed_us(-119.6), "−120 µs");
        assert_eq!(unit::bound_us(35.4), "± 35 µs");
        assert_eq!(unit::ppm(12.34), "+12.3 ppm");
        assert_eq!(unit::ppm(0.0), "0.0 ppm");
        assert_eq!(unit::fine_ms(1.96), "2.0 ms");
        assert_eq!(unit::ms(4_820.4), "4,820 ms");
        assert_eq!(unit::hz(44_100), "44,100 Hz");
    }

    #[wasm_bindgen_test]
    fn a_measurement_is_told_with_its_uncertainty() {
        let done = |late_ms, delay_ms| {
            let stage = Calibration::Done { late_ms, within_ms: 0.74, delay_ms, before_ms: 3 };
            calibration(stage)
        };
        assert_eq!(
            done(37.36, 40),
            "This device was 37.4 ms late. Its delay is now +40 ms (±\u{a0}0.7\u{a0}ms)."
        );
        assert_eq!(
            done(-5.2, -2),
            "This device was 5.2 ms early. Its delay is now −2 ms (±\u{a0}0.7\u{a0}ms)."
        );
        assert_eq!(
            done(0.3, 3),
            "This device was right. Its delay stays +3 ms (±\u{a0}0.7\u{a0}ms)."
        );
        let lost = Refusal::Microphone(MicrophoneTrouble::Lost);
        assert_eq!(
            calibration(Calibration::Refused(lost)),
            "The microphone is gone. Nothing was changed."
        );
        assert_eq!(calibration(Calibration::Off), "");
    }

    #[wasm_bindgen_test]
    fn listeners_are_counted_in_words() {
        assert_eq!(listeners(1), "Only you");
        assert_eq!(listeners(2_000), "2,000 listening");
    }

    #[wasm_bindgen_test]
    fn the_byline_says_what_is_known() {
        let some = |text: &str| Some(text.to_owned());
        let mut track =
            NowPlaying { album: some("Night"), year: Some(1984), ..NowPlaying::default() };
        assert_eq!(byline(&track), "Night, 1984");
        track.album_artist = some("Various");
        assert_eq!(byline(&track), "Various · Night, 1984");
        track.artist = some("She");
        assert_eq!(byline(&track), "She · Night, 1984");
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
    fn another_player_is_judged_by_what_it_tells() {
        let report = |error_us| SyncReport { playing: true, error_us, ..SyncReport::default() };
        assert_eq!(quality(None).0, Quality::Unknown);
        assert_eq!(quality(Some(&SyncReport::default())).0, Quality::Poor);
        assert_eq!(quality(Some(&report(None))).0, Quality::Unknown);
        assert_eq!(quality(Some(&report(Some(-900.0)))), (Quality::Good, "In step".to_owned()));
        assert_eq!(
            quality(Some(&report(Some(2_340.0)))),
            (Quality::Poor, "Off by 2.3 ms".to_owned())
        );
    }

    #[wasm_bindgen_test]
    fn the_end_is_said_only_while_connected() {
        assert_eq!(state(State::Buffering, Some(Pause::Over)), "The party is over");
        assert_eq!(state(State::Buffering, Some(Pause::ByHost)), "Paused by the host");
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
