//! The thin shell around [`Player`](crate::player::Player): wait, read the clock, hand over one input, drain.
//!
//! Nothing is decided here. What the page may use is [`Party`]; the parts below it are public so that
//! tests can drive each of them in a real browser.

pub mod audio_output;
pub mod host_clock;
pub mod microphone;
mod page_life;
mod party;
pub mod server_url;
pub mod sink;
pub mod socket;
mod timer;

use wasm_bindgen::{JsCast, JsValue};
use web_sys::Window;

pub use self::party::{Party, Settings};
pub use self::server_url::default_server_url;
use crate::stats::Stats;

/// The figures as a plain JavaScript object, with `null` for what is not known.
#[must_use]
pub fn stats_json(stats: &Stats) -> JsValue {
    // Names and numbers can always be written, and what was written can be read.
    let json = serde_json::to_string(stats).unwrap_or_default();
    js_sys::JSON::parse(&json).unwrap_or(JsValue::NULL)
}

fn window() -> Window {
    web_sys::window().expect("the shell runs in a page, not in a worker")
}

/// A thrown value in words, for a person: browsers throw `DOMException`s, scripts may throw anything.
fn in_words(thrown: &JsValue) -> String {
    let words = match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.to_string()),
        None => thrown.as_string().unwrap_or_else(|| format!("{thrown:?}")),
    };
    words.chars().take(WORDS_MAX).collect()
}

/// Longest description of an error that is passed on, in characters: a line or two on a page.
const WORDS_MAX: usize = 300;
