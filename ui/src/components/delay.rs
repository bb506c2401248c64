//! What the sound comes out of, and how much later than the browser says it is heard there.

use leptos::prelude::*;

use super::Calibrate;
use crate::language::words;
use crate::output_device::CHOICES;
use crate::player_handle::PlayerHandle;
use crate::texts;

/// Steps of the buttons, milliseconds: to get near, and to get there.
const STEPS: [i16; 4] = [-10, -1, 1, 10];

/// Steps and a number. They act at once and are remembered for the next visit.
#[component]
pub fn Delay() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let typed = move |input| {
        if let Ok(ms) = event_target_value(&input).parse() {
            player.set_delay(ms);
        }
    };
    let step = move |ms: i16| {
        view! {
            <button
                type="button"
                class="step"
                data-testid=format!("delay-step-{ms}")
                aria-label=texts::delay_step(ms)
                on:click=move |_| player.set_delay(untrack(move || player.delay_ms()).saturating_add(ms))
            >
                {texts::signed(ms)}
            </button>
        }
    };
    // What the browser names is a choice as long as it is the present one.
    let outputs = move || {
        let present = player.output();
        let named = (!CHOICES.contains(&present.as_str())).then(|| present.clone());
        let all = named.into_iter().chain(CHOICES.map(str::to_owned));
        all.map(|id| {
            let is_present = id == present;
            view! { <option value=id.clone() selected=is_present>{texts::output_device(&id)}</option> }
        })
        .collect_view()
    };
    let [far_back, back, on, far_on] = STEPS.map(step);
    view! {
        <div class="delay" role="group" aria-label=words().delay>
            <label class="delay-output">
                <span>{words().output_device}</span>
                <select data-testid="output" on:change=move |choice| player.set_output(event_target_value(&choice))>
                    {outputs}
                </select>
            </label>
            <span class="delay-label">{words().delay}</span>
            {far_back}
            {back}
            <input
                type="number"
                class="delay-number"
                data-testid="delay"
                min="-1000"
                max="5000"
                step="1"
                aria-label=words().delay_ms
                prop:value=move || player.delay_ms().to_string()
                on:change=typed
            />
            {on}
            {far_on}
            <p class="sync-note">{words().delay_note}</p>
            <Calibrate />
        </div>
    }
}
