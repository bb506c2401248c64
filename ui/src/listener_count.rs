//! How many listen: asked of the server in a fixed rhythm, never guessed.

use std::cell::Cell;
use std::rc::Rc;

use gloo_net::http::Request;
use gloo_timers::callback::{Interval, Timeout};
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::Deserialize;
use web_sys::AbortController;

/// Time between two questions, milliseconds. A person who joins shows up within a few seconds, and a thousand
/// pages ask a server 200 times a second, which is nothing beside their audio.
pub const POLL_MS: u32 = 5_000;

/// Time after which an answer no longer counts, milliseconds. Below [`POLL_MS`]: at most one question is on its way.
const ANSWER_MS_MAX: u32 = 4_000;

/// The part of `/api/status` that the page needs.
#[derive(Deserialize)]
struct Status {
    /// Connections that listen, over the whole party.
    total_clients: u32,
}

/// Asks until dropped.
#[derive(Debug)]
pub struct Poll {
    _every: Interval,
    over: Rc<Cell<bool>>,
}

impl Poll {
    /// Asks `url` now and every [`POLL_MS`]; `count` gets each answer, and `None` when there is none.
    #[must_use]
    pub fn start(url: String, count: WriteSignal<Option<u32>>) -> Self {
        let over = Rc::new(Cell::new(false));
        let ask_once = {
            let over = Rc::clone(&over);
            move || spawn_local(update(url.clone(), Rc::clone(&over), count))
        };
        ask_once();
        Self { _every: Interval::new(POLL_MS, ask_once), over }
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.over.set(true);
    }
}

/// Asks once. An answer that comes after the end of listening is not shown.
async fn update(url: String, over: Rc<Cell<bool>>, count: WriteSignal<Option<u32>>) {
    let answer = ask(&url).await;
    if !over.get() {
        count.try_set(answer);
    }
}

/// `None` for every kind of failure: no connection, too late, not the expected shape.
async fn ask(url: &str) -> Option<u32> {
    let request = AbortController::new().ok()?;
    let signal = request.signal();
    // Counts for the body as well: it lives until the answer is read.
    let _limit = Timeout::new(ANSWER_MS_MAX, move || request.abort());
    let response = Request::get(url).abort_signal(Some(&signal)).send().await.ok()?;
    if !response.ok() {
        return None;
    }
    let status: Status = response.json().await.ok()?;
    Some(status.total_clients)
}
