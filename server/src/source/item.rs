//! One entry of the list: what it is called, and what plays it once it is open.

use std::path::Path;
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use tracing::warn;

use super::demo::Demo;
use super::file::{Block, MediaFile};
use super::live::{Input, LiveOptions, Stream, title_of};
use super::metronome::Metronome;
use super::track::Track;
use super::{Fault, RATE_HZ, SourceName, SourceSpec};

/// What plays an entry.
pub(super) enum Item {
    /// The built-in track.
    Demo(Demo),
    /// The built-in metronome.
    Metronome(Metronome),
    /// A file that has been found playable.
    File(Box<MediaFile>),
    /// What comes as it is made, or from far away.
    Stream(Box<Stream>),
}

/// What an item gives.
pub(super) enum Piece {
    /// The next samples.
    Block(Block),
    /// Nothing is there yet, of what comes from elsewhere.
    NotYet,
    /// The track is over.
    End,
}

impl Item {
    /// Opens what `spec` names. `track` is what is known of it, for what it does not tell itself.
    ///
    /// What is `named` by a person has to play, and is waited for.
    fn open(
        spec: &SourceSpec,
        track: &Track,
        live: LiveOptions,
        is_named: bool,
    ) -> Result<Self, Fault> {
        let open = if is_named { Stream::open } else { Stream::open_listed };
        let stream = |input: Input| {
            let name = SourceName::from(spec).to_string();
            Ok(Self::Stream(Box::new(open(input, name, live)?)))
        };
        match spec {
            SourceSpec::Demo => Ok(Self::Demo(Demo::new())),
            SourceSpec::Metronome => Ok(Self::Metronome(Metronome::new())),
            SourceSpec::File(path) => match MediaFile::open(path, track.clone()) {
                Ok(file) => Ok(Self::File(Box::new(file))),
                Err(fault) => stream(Input::foreign(path, fault)?),
            },
            SourceSpec::Http(address) => stream(Input::http(address)?),
            SourceSpec::Stdin => stream(Input::Stdin),
            SourceSpec::Fifo(path) => stream(Input::Fifo(path.clone())),
            SourceSpec::Exec(command) => stream(Input::exec(command)?),
            // Taken apart before: what is left is a list in a list in a list.
            SourceSpec::Directory(_) | SourceSpec::Playlist(_) => Err(Fault::Nested),
        }
    }

    /// Whether positions in it can be gone to.
    fn can_seek(&self) -> bool {
        match self {
            Self::Demo(_) | Self::Metronome(_) | Self::File(_) => true,
            Self::Stream(_) => false,
        }
    }

    /// The next samples, when what was given before lasts for `ahead`.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when the rest cannot be played.
    pub(super) fn next_piece(&mut self, ahead: Duration) -> Result<Piece, Fault> {
        let block = match self {
            Self::Demo(demo) => demo.next_block(),
            Self::Metronome(metronome) => metronome.next_block(),
            Self::File(file) => file.next_block()?,
            Self::Stream(stream) => return stream.next_piece(ahead),
        };
        Ok(block.map_or(Piece::End, Piece::Block))
    }

    fn seek(&mut self, position_ms: u64) -> Result<(), Fault> {
        let frame = position_ms.saturating_mul(u64::from(RATE_HZ)) / 1_000;
        let frame = usize::try_from(frame).unwrap_or(usize::MAX);
        match self {
            Self::Demo(demo) => demo.seek(frame),
            Self::Metronome(metronome) => metronome.seek(frame),
            Self::File(file) if position_ms == 0 => file.rewind()?,
            Self::File(file) => file.seek(position_ms)?,
            Self::Stream(stream) => stream.rewind()?,
        }
        Ok(())
    }

    fn track(&self) -> &Track {
        match self {
            Self::Demo(demo) => demo.track(),
            Self::Metronome(metronome) => metronome.track(),
            Self::File(file) => file.track(),
            Self::Stream(stream) => stream.track(),
        }
    }

    fn gain(&self) -> Option<f32> {
        match self {
            Self::Demo(_) | Self::Metronome(_) | Self::Stream(_) => None,
            Self::File(file) => file.gain(),
        }
    }
}

/// One entry of the list.
pub(super) struct Entry {
    spec: SourceSpec,
    live: LiveOptions,
    /// Named by the person who started the party: it stays open, so that it plays on when it is deleted. What a list
    /// names is opened for its turn: there may be thousands.
    is_named: bool,
    item: Option<Item>,
    track: Arc<Track>,
    is_looked_at: bool,
    is_broken: bool,
    /// What its tags make of its loudness.
    tagged: Option<f32>,
    /// What measuring made of it.
    measured: Option<f32>,
}

impl Entry {
    /// What a person named: it has to play, so it is opened.
    ///
    /// # Errors
    ///
    /// Why it does not play.
    pub(super) fn named(spec: &SourceSpec, live: LiveOptions) -> Result<Self, Fault> {
        let mut entry = Self::listed(spec.clone(), None, live);
        entry.is_named = true;
        entry.open()?;
        Ok(entry)
    }

    /// What a list names, and what it says about it. Not looked at yet.
    pub(super) fn listed(spec: SourceSpec, track: Option<Track>, live: LiveOptions) -> Self {
        let mut track = track.unwrap_or_else(|| match &spec {
            SourceSpec::File(path) => Track::from_path(path),
            SourceSpec::Http(address) => Track::named(&title_of(address), None),
            _ => Track::named("", None),
        });
        if let SourceSpec::File(path) = &spec {
            // A title from the list says nothing of where its picture is.
            track.file = Some(path.as_path().into());
        }
        Self {
            spec,
            live,
            is_named: false,
            item: None,
            track: Arc::new(track),
            is_looked_at: false,
            is_broken: false,
            tagged: None,
            measured: None,
        }
    }

    /// How it is called in messages.
    pub(super) fn name(&self) -> SourceName {
        SourceName::from(&self.spec)
    }

    /// What is known about it.
    pub(super) fn track(&self) -> &Arc<Track> {
        &self.track
    }

    /// Whether it failed the last time.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// By what its samples are multiplied, as far as that is known; 1.0 changes nothing.
    pub(super) fn gain(&self, by_tags: bool) -> f32 {
        self.tagged.filter(|_| by_tags).or(self.measured).unwrap_or(1.0)
    }

    /// Notes what measuring found.
    pub(super) fn set_measured(&mut self, factor: f32) {
        self.measured = Some(factor);
    }

    /// The file to be measured, if there is need.
    pub(super) fn unmeasured(&self, by_tags: bool) -> Option<&Path> {
        let is_known = self.measured.is_some() || by_tags && self.tagged.is_some();
        match &self.spec {
            SourceSpec::File(path) if self.is_looked_at && !is_known && !self.is_broken => {
                Some(path)
            }
            _ => None,
        }
    }

    /// Whether there is more to know about it, which a look into its file would tell.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.spec, SourceSpec::File(_)) && !self.is_looked_at && !self.is_broken
    }

    /// Opens it if it is not, and takes over what it says about itself.
    ///
    /// # Errors
    ///
    /// Why it does not play.
    pub(super) fn open(&mut self) -> Result<&mut Item, Fault> {
        let item = match self.item.take() {
            Some(item) => item,
            None => Item::open(&self.spec, &self.track, self.live, self.is_named)?,
        };
        if item.track() != self.track.as_ref() {
            self.track = Arc::new(item.track().clone());
        }
        self.tagged = item.gain();
        self.is_looked_at = true;
        Ok(self.item.insert(item))
    }

    /// Makes it play from a position on, to be read by the thread `reader`. What it played before goes on if that fails.
    ///
    /// # Errors
    ///
    /// Why it does not play.
    pub(super) fn start(&mut self, position_ms: u64, reader: Option<&Thread>) -> Result<(), Fault> {
        self.open()?.seek(position_ms)?;
        self.is_broken = false;
        if let Some(reader) = reader {
            self.wake(reader);
        }
        Ok(())
    }

    /// Names the thread to unpark when something comes, for what has to be waited for.
    pub(super) fn wake(&mut self, reader: &Thread) {
        if let Some(Item::Stream(stream)) = &mut self.item {
            stream.wake(reader);
        }
    }

    /// Takes over the title of a stream. Returns whether it is another one.
    pub(super) fn take_title(&mut self) -> bool {
        match &self.item {
            Some(Item::Stream(stream)) if **stream.track() != *self.track => {
                self.track = Arc::clone(stream.track());
                true
            }
            _ => false,
        }
    }

    /// Whether it can never give anything again.
    pub(super) fn is_over(&self) -> bool {
        matches!(&self.item, Some(Item::Stream(stream)) if stream.is_over())
    }

    /// Whether positions in it can be gone to. What is not open has been played before, or will tell when it is.
    pub(super) fn can_seek(&self) -> bool {
        self.item.as_ref().is_none_or(Item::can_seek)
    }

    /// What plays it, while it is open.
    pub(super) fn item(&mut self) -> Option<&mut Item> {
        self.item.as_mut()
    }

    /// Its turn is over.
    pub(super) fn close(&mut self) {
        if !self.is_named {
            self.item = None;
        } else if let Some(Item::File(file)) = &mut self.item {
            file.stop();
        }
    }

    /// It does not play. Said once, until it does again: a list that is repeated would say it all night.
    pub(super) fn fail(&mut self, fault: &Fault) {
        if !self.is_broken {
            warn!("{} is passed over: {fault}", self.name());
        }
        self.is_broken = true;
    }
}
