//! The page in a real browser, with the real player behind it.

#![cfg(target_arch = "wasm32")]
#![allow(
    clippy::unwrap_used,
    reason = "allowed in tests, but clippy does not know #[wasm_bindgen_test]"
)]

#[cfg(feature = "axe")]
mod accessibility;
mod calibration;
mod identity;
mod listener_count;
mod page;
mod party;
mod support;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
