//! How loud players are together, by how many there are at each volume: that is all a group's volume depends on, however many
//! players there are and in whichever process.
//!
//! Pure. Group volume is the wire reference's algorithm (6.3). Players of one volume get one volume, so what is to be done
//! fits into a table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::players::Told;

/// Loudest.
pub(crate) const VOLUME_MAX: u8 = 100;

/// Volumes that there are.
const STEPS: usize = VOLUME_MAX as usize + 1;

/// How many players there are at each volume, and how many are silent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Loudness {
    /// By volume, without zeros.
    volumes: BTreeMap<u8, u64>,
    /// Of those that can be muted: those that are, and those that are not.
    muted: u64,
    heard: u64,
}

impl Loudness {
    /// Whether there is no player.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One player more that is set like this.
    pub(crate) fn enter(&mut self, told: &Told) {
        if let Some(volume) = told.volume {
            *self.volumes.entry(volume).or_default() += 1;
        }
        match told.muted {
            Some(true) => self.muted += 1,
            Some(false) => self.heard += 1,
            None => {}
        }
    }

    /// One player fewer that was set like this.
    pub(crate) fn leave(&mut self, told: &Told) {
        let mut one = Self::default();
        one.enter(told);
        self.take(&one);
    }

    /// These as well.
    pub(crate) fn add(&mut self, others: &Self) {
        for (volume, count) in &others.volumes {
            let sum = self.volumes.entry(*volume).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.muted = self.muted.saturating_add(others.muted);
        self.heard = self.heard.saturating_add(others.heard);
    }

    /// Without these.
    pub(crate) fn take(&mut self, others: &Self) {
        for (volume, count) in &others.volumes {
            if let Some(sum) = self.volumes.get_mut(volume) {
                *sum = sum.saturating_sub(*count);
            }
        }
        self.volumes.retain(|_, count| *count > 0);
        self.muted = self.muted.saturating_sub(others.muted);
        self.heard = self.heard.saturating_sub(others.heard);
    }

    /// The same with volumes that there are, and no more players than `most` of each kind.
    pub(crate) fn checked(mut self, most: u64) -> Self {
        self.volumes.retain(|volume, count| *volume <= VOLUME_MAX && *count > 0);
        self.volumes.values_mut().for_each(|count| *count = (*count).min(most));
        Self { muted: self.muted.min(most), heard: self.heard.min(most), ..self }
    }

    /// Mean volume of those that can be set; `None` without any.
    pub(crate) fn volume(&self) -> Option<u8> {
        let count = self.count();
        (count > 0.0).then(|| (self.sum_of(f64::from) / count).round() as u8)
    }

    /// Whether all are muted that can be; `None` without any.
    pub(crate) fn muted(&self) -> Option<bool> {
        (self.muted > 0 || self.heard > 0).then_some(self.heard == 0)
    }

    /// What each volume has to become for their mean to be `target`, 0 to 100: each differs from the others as before, as far
    /// as the limits allow. What a limit cuts off is shared by those who are not at theirs.
    pub(crate) fn shift_to(&self, target: u8) -> Shift {
        let target = f64::from(target.min(VOLUME_MAX));
        let mut after: Vec<f64> = (0..=VOLUME_MAX).map(f64::from).collect();
        // Each round but the last puts one more volume at its limit.
        for _ in 0..=STEPS {
            let at = |volume: u8| after[usize::from(volume)];
            let missing = target * self.count() - self.sum_of(at);
            let is_free =
                |volume: f64| if missing > 0.0 { volume < VOLUME_MAX.into() } else { volume > 0.0 };
            let free = self.sum_of(|volume| f64::from(u8::from(is_free(at(volume)))));
            if free < 1.0 || missing.abs() < 1e-6 {
                break;
            }
            let share = missing / free;
            for volume in after.iter_mut().filter(|volume| is_free(**volume)) {
                *volume = (*volume + share).clamp(0.0, VOLUME_MAX.into());
            }
        }
        Shift(after.into_iter().map(|volume| volume.round() as u8).collect())
    }

    /// All volumes become what `shift` says.
    pub(crate) fn shift(&mut self, shift: &Shift) {
        for (volume, count) in std::mem::take(&mut self.volumes) {
            let sum = self.volumes.entry(shift.of(volume)).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    /// All become silent that can, or none are.
    pub(crate) fn mute(&mut self, muted: bool) {
        let all = self.muted.saturating_add(self.heard);
        (self.muted, self.heard) = if muted { (all, 0) } else { (0, all) };
    }

    fn count(&self) -> f64 {
        self.sum_of(|_| 1.0)
    }

    fn sum_of(&self, part: impl Fn(u8) -> f64) -> f64 {
        self.volumes.iter().map(|(volume, count)| part(*volume) * *count as f64).sum()
    }
}

/// What each volume becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shift(Vec<u8>);

impl Shift {
    /// What this volume becomes, 0 to 100. What a table from elsewhere does not say stays as it is.
    pub(crate) fn of(&self, volume: u8) -> u8 {
        self.0.get(usize::from(volume)).copied().unwrap_or(volume).min(VOLUME_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn loudness(volumes: &[u8]) -> Loudness {
        let mut loudness = Loudness::default();
        for &volume in volumes {
            loudness.enter(&Told { volume: Some(volume), ..Told::default() });
        }
        loudness
    }

    #[test]
    fn it_is_the_same_wherever_players_are() {
        let mut all = loudness(&[10, 50]);
        all.add(&loudness(&[50, 90]));
        assert_eq!(all, loudness(&[10, 50, 50, 90]));
        all.take(&loudness(&[50, 90]));
        assert_eq!(all, loudness(&[10, 50]));
        all.shift(&all.shift_to(40));
        assert_eq!(all, loudness(&[20, 60]));
        let json = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Loudness>(&json).unwrap(), all);
    }

    #[test]
    fn what_comes_from_elsewhere_has_bounds() {
        let text = r#"{"volumes":{"200":5,"7":18446744073709551615,"9":0},"muted":9,"heard":0}"#;
        let mad: Loudness = serde_json::from_str(text).unwrap();
        let mut sane = mad.clone().checked(3);
        assert_eq!((sane.volume(), sane.muted, sane.volumes.len()), (Some(7), 3, 1));
        sane.add(&mad);
        sane.add(&mad);
        sane.mute(false);
        assert_eq!(sane.muted(), Some(false));
        assert_eq!(Shift(vec![200, 3]).of(0), 100);
        assert_eq!(Shift(vec![200, 3]).of(7), 7);
    }

    proptest! {
        #[test]
        fn the_mean_is_what_was_asked_for(
            before in prop::collection::vec(0_u8..=100, 1..20),
            target in 0_u8..=100,
        ) {
            let shift = loudness(&before).shift_to(target);
            let after: Vec<u8> = before.iter().map(|&volume| shift.of(volume)).collect();
            let mean = after.iter().copied().map(f64::from).sum::<f64>() / after.len() as f64;
            // Each is rounded.
            prop_assert!((mean - f64::from(target)).abs() <= 0.5, "{mean}");
            // Nobody who was softer is louder.
            for (one, two) in before.iter().zip(&after) {
                for (other, others) in before.iter().zip(&after) {
                    prop_assert!(one < other || two >= others);
                }
            }
        }
    }
}
