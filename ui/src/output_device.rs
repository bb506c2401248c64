//! What the sound comes out of. Each output has a delay of its own, so each has a name.
//!
//! Browsers name outputs only to sites that may use the microphone. Elsewhere the person chooses.

use std::rc::Rc;

use js_sys::Array;
use leptos::prelude::window;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{MediaDeviceInfo, MediaDeviceKind, MediaDevices};

/// Ids of the outputs that a person can choose on every device, the usual one first.
pub const CHOICES: [&str; 4] = ["speakers", "headphones", "bluetooth", "tv"];

/// Calls `tell` with the name of the output that the system uses by default, now and whenever devices come or go.
/// Never calls it where the browser does not tell.
pub(crate) fn watch(tell: Rc<dyn Fn(String)>) {
    let Some(devices) = devices() else {
        return;
    };
    look(Rc::clone(&tell));
    // Lives as long as the page.
    let on_change = Closure::<dyn Fn()>::new(move || look(Rc::clone(&tell))).into_js_value();
    devices.set_ondevicechange(Some(on_change.unchecked_ref()));
}

/// Calls `tell` with the name of the output that the system uses by default, once, if the browser tells it.
pub(crate) fn look(tell: Rc<dyn Fn(String)>) {
    let Some(devices) = devices() else {
        return;
    };
    spawn_local(async move {
        if let Some(name) = name_of_default(&devices).await {
            tell(name);
        }
    });
}

/// Pages that came over plain http have none.
fn devices() -> Option<MediaDevices> {
    let devices = window().navigator().media_devices().ok()?;
    let there: &JsValue = devices.as_ref();
    there.is_object().then_some(devices)
}

async fn name_of_default(devices: &MediaDevices) -> Option<String> {
    let listed = JsFuture::from(devices.enumerate_devices().ok()?).await.ok()?;
    let outputs: Vec<MediaDeviceInfo> = Array::from(&listed)
        .iter()
        .map(JsCast::unchecked_into::<MediaDeviceInfo>)
        .filter(|device| device.kind() == MediaDeviceKind::Audiooutput)
        .filter(|device| !device.label().is_empty())
        .collect();
    // The default is an alias of one of the others, which belongs to the same group.
    let alias = outputs.iter().find(|device| device.device_id() == "default");
    let named = alias.and_then(|alias| {
        let is_it = |device: &&MediaDeviceInfo| {
            !["default", "communications"].contains(&device.device_id().as_str())
                && device.group_id() == alias.group_id()
        };
        outputs.iter().find(is_it)
    });
    let only = || outputs.first().filter(|_| outputs.len() == 1);
    named.or(alias).or_else(only).map(MediaDeviceInfo::label)
}
