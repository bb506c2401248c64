//! Volume and mute to the amplitude of the output.

/// Amplitude for a perceived loudness of 0 to 100; more counts as 100.
///
/// Source: Sendspin wire reference, section 5.5: gain = (volume / 100)^1.5. Mute is independent of volume.
#[must_use]
pub fn amplitude(volume: u8, muted: bool) -> f32 {
    if muted { 0.0 } else { (f32::from(volume.min(100)) / 100.0).powf(1.5) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_has_the_ends_and_middle_of_the_specification() {
        assert_eq!(amplitude(0, false), 0.0);
        assert_eq!(amplitude(100, false), 1.0);
        assert_eq!(amplitude(255, false), 1.0);
        assert!((amplitude(25, false) - 0.125).abs() < 1e-6);
        assert_eq!(amplitude(100, true), 0.0);
    }
}
