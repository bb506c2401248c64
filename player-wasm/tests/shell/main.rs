//! The browser shell, part by part, in a real browser.
#![cfg(target_arch = "wasm32")]
// Says to clippy that everything here is a test.
#![cfg(test)]

mod audio_output;
mod host_clock;
mod microphone;
mod party;
mod rig;
mod server_url;
mod sinks;
mod socket;
mod support;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
