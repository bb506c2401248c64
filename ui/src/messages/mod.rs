//! Every word a person reads on the page, once for each language.
//!
//! A language is a constant of [`Messages`], so one that lacks a word does not compile. `{name}` stands for what is put in;
//! a test sees to it that every language puts in the same. Only what is on screen before the program is
//! (`index.html`, `offline.html`) has words of its own.

mod de;
mod en;

pub(crate) use de::GERMAN;
pub(crate) use en::ENGLISH;

/// Declares the words and, for the tests, a list of them.
macro_rules! messages {
    ($($name:ident),* $(,)?) => {
        /// The words of one language. Each name says where its words stand.
        pub(crate) struct Messages {
            $(pub(crate) $name: &'static str,)*
        }

        #[cfg(test)]
        impl Messages {
            /// Every word with its name.
            pub(crate) fn all(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

messages! {
    brand, join, stop, tap, volume, mute, invitation, ended_headline, ended_advice, waiting_headline, waiting_advice,
    paused_headline, paused_advice, crashed,
    state_idle, state_connecting, state_waiting, state_over, state_paused, state_buffering, state_playing, state_reconnecting,
    state_error,
    sync_title, sync_measuring, sync_in_step, sync_not_yet, sync_connecting, sync_buffering, sync_lost, sync_lost_empty,
    sync_disturbed, figures_note, insecure_page, graph, key_error, key_clock, key_buffer,
    stat_state, stat_sync_error, stat_clock_error, stat_drift, stat_buffered, stat_round_trip, stat_reanchors,
    stat_underruns, stat_late_chunks, stat_output, stat_output_latency, stat_output_rate, stat_codec, stat_dialect,
    interrupted, resume, own_name, delay, output_device, delay_ms, delay_note, delay_later, delay_earlier, copy, copied,
    calibrate, calibrate_note, calibrate_insecure, calibrate_along, calibrate_measure, calibrate_end, calibrate_undo,
    calibrate_chirping, calibrate_asking, calibrate_hearing, calibrate_hearing_other, calibrate_hearing_this,
    calibrate_round, calibrate_late, calibrate_early, calibrate_right, calibrate_refused, nothing_plays, nothing_heard,
    other_not_heard, this_not_heard, unsteady, too_far_apart, microphone_not_allowed, microphone_not_found,
    microphone_lost, microphone_no_answer,
    output_speakers, output_headphones, output_bluetooth, output_tv, dialect_clear, output_worklet, output_buffer_source,
    listeners_none, listeners_one, listeners_many, from_server, player_name, album_year,
    progress, progress_of, progress_open, transport, previous, next, play, pause, shuffle, repeat_off, repeat_all, repeat_one,
    next_up, queue_play, everyone, everyone_volume, everyone_mute, players, players_count, player_volume, player_mute,
    player_in_step, player_off_by, player_silent, player_unknown,
    host_badge, key_refused,
    share, share_title, share_qr, share_here_only, share_copy, share_native, close,
    trouble_address, trouble_address_advice, trouble_no_answer, trouble_no_answer_advice, trouble_full, trouble_full_advice,
    trouble_ended, trouble_refused, trouble_ask_host, trouble_unsupported, trouble_unsupported_advice, trouble_blocked,
    trouble_blocked_advice, trouble_output, trouble_output_advice, trouble_unknown, trouble_unknown_advice,
}

/// Puts values in the place of their names.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let (name, behind) = after.split_once('}').unwrap_or((after, ""));
        if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
            filled.push_str(value);
        }
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn places(text: &str) -> Vec<&str> {
        let mut names: Vec<&str> = text
            .split('{')
            .skip(1)
            .filter_map(|after| after.split_once('}'))
            .map(|it| it.0)
            .collect();
        names.sort_unstable();
        names
    }

    #[wasm_bindgen_test]
    fn every_language_says_everything_and_puts_in_the_same() {
        for ((name, english), (_, german)) in ENGLISH.all().into_iter().zip(GERMAN.all()) {
            assert!(!english.trim().is_empty() && !german.trim().is_empty(), "{name}");
            assert_eq!(places(english), places(german), "{name}");
        }
    }

    #[wasm_bindgen_test]
    fn values_come_in_by_name_and_are_not_read_again() {
        assert_eq!(fill("{a} and {b}.", &[("b", "2"), ("a", "{b}")]), "{b} and 2.");
        assert_eq!(fill("{unknown}|{open", &[]), "|");
    }
}
