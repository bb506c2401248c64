//! How loud it is here.

use leptos::prelude::*;

use crate::player_handle::PlayerHandle;
use crate::texts;

/// Mute switch and slider. Both act at once and are remembered for the next visit.
#[component]
pub fn Volume() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let slide = move |input| {
        // A range input holds a whole number within its bounds, whatever was typed or dragged.
        if let Ok(volume) = event_target_value(&input).parse() {
            player.set_volume(volume);
        }
    };
    view! {
        <div class="volume" class:muted=move || player.is_muted()>
            <button
                type="button"
                class="mute"
                data-testid="mute"
                aria-label=texts::MUTE
                aria-pressed=move || if player.is_muted() { "true" } else { "false" }
                on:click=move |_| player.set_muted(!untrack(move || player.is_muted()))
            >
                <svg viewBox="0 0 24 24" aria-hidden="true">
                    <path class="speaker" d="M4 9.5v5h3.5L12 18.5v-13L7.5 9.5z" />
                    <path class="waves" d="M15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a7.8 7.8 0 0 1 0 11" />
                    <path class="cross" d="m15.5 9.5 5 5m0-5-5 5" />
                </svg>
            </button>
            <input
                type="range"
                class="slider"
                data-testid="volume"
                min="0"
                max="100"
                step="1"
                aria-label=texts::VOLUME
                prop:value=move || player.volume().to_string()
                style:--filled=move || format!("{}%", player.volume())
                on:input=slide
            />
            <span class="volume-figure" aria-hidden="true">{move || player.volume()}</span>
        </div>
    }
}
