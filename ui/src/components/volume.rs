//! How loud it is here.

use leptos::prelude::*;

use crate::components::{Icon, Slider};
use crate::language::words;
use crate::player_handle::PlayerHandle;

/// Mute switch and slider. Both act at once and are remembered for the next visit.
#[component]
pub fn Volume() -> impl IntoView {
    let player = PlayerHandle::of_page();
    view! {
        <div class="volume" class:muted=move || player.is_muted()>
            <button
                type="button"
                class="round"
                data-testid="mute"
                aria-label=words().mute
                aria-pressed=move || if player.is_muted() { "true" } else { "false" }
                on:click=move |_| player.set_muted(!untrack(move || player.is_muted()))
            >
                <Icon name="speaker" />
            </button>
            <Slider
                testid="volume"
                label=words().volume.to_owned()
                value=Signal::derive(move || u64::from(player.volume()))
                on_move=move |volume: u64| player.set_volume(u8::try_from(volume).unwrap_or(100))
            />
            <span class="volume-figure" aria-hidden="true">{move || player.volume()}</span>
        </div>
    }
}
