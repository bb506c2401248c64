//! How much louder or softer a track is made, so that all are equally loud.
//!
//! The level they meet at is -18 LUFS, that of `ReplayGain` 2.0. Nothing is ever turned up so far that it clips: what a
//! file says about its peak limits the gain, and without a peak it is only turned down.
//!
//! Sources: `ReplayGain` 2.0 specification, wiki.hydrogenaud.io, "Metadata format"; RFC 7845 (Ogg Opus), section 5.2.1,
//! for the `R128` tags, which mean -23 LUFS and count in 1/256 dB.

use symphonia::core::meta::{MetadataRevision, RawValue, StandardTag, Tag};

/// The level all tracks meet at, LUFS.
pub(super) const TARGET_LUFS: f64 = -18.0;

/// What the `R128` tags aim at, LUFS: 5 dB below.
const R128_LUFS: f64 = -23.0;

/// Largest gain either way that is believed, dB. More is damage.
const GAIN_DB_MAX: f64 = 51.0;

/// The factor for a gain in dB that lets nothing exceed `ceiling`, where full scale is 1.0. `None` for an absurd gain.
pub(super) fn factor(gain_db: f64, peak: Option<f64>, ceiling: f64) -> Option<f32> {
    // No number fails this, too.
    if !(-GAIN_DB_MAX..=GAIN_DB_MAX).contains(&gain_db) {
        return None;
    }
    let most = match peak {
        Some(peak) if peak.is_finite() && peak > 0.0 => ceiling / peak,
        _ => 1.0,
    };
    Some(10_f64.powf(gain_db / 20.0).min(most) as f32)
}

/// What a file's tags say about its loudness.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GainTags {
    track_db: Option<f64>,
    track_peak: Option<f64>,
    album_db: Option<f64>,
    album_peak: Option<f64>,
    r128_track_db: Option<f64>,
    r128_album_db: Option<f64>,
}

impl GainTags {
    /// Takes over what a revision says, over what an earlier one said.
    pub(super) fn apply(&mut self, revision: &MetadataRevision) {
        let per_track = revision.per_track.iter().flat_map(|track| &track.metadata.tags);
        for tag in revision.media.tags.iter().chain(per_track) {
            self.take(tag);
        }
    }

    /// By what samples are multiplied: the gain of the track, else of its album. `None` if the tags do not say.
    pub(super) fn factor(&self) -> Option<f32> {
        let track = self.track_db.map(|db| (db, self.track_peak));
        let album = self.album_db.map(|db| (db, self.album_peak));
        let r128 = self.r128_track_db.or(self.r128_album_db);
        let (gain_db, peak) =
            track.or(album).or(r128.map(|db| (db + TARGET_LUFS - R128_LUFS, self.track_peak)))?;
        factor(gain_db, peak, 1.0)
    }

    fn take(&mut self, tag: &Tag) {
        match &tag.std {
            Some(StandardTag::ReplayGainTrackGain(text)) => self.track_db = number(text),
            Some(StandardTag::ReplayGainTrackPeak(text)) => self.track_peak = number(text),
            Some(StandardTag::ReplayGainAlbumGain(text)) => self.album_db = number(text),
            Some(StandardTag::ReplayGainAlbumPeak(text)) => self.album_peak = number(text),
            _ => {
                let key = tag.raw.key.to_ascii_uppercase();
                let RawValue::String(text) = &tag.raw.value else { return };
                let db = number(text).map(|steps| steps / 256.0);
                if key.ends_with("R128_TRACK_GAIN") {
                    self.r128_track_db = db;
                } else if key.ends_with("R128_ALBUM_GAIN") {
                    self.r128_album_db = db;
                }
            }
        }
    }
}

/// The number at the beginning of `-7.03 dB`; some write a comma.
fn number(text: &str) -> Option<f64> {
    let text = text.trim().replace(',', ".");
    let end = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c));
    text[..end.unwrap_or(text.len())].parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_programs_write_them() {
        for (text, expected) in [
            ("-7.03 dB", Some(-7.03)),
            ("+2.5dB", Some(2.5)),
            (" 0,988 ", Some(0.988)),
            ("-1280", Some(-1280.0)),
            ("loud", None),
            ("", None),
            ("--3 dB", None),
            ("nan", None),
        ] {
            assert_eq!(number(text), expected, "{text:?}");
        }
    }

    #[test]
    fn gain_stops_where_the_peak_would_clip() {
        let near = |db, peak, expected: f32| {
            let factor = factor(db, peak, 1.0).unwrap();
            assert!((factor - expected).abs() < 1e-4, "{db} dB, peak {peak:?}: {factor}");
        };
        near(-6.0206, Some(0.5), 0.5);
        near(6.0206, Some(0.25), 2.0);
        near(6.0206, Some(0.8), 1.25);
        near(0.0, Some(1.25), 0.8);
        // How loud its peak is, nobody knows.
        near(6.0, None, 1.0);
        near(6.0, Some(0.0), 1.0);
        near(6.0, Some(f64::NAN), 1.0);
        for absurd in [52.0, -600.0, f64::NAN, f64::INFINITY] {
            assert_eq!(factor(absurd, Some(0.1), 1.0), None);
        }
    }

    #[test]
    fn the_track_goes_before_the_album_and_replay_gain_before_r128() {
        let tags = GainTags { r128_track_db: Some(-11.0), ..GainTags::default() };
        assert_eq!(tags.factor(), factor(-6.0, None, 1.0));
        let tags = GainTags { album_db: Some(-3.0), album_peak: Some(0.1), ..tags };
        assert_eq!(tags.factor(), factor(-3.0, Some(0.1), 1.0));
        let tags = GainTags { track_db: Some(2.0), track_peak: Some(0.2), ..tags };
        assert_eq!(tags.factor(), factor(2.0, Some(0.2), 1.0));
        assert_eq!(GainTags::default().factor(), None);
    }
}
