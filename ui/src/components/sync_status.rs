//! How well in step this player is: in words first, then the figures of `window.partyline.stats()`.

use gloo_timers::callback::Interval;
use leptos::prelude::*;
use player_wasm::browser::stats_json;
use player_wasm::stats::{OutputKind, Stats};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Event, HtmlDetailsElement};

use super::{Delay, Name, SyncGraph};
use crate::history::{History, READ_MS};
use crate::language::words;
use crate::messages::Messages;
use crate::player_handle::PlayerHandle;
use crate::texts::{self, unit};

/// One line of the panel.
struct Figure {
    /// The name of the same figure in `window.partyline.stats()`.
    name: &'static str,
    label: fn(&Messages) -> &'static str,
    show: fn(&Stats) -> Option<String>,
}

const FIGURES: [Figure; 14] = [
    Figure { name: "state", label: |w| w.stat_state, show: |s| Some(s.state.as_str().to_owned()) },
    Figure {
        name: "syncErrorUs",
        label: |w| w.stat_sync_error,
        show: |s| s.sync_error_us.map(unit::signed_us),
    },
    Figure {
        name: "clockErrorUs",
        label: |w| w.stat_clock_error,
        show: |s| s.clock_error_us.map(unit::bound_us),
    },
    Figure { name: "driftPpm", label: |w| w.stat_drift, show: |s| s.drift_ppm.map(unit::ppm) },
    Figure {
        name: "bufferedMs",
        label: |w| w.stat_buffered,
        show: |s| Some(unit::ms(s.buffered_ms)),
    },
    Figure {
        name: "roundTripMs",
        label: |w| w.stat_round_trip,
        show: |s| s.round_trip_ms.map(unit::fine_ms),
    },
    Figure {
        name: "reanchors",
        label: |w| w.stat_reanchors,
        show: |s| Some(s.reanchors.to_string()),
    },
    Figure {
        name: "underruns",
        label: |w| w.stat_underruns,
        show: |s| Some(s.underruns.to_string()),
    },
    Figure {
        name: "lateChunks",
        label: |w| w.stat_late_chunks,
        show: |s| Some(s.late_chunks.to_string()),
    },
    Figure {
        name: "output",
        label: |w| w.stat_output,
        show: |s| s.output.map(|kind| texts::output(kind).to_owned()),
    },
    Figure {
        name: "outputLatencyMs",
        label: |w| w.stat_output_latency,
        show: |s| s.output_latency_ms.map(unit::fine_ms),
    },
    Figure {
        name: "outputRateHz",
        label: |w| w.stat_output_rate,
        show: |s| s.output_rate_hz.map(unit::hz),
    },
    Figure { name: "codec", label: |w| w.stat_codec, show: |s| s.codec.map(str::to_owned) },
    Figure {
        name: "dialect",
        label: |w| w.stat_dialect,
        show: |s| s.dialect.map(|d| texts::dialect(d).to_owned()),
    },
];

/// The panel. Read four times a second while it is open and something plays, and not at all while it is closed.
#[component]
pub fn SyncStatus() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let history = RwSignal::new(History::default());
    let stats = Memo::new(move |_| history.with(History::latest));
    let (open, set_open) = signal(false);
    let toggled =
        move |toggle: Event| set_open.set(event_target::<HtmlDetailsElement>(&toggle).open());
    // The value of the effect's last run is dropped by the next, and with it the timer.
    Effect::new(move |_: Option<Option<Interval>>| {
        // Also a last reading when listening ends.
        let listening = player.is_listening();
        let read = move || {
            history.try_update(|history| history.push(player.stats()));
        };
        read();
        (open.get() && listening).then(|| Interval::new(READ_MS, read))
    });
    let verdict = move || {
        let words = stats.with(texts::in_step);
        match history.with(History::many_disturbances) {
            Some(count) => texts::often_disturbed(words, count),
            None => words.to_owned(),
        }
    };
    view! {
        <details class="sync" data-testid="sync" on:toggle=toggled>
            <summary class="sync-summary">
                <span>{words().sync_title}</span>
                <span class="sync-words" data-testid="sync-words">
                    {move || open.get().then(verdict)}
                </span>
            </summary>
            <SyncGraph history />
            <dl class="figures">
                {FIGURES.map(|figure| view! {
                    <div class="figure">
                        <dt>{(figure.label)(words())}</dt>
                        <dd data-testid=format!("stat-{}", figure.name)>
                            {move || stats.with(figure.show).unwrap_or_else(|| texts::UNKNOWN.to_owned())}
                        </dd>
                    </div>
                }).into_iter().collect_view()}
            </dl>
            <p class="sync-note">
                {move || match stats.with(|s| s.output) {
                    Some(OutputKind::BufferSource) => words().insecure_page,
                    _ => words().figures_note,
                }}
            </p>
            <Name />
            <Delay />
            <Diagnostics />
        </details>
    }
}

/// A button that copies the figures for somebody who can help.
#[component]
fn Diagnostics() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let (copied, set_copied) = signal(None);
    let copy = move |_| {
        let navigator = window().navigator();
        let figures = stats_json(&player.stats());
        let figures = js_sys::JSON::stringify_with_replacer_and_space(
            &figures,
            &JsValue::NULL,
            &JsValue::from_f64(2.0),
        );
        let figures = figures.map(String::from).unwrap_or_default();
        let text = texts::diagnostics(&navigator.user_agent().unwrap_or_default(), &figures);
        // Missing on plain http pages.
        let clipboard = js_sys::Reflect::get(&navigator, &"clipboard".into());
        if clipboard.is_ok_and(|clipboard| clipboard.is_object()) {
            let written = navigator.clipboard().write_text(&text);
            spawn_local(async move {
                let shown = JsFuture::from(written).await.err().map(|_| text);
                set_copied.try_set(Some(shown));
            });
        } else {
            set_copied.set(Some(Some(text)));
        }
    };
    view! {
        <div class="diagnostics">
            <button type="button" class="copy" data-testid="copy" on:click=copy>
                {move || match copied.get() {
                    Some(None) => words().copied,
                    _ => words().copy,
                }}
            </button>
            {move || copied.get().flatten().map(|text| view! {
                <textarea class="copy-text" readonly rows="8" data-testid="diagnostics">{text}</textarea>
            })}
        </div>
    }
}
