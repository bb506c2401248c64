//! From the bytes of a stranger to a picture, and from a picture to what a screen wants.
//!
//! Limits come before decoding, and every decode is guarded: a crafted picture may cost its own track its picture, and
//! nothing else. Pure.

use std::borrow::Cow;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use image::codecs::bmp::BmpEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::imageops::{self, FilterType};
use image::{
    DynamicImage, ExtendedColorType, GenericImageView, ImageDecoder, ImageEncoder, ImageError,
    ImageFormat as FileFormat, ImageReader, Limits, RgbImage,
};
use protocol::message::ImageFormat;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::palette::Palette;
use super::{Picture, Shape};
use crate::source::PictureId;
use crate::source::cover::PICTURE_BYTES_MAX;

/// Longest side of a picture that is decoded, pixels: 600 dpi of a record's sleeve and more are not needed for a screen.
const SIDE_MAX: u32 = 6_000;

/// Most pixels of a picture that is decoded. At four bytes each, they are a quarter of [`ALLOC_BYTES_MAX`].
const PIXELS_MAX: u64 = 24_000_000;

/// Most memory that a decoder may ask for, bytes.
const ALLOC_BYTES_MAX: u64 = 384 << 20;

/// Longest side of a picture as it is kept, pixels: a phone's width at twice its density, nearly.
const KEPT_SIDE_MAX: u32 = 640;

/// Quality of JPEG pictures, of 100 (wire reference 3.3: what the reference server has).
const QUALITY: u8 = 85;

/// What is tried in turn until a picture is small enough: how many pixels become one on a side, and the quality. What still
/// has too many bytes at a middling quality is noise, and nobody misses its detail.
const ATTEMPTS: [(u32, u8); 6] = [(1, QUALITY), (1, 70), (1, 50), (1, 25), (2, 50), (4, 50)];

/// Most bytes of a picture that is sent over a connection, where time replies wait behind it: a fifth of a second on a link
/// that carries ten times what the sound needs.
const PRINT_BYTES_MAX: usize = 200_000;

/// Most bytes of a picture as it is kept, and as an edge gets it in one message. A photograph with much detail has a quarter.
pub(crate) const KEPT_BYTES_MAX: usize = 600_000;

/// Why there is no picture.
#[derive(Debug, Error)]
pub(crate) enum Spoiled {
    /// It is too large to be looked at.
    #[error("{0} bytes; expected {PICTURE_BYTES_MAX} at most")]
    Bytes(usize),
    /// It is none that this server would keep.
    #[error(
        "{bytes} bytes, {width} × {height} pixels; expected {KEPT_BYTES_MAX} and {KEPT_SIDE_MAX} on a side at most"
    )]
    Kept {
        /// Of the file.
        bytes: usize,
        /// Pixels; 0 when that was not looked at.
        width: u32,
        /// As well.
        height: u32,
    },
    /// It is none of the kinds that are decoded.
    #[error("not recognised; expected a JPEG, PNG, WebP or BMP")]
    Kind,
    /// It has too many pixels.
    #[error("{0} × {1} pixels; expected {SIDE_MAX} at most on a side and {PIXELS_MAX} in all")]
    Size(u32, u32),
    /// Its decoder says so.
    #[error("it cannot be decoded: {0}")]
    Image(#[from] ImageError),
    /// A decoder gave up in a way it should not.
    #[error("the decoder failed on it")]
    Decoder,
}

/// Makes a picture of the bytes of a file.
///
/// # Errors
///
/// [`Spoiled`].
pub(crate) fn develop(bytes: &[u8]) -> Result<Picture, Spoiled> {
    let pixels = catch(|| decode(bytes))??;
    let is_large = pixels.width().max(pixels.height()) > KEPT_SIDE_MAX;
    let pixels = if is_large { fit(&pixels, KEPT_SIDE_MAX, KEPT_SIDE_MAX) } else { pixels };
    keep(jpeg_within(&pixels, KEPT_BYTES_MAX)?.into())
}

/// Makes a picture of a JPEG that [`develop`] made, here or at an origin: its name and its colours follow from the bytes.
///
/// # Errors
///
/// [`Spoiled`], when it is none that could have been made there.
pub(crate) fn keep(jpeg: Bytes) -> Result<Picture, Spoiled> {
    let unfit = |(width, height)| Spoiled::Kept { bytes: jpeg.len(), width, height };
    if jpeg.len() > KEPT_BYTES_MAX {
        return Err(unfit((0, 0)));
    }
    if image::guess_format(&jpeg).ok() != Some(FileFormat::Jpeg) {
        return Err(Spoiled::Kind);
    }
    let pixels = catch(|| decode(&jpeg))??;
    if pixels.width().max(pixels.height()) > KEPT_SIDE_MAX {
        return Err(unfit(pixels.dimensions()));
    }
    let digest = Sha256::digest(&jpeg);
    let id = digest.first_chunk().copied().unwrap_or_default();
    Ok(Picture { id: PictureId::new(id), palette: Palette::of(&pixels), jpeg })
}

/// Makes what a screen wants of one of our own pictures: exactly as large, the whole picture, black around it.
///
/// # Errors
///
/// [`Spoiled`], which for one of our own would be a mistake of ours.
pub(crate) fn print(picture: &[u8], shape: Shape) -> Result<Vec<u8>, Spoiled> {
    let pixels = catch(|| decode(picture))??;
    let fitted = fit(&pixels, shape.width, shape.height);
    let mut paper = RgbImage::new(shape.width, shape.height);
    let left = (shape.width - fitted.width()) / 2;
    let top = (shape.height - fitted.height()) / 2;
    imageops::replace(&mut paper, &fitted, i64::from(left), i64::from(top));
    match shape.format {
        ImageFormat::Jpeg => jpeg_within(&paper, PRINT_BYTES_MAX),
        ImageFormat::Png => {
            let mut bytes = Vec::new();
            write(&paper, PngEncoder::new(&mut bytes))?;
            Ok(bytes)
        }
        ImageFormat::Bmp => {
            let mut bytes = Vec::new();
            write(&paper, BmpEncoder::new(&mut bytes))?;
            Ok(bytes)
        }
    }
}

/// The same size with the detail of a smaller one.
fn coarse(pixels: &RgbImage, by: u32) -> Cow<'_, RgbImage> {
    if by <= 1 {
        return Cow::Borrowed(pixels);
    }
    let (width, height) = pixels.dimensions();
    let small = imageops::thumbnail(pixels, (width / by).max(1), (height / by).max(1));
    Cow::Owned(imageops::resize(&small, width, height, FilterType::Triangle))
}

/// Runs a call into a decoder and turns a panic in it into an error.
///
/// `AssertUnwindSafe`: nothing outlives the call but its result.
fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Spoiled> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| Spoiled::Decoder)
}

/// The pixels, upright and opaque.
fn decode(bytes: &[u8]) -> Result<RgbImage, Spoiled> {
    if bytes.len() > PICTURE_BYTES_MAX {
        return Err(Spoiled::Bytes(bytes.len()));
    }
    let kind = image::guess_format(bytes).map_err(|_| Spoiled::Kind)?;
    if !matches!(kind, FileFormat::Jpeg | FileFormat::Png | FileFormat::WebP | FileFormat::Bmp) {
        return Err(Spoiled::Kind);
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), kind);
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(ALLOC_BYTES_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let is_within = width.max(height) <= SIDE_MAX
        && u64::from(width) * u64::from(height) <= PIXELS_MAX
        && decoder.total_bytes() <= ALLOC_BYTES_MAX;
    if width == 0 || height == 0 || !is_within {
        return Err(Spoiled::Size(width, height));
    }
    let orientation = decoder.orientation().ok();
    let mut pixels = small(DynamicImage::from_decoder(decoder)?);
    if let Some(orientation) = orientation {
        pixels.apply_orientation(orientation);
    }
    Ok(opaque(&pixels))
}

/// The same with sides of twice what is kept at most: what comes after that costs the same for every picture.
fn small(pixels: DynamicImage) -> DynamicImage {
    let side = 2 * KEPT_SIDE_MAX;
    if pixels.width().max(pixels.height()) <= side {
        return pixels;
    }
    let (width, height) = within(pixels.dimensions(), side, side);
    pixels.thumbnail_exact(width, height)
}

/// What shines through is black, as is what is around it.
fn opaque(pixels: &DynamicImage) -> RgbImage {
    if !pixels.color().has_alpha() {
        return pixels.to_rgb8();
    }
    let source = pixels.to_rgba8();
    RgbImage::from_fn(source.width(), source.height(), |x, y| {
        let [color @ .., alpha] = source.get_pixel(x, y).0;
        image::Rgb(color.map(|part| (u16::from(part) * u16::from(alpha) / 255) as u8))
    })
}

/// The picture as large as it can be within that, with its sides in the same ratio.
fn fit(pixels: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (width, height) = within(pixels.dimensions(), width, height);
    if (width, height) == pixels.dimensions() {
        return pixels.clone();
    }
    imageops::resize(pixels, width, height, FilterType::CatmullRom)
}

fn within((width, height): (u32, u32), width_max: u32, height_max: u32) -> (u32, u32) {
    let scale =
        (f64::from(width_max) / f64::from(width)).min(f64::from(height_max) / f64::from(height));
    let scaled = |side: u32, max: u32| ((f64::from(side) * scale).round() as u32).clamp(1, max);
    (scaled(width, width_max), scaled(height, height_max))
}

/// A JPEG of so many bytes at most, unless it is noise beyond all measure.
fn jpeg_within(pixels: &RgbImage, bytes_max: usize) -> Result<Vec<u8>, Spoiled> {
    let mut smallest = Vec::new();
    for (by, quality) in ATTEMPTS {
        smallest = jpeg(&coarse(pixels, by), quality)?;
        if smallest.len() <= bytes_max {
            break;
        }
    }
    Ok(smallest)
}

fn jpeg(pixels: &RgbImage, quality: u8) -> Result<Vec<u8>, Spoiled> {
    let mut bytes = Vec::new();
    write(pixels, JpegEncoder::new_with_quality(&mut bytes, quality))?;
    Ok(bytes)
}

fn write(pixels: &RgbImage, encoder: impl ImageEncoder) -> Result<(), ImageError> {
    encoder.write_image(pixels, pixels.width(), pixels.height(), ExtendedColorType::Rgb8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A picture with detail everywhere, which compresses badly.
    fn noise(width: u32, height: u32) -> RgbImage {
        let mut state = 1_u32;
        RgbImage::from_fn(width, height, |_, _| {
            image::Rgb([(); 3].map(|()| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            }))
        })
    }

    fn plain(width: u32, height: u32, color: [u8; 3]) -> RgbImage {
        RgbImage::from_pixel(width, height, image::Rgb(color))
    }

    fn png(pixels: &RgbImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(pixels, PngEncoder::new(&mut bytes)).unwrap();
        bytes
    }

    fn is_near(pixel: image::Rgb<u8>, color: [u8; 3]) -> bool {
        pixel.0.iter().zip(color).all(|(part, wanted)| part.abs_diff(wanted) < 16)
    }

    #[test]
    fn what_is_kept_is_ours_and_small() {
        let source = png(&noise(900, 300));
        let picture = develop(&source).unwrap();
        let kept = image::load_from_memory_with_format(&picture.jpeg, FileFormat::Jpeg).unwrap();
        assert_eq!(kept.dimensions(), (640, 213));
        assert_eq!(develop(&source).unwrap(), picture);
        assert_ne!(develop(&png(&noise(901, 300))).unwrap().id, picture.id);
        // Small ones are not made larger.
        let small = develop(&png(&plain(20, 10, [1, 2, 3]))).unwrap();
        assert_eq!(image::load_from_memory(&small.jpeg).unwrap().dimensions(), (20, 10));
    }

    #[test]
    fn nothing_that_hides_in_a_picture_is_passed_on() {
        let mut source = Vec::new();
        write(&plain(64, 64, [9, 99, 199]), JpegEncoder::new(&mut source)).unwrap();
        // A comment behind the first marker, and bytes behind the last.
        let secret = b"home address";
        let mut hidden = source[..2].to_vec();
        hidden.extend([0xff, 0xfe, 0, secret.len() as u8 + 2]);
        hidden.extend(secret);
        hidden.extend(&source[2..]);
        hidden.extend(secret);
        let picture = develop(&hidden).unwrap();
        assert!(!picture.jpeg.windows(secret.len()).any(|bytes| bytes == secret));
        assert_eq!(picture, develop(&source).unwrap());
    }

    #[test]
    fn a_print_is_exactly_as_large_as_asked_for_and_has_black_around_it() {
        let color = [200, 40, 90];
        let picture = develop(&png(&plain(100, 50, color))).unwrap();
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp] {
            let shape = Shape { format, width: 64, height: 64 };
            let print = print(&picture.jpeg, shape).unwrap();
            let seen = image::load_from_memory(&print).unwrap().to_rgb8();
            assert_eq!(seen.dimensions(), (64, 64));
            assert!(is_near(*seen.get_pixel(32, 32), color), "{format:?}");
            assert!(is_near(*seen.get_pixel(32, 2), [0; 3]), "{format:?}");
        }
    }

    #[test]
    fn a_print_is_never_large() {
        let picture = develop(&png(&noise(640, 640))).unwrap();
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp] {
            let print = print(&picture.jpeg, Shape::nearest(format, 1_024, 1_024)).unwrap();
            assert!(print.len() <= PRINT_BYTES_MAX, "{format:?}: {}", print.len());
        }
    }

    #[test]
    fn what_an_edge_gets_is_the_same_picture_and_nothing_else_is_taken_for_one() {
        let picture = develop(&png(&noise(640, 640))).unwrap();
        assert!(picture.jpeg.len() <= KEPT_BYTES_MAX, "{}", picture.jpeg.len());
        assert_eq!(keep(picture.jpeg.clone()).unwrap(), picture);
        let long = [&picture.jpeg[..], &vec![0; KEPT_BYTES_MAX]].concat();
        assert!(matches!(keep(long.into()), Err(Spoiled::Kept { .. })));
        let large = jpeg(&plain(641, 10, [0; 3]), QUALITY).unwrap();
        assert!(matches!(keep(large.into()), Err(Spoiled::Kept { width: 641, .. })));
        assert!(matches!(keep(png(&plain(9, 9, [0; 3])).into()), Err(Spoiled::Kind)));
        assert!(keep(picture.jpeg.slice(..300)).is_err());
    }

    #[test]
    fn what_shines_through_is_black() {
        let glass = image::RgbaImage::from_pixel(8, 8, image::Rgba([255, 255, 255, 0]));
        let mut bytes = Vec::new();
        DynamicImage::from(glass).write_to(&mut Cursor::new(&mut bytes), FileFormat::Png).unwrap();
        let picture = develop(&bytes).unwrap();
        let seen = image::load_from_memory(&picture.jpeg).unwrap().to_rgb8();
        assert!(is_near(*seen.get_pixel(4, 4), [0; 3]));
    }

    #[test]
    fn bombs_are_refused_before_they_are_decoded() {
        // Headers that promise more than there is.
        let promising = |width: i32, height: i32| {
            let mut bytes = Vec::new();
            write(&plain(1, 1, [0; 3]), BmpEncoder::new(&mut bytes)).unwrap();
            bytes[18..22].copy_from_slice(&width.to_le_bytes());
            bytes[22..26].copy_from_slice(&height.to_le_bytes());
            bytes
        };
        assert!(develop(&promising(1, 1)).is_ok());
        for (width, height) in [(60_000, 60_000), (6_001, 1), (1, i32::MAX), (i32::MAX, i32::MIN)] {
            assert!(develop(&promising(width, height)).is_err(), "{width} × {height}");
        }
        // Within the sides, beyond the pixels.
        let wide = develop(&promising(5_900, 4_100));
        assert!(matches!(wide, Err(Spoiled::Size(5_900, 4_100))), "{wide:?}");
        assert!(matches!(develop(&vec![0; PICTURE_BYTES_MAX + 1]), Err(Spoiled::Bytes(_))));
        for other in [&b"GIF89a\x01\0\x01\0"[..], b"<svg/>", b""] {
            assert!(matches!(develop(other), Err(Spoiled::Kind)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_damage_panics(
            kind in 0..4,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let kinds = [FileFormat::Jpeg, FileFormat::Png, FileFormat::WebP, FileFormat::Bmp];
            let mut bytes = Vec::new();
            let pixels = DynamicImage::from(noise(24, 24));
            pixels.write_to(&mut Cursor::new(&mut bytes), kinds[kind as usize]).unwrap();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = decode(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            let _ = decode(&bytes);
        }
    }
}
