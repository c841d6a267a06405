//! What the system has measured itself: `sar` reads the files that sadc fills (sar(1); the columns are those of illumos-gate,
//! `usr/src/cmd/sa/sar.c`, prthdg and prt_*_opt). One option a call: with several, their headings all stand in front.

use super::{Answer, Sample, number};

/// In UTC, since sar prints local times and no zone.
pub const COMMANDS: &str = "\
TZ=UTC; LC_ALL=C; export TZ LC_ALL
echo \"pagesize $(pagesize)\"
for file in /var/adm/sa/sa[0-9][0-9]; do for option in -u -d -q -r; do sar $option -f $file 2>/dev/null; done; done
";

const SECONDS_A_DAY: u64 = 86_400;
/// sar counts blocks of 512 bytes.
const BLOCK: f64 = 512.0;

/// Metric, unit and factor of a column, by its heading.
fn meaning(heading: &str, page: Option<f64>) -> Option<(&'static str, &'static str, f64)> {
    Some(match heading {
        "%usr" => ("cpu.user", "%", 1.0),
        "%sys" => ("cpu.kernel", "%", 1.0),
        "%wio" => ("cpu.wait", "%", 1.0),
        "%idle" => ("cpu.idle", "%", 1.0),
        "runq-sz" => ("cpu.queue", "1", 1.0),
        "%busy" => ("disk.busy", "%", 1.0),
        "avque" => ("disk.queue", "1", 1.0),
        "r+w/s" => ("disk.transfers", "1/s", 1.0),
        "blks/s" => ("disk.transferred", "B/s", BLOCK),
        "freemem" => ("memory.free", "B", page?),
        "freeswap" => ("swap.free", "B", BLOCK),
        _ => return None,
    })
}

/// Days from 1970 on of a day as sar writes it, `MM/DD/YYYY`. The era's formula of Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", days_from_civil.
fn day(text: &str) -> Option<u64> {
    let mut numbers = text.splitn(3, '/').map(|number| number.parse::<i64>().ok());
    let (month, day, year) = (numbers.next()??, numbers.next()??, numbers.next()??);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    u64::try_from(days).ok()
}

/// Seconds of a day, `HH:MM:SS`.
fn time(text: &str) -> Option<u64> {
    let mut numbers = text.splitn(3, ':').map(|number| number.parse::<u64>().ok());
    let (hours, minutes, seconds) = (numbers.next()??, numbers.next()??, numbers.next()??);
    (hours < 24 && minutes < 60 && seconds < 61).then_some(hours * 3600 + minutes * 60 + seconds)
}

/// Where in the text a line is: the day, the last time and the columns of the section.
#[derive(Default)]
struct Place<'a> {
    day: Option<u64>,
    /// Days that have passed since the heading's: a file may go on after midnight.
    later: u64,
    time: u64,
    columns: Vec<&'a str>,
}

impl<'a> Place<'a> {
    fn at(&self) -> Option<u64> {
        Some((self.day? + self.later) * SECONDS_A_DAY + self.time)
    }

    /// A heading, or a line of numbers.
    fn line(&mut self, line: &'a str, page: Option<f64>, samples: &mut Vec<Sample>) {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if let (Some(&"SunOS"), Some(last)) = (words.first(), words.last()) {
            *self = Self { day: day(last), ..Self::default() };
            return;
        }
        let first = words.first().copied().unwrap_or_default();
        if first == "Average" {
            self.columns.clear();
        } else if let Some(time) = time(first) {
            words.remove(0);
            if words.iter().all(|word| number(word).is_none()) && words.first() != Some(&"unix") {
                (self.columns, self.time) = (words, time);
                return;
            }
            self.later += u64::from(time < self.time);
            self.time = time;
        }
        self.numbers(&words, page, samples);
    }

    fn numbers(&self, words: &[&str], page: Option<f64>, samples: &mut Vec<Sample>) {
        let Some(at) = self.at().filter(|_| words.len() == self.columns.len()) else { return };
        let device = self.columns.first() == Some(&"device");
        let instance = if device { words.first().copied().unwrap_or_default() } else { "" };
        for (heading, word) in self.columns.iter().zip(words) {
            let Some((metric, unit, factor)) = meaning(heading, page) else { continue };
            let Some(value) = number(word) else { continue };
            samples.push(Sample { metric, instance: instance.into(), unit, at, value: value * factor });
        }
    }
}

pub fn parse(text: &str) -> Answer {
    let page = text.lines().find_map(|line| number(line.strip_prefix("pagesize ")?.trim()));
    let mut place = Place::default();
    let mut samples = Vec::new();
    text.lines().for_each(|line| place.line(line, page, &mut samples));
    Answer { facts: Vec::new(), samples }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times() {
        assert_eq!(day("01/01/1970"), Some(0));
        assert_eq!(day("03/18/2004"), Some(12_495));
        assert_eq!(day("02/29/2024"), Some(19_782));
        assert_eq!((day("13/01/2004"), day("x"), day("01/01/1969")), (None, None, None));
        assert_eq!((time("08:20:01"), time("24:00:00"), time("0x:1:2")), (Some(30_001), None, None));
    }
}
