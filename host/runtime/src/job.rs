//! What all adapter calls of one run share: the run's time, the operator's wish to stop, and how long calls took.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One run of the host.
#[derive(Debug)]
pub struct Job {
    now: AtomicU64,
    cancelled: Arc<AtomicBool>,
    calls: AtomicU64,
    nanos: AtomicU64,
}

/// What adapter calls have cost so far.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Calls into adapters, those made through the host by another adapter included.
    pub calls: u64,
    /// Wall time inside the outermost calls: the adapters' own and what the host did for them.
    pub time: Duration,
}

impl Default for Job {
    /// The time is the clock's, or `SOURCE_DATE_EPOCH` (reproducible-builds.org), so that a run can be repeated exactly.
    fn default() -> Self {
        let said = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now = AtomicU64::new(said.unwrap_or_else(clock));
        Self { now, cancelled: Arc::default(), calls: AtomicU64::default(), nanos: AtomicU64::default() }
    }
}

thread_local! {
    /// How many calls enclose the current one on this thread: a source adapter's call reaches file system adapters.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

impl Job {
    /// Seconds since 1970-01-01 UTC, fixed for the run: the same edits give the same bytes.
    pub fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }
    /// Takes over the time of an earlier run that is being resumed.
    pub fn set_now(&self, now: u64) {
        self.now.store(now, Relaxed);
    }
    /// Whether the operator has asked to stop.
    pub fn cancelled(&self) -> bool {
        self.cancelled.load(Relaxed)
    }
    /// The flag itself: set, it asks everything to stop soon.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.cancelled.clone()
    }
    /// What calls have cost so far.
    pub fn cost(&self) -> Cost {
        Cost { calls: self.calls.load(Relaxed), time: Duration::from_nanos(self.nanos.load(Relaxed)) }
    }

    /// Runs and measures one call.
    pub(crate) fn measured<T>(&self, call: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let depth = DEPTH.replace(DEPTH.get() + 1);
        let answer = call();
        DEPTH.set(depth);
        self.calls.fetch_add(1, Relaxed);
        if depth == 0 {
            self.nanos.fetch_add(started.elapsed().as_nanos() as u64, Relaxed);
        }
        answer
    }
}
