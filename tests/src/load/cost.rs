//! What a process has taken so far, from the kernel's accounts.

use std::fs::{read_dir, read_to_string};

use anyhow::{Context, Result};

use crate::process::cpu_s;

/// What a process has taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Processor time in its own code and in the kernel's on its behalf, seconds.
    pub(super) cpu_s: f64,
    /// Memory that it has in use, bytes.
    pub(super) resident_bytes: f64,
    /// Memory of all TCP sockets of this machine, bytes: both ends of loopback connections.
    pub(super) sockets_bytes: f64,
    /// Open files and sockets.
    pub(super) descriptors: usize,
}

impl Cost {
    /// Of the process with this id.
    pub(super) fn of(process: u32) -> Result<Self> {
        let stat = read_to_string(format!("/proc/{process}/stat"))?;
        // The second field is a name in brackets, which may hold anything.
        let (_, fields) = stat.rsplit_once(')').context("/proc/…/stat")?;
        let field = |at: usize| fields.split_whitespace().nth(at)?.parse::<f64>().ok();
        let pages = field(21).context("no resident pages in /proc/…/stat")?;
        let page_bytes = rustix::param::page_size() as f64;
        let sockets = read_to_string("/proc/net/sockstat")?;
        let tcp = sockets.lines().find(|line| line.starts_with("TCP:")).context("no TCP")?;
        let socket_pages = tcp.rsplit(' ').next().and_then(|pages| pages.parse::<f64>().ok());
        Ok(Self {
            cpu_s: cpu_s(process)?,
            resident_bytes: pages * page_bytes,
            sockets_bytes: socket_pages.context("no memory in /proc/net/sockstat")? * page_bytes,
            descriptors: read_dir(format!("/proc/{process}/fd"))?.count(),
        })
    }
}

/// What was measured of a run: the empty server, and both ends of the measurement of the full one and of the floor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    pub(super) empty: Cost,
    pub(super) full: [Cost; 2],
    pub(super) floor: [Cost; 2],
}
