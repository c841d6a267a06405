//! One transfer from the first look at the checkpoint to the rename.

use crate::engine::{Job, Options, Order, hash_zeroes, zero_hash};
use crate::journal::{self, Hash, Reader, Record};
use crate::layout::{Layout, Shape};
use crate::progress::{Meter, Progress, Stage, Tell};
use crate::since::{Changed, Keeps, looked_at};
use crate::sink::Sink;
use crate::target::{Files, Target};
use crate::verify::Verify;
use crate::{Error, ErrorKind, Result};
use block::{Disk, Ranges};
use std::fs::File;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// What was done.
#[derive(Clone, Debug)]
pub struct Report {
    /// Read from the source in this run.
    pub bytes_read: u64,
    /// Written as units in this run.
    pub bytes_written: u64,
    /// Found to be zero, or known to be, in this run.
    pub zero_bytes: u64,
    /// Bytes of the disk that earlier runs had done.
    pub resumed_bytes: u64,
    /// BLAKE3 over the BLAKE3s of every MiB of the disk; none if the source checks itself and nothing was verified.
    pub hash: Option<Hash>,
    /// How long it took.
    pub elapsed: Duration,
}

/// Copies `source` into `target`, or goes on where a run that was killed had got to. The target's bytes depend on
/// source and layout alone: not on the number of workers, not on interruptions.
pub fn run<'a>(
    source: &dyn Disk,
    target: impl Into<Target<'a>>,
    layout: Box<dyn Layout>,
    options: &Options,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report> {
    let known = options.changed.as_ref().filter(|_| options.update && layout.is_plain());
    let Some(changed) = known.map(|changed| looked_at(changed, source.length())) else {
        return run_all(source, target.into(), (layout, None), options, progress);
    };
    let source = Changed { disk: source, ranges: &changed };
    run_all(&source, target.into(), (layout, Some(&changed)), options, progress)
}

/// With what is to be looked at, if that is not all.
fn run_all<'a>(
    source: &dyn Disk,
    target: Target<'a>,
    (layout, changed): (Box<dyn Layout>, Option<&Ranges>),
    options: &Options,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report> {
    let started = Instant::now();
    let shape = layout.shape();
    shape.check()?;
    let files = Files::lock(target, layout.parts())?;
    let hashed = options.hashes(source);
    // A run that compares has no use for a checkpoint without hashes.
    let identity =
        if hashed { options.identity.clone() } else { format!("{}, not hashed", options.identity) };
    let header = journal::header(&identity, source.length(), &shape);
    let end = if layout.is_plain() { source.length() } else { u64::MAX };
    let mut order = Order::new(layout);
    let past = match files.has_content() {
        true => {
            let past = replay(&files.journal, &header, &mut order, (source.length(), hashed));
            past.map_err(|e| files.name_checkpoint(e))?
        }
        false => Past::Nothing,
    };
    // A hash of what was looked at is no hash of the disk.
    let whole = hashed && changed.is_none();
    let report_of_past = |order: &Order| Report {
        bytes_read: 0,
        bytes_written: 0,
        zero_bytes: 0,
        resumed_bytes: source.length(),
        hash: whole.then(|| *order.root.finalize().as_bytes()),
        elapsed: started.elapsed(),
    };
    if let Past::Complete(length) = past {
        let mut lengths = order.layout.lengths()?;
        lengths.push(length);
        files.publish(&lengths)?;
        return Ok(report_of_past(&order));
    }
    files.refuse_existing()?;
    let fresh = matches!(past, Past::Nothing);
    let sink =
        files.open((fresh, options.update), &header, end).or_else(|e| files.forget_empty().and(Err(e)))?;
    if fresh {
        journal::reset(&files.journal, &header)
            .map_err(|e| files.name_checkpoint(Error::io("cannot begin a checkpoint", e)))?;
    }
    let sink = match changed {
        Some(ranges) => Box::new(Keeps { body: sink, ranges }),
        None => sink,
    };
    let (name, journal) = (files.name(), &files.journal);
    let transfer =
        Transfer { source, sink: sink.as_ref(), name, journal, header: &header, options, tell: progress };
    let report = transfer.run(order).map_err(|e| files.explain(e))?;
    files.publish(&[])?;
    Ok(Report { elapsed: started.elapsed(), hash: report.hash.filter(|_| whole), ..report })
}

/// What a checkpoint tells.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Past {
    /// There is none of this transfer.
    Nothing,
    /// Some chunks are there.
    Begun,
    /// The target is complete and has this many bytes.
    Complete(u64),
}

/// Tells the layout what it placed in earlier runs, in that order.
pub(crate) fn replay(
    journal: &File,
    header: &[u8],
    order: &mut Order,
    (length, hashed): (u64, bool),
) -> Result<Past> {
    let io = |e| Error::io("cannot read the checkpoint", e);
    let Some(mut records) = Reader::open(journal, header).map_err(io)? else {
        return Ok(Past::Nothing);
    };
    let shape = order.layout.shape();
    let (chunk, zero) = (shape.chunk(), hashed.then(zero_hash));
    let mut past = Past::Begun;
    for record in &mut records {
        let at = order.next.saturating_mul(chunk);
        match record {
            Record::Complete(length) => past = Past::Complete(length),
            Record::Zero(count) => {
                let end = order.next.saturating_add(count).saturating_mul(chunk).min(length);
                hash_zeroes(&mut order.root, end.saturating_sub(at), zero.as_ref());
                order.next += count.min(length.div_ceil(chunk).saturating_sub(order.next));
            }
            Record::Chunk { hashes, units } => {
                let (units, known): (Vec<_>, Vec<_>) = units.into_iter().unzip();
                if order.place(&units, &shape)?.0 != known || at >= length {
                    let what = format!("the format places byte {at} elsewhere than the interrupted run did");
                    let next = "remove the checkpoint to start afresh";
                    return Err(Error::new(ErrorKind::Layout, format!("{what}: {next}")));
                }
                hashes.iter().for_each(|hash| {
                    order.root.update(hash);
                });
                order.next += 1;
            }
        }
    }
    records.rewrite().map_err(io)?;
    Ok(past)
}

/// What is left once the files are open.
pub(crate) struct Transfer<'a> {
    pub source: &'a dyn Disk,
    pub sink: &'a dyn Sink,
    pub name: &'a Path,
    pub journal: &'a File,
    pub header: &'a [u8],
    pub options: &'a Options,
    pub tell: Tell<'a>,
}

impl Transfer<'_> {
    /// Copies, finishes, verifies and records that the target is complete.
    pub fn run(&self, order: Order) -> Result<Report> {
        let started = Instant::now();
        let (shape, plain) = (order.layout.shape(), order.layout.is_plain());
        let job = Job::new(self.source, (self.sink, self.name), self.journal, order, self.options, self.tell);
        job.copy()?;
        let length = job.finish()?;
        let append = |records: &[Record]| {
            let io = |e| Error::io(format!("cannot record that {} is complete", self.name.display()), e);
            journal::append(self.journal, records).map_err(io)
        };
        let mut records = job.unrecorded();
        if self.options.verify {
            append(&records)?;
            records.clear();
            self.verify(shape, plain && self.sink.holds_old_bytes())?;
        }
        records.push(Record::Complete(length));
        append(&records)?;
        Ok(Report {
            bytes_read: job.meter.read.load(Relaxed),
            bytes_written: self.sink.written().unwrap_or_else(|| job.meter.sent.load(Relaxed)),
            zero_bytes: job.meter.zero.load(Relaxed),
            resumed_bytes: job.meter.before,
            hash: job.root(),
            elapsed: started.elapsed(),
        })
    }

    fn verify(&self, shape: Shape, zeroes: bool) -> Result<()> {
        let io = |e| Error::io(format!("checkpoint of {}", self.name.display()), e);
        let lost = || Error::new(ErrorKind::Verify, "the checkpoint was changed meanwhile");
        let records = Reader::open(self.journal, self.header).map_err(io)?.ok_or_else(lost)?;
        let length = self.source.length();
        let meter = Meter::new(self.tell, Stage::Verify, length, 0);
        let (sink, name, options) = (self.sink, self.name, self.options);
        let verify = Verify { sink, name, shape, zeroes, length, options, meter };
        let differs = verify.run(records);
        if differs.as_ref().is_err_and(|e| e.kind == ErrorKind::Verify) {
            // What is there is wrong: the next run must not go on with it.
            journal::reset(self.journal, &[]).map_err(io)?;
        }
        differs?;
        use std::io::{Seek, SeekFrom};
        let mut journal = self.journal;
        journal.seek(SeekFrom::End(0)).map(|_| ()).map_err(io)
    }
}
