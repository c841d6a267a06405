//! `sar -A` of one day (sar(1)): a line with the machine and the date; headings, which of several kinds of activity stand one under
//! the other, the first with the time; then for each time as many lines in the same order, of disks one for each.
//!
//! A kind may be left blank (no queue). Which line is which is then not certain, and of such a time only the first line and
//! the disks are taken.

use super::{SAMPLES_MOST, Sample, sample};

/// Headings, metrics, units.
const KNOWN: [(&str, &str, &str); 14] = [
    ("%usr", "cpu.user", "%"),
    ("%sys", "cpu.system", "%"),
    ("%wio", "cpu.wait", "%"),
    ("%idle", "cpu.idle", "%"),
    ("%busy", "disk.busy", "%"),
    ("avque", "disk.queue", "transfers"),
    ("r+w/s", "disk.transfers", "1/s"),
    ("blks/s", "disk.blocks", "512B/s"),
    ("avwait", "disk.wait-time", "ms"),
    ("avserv", "disk.service-time", "ms"),
    ("runq-sz", "cpu.run-queue", "threads"),
    ("%runocc", "cpu.run-queue-occupied", "%"),
    ("freemem", "memory.free", "pages"),
    ("freeswap", "memory.swap-free", "512B"),
];
/// What else has a metric of its own.
const SCANNED: &str = "pgscan/s";
/// Seconds of a day.
const DAY: u64 = 86400;

/// Seconds since 1970 of `05/21/2014`, the end of the first line.
fn date(line: &str) -> Option<u64> {
    let mut parts = line.split_whitespace().last()?.split('/').map(|part| part.parse::<i64>().ok());
    let (month, day, year) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    // days from the civil calendar, years beginning in March
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    u64::try_from(days).ok().map(|days| days * DAY)
}

/// Seconds of `20:39:05`.
fn time(word: &str) -> Option<u64> {
    let parts: Vec<&str> = word.split(':').collect();
    let [hours, minutes, seconds] = parts.as_slice() else { return None };
    let number = |text: &str, most: u64| text.parse::<u64>().ok().filter(|n| *n < most && text.len() == 2);
    Some(number(hours, 24)? * 3600 + number(minutes, 60)? * 60 + number(seconds, 61)?)
}

/// Whether the words are headings: none of them is a number, and one of them is known or a rate.
fn are_headings(words: &[&str]) -> bool {
    !words.is_empty()
        && words.iter().all(|word| word.parse::<f64>().is_err())
        && words.iter().any(|word| {
            let ends = word.ends_with("/s") || word.ends_with("-sz");
            ends || *word == "sml_mem" || KNOWN.iter().any(|(heading, ..)| heading == word)
        })
}

/// Lines of one time.
#[derive(Default)]
struct Moment<'t> {
    at: u64,
    lines: Vec<Vec<&'t str>>,
}

/// What the day had; an answer that has no such lines has no samples.
pub fn parse(text: &str) -> Vec<Sample> {
    let day = text.lines().filter(|line| line.trim_start().starts_with("SunOS")).find_map(date);
    let day = day.unwrap_or(0);
    let mut headings: Vec<Vec<&str>> = Vec::new();
    let mut samples = Vec::new();
    let mut moment: Option<Moment<'_>> = None;
    let mut new_headings = true;
    for line in text.lines() {
        if samples.len() > SAMPLES_MOST {
            break;
        }
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let here = words.first().and_then(|word| time(word));
        if here.is_some() {
            words.remove(0);
        }
        let ends = here.is_some() || words.first() == Some(&"Average") || line.contains("unix restarts");
        if ends && let Some(done) = moment.take() {
            tell(&headings, &done, &mut samples);
        }
        if words.is_empty() || words.first() == Some(&"Average") || line.contains("unix restarts") {
            continue;
        }
        if are_headings(&words) {
            if here.is_some() || new_headings && headings.is_empty() {
                headings.clear();
                new_headings = true;
            }
            if new_headings {
                headings.push(words);
            }
            continue;
        }
        if let Some(here) = here {
            new_headings = false;
            moment = Some(Moment { at: if day == 0 { 0 } else { day + here }, lines: Vec::new() });
        }
        if let Some(moment) = &mut moment {
            moment.lines.push(words);
        }
    }
    if let Some(done) = moment {
        tell(&headings, &done, &mut samples);
    }
    samples
}

fn tell(headings: &[Vec<&str>], moment: &Moment<'_>, samples: &mut Vec<Sample>) {
    let is_disks = |heading: &&Vec<&str>| heading.first() == Some(&"device");
    let disks = headings.iter().find(is_disks);
    let is_disk = |line: &&Vec<&str>| {
        // `218/30000` is a table's fill
        let number = |word: &str| word.bytes().all(|c| c.is_ascii_digit() || b"./".contains(&c));
        let named = line.first().is_some_and(|word| !number(word));
        named && disks.is_some_and(|heading| heading.len() == line.len())
    };
    for line in moment.lines.iter().filter(|line| is_disk(line)) {
        let (Some(heading), Some(name)) = (disks, line.first()) else { continue };
        add(heading, line, name, moment.at, samples);
    }
    let plain: Vec<&Vec<&str>> = headings.iter().filter(|heading| !is_disks(heading)).collect();
    let lines: Vec<&Vec<&str>> = moment.lines.iter().filter(|line| !is_disk(line)).collect();
    let certain = if plain.len() == lines.len() { plain.len() } else { 1 };
    for (heading, line) in plain.iter().zip(&lines).take(certain) {
        if heading.len() == line.len() {
            add(heading, line, "", moment.at, samples);
        }
    }
}

fn add(heading: &[&str], line: &[&str], instance: &str, at: u64, samples: &mut Vec<Sample>) {
    for (column, word) in heading.iter().zip(line) {
        let Ok(value) = word.parse::<f64>() else { continue };
        let known = KNOWN.iter().find(|(heading, ..)| heading == column);
        samples.push(match known {
            Some((_, metric, unit)) => sample(metric, instance, unit, at, value),
            None if *column == SCANNED => sample("memory.scanned", instance, "1/s", at, value),
            None => {
                let unit = if column.ends_with("/s") {
                    "1/s"
                } else if column.starts_with('%') {
                    "%"
                } else {
                    ""
                };
                sample(&format!("sar.{column}"), instance, unit, at, value)
            }
        });
    }
}
