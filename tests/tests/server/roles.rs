//! What a screen gets: pictures, colours, figures of the sound.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use anyhow::{Context, Result, bail};
use e2e::client::REPLY_LIMIT;
use e2e::http::get;
use e2e::process::ServerProcess;
use e2e::signal::Stereo16;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::fixture;

/// A client that shows everything, and what it was sent.
pub(crate) struct Screen {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    roles: Value,
    pub(crate) metadata: Value,
    pub(crate) color: Value,
    /// The newest `stream/start` of each role.
    streams: BTreeMap<String, Value>,
    /// By message id: time and content of each.
    binary: BTreeMap<u8, Vec<(i64, Vec<u8>)>>,
}

impl Screen {
    pub(crate) async fn join(url: &str) -> Result<Self> {
        Self::join_at(url, 30).await
    }

    /// One that gets so many figures of a kind in a second at most.
    pub(crate) async fn join_at(url: &str, rate_max: u32) -> Result<Self> {
        let (mut socket, _) = timeout(REPLY_LIMIT, connect_async(url)).await??;
        let player = json!({
            "supported_formats": [{"codec": "pcm", "channels": 2, "sample_rate": 48_000, "bit_depth": 16}],
            "buffer_capacity": 2_000_000,
            "supported_commands": [],
        });
        let hello = json!({"type": "client/hello", "payload": {
            "client_id": "wall",
            "name": "Wall",
            "version": 1,
            "supported_roles":
                ["player@v1", "metadata@v1", "artwork@v1", "color@v1", "visualizer@v1"],
            "player@v1_support": player,
            "artwork@v1_support": {"channels": [
                {"source": "album", "format": "jpeg", "media_width": 120, "media_height": 100},
                {"source": "album", "format": "png", "media_width": 40, "media_height": 40},
            ]},
            "visualizer@v1_support": {
                "types": ["loudness", "f_peak", "spectrum", "beat", "peak"],
                "buffer_capacity": 100_000,
                "rate_max": rate_max,
                "spectrum": {"n_disp_bins": 16, "scale": "mel", "f_min": 40, "f_max": 16_000},
            },
        }});
        let state = json!({"type": "client/state", "payload": {"state": "synchronized"}});
        for message in [hello, state] {
            socket.send(Message::text(message.to_string())).await?;
        }
        Ok(Self {
            socket,
            roles: Value::Null,
            metadata: Value::Null,
            color: Value::Null,
            streams: BTreeMap::new(),
            binary: BTreeMap::new(),
        })
    }

    /// Takes what comes until all of it together is what is waited for.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        is_there: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let taking = async {
            while !is_there(self) {
                match self.socket.next().await.context("the connection ended")?? {
                    Message::Text(text) => self.take(&serde_json::from_str(&text)?),
                    Message::Binary(bytes) => {
                        let (header, content) = bytes.split_at_checked(9).context("too short")?;
                        let time = i64::from_be_bytes(header[1..].try_into()?);
                        let same = self.binary.entry(header[0]).or_default();
                        same.push((time, content.to_vec()));
                    }
                    Message::Close(close) => bail!("closed: {close:?}"),
                    _ => {}
                }
            }
            Ok(())
        };
        timeout(REPLY_LIMIT, taking).await.with_context(|| format!("no {what}"))?
    }

    fn take(&mut self, message: &Value) {
        let payload = &message["payload"];
        match message["type"].as_str() {
            Some("server/hello") => self.roles = payload["active_roles"].clone(),
            Some("server/state") => {
                for (name, kept) in [("metadata", &mut self.metadata), ("color", &mut self.color)] {
                    if let Some(state) = payload.get(name) {
                        *kept = state.clone();
                    }
                }
            }
            Some("stream/start") => {
                for (role, stream) in payload.as_object().into_iter().flatten() {
                    self.streams.insert(role.clone(), stream.clone());
                }
            }
            _ => {}
        }
    }

    /// Time and content of all that came with that id.
    pub(crate) fn got(&self, id: u8) -> &[(i64, Vec<u8>)] {
        self.binary.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The newest picture of a channel, if it shows one.
    pub(crate) fn picture(&self, channel: u8) -> Option<&(i64, Vec<u8>)> {
        self.got(8 + channel).last().filter(|(_, image)| !image.is_empty())
    }

    pub(crate) fn has_all_of_the_picture(&self) -> bool {
        self.picture(0).is_some()
            && self.picture(1).is_some()
            && self.color["primary"].is_array()
            && self.metadata["artwork_url"].is_string()
    }
}

fn contrast(one: &Value, other: &Value) -> f64 {
    let luminance = |color: &Value| -> f64 {
        let parts = [(0, 0.2126), (1, 0.7152), (2, 0.0722)];
        let light = parts.map(|(part, weight)| {
            let part = color[part].as_f64().unwrap_or(f64::NAN) / 255.0;
            let linear =
                if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) };
            weight * linear
        });
        light.into_iter().sum()
    };
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[tokio::test]
async fn a_screen_gets_the_picture_its_colours_and_figures_of_the_sound() -> Result<()> {
    let picture: OsString = fixture("picture.flac").into();
    let server = ServerProcess::start(&["--source".into(), picture]).await?;
    let mut screen = Screen::join(&server.socket_url()).await?;
    screen.until("picture", Screen::has_all_of_the_picture).await?;
    assert_eq!(screen.roles.as_array().map(Vec::len), Some(5), "{}", screen.roles);

    // Stamped for the moment the track is heard, and in the shapes that were announced.
    let since = screen.metadata["timestamp"].as_i64().context("timestamp")?;
    let channels = &screen.streams["artwork"]["channels"];
    assert_eq!((&channels[0]["width"], &channels[0]["height"]), (&json!(120), &json!(100)));
    let (time, jpeg) = screen.picture(0).context("a picture")?;
    assert!(*time <= since && jpeg.starts_with(&[0xff, 0xd8]), "{time} {since}");
    // Width and height stand in the header of every PNG.
    let (_, png) = screen.picture(1).context("a picture")?;
    assert!(png.starts_with(b"\x89PNG"));
    assert_eq!(png[16..24], [0, 0, 0, 40, 0, 0, 0, 40]);

    let color = &screen.color;
    assert!(contrast(&color["background_dark"], &color["on_dark"]) >= 4.5, "{color}");
    assert!(contrast(&color["background_light"], &color["on_light"]) >= 4.5, "{color}");

    // The address is the one that the client used, and the picture is there.
    let url = screen.metadata["artwork_url"].as_str().context("artwork_url")?.to_owned();
    let path = url.strip_prefix(&server.page_url().trim_end_matches('/').to_owned());
    let path = path.with_context(|| url.clone())?;
    let whole = get(server.port(), path).await?;
    assert_eq!((whole.status, whole.header("content-type")), (200, "image/jpeg"));
    assert!(whole.header("cache-control").contains("immutable"));
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    assert_eq!(whole.header("cross-origin-resource-policy"), "cross-origin");
    assert!(whole.body.starts_with(&[0xff, 0xd8]));
    for wrong in ["/artwork/", "/artwork/..%2f..%2fetc%2fpasswd", "/artwork/0.jpg", &path[..20]] {
        assert_eq!(get(server.port(), wrong).await?.status, 404, "{wrong}");
    }

    // The fixture is 440 Hz.
    screen.until("figures", |screen| screen.got(18).len() > 60).await?;
    let peaks = screen.got(18);
    assert!(peaks.is_sorted_by_key(|(time, _)| *time));
    let near = |(_, peak): &&(i64, Vec<u8>)| {
        peak.len() == 4 && u16::from_be_bytes([peak[0], peak[1]]).abs_diff(440) < 5
    };
    assert!(peaks.iter().filter(near).count() > 50, "{peaks:?}");
    assert!(screen.got(16).iter().all(|(_, level)| level.len() == 2));
    assert!(screen.got(19).iter().all(|(_, bands)| bands.len() == 32));
    let span = peaks[60].0 - peaks[0].0;
    // Thirty in a second at most.
    assert!(span > 1_900_000, "{span}");
    Ok(())
}

#[tokio::test]
async fn a_hostile_picture_costs_only_itself() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let first = folder.path().join("first.wav");
    Stereo16::noise(48_000, 7).write_wav(&first)?;
    // A PNG that says it has more pixels than anybody has memory for.
    let mut bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bomb.extend(u32::MAX.to_be_bytes());
    bomb.extend(u32::MAX.to_be_bytes());
    bomb.extend([8, 6, 0, 0, 0, 1, 2, 3, 4]);
    bomb.resize(10_000, 0x55);
    fs::write(folder.path().join("Cover.png"), bomb)?;
    let sources =
        ["--source".into(), first.into(), "--source".into(), fixture("picture.flac").into()];
    let server = ServerProcess::start::<OsString>(&sources).await?;

    let mut screen = Screen::join(&server.socket_url()).await?;
    screen.until("title", |screen| screen.metadata["title"] == "first").await?;
    assert!(screen.metadata["artwork_url"].is_null(), "{}", screen.metadata);
    // The sound goes on, and the next track has its picture.
    screen.until("sound", |screen| screen.got(4).len() > 5).await?;
    screen.until("picture", Screen::has_all_of_the_picture).await?;
    assert_eq!(screen.metadata["title"], "Picture");
    assert!(screen.got(4).windows(2).all(|pair| pair[1].0 - pair[0].0 == 100_000));
    Ok(())
}
