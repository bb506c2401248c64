//! What the player is doing, in words.

use leptos::prelude::*;

use crate::player_handle::PlayerHandle;
use crate::texts;

/// One line below the button, read out when it changes.
#[component]
pub fn Status() -> impl IntoView {
    let player = PlayerHandle::of_page();
    view! {
        <p class="state" role="status">
            <span class="state-dot" aria-hidden="true"></span>
            <span data-testid="state-text">
                {move || texts::state(player.state(), player.pause())}
            </span>
        </p>
    }
}
