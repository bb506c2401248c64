//! A sink whose output is rendered offline, step by step, without a race.

use std::ops::Range;

use js_sys::{Array, Function, Promise, Reflect};
use player_wasm::browser::sink::Sink;
use player_wasm::browser::sink::buffer_source::BufferSourceSink;
use player_wasm::browser::sink::worklet::WorkletSink;
use player_wasm::output_clock::ContextFrame;
use player_wasm::scheduler::Block;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AudioBuffer, AudioWorkletNode, Blob, BlobPropertyBag, MessageEvent, MessagePort,
    OfflineAudioContext, Url,
};

use crate::support::Inbox;

/// What is done to a sink, in order.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Render up to this frame, a multiple of 128.
    RunTo(i64),
    /// Hand over a block for these frames, with the sound of this take.
    Play(Take, Range<i64>),
    /// Forget everything.
    Clear,
}

/// Names a sound: every take differs from every other on every frame.
pub(crate) type Take = u32;

/// Samples by channel.
pub(crate) type Rendered = [Vec<f32>; 2];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Worklet,
    BufferSource,
}

/// The sample of `take` on `frame`: noise, so that no frame is like its neighbour and nothing but an exact
/// copy is equal.
pub(crate) fn sample(take: Take, channel: u32, frame: i64) -> f32 {
    let seed = (take * 2 + channel).wrapping_mul(0x85EB_CA6B);
    let mut bits = (frame as u32).wrapping_mul(0x9E37_79B9) ^ seed;
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x7FEB_352D);
    bits = (bits ^ (bits >> 15)).wrapping_mul(0x846C_A68B);
    (bits >> 8) as f32 / (1 << 23) as f32 - 1.0
}

pub(crate) fn block(take: Take, frames: Range<i64>) -> Block {
    let channel = |c| frames.clone().map(|frame| sample(take, c, frame)).collect();
    Block { at: ContextFrame(frames.start), pcm: [channel(0), channel(1)] }
}

/// An offline context of `frames` frames.
pub(crate) fn context(frames: i64, rate_hz: f32) -> OfflineAudioContext {
    OfflineAudioContext::new_with_number_of_channels_and_length_and_sample_rate(
        2,
        frames as u32,
        rate_hz,
    )
    .unwrap()
}

/// Renders `frames` while `steps` happen.
pub(crate) async fn render(kind: Kind, rate_hz: f32, frames: i64, steps: &[Step]) -> Rendered {
    let context = context(frames, rate_hz);
    let mut probe = None;
    let sink: Box<dyn Sink> = match kind {
        Kind::Worklet => {
            probe = Some(Probe::new(&context, "").await);
            let sink = WorkletSink::new(&context, &context.destination());
            sink.load(|what| panic!("{what}")).await.unwrap();
            Box::new(sink)
        }
        Kind::BufferSource => {
            Box::new(BufferSourceSink::new(&context, &context.destination(), 0.0))
        }
    };
    let mut tape = Tape::new(&context, steps);
    let mut messages = 0;
    for step in steps {
        match step.clone() {
            Step::RunTo(_) => {
                taken(probe.as_ref(), messages).await;
                tape.run_to_next_stop().await;
                continue;
            }
            Step::Play(take, frames) => sink.play(block(take, frames)),
            Step::Clear => sink.clear(),
        }
        messages += 1;
    }
    taken(probe.as_ref(), messages).await;
    tape.run_to_end().await
}

async fn taken(probe: Option<&Probe>, messages: u32) {
    if let Some(probe) = probe {
        probe.until_taken(messages).await;
    }
}

/// Rendering with stops.
pub(crate) struct Tape {
    context: OfflineAudioContext,
    /// The next one last.
    stops: Vec<Promise>,
    rendering: Option<Promise>,
}

impl Tape {
    /// Will stop at each [`Step::RunTo`]. A stop has to be known before rendering begins, or is run past.
    pub(crate) fn new(context: &OfflineAudioContext, steps: &[Step]) -> Self {
        let suspend = Reflect::get(context, &"suspend".into()).unwrap();
        let suspend: Function = suspend.unchecked_into();
        let stop_at = |frame: i64| {
            let at = frame as f64 / f64::from(context.sample_rate());
            suspend.call1(context, &at.into()).unwrap().unchecked_into()
        };
        let frames = steps.iter().rev().filter_map(|step| match step {
            Step::RunTo(frame) => Some(*frame),
            Step::Play(..) | Step::Clear => None,
        });
        Self { context: context.clone(), stops: frames.map(stop_at).collect(), rendering: None }
    }

    pub(crate) async fn run_to_next_stop(&mut self) {
        let stop = self.stops.pop().unwrap();
        self.go_on().await;
        JsFuture::from(stop).await.unwrap();
    }

    pub(crate) async fn run_to_end(mut self) -> Rendered {
        self.go_on().await;
        let rendered = JsFuture::from(self.rendering.unwrap()).await.unwrap();
        let rendered: AudioBuffer = rendered.unchecked_into();
        [0, 1].map(|channel| rendered.get_channel_data(channel).unwrap())
    }

    async fn go_on(&mut self) {
        match self.rendering {
            None => self.rendering = Some(self.context.start_rendering().unwrap()),
            Some(_) => drop(JsFuture::from(self.context.resume().unwrap()).await.unwrap()),
        }
    }
}

/// Sits beside the real script in its scope, counts the messages that it has taken, and tells.
///
/// Messages to a worklet are not delivered in step with offline rendering, as they are not with a device's.
pub(crate) struct Probe {
    port: MessagePort,
    answers: Inbox<f64>,
    _node: AudioWorkletNode,
}

const PROBE: &str = r#"
globalThis.taken = 0;
const register = registerProcessor;
globalThis.registerProcessor = (name, Processor) => register(name, class extends Processor {
  constructor(options) {
    super(options);
    const take = this.port.onmessage;
    this.port.onmessage = (message) => { take(message); taken += 1; };
  }
});
register("probe", class extends AudioWorkletProcessor {
  constructor() {
    super();
    this.port.onmessage = () => this.port.postMessage(taken);
  }
  process() { return true; }
});
"#;

impl Probe {
    /// Must be there before the script is loaded. `script` runs in the same scope.
    pub(crate) async fn new(context: &OfflineAudioContext, script: &str) -> Self {
        let kind = BlobPropertyBag::new();
        kind.set_type("text/javascript");
        let script = Array::of2(&PROBE.into(), &script.into());
        let blob = Blob::new_with_str_sequence_and_options(&script, &kind).unwrap();
        let url = Url::create_object_url_with_blob(&blob).unwrap();
        let worklet = context.audio_worklet().unwrap();
        JsFuture::from(worklet.add_module(&url).unwrap()).await.unwrap();
        let node = AudioWorkletNode::new(context, "probe").unwrap();
        let port = node.port().unwrap();
        let answers = Inbox::default();
        let put = answers.clone();
        let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
            put.put(event.data().as_f64().unwrap());
        });
        // For good: a page of tests is short-lived.
        port.set_onmessage(Some(on_message.into_js_value().unchecked_ref()));
        Self { port, answers, _node: node }
    }

    /// Waits until the script has taken as many messages.
    pub(crate) async fn until_taken(&self, messages: u32) {
        // Each question is a way there and back: thousands are seconds.
        for _ in 0..10_000 {
            self.port.post_message(&JsValue::NULL).unwrap();
            if self.answers.next().await >= f64::from(messages) {
                return;
            }
        }
        panic!("the script did not take {messages} messages");
    }
}
