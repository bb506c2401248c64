//! Turns Sendspin messages into frames at the right instant.
//!
//! Everything but `browser` is pure: messages, clock readings and time go in, blocks of audio for stated
//! frames of the audio output come out. The browser shell exists on wasm32 only.
//!
//! The way of a sample: [`decoder`] → [`jitter_buffer`] → [`resampler`], steered by [`rate_control`], in the
//! hands of the [`scheduler`], which asks the [`playout_clock`] what belongs on which frame of the output. When a frame
//! is heard, the [`output_clock`] tells.
//!
//! Beside it, [`calibration`] compares two devices by ear: with the [`chirp`]s that they play in place of the stream.

#[cfg(target_arch = "wasm32")]
pub mod browser;
pub mod calibration;
pub mod chirp;
pub mod chirp_detector;
pub mod decoder;
pub mod gain;
pub mod jitter_buffer;
pub mod output_clock;
pub mod output_filter;
pub mod player;
pub mod playout_clock;
pub mod rate_control;
pub mod resampler;
pub mod scheduler;
pub mod stats;
