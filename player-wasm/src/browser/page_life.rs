//! What happens to the page: hidden and shown, frozen and thawed, away from the network and back, asleep.

use std::cell::Cell;

use js_sys::Date;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{Document, EventTarget};

use super::{host_clock, window};

/// The page's clock stood still if the wall clock got ahead of it by more than this between two looks,
/// milliseconds. A wall clock that is set by hand or by the network does the same, and costs one comparison.
const STOOD_STILL_MS: f64 = 1_000.0;

/// Hears of the page's life until it is dropped.
pub(super) struct PageLife {
    document: Document,
    heard: Vec<Listener>,
    /// Wall clock minus the page's clock at the last look, milliseconds.
    wall_ms: Cell<f64>,
}

struct Listener {
    target: EventTarget,
    event: &'static str,
    callback: Closure<dyn Fn()>,
}

impl PageLife {
    /// Calls `on_visibility` when the page was hidden or shown, and `on_return` when it may have missed something.
    pub(super) fn new(
        on_visibility: impl Fn() + Clone + 'static,
        on_return: impl Fn() + Clone + 'static,
    ) -> Self {
        let window = window();
        let document = window.document().expect("a page has a document");
        let mut life = Self { document, heard: Vec::new(), wall_ms: Cell::new(wall_ms()) };
        let of_document: EventTarget = life.document.clone().into();
        life.hear(&of_document, "visibilitychange", on_visibility);
        // Of pages that the browser froze to save power.
        life.hear(&of_document, "resume", on_return.clone());
        let of_window: EventTarget = window.into();
        life.hear(&of_window, "pageshow", on_return.clone());
        life.hear(&of_window, "online", on_return);
        life
    }

    fn hear(&mut self, target: &EventTarget, event: &'static str, callback: impl Fn() + 'static) {
        let callback = Closure::<dyn Fn()>::new(callback);
        // Throws only when handed something else than a function.
        let _ = target.add_event_listener_with_callback(event, callback.as_ref().unchecked_ref());
        self.heard.push(Listener { target: target.clone(), event, callback });
    }

    /// Whether the page is hidden: its timers fire once a second at best.
    pub(super) fn is_hidden(&self) -> bool {
        self.document.hidden()
    }

    /// Whether the page's clock stood still since the last look, as some do while the machine sleeps.
    pub(super) fn clock_stood_still(&self) -> bool {
        let wall_ms = wall_ms();
        wall_ms - self.wall_ms.replace(wall_ms) > STOOD_STILL_MS
    }
}

impl Drop for PageLife {
    fn drop(&mut self) {
        for Listener { target, event, callback } in &self.heard {
            let callback = callback.as_ref().unchecked_ref();
            let _ = target.remove_event_listener_with_callback(event, callback);
        }
    }
}

/// Wall clock minus the page's clock, milliseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "the wall clock goes on where the page's clock stands still"
)]
fn wall_ms() -> f64 {
    Date::now() - host_clock::now().as_micros() as f64 / 1e3
}
