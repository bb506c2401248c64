//! The sink of plain `http` pages, where browsers have no worklet: one scheduled `AudioBufferSourceNode` for
//! each block.
//!
//! A node is told when to start and when to stop, on whole frames, and plays at the context's own rate, so
//! browsers copy its samples as they are.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use wasm_bindgen::JsValue;
use web_sys::{
    AudioBufferSourceNode, AudioNode, AudioScheduledSourceNode, BaseAudioContext, GainNode,
};

use super::{AHEAD_S_MAX, FADE_S, Sink, frames};
use crate::scheduler::Block;

/// Pieces that may be scheduled at once: [`AHEAD_S_MAX`] in blocks of 12 ms. More are not taken.
const PIECES_MAX: usize = 512;

/// Plays blocks through scheduled buffer sources.
#[derive(Debug)]
pub struct BufferSourceSink {
    context: BaseAudioContext,
    destination: AudioNode,
    /// Frames that the browser may render before it looks at what was scheduled.
    hurry: i64,
    scheduled: RefCell<Scheduled>,
}

#[derive(Debug, Default)]
struct Scheduled {
    /// Where the pieces sound; fades as a whole when all is forgotten.
    mix: Option<GainNode>,
    pieces: Vec<Piece>,
}

/// The part of a block that sounds on the context frames `span`.
#[derive(Debug)]
struct Piece {
    source: AudioBufferSourceNode,
    block: Rc<Block>,
    span: Range<i64>,
}

impl BufferSourceSink {
    /// A sink that sounds through `destination`.
    ///
    /// `hurry_s` is the longest time, in seconds, that the browser renders without looking at what was
    /// scheduled meanwhile. A frame that is nearer is not played: its node would start late, and with it
    /// every frame that follows.
    #[must_use]
    pub fn new(context: &BaseAudioContext, destination: &AudioNode, hurry_s: f64) -> Self {
        Self {
            context: context.clone(),
            destination: destination.clone(),
            hurry: (hurry_s * f64::from(context.sample_rate())).ceil() as i64,
            scheduled: RefCell::default(),
        }
    }

    fn try_play(&self, block: Block) -> Result<(), JsValue> {
        let rendered = self.rendered();
        let head = rendered + self.hurry;
        let scheduled = &mut *self.scheduled.borrow_mut();
        scheduled.pieces.retain(|piece| piece.span.end > rendered);
        let limit = rendered + frames(AHEAD_S_MAX, self.context.sample_rate());
        let end = block.at.0.saturating_add(block.pcm[0].len() as i64);
        let span = block.at.0.max(head)..end.min(limit);
        // One more for the rest of a piece that is cut in two.
        if span.is_empty() || scheduled.pieces.len() + 1 >= PIECES_MAX {
            return Ok(());
        }
        let mix = match &scheduled.mix {
            Some(mix) => mix.clone(),
            None => scheduled.mix.insert(self.new_mix()?).clone(),
        };
        self.make_room(&mut scheduled.pieces, &mix, &span)?;
        scheduled.pieces.push(self.schedule(&mix, Rc::new(block), span)?);
        Ok(())
    }

    /// Ends whatever sounds on the frames `span`.
    fn make_room(
        &self,
        pieces: &mut Vec<Piece>,
        mix: &GainNode,
        span: &Range<i64>,
    ) -> Result<(), JsValue> {
        let mut rests = Vec::new();
        for piece in pieces.iter_mut() {
            if piece.span.end <= span.start || piece.span.start >= span.end {
                continue;
            }
            if piece.span.end > span.end {
                let rest = span.end..piece.span.end;
                rests.push(self.schedule(mix, Rc::clone(&piece.block), rest)?);
            }
            // A node that is to stop before it starts is never heard.
            self.stop(&piece.source, span.start)?;
            piece.span.end = span.start;
        }
        pieces.retain(|piece| !piece.span.is_empty());
        pieces.append(&mut rests);
        Ok(())
    }

    /// Has the frames `span` of `block` played.
    fn schedule(
        &self,
        mix: &GainNode,
        block: Rc<Block>,
        span: Range<i64>,
    ) -> Result<Piece, JsValue> {
        let rate_hz = self.context.sample_rate();
        // Only what is to be heard: starting inside a buffer is a matter of rounding, too.
        let first = (span.start - block.at.0) as usize;
        let length = (span.end - span.start) as usize;
        let buffer = self.context.create_buffer(2, length as u32, rate_hz)?;
        for (channel, samples) in (0..).zip(&block.pcm) {
            buffer.copy_to_channel(&samples[first..first + length], channel)?;
        }
        let source = self.context.create_buffer_source()?;
        source.set_buffer(Some(&buffer));
        source.connect_with_audio_node(mix)?;
        source.start_with_when(self.seconds(span.start))?;
        Ok(Piece { source, block, span })
    }

    /// Lets everything fade from the next frame on that can still be changed.
    fn try_clear(&self) -> Result<(), JsValue> {
        let Scheduled { mix, pieces } = self.scheduled.take();
        let Some(mix) = mix else { return Ok(()) };
        let head = self.rendered() + self.hurry;
        let end = head + frames(FADE_S, self.context.sample_rate());
        mix.gain().set_value_at_time(1.0, self.seconds(head))?;
        mix.gain().linear_ramp_to_value_at_time(0.0, self.seconds(end))?;
        // They are silent by then, but there must not be ever more of them.
        for piece in &pieces {
            self.stop(&piece.source, end)?;
        }
        Ok(())
    }

    fn new_mix(&self) -> Result<GainNode, JsValue> {
        let mix = self.context.create_gain()?;
        mix.connect_with_audio_node(&self.destination)?;
        Ok(mix)
    }

    /// Lets `source` play up to `frame`, exclusive. The browser drops its nodes when they have ended.
    fn stop(&self, source: &AudioBufferSourceNode, frame: i64) -> Result<(), JsValue> {
        AudioScheduledSourceNode::stop_with_when(source, self.seconds(frame))
    }

    /// Frames that were rendered so far.
    fn rendered(&self) -> i64 {
        (self.context.current_time() * f64::from(self.context.sample_rate())).round() as i64
    }

    /// The time of `frame`, and never a rounding error earlier: Chromium takes a start that is a trillionth
    /// of a frame early at its word, and interpolates.
    fn seconds(&self, frame: i64) -> f64 {
        (frame.max(0) as f64 / f64::from(self.context.sample_rate())).next_up()
    }
}

impl Sink for BufferSourceSink {
    fn play(&self, block: Block) {
        // Browsers throw here for arguments out of range, which the arithmetic rules out.
        let _ = self.try_play(block);
    }

    fn clear(&self) {
        // As above.
        let _ = self.try_clear();
    }
}
