//! The id this page joins parties with: the same on every visit, and never the same in two pages at once.
//!
//! A server keeps one connection for each id, so two tabs of one browser must not share one, or each would end
//! the other's sound. The browser therefore remembers a row of ids, and every page takes the first that no
//! older page holds. Pages settle that among themselves over a `BroadcastChannel`: each says which id it takes
//! and since when; of two that say the same id the younger takes the next.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gloo_timers::callback::Timeout;
use leptos::prelude::window;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{BroadcastChannel, MessageEvent};

use crate::remembered;

const CHANNEL: &str = "partyline.client_id";

/// Time after which nobody is expected to object, milliseconds: far above what a message between two tabs takes,
/// and below what a person needs to find the button.
const OBJECTION_MS_MAX: u32 = 250;

/// This page's hold on its id. Given back when dropped.
#[derive(Debug)]
pub struct Identity {
    claim: Rc<Claim>,
    _hear: Closure<dyn Fn(MessageEvent)>,
    _settle: Timeout,
}

#[derive(Debug)]
struct Claim {
    /// Place in the row of remembered ids.
    place: Cell<u32>,
    id: RefCell<String>,
    /// When this page began to claim, for comparison with the other pages of this browser.
    since: f64,
    settled: Cell<bool>,
    /// None where the browser keeps pages apart; they share no remembered ids then either.
    channel: Option<BroadcastChannel>,
}

impl Identity {
    /// Claims the first remembered id that no older page holds.
    #[must_use]
    pub fn claim() -> Self {
        let claim = Rc::new(Claim {
            place: Cell::new(0),
            id: RefCell::new(remembered_id(0)),
            // The fraction tells pages apart that begin in the same millisecond.
            since: js_sys::Date::now() + js_sys::Math::random(),
            settled: Cell::new(false),
            channel: BroadcastChannel::new(CHANNEL).ok(),
        });
        let hear = Closure::<dyn Fn(MessageEvent)>::new({
            let claim = Rc::clone(&claim);
            move |message: MessageEvent| claim.hear(message.data().as_string().as_deref())
        });
        if let Some(channel) = &claim.channel {
            channel.set_onmessage(Some(hear.as_ref().unchecked_ref()));
        }
        claim.announce();
        let settle = Timeout::new(OBJECTION_MS_MAX, {
            let claim = Rc::clone(&claim);
            move || claim.settled.set(true)
        });
        Self { claim, _hear: hear, _settle: settle }
    }

    /// The id to join with now. Before the other pages had time to object it is one for this once.
    #[must_use]
    pub fn client_id(&self) -> String {
        if self.claim.settled.get() { self.claim.id.borrow().clone() } else { new_id() }
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        if let Some(channel) = &self.claim.channel {
            channel.close();
        }
    }
}

impl Claim {
    fn announce(&self) {
        if let Some(channel) = &self.channel {
            let words = format!("{} {}", self.since, self.id.borrow());
            // Fails only once the channel is closed, and then nobody asks any more.
            drop(channel.post_message(&words.into()));
        }
    }

    fn hear(&self, words: Option<&str>) {
        let Some((since, id)) = words.and_then(|words| words.split_once(' ')) else { return };
        if id != *self.id.borrow() {
            return;
        }
        if since.parse().is_ok_and(|since: f64| since < self.since) {
            self.place.set(self.place.get() + 1);
            self.id.replace(remembered_id(self.place.get()));
        }
        // Either the younger page learns of this one, or all learn what this page takes instead.
        self.announce();
    }
}

fn remembered_id(place: u32) -> String {
    remembered::client_id(place).filter(|id| is_id(id)).unwrap_or_else(|| {
        let id = new_id();
        remembered::set_client_id(place, &id);
        id
    })
}

/// 128 random bits as text.
fn new_id() -> String {
    let mut bytes = [0_u8; 16];
    // `getRandomValues` works on insecure pages too; `randomUUID` does not.
    let filled = window()
        .crypto()
        .is_ok_and(|crypto| crypto.get_random_values_with_u8_array(&mut bytes).is_ok());
    if !filled {
        // Every browser that runs WebAssembly has `crypto`. An id is needed all the same, and it is no secret.
        bytes.fill_with(|| (js_sys::Math::random() * 256.0) as u8);
    }
    format!("{:032x}", u128::from_be_bytes(bytes))
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
