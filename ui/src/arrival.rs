//! How a person arrives: by a link that joins with one tap, or at a screen on the wall that joins by itself.
//!
//! `?join`: the first tap anywhere joins. `?autoplay`: the page joins at once; where the browser wants a tap first, it
//! says so and takes one anywhere, and when there is no server it tries again for ever.

use std::cell::Cell;

use gloo_timers::callback::Timeout;
use leptos::prelude::*;
use player_wasm::player::Failure;
use player_wasm::stats::State;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{Element, MouseEvent, UrlSearchParams};

use crate::player_handle::{PlayerHandle, Trouble};

/// Time after which a screen on the wall tries again, milliseconds.
const AGAIN_MS: u32 = 10_000;

/// How the page was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// By somebody who presses Join.
    Plain,
    /// By somebody who wants to hear it with one tap.
    OneTap,
    /// By nobody: a screen that plays for a room.
    Kiosk,
}

impl Arrival {
    /// As the page's address says.
    #[must_use]
    pub fn of_page() -> Self {
        let search = window().location().search().unwrap_or_default();
        Self::of_query(&search)
    }

    /// As a query says.
    #[must_use]
    pub fn of_query(search: &str) -> Self {
        let has =
            |name: &str| UrlSearchParams::new_with_str(search).is_ok_and(|query| query.has(name));
        match (has("autoplay"), has("join")) {
            (true, _) => Self::Kiosk,
            (false, true) => Self::OneTap,
            (false, false) => Self::Plain,
        }
    }

    /// Does what it asks for, with the page's player.
    pub(crate) fn begin(self, player: PlayerHandle) {
        if self == Self::Plain {
            return;
        }
        // A person who has pressed Stop is not brought back by a tap somewhere else.
        let wanted = StoredValue::new(true);
        on_tap(move || {
            if wanted.get_value() && !untrack(move || player.is_listening()) {
                player.join();
            }
        });
        Effect::new(move |was: Option<State>| {
            let state = player.state();
            let stopped = state == State::Idle && was.is_some_and(|was| was != State::Idle);
            if stopped || (state == State::Playing && self == Self::OneTap) {
                wanted.set_value(false);
            }
            state
        });
        if self == Self::Kiosk {
            player.join();
            Effect::new(move |_: Option<Option<Timeout>>| {
                let trouble = player.trouble()?;
                let is_blocked = trouble == Trouble::Player(Failure::AudioBlocked);
                // Only a tap helps against that.
                (!is_blocked && wanted.get_value())
                    .then(|| Timeout::new(AGAIN_MS, move || player.join()))
            });
        }
    }
}

thread_local! {
    /// Whether taps are listened for already.
    static LISTENS: Cell<bool> = const { Cell::new(false) };
}

/// Calls back for each tap on nothing in particular, for as long as the page lives.
fn on_tap(act: impl Fn() + 'static) {
    if LISTENS.replace(true) {
        return;
    }
    let act = Closure::<dyn Fn(MouseEvent)>::new(move |tap: MouseEvent| {
        let on = tap.target().and_then(|target| target.dyn_into::<Element>().ok());
        let does_something = "button, a, input, select, summary, textarea, label, dialog";
        if on.is_none_or(|on| on.closest(does_something).ok().flatten().is_none()) {
            act();
        }
    });
    // Throws only when handed something else than a function.
    let _ =
        document().add_event_listener_with_callback("click", act.into_js_value().unchecked_ref());
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    fn the_address_says_how_a_person_arrives() {
        assert_eq!(Arrival::of_query(""), Arrival::Plain);
        assert_eq!(Arrival::of_query("?server=ws://a/join"), Arrival::Plain);
        assert_eq!(Arrival::of_query("?join"), Arrival::OneTap);
        assert_eq!(Arrival::of_query("?join&autoplay"), Arrival::Kiosk);
    }
}
