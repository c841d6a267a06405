//! `iostat -xn` and `df -k`: tables with a line of headings.

use super::{Sample, sample};

/// Headings of iostat (iostat(1M)), metrics, units.
const DISK: [(&str, &str, &str); 10] = [
    ("r/s", "disk.reads", "1/s"),
    ("w/s", "disk.writes", "1/s"),
    ("kr/s", "disk.read", "KiB/s"),
    ("kw/s", "disk.written", "KiB/s"),
    ("wait", "disk.waiting", "transfers"),
    ("actv", "disk.active", "transfers"),
    ("wsvc_t", "disk.wait-time", "ms"),
    ("asvc_t", "disk.service-time", "ms"),
    ("%w", "disk.wait-share", "%"),
    ("%b", "disk.busy", "%"),
];

/// `iostat -xn -T u INTERVAL COUNT`. The first report is of all time since the start, and left out if there is another.
pub fn iostat(text: &str) -> Vec<Sample> {
    let (mut at, mut columns, mut reports) = (0, Vec::new(), Vec::<Vec<Sample>>::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [time] if time.bytes().all(|c| c.is_ascii_digit()) => at = time.parse().unwrap_or(0),
            _ if line.contains("device statistics") => {}
            [.., "device"] => {
                columns.clone_from(&words);
                reports.push(Vec::new());
            }
            _ if words.len() >= columns.len() && columns.len() > 1 => {
                let Some(report) = reports.last_mut() else { continue };
                // a name may have blanks in it: `server:/path (mounted)`
                let name = words.get(columns.len() - 1..).unwrap_or_default().join(" ");
                for (column, word) in columns.iter().zip(&words) {
                    let known = DISK.iter().find(|(heading, ..)| heading == column);
                    if let Some((_, metric, unit)) = known
                        && let Ok(value) = word.parse()
                    {
                        report.push(sample(metric, &name, unit, at, value));
                    }
                }
            }
            _ => {}
        }
    }
    let first = usize::from(reports.len() > 1);
    reports.into_iter().skip(first).flatten().collect()
}

/// `df -k`; a device with a long name has a line of its own.
pub fn df(text: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut pending = Vec::new();
    for line in text.lines().skip_while(|line| !line.contains("apacity")).skip(1) {
        let mut words: Vec<&str> = std::mem::take(&mut pending);
        words.extend(line.split_whitespace());
        if words.len() < 6 {
            if words.len() == 1 {
                pending = words;
            }
            continue;
        }
        let number = |at: usize| words.get(at).and_then(|word: &&str| word.parse::<f64>().ok());
        let path = words.get(5..).unwrap_or_default().join(" ");
        let numbers = number(1).zip(number(2)).zip(number(3));
        let Some(((size, used), available)) = numbers.filter(|_| path.starts_with('/')) else { continue };
        for (metric, value) in
            [("filesystem.size", size), ("filesystem.used", used), ("filesystem.available", available)]
        {
            samples.push(sample(metric, &path, "KiB", 0, value));
        }
    }
    samples
}
