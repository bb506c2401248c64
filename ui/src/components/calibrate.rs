//! Setting the delay by what a microphone hears.

use leptos::ev::MouseEvent;
use leptos::prelude::*;
use player_wasm::browser::microphone;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use crate::language::words;
use crate::player_handle::PlayerHandle;
use crate::texts::{self, Lever};

/// One button for each of the two devices, and what comes of it. Only while there is a party to be in step with.
#[component]
pub fn Calibrate() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let can_measure = microphone::is_supported();
    view! {
        <details class="calibration" data-testid="calibrate" hidden=move || !player.has_server()>
            <summary>{words().calibrate}</summary>
            <p class="sync-note" data-testid="calibrate-note">
                {if can_measure { words().calibrate_note } else { words().calibrate_insecure }}
            </p>
            <div class="calibration-buttons">
                <Pull lever=Lever::Along testid="calibrate-along" />
                {can_measure.then(|| Pull(PullProps { lever: Lever::Measure, testid: "calibrate-measure" }))}
                {can_measure.then(|| Pull(PullProps { lever: Lever::Undo, testid: "calibrate-undo" }))}
            </div>
            <p class="calibration-words" role="status" data-testid="calibrate-words">
                {move || texts::calibration(player.calibration())}
            </p>
        </details>
    }
}

#[component]
fn Pull(lever: Lever, testid: &'static str) -> impl IntoView {
    let player = PlayerHandle::of_page();
    let now = move || texts::lever(lever, player.calibration());
    let press = move |click: MouseEvent| {
        let Some((_, wish)) = untrack(now) else { return };
        player.calibrate(wish);
        if lever == Lever::Undo {
            // This button goes away. The first one stays.
            let button = event_target::<HtmlElement>(&click);
            let first = button.parent_element().and_then(|row| row.first_element_child());
            if let Some(first) = first {
                let _ = first.unchecked_into::<HtmlElement>().focus();
            }
        }
    };
    view! {
        <button type="button" class="step" data-testid=testid hidden=move || now().is_none() on:click=press>
            {move || now().map(|it| it.0)}
        </button>
    }
}
