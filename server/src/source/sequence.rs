//! Plays sources one after another, as one stream without joints.
//!
//! Samples that need no conversion pass through as they are. Others go through one [`Resampler`] that is
//! kept as long as the rate stays the same, across tracks and across the loop point: the filter sees one
//! endless recording, so there is no click and no gap, and rounding does not add up. When the rate
//! changes, the old one is run empty and a new one begins.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use tracing::warn;

use super::demo::Demo;
use super::file::{Block, MediaFile};
use super::live::{Given, Input, LiveOptions, Stream};
use super::metronome::Metronome;
use super::resample::Resampler;
use super::track::Track;
use super::{
    CHANNELS, Fault, PCM_FRAMES_MAX, Pcm, RATE_HZ, Read, Run, Source, SourceError, SourceName,
    SourceSpec,
};

/// Shortest list that may be looped, in frames of the sources: 10 ms at the lowest usual rate. Each round
/// opens the file anew, which must not become the main occupation.
const LOOP_FRAMES_MIN: u64 = 480;

/// One entry of the list.
pub(super) enum Item {
    /// The built-in track.
    Demo(Demo),
    /// The built-in metronome.
    Metronome(Metronome),
    /// A file that has been found playable.
    File(Box<MediaFile>),
    /// What comes as it is made, or from far away.
    Stream(Box<Stream>, SourceName),
}

impl Item {
    /// Opens what `spec` names.
    ///
    /// # Errors
    ///
    /// [`SourceError::Unplayable`].
    pub(super) fn open(spec: &SourceSpec, live: LiveOptions) -> Result<Self, SourceError> {
        let stream = |input: Result<Input, Fault>, name: SourceName| match input
            .and_then(|input| Stream::open(input, name.to_string(), live))
        {
            Ok(stream) => Ok(Self::Stream(Box::new(stream), name)),
            Err(fault) => Err(SourceError::Unplayable { name, fault }),
        };
        match spec {
            SourceSpec::Demo => Ok(Self::Demo(Demo::new())),
            SourceSpec::Metronome => Ok(Self::Metronome(Metronome::new())),
            SourceSpec::File(path) => match MediaFile::open(path) {
                Ok(file) => Ok(Self::File(Box::new(file))),
                Err(fault) => stream(Input::foreign(path, fault), SourceName::File(path.clone())),
            },
            SourceSpec::Http(url) => stream(Input::http(url), SourceName::Stream(url.clone())),
            SourceSpec::Stdin => {
                stream(Ok(Input::Stdin), SourceName::Stream("standard input".to_owned()))
            }
            SourceSpec::Fifo(path) => {
                stream(Ok(Input::Fifo(path.clone())), SourceName::File(path.clone()))
            }
            SourceSpec::Exec(command) => {
                stream(Input::exec(command), SourceName::Stream(format!("exec:{command}")))
            }
        }
    }

    fn rewind(&mut self) -> Result<(), Fault> {
        match self {
            Self::Demo(demo) => {
                demo.rewind();
                Ok(())
            }
            Self::Metronome(metronome) => {
                metronome.rewind();
                Ok(())
            }
            Self::File(file) => file.rewind(),
            Self::Stream(stream, _) => stream.rewind(),
        }
    }

    /// The next samples, when what was given before lasts for `ahead`.
    fn next_block(&mut self, ahead: Duration) -> Result<Given, Fault> {
        let block = match self {
            Self::Demo(demo) => demo.next_block(),
            Self::Metronome(metronome) => metronome.next_block(),
            Self::File(file) => file.next_block()?,
            Self::Stream(stream, _) => return stream.next_block(ahead),
        };
        Ok(block.map_or(Given::End, Given::Block))
    }

    /// Whether it can never give anything again.
    fn is_over(&self) -> bool {
        matches!(self, Self::Stream(stream, _) if stream.is_over())
    }

    fn track(&self) -> &Track {
        match self {
            Self::Demo(demo) => demo.track(),
            Self::Metronome(metronome) => metronome.track(),
            Self::File(file) => file.track(),
            Self::Stream(stream, _) => stream.track(),
        }
    }

    fn name(&self) -> SourceName {
        match self {
            Self::Demo(_) => SourceName::Demo,
            Self::Metronome(_) => SourceName::Metronome,
            Self::File(file) => SourceName::File(file.path().to_owned()),
            Self::Stream(_, name) => name.clone(),
        }
    }
}

/// A list of sources as one [`Source`].
pub(super) struct Sequence {
    items: Vec<Item>,
    looped: bool,
    /// Index of the item being decoded.
    current: usize,
    /// What is made of it.
    run: Arc<Run>,
    /// Frames the list has given since it last began.
    round_frames: u64,
    /// What went wrong last, and whose fault it was.
    last_failure: Option<(usize, Fault)>,
    converter: Option<Converter>,
    ready: Ready,
    /// How long that which was read lasts.
    ahead: Duration,
    /// Set when no more will become ready; holds the error until it has been told.
    end: Option<Result<(), SourceError>>,
}

impl Sequence {
    /// Begins with the first item and decodes its first frames.
    ///
    /// # Errors
    ///
    /// [`SourceError::NoSource`] for an empty list; otherwise when nothing in it plays, or all of it is
    /// too short to be looped.
    pub(super) fn start(mut items: Vec<Item>, looped: bool) -> Result<Self, SourceError> {
        let first = items.first_mut().ok_or(SourceError::NoSource)?;
        let last_failure = first.rewind().err().map(|fault| (0, fault));
        let run = Run { number: 0, track: Arc::new(first.track().clone()), from_ms: 0 };
        let mut sequence = Self {
            items,
            looped,
            current: 0,
            run: Arc::new(run),
            round_frames: 0,
            last_failure,
            converter: None,
            ready: Ready::default(),
            ahead: Duration::ZERO,
            end: None,
        };
        sequence.fill();
        match sequence.end {
            Some(Err(error)) if sequence.ready.is_empty() => Err(error),
            _ => Ok(sequence),
        }
    }

    /// Decodes until something is ready, nothing is there yet, or all has ended.
    fn fill(&mut self) {
        while self.ready.is_empty() && self.end.is_none() {
            match self.step() {
                Ok(true) => {}
                Ok(false) => return,
                Err(fault) => {
                    self.fail(fault);
                    self.advance();
                }
            }
        }
    }

    /// Decodes a block. Returns whether there may be more at once.
    fn step(&mut self) -> Result<bool, Fault> {
        let item = &mut self.items[self.current];
        let block = match item.next_block(self.ahead)? {
            Given::Block(block) => block,
            Given::NotYet => return Ok(false),
            Given::End => {
                self.advance();
                return Ok(true);
            }
        };
        if let Item::Stream(stream, _) = item
            && *self.run.track != **stream.track()
        {
            // Another title.
            let (number, track) = (self.run.number + 1, Arc::clone(stream.track()));
            self.run = Arc::new(Run { number, track, from_ms: 0 });
        }
        self.round_frames += (block.samples.len() / CHANNELS) as u64;
        self.take(&block)?;
        Ok(true)
    }

    fn take(&mut self, block: &Block) -> Result<(), Fault> {
        if self.converter.as_ref().is_some_and(|c| c.resampler.rate_hz() != block.rate_hz) {
            self.flush()?;
        }
        if block.rate_hz == RATE_HZ {
            self.ready.push(&self.run, &block.samples, block.resolution_bits);
            return Ok(());
        }
        let converter = match &mut self.converter {
            Some(converter) => converter,
            none => none.insert(Converter::new(block.rate_hz)?),
        };
        converter.push(&self.run, &block.samples, &mut self.ready)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        match self.converter.take() {
            Some(converter) => converter.finish(&mut self.ready),
            None => Ok(()),
        }
    }

    /// Goes to the next item, the first again at the end of a looped list.
    fn advance(&mut self) {
        self.current += 1;
        if self.current == self.items.len() {
            self.current = 0;
            if !self.looped || self.round_frames < LOOP_FRAMES_MIN {
                self.finish();
                return;
            }
            self.round_frames = 0;
        }
        let track = Arc::new(self.items[self.current].track().clone());
        self.run = Arc::new(Run { number: self.run.number + 1, track, from_ms: 0 });
        // A failure here is that of a track without frames: the next step finds it ended and moves on.
        if let Err(fault) = self.items[self.current].rewind() {
            self.fail(fault);
        }
    }

    /// Ends the stream: as it should, or because a whole round gave nothing worth looping.
    fn finish(&mut self) {
        if let Err(fault) = self.flush() {
            self.fail(fault);
        }
        self.current = self.items.len() - 1;
        let failure = match self.last_failure.take() {
            Some((item, fault)) if self.round_frames == 0 => Some((item, fault)),
            _ if self.items.iter().all(Item::is_over) => None,
            _ if self.looped => Some((self.current, Fault::TooShort)),
            _ => None,
        };
        self.end = Some(failure.map_or(Ok(()), |(item, fault)| {
            Err(SourceError::NothingLeft { name: self.items[item].name(), fault })
        }));
    }

    fn fail(&mut self, fault: Fault) {
        let name = self.items[self.current].name();
        warn!("{name} is passed over: {fault}");
        self.last_failure = Some((self.current, fault));
    }
}

impl Source for Sequence {
    fn read(&mut self, ahead: Duration) -> Result<Read, SourceError> {
        self.ahead = ahead;
        if self.ready.is_empty() && self.end.is_none() {
            let told = self.run().number;
            self.fill();
            if self.run().number != told {
                return Ok(Read::NotYet);
            }
        }
        let Some(pcm) = self.ready.pop() else {
            if self.end.is_none() {
                return Ok(Read::NotYet);
            }
            return match self.end.replace(Ok(())) {
                Some(Err(error)) => Err(error),
                _ => Ok(Read::End),
            };
        };
        let frames = (pcm.samples.len() / CHANNELS) as f64;
        self.ahead += Duration::from_secs_f64(frames / f64::from(RATE_HZ));
        // One ahead, so that `run` knows whose frames come next.
        self.fill();
        Ok(Read::Pcm(pcm))
    }

    fn run(&self) -> &Run {
        self.ready.run().unwrap_or(&self.run)
    }

    fn wake(&mut self, reader: Thread) {
        for item in &mut self.items {
            if let Item::Stream(stream, _) = item {
                stream.wake(&reader);
            }
        }
    }
}

/// Samples at the party's rate, cut to size and labelled with the run they belong to.
#[derive(Default)]
struct Ready(VecDeque<(Arc<Run>, Pcm)>);

impl Ready {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push(&mut self, run: &Arc<Run>, stereo: &[f32], resolution_bits: u32) {
        for samples in stereo.chunks(PCM_FRAMES_MAX * CHANNELS) {
            let pcm = Pcm { samples: samples.to_vec(), resolution_bits };
            self.0.push_back((Arc::clone(run), pcm));
        }
    }

    fn pop(&mut self) -> Option<Pcm> {
        self.0.pop_front().map(|(_, pcm)| pcm)
    }

    fn run(&self) -> Option<&Run> {
        self.0.front().map(|(run, _)| run.as_ref())
    }
}

/// A resampler that remembers where in its output one run ends and the next begins.
struct Converter {
    resampler: Resampler,
    /// Output frame at which a run begins, and the run. In order; the first is being given out.
    starts: VecDeque<(u64, Arc<Run>)>,
    frames_out: u64,
}

impl Converter {
    fn new(rate_hz: u32) -> Result<Self, Fault> {
        let resampler = Resampler::new(rate_hz)?;
        Ok(Self { resampler, starts: VecDeque::new(), frames_out: 0 })
    }

    fn push(&mut self, run: &Arc<Run>, stereo: &[f32], ready: &mut Ready) -> Result<(), Fault> {
        if self.starts.back().is_none_or(|(_, last)| last.number != run.number) {
            self.starts.push_back((self.resampler.position(), Arc::clone(run)));
        }
        let mut converted = Vec::new();
        self.resampler.push(stereo, &mut converted)?;
        self.hand_out(&converted, ready);
        Ok(())
    }

    fn finish(mut self, ready: &mut Ready) -> Result<(), Fault> {
        let mut converted = Vec::new();
        self.resampler.flush(&mut converted)?;
        self.hand_out(&converted, ready);
        Ok(())
    }

    fn hand_out(&mut self, mut converted: &[f32], ready: &mut Ready) {
        while let Some((_, run)) = self.starts.front() {
            let next_start = self.starts.get(1).map_or(u64::MAX, |(start, _)| *start);
            let frames = next_start.saturating_sub(self.frames_out);
            let samples = usize::try_from(frames).unwrap_or(usize::MAX).saturating_mul(CHANNELS);
            let (now, later) = converted.split_at(samples.min(converted.len()));
            ready.push(run, now, 24);
            self.frames_out += (now.len() / CHANNELS) as u64;
            converted = later;
            if self.frames_out < next_start {
                break;
            }
            self.starts.pop_front();
        }
    }
}
