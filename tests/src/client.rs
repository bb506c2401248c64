//! A client that speaks the wire by hand.
//!
//! It builds and reads JSON itself and knows none of the project's own message types, so that a mistake
//! shared by both ends of those types cannot hide here.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async_with_config, connect_async_with_config,
};

/// Longest wait for anything that a server sends at once. Milliseconds, but for a busy machine.
pub const REPLY_LIMIT: Duration = Duration::from_secs(10);

/// Byte that begins an audio chunk, and the length of its header (wire reference 3.2).
pub(crate) const AUDIO_CHUNK: u8 = 4;
pub(crate) const AUDIO_HEADER_BYTES: usize = 9;

/// One connection.
#[derive(Debug)]
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    origin: Instant,
}

/// What came.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// A text message, parsed.
    Json(Value),
    /// An audio chunk.
    Chunk(Chunk),
    /// A close frame.
    Close {
        /// Its code.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// The end of the connection without a close frame.
    Lost,
}

/// An audio chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// When its first frame is due, server's clock, microseconds.
    pub timestamp: i64,
    /// Encoded audio.
    pub audio: Vec<u8>,
    /// When it came, this client's clock, microseconds.
    pub arrived: i64,
}

/// The server's clock seen from here.
#[derive(Clone, Copy, Debug)]
pub struct Offset {
    /// Server's clock minus this client's, microseconds.
    pub server_ahead: i64,
    /// Half the round trip: how wrong that can be at most.
    pub error: i64,
}

/// What a player says of itself in its hello.
#[derive(Clone, Debug)]
pub struct Hello {
    /// Names the client.
    pub client_id: String,
    /// `(codec, channels, rate, bits)` in order of preference.
    pub formats: Vec<(&'static str, u8, u32, u8)>,
    /// Bytes that it can hold.
    pub buffer_capacity: u64,
    /// Asks for the controller and the party role, with this key if there is one.
    pub controls: Option<Option<&'static str>>,
}

impl Hello {
    /// A player of 48 kHz 16-bit stereo PCM with room for five seconds and more.
    #[must_use]
    pub fn pcm16(client_id: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            formats: vec![("pcm", 2, 48_000, 16)],
            buffer_capacity: 2_000_000,
            controls: None,
        }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> Value {
        let formats: Vec<Value> = self
            .formats
            .iter()
            .map(|(codec, channels, rate, bits)| {
                json!({"codec": codec, "channels": channels, "sample_rate": rate, "bit_depth": bits})
            })
            .collect();
        // Payload first: the order of keys is free, and some peers write it so.
        let mut message = json!({
            "payload": {
                "client_id": self.client_id,
                "name": self.client_id,
                "version": 1,
                "supported_roles": ["player@v1", "metadata@v1"],
                "player@v1_support": {
                    "supported_formats": formats,
                    "buffer_capacity": self.buffer_capacity,
                    "supported_commands": ["volume", "mute"],
                },
            },
            "type": "client/hello",
        });
        if let Some(key) = self.controls {
            let payload = &mut message["payload"];
            payload["supported_roles"] =
                json!(["player@v1", "metadata@v1", "controller@v1", "_partyline@v1"]);
            payload["_partyline@v1_support"] = json!({ "host_key": key });
        }
        message
    }
}

impl Client {
    /// Opens a connection and sends nothing.
    ///
    /// # Errors
    ///
    /// When there is no WebSocket at `url`.
    pub async fn connect(url: &str) -> Result<Self> {
        let config = WebSocketConfig::default();
        let connected = timeout(REPLY_LIMIT, connect_async_with_config(url, Some(config), true));
        let (socket, _) = connected.await.context(url.to_owned())??;
        Ok(Self { socket, origin: Instant::now() })
    }

    /// As [`Self::connect`], with a system that keeps no more than about `bytes` that have not been read.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub async fn connect_narrow(url: &str, bytes: u32) -> Result<Self> {
        let address = url.split('/').nth(2).context("no host")?;
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(bytes)?;
        let stream = timeout(REPLY_LIMIT, socket.connect(address.parse()?)).await??;
        let stream = MaybeTlsStream::Plain(stream);
        let config = WebSocketConfig::default().read_buffer_size(bytes as usize);
        let connected = client_async_with_config(url, stream, Some(config));
        let (socket, _) = timeout(REPLY_LIMIT, connected).await??;
        Ok(Self { socket, origin: Instant::now() })
    }

    /// Opens a connection and says hello. Returns the server's hello as well.
    ///
    /// # Errors
    ///
    /// When something other than a hello comes back.
    pub async fn greet(url: &str, hello: &Hello) -> Result<(Self, Value)> {
        let mut client = Self::connect(url).await?;
        client.send(&hello.message()).await?;
        let Received::Json(reply) = client.receive().await? else {
            bail!("the first message after the hello is no text");
        };
        ensure!(reply["type"] == "server/hello", "first message: {reply}");
        Ok((client, reply["payload"].clone()))
    }

    /// A player that said hello, stated its needs and has its `stream/start`. `lead_ms` is what it asks for
    /// between the first chunk and its time.
    ///
    /// # Errors
    ///
    /// When the server does not play its part.
    pub async fn listen(url: &str, hello: &Hello, lead_ms: u32) -> Result<(Self, Value)> {
        let (mut client, _) = Self::greet(url, hello).await?;
        client.send(&state(lead_ms)).await?;
        let start = client.expect("stream/start").await?;
        Ok((client, start))
    }

    /// Microseconds on this client's clock.
    #[must_use]
    pub fn now(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// Sends a text message.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub async fn send(&mut self, message: &Value) -> Result<()> {
        self.send_raw(Message::text(message.to_string())).await
    }

    /// Sends any WebSocket message.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub async fn send_raw(&mut self, message: Message) -> Result<()> {
        Ok(timeout(REPLY_LIMIT, self.socket.send(message)).await??)
    }

    /// The next message. Pings are answered and passed over.
    ///
    /// # Errors
    ///
    /// When nothing comes for [`REPLY_LIMIT`], or what comes is neither JSON nor an audio chunk.
    pub async fn receive(&mut self) -> Result<Received> {
        timeout(REPLY_LIMIT, self.next()).await.context("nothing comes")?
    }

    async fn next(&mut self) -> Result<Received> {
        loop {
            let Some(Ok(message)) = self.socket.next().await else {
                return Ok(Received::Lost);
            };
            let arrived = self.now();
            return Ok(match message {
                Message::Text(text) => Received::Json(serde_json::from_str(&text)?),
                Message::Binary(bytes) => Received::Chunk(Chunk::read(&bytes, arrived)?),
                Message::Close(Some(frame)) => {
                    Received::Close { code: frame.code.into(), reason: frame.reason.to_string() }
                }
                Message::Close(None) => Received::Close { code: 1005, reason: String::new() },
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            });
        }
    }

    /// The payload of the next message of one type; whatever else comes before is passed over.
    ///
    /// # Errors
    ///
    /// When the connection ends, or none comes for [`REPLY_LIMIT`].
    pub async fn expect(&mut self, message_type: &str) -> Result<Value> {
        let wanted = async {
            loop {
                match self.next().await? {
                    Received::Json(mut message) if message["type"] == message_type => {
                        return Ok(message["payload"].take());
                    }
                    Received::Json(_) | Received::Chunk(_) => {}
                    end => bail!("{end:?} instead of {message_type}"),
                }
            }
        };
        timeout(REPLY_LIMIT, wanted).await.with_context(|| format!("no {message_type}"))?
    }

    /// The next audio chunk; other messages before it are passed over.
    ///
    /// # Errors
    ///
    /// When the connection ends, or none comes for [`REPLY_LIMIT`].
    pub async fn chunk(&mut self) -> Result<Chunk> {
        loop {
            match self.receive().await? {
                Received::Chunk(chunk) => return Ok(chunk),
                Received::Json(_) => {}
                end => bail!("{end:?} instead of a chunk"),
            }
        }
    }

    /// The next `count` audio chunks.
    ///
    /// # Errors
    ///
    /// As [`Self::chunk`].
    pub async fn chunks(&mut self, count: usize) -> Result<Vec<Chunk>> {
        let mut chunks = Vec::with_capacity(count);
        while chunks.len() < count {
            chunks.push(self.chunk().await?);
        }
        Ok(chunks)
    }

    /// How the connection ends; what comes before is passed over.
    ///
    /// # Errors
    ///
    /// When it does not end within [`REPLY_LIMIT`].
    pub async fn end(&mut self) -> Result<Received> {
        let end = async {
            loop {
                match self.next().await? {
                    Received::Json(_) | Received::Chunk(_) => {}
                    end => return Ok(end),
                }
            }
        };
        timeout(REPLY_LIMIT, end).await.context("the connection stays open")?
    }

    /// Asks for the server's time once. Returns `server/time`'s payload and when it came.
    ///
    /// # Errors
    ///
    /// When no answer comes.
    pub async fn ask_time(&mut self) -> Result<(Value, i64)> {
        let sent = self.now();
        let request = json!({"type": "client/time", "payload": {"client_transmitted": sent}});
        self.send(&request).await?;
        let reply = self.expect("server/time").await?;
        Ok((reply, self.now()))
    }

    /// The server's clock from the fastest of eight exchanges.
    ///
    /// # Errors
    ///
    /// When an answer does not come or is not one.
    pub async fn offset(&mut self) -> Result<Offset> {
        let mut best: Option<Offset> = None;
        for _ in 0..8 {
            let (reply, back) = self.ask_time().await?;
            let stamp =
                |name: &str| reply[name].as_i64().with_context(|| format!("{name}: {reply}"));
            let sent = stamp("client_transmitted")?;
            let (received, transmitted) = (stamp("server_received")?, stamp("server_transmitted")?);
            let offset = Offset {
                server_ahead: i64::midpoint(received - sent, transmitted - back),
                error: ((back - sent) - (transmitted - received)) / 2,
            };
            if best.is_none_or(|best| offset.error < best.error) {
                best = Some(offset);
            }
        }
        best.context("no exchange")
    }

    /// Sends some bytes as they are and resets the connection, as a system does whose cable is cut.
    ///
    /// # Errors
    ///
    /// When the connection was gone already.
    pub async fn reset(self, bytes: &[u8]) -> Result<()> {
        let MaybeTlsStream::Plain(mut stream) = self.socket.into_inner() else {
            bail!("not a plain socket");
        };
        stream.write_all(bytes).await?;
        stream.set_zero_linger()?;
        Ok(())
    }

    /// Says goodbye and closes.
    ///
    /// # Errors
    ///
    /// When the connection was gone already.
    pub async fn leave(mut self) -> Result<()> {
        let goodbye = json!({"type": "client/goodbye", "payload": {"reason": "user_request"}});
        self.send(&goodbye).await?;
        Ok(timeout(REPLY_LIMIT, self.socket.close(None)).await??)
    }
}

impl Chunk {
    fn read(bytes: &[u8], arrived: i64) -> Result<Self> {
        let (header, audio) = bytes
            .split_at_checked(AUDIO_HEADER_BYTES)
            .context("a binary message without header")?;
        ensure!(header[0] == AUDIO_CHUNK, "binary message {}", header[0]);
        let mut timestamp = [0; 8];
        timestamp.copy_from_slice(&header[1..]);
        Ok(Self { timestamp: i64::from_be_bytes(timestamp), audio: audio.to_vec(), arrived })
    }
}

/// A player's first `client/state`, as sendspin-js 3.2.1 writes it, asking for `lead_ms`.
#[must_use]
pub fn state(lead_ms: u32) -> Value {
    json!({
        "type": "client/state",
        "payload": {
            "player": {
                "state": "synchronized",
                "volume": 100,
                "muted": false,
                "static_delay_ms": 0,
                "required_lead_time_ms": lead_ms,
                "min_buffer_ms": lead_ms,
                "supported_commands": ["set_static_delay"],
            },
        },
    })
}
