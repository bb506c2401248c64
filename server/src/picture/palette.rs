//! The colours of a picture, and what can be read on them.
//!
//! The same picture always gives the same colours, and text on a background always has the contrast that people need:
//! where the picture's own colours do not have it, they are made lighter or darker until they do.
//!
//! Source: median cut as in Heckbert, "Color Image Quantization for Frame Buffer Display" (1982); contrast as in WCAG 2.2,
//! "relative luminance" and "contrast ratio".

use image::RgbImage;
use protocol::message::Rgb;

/// Least contrast between a background and what is written on it (wire reference 2.2; WCAG 2.2, 1.4.3).
pub(crate) const CONTRAST_MIN: f64 = 4.5;

/// Least contrast between a background and white or black, so that a colour between can be found.
const BACKGROUND_CONTRAST_MIN: f64 = 10.0;

/// Boxes that the colours are cut into: a power of two.
const BOXES: usize = 8;

/// Pixels that are looked at on a side.
const SAMPLES: u32 = 64;

/// Steps on the way to white or black.
const STEPS: u16 = 64;

/// The colours that stand for a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Palette {
    /// Behind everything on a dark screen.
    pub(crate) background_dark: Rgb,
    /// Behind everything on a light screen.
    pub(crate) background_light: Rgb,
    /// What the picture has most of.
    pub(crate) primary: Rgb,
    /// What stands out in it.
    pub(crate) accent: Rgb,
    /// Text on the dark background.
    pub(crate) on_dark: Rgb,
    /// Text on the light background.
    pub(crate) on_light: Rgb,
}

impl Palette {
    /// The colours of `picture`.
    pub(crate) fn of(picture: &RgbImage) -> Self {
        let boxes = cut(samples(picture));
        // Much of a dull colour and little of a bright one are worth about the same.
        let weight = |colors: &Vec<Rgb>| colors.len() as f64 * (0.2 + chroma(mean(colors)));
        let primary = strongest(&boxes, weight).unwrap_or_default();
        let stands_out = |colors: &Vec<Rgb>| {
            let color = mean(colors);
            (colors.len() as f64).sqrt() * chroma(color) * distance(color, primary)
        };
        let accent = strongest(&boxes, stands_out).unwrap_or(primary);
        Self::from_pair(primary, accent)
    }

    /// All six from two of them.
    fn from_pair(primary: Rgb, accent: Rgb) -> Self {
        let (black, white) = ([0; 3], [255; 3]);
        let until = |from, to, other, least| {
            blends(from, to).find(|&color| contrast(color, other) >= least).unwrap_or(to)
        };
        let background_dark = until(primary, black, white, BACKGROUND_CONTRAST_MIN);
        let background_light = until(primary, white, black, BACKGROUND_CONTRAST_MIN);
        Self {
            background_dark,
            background_light,
            primary,
            accent,
            on_dark: until(accent, white, background_dark, CONTRAST_MIN),
            on_light: until(accent, black, background_light, CONTRAST_MIN),
        }
    }
}

/// From one colour to another in even steps, both included.
fn blends(from: Rgb, to: Rgb) -> impl Iterator<Item = Rgb> {
    (0..=STEPS).map(move |step| {
        let mut blend = from;
        for (part, to) in blend.iter_mut().zip(to) {
            let sum = u32::from(*part) * u32::from(STEPS - step) + u32::from(to) * u32::from(step);
            *part = (sum / u32::from(STEPS)) as u8;
        }
        blend
    })
}

/// How well two colours can be told apart, 1 to 21.
pub(crate) fn contrast(one: Rgb, other: Rgb) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// How much light there is in a colour, 0 to 1.
fn luminance(color: Rgb) -> f64 {
    let [red, green, blue] = color.map(|part| {
        let part = f64::from(part) / 255.0;
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// How far a colour is from grey, 0 to 1.
fn chroma(color: Rgb) -> f64 {
    let [red, green, blue] = color;
    f64::from(red.max(green).max(blue) - red.min(green).min(blue)) / 255.0
}

/// How far two colours are apart, 0 to 1.
fn distance(one: Rgb, other: Rgb) -> f64 {
    let parts =
        one.iter().zip(other).map(|(&one, other)| (f64::from(one) - f64::from(other)) / 255.0);
    (parts.map(|part| part * part).sum::<f64>() / 3.0).sqrt()
}

/// Pixels from all over the picture.
fn samples(picture: &RgbImage) -> Vec<Rgb> {
    let (width, height) = picture.dimensions();
    let places = |side: u32| {
        let count = side.min(SAMPLES);
        (0..count).map(move |place| (2 * place + 1) * side / (2 * count))
    };
    places(height).flat_map(|y| places(width).map(move |x| picture.get_pixel(x, y).0)).collect()
}

/// Cuts colours into boxes of alike ones: always the box with the widest spread, where half of it is on each side.
fn cut(colors: Vec<Rgb>) -> Vec<Vec<Rgb>> {
    let mut boxes = vec![colors];
    while boxes.len() < BOXES {
        let spread = |colors: &Vec<Rgb>| widest(colors).1;
        let Some((at, _)) = (boxes.iter().map(spread).enumerate())
            .filter(|&(_, spread)| spread > 0)
            .max_by_key(|&(at, spread)| (spread, usize::MAX - at))
        else {
            break;
        };
        let channel = widest(&boxes[at]).0;
        boxes[at].sort_unstable_by_key(|color| (color[channel], *color));
        let middle = boxes[at].len() / 2;
        let upper = boxes[at].split_off(middle);
        boxes.push(upper);
    }
    boxes.retain(|colors| !colors.is_empty());
    boxes
}

/// The channel in which colours differ most, and by how much.
fn widest(colors: &[Rgb]) -> (usize, u8) {
    let spread = |channel: usize| {
        let parts = || colors.iter().map(|color| color[channel]);
        parts().max().unwrap_or(0) - parts().min().unwrap_or(0)
    };
    let channels = [0, 1, 2].map(|channel| (spread(channel), channel));
    let (spread, channel) = channels.into_iter().max().unwrap_or_default();
    (channel, spread)
}

fn mean(colors: &[Rgb]) -> Rgb {
    [0, 1, 2].map(|channel| {
        let sum: usize = colors.iter().map(|color| usize::from(color[channel])).sum();
        (sum / colors.len().max(1)) as u8
    })
}

/// The mean of the box that has most of what is asked for, the first of equal ones.
fn strongest(boxes: &[Vec<Rgb>], strength: impl Fn(&Vec<Rgb>) -> f64) -> Option<Rgb> {
    let mut best: Option<(f64, &Vec<Rgb>)> = None;
    for colors in boxes {
        let strength = strength(colors);
        if best.is_none_or(|(best, _)| strength > best) {
            best = Some((strength, colors));
        }
    }
    best.map(|(_, colors)| mean(colors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn contrast_is_as_the_standard_has_it() {
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 1e-9);
        assert!((contrast([255; 3], [255; 3]) - 1.0).abs() < 1e-9);
        // The grey that is said to be the lightest that can be read on white.
        assert!(contrast([0x76; 3], [255; 3]) >= 4.5 && contrast([0x77; 3], [255; 3]) < 4.5);
    }

    #[test]
    fn the_colours_are_those_of_the_picture() {
        let (blue, orange) = ([20, 40, 160], [250, 140, 20]);
        let picture =
            RgbImage::from_fn(100, 100, |x, _| image::Rgb(if x < 80 { blue } else { orange }));
        let palette = Palette::of(&picture);
        assert!(distance(palette.primary, blue) < 0.1, "{palette:?}");
        assert!(distance(palette.accent, orange) < 0.1, "{palette:?}");
    }

    fn check(palette: &Palette) -> Result<(), TestCaseError> {
        let Palette { background_dark, background_light, on_dark, on_light, .. } = *palette;
        prop_assert!(contrast(background_dark, on_dark) >= CONTRAST_MIN, "{:?}", palette);
        prop_assert!(contrast(background_light, on_light) >= CONTRAST_MIN, "{:?}", palette);
        prop_assert!(luminance(background_dark) < luminance(background_light));
        Ok(())
    }

    proptest! {
        #[test]
        fn text_can_be_read_whatever_the_colours(primary: Rgb, accent: Rgb) {
            check(&Palette::from_pair(primary, accent))?;
        }

        #[test]
        fn text_can_be_read_whatever_the_picture(
            width in 1_u32..9, height in 1_u32..9, pixels in prop::collection::vec(any::<Rgb>(), 64),
        ) {
            let picture = RgbImage::from_fn(width, height, |x, y| image::Rgb(pixels[(y * 8 + x) as usize]));
            check(&Palette::of(&picture))?;
            prop_assert_eq!(Palette::of(&picture), Palette::of(&picture));
        }
    }
}
