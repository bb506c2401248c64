//! How far the track is, and for who may: going elsewhere in it.

use gloo_timers::callback::Interval;
use leptos::prelude::*;
use player_wasm::player::{ControllerCommand, Position};

use super::Slider;
use crate::language::{clock, words};
use crate::player_handle::PlayerHandle;
use crate::texts;

/// Time between two looks, milliseconds: the seconds change when they do, to the eye.
const LOOK_MS: u32 = 250;
/// An arrow key moves by this, milliseconds: what the times show.
const STEP_MS: u64 = 1_000;

/// A bar with times on both sides, while a server tells how far the track is.
#[component]
pub fn Progress() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let position = RwSignal::new(None::<Position>);
    let told = Memo::new(move |_| {
        let progress = player.now_playing().progress;
        progress.filter(|_| player.has_server())
    });
    // The value of the effect's last run is dropped by the next, and with it the timer.
    Effect::new(move |_: Option<Option<Interval>>| {
        let told = told.get();
        let look = move || {
            if !document().hidden() {
                let now = player.position().map(to_seconds);
                if position.try_get_untracked().is_some_and(|shown| shown != now) {
                    position.set(now);
                }
            }
        };
        look();
        told.filter(|told| told.speed > 0).map(|_| Interval::new(LOOK_MS, look))
    });
    // Where the bar is being dragged to.
    let aim = RwSignal::new(None::<u64>);
    let heard = move || aim.get().or(position.get().map(|it| it.heard_ms)).unwrap_or_default();
    let duration = move || position.get().and_then(|it| it.duration_ms);
    view! {
        <Show when=move || told.get().is_some() && player.trouble().is_none()>
            <div class="progress">
                <Bar heard=Signal::derive(heard) duration=Signal::derive(duration) aim />
                <p class="progress-times" aria-hidden="true">
                    <span data-testid="position">{move || clock(heard())}</span>
                    <span data-testid="duration">{move || duration().map(clock)}</span>
                </p>
            </div>
        </Show>
    }
}

/// The bar: a slider for who may go elsewhere in the track.
#[component]
fn Bar(
    heard: Signal<u64>,
    duration: Signal<Option<u64>>,
    aim: RwSignal<Option<u64>>,
) -> impl IntoView {
    let player = PlayerHandle::of_page();
    let reach = Signal::derive(move || {
        let told = player.controller().and_then(|state| state.seek_max_ms);
        duration.get().or(told).unwrap_or_default()
    });
    let seek = move |position_ms: u64| {
        aim.set(None);
        let furthest = untrack(move || player.controller().and_then(|state| state.seek_max_ms));
        let position_ms = furthest.map_or(position_ms, |furthest| position_ms.min(furthest));
        player.control(ControllerCommand::Seek { position_ms });
    };
    let spoken = move |heard_ms: u64| texts::spoken_progress(heard_ms, duration.get());
    move || {
        if player.may("seek") && reach.get() > 0 {
            view! {
                <Slider
                    testid="seek"
                    label=words().progress.to_owned()
                    value=heard
                    max=reach
                    step=STEP_MS
                    words=Callback::new(spoken)
                    on_move=move |ms: u64| aim.set(Some(ms))
                    on_set=Callback::new(seek)
                />
            }
            .into_any()
        } else {
            let percent =
                move || duration.get().map(|all| (heard.get() * 100 / all.max(1)).to_string());
            view! {
                <div
                    class="progress-bar"
                    class:endless=move || duration.get().is_none()
                    role="progressbar"
                    data-testid="progress"
                    aria-label=words().progress
                    aria-valuenow=percent
                    aria-valuemin="0"
                    aria-valuemax="100"
                    aria-valuetext=move || spoken(heard.get())
                    style:--filled=move || format!("{}%", percent().unwrap_or_default())
                ></div>
            }
            .into_any()
        }
    }
}

/// Whole seconds: what is shown does not change more often, so that the page rests in between.
fn to_seconds(position: Position) -> Position {
    Position { heard_ms: position.heard_ms / 1_000 * 1_000, ..position }
}
