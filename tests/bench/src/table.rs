//! Medians, ratios, and where they are written.

use crate::Words;
use crate::measure::Figures;
use crate::ways::Way;
use serde_json::{Value, json};

/// A way's medians.
struct Row {
    from: &'static str,
    to: &'static str,
    name: &'static str,
    ours: bool,
    seconds: f64,
    durable_seconds: f64,
    processor_seconds: f64,
    peak_mib: f64,
    stored_mib: u64,
    /// Others' time divided by ours: pair by pair, by round, both durable.
    against: Option<f64>,
}

pub struct Table {
    rows: Vec<Row>,
    rounds: usize,
    mib: u64,
    data: u64,
}

/// The middle of some numbers.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

impl Table {
    pub fn new(ways: &[Way], figures: &[Vec<Figures>], words: &Words, data: u64) -> Self {
        let ours_of =
            |of: &Way| ways.iter().position(|way| way.ours && (way.from, way.to) == (of.from, of.to));
        let row = |(way, of): (&Way, &Vec<Figures>)| {
            let ours = ours_of(way).filter(|_| !way.ours).map(|at| &figures[at]);
            let pairs = |ours: &Vec<Figures>| {
                median(of.iter().zip(ours).map(|(other, our)| other.durable_seconds / our.durable_seconds))
            };
            Row {
                from: way.from,
                to: way.to,
                name: way.name,
                ours: way.ours,
                seconds: median(of.iter().map(|f| f.seconds)),
                durable_seconds: median(of.iter().map(|f| f.durable_seconds)),
                processor_seconds: median(of.iter().map(|f| f.processor_seconds)),
                peak_mib: median(of.iter().map(|f| f.peak_kib as f64 / 1024.0)),
                stored_mib: of.last().map_or(0, |f| f.stored_bytes >> 20),
                against: ours.map(pairs),
            }
        };
        let rows = ways.iter().zip(figures).map(row).collect();
        Self { rows, rounds: words.rounds, mib: words.mib, data }
    }

    pub fn print(&self) {
        let (mib, data) = (self.mib, self.data >> 20);
        println!(
            "{mib} MiB image with {data} MiB of data, in the page cache; medians of {} rounds in turn",
            self.rounds
        );
        println!(
            "durable: with a flush of the copy (wherry always flushes); last column: its durable time / ours\n"
        );
        println!(
            "{:8} {:11} {:18} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
            "from", "to", "with", "s", "durable", "cpu s", "peak MiB", "MiB", "/ ours"
        );
        for row in &self.rows {
            let against = row.against.map_or("-".to_string(), |ratio| format!("{ratio:.2}"));
            println!(
                "{:8} {:11} {:18} {:8.2} {:8.2} {:8.2} {:8.1} {:8} {:>8}",
                row.from,
                row.to,
                row.name,
                row.seconds,
                row.durable_seconds,
                row.processor_seconds,
                row.peak_mib,
                row.stored_mib,
                against
            );
        }
    }

    pub fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "from": row.from,
                "to": row.to,
                "with": row.name,
                "ours": row.ours,
                "seconds": row.seconds,
                "durable_seconds": row.durable_seconds,
                "processor_seconds": row.processor_seconds,
                "peak_mib": row.peak_mib,
                "stored_mib": row.stored_mib,
                "durable_ratio_to_ours": row.against,
            })
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        json!({ "mib": self.mib, "data_bytes": self.data, "rounds": self.rounds, "copies": rows })
    }
}
