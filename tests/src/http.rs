//! HTTP by hand: paths go out exactly as written, and bodies come in exactly as sent.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for a response.
const RESPONSE_LIMIT: Duration = Duration::from_secs(10);

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case. A repeated one is joined with commas.
    pub headers: BTreeMap<String, String>,
    /// Body as sent: still compressed, if it was.
    pub body: Vec<u8>,
}

impl Response {
    /// A header's value, or the empty string.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body without its content encoding.
    ///
    /// # Errors
    ///
    /// When the encoding is unknown, or the body is not encoded so.
    pub fn decoded(&self) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        match self.header("content-encoding") {
            "" => plain.extend_from_slice(&self.body),
            "br" => {
                brotli_decompressor::Decompressor::new(&self.body[..], 4096)
                    .read_to_end(&mut plain)?;
            }
            "gzip" => {
                GzDecoder::new(&self.body[..]).read_to_end(&mut plain)?;
            }
            other => bail!("content-encoding {other:?}"),
        }
        Ok(plain)
    }

    /// The body as text.
    ///
    /// # Errors
    ///
    /// As [`Self::decoded`], and when it is not UTF-8.
    pub fn text(&self) -> Result<String> {
        Ok(String::from_utf8(self.decoded()?)?)
    }
}

/// `GET path` without further headers.
///
/// # Errors
///
/// As [`request`].
pub async fn get(port: u16, path: &str) -> Result<Response> {
    request(port, &format!("GET {path}"), &[]).await
}

/// Sends one request on a connection of its own. `line` is method and target, as in `GET /`.
///
/// # Errors
///
/// When no well-formed response comes in time.
pub async fn request(port: u16, line: &str, headers: &[(&str, &str)]) -> Result<Response> {
    send(port, line, headers, "").await
}

/// `POST` of a text to a path of the server at a port.
///
/// # Errors
///
/// As [`request`].
pub async fn post(to: (u16, &str), headers: &[(&str, &str)], body: &str) -> Result<Response> {
    let length = body.len().to_string();
    let headers = [headers, &[("Content-Length", &length)]].concat();
    send(to.0, &format!("POST {}", to.1), &headers, body).await
}

async fn send(port: u16, line: &str, headers: &[(&str, &str)], body: &str) -> Result<Response> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let mut head =
            format!("{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n");
        for (name, value) in headers {
            for part in [name, ": ", value, "\r\n"] {
                head.push_str(part);
            }
        }
        head.push_str("\r\n");
        head.push_str(body);
        stream.write_all(head.as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        parse(&bytes)
    };
    timeout(RESPONSE_LIMIT, exchange)
        .await
        .context("no response in time")?
        .with_context(|| line.to_owned())
}

fn parse(bytes: &[u8]) -> Result<Response> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").context("no end of headers")?;
    let head = std::str::from_utf8(&bytes[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?;
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').with_context(|| format!("header {line:?}"))?;
        headers
            .entry(name.to_ascii_lowercase())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(value.trim());
            })
            .or_insert_with(|| value.trim().to_owned());
    }
    let body = &bytes[end + 4..];
    ensure!(
        !headers.contains_key("transfer-encoding"),
        "assets and status are sent whole, with their length"
    );
    Ok(Response { status: status.parse()?, headers, body: body.to_vec() })
}
