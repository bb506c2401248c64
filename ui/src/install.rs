//! The page as an app: a worker that knows one page by heart, the one that says that the host is away.

use js_sys::{Function, Promise, Reflect};
use leptos::prelude::window;
use wasm_bindgen::{JsCast, JsValue};

/// The worker, beside the page, so that it has a say in nothing above it.
const WORKER: &str = "sw.js";

/// Installs the worker. Browsers have none for plain http, and some people forbid them: nothing is lost but the page for
/// when there is no server.
pub(crate) fn install() {
    if !window().is_secure_context() {
        return;
    }
    let install = || -> Option<Promise> {
        let workers = Reflect::get(&window().navigator(), &"serviceWorker".into()).ok()?;
        let register = Reflect::get(&workers, &JsValue::from("register")).ok()?;
        let register = register.dyn_into::<Function>().ok()?;
        register.call1(&workers, &WORKER.into()).ok()?.dyn_into::<Promise>().ok()
    };
    if let Some(installed) = install() {
        crate::system::settle(installed);
    }
}
