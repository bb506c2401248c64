//! The pictures that can be shown, and their prints. A bounded number: the oldest goes, and is made again when its track
//! begins once more. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::{Picture, Shape};
use crate::source::PictureId;

/// Most pictures held: an evening's albums, some 10 MB.
const PICTURES_MAX: usize = 64;

/// Most prints held, at 200 kB at most. Screens of one kind want the same.
const PRINTS_MAX: usize = 32;

/// What hangs on the walls.
#[derive(Debug, Default)]
pub(crate) struct Gallery {
    /// The newest comes last.
    pictures: VecDeque<Arc<Picture>>,
    /// As well.
    prints: VecDeque<Print>,
}

#[derive(Debug)]
struct Print {
    of: PictureId,
    shape: Shape,
    bytes: Bytes,
}

impl Gallery {
    /// Adds a picture, or makes one that is there the newest.
    pub(crate) fn hang(&mut self, picture: Arc<Picture>) {
        self.pictures.retain(|other| other.id != picture.id);
        if self.pictures.len() >= PICTURES_MAX {
            self.pictures.pop_front();
        }
        self.pictures.push_back(picture);
    }

    /// The picture with that name, if it is there.
    pub(crate) fn get(&self, id: PictureId) -> Option<&Arc<Picture>> {
        self.pictures.iter().find(|picture| picture.id == id)
    }

    /// Adds a print. One without bytes says that there can be none.
    pub(crate) fn add_print(&mut self, of: PictureId, shape: Shape, bytes: Bytes) {
        self.prints.retain(|print| (print.of, print.shape) != (of, shape));
        if self.prints.len() >= PRINTS_MAX {
            self.prints.pop_front();
        }
        self.prints.push_back(Print { of, shape, bytes });
    }

    /// The print of that picture in that shape, if it is there.
    pub(crate) fn print(&self, of: PictureId, shape: Shape) -> Option<&Bytes> {
        let found = self.prints.iter().find(|print| (print.of, print.shape) == (of, shape));
        found.map(|print| &print.bytes)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::picture::palette::Palette;
    use image::RgbImage;
    use protocol::message::ImageFormat;

    /// A picture of which only the name matters.
    pub(crate) fn picture(number: u8) -> Arc<Picture> {
        let palette = Palette::of(&RgbImage::new(1, 1));
        let jpeg = Bytes::from(vec![number]);
        Arc::new(Picture { id: PictureId::new([number; 16]), jpeg, palette })
    }

    #[test]
    fn the_oldest_goes() {
        let mut gallery = Gallery::default();
        for number in 0..64 {
            gallery.hang(picture(number));
        }
        gallery.hang(picture(0));
        gallery.hang(picture(64));
        let held = [0, 1, 2, 64].map(|number| gallery.get(picture(number).id).is_some());
        assert_eq!(held, [true, false, true, true]);
    }

    #[test]
    fn a_print_is_of_one_picture_in_one_shape() {
        let mut gallery = Gallery::default();
        let shape = |width| Shape::nearest(ImageFormat::Jpeg, width, 100);
        for width in 100..140 {
            gallery.add_print(picture(1).id, shape(width), Bytes::from_static(b"one"));
        }
        gallery.add_print(picture(1).id, shape(139), Bytes::from_static(b"other"));
        assert_eq!(gallery.print(picture(1).id, shape(139)).unwrap(), "other");
        assert!(gallery.print(picture(2).id, shape(139)).is_none());
        assert!(gallery.print(picture(1).id, shape(100)).is_none());
        assert_eq!(gallery.prints.len(), PRINTS_MAX);
    }
}
