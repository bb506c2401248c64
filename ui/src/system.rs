//! What the page tells the system around it while it plays: that it is a music player, what it plays, and that
//! the screen should stay on.
//!
//! None of this is there in every browser, and none of it is needed to play: what is missing is left out.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array};
use leptos::prelude::*;
use player_wasm::player::{ControllerCommand, NowPlaying, Position};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, BlobPropertyBag, HtmlAudioElement, Url};

use crate::artwork;
use crate::player_handle::PlayerHandle;

/// Frames of the silence that anchors the media session: six seconds at 8 kHz. Browsers show no media controls for
/// less than five.
const SILENCE_FRAMES: u32 = 48_000;

thread_local! {
    static ANCHOR: RefCell<Option<HtmlAudioElement>> = const { RefCell::new(None) };
}

/// Keeps the system informed for as long as the page lives.
pub(crate) fn inform(player: PlayerHandle) {
    handle("play", move |_| {
        if untrack(move || player.is_interrupted()) {
            player.resume();
        } else {
            player.join();
        }
    });
    handle("pause", move |_| player.stop());
    handle("stop", move |_| player.stop());
    Effect::new(move |_| {
        let offer = |action, command, act: Box<dyn Fn(JsValue)>| {
            if player.may(command) { handle(action, act) } else { handle_no_longer(action) }
        };
        offer("nexttrack", "next", Box::new(move |_| player.control(ControllerCommand::Next)));
        offer(
            "previoustrack",
            "previous",
            Box::new(move |_| player.control(ControllerCommand::Previous)),
        );
        offer(
            "seekto",
            "seek",
            Box::new(move |details| {
                let second =
                    Reflect::get(&details, &"seekTime".into()).ok().and_then(|it| it.as_f64());
                if let Some(second) = second.filter(|second| *second >= 0.0) {
                    let position_ms = (second * 1e3) as u64;
                    player.control(ControllerCommand::Seek { position_ms });
                }
            }),
        );
    });
    Effect::new(move |_| {
        // The system counts on by itself from here.
        let progress = player.now_playing().progress;
        let position = player.position().zip(progress).filter(|_| player.is_listening());
        if let Some(session) = part("mediaSession")
            && let Some(set_position) = function(&session, "setPositionState")
        {
            let fields = Object::new();
            if let Some((Position { heard_ms, duration_ms: Some(duration_ms) }, _)) = position {
                set(&fields, "duration", &(duration_ms as f64 / 1e3).into());
                set(&fields, "position", &(heard_ms as f64 / 1e3).into());
            }
            // An empty one means that nothing is known.
            let _ = set_position.call1(&session, &fields);
        }
    });
    Effect::new(move |_| {
        let listening = player.is_listening();
        let state = if listening { "playing" } else { "none" };
        if let Some(session) = part("mediaSession") {
            set(&session, "playbackState", &state.into());
            let track = player.now_playing();
            let picture = track.artwork_url.as_deref();
            let picture = picture.and_then(|told| artwork::address(told, &player.server()));
            let shown = metadata(&track, picture.as_deref());
            set(&session, "metadata", &shown.unwrap_or(JsValue::NULL));
        }
        if !listening {
            rest();
        }
    });
    let (visible, set_visible) = signal(!document().hidden());
    on_visibility(move || set_visible.set(!document().hidden()));
    Effect::new(move |held: Option<Option<WakeLock>>| {
        // Browsers take the lock away when the page is hidden, and give none to a hidden page.
        let wanted = player.is_listening() && visible.get();
        if wanted { held.flatten().or_else(WakeLock::take) } else { None }
    });
}

/// Anchors the media session: browsers forget a page whose sound comes from the Web Audio API alone. To be called
/// in the click that starts to listen.
pub(crate) fn anchor() {
    ANCHOR.with_borrow_mut(|anchor| {
        if anchor.is_none() {
            *anchor = silence().ok();
        }
        if let Some(Ok(started)) = anchor.as_ref().map(|audio| audio.play()) {
            settle(started);
        }
    });
}

fn rest() {
    ANCHOR.with_borrow(|anchor| anchor.as_ref().map(|audio| audio.pause()));
}

/// An element that plays a silent WAV file over and over.
fn silence() -> Result<HtmlAudioElement, JsValue> {
    let mut wav = Vec::with_capacity(44 + SILENCE_FRAMES as usize);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + SILENCE_FRAMES).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    // PCM, mono, 8,000 Hz, 8 bits.
    for field in [16, 1 | 1 << 16, 8_000, 8_000, 1 | 8 << 16] {
        wav.extend_from_slice(&u32::to_le_bytes(field));
    }
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&SILENCE_FRAMES.to_le_bytes());
    wav.resize(44 + SILENCE_FRAMES as usize, 128);
    let kind = BlobPropertyBag::new();
    kind.set_type("audio/wav");
    let parts = Array::of1(&Uint8Array::from(wav.as_slice()));
    let blob = Blob::new_with_u8_array_sequence_and_options(&parts, &kind)?;
    let audio = HtmlAudioElement::new_with_src(&Url::create_object_url_with_blob(&blob)?)?;
    audio.set_loop(true);
    Ok(audio)
}

/// Calls back for as long as the page lives.
fn on_visibility(callback: impl Fn() + 'static) {
    let callback = Closure::<dyn Fn()>::new(callback).into_js_value();
    // Throws only when handed something else than a function.
    let _ =
        document().add_event_listener_with_callback("visibilitychange", callback.unchecked_ref());
}

/// Has a media key or a button of the lock screen do something.
fn handle(action: &str, act: impl Fn(JsValue) + 'static) {
    set_handler(action, &Closure::<dyn Fn(JsValue)>::new(act).into_js_value());
}

fn handle_no_longer(action: &str) {
    set_handler(action, &JsValue::NULL);
}

fn set_handler(action: &str, act: &JsValue) {
    let Some(session) = part("mediaSession") else { return };
    let Some(set_handler) = function(&session, "setActionHandler") else { return };
    // Throws for an action that this browser does not know.
    let _ = set_handler.call2(&session, &action.into(), act);
}

fn metadata(track: &NowPlaying, picture: Option<&str>) -> Option<JsValue> {
    let make =
        Reflect::get(&window(), &"MediaMetadata".into()).ok()?.dyn_into::<Function>().ok()?;
    let fields = Object::new();
    for (name, text) in
        [("title", &track.title), ("artist", &track.artist), ("album", &track.album)]
    {
        set(&fields, name, &text.as_deref().unwrap_or_default().into());
    }
    let pictures = Array::new();
    if let Some(address) = picture {
        let picture = Object::new();
        set(&picture, "src", &address.into());
        pictures.push(&picture);
    }
    set(&fields, "artwork", &pictures);
    Reflect::construct(&make, &Array::of1(&fields)).ok()
}

/// Keeps the screen on until it is dropped.
struct WakeLock(Rc<RefCell<Lock>>);

enum Lock {
    Asked,
    Granted(JsValue),
    NotWanted,
}

impl WakeLock {
    fn take() -> Option<Self> {
        let locks = part("wakeLock")?;
        let request = function(&locks, "request")?;
        let promise = request.call1(&locks, &"screen".into()).ok()?.dyn_into::<Promise>().ok()?;
        let lock = Rc::new(RefCell::new(Lock::Asked));
        let asked = Rc::clone(&lock);
        spawn_local(async move {
            // Refused while the battery is low.
            let Ok(granted) = JsFuture::from(promise).await else { return };
            if let Lock::NotWanted = &*asked.borrow() {
                return release(&granted);
            }
            asked.replace(Lock::Granted(granted));
        });
        Some(Self(lock))
    }
}

impl Drop for WakeLock {
    fn drop(&mut self) {
        if let Lock::Granted(lock) = self.0.replace(Lock::NotWanted) {
            release(&lock);
        }
    }
}

fn release(lock: &JsValue) {
    let released = function(lock, "release").and_then(|release| release.call0(lock).ok());
    if let Some(Ok(promise)) = released.map(JsCast::dyn_into::<Promise>) {
        settle(promise);
    }
}

/// Lets a promise run its course. A rejection that nobody takes would be reported as an error of the page.
pub(crate) fn settle(promise: Promise) {
    spawn_local(async move {
        let _ = JsFuture::from(promise).await;
    });
}

/// A part of the navigator that this browser may lack.
fn part(name: &str) -> Option<JsValue> {
    let part = Reflect::get(&window().navigator(), &name.into()).ok()?;
    part.is_object().then_some(part)
}

fn function(object: &JsValue, name: &str) -> Option<Function> {
    Reflect::get(object, &name.into()).ok()?.dyn_into().ok()
}

fn set(object: &JsValue, name: &str, value: &JsValue) {
    // Throws only for what is no object.
    let _ = Reflect::set(object, &name.into(), value);
}
