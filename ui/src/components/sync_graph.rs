//! The last minute as a picture.

use leptos::prelude::*;

use crate::history::History;
use crate::language::words;

/// Size of the drawing, in its own units; on the page it is as wide as there is room.
const SIZE: (f64, f64) = (240.0, 80.0);
/// The sync error at the upper and lower edge, microseconds: the limit for being in step.
const EDGE_US: f64 = 1_000.0;
/// The buffer at the upper edge, milliseconds.
const EDGE_MS: f64 = 5_000.0;

/// Sync error around the middle, the clock's error on both sides of it, and the buffer from the bottom up.
#[component]
pub fn SyncGraph(
    /// What to draw.
    history: RwSignal<History>,
) -> impl IntoView {
    let line = move |value: fn(&player_wasm::stats::Stats) -> Option<f64>| {
        move || history.with(|history| history.line(SIZE, value))
    };
    let error = line(|stats| stats.sync_error_us.map(|us| us / EDGE_US));
    let above = line(|stats| stats.clock_error_us.map(|us| us / EDGE_US));
    let below = line(|stats| stats.clock_error_us.map(|us| -us / EDGE_US));
    let buffered = line(|stats| Some(stats.buffered_ms / EDGE_MS * 2.0 - 1.0));
    view! {
        <figure class="graph">
            <svg
                viewBox=format!("0 0 {} {}", SIZE.0, SIZE.1)
                preserveAspectRatio="none"
                role="img"
                aria-label=words().graph
                data-testid="graph"
            >
                <line class="graph-middle" x1="0" y1="40" x2="240" y2="40" />
                <polyline class="graph-buffer" points=buffered />
                <polyline class="graph-clock" points=above />
                <polyline class="graph-clock" points=below />
                <polyline class="graph-error" points=error />
            </svg>
            <figcaption class="graph-key">
                <span class="key-error">{words().key_error}</span>
                <span class="key-clock">{words().key_clock}</span>
                <span class="key-buffer">{words().key_buffer}</span>
            </figcaption>
        </figure>
    }
}
