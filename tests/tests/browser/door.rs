//! The ways to the page that are not plain http on the machine itself.

use std::fs;

use anyhow::{Context, Result};
use e2e::browser::Browser;
use rcgen::{CertificateParams, KeyPair};

use crate::{Stage, join};

/// A name that is not of this machine, so that only encryption makes its pages secure.
const NAME: &str = "party.test";

#[tokio::test]
async fn a_page_that_the_server_encrypts_plays_through_the_worklet() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new([NAME.to_owned()])?.self_signed(&key)?;
    let paths =
        [("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())].map(|(name, text)| {
            let path = folder.path().join(name);
            fs::write(&path, text).map(|()| path.to_string_lossy().into_owned())
        });
    let [certificate, key] = paths;
    let stage = Stage::start(&["--tls-cert", &certificate?, "--tls-key", &key?]).await?;
    let mapped = format!("--host-resolver-rules=MAP {NAME} 127.0.0.1");
    // Nobody has signed it: a person would have to agree.
    let browser = Browser::start_with(&[&mapped, "--ignore-certificate-errors"]).await?;
    join(&browser, &format!("https://{NAME}:{}/", stage.server.port())).await?;
    assert_eq!(browser.run("return isSecureContext").await?, true);
    stage.hear_the_file(&browser, 3.0).await.context("over https")?;
    let stats = browser.stats().await?;
    assert_eq!(stats["output"], "worklet");
    assert_eq!((&stats["underruns"], &stats["lateChunks"]), (&0.into(), &0.into()), "{stats}");
    browser.screenshot("https").await?;
    browser.assert_no_errors().await?;
    browser.quit().await
}
