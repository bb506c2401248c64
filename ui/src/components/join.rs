//! The one big button.

use leptos::ev::MouseEvent;
use leptos::prelude::*;

use crate::player_handle::PlayerHandle;
use crate::texts;

/// Join while not listening, Stop while listening.
///
/// One element for both, so that the keyboard focus stays where it is.
#[component]
pub fn Join() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let press = move |click: MouseEvent| {
        if !untrack(move || player.is_listening()) {
            player.join();
        } else if click.detail() <= 1 {
            // The second half of a double click on Join is not a wish to stop. Keys count as 0.
            player.stop();
        }
    };
    view! {
        <div class="dial">
            <span class="dial-ring" aria-hidden="true"></span>
            <span class="dial-ring" aria-hidden="true"></span>
            <span class="dial-ring" aria-hidden="true"></span>
            <button
                type="button"
                class="dial-button"
                data-testid=move || if player.is_listening() { "stop" } else { "join" }
                on:click=press
            >
                <span class="dial-icon" aria-hidden="true"></span>
                <span class="dial-label">
                    {move || if player.is_listening() { texts::STOP } else { texts::JOIN }}
                </span>
            </button>
        </div>
    }
}
