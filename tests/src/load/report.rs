//! The figures of a run, as a person reads them.

use std::fmt;

use super::cost::Costs;
use super::listener::Heard;
use super::{FLOOR_SECONDS_MAX, Load};

/// What a run showed.
#[derive(Debug)]
pub struct Report {
    load: Load,
    heard: Heard,
    cpu_ms: f64,
    floor_cpu_ms: f64,
    cores: f64,
    memory_kib: f64,
    sockets_kib: f64,
    resident_mib: [f64; 2],
    descriptors: [usize; 2],
}

impl Report {
    pub(super) fn new(load: Load, heard: Heard, costs: &Costs) -> Self {
        let Costs { empty, full: [before, after], floor: [floor_before, floor_after] } = costs;
        let all = (load.listeners + load.stalled) as f64;
        let listener_seconds = load.listeners.max(1) as f64 * load.seconds as f64;
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        Self {
            load,
            heard,
            cpu_ms: (after.cpu_s - before.cpu_s) * 1e3 / listener_seconds,
            floor_cpu_ms: (floor_after.cpu_s - floor_before.cpu_s) * 1e3
                / (load.listeners.max(1) as f64 * load.seconds.min(FLOOR_SECONDS_MAX) as f64),
            cores: (after.cpu_s - before.cpu_s) / load.seconds as f64,
            memory_kib: (after.resident_bytes - empty.resident_bytes) / 1024.0 / all,
            sockets_kib: (after.sockets_bytes - empty.sockets_bytes) / 1024.0 / all,
            resident_mib: [mib(before.resident_bytes), mib(after.resident_bytes)],
            descriptors: [before.descriptors, after.descriptors],
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { load, heard, .. } = self;
        let Load { listeners, stalled, churn_per_s, seconds } = load;
        writeln!(
            f,
            "{listeners} listeners, {stalled} stalled, {churn_per_s} joins/s, {seconds} s"
        )?;
        let ratio = self.cpu_ms / self.floor_cpu_ms;
        writeln!(
            f,
            "cpu           {:.4} ms per listener and second, floor {:.4}, ratio {ratio:.2}; {:.2} cores",
            self.cpu_ms, self.floor_cpu_ms, self.cores
        )?;
        writeln!(
            f,
            "memory        {:.1} KiB per listener, and {:.1} KiB of the system's at both ends; {:.1} MiB, at the end {:.1}; \
             {} descriptors, at the end {}",
            self.memory_kib,
            self.sockets_kib,
            self.resident_mib[0],
            self.resident_mib[1],
            self.descriptors[0],
            self.descriptors[1]
        )?;
        writeln!(
            f,
            "chunks        {} ({:.1} MB/s), {} at a time, late {}, gaps {}, wrong {}",
            heard.chunks,
            heard.bytes as f64 / (1e6 * *seconds as f64),
            heard.together(),
            heard.late,
            heard.gaps,
            heard.wrong
        )?;
        writeln!(
            f,
            "lead          {} ms (min, p1, p50)",
            Parts(&heard.leads_ms, [0.0, 0.01, 0.5])
        )?;
        let slow = [0.5, 0.99, 1.0];
        writeln!(
            f,
            "time reply    {} ms (p50, p99, max) of {}, sent after {}",
            Parts(&heard.replies.read_ms, slow),
            heard.replies.read_ms.len(),
            Parts(&heard.replies.sent_ms, slow)
        )?;
        if !heard.joins_ms.is_empty() {
            let joins = heard.joins_ms.len();
            writeln!(
                f,
                "first chunk   {} ms (p50, p99, max) of {joins}",
                Parts(&heard.joins_ms, slow)
            )?;
        }
        write!(f, "lost          {}", heard.lost)?;
        heard.why.as_ref().map_or(Ok(()), |why| write!(f, "; the first: {why}"))
    }
}

/// Three quantiles of some values.
struct Parts<'a>(&'a [f32], [f64; 3]);

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut values = self.0.to_vec();
        values.sort_by(f32::total_cmp);
        for (index, part) in self.1.into_iter().enumerate() {
            let separator = if index == 0 { "" } else { " / " };
            let at = (part * values.len().saturating_sub(1) as f64).round() as usize;
            match values.get(at) {
                Some(value) => write!(f, "{separator}{value:.2}")?,
                None => write!(f, "{separator}none")?,
            }
        }
        Ok(())
    }
}
