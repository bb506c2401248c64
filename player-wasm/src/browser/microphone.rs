//! The microphone, for as long as it is needed: what it hears goes to one callback and nowhere else.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Float32Array, JSON, Object, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    AudioContext, AudioNode, AudioWorkletNode, AudioWorkletNodeOptions, ChannelCountMode, Event,
    MediaStream, MediaStreamTrack, MessageEvent, MessagePort,
};

use super::sink::worklet::load_script;
use super::{audio_output, window};
use crate::player::MicrophoneTrouble;

/// The script, whole.
const SCRIPT: &str = include_str!("microphone.js");
/// The name under which the script registers its processor.
const PROCESSOR: &str = "microphone";
/// Frames of a block: a message in 85 ms at 48 kHz.
const BLOCK_FRAMES: u32 = 4_096;
/// Sound as it is: what makes speech clearer takes chirps for noise, and the page's own ones for an echo.
const CONSTRAINTS: &str = r#"{"audio":{"channelCount":1,"echoCancellation":false,"noiseSuppression":false,
    "autoGainControl":false}}"#;

/// What a microphone tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The next block, mono, at the rate of the output, without a gap.
    Sound(Vec<f32>),
    /// There is no sound, or no more.
    Trouble(MicrophoneTrouble),
}

/// A microphone, or the wish for one. Dropping it ends both.
#[derive(Debug)]
pub struct Microphone(Rc<RefCell<Stage>>);

#[derive(Debug)]
enum Stage {
    Asked,
    /// Held for its end.
    Open {
        _line: Line,
    },
    NotWanted,
}

impl Microphone {
    /// Asks for the microphone, which may let the browser ask the person. `on_heard` is never called before this returns.
    #[must_use]
    pub fn open(context: &AudioContext, on_heard: impl Fn(Heard) + 'static) -> Self {
        let stage = Rc::new(RefCell::new(Stage::Asked));
        let (asked, context) = (Rc::clone(&stage), context.clone());
        let on_heard: Rc<dyn Fn(Heard)> = Rc::new(on_heard);
        spawn_local(async move {
            let opened = Line::open(&context, &on_heard).await;
            let is_wanted = matches!(*asked.borrow(), Stage::Asked);
            match opened {
                Ok(line) if is_wanted => drop(asked.replace(Stage::Open { _line: line })),
                Err(trouble) if is_wanted => on_heard(Heard::Trouble(trouble)),
                // Nobody waits for it any more: a line that was opened in vain ends here.
                _ => {}
            }
        });
        Self(stage)
    }
}

impl Drop for Microphone {
    fn drop(&mut self) {
        self.0.replace(Stage::NotWanted);
    }
}

/// Whether this page may ask for a microphone: browsers lend it to secure pages only.
#[must_use]
pub fn is_supported() -> bool {
    Reflect::get(&window().navigator(), &"mediaDevices".into()).is_ok_and(|it| it.is_object())
}

/// What the browser granted. Every track ends when it is dropped, and with the last one the browser's sign for it.
#[derive(Debug)]
struct Granted(MediaStream);

impl Granted {
    async fn ask() -> Result<Self, JsValue> {
        // iOS lends no microphone to a page that does nothing but play.
        audio_output::claim_session("play-and-record");
        let granted = async {
            let constraints = JSON::parse(CONSTRAINTS)?.unchecked_into();
            let devices = window().navigator().media_devices()?;
            JsFuture::from(devices.get_user_media_with_constraints(&constraints)?).await
        };
        let granted = granted.await.inspect_err(|_| audio_output::claim_session("playback"))?;
        Ok(Self(granted.unchecked_into()))
    }

    fn tracks(&self) -> impl Iterator<Item = MediaStreamTrack> + use<> {
        self.0.get_tracks().into_iter().map(JsCast::unchecked_into)
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        for track in self.tracks() {
            track.set_onended(None);
            track.stop();
        }
        audio_output::claim_session("playback");
    }
}

/// From the microphone to the callback.
#[derive(Debug)]
struct Line {
    _granted: Granted,
    source: AudioNode,
    port: MessagePort,
    _on_block: Closure<dyn Fn(MessageEvent)>,
    _on_end: Closure<dyn Fn(Event)>,
}

impl Line {
    async fn open(
        context: &AudioContext,
        on_heard: &Rc<dyn Fn(Heard)>,
    ) -> Result<Self, MicrophoneTrouble> {
        let granted = Granted::ask().await.map_err(|thrown| trouble(&thrown))?;
        let line = Self::connect(context, granted, on_heard).await;
        line.map_err(|_| MicrophoneTrouble::NotFound)
    }

    async fn connect(
        context: &AudioContext,
        granted: Granted,
        on_heard: &Rc<dyn Fn(Heard)>,
    ) -> Result<Self, JsValue> {
        let node = if let Ok(node) = new_node(context) {
            // The script is there since the last time: it must not come twice.
            node
        } else {
            load_script(context, SCRIPT).await?;
            new_node(context)?
        };
        let tell = Rc::clone(on_heard);
        let on_block = Closure::<dyn Fn(MessageEvent)>::new(move |message: MessageEvent| {
            tell(Heard::Sound(Float32Array::new(&message.data()).to_vec()));
        });
        let tell = Rc::clone(on_heard);
        let on_end = Closure::<dyn Fn(Event)>::new(move |_| {
            tell(Heard::Trouble(MicrophoneTrouble::Lost));
        });
        for track in granted.tracks() {
            track.set_onended(Some(on_end.as_ref().unchecked_ref()));
        }
        let port = node.port()?;
        port.set_onmessage(Some(on_block.as_ref().unchecked_ref()));
        let source: AudioNode = context.create_media_stream_source(&granted.0)?.into();
        source.connect_with_audio_node(&node)?;
        Ok(Self { _granted: granted, source, port, _on_block: on_block, _on_end: on_end })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.port.set_onmessage(None);
        // Throws only for what cannot be cloned.
        let _ = self.port.post_message(&JsValue::NULL);
        // Throws when it is not connected.
        let _ = self.source.disconnect();
    }
}

fn new_node(context: &AudioContext) -> Result<AudioWorkletNode, JsValue> {
    let sizes = Object::new();
    Reflect::set(&sizes, &"frames".into(), &BLOCK_FRAMES.into())?;
    let options = AudioWorkletNodeOptions::new();
    options.set_number_of_outputs(0);
    options.set_channel_count(1);
    options.set_channel_count_mode(ChannelCountMode::Explicit);
    options.set_processor_options(Some(&sizes));
    AudioWorkletNode::new_with_options(context, PROCESSOR, &options)
}

/// Media Capture and Streams, section 10.2: the names of what `getUserMedia` throws.
fn trouble(thrown: &JsValue) -> MicrophoneTrouble {
    let name = Reflect::get(thrown, &"name".into()).ok().and_then(|name| name.as_string());
    match name.as_deref() {
        Some("NotAllowedError" | "SecurityError") => MicrophoneTrouble::NotAllowed,
        _ => MicrophoneTrouble::NotFound,
    }
}
