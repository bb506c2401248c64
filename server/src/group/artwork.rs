//! Which pictures a group's tracks have.

use std::path::Path;
use std::sync::Arc;

use super::Group;
use crate::source::PictureId;

impl Group {
    /// The runs whose track has no picture and may get one, and where that may be.
    pub(crate) fn unseen(&self) -> impl Iterator<Item = (u64, &Arc<Path>)> {
        let marks = self.program.marks.iter().filter(|mark| mark.track.artwork.is_none());
        marks.filter_map(|mark| Some((mark.run, mark.track.file.as_ref()?)))
    }

    /// From now on, the track of that run has that picture.
    pub(crate) fn illustrate(&mut self, run: u64, picture: PictureId) {
        for mark in self.program.marks.iter_mut().filter(|mark| mark.run == run) {
            Arc::make_mut(&mut mark.track).artwork = Some(picture);
        }
    }
}
