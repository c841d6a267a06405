//! Kernel statistics: `kstat -p` prints `module:instance:name:statistic`, a tab and the value (kstat(8)); what drivers count is in
//! `sys/kstat.h` (kstat_io), `sys/mac_provider.h` (rbytes64, obytes64), `sys/sysinfo.h` (cpu_sys_stats).

use super::{Answer, Sample, number};

/// The size of a page, when the system started and how long ago that is, and the counters.
pub const COMMANDS: &str = "\
echo \"pagesize $(pagesize)\"
kstat -p -m unix -n system_misc
kstat -p -m cpu -n sys
kstat -p -m cpu_stat
kstat -p -m unix -n system_pages
kstat -p -c disk
kstat -p -c net
echo '== df'; LC_ALL=C df -k
";

const NANOSECONDS: f64 = 1e9;
/// The clock of Solaris 8 and 9 ticks so often in a second, unless `hires_tick` is set.
const TICKS: f64 = 100.0;

/// A line's four names and its value.
struct Line<'a> {
    module: &'a str,
    instance: &'a str,
    name: &'a str,
    statistic: &'a str,
    value: f64,
}

fn line(text: &str) -> Option<Line<'_>> {
    let (names, value) = text.split_once('\t')?;
    let mut names = names.splitn(4, ':');
    Some(Line {
        module: names.next()?,
        instance: names.next()?,
        name: names.next()?,
        statistic: names.next()?,
        value: number(value.trim())?,
    })
}

/// Metric, unit and what the value is divided by.
type Meaning = (&'static str, &'static str, f64);

fn meaning(line: &Line<'_>, page: Option<f64>) -> Option<Meaning> {
    Some(match (line.module, line.name, line.statistic) {
        ("cpu", "sys", "cpu_nsec_user") => ("cpu.user", "s", NANOSECONDS),
        ("cpu", "sys", "cpu_nsec_kernel") => ("cpu.kernel", "s", NANOSECONDS),
        ("cpu", "sys", "cpu_nsec_idle") => ("cpu.idle", "s", NANOSECONDS),
        ("cpu_stat", _, "user") => ("cpu.user", "s", TICKS),
        ("cpu_stat", _, "kernel") => ("cpu.kernel", "s", TICKS),
        ("cpu_stat", _, "wait") => ("cpu.wait", "s", TICKS),
        ("cpu_stat", _, "idle") => ("cpu.idle", "s", TICKS),
        ("unix", "system_pages", "physmem") => ("memory.total", "B", 1.0 / page?),
        ("unix", "system_pages", "freemem") => ("memory.free", "B", 1.0 / page?),
        (_, _, "nread") => ("disk.read", "B", 1.0),
        (_, _, "nwritten") => ("disk.written", "B", 1.0),
        (_, _, "reads") => ("disk.reads", "1", 1.0),
        (_, _, "writes") => ("disk.writes", "1", 1.0),
        // fractional seconds already: kstat prints times so
        (_, _, "rtime") => ("disk.busy", "s", 1.0),
        (_, _, "rbytes64") => ("net.in", "B", 1.0),
        (_, _, "obytes64") => ("net.out", "B", 1.0),
        _ => return None,
    })
}

/// What the metric is of: `sd0`, `e1000g0`, `net0`, or the processor's number.
fn instance(line: &Line<'_>, metric: &str) -> String {
    match (metric.split('.').next(), line.name) {
        (Some("cpu"), _) => line.instance.into(),
        (Some("memory"), _) => String::new(),
        (Some("net"), "mac") => format!("{}{}", line.module, line.instance),
        _ => line.name.into(),
    }
}

pub fn parse(text: &str) -> Answer {
    let word = |key: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(key));
        found.and_then(|value| number(value.trim()))
    };
    let page = word("pagesize ");
    let misc = |statistic: &str| word(&format!("unix:0:system_misc:{statistic}\t"));
    // Without a time a sample says nothing.
    let Some((start, age)) = misc("boot_time").zip(misc("snaptime")) else { return Answer::default() };
    let at = (start + age) as u64;
    let lines: Vec<Line<'_>> = text.lines().filter_map(line).collect();
    let has = |module: &str| lines.iter().any(|line| line.module == module);
    // The same thing is counted twice: a link by its own name and by its card's, a processor in time and in ticks.
    let (links, fine) = (has("link"), has("cpu"));
    let mut samples: Vec<Sample> = Vec::new();
    for line in &lines {
        let Some((metric, unit, divisor)) = meaning(line, page) else { continue };
        let twice = (metric.starts_with("net.") && links && line.module != "link")
            || (line.module == "cpu_stat" && fine && metric != "cpu.wait");
        let loopback = line.module == "lo";
        if !twice && !loopback {
            samples.push(Sample {
                metric,
                instance: instance(line, metric),
                unit,
                at,
                value: line.value / divisor,
            });
        }
    }
    let (_, table) = text.split_once("== df\n").unwrap_or_default();
    samples.extend(table.lines().filter_map(file_system).flatten().map(|(metric, path, value)| {
        let instance = path.to_owned();
        Sample { metric, instance, unit: "B", at, value }
    }));
    Answer { facts: Vec::new(), samples }
}

/// A line of df(8): device, KiB, of them used, left, share, mount point. A long device has a line of its own, and what holds no
/// files has no size.
fn file_system(line: &str) -> Option<[(&'static str, &str, f64); 2]> {
    let (before, path) = line.split_once('%')?;
    let mut numbers = before.split_whitespace().rev().skip(2);
    let (used, size, path) = (number(numbers.next()?)?, number(numbers.next()?)?, path.trim());
    let holds = size > 0.0 && path.starts_with('/');
    holds.then_some([("filesystem.size", path, size * 1024.0), ("filesystem.used", path, used * 1024.0)])
}
