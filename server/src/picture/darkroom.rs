//! The thread that makes pictures: for each track that is to be heard, and for each screen that wants another size. What an
//! edge gets from its origin is looked at here as well.
//!
//! A track never waits for its picture: it is told when it is there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Picture, Shape, develop};
use crate::errand::Errand;
use crate::fanout::hub::Hub;
use crate::source::{PictureId, cover};

/// Most prints that are asked for at a time. Who asks when there are more asks again.
const WISHES_MAX: usize = 64;

/// Most files of which is remembered what their picture is. When full, all are forgotten.
const FILES_MAX: usize = 1_024;

/// Most runs of which is remembered that they have no picture: several times what the group holds.
const RUNS_MAX: usize = 256;

/// Most pictures of an origin that wait to be looked at. They are asked for one by one: when full, the origin sends what
/// nobody asked for.
const LOANS_MAX: usize = 4;

/// A picture in the shape that some screen wants.
pub(crate) type Wish = (PictureId, Shape);

/// What an origin sent as the picture of that name.
type Loan = (PictureId, Bytes);

/// What asks for pictures.
#[derive(Debug)]
pub(crate) struct Darkroom {
    wishes: Arc<Mutex<BTreeSet<Wish>>>,
    loans: Arc<Mutex<VecDeque<Loan>>>,
    errand: Errand,
}

impl Darkroom {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system's, when it has no thread to give.
    pub(crate) fn open(hub: &Arc<Hub>) -> io::Result<Self> {
        let (wishes, loans) = (Arc::default(), Arc::default());
        let mut bench = Bench {
            hub: Arc::clone(hub),
            wishes: Arc::clone(&wishes),
            loans: Arc::clone(&loans),
            bare: VecDeque::new(),
            known: BTreeMap::new(),
        };
        let errand = Errand::start("darkroom", hub.changes(), move || bench.work())?;
        Ok(Self { wishes, loans, errand })
    }

    /// Asks for a print. It is in the gallery some time later; if it is not, ask again.
    pub(crate) fn ask(&self, wish: Wish) {
        let mut wishes = lock(&self.wishes);
        if wishes.len() < WISHES_MAX && wishes.insert(wish) {
            drop(wishes);
            self.errand.wake();
        }
    }

    /// Takes what the origin sent as a picture. If it is that one, it is in the gallery some time later.
    #[cfg(feature = "cluster")]
    pub(crate) fn borrow(&self, id: PictureId, jpeg: Bytes) {
        let mut loans = lock(&self.loans);
        if loans.len() < LOANS_MAX {
            loans.push_back((id, jpeg));
            drop(loans);
            self.errand.wake();
        }
    }
}

/// What the thread has before it.
struct Bench {
    hub: Arc<Hub>,
    wishes: Arc<Mutex<BTreeSet<Wish>>>,
    loans: Arc<Mutex<VecDeque<Loan>>>,
    /// Runs that turned out to have no picture.
    bare: VecDeque<u64>,
    /// Which picture a file has, if any. Until the server ends, or there are too many: one that is put beside a file later
    /// is not noticed.
    known: BTreeMap<Arc<Path>, Option<PictureId>>,
}

impl Bench {
    /// Does all there is to do.
    fn work(&mut self) {
        loop {
            if let Some(wish) = self.next_wish() {
                self.print(wish);
            } else if let Some(loan) = self.next_loan() {
                self.examine(loan);
            } else if let Some((run, file)) = self.next_file() {
                self.illustrate(run, &file);
            } else {
                return;
            }
        }
    }

    fn next_wish(&self) -> Option<Wish> {
        lock(&self.wishes).first().copied()
    }

    fn print(&self, (id, shape): Wish) {
        let picture = self.hub.stage().gallery.get(id).cloned();
        if let Some(picture) = picture {
            let print = develop::print(&picture.jpeg, shape);
            let print = print.inspect_err(|error| tracing::error!(%id, ?shape, %error, "no print"));
            let bytes = print.map(Bytes::from).unwrap_or_default();
            self.hub.show(|stage| stage.gallery.add_print(id, shape, bytes));
        }
        // Now, and not before: nobody asks for it in between.
        lock(&self.wishes).remove(&(id, shape));
    }

    fn next_loan(&self) -> Option<Loan> {
        lock(&self.loans).pop_front()
    }

    /// Hangs what the origin sent, if it is what it was asked for.
    fn examine(&self, (id, jpeg): Loan) {
        match develop::keep(jpeg) {
            Ok(picture) if picture.id == id => {
                let picture = Arc::new(picture);
                self.hub.show(|stage| stage.gallery.hang(picture));
            }
            Ok(_) => tracing::warn!(%id, "another picture from the origin; not shown"),
            Err(reason) => {
                tracing::warn!(%id, %reason, "a picture from the origin is not shown");
            }
        }
    }

    fn next_file(&self) -> Option<(u64, Arc<Path>)> {
        let stage = self.hub.stage();
        let next = stage.group.unseen().find(|(run, _)| !self.bare.contains(run));
        next.map(|(run, file)| (run, Arc::clone(file)))
    }

    /// Finds the picture of a run's file and shows it.
    fn illustrate(&mut self, run: u64, file: &Arc<Path>) {
        let picture = match self.known.get(file) {
            Some(None) => None,
            Some(Some(id)) => {
                let held = self.hub.stage().gallery.get(*id).cloned();
                held.or_else(|| find(file))
            }
            None => find(file),
        };
        if self.known.len() >= FILES_MAX {
            self.known.clear();
        }
        self.known.insert(Arc::clone(file), picture.as_ref().map(|picture| picture.id));
        let Some(picture) = picture else {
            if self.bare.len() >= RUNS_MAX {
                self.bare.pop_front();
            }
            return self.bare.push_back(run);
        };
        self.hub.show(|stage| {
            stage.group.illustrate(run, picture.id);
            stage.gallery.hang(picture);
        });
    }
}

/// The first of a file's pictures that is one.
fn find(file: &Path) -> Option<Arc<Picture>> {
    cover::candidates(file).find_map(|bytes| match develop::develop(&bytes) {
        Ok(picture) => Some(Arc::new(picture)),
        Err(reason) => {
            tracing::warn!(?file, %reason, "a picture is not shown");
            None
        }
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Guards plain data that is whole between any two statements that could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Group;
    use crate::picture::gallery::tests::picture;
    use crate::session::Identity;
    use image::{DynamicImage, ImageFormat, RgbImage};
    use std::io::Cursor;

    #[test]
    fn what_an_origin_sends_hangs_under_its_own_name_or_not_at_all() {
        let group = Group::new(String::new(), String::new());
        let mut bench = Bench {
            hub: Arc::new(Hub::new(Identity::default(), group)),
            wishes: Arc::default(),
            loans: Arc::default(),
            bare: VecDeque::new(),
            known: BTreeMap::new(),
        };
        let mut bytes = Vec::new();
        let pixels = DynamicImage::from(RgbImage::from_pixel(8, 8, image::Rgb([9, 99, 199])));
        pixels.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        let sent = develop::develop(&bytes).unwrap();
        for (id, jpeg) in [
            (picture(1).id, sent.jpeg.clone()),
            (sent.id, Bytes::from_static(b"no picture")),
            (sent.id, Bytes::from(bytes)),
        ] {
            lock(&bench.loans).push_back((id, jpeg));
            bench.work();
            assert!(
                [id, sent.id].map(|id| bench.hub.stage().gallery.get(id).is_none()) == [true; 2]
            );
        }
        lock(&bench.loans).push_back((sent.id, sent.jpeg.clone()));
        bench.work();
        assert_eq!(bench.hub.stage().gallery.get(sent.id).map(AsRef::as_ref), Some(&sent));
    }
}
