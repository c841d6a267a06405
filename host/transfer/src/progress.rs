//! Counts, tells how far it is, and keeps the rate.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the caller is told.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Stage {
    Copy,
    Verify,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Bytes of the disk done, in earlier runs too.
    pub done: u64,
    /// Bytes of the disk.
    pub total: u64,
    /// Bytes written to the target in this run.
    pub sent: u64,
    /// Bytes of the disk done per second in this run.
    pub rate: u64,
    /// What is being done.
    pub stage: Stage,
}

/// What the caller gave to be told.
pub(crate) type Tell<'a> = &'a (dyn Fn(Progress) + Sync);

pub(crate) struct Meter<'a> {
    tell: Tell<'a>,
    told: Mutex<Instant>,
    stage: Stage,
    total: u64,
    pub started: Instant,
    /// Bytes of the disk done in earlier runs, and in all.
    pub before: u64,
    done: AtomicU64,
    pub read: AtomicU64,
    pub sent: AtomicU64,
    pub zero: AtomicU64,
    /// Bytes of the source claimed against the rate.
    charged: AtomicU64,
}

impl<'a> Meter<'a> {
    pub fn new(tell: Tell<'a>, stage: Stage, total: u64, before: u64) -> Self {
        let started = Instant::now();
        let (done, none) = (AtomicU64::new(before), AtomicU64::default);
        let told = Mutex::new(started);
        Self {
            tell,
            told,
            stage,
            total,
            started,
            before,
            done,
            read: none(),
            sent: none(),
            zero: none(),
            charged: none(),
        }
    }

    fn now(&self) -> Progress {
        let done = self.done.load(Relaxed).min(self.total);
        let rate = (done - self.before.min(done)) as f64 / self.started.elapsed().as_secs_f64().max(1e-6);
        Progress {
            done,
            total: self.total,
            sent: self.sent.load(Relaxed),
            rate: rate as u64,
            stage: self.stage,
        }
    }

    /// Bytes of the disk are done.
    pub fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Relaxed);
        if let Ok(mut told) = self.told.try_lock()
            && told.elapsed() >= TELL_EVERY
        {
            *told = Instant::now();
            (self.tell)(self.now());
        }
    }

    /// The last word.
    pub fn end(&self) {
        let _held = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        (self.tell)(self.now());
    }

    /// Sleeps until `bytes` more keep the average below `rate` bytes per second, or `stop` says so.
    pub fn throttle(&self, bytes: u64, rate: Option<u64>, stop: impl Fn() -> bool) {
        let Some(rate) = rate else { return };
        let charged = self.charged.fetch_add(bytes, Relaxed) + bytes;
        let due = Duration::from_secs_f64(charged as f64 / rate.max(1) as f64);
        while let Some(rest) = due.checked_sub(self.started.elapsed()).filter(|rest| !rest.is_zero()) {
            if stop() {
                return;
            }
            std::thread::sleep(rest.min(Duration::from_millis(50)));
        }
    }
}
