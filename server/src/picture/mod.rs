//! What is seen of a track: a picture, in the sizes that screens want, and its colours.
//!
//! Pictures come out of strangers' files. They are looked at within limits, on a thread of their own, and drawn anew: no
//! byte of such a file reaches a listener.
//!
//! Pure, but for the thread in `darkroom`.

pub(crate) mod darkroom;
pub(crate) mod develop;
pub(crate) mod gallery;
pub(crate) mod palette;

use bytes::Bytes;
use protocol::message::ImageFormat;

use self::palette::Palette;
use crate::source::PictureId;

/// Where pictures are: between these two stands the name of one.
pub(crate) const PATH: &str = "/artwork/";
pub(crate) const ENDING: &str = ".jpg";

/// A picture that may be shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Picture {
    /// Names it.
    pub(crate) id: PictureId,
    /// The whole of it as JPEG.
    pub(crate) jpeg: Bytes,
    /// Its colours.
    pub(crate) palette: Palette,
}

/// What a screen wants a picture to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    /// How it is encoded.
    pub(crate) format: ImageFormat,
    /// Pixels.
    pub(crate) width: u32,
    /// Pixels.
    pub(crate) height: u32,
}

/// Smallest and largest side of a shape, pixels.
const SIDE_MIN: u32 = 16;
const SIDE_MAX: u32 = 1_024;

/// Most pixels of a shape whose bytes do not get fewer with a lower quality: at three bytes each, these have 192 kB.
const EXACT_PIXELS_MAX: u32 = 256 * 256;

impl Shape {
    /// The shape nearest to what is asked for that is sent: a picture is one message, and time replies wait behind it.
    pub(crate) fn nearest(format: ImageFormat, width: u32, height: u32) -> Self {
        let [mut width, mut height] = [width, height].map(|side| side.clamp(SIDE_MIN, SIDE_MAX));
        if format != ImageFormat::Jpeg && width * height > EXACT_PIXELS_MAX {
            let scale = (f64::from(EXACT_PIXELS_MAX) / f64::from(width * height)).sqrt();
            [width, height] = [width, height].map(|side| (f64::from(side) * scale) as u32);
        }
        Self { format, width, height }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_has_bounds() {
        let size = |format, width, height| {
            let shape = Shape::nearest(format, width, height);
            (shape.width, shape.height)
        };
        assert_eq!(size(ImageFormat::Jpeg, 480, 320), (480, 320));
        assert_eq!(size(ImageFormat::Jpeg, 0, u32::MAX), (16, 1_024));
        assert_eq!(size(ImageFormat::Bmp, 1_024, 1_024), (256, 256));
        assert_eq!(size(ImageFormat::Png, 1_024, 256), (512, 128));
        assert_eq!(size(ImageFormat::Png, 16, 1_024), (16, 1_024));
    }
}
