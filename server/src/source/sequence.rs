//! Plays a list as one stream without joints.
//!
//! What comes when is for the [`Queue`], how it leaves for the [`Output`]. Here an entry is opened when its turn comes,
//! passed over when it fails, and left when somebody wants to hear something else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use protocol::message::Repeat;

use super::item::{Entry, Piece};
use super::meter::Meter;
use super::output::Output;
use super::queue::{Next, Queue};
use super::{
    Abilities, CHANNELS, Fault, Jump, NEXT_UP_MAX, Options, Order, RATE_HZ, Read, Run, Source,
    SourceError, Upcoming,
};

/// Shortest list that may be looped, in frames of the sources: 10 ms at the lowest usual rate. Each round
/// opens the file anew, which must not become the main occupation.
const LOOP_FRAMES_MIN: u64 = 480;

/// Runs that are remembered. What is heard was read some seconds ago, and few runs are shorter than 10 ms.
const RUNS_MAX: usize = 1_000;

/// What must be in hand before a coming file is looked at: opening one from a slow disk may take that long.
const LOOK_AHEAD_MIN: Duration = Duration::from_secs(1);

/// Coming entries that are measured before their turn, when asked to: more would be forgotten by a shuffle.
const MEASURED_AHEAD: usize = 3;

/// An opened list.
pub(super) struct Sequence {
    entries: Vec<Entry>,
    queue: Queue,
    /// The entry that is read.
    reading: usize,
    run: Arc<Run>,
    /// By what the samples of the run are multiplied: fixed, for nobody wants to hear it change.
    gain: f32,
    /// Numbers of past runs with the plays they belong to.
    runs: VecDeque<(u64, u64)>,
    /// Frames since the track began.
    pass_frames: u64,
    /// Frames since the round began.
    round_frames: u64,
    last_failure: Option<(usize, Fault)>,
    output: Output,
    /// How long that which was read lasts.
    ahead: Duration,
    /// Set when no more will become ready; holds the error until it has been told.
    end: Option<Result<(), SourceError>>,
    by_tags: bool,
    meter: Option<Meter>,
    reader: Option<Thread>,
}

impl Sequence {
    /// Begins with the first entry, or a random one, and decodes its first frames.
    ///
    /// # Errors
    ///
    /// [`SourceError::NoSource`] for an empty list; otherwise when nothing in it plays, or all of it is
    /// too short to be looped.
    pub(super) fn start(entries: Vec<Entry>, options: &Options) -> Result<Self, SourceError> {
        if entries.is_empty() {
            return Err(SourceError::NoSource);
        }
        let queue = Queue::new(entries.len(), options.order, options.seed);
        let reading = queue.entry();
        let run = Run { number: 0, track: Arc::clone(entries[reading].track()), from_ms: 0 };
        let mut sequence = Self {
            entries,
            queue,
            reading,
            run: Arc::new(run),
            gain: 1.0,
            runs: VecDeque::new(),
            pass_frames: 0,
            round_frames: 0,
            last_failure: None,
            output: Output::default(),
            ahead: Duration::ZERO,
            end: None,
            by_tags: options.replay_gain,
            meter: if options.normalize { Meter::start() } else { None },
            reader: None,
        };
        // On failure, the first step finds nothing open and moves on.
        if let Err(fault) = sequence.begin(0) {
            sequence.fail(fault);
        }
        sequence.fill();
        match sequence.end {
            Some(Err(error)) if sequence.output.is_empty() => Err(error),
            _ => Ok(sequence),
        }
    }

    /// Decodes until something is ready, has to be waited for, or all has ended.
    fn fill(&mut self) {
        while self.output.is_empty() && self.end.is_none() {
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

    /// Reads the present entry once. Returns whether it is worth to do so again.
    fn step(&mut self) -> Result<bool, Fault> {
        let ahead = self.ahead;
        let piece = match self.entries[self.reading].item() {
            Some(item) => item.next_piece(ahead)?,
            None => Piece::End,
        };
        let mut block = match piece {
            Piece::Block(block) => block,
            Piece::NotYet => return Ok(false),
            Piece::End => {
                self.advance();
                return Ok(true);
            }
        };
        if self.entries[self.reading].take_title() {
            self.note_run(0);
        }
        let frames = (block.samples.len() / CHANNELS) as u64;
        self.pass_frames += frames;
        self.round_frames += frames;
        if self.gain != 1.0 {
            block.samples.iter_mut().for_each(|sample| *sample *= self.gain);
            block.resolution_bits = 24;
        }
        self.output.push(&self.run, &block)?;
        Ok(true)
    }

    /// Goes to what comes after the end of a track.
    fn advance(&mut self) {
        let again = self.queue.order().repeat == Repeat::One && self.pass_frames >= LOOP_FRAMES_MIN;
        let next = if again { Next::Entry } else { self.queue.advance() };
        match next {
            Next::Entry => {}
            Next::Round if self.round_frames >= LOOP_FRAMES_MIN => self.round_frames = 0,
            Next::Round | Next::Nothing => return self.finish(next),
        }
        if let Err(fault) = self.begin(0) {
            // The next step finds nothing to read and moves on.
            self.fail(fault);
        }
    }

    /// Begins a run with the present entry of the queue.
    fn begin(&mut self, position_ms: u64) -> Result<(), Fault> {
        let entry = self.queue.entry();
        let last = self.reading;
        if last != entry {
            self.entries[last].close();
            self.reading = entry;
        }
        self.pass_frames = 0;
        let started = self.entries[entry].start(position_ms, self.reader.as_ref());
        if started.is_ok() {
            self.note_run(position_ms);
        } else {
            self.entries[entry].close();
        }
        started
    }

    /// What is read from now on is a new run.
    fn note_run(&mut self, from_ms: u64) {
        let number = self.runs.back().map_or(0, |(number, _)| number + 1);
        let entry = &self.entries[self.reading];
        self.run = Arc::new(Run { number, track: Arc::clone(entry.track()), from_ms });
        self.gain = entry.gain(self.by_tags);
        self.runs.push_back((number, self.queue.play()));
        if self.runs.len() > RUNS_MAX {
            self.runs.pop_front();
        }
    }

    /// Ends the stream: as it should, or because a whole round gave nothing worth looping.
    fn finish(&mut self, why: Next) {
        if let Err(fault) = self.output.flush() {
            self.fail(fault);
        }
        let failure = match self.last_failure.take() {
            Some((entry, fault)) if self.round_frames == 0 => Some((entry, fault)),
            _ if self.entries.iter().all(Entry::is_over) => None,
            _ if why == Next::Round => Some((self.reading, Fault::TooShort)),
            _ => None,
        };
        self.end = Some(failure.map_or(Ok(()), |(entry, fault)| {
            Err(SourceError::NothingLeft { name: self.entries[entry].name(), fault })
        }));
    }

    fn fail(&mut self, fault: Fault) {
        self.entries[self.reading].fail(&fault);
        self.last_failure = Some((self.reading, fault));
    }

    /// The play of a run that is remembered.
    fn play_of(&self, run: u64) -> Option<u64> {
        let first = self.runs.front()?.0;
        let index = usize::try_from(run.checked_sub(first)?).ok()?;
        self.runs.get(index).map(|(_, play)| *play)
    }

    /// Has the queue go where `jump` says, and the entry there play.
    fn find(&mut self, jump: Jump) -> bool {
        match jump {
            Jump::Entry { id } => {
                usize::try_from(id).is_ok_and(|entry| self.queue.choose(entry)) && self.land(0)
            }
            Jump::Seek { heard, position_ms } => {
                self.play_of(heard).is_some_and(|play| self.queue.go_to(play))
                    && self.entries[self.queue.entry()].can_seek()
                    && self.land(position_ms)
            }
            Jump::Next { heard } => {
                let known = self.play_of(heard).is_some_and(|play| self.queue.go_to(play));
                known
                    && (0..self.entries.len())
                        .any(|_| self.queue.advance() != Next::Nothing && self.land(0))
            }
            Jump::Previous { heard } => {
                let Some(play) = self.play_of(heard).filter(|play| self.queue.go_to(*play)) else {
                    return false;
                };
                while self.queue.back() {
                    if self.land(0) {
                        return true;
                    }
                }
                self.queue.go_to(play) && self.land(0)
            }
        }
    }

    /// Makes the present entry of the queue play. If it does not, what is read plays on.
    fn land(&mut self, position_ms: u64) -> bool {
        let entry = self.queue.entry();
        let length_ms = self.entries[entry].track().duration_ms.unwrap_or(u64::MAX);
        let position_ms = position_ms.min(length_ms);
        if let Err(fault) = self.entries[entry].start(position_ms, self.reader.as_ref()) {
            self.entries[entry].fail(&fault);
            if entry != self.reading {
                self.entries[entry].close();
            }
            return false;
        }
        if entry != self.reading {
            self.entries[self.reading].close();
            self.reading = entry;
        }
        self.output = Output::default();
        self.end = None;
        self.last_failure = None;
        // Somebody wanted it: whether it is long enough is seen in the next round.
        (self.pass_frames, self.round_frames) = (LOOP_FRAMES_MIN, LOOP_FRAMES_MIN);
        self.note_run(position_ms);
        true
    }

    /// Looks at one coming file whose title is not known yet.
    fn look_ahead(&mut self) {
        let unknown = |entry: &usize| self.entries[*entry].is_unknown();
        let Some(next) = self.queue.upcoming().take(NEXT_UP_MAX).find(unknown) else {
            return;
        };
        let entry = &mut self.entries[next];
        if let Err(fault) = entry.open() {
            entry.fail(&fault);
        }
        entry.close();
    }

    /// Has the loudness of what comes next measured, one file at a time.
    fn measure_ahead(&mut self) {
        let Some(meter) = &mut self.meter else {
            return;
        };
        if let Some((entry, factor)) = meter.result() {
            self.entries[entry].set_measured(factor);
        }
        let coming = self.queue.upcoming().take(MEASURED_AHEAD);
        // What comes is soon heard; what is read is measured for the next time.
        let mut soon = coming.chain([self.reading]);
        let unmeasured = soon.find_map(|entry| {
            self.entries[entry].unmeasured(self.by_tags).map(|path| (entry, path))
        });
        if let Some((entry, path)) = unmeasured {
            meter.ask(entry, path);
        }
    }
}

impl Source for Sequence {
    fn read(&mut self, ahead: Duration) -> Result<Read, SourceError> {
        self.ahead = ahead;
        let told = self.run().number;
        self.fill();
        if self.output.run().is_some_and(|run| run.number != told) {
            // What has been waited for never came, and something else is next: who reads has to be told first.
            self.reader.iter().for_each(Thread::unpark);
            return Ok(Read::NotYet);
        }
        let Some(pcm) = self.output.pop() else {
            return match &mut self.end {
                None => Ok(Read::NotYet),
                Some(end) => std::mem::replace(end, Ok(())).map(|()| Read::End),
            };
        };
        let frames = (pcm.samples.len() / CHANNELS) as f64;
        self.ahead += Duration::from_secs_f64(frames / f64::from(RATE_HZ));
        // One ahead, so that `run` knows whose frames come next.
        self.fill();
        self.measure_ahead();
        if ahead >= LOOK_AHEAD_MIN {
            self.look_ahead();
        }
        Ok(Read::Pcm(pcm))
    }

    fn run(&self) -> &Run {
        self.output.run().unwrap_or(&self.run)
    }

    fn abilities(&self) -> Abilities {
        let is_list = self.entries.len() > 1;
        let seek = self.entries[self.reading].can_seek();
        Abilities { skip: is_list, seek, order: is_list }
    }

    fn jump(&mut self, jump: Jump) -> bool {
        let before = self.queue.clone();
        let found = self.find(jump);
        if found {
            self.fill();
        } else {
            self.queue = before;
        }
        found
    }

    fn order(&self) -> Order {
        self.queue.order()
    }

    fn set_order(&mut self, order: Order) {
        self.queue.set_order(order);
    }

    fn next_up(&self) -> Vec<Upcoming> {
        let playable = self.queue.upcoming().filter(|entry| !self.entries[*entry].is_broken());
        let upcoming = |entry: usize| Upcoming {
            id: entry as u64,
            track: Arc::clone(self.entries[entry].track()),
        };
        playable.take(NEXT_UP_MAX).map(upcoming).collect()
    }

    fn wake(&mut self, reader: Thread) {
        self.entries[self.reading].wake(&reader);
        self.reader = Some(reader);
    }
}
