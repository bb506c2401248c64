//! The air between speakers and microphones: what one device says of another that no browser knows of.

use player_wasm::player::Calibration;

use super::rng::Rng;
use super::world::World;

/// Frames per second of the microphones, in true time: the recording's clock differs from every other one.
const MICROPHONE_HZ: f64 = 48_000.0;
/// Seconds of a block.
const BLOCK_S: f64 = 0.1;
/// How loud a speaker is at a microphone.
const NEAR: f64 = 0.5;
/// Noise at a microphone, either way: the chirps of one device are about 20 dB above it.
const NOISE: f64 = 0.015;

impl World {
    /// Takes the sound of a player by a way of which no browser knows, this much longer, milliseconds.
    pub fn lead_astray(&mut self, player: usize, ms: f64) {
        self.seat(player).speaker.set_detour_ms(ms);
    }

    /// Runs for `seconds`, while each player that asked for a microphone hears all speakers.
    pub fn run_aloud(&mut self, seconds: f64) {
        let mut noise = Rng::new(7);
        for _ in 0..(seconds / BLOCK_S).round() as u32 {
            let from_us = self.now_us();
            self.run(BLOCK_S);
            let frames = (BLOCK_S * MICROPHONE_HZ) as u32;
            let sound: Vec<f32> = (0..frames)
                .map(|frame| {
                    let at_us = from_us + f64::from(frame) * 1e6 / MICROPHONE_HZ;
                    let air: f64 = self.seats().iter().map(|seat| seat.speaker.air(at_us)).sum();
                    (NEAR * air + noise.between(-NOISE, NOISE)) as f32
                })
                .collect();
            let now_us = self.now_us();
            for player in 0..self.seats().len() {
                self.seat(player).hear(now_us, MICROPHONE_HZ as u32, &sound);
            }
        }
    }

    /// Where the calibration of each player is.
    #[must_use]
    pub fn calibrations(&self) -> Vec<Calibration> {
        self.seats().iter().map(|seat| seat.calibration).collect()
    }
}
