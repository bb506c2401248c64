//! How loud something is: a mute switch, a slider and a figure.

use leptos::prelude::*;

use crate::components::Icon;
use crate::texts;

/// A range that a person drags while its value is told from elsewhere. What is told while it is dragged does not pull the
/// thumb from under the finger.
#[component]
pub fn Slider(
    /// What the page's tests find it by.
    #[prop(into)]
    testid: String,
    /// What it sets, read out.
    #[prop(into)]
    label: Signal<String>,
    /// The value as it was told last.
    #[prop(into)]
    value: Signal<u64>,
    /// The largest value; the smallest is 0.
    #[prop(into, default = Signal::stored(100))]
    max: Signal<u64>,
    /// Arrow keys move by this.
    #[prop(default = 1)]
    step: u64,
    /// The value in words, if the figure alone does not say it.
    #[prop(optional)]
    words: Option<Callback<u64, String>>,
    /// Each value on the way.
    #[prop(into)]
    on_move: Callback<u64>,
    /// The value that the person let go of.
    #[prop(optional)]
    on_set: Option<Callback<u64>>,
) -> impl IntoView {
    let (held, set_held) = signal(None::<u64>);
    let shown = move || held.get().unwrap_or_else(|| value.get()).min(max.get());
    let filled = move || format!("{}%", shown() * 100 / max.get().max(1));
    let moved = move |input| {
        // A range input holds a whole number within its bounds, whatever was typed or dragged.
        if let Ok(value) = event_target_value(&input).parse() {
            set_held.set(Some(value));
            on_move.run(value);
        }
    };
    let let_go = move |input| {
        if let (Ok(value), Some(on_set)) = (event_target_value(&input).parse(), on_set) {
            on_set.run(value);
        }
        set_held.set(None);
    };
    view! {
        <input
            type="range"
            class="slider"
            data-testid=testid
            min="0"
            max=move || max.get().to_string()
            step=step.to_string()
            aria-label=move || label.get()
            aria-valuetext=move || words.map(|words| words.run(shown()))
            prop:value=move || shown().to_string()
            style:--filled=filled
            on:input=moved
            on:change=let_go
            on:blur=move |_| set_held.set(None)
        />
    }
}

/// Mute switch, slider and figure of something that can be loud.
#[component]
pub fn Loudness(
    /// What the page's tests find the slider by; the switch adds `-mute`.
    testid: String,
    /// Name of the slider.
    #[prop(into)]
    label: Signal<String>,
    /// Name of the switch.
    #[prop(into)]
    mute_label: Signal<String>,
    /// Perceived loudness, 0 to 100; without one there is no slider.
    #[prop(into)]
    volume: Signal<Option<u8>>,
    /// Whether it is silent whatever its volume; without, there is no switch.
    #[prop(into)]
    muted: Signal<Option<bool>>,
    /// Sets the volume.
    #[prop(into)]
    on_volume: Callback<u8>,
    /// Sets the switch.
    #[prop(into)]
    on_mute: Callback<bool>,
) -> impl IntoView {
    let mute_id = format!("{testid}-mute");
    let is_muted = move || muted.get() == Some(true);
    let value = Signal::derive(move || u64::from(volume.get().unwrap_or_default()));
    view! {
        <div class="volume" class:muted=is_muted>
            <button
                type="button"
                class="round"
                data-testid=mute_id
                aria-label=move || label_of(mute_label)
                aria-pressed=move || if is_muted() { "true" } else { "false" }
                hidden=move || muted.get().is_none()
                on:click=move |_| on_mute.run(!untrack(is_muted))
            >
                <Icon name="speaker" />
            </button>
            <Show when=move || volume.get().is_some()>
                <Slider
                    testid=testid.clone()
                    label
                    value
                    on_move=move |volume: u64| on_volume.run(u8::try_from(volume).unwrap_or(100))
                />
                <span class="volume-figure" aria-hidden="true">{move || value.get()}</span>
            </Show>
        </div>
    }
}

fn label_of(label: Signal<String>) -> String {
    texts::foreign(&label.get())
}
