//! Setting the delay by what a microphone hears.

use leptos::html::Button;
use leptos::prelude::*;
use player_wasm::browser::microphone;
use player_wasm::player::{Calibration, CalibrationWish};

use crate::language::words;
use crate::player_handle::PlayerHandle;
use crate::texts;

/// One button for each of the two devices, and what comes of it. Only while there is a party to be in step with.
///
/// A button that began something ends it, so that the keyboard focus stays where it is.
#[component]
pub fn Calibrate() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let measure = NodeRef::<Button>::new();
    let chirps = move || player.calibration() == Calibration::PlayingAlong;
    let records = move || player.calibration().records();
    let press = move |is_on: bool, wish| {
        player.calibrate(if is_on { CalibrationWish::End } else { wish });
    };
    let undo = move |_| {
        // This button goes away.
        if let Some(measure) = measure.get_untracked() {
            let _ = measure.focus();
        }
        player.calibrate(CalibrationWish::Undo);
    };
    let before_ms = move || match player.calibration() {
        Calibration::Done { before_ms, delay_ms, .. } => {
            Some(before_ms).filter(|it| *it != delay_ms)
        }
        _ => None,
    };
    view! {
        <details class="calibration" data-testid="calibrate" hidden=move || !player.has_server()>
            <summary>{words().calibrate}</summary>
            <p class="sync-note">{words().calibrate_note}</p>
            <div class="calibration-buttons">
                <button
                    type="button"
                    class="step"
                    data-testid="calibrate-along"
                    hidden=records
                    on:click=move |_| press(untrack(chirps), CalibrationWish::PlayAlong)
                >
                    {move || if chirps() { words().calibrate_end } else { words().calibrate_along }}
                </button>
                {microphone::is_supported().then(|| view! {
                    <button
                        type="button"
                        class="step"
                        data-testid="calibrate-measure"
                        node_ref=measure
                        hidden=chirps
                        on:click=move |_| press(untrack(records), CalibrationWish::Measure)
                    >
                        {move || if records() { words().calibrate_end } else { words().calibrate_measure }}
                    </button>
                })}
                {move || before_ms().map(|ms| view! {
                    <button type="button" class="step" data-testid="calibrate-undo" on:click=undo>
                        {texts::undo(ms)}
                    </button>
                })}
            </div>
            {(!microphone::is_supported()).then(|| view! {
                <p class="sync-note" data-testid="calibrate-insecure">{words().calibrate_insecure}</p>
            })}
            <p class="calibration-words" role="status" data-testid="calibrate-words">
                {move || texts::calibration(player.calibration())}
            </p>
        </details>
    }
}
