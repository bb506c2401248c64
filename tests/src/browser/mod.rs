//! A real Chromium with the real page in it, and what comes out of its audio output.
//!
//! Each [`Browser`] is a Chromium process of its own with a fresh profile, driven through a chromedriver
//! of its own. A script that runs before the page's own keeps what the page sends to its audio output; the
//! page is otherwise as everyone gets it.
//!
//! `CHROMEDRIVER` and `CHROME` name the programs, else they are found on the path.

mod recording;

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{By, ChromiumLikeCapabilities, DesiredCapabilities, WebDriver, WebElement};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};

pub use self::recording::{Piece, Recording};
use crate::process::{children, cpu_s};

/// Longest wait for chromedriver to start.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Where tests leave what they saw.
pub const SCREENSHOTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/e2e");

/// Highest portrait of a page, CSS pixels.
const HEIGHT_MAX: u64 = 3_000;

/// Runs before the page's own scripts.
const RECORDER: &str = include_str!("recorder.js");

/// What works headless, as root, and without a network. The autoplay policy is left as people have it: the
/// tests click.
const ARGUMENTS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=420,820",
];

/// One Chromium with one page. It ends with this value.
pub struct Browser {
    /// Not dropped: it would wait for the driver on a runtime that it blocks, and hide why a test failed.
    /// The processes end with the next two fields.
    driver: ManuallyDrop<WebDriver>,
    // In this order: the processes go before the profile that they write to.
    chromedriver: ProcessGroup,
    _profile: TempDir,
}

impl Browser {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// When Chromium or its driver is missing or does not start.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// As [`Self::start`], with more arguments for Chromium.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub async fn start_with(arguments: &[&str]) -> Result<Self> {
        let profile = tempfile::tempdir()?;
        let (chromedriver, port) =
            timeout(START_LIMIT, start_driver()).await.context("chromedriver says nothing")??;
        let mut capabilities = DesiredCapabilities::chrome();
        for argument in ARGUMENTS.iter().chain(arguments) {
            capabilities.add_arg(argument)?;
        }
        capabilities.add_arg(&format!("--user-data-dir={}", profile.path().display()))?;
        if let Some(chrome) = env::var_os("CHROME") {
            capabilities.set_binary(&chrome.to_string_lossy())?;
        }
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities).await?;
        let script = json!({ "source": RECORDER });
        driver.cdp().send_raw("Page.addScriptToEvaluateOnNewDocument", script).await?;
        Ok(Self { driver: ManuallyDrop::new(driver), chromedriver, _profile: profile })
    }

    /// Goes to an address, whatever is there.
    ///
    /// # Errors
    ///
    /// When Chromium itself has nothing to show.
    pub async fn go_to(&self, url: &str) -> Result<()> {
        Ok(self.driver.goto(url).await?)
    }

    /// Opens a page and waits until it can be used.
    ///
    /// # Errors
    ///
    /// When it does not come, or its Join button does not.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.go_to(url).await?;
        let ready = "return document.querySelector('[data-testid=join]:not(:disabled)') !== null";
        let waited = self.until(ready, Duration::from_secs(20)).await;
        if waited.is_err() {
            bail!("no Join button: {}", self.shown().await?);
        }
        Ok(())
    }

    /// Clicks what has this `data-testid`, as a person would.
    ///
    /// # Errors
    ///
    /// When it is not there, or something covers it.
    pub async fn click(&self, testid: &str) -> Result<()> {
        Ok(self.find(testid).await?.click().await?)
    }

    /// The text of what has this `data-testid`.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub async fn text(&self, testid: &str) -> Result<String> {
        Ok(self.find(testid).await?.text().await?)
    }

    async fn find(&self, testid: &str) -> Result<WebElement> {
        let selector = format!("[data-testid={testid}]");
        self.driver.find(By::Css(&selector)).await.with_context(|| format!("no {selector}"))
    }

    /// Runs a function body in the page.
    ///
    /// # Errors
    ///
    /// When it throws.
    pub async fn run(&self, script: &str) -> Result<Value> {
        Ok(self.driver.execute(script, vec![]).await?.json().clone())
    }

    /// What `window.partyline.stats()` says.
    ///
    /// # Errors
    ///
    /// When the page offers no such thing.
    pub async fn stats(&self) -> Result<Value> {
        self.run("return window.partyline.stats()").await
    }

    /// Waits until the page's `data-state` is `state`. An error state that is not waited for ends it at once.
    ///
    /// # Errors
    ///
    /// When that takes longer than `limit`; with what the page shows instead.
    pub async fn reaches(&self, state: &str, limit: Duration) -> Result<()> {
        let script = format!(
            "const now = document.body.dataset.state; return now === '{state}' || now === 'error'"
        );
        let waited = self.until(&script, limit).await;
        let now = self.run("return document.body.dataset.state").await?;
        if waited.is_ok() && now == state {
            return Ok(());
        }
        bail!("{now} instead of {state}: {}", self.shown().await?)
    }

    /// What the page shows and says of itself, for a test that fails.
    async fn shown(&self) -> Result<Value> {
        self.run(
            "return { text: document.body.innerText, stats: window.partyline?.stats(), \
             errors: window.__recorder?.errors }",
        )
        .await
    }

    /// Waits until a function body in the page returns `true`.
    ///
    /// # Errors
    ///
    /// When that takes longer than `limit`.
    pub async fn until(&self, script: &str, limit: Duration) -> Result<()> {
        let mut ticks = interval(Duration::from_millis(20));
        let asking = async {
            while self.run(script).await? != Value::Bool(true) {
                ticks.tick().await;
            }
            anyhow::Ok(())
        };
        timeout(limit, asking).await.with_context(|| format!("never true: {script}"))?
    }

    /// What left the page's audio output, from now until `seconds` of it are recorded.
    ///
    /// # Errors
    ///
    /// When the output does not run.
    pub async fn record(&self, seconds: f64) -> Result<Recording> {
        // A block begins before it is delivered, by up to 0.4 s on an insecure page: what it begins with may
        // be from before.
        let later = "const { contexts, frames } = window.__recorder; \
                     return frames() + contexts.at(-1).rate / 2";
        let begun = self.run(later).await?;
        let begun = begun.as_f64().context("no frame")?;
        self.record_from(begun, seconds).await
    }

    /// What left the page's audio output from frame `from` on, at least `seconds` of it.
    ///
    /// # Errors
    ///
    /// When the output does not run.
    pub async fn record_from(&self, from: f64, seconds: f64) -> Result<Recording> {
        let enough = format!(
            "const {{ contexts, frames }} = window.__recorder; \
             return contexts.length > 0 && frames() >= {from} + {seconds} * contexts.at(-1).rate"
        );
        let limit = Duration::from_secs_f64(2.0 * seconds + 20.0);
        self.until(&enough, limit).await.context("the audio output stands still")?;
        let value = self.run(&format!("return window.__recorder.read({from})")).await?;
        Recording::parse(&value)
    }

    /// Time of a core that the page's main thread took so far, seconds: with anything, and with scripts.
    ///
    /// # Errors
    ///
    /// When Chromium does not tell.
    pub async fn busy_s(&self) -> Result<[f64; 2]> {
        self.driver
            .cdp()
            .send_raw("Performance.enable", json!({ "timeDomain": "threadTicks" }))
            .await?;
        let told = self.driver.cdp().send_raw("Performance.getMetrics", json!({})).await?;
        let metrics = told["metrics"].as_array().context("no metrics")?;
        let value = |name| {
            let metric = metrics.iter().find(|metric| metric["name"] == name);
            metric.and_then(|metric| metric["value"].as_f64()).with_context(|| format!("no {name}"))
        };
        Ok([value("TaskDuration")?, value("ScriptDuration")?])
    }

    /// Time of a core that all processes of this Chromium and its driver took so far, seconds: in ticks of 10 ms.
    ///
    /// # Errors
    ///
    /// On a system without `/proc`.
    pub fn all_busy_s(&self) -> Result<f64> {
        let first = self.chromedriver.0.id().context("chromedriver is gone")?;
        let mut family = BTreeSet::from([first]);
        let mut next = vec![first];
        while let Some(parent) = next.pop() {
            next.extend(children(parent)?.into_iter().filter(|child| family.insert(*child)));
        }
        // One that has just ended is none.
        Ok(family.into_iter().filter_map(|id| cpu_s(id).ok()).sum())
    }

    /// Has the system around the page say that less motion is wanted, or not.
    ///
    /// # Errors
    ///
    /// When Chromium does not do it.
    pub async fn want_less_motion(&self, less: bool) -> Result<()> {
        let value = if less { "reduce" } else { "no-preference" };
        let feature = json!({ "name": "prefers-reduced-motion", "value": value });
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": [feature] })).await
    }

    /// Lets the page's processor be `times` as slow.
    ///
    /// # Errors
    ///
    /// When Chromium does not do it.
    pub async fn slow_down(&self, times: f64) -> Result<()> {
        self.cdp("Emulation.setCPUThrottlingRate", json!({ "rate": times })).await
    }

    /// What went wrong in the page without anybody catching it.
    ///
    /// # Errors
    ///
    /// When something did, or the page is gone.
    pub async fn assert_no_errors(&self) -> Result<()> {
        let errors = self.run("return window.__recorder.errors").await?;
        ensure!(errors == json!([]), "uncaught in the page: {errors}");
        Ok(())
    }

    /// Saves what a person would see as `target/e2e/<name>.png`.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub async fn screenshot(&self, name: &str) -> Result<()> {
        std::fs::create_dir_all(SCREENSHOTS)?;
        Ok(self.driver.screenshot(&Path::new(SCREENSHOTS).join(format!("{name}.png"))).await?)
    }

    /// Saves what a person would see on a phone and on a desktop, light and dark, from the top to the end of the page, as
    /// `<folder>/<name>-<theme>-<size>.png`.
    ///
    /// # Errors
    ///
    /// When a file cannot be written, or something reaches beyond the side of the page: nobody should have to scroll to both
    /// sides, down to the narrowest phone (WCAG 2.2, 1.4.10).
    pub async fn portraits(&self, folder: &Path, name: &str) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        for theme in ["light", "dark"] {
            let scheme = json!({ "name": "prefers-color-scheme", "value": theme });
            self.cdp("Emulation.setEmulatedMedia", json!({ "features": [scheme] })).await?;
            for (size, width, height) in
                [("narrow", 320, 640), ("phone", 390, 844), ("desktop", 1_280, 800)]
            {
                self.set_viewport(width, height).await?;
                let [wide, high] = self.extent().await?;
                ensure!(wide <= width, "{name}: {wide} pixels wide in a window of {width}");
                if size != "narrow" {
                    self.set_viewport(width, high.clamp(height, HEIGHT_MAX)).await?;
                    // A taller window may be laid out with more air in it.
                    let [_, high] = self.extent().await?;
                    self.set_viewport(width, high.clamp(height, HEIGHT_MAX)).await?;
                    self.settled().await?;
                    let path = folder.join(format!("{name}-{theme}-{size}.png"));
                    self.driver.screenshot(&path).await?;
                }
            }
        }
        Ok(())
    }

    /// Waits until the style sheet's transitions are over.
    async fn settled(&self) -> Result<()> {
        let still = "return document.getAnimations().every((it) => \
                     it.playState !== 'running' || it.effect.getTiming().iterations === Infinity)";
        self.until(still, Duration::from_secs(5)).await
    }

    /// Width and height of what there is to see, CSS pixels.
    async fn extent(&self) -> Result<[u64; 2]> {
        let extent = "const { scrollWidth, scrollHeight } = document.documentElement; \
                      return [scrollWidth, scrollHeight]";
        let extent = self.run(extent).await?;
        let pixels = |at: usize| extent[at].as_u64().context("no extent");
        Ok([pixels(0)?, pixels(1)?])
    }

    /// Sets the size of the window's inside, CSS pixels.
    ///
    /// # Errors
    ///
    /// When Chromium does not do it.
    pub async fn set_viewport(&self, width: u64, height: u64) -> Result<()> {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500
        });
        self.cdp("Emulation.setDeviceMetricsOverride", metrics).await
    }

    async fn cdp(&self, command: &str, parameters: Value) -> Result<()> {
        self.driver.cdp().send_raw(command, parameters).await?;
        Ok(())
    }

    /// Closes it in order. Dropping it does the same by force, as in a test that fails.
    ///
    /// # Errors
    ///
    /// When the driver does not answer.
    pub async fn quit(self) -> Result<()> {
        Ok(ManuallyDrop::into_inner(self.driver).quit().await?)
    }
}

async fn start_driver() -> Result<(ProcessGroup, u16)> {
    let program = env::var_os("CHROMEDRIVER").unwrap_or_else(|| OsString::from("chromedriver"));
    let mut child = Command::new("sh")
        .args(["-c", LEASH])
        .arg(&program)
        .arg("--port=0")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| program.to_string_lossy().into_owned())?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let group = ProcessGroup(child);
    while let Some(line) = lines.next_line().await? {
        if let Some((_, port)) = line.rsplit_once("successfully on port ") {
            let port = port.trim_end_matches('.').parse()?;
            // Reads on, so that the driver never waits on a full pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((group, port));
        }
    }
    bail!("chromedriver ended")
}

/// Runs a program in a process group of its own and ends the group when standard input ends: Chromium
/// outlives its driver, and both would outlive a test that is killed.
const LEASH: &str = "\"$0\" \"$@\" & read -r _; kill -KILL 0";

/// Processes that end with this value, or with this process.
struct ProcessGroup(Child);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            // Gone already is as good.
            kill_process_group(id, Signal::KILL).ok();
        }
    }
}
