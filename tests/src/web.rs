//! A web server that says what a test wants it to say: a station that breaks off, a page where music should be.

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Gives everybody `head` and `body`. Returns its address; it ends with the test's runtime.
///
/// # Errors
///
/// When there is no free port.
pub async fn web(head: &str, body: Vec<u8>) -> Result<String> {
    web_in_turn(vec![[head.as_bytes(), &body].concat()]).await
}

/// As [`web`], with an answer, head and body, for each connection in turn: the last one from then on.
///
/// # Errors
///
/// As [`web`].
pub async fn web_in_turn(answers: Vec<Vec<u8>>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/stream", listener.local_addr()?);
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        let mut answer = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            answer = answers.next().unwrap_or(answer);
            tokio::spawn(reply(stream, answer.clone()));
        }
    });
    Ok(url)
}

async fn reply(mut stream: TcpStream, answer: Vec<u8>) -> Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    stream.write_all(&answer).await?;
    Ok(stream.shutdown().await?)
}
