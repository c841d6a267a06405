//! What the machine is: uname(1), prtconf(8), prtdiag(8), psrinfo(8), `kstat -p -m cpu_info`. On x86 prtdiag prints what SMBIOS says
//! (illumos-gate, `usr/src/cmd/prtdiag/i386/smbios.c`), on SPARC what each platform's module knows.

use super::Answer;
use std::collections::BTreeSet;
use wherry_sdk::{Fact, fact};

/// Each command under its name.
pub const COMMANDS: &str = "\
LC_ALL=C; export LC_ALL; PATH=/usr/bin:/usr/sbin:/usr/platform/`uname -i`/sbin; export PATH
for command in 'uname -a' prtconf 'prtdiag -v' 'psrinfo -pv' 'kstat -p -m cpu_info'; do echo \"== $command\"; $command 2>/dev/null; done
";

/// Names that firmware gives where nobody filled them in say nothing.
const NOTHING: [&str; 4] =
    ["To Be Filled By O.E.M.", "System manufacturer", "System Product Name", "Not Specified"];

pub fn parse(text: &str) -> Answer {
    let mut facts: Vec<Fact> = Vec::new();
    let mut add = |key: &str, value: String| {
        let told = !value.is_empty() && !NOTHING.iter().any(|nothing| value.contains(nothing));
        if told && !facts.iter().any(|fact| fact.key == key) {
            facts.push(fact(key, value));
        }
    };
    let mut section = "";
    let mut processors = Processors::default();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            section = name;
            continue;
        }
        match section {
            "uname -a" => {
                let words: Vec<&str> = line.split_whitespace().collect();
                if let ["SunOS", host, release, version, machine, processor, ..] = words[..] {
                    add("hostname", host.into());
                    add("os.release", release.into());
                    add("kernel.patch", version.into());
                    add("machine", machine.into());
                    add("architecture", processor.into());
                }
            }
            "prtconf" | "prtdiag -v" => {
                if let Some(value) = after(line, "System Configuration:") {
                    // prtconf says only which kernel it is
                    if section != "prtconf" {
                        add("machine.model", value);
                    }
                } else if let Some(value) = after(line, "BIOS Configuration:") {
                    add("machine.firmware", value);
                } else if let Some(mib) = after(line, "Memory size:").and_then(|size| mebibytes(&size)) {
                    add("memory.mib", mib.to_string());
                }
            }
            "kstat -p -m cpu_info" => processors.line(line),
            _ => {}
        }
    }
    processors.facts(&mut add);
    Answer { facts, samples: Vec::new() }
}

/// The words behind a key, each once apart: prtdiag fills lines with blanks.
fn after(line: &str, key: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix(key)?;
    Some(rest.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// `4096 Megabytes` (prtconf), `4GB`, `512 MB`, `2.00 Gigabytes` (prtdiag of several platforms).
fn mebibytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let amount: f64 = text.get(..end)?.parse().ok()?;
    let factor = match text.get(end..)?.trim_start().get(..1)? {
        "M" | "m" => 1.0,
        "G" | "g" => 1024.0,
        "T" | "t" => 1024.0 * 1024.0,
        _ => return None,
    };
    let amount = amount * factor;
    (1.0..1e12).contains(&amount).then_some(amount as u64)
}

/// What `cpu_info` says of each virtual processor.
#[derive(Default)]
struct Processors {
    threads: BTreeSet<String>,
    cores: BTreeSet<String>,
    sockets: BTreeSet<String>,
    model: String,
    megahertz: String,
}

impl Processors {
    fn line(&mut self, line: &str) {
        let Some((names, value)) = line.split_once('\t') else { return };
        let mut names = names.splitn(4, ':');
        let (Some("cpu_info"), Some(instance), Some(_), Some(statistic)) =
            (names.next(), names.next(), names.next(), names.next())
        else {
            return;
        };
        let value = value.trim().to_owned();
        match statistic {
            "state" => {
                self.threads.insert(instance.into());
            }
            "core_id" => {
                self.cores.insert(value);
            }
            "chip_id" => {
                self.sockets.insert(value);
            }
            "brand" => self.model = value,
            "clock_MHz" => self.megahertz = value,
            // Solaris 8 and 9 have no brand.
            "cpu_type" if self.model.is_empty() => self.model = value,
            _ => {}
        }
    }

    fn facts(self, add: &mut impl FnMut(&str, String)) {
        let count =
            |set: BTreeSet<String>| if set.is_empty() { String::new() } else { set.len().to_string() };
        add("cpu.model", self.model);
        add("cpu.mhz", self.megahertz);
        add("cpu.sockets", count(self.sockets));
        add("cpu.cores", count(self.cores));
        add("cpu.threads", count(self.threads));
    }
}
