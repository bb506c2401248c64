//! Measures how loud files are, one at a time, on a thread beside the party.
//!
//! Source: Recommendation ITU-R BS.1770-4 and EBU R 128, by the `ebur128` crate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

use ebur128::{EbuR128, Mode};
use tracing::warn;

use super::file::MediaFile;
use super::track::Track;
use super::{CHANNELS, Fault, gain};

/// Highest true peak after a measured gain, full scale being 1.0: -1 dBTP, EBU R 128, recommendation (g).
const CEILING: f64 = 0.891_250_9;

/// Longest part of a file that is measured, seconds: its loudness hardly changes after an hour, and a lecture of
/// ten would keep a small machine busy for minutes.
const MEASURED_S_MAX: u64 = 3_600;

/// The thread that measures.
pub(super) struct Meter {
    requests: SyncSender<(usize, PathBuf)>,
    results: Receiver<(usize, f32)>,
    stop: Arc<AtomicBool>,
    is_busy: bool,
}

impl Meter {
    /// Starts the thread. `None` with a warning when the system has none to give.
    pub(super) fn start() -> Option<Self> {
        // One asks, one is measured: whoever asks waits for the result before asking again.
        let (requests, asked) = sync_channel::<(usize, PathBuf)>(1);
        let (tell, results) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = move || {
            for (entry, path) in asked {
                let factor = measure(&path, &stopped);
                if tell.send((entry, factor)).is_err() {
                    return;
                }
            }
        };
        match thread::Builder::new().name("meter".to_owned()).spawn(work) {
            Ok(_) => Some(Self { requests, results, stop, is_busy: false }),
            Err(error) => {
                warn!(%error, "nothing is normalized: no thread to measure on");
                None
            }
        }
    }

    /// Has a file measured, unless another one is.
    pub(super) fn ask(&mut self, entry: usize, path: &Path) {
        if !self.is_busy {
            self.is_busy = self.requests.try_send((entry, path.to_owned())).is_ok();
        }
    }

    /// What has been measured: the entry, and the factor for its samples.
    pub(super) fn result(&mut self) -> Option<(usize, f32)> {
        match self.results.try_recv() {
            Ok(result) => {
                self.is_busy = false;
                Some(result)
            }
            // A thread that is gone stays busy for ever: nobody asks it again.
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The factor for a file, 1.0 for one that is silent or cannot be measured.
fn measure(path: &Path, stop: &AtomicBool) -> f32 {
    loudness(path, stop).ok().flatten().unwrap_or(1.0)
}

fn loudness(path: &Path, stop: &AtomicBool) -> Result<Option<f32>, Fault> {
    let mut file = MediaFile::open(path, Track::default())?;
    file.rewind()?;
    let mut meter: Option<(EbuR128, u32)> = None;
    let mut frames = 0;
    while let Some(block) = file.next_block()? {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (meter, rate_hz) = match &mut meter {
            Some(meter) => meter,
            none => {
                let mode = Mode::I | Mode::TRUE_PEAK;
                let Ok(new) = EbuR128::new(CHANNELS as u32, block.rate_hz, mode) else {
                    return Ok(None);
                };
                none.insert((new, block.rate_hz))
            }
        };
        frames += (block.samples.len() / CHANNELS) as u64;
        let is_long = frames > MEASURED_S_MAX * u64::from(*rate_hz);
        if is_long || block.rate_hz != *rate_hz || meter.add_frames_f32(&block.samples).is_err() {
            break;
        }
    }
    Ok(meter.and_then(|(meter, _)| measured_factor(&meter)))
}

fn measured_factor(meter: &EbuR128) -> Option<f32> {
    let lufs = meter.loudness_global().ok()?;
    let peaks = (0..CHANNELS as u32).filter_map(|channel| meter.true_peak(channel).ok());
    gain::factor(gain::TARGET_LUFS - lufs, Some(peaks.fold(0.0, f64::max)), CEILING)
}
