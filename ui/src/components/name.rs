//! What this player is called in the host's list.

use leptos::prelude::*;

use crate::language::words;
use crate::player_handle::PlayerHandle;
use crate::texts;

/// A line to type a name in. It holds at once and for the next visit.
#[component]
pub fn Name() -> impl IntoView {
    let player = PlayerHandle::of_page();
    // The id that it ends with is settled by the time that listening begins.
    let given = move || {
        let _ = player.is_listening();
        player.given_name()
    };
    view! {
        <label class="name">
            <span>{words().own_name}</span>
            <input
                type="text"
                class="name-text"
                data-testid="name"
                autocomplete="off"
                maxlength=texts::NAME_CHARS_MAX.to_string()
                placeholder=given
                prop:value=move || player.name().unwrap_or_default()
                on:change=move |typed| player.set_name(&event_target_value(&typed))
            />
        </label>
    }
}
