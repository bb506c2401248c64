//! One WebSocket. What arrives is stamped before anything else is done with it.

use js_sys::{ArrayBuffer, JsString, Uint8Array};
use protocol::time::ClientTime;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

use super::{host_clock, in_words};
use crate::player::Disconnect;

/// Largest message that is taken, in bytes or characters: album art is the largest that makes sense. More is
/// a server gone wrong, and a phone's memory at stake.
const MESSAGE_LENGTH_MAX: u32 = 4 << 20;
/// Bytes that may wait to be sent: hours of time requests. A peer that takes none of them is gone.
const UNSENT_BYTES_MAX: u32 = 64 << 10;
/// Close code of an ordinary end (RFC 6455, section 7.4.1).
const CLOSE_NORMAL: u16 = 1000;
/// Close code that stands for "no close frame" (RFC 6455, section 7.4.1).
const CLOSE_ABNORMAL: u16 = 1006;
/// Close code for a message that is too big (RFC 6455, section 7.4.1).
const CLOSE_TOO_BIG: u16 = 1009;

/// What came from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The connection is open.
    Opened,
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// The connection ended, or did not come about. The last arrival.
    Closed(Disconnect),
}

/// A connection, or an attempt at one. Dropping it closes it; nothing arrives from then on, and what was
/// sent before is still delivered.
#[derive(Debug)]
pub struct Socket {
    socket: WebSocket,
    handlers: Option<Handlers>,
}

/// What the browser calls. Must live as long as the socket may call it.
#[derive(Debug)]
struct Handlers {
    open: Closure<dyn Fn()>,
    message: Closure<dyn Fn(MessageEvent)>,
    close: Closure<dyn Fn(CloseEvent)>,
}

impl Socket {
    /// Begins to connect to `url`. `on_arrival` is called with each arrival and its time, never before this
    /// returns; it may drop the socket.
    ///
    /// # Errors
    ///
    /// The browser's words when it refuses to try: `url` is none, or an `https` page names a `ws` server.
    pub fn open(
        url: &str,
        on_arrival: impl Fn(ClientTime, Arrival) + Clone + 'static,
    ) -> Result<Self, Disconnect> {
        let socket = WebSocket::new(url).map_err(|thrown| lost(in_words(&thrown)))?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let handlers = Handlers::new(on_arrival);
        socket.set_onopen(Some(handlers.open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(handlers.message.as_ref().unchecked_ref()));
        // There is no handler for `error`: it says nothing, and `close` follows it.
        socket.set_onclose(Some(handlers.close.as_ref().unchecked_ref()));
        Ok(Self { socket, handlers: Some(handlers) })
    }

    /// Sends `text`.
    ///
    /// # Errors
    ///
    /// When the connection is not open, or its other end has long stopped taking data. Drop the socket then.
    pub fn send(&self, text: &str) -> Result<(), Disconnect> {
        if self.socket.ready_state() != WebSocket::OPEN {
            return Err(lost("the connection is not open".to_owned()));
        }
        if self.socket.buffered_amount() > UNSENT_BYTES_MAX {
            return Err(lost("the server takes no data".to_owned()));
        }
        self.socket.send_with_str(text).map_err(|thrown| lost(in_words(&thrown)))
    }
}

impl Handlers {
    fn new(on_arrival: impl Fn(ClientTime, Arrival) + Clone + 'static) -> Self {
        let on_open = on_arrival.clone();
        let on_message = on_arrival.clone();
        Self {
            open: Closure::new(move || on_open(host_clock::now(), Arrival::Opened)),
            message: Closure::new(move |event: MessageEvent| {
                // First of all: any work before this line would count as network delay. `event.timeStamp` is
                // no earlier: Chromium makes the event when it gets round to this handler (measured behind a
                // page that was busy for 80 ms: 0.1 ms apart).
                let now = host_clock::now();
                on_message(now, unpack(&event));
            }),
            close: Closure::new(move |event: CloseEvent| {
                let how = Disconnect { code: event.code(), reason: event.reason() };
                on_arrival(host_clock::now(), Arrival::Closed(how));
            }),
        }
    }
}

fn unpack(event: &MessageEvent) -> Arrival {
    let data = event.data();
    if let Some(text) = data.dyn_ref::<JsString>() {
        if text.length() <= MESSAGE_LENGTH_MAX {
            return Arrival::Text(text.into());
        }
    } else if let Some(buffer) = data.dyn_ref::<ArrayBuffer>()
        && buffer.byte_length() <= MESSAGE_LENGTH_MAX
    {
        return Arrival::Binary(Uint8Array::new(buffer).to_vec());
    }
    Arrival::Closed(Disconnect {
        code: CLOSE_TOO_BIG,
        reason: "the server sent a message that is too big".to_owned(),
    })
}

fn lost(reason: String) -> Disconnect {
    Disconnect { code: CLOSE_ABNORMAL, reason }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        // Throws only for codes that a page may not use.
        let _ = self.socket.close_with_code(CLOSE_NORMAL);
        // This may be running inside one of the handlers: they go when it has returned.
        let handlers = self.handlers.take();
        wasm_bindgen_futures::spawn_local(async move { drop(handlers) });
    }
}
