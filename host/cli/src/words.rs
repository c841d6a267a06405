//! Numbers and texts as people read them.

use similar::{ChangeTag, TextDiff};
use std::io::Write;
use workload::{Concern, Edit, Severity};

/// Lines of a difference that are shown; the JSON answer has all of them.
const LINES_MOST: usize = 40;

/// Names and texts of a guest are shown to people, so nothing in them may steer their terminal.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// A line on standard output. A reader that has gone away is no reason to stop: a migration goes on.
pub fn put(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// `println!`, but what comes from a guest cannot steer the terminal.
macro_rules! say {
    ($($words:tt)*) => { $crate::words::put(&$crate::words::clean(&format!($($words)*))) };
}
pub(crate) use say;

/// `1.5 GiB`.
pub fn bytes(count: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} bytes") } else { format!("{value:.1} {}", units[unit]) }
}

/// A source in brackets: `qcow2 v3, 1.5 GiB`.
pub fn about(source: &migrate::Source) -> String {
    let sectors = match source.sector_size {
        512 => String::new(),
        size => format!(", sectors of {size} bytes"),
    };
    format!("{}, {}{sectors}", source.format, bytes(source.size))
}

/// `1 h 02 min`, `3 min 05 s`, `4.2 s`.
pub fn time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        3600.. => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
        60.. => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{seconds:.1} s"),
    }
}

/// `2026-11-25 13:04:01`, in UTC.
pub fn date(seconds: u64) -> String {
    let (day, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = archive::date(day);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// A size such as `64M` or `1.5GiB`, in bytes; without a unit it is bytes.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "" => 1u64,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return Err(format!("`{text}` is no size; say one such as 64M or 2G")),
    };
    let value: f64 = number.parse().map_err(|_| format!("`{text}` is no size; say one such as 64M or 2G"))?;
    let size = (value * factor as f64) as u64;
    if size == 0 { Err(format!("`{text}` is nothing; say a size such as 64M or 2G")) } else { Ok(size) }
}

/// Seconds such as `3` or `0.5`.
pub fn parse_seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| format!("`{text}` is no number of seconds"))
}

/// Concerns, with what can be done about them.
pub fn concerns(list: &[Concern]) {
    if list.is_empty() {
        return;
    }
    say!("\nConcerns");
    for concern in list {
        let weight = match concern.severity {
            Severity::Blocking => "BLOCKING",
            Severity::Warning => "warning",
            Severity::Information => "note",
        };
        say!("  {weight:<9} {} ({})", concern.message, concern.id);
        if let Some(remedy) = &concern.remedy {
            say!("  {:<9} -> {remedy}", "");
        }
    }
}

/// Edits with their reasons, and the difference where it is text.
pub fn edits(list: &[Edit]) {
    say!("\nEdits ({})", list.len());
    for (number, edit) in list.iter().enumerate() {
        say!("{:>4}. {} {}", number + 1, edit.action, edit.object);
        say!("      because {}", edit.reason);
        if let Some(why) = &edit.refused {
            say!("      NOT MADE, its file system refuses it: {why}");
        }
        difference(edit);
    }
}

fn difference(edit: &Edit) {
    let before = edit.before.as_deref().unwrap_or_default();
    let after = edit.after.as_deref().unwrap_or_default();
    match edit.action.as_str() {
        "append" => say!("      + {after}"),
        "rename" | "make-symlink" => say!("      -> {after}"),
        _ => {
            let diff = TextDiff::from_lines(before, after);
            let changed = diff.iter_all_changes().filter(|change| change.tag() != ChangeTag::Equal);
            let (mut shown, mut more) = (0, 0);
            for change in changed {
                if shown == LINES_MOST {
                    more += 1;
                    continue;
                }
                say!("      {} {}", change.tag(), change.value().trim_end_matches('\n'));
                shown += 1;
            }
            if more > 0 {
                say!("      ... and {more} more lines (--output json shows all)");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        assert_eq!(parse_bytes("64M"), Ok(64 << 20));
        assert_eq!(parse_bytes("1.5GiB"), Ok(3 << 29));
        assert_eq!(parse_bytes("512"), Ok(512));
        assert!(parse_bytes("fast").is_err() && parse_bytes("0").is_err() && parse_bytes("3X").is_err());
        assert_eq!((bytes(1023).as_str(), bytes(3 << 29).as_str()), ("1023 bytes", "1.5 GiB"));
        assert_eq!((time(4.24).as_str(), time(185.0).as_str()), ("4.2 s", "3 min 05 s"));
        assert_eq!(clean("a\x1b[2Jb\tc"), "a\u{fffd}[2Jb\tc");
        assert_eq!(time(3720.0), "1 h 02 min");
    }
}
