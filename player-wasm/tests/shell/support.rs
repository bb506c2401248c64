//! Waiting for the browser, without guessing how long it takes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use js_sys::Function;
use wasm_bindgen::{JsCast, JsValue};

/// Longest wait for anything, milliseconds: the machine may be busy.
const WAIT_MS_MAX: u32 = 20_000;
/// Pause between two looks, milliseconds.
const LOOK_MS: u32 = 5;

/// What a callback was told and nobody has taken yet.
pub(crate) struct Inbox<T>(Rc<RefCell<VecDeque<T>>>);

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

impl<T> Inbox<T> {
    pub(crate) fn put(&self, item: T) {
        self.0.borrow_mut().push_back(item);
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.0.borrow_mut().pop_front()
    }

    /// The next item, which has to come.
    pub(crate) async fn next(&self) -> T {
        until("something is told", || self.take()).await
    }
}

/// Looks again and again until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..WAIT_MS_MAX / LOOK_MS {
        if let Some(found) = look() {
            return found;
        }
        TimeoutFuture::new(LOOK_MS).await;
    }
    panic!("waited in vain until {what}");
}

/// A property of the browser that is something else, until this is dropped.
pub(crate) struct Broken(Function);

impl Broken {
    /// Lets `place.name` be `instead`, in JavaScript.
    pub(crate) fn new(place: &str, name: &str, instead: &str) -> Self {
        let script = format!(
            "(() => {{
                const was = Object.getOwnPropertyDescriptor({place}, '{name}');
                Object.defineProperty({place}, '{name}', {{ configurable: true, value: {instead} }});
                return () => Object.defineProperty({place}, '{name}', was);
            }})()"
        );
        Self(js_sys::eval(&script).unwrap().unchecked_into())
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.0.call0(&JsValue::NULL).unwrap();
    }
}
