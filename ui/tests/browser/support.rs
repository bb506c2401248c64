//! The page in a box of its own, and waiting for what it shows, with a limit.

use gloo_timers::future::TimeoutFuture;
use leptos::mount::{UnmountHandle, mount_to};
use leptos::prelude::*;
use leptos::task::tick;
use player_wasm::player::Event as PlayerEvent;
use ui::app::Page as Shown;
use ui::player_handle::PlayerHandle;
use ui::server_address::ServerAddress;
use wasm_bindgen::JsCast;
use web_sys::{
    Event, HtmlElement, HtmlInputElement, HtmlSelectElement, MouseEvent, MouseEventInit,
};

/// Limit of every wait, milliseconds: far above what anything here takes, far below the runner's patience.
const WAIT_MS_MAX: u32 = 10_000;

/// Time between two looks, milliseconds.
const LOOK_MS: u32 = 10;

/// More turns of the page's own tasks than any change of it needs.
const TICKS: u32 = 8;

/// A server that is not there: port 47 is reserved, and not one of those that browsers refuse to try.
pub(crate) const NOBODY: &str = "ws://127.0.0.1:47/sendspin";

/// The mounted page. Gone when dropped.
pub(crate) struct Page {
    root: HtmlElement,
    player: PlayerHandle,
    _mounted: Box<dyn std::any::Any>,
}

impl Page {
    /// Mounts the page of a server at `address`.
    pub(crate) fn open(address: &str) -> Self {
        let root = document().create_element("div").unwrap().unchecked_into::<HtmlElement>();
        document().body().unwrap().append_child(&root).unwrap();
        root.set_class_name("page");
        let server = ServerAddress::parse(address);
        let made = std::rc::Rc::new(std::cell::Cell::new(None));
        let keep = std::rc::Rc::clone(&made);
        let mounted: UnmountHandle<_> = mount_to(root.clone(), move || {
            let player = PlayerHandle::new(server);
            keep.set(Some(player));
            view! { <Shown player /> }.into_any()
        });
        let player = made.get().expect("made while mounting");
        Self { root, player, _mounted: Box::new(mounted) }
    }

    /// What it is mounted in.
    #[cfg(feature = "axe")]
    pub(crate) fn root(&self) -> &HtmlElement {
        &self.root
    }

    /// Lets the page hear what a player tells.
    pub(crate) fn tell(&self, events: impl IntoIterator<Item = PlayerEvent>) {
        for event in events {
            self.player.take(event);
        }
    }

    /// Whether the element with this `data-testid` is there to be used.
    pub(crate) fn is_visible(&self, id: &str) -> bool {
        self.find(id).is_some_and(|found| !found.hidden())
    }

    /// The element with this `data-testid`, if it is on the page.
    pub(crate) fn find(&self, id: &str) -> Option<HtmlElement> {
        let found = self.root.query_selector(&format!("[data-testid={id}]")).unwrap();
        found.map(JsCast::unchecked_into)
    }

    /// The element with this `data-testid`.
    pub(crate) fn get(&self, id: &str) -> HtmlElement {
        self.find(id).unwrap_or_else(|| panic!("no [data-testid={id}] on the page"))
    }

    /// Its text.
    pub(crate) fn text(&self, id: &str) -> String {
        self.get(id).text_content().unwrap_or_default()
    }

    /// Clicks it, as the `count`th click of a series at one place.
    pub(crate) fn click(&self, id: &str, count: i32) {
        let how = MouseEventInit::new();
        how.set_bubbles(true);
        how.set_detail(count);
        let click = MouseEvent::new_with_mouse_event_init_dict("click", &how).unwrap();
        self.get(id).dispatch_event(&click).unwrap();
    }

    /// Moves the volume slider to `volume`, as a finger does.
    pub(crate) fn slide_to(&self, volume: u8) {
        let slider = self.get("volume").unchecked_into::<HtmlInputElement>();
        slider.set_value(&volume.to_string());
        slider.dispatch_event(&Event::new("input").unwrap()).unwrap();
    }

    /// Types into a field and leaves it.
    pub(crate) fn type_into(&self, id: &str, text: &str) {
        let field = self.get(id).unchecked_into::<HtmlInputElement>();
        field.set_value(text);
        field.dispatch_event(&Event::new("change").unwrap()).unwrap();
    }

    /// Chooses `value` from the list with this `data-testid`.
    pub(crate) fn choose(&self, id: &str, value: &str) {
        let list = self.get(id).unchecked_into::<HtmlSelectElement>();
        list.set_value(value);
        list.dispatch_event(&Event::new("change").unwrap()).unwrap();
    }

    /// Where the volume slider stands.
    pub(crate) fn slider(&self) -> String {
        self.get("volume").unchecked_into::<HtmlInputElement>().value()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.root.remove();
    }
}

/// What `<body data-state>` says.
pub(crate) fn state() -> String {
    document().body().unwrap().get_attribute("data-state").unwrap_or_default()
}

/// Waits until the page has done what it does by itself.
#[cfg(feature = "axe")]
pub(crate) async fn settled() {
    for _ in 0..TICKS {
        tick().await;
    }
}

/// Waits for `condition`: first for what the page does by itself, then for network and timers.
///
/// # Panics
///
/// When it has not come true in time.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    // Effects run before the browser gets to anything else, such as a refused connection.
    for _ in 0..TICKS {
        if condition() {
            return;
        }
        tick().await;
    }
    for _ in 0..WAIT_MS_MAX / LOOK_MS {
        if condition() {
            return;
        }
        TimeoutFuture::new(LOOK_MS).await;
    }
    panic!("waited in vain until {what}");
}
