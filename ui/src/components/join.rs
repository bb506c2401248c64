//! The one big button.

use leptos::ev::MouseEvent;
use leptos::prelude::*;
use player_wasm::player::Failure;

use super::{Cover, Visualizer};
use crate::arrival::Arrival;
use crate::language::words;
use crate::player_handle::{PlayerHandle, Trouble};

/// Join while not listening, Stop while listening, with the picture of what is playing on it.
///
/// One element for both, so that the keyboard focus stays where it is, and nothing moves under a finger.
#[component]
pub fn Join() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let arrival = use_context::<Arrival>().unwrap_or(Arrival::Plain);
    let press = move |click: MouseEvent| {
        if !untrack(move || player.is_listening()) {
            player.join();
        } else if click.detail() <= 1 {
            // The second half of a double click on Join is not a wish to stop. Keys count as 0.
            player.stop();
        }
    };
    let wants_tap = move || {
        let is_blocked = player.trouble() == Some(Trouble::Player(Failure::AudioBlocked));
        arrival == Arrival::OneTap || (arrival == Arrival::Kiosk && is_blocked)
    };
    let label = move || {
        if player.is_listening() {
            words().stop
        } else if wants_tap() {
            words().tap
        } else {
            words().join
        }
    };
    view! {
        <div class="dial" class:resting=move || player.pause().is_some()>
            <span class="dial-ring" aria-hidden="true"></span>
            <span class="dial-ring" aria-hidden="true"></span>
            <span class="dial-ring" aria-hidden="true"></span>
            <Visualizer />
            <button
                type="button"
                class="dial-button"
                class:has-cover=move || player.has_server()
                data-testid=move || if player.is_listening() { "stop" } else { "join" }
                on:click=press
            >
                <Cover />
                <span class="dial-press">
                    <span class="dial-icon" aria-hidden="true"></span>
                    <span class="dial-label">{label}</span>
                </span>
            </button>
        </div>
    }
}
