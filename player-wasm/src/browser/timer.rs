//! One timer that is armed again and again.

use std::cell::Cell;

use protocol::time::ClientSpan;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

use super::window;

/// Longest wait in milliseconds: `setTimeout` takes 31 bits and fires at once for more.
const WAIT_MS_MAX: i64 = i32::MAX as i64;

/// Calls back once after each [`Timer::arm`]. One closure serves for good, so none is ever dropped while it
/// runs.
#[derive(Debug)]
pub(super) struct Timer {
    callback: Closure<dyn Fn()>,
    handle: Cell<Option<i32>>,
}

impl Timer {
    /// Not armed yet.
    pub(super) fn new(callback: impl Fn() + 'static) -> Self {
        Self { callback: Closure::new(callback), handle: Cell::new(None) }
    }

    /// Calls back after `wait`, not before, and no longer at the time that was set earlier.
    pub(super) fn arm(&self, wait: ClientSpan) {
        self.disarm();
        // Rounded up: a timer that fires early would only be armed again.
        let wait_ms = wait.as_micros().max(0).saturating_add(999) / 1_000;
        let handle = window().set_timeout_with_callback_and_timeout_and_arguments_0(
            self.callback.as_ref().unchecked_ref(),
            wait_ms.min(WAIT_MS_MAX) as i32,
        );
        // Throws only when handed something else than a function.
        self.handle.set(handle.ok());
    }

    /// Does not call back.
    fn disarm(&self) {
        if let Some(handle) = self.handle.take() {
            window().clear_timeout_with_handle(handle);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
    }
}
