//! The sink of secure pages: an `AudioWorklet` that plays each frame from a ring.
//!
//! The script is part of the program and is loaded from a Blob URL, so that the two always fit together. It
//! has to be there before the first block is, or sound would begin late; blocks that are handed over
//! earlier wait.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use js_sys::{Array, Float32Array, Object, Promise, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{
    AudioNode, AudioWorkletNode, AudioWorkletNodeOptions, BaseAudioContext, Blob, BlobPropertyBag,
    Event, MessagePort, Url,
};

use super::{AHEAD_S_MAX, FADE_S, Sink, frames};
use crate::browser::in_words;
use crate::scheduler::Block;

/// The script, whole.
const SCRIPT: &str = include_str!("sink.js");
/// The name under which the script registers its processor.
const PROCESSOR: &str = "sink";
/// Longest wait for the browser to load the script, milliseconds. It comes from memory and takes some tens.
const LOAD_MS_MAX: u32 = 5_000;
/// Blocks that wait for the script: more than anyone hands out in [`LOAD_MS_MAX`]. When full, the oldest goes:
/// it is the first that would be late.
const WAITING_MAX: usize = 256;

/// Plays blocks in an `AudioWorklet`. Cheap to clone; every clone is the same sink.
#[derive(Clone, Debug)]
pub struct WorkletSink {
    context: BaseAudioContext,
    destination: AudioNode,
    stage: Rc<RefCell<Stage>>,
}

#[derive(Debug)]
enum Stage {
    Loading(VecDeque<Block>),
    Ready(Ready),
}

/// A processor that runs. Disconnected when dropped.
#[derive(Debug)]
struct Ready {
    node: AudioWorkletNode,
    port: MessagePort,
    _on_error: Closure<dyn Fn(Event)>,
}

impl WorkletSink {
    /// A sink that will sound through `destination`, once [`Self::load`] is done.
    #[must_use]
    pub fn new(context: &BaseAudioContext, destination: &AudioNode) -> Self {
        Self {
            context: context.clone(),
            destination: destination.clone(),
            stage: Rc::new(RefCell::new(Stage::Loading(VecDeque::new()))),
        }
    }

    /// Loads the script and begins to play. To be called once. Loading begins at the first poll.
    ///
    /// `on_error` is called when the script throws later on, which ends its sound.
    ///
    /// # Errors
    ///
    /// What the browser says when it does not load the script, or that it said nothing for five seconds.
    pub fn load(
        &self,
        on_error: impl Fn(String) + 'static,
    ) -> impl Future<Output = Result<(), String>> + 'static {
        let sink = self.clone();
        async move {
            load_script(&sink.context, SCRIPT)
                .await
                .and_then(|()| sink.start(on_error))
                .map_err(|thrown| in_words(&thrown))
        }
    }

    fn start(&self, on_error: impl Fn(String) + 'static) -> Result<(), JsValue> {
        let node = AudioWorkletNode::new_with_options(
            &self.context,
            PROCESSOR,
            &node_options(self.context.sample_rate())?,
        )?;
        // The event carries no reason; the browser logs it.
        let on_error = Closure::<dyn Fn(Event)>::new(move |_| {
            on_error("the audio script broke down".to_owned());
        });
        node.set_onprocessorerror(Some(on_error.as_ref().unchecked_ref()));
        node.connect_with_audio_node(&self.destination)?;
        let port = node.port()?;
        let ready = Stage::Ready(Ready { node, port, _on_error: on_error });
        if let Stage::Loading(waiting) = self.stage.replace(ready) {
            for block in waiting {
                self.play(block);
            }
        }
        Ok(())
    }
}

impl Sink for WorkletSink {
    fn play(&self, block: Block) {
        match &mut *self.stage.borrow_mut() {
            Stage::Loading(waiting) => {
                if waiting.len() == WAITING_MAX {
                    waiting.pop_front();
                }
                waiting.push_back(block);
            }
            Stage::Ready(Ready { port, .. }) => {
                let [left, right] = [0, 1].map(|c| Float32Array::from(block.pcm[c].as_slice()));
                let buffers = Array::of2(&left.buffer(), &right.buffer());
                let frame = JsValue::from_f64(block.at.0 as f64);
                let message = Array::of3(&frame, &left, &right);
                // Throws only for what cannot be cloned or transferred; these can.
                let _ = port.post_message_with_transferable(&message, &buffers);
            }
        }
    }

    fn clear(&self) {
        match &mut *self.stage.borrow_mut() {
            Stage::Loading(waiting) => waiting.clear(),
            Stage::Ready(Ready { port, .. }) => {
                // As above.
                let _ = port.post_message(&Array::new());
            }
        }
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        self.node.set_onprocessorerror(None);
        // Throws when it is not connected.
        let _ = self.node.disconnect();
    }
}

/// Whether the browser has worklets on this page: they are for secure pages only.
#[must_use]
pub fn is_supported(context: &BaseAudioContext) -> bool {
    Reflect::get(context, &"audioWorklet".into()).is_ok_and(|worklet| worklet.is_object())
}

/// Has the audio thread run a script, which must not have been run there before.
///
/// # Errors
///
/// What the browser throws, or that it said nothing for five seconds.
pub(in crate::browser) async fn load_script(
    context: &BaseAudioContext,
    script: &str,
) -> Result<(), JsValue> {
    let kind = BlobPropertyBag::new();
    kind.set_type("text/javascript");
    let blob = Blob::new_with_str_sequence_and_options(&Array::of1(&script.into()), &kind)?;
    let url = Url::create_object_url_with_blob(&blob)?;
    let loaded = context.audio_worklet()?.add_module(&url)?;
    let given_up = future_to_promise(async {
        TimeoutFuture::new(LOAD_MS_MAX).await;
        Err("the browser did not load the audio script in time".into())
    });
    let result = JsFuture::from(Promise::race(&Array::of2(&loaded, &given_up))).await;
    Url::revoke_object_url(&url)?;
    result.map(drop)
}

fn node_options(rate_hz: f32) -> Result<AudioWorkletNodeOptions, JsValue> {
    let sizes = Object::new();
    for (name, seconds) in [("frames", AHEAD_S_MAX), ("fade", FADE_S)] {
        let value = JsValue::from_f64(frames(seconds, rate_hz) as f64);
        Reflect::set(&sizes, &name.into(), &value)?;
    }
    let options = AudioWorkletNodeOptions::new();
    options.set_number_of_inputs(0);
    options.set_number_of_outputs(1);
    options.set_output_channel_count(&Array::of1(&2.into()));
    options.set_processor_options(Some(&sizes));
    Ok(options)
}
