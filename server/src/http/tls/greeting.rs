//! What happens before the first request: encryption is agreed on, or those who came without are told where to go.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, HOST, LOCATION, UPGRADE};
use axum::http::uri::Authority;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use rustls::server::Acceptor;
use rustls_acme::is_tls_alpn_challenge;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::Tls;
use crate::http::accept::Visit;

/// How long it may take until a connection is encrypted: as long as a request's head.
const GREET_WITHIN: Duration = Duration::from_secs(10);

/// The first byte of whoever wants encryption: a record of the handshake (RFC 8446, 5.1). No request begins with it.
const HANDSHAKE: u8 = 0x16;

/// What a connection turns out to be.
enum Greeted {
    Encrypted(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
    /// An ACME server has seen what it wanted to see, or nobody wants anything.
    Done,
}

/// Encrypts a connection and answers its requests.
pub(crate) async fn greet(tls: Tls, stream: TcpStream, visit: Visit) {
    let address = visit.address();
    let greeted = tokio::select! {
        greeted = timeout(GREET_WITHIN, agree(&tls, stream)) => greeted,
        () = visit.told() => return,
    };
    match greeted {
        Ok(Ok(Greeted::Encrypted(stream))) => visit.answer(*stream).await,
        Ok(Ok(Greeted::Plain(stream))) => {
            visit.with(Router::new().fallback(lead)).answer(stream).await;
        }
        Ok(Ok(Greeted::Done)) => {}
        Ok(Err(error)) => tracing::debug!(%address, %error, "no encryption was agreed on"),
        Err(_) => tracing::debug!(%address, "says nothing"),
    }
}

async fn agree(tls: &Tls, stream: TcpStream) -> io::Result<Greeted> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => return Ok(Greeted::Done),
        _ if first != [HANDSHAKE] => return Ok(Greeted::Plain(stream)),
        _ => {}
    }
    let asked = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    if let Some(challenge) = &tls.challenge
        && is_tls_alpn_challenge(&asked.client_hello())
    {
        // The certificate in the handshake is the answer (RFC 8737, 3).
        asked.into_stream(challenge.clone()).await?.shutdown().await?;
        return Ok(Greeted::Done);
    }
    Ok(Greeted::Encrypted(Box::new(asked.into_stream(tls.config.clone()).await?)))
}

/// Sends whoever asks without encryption to the same place with it. Never remembered by browsers: the same port may be
/// without encryption tomorrow.
async fn lead(request: Request) -> Response {
    let headers = request.headers();
    if headers.contains_key(UPGRADE) {
        let words = "this server speaks TLS only: expected wss:// instead of ws://\n";
        return (StatusCode::BAD_REQUEST, words).into_response();
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    match host.and_then(|host| secure_url(host, request.uri())) {
        Some(url) => {
            let headers = [(LOCATION, url.as_str()), (CACHE_CONTROL, "no-store")];
            (StatusCode::PERMANENT_REDIRECT, headers, "this server speaks TLS only\n")
                .into_response()
        }
        None => (StatusCode::BAD_REQUEST, "this server speaks TLS only: expected https://\n")
            .into_response(),
    }
}

/// The same place with encryption, if `host` is one.
fn secure_url(host: &str, uri: &Uri) -> Option<String> {
    let authority: Authority = host.parse().ok()?;
    let is_host = !authority.host().is_empty() && !host.contains('@');
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    (is_host && path.starts_with('/')).then(|| format!("https://{authority}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_is_named() {
        for (host, uri, url) in [
            ("party.test:8927", "/a?b=c", Some("https://party.test:8927/a?b=c")),
            ("[::1]:8927", "/", Some("https://[::1]:8927/")),
            ("party.test", "http://other.test/a", Some("https://party.test/a")),
            ("party.test", "//other.test/", Some("https://party.test//other.test/")),
            ("", "/", None),
            ("me@party.test", "/", None),
            ("party.test/path", "/", None),
            ("party test", "/", None),
            ("party.test", "*", None),
        ] {
            assert_eq!(secure_url(host, &uri.parse().unwrap()).as_deref(), url, "{host} {uri}");
        }
    }
}
