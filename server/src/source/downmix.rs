//! Folds any loudspeaker layout down to left and right.
//!
//! Mono goes to both sides unchanged and stereo passes through unchanged, bit for bit. For the rest the
//! coefficients are those of Recommendation ITU-R BS.775-3, annex 4, section 1 ("3/2 source signals"):
//! front channels at 1, centre and each surround at -3 dB, no low-frequency channel. It ends at 5.1.
//! Beyond it, rear and side pairs of 7.1 are each treated as its surrounds, and so are heights; a single
//! rear channel is split, -6 dB to each side; one between left and centre is panned with equal power.
//!
//! The sum is scaled so that full scale on all channels at once is full scale, and cannot clip.

use std::f32::consts::FRAC_1_SQRT_2;

use symphonia::core::audio::{ChannelLabel, Channels, Position};

use super::Fault;

/// Most channels accepted: 7.1.
pub(super) const CHANNELS_MAX: usize = 8;

/// How one layout becomes stereo.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Downmix {
    /// One channel, heard on both sides.
    Mono,
    /// Left and right as they are.
    Stereo,
    /// Per channel, its share in left and in right.
    Matrix(Vec<[f32; 2]>),
}

impl Downmix {
    /// Finds the fold for a layout, whose channels come in the order of its positions.
    ///
    /// # Errors
    ///
    /// [`Fault::Layout`] for no channels, more than [`CHANNELS_MAX`], or channels that are not
    /// loudspeakers (ambisonics).
    pub(super) fn new(channels: &Channels) -> Result<Self, Fault> {
        let count = channels.count();
        if count == 0 || count > CHANNELS_MAX {
            return Err(Fault::Layout(format!("{count} channels")));
        }
        if count == 1 {
            return Ok(Self::Mono);
        }
        let positions = positions(channels)
            .ok_or_else(|| Fault::Layout("not one of loudspeakers".to_owned()))?;
        if positions == [Position::FRONT_LEFT, Position::FRONT_RIGHT] {
            return Ok(Self::Stereo);
        }
        Ok(Self::Matrix(matrix(&positions)))
    }

    /// Whether samples pass through unchanged.
    pub(super) fn is_exact(&self) -> bool {
        !matches!(self, Self::Matrix(_))
    }

    /// Folds interleaved frames. A last incomplete frame is ignored.
    pub(super) fn apply(&self, interleaved: &[f32]) -> Vec<f32> {
        match self {
            Self::Mono => interleaved.iter().flat_map(|&sample| [sample, sample]).collect(),
            Self::Stereo => interleaved[..interleaved.len() & !1].to_vec(),
            Self::Matrix(shares) => interleaved
                .chunks_exact(shares.len())
                .flat_map(|frame| {
                    frame.iter().zip(shares).fold([0.0; 2], |[left, right], (sample, share)| {
                        [left + sample * share[0], right + sample * share[1]]
                    })
                })
                .collect(),
        }
    }
}

/// Shares of each position, scaled so that the louder side sums to one.
fn matrix(positions: &[Position]) -> Vec<[f32; 2]> {
    let shares: Vec<[f32; 2]> = positions.iter().map(|position| share(*position)).collect();
    let side = |side: usize| shares.iter().map(|share| share[side]).sum::<f32>();
    let loudest = side(0).max(side(1));
    // A layout of low-frequency channels only is silence.
    let scale = if loudest > 0.0 { 1.0 / loudest } else { 0.0 };
    shares.iter().map(|[left, right]| [left * scale, right * scale]).collect()
}

/// Share of one position in left and right, before scaling.
fn share(position: Position) -> [f32; 2] {
    const MINUS_3_DB: f32 = FRAC_1_SQRT_2;
    const MINUS_6_DB: f32 = 0.5;
    // Equal power half-way between left (0°) and centre (45°): cosine and sine of 22.5°.
    const NEAR: f32 = 0.923_879_5;
    const FAR: f32 = 0.382_683_43;
    match position {
        Position::FRONT_LEFT | Position::FRONT_LEFT_WIDE => [1.0, 0.0],
        Position::FRONT_RIGHT | Position::FRONT_RIGHT_WIDE => [0.0, 1.0],
        Position::FRONT_CENTER => [MINUS_3_DB, MINUS_3_DB],
        Position::FRONT_LEFT_CENTER => [NEAR, FAR],
        Position::FRONT_RIGHT_CENTER => [FAR, NEAR],
        Position::REAR_LEFT
        | Position::SIDE_LEFT
        | Position::TOP_FRONT_LEFT
        | Position::TOP_SIDE_LEFT
        | Position::TOP_REAR_LEFT
        | Position::BOTTOM_FRONT_LEFT => [MINUS_3_DB, 0.0],
        Position::REAR_RIGHT
        | Position::SIDE_RIGHT
        | Position::TOP_FRONT_RIGHT
        | Position::TOP_SIDE_RIGHT
        | Position::TOP_REAR_RIGHT
        | Position::BOTTOM_FRONT_RIGHT => [0.0, MINUS_3_DB],
        Position::LFE1 | Position::LFE2 => [0.0, 0.0],
        // Rear centre, and those above or below the listener.
        _ => [MINUS_6_DB, MINUS_6_DB],
    }
}

/// The position of each channel, in the order of the samples.
fn positions(channels: &Channels) -> Option<Vec<Position>> {
    match channels {
        Channels::Positioned(mask) => Some(mask.iter().collect()),
        Channels::Discrete(count) => usual_layout(usize::from(*count)),
        Channels::Custom(labels) => labels
            .iter()
            .map(|label| match label {
                ChannelLabel::Positioned(position) => Some(*position),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .or_else(|| all_discrete(labels).then(|| usual_layout(labels.len())).flatten()),
        _ => None,
    }
}

fn all_discrete(labels: &[ChannelLabel]) -> bool {
    labels.iter().all(|label| matches!(label, ChannelLabel::Discrete(_)))
}

/// What a number of channels usually means, when a file does not say: RFC 9639 (FLAC), section 9.1.3.
fn usual_layout(count: usize) -> Option<Vec<Position>> {
    use Position as P;
    let (left, right, center) = (P::FRONT_LEFT, P::FRONT_RIGHT, P::FRONT_CENTER);
    let layout: &[Position] = match count {
        1 => &[center],
        2 => &[left, right],
        3 => &[left, right, center],
        4 => &[left, right, P::REAR_LEFT, P::REAR_RIGHT],
        5 => &[left, right, center, P::REAR_LEFT, P::REAR_RIGHT],
        6 => &[left, right, center, P::LFE1, P::REAR_LEFT, P::REAR_RIGHT],
        7 => &[left, right, center, P::LFE1, P::REAR_CENTER, P::SIDE_LEFT, P::SIDE_RIGHT],
        8 => &[
            left,
            right,
            center,
            P::LFE1,
            P::REAR_LEFT,
            P::REAR_RIGHT,
            P::SIDE_LEFT,
            P::SIDE_RIGHT,
        ],
        _ => return None,
    };
    Some(layout.to_vec())
}
