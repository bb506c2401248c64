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

    /// Which pictures its tracks have, what is heard first.
    pub(crate) fn pictures(&self) -> impl Iterator<Item = PictureId> {
        self.program.marks.iter().filter_map(|mark| mark.track.artwork)
    }

    /// From now on, the track of that run has that picture.
    pub(crate) fn illustrate(&mut self, run: u64, picture: PictureId) {
        for mark in self.program.marks.iter_mut().filter(|mark| mark.run == run) {
            Arc::make_mut(&mut mark.track).artwork = Some(picture);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::fixture::at;
    use crate::group::TrackMark;
    use crate::source::Track;

    #[test]
    fn a_run_gets_its_picture_wherever_it_is_marked() {
        let mut group = Group::new("id".to_owned(), "name".to_owned());
        let mut mark = |run, file: Option<&str>| {
            let file = file.map(|file| Arc::from(Path::new(file)));
            let track = Arc::new(Track { file, ..Track::default() });
            group.mark(TrackMark { from: at(0), run, track, progress_ms: 0 }, at(-1));
        };
        // After a stall, a run is marked once more.
        for (run, file) in [(1, Some("one")), (2, None), (3, Some("three")), (1, Some("one"))] {
            mark(run, file);
        }
        let unseen = |group: &Group| group.unseen().map(|(run, _)| run).collect::<Vec<_>>();
        assert_eq!(unseen(&group), [1, 3, 1]);
        group.illustrate(1, PictureId::new([7; 16]));
        assert_eq!(unseen(&group), [3]);
        let json = serde_json::to_string(group.program()).unwrap();
        assert!(json.contains("0707") && !json.contains("three"), "{json}");
    }
}
