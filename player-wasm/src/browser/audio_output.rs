//! The audio output: an `AudioContext`, a gain, and the sink that this page may use.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use js_sys::{Function, Promise, Reflect};
use protocol::time::ClientTime;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    AnalyserNode, AudioContext, AudioContextLatencyCategory, AudioContextOptions,
    AudioContextState, AudioNode, BaseAudioContext, GainNode,
};

use super::microphone::{Heard, Microphone};
use super::sink::Sink;
use super::sink::buffer_source::BufferSourceSink;
use super::sink::worklet::{self, WorkletSink};
use super::{host_clock, in_words, window};
use crate::output_clock::DeviceReading;
use crate::scheduler::Block;
use crate::stats::OutputKind;

/// Time in which an output that a click resumed has to run, milliseconds. Bluetooth takes about one second.
const RESUME_MS_MAX: u32 = 2_000;
/// Time constant of a change of gain, seconds: shorter is heard as a click.
const GAIN_S: f64 = 0.015;
/// Frames that every browser renders at once (Web Audio API, section 1.1: render quantum).
const QUANTUM_FRAMES: f64 = 128.0;

/// Frames that the loudness of the moment is taken from: 20 ms, in bands of 47 Hz.
const ANALYSED_FRAMES: u32 = 1_024;

/// What an output tells, at any time, never while one of its functions runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It runs, or runs again.
    Running,
    /// The browser did not let it run although it was asked within a click.
    Blocked,
    /// It will not sound: the browser's words.
    Failed(String),
}

/// The page's audio output. Browsers allow few, so a page keeps one. Dropping it closes it.
pub struct AudioOutput {
    context: AudioContext,
    fader: Fader,
    sink: Box<dyn Sink>,
    kind: OutputKind,
    /// Counts what was asked of the output and granted, so that a watch knows when it is out of date.
    wish: Rc<Cell<u32>>,
    /// Made when somebody looks for the first time; none where the browser makes none.
    analyser: OnceCell<Option<AnalyserNode>>,
    on_notice: Rc<dyn Fn(Notice)>,
    _on_state: Closure<dyn Fn()>,
}

impl AudioOutput {
    /// Opens the output, running or not, as the browser likes; silent until [`Self::set_gain`].
    ///
    /// # Errors
    ///
    /// The browser's words when it has no audio at all.
    pub fn open(on_notice: impl Fn(Notice) + 'static) -> Result<Self, String> {
        Self::try_open(Rc::new(on_notice)).map_err(|thrown| in_words(&thrown))
    }

    fn try_open(on_notice: Rc<dyn Fn(Notice)>) -> Result<Self, JsValue> {
        claim_session("playback");
        let context = AudioContext::new_with_context_options(&context_options())?;
        let fader = Fader::new(&context, &context.destination())?;
        let wish = Rc::new(Cell::new(0));
        let (kind, sink) = new_sink(&context, fader.input(), &on_notice);
        let on_state = Closure::<dyn Fn()>::new({
            let (context, on_notice) = (context.clone(), Rc::clone(&on_notice));
            let wish = Rc::clone(&wish);
            move || {
                // Suspended or interrupted, by a phone call say: it goes on when the browser says so.
                if context.state() == AudioContextState::Running {
                    wish.set(wish.get() + 1);
                    on_notice(Notice::Running);
                }
            }
        });
        context.set_onstatechange(Some(on_state.as_ref().unchecked_ref()));
        let analyser = OnceCell::new();
        Ok(Self { context, fader, sink, kind, wish, analyser, on_notice, _on_state: on_state })
    }

    /// How blocks reach the output.
    #[must_use]
    pub fn kind(&self) -> OutputKind {
        self.kind
    }

    /// Lets the output run. Must be called synchronously in a click, or the browser may refuse:
    /// [`Notice::Blocked`] follows then.
    pub fn resume(&self) {
        let wish = self.next_wish();
        // Even when it runs: it may have been asked to rest and not have got round to it.
        settle(self.context.resume());
        let (context, on_notice) = (self.context.clone(), Rc::clone(&self.on_notice));
        let latest = Rc::clone(&self.wish);
        spawn_local(async move {
            TimeoutFuture::new(RESUME_MS_MAX).await;
            if latest.get() == wish && context.state() != AudioContextState::Running {
                on_notice(Notice::Blocked);
            }
        });
    }

    /// Lets the output rest: it uses no power and keeps its place for the next [`Self::resume`].
    pub fn suspend(&self) {
        self.next_wish();
        settle(self.context.suspend());
    }

    /// Plays `block` on its frames.
    pub fn play(&self, block: Block) {
        self.sink.play(block);
    }

    /// Forgets all blocks that are not yet heard.
    pub fn clear(&self) {
        self.sink.clear();
    }

    /// Sets the amplitude, 0.0 to 1.0, now: blocks that are handed over already are no exception.
    pub fn set_gain(&self, amplitude: f32) {
        self.fader.set(amplitude);
    }

    /// What the browser says of the output's clock; `None` while it stands still.
    #[must_use]
    pub fn reading(&self) -> Option<DeviceReading> {
        self.is_running().then(|| DeviceReading {
            rate_hz: self.rate_hz(),
            rendered_s: self.context.current_time(),
            output_timestamp: output_timestamp(&self.context),
            latency_s: latency_s(&self.context),
        })
    }

    /// How loud each band is that leaves the output now, 0 to 255, the lowest first, as many as fit; `false` where the
    /// browser does not tell. Bands are equally wide, up to half the output's rate.
    pub fn loudness(&self, bands: &mut [u8]) -> bool {
        let analyser = self.analyser.get_or_init(|| {
            let analyser = self.context.create_analyser().ok()?;
            analyser.set_fft_size(ANALYSED_FRAMES);
            self.fader.input().connect_with_audio_node(&analyser).ok()?;
            Some(analyser)
        });
        if let Some(analyser) = analyser {
            analyser.get_byte_frequency_data(bands);
        }
        analyser.is_some()
    }

    /// Asks for the microphone. What it hears comes at the rate of this output.
    pub fn open_microphone(&self, on_heard: impl Fn(Heard) + 'static) -> Microphone {
        Microphone::open(&self.context, on_heard)
    }

    /// Frames in a second.
    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.context.sample_rate() as u32
    }

    /// Whether the browser says that it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.context.state() == AudioContextState::Running
    }

    fn next_wish(&self) -> u32 {
        self.wish.set(self.wish.get() + 1);
        self.wish.get()
    }
}

impl Drop for AudioOutput {
    fn drop(&mut self) {
        self.next_wish();
        self.context.set_onstatechange(None);
        settle(self.context.close());
    }
}

/// Volume and mute: what goes in comes out at the set amplitude.
#[derive(Debug)]
pub struct Fader(GainNode);

impl Fader {
    /// Silent until [`Self::set`].
    ///
    /// # Errors
    ///
    /// What the browser throws when it can make no more nodes.
    pub fn new(context: &BaseAudioContext, destination: &AudioNode) -> Result<Self, JsValue> {
        let node = context.create_gain()?;
        node.gain().set_value(0.0);
        node.connect_with_audio_node(destination)?;
        Ok(Self(node))
    }

    /// Where to connect what is to be faded.
    #[must_use]
    pub fn input(&self) -> &AudioNode {
        &self.0
    }

    /// Goes to `amplitude` from now on, fast but without a click. What is not finite changes nothing.
    pub fn set(&self, amplitude: f32) {
        let now = self.0.context().current_time();
        // Throws for what is not finite.
        let _ = self.0.gain().set_target_at_time(amplitude, now, GAIN_S);
    }
}

/// Asks for the device's own rate, by not naming one, and for `playback`: nobody here plays an instrument,
/// and a stutter is worse than a delay that is known and taken into account. Measured in Chromium on Linux:
/// 95 ms from rendering to hearing in place of 42 ms, in render buffers of 1,024 frames in place of 441.
fn context_options() -> AudioContextOptions {
    let options = AudioContextOptions::new();
    options.set_latency_hint_audio_context_latency_category(AudioContextLatencyCategory::Playback);
    options
}

/// Tells iOS what this page does. `playback` is music: heard with the ring switch off and the screen locked, like a music
/// app. Other systems have no such thing.
pub(super) fn claim_session(kind: &str) {
    let session = Reflect::get(&window().navigator(), &"audioSession".into());
    if let Ok(session) = session
        && session.is_object()
    {
        // Throws for a type that a later version no longer knows.
        let _ = Reflect::set(&session, &"type".into(), &kind.into());
    }
}

fn new_sink(
    context: &AudioContext,
    destination: &AudioNode,
    on_notice: &Rc<dyn Fn(Notice)>,
) -> (OutputKind, Box<dyn Sink>) {
    if !worklet::is_supported(context) {
        let buffer_s = number(context, "baseLatency").unwrap_or(0.0);
        let hurry_s = buffer_s + 2.0 * QUANTUM_FRAMES / f64::from(context.sample_rate());
        let sink = BufferSourceSink::new(context, destination, hurry_s);
        return (OutputKind::BufferSource, Box::new(sink));
    }
    let sink = WorkletSink::new(context, destination);
    let later = Rc::clone(on_notice);
    let loading = sink.load(move |what| later(Notice::Failed(what)));
    let on_notice = Rc::clone(on_notice);
    spawn_local(async move {
        if let Err(what) = loading.await {
            on_notice(Notice::Failed(what));
        }
    });
    (OutputKind::Worklet, Box::new(sink))
}

/// Reads a number that not every browser has.
fn number(object: &JsValue, name: &str) -> Option<f64> {
    let value = Reflect::get(object, &name.into()).ok()?.as_f64()?;
    value.is_finite().then_some(value)
}

fn output_timestamp(context: &AudioContext) -> Option<(f64, ClientTime)> {
    let function = Reflect::get(context, &"getOutputTimestamp".into()).ok()?;
    let timestamp = function.dyn_into::<Function>().ok()?.call0(context).ok()?;
    let context_s = number(&timestamp, "contextTime")?;
    let at = host_clock::from_millis(number(&timestamp, "performanceTime")?);
    Some((context_s, at))
}

/// `baseLatency + outputLatency`, as far as they are told.
fn latency_s(context: &AudioContext) -> Option<f64> {
    let told = ["baseLatency", "outputLatency"].map(|name| number(context, name));
    told.into_iter().flatten().reduce(|base, output| base + output)
}

/// Lets a promise run its course: what it changes shows in the context's state.
fn settle(promise: Result<Promise, JsValue>) {
    if let Ok(promise) = promise {
        spawn_local(async move {
            // A rejection that nobody takes would be reported as an error of the page.
            let _ = JsFuture::from(promise).await;
        });
    }
}
