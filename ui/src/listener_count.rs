//! How many listen, and whether the host is there: asked of the server in a fixed rhythm, never guessed.

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Connections that listen, over the whole party.
    pub total_clients: u32,
    /// The server has nothing to play, because whoever makes the sound is away. Servers that say nothing of it do not wait.
    #[serde(default)]
    pub waiting: bool,
}

/// Asks until dropped.
#[derive(Debug)]
pub struct Poll {
    _every: Interval,
    over: Rc<Cell<bool>>,
}

impl Poll {
    /// Asks `url` now and every [`POLL_MS`]; `status` gets each answer, and `None` when there is none.
    #[must_use]
    pub fn start(url: String, status: WriteSignal<Option<Status>>) -> Self {
        let over = Rc::new(Cell::new(false));
        let ask_once = {
            let over = Rc::clone(&over);
            move || spawn_local(update(url.clone(), Rc::clone(&over), status))
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
async fn update(url: String, over: Rc<Cell<bool>>, status: WriteSignal<Option<Status>>) {
    let answer = ask(&url).await;
    if !over.get() {
        status.try_set(answer);
    }
}

/// `None` for every kind of failure: no connection, too late, not the expected shape.
async fn ask(url: &str) -> Option<Status> {
    let request = AbortController::new().ok()?;
    let signal = request.signal();
    // Counts for the body as well: it lives until the answer is read.
    let _limit = Timeout::new(ANSWER_MS_MAX, move || request.abort());
    let response = Request::get(url).abort_signal(Some(&signal)).send().await.ok()?;
    if !response.ok() {
        return None;
    }
    response.json().await.ok()
}
