//! prtdiag(1M), prtconf(1M) and psrinfo(1M): what the machine is.

use wherry_sdk::{Fact, fact};

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Bytes of `8192 Megabytes`, `2GB`, `16 Gigabytes`, `640 Kilobytes`.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text.get(..text.len() - digits.len())?.parse().ok()?;
    let shift = match digits.trim_start().chars().next()?.to_ascii_uppercase() {
        'K' => 10,
        'M' => 20,
        'G' => 30,
        'T' => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// What stands behind `label` in the first line that begins with it.
fn labelled<'t>(text: &'t str, label: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.trim_start().strip_prefix(label)).map(str::trim)
}

/// Lines of the section with this title: what is under the dashes, until an empty line.
fn section<'t>(text: &'t str, title: &str) -> impl Iterator<Item = &'t str> {
    let title = title.to_owned();
    let mut lines = text
        .lines()
        .skip_while(move |line| !(line.trim_start().starts_with("==") && line.contains(title.as_str())));
    lines.next();
    lines
        .skip_while(|line| !line.trim_start().starts_with("---") && !line.trim_start().starts_with("=="))
        .skip(1)
        .take_while(|line| !line.trim().is_empty() && !line.trim_start().starts_with("=="))
}

/// `prtdiag -v`, of x86 and SPARC.
pub fn prtdiag(text: &str) -> Vec<Fact> {
    let mut facts = Vec::new();
    let system = labelled(text, "System Configuration:").map(words).filter(|system| !system.is_empty());
    facts.extend(system.map(|system| fact("hardware.system", system)));
    facts.extend(labelled(text, "BIOS Configuration:").map(|bios| fact("hardware.bios", words(bios))));
    let memory = labelled(text, "Memory size:").and_then(bytes);
    facts.extend(memory.map(|bytes| fact("memory.bytes", bytes)));
    let sockets = section(text, "Processor Sockets").count();
    if sockets > 0 {
        facts.push(fact("cpu.sockets", sockets));
    }
    let (all, used) = section(text, "Memory Device Sockets").fold((0_u32, 0_u32), |(all, used), line| {
        (all + 1, used + u32::from(words(line).contains(" in use ")))
    });
    if all > 0 {
        facts.push(fact("hardware.memory-sockets", all));
        facts.push(fact("hardware.memory-used", used));
    }
    facts
}

/// `prtconf`.
pub fn prtconf(text: &str) -> Vec<Fact> {
    let mut facts = Vec::new();
    let platform = labelled(text, "System Configuration:").and_then(|line| line.split_whitespace().last());
    facts.extend(platform.map(|platform| fact("hardware.platform", platform)));
    let memory = labelled(text, "Memory size:").and_then(bytes);
    facts.extend(memory.map(|bytes| fact("memory.bytes", bytes)));
    facts
}

/// `psrinfo -pv`.
pub fn psrinfo(text: &str) -> Vec<Fact> {
    let (mut sockets, mut cores, mut threads) = (0_u64, Some(0_u64), 0_u64);
    let (mut model, mut mhz) = (None, None);
    let mut named = false;
    for line in text.lines() {
        let number_before = |word: &str| {
            let before = line.split(word).next()?.split_whitespace().last()?;
            line.contains(word).then(|| before.parse::<u64>().ok()).flatten()
        };
        if line.trim_start().starts_with("The physical processor has") {
            sockets += 1;
            let own = number_before(" virtual processor").unwrap_or(0);
            threads = threads.saturating_add(own);
            // without a word on cores, one of several threads may have any number
            let counted = number_before(" core").or((own == 1).then_some(1));
            cores = cores.zip(counted).and_then(|(all, own)| all.checked_add(own));
        } else if let Some(clock) = line.split(" clock ").nth(1) {
            mhz = mhz.or(clock.split_whitespace().next().and_then(|mhz| mhz.parse::<u32>().ok()));
            let own = line.split('(').next().map(words).filter(|own| own != "x86" && !own.is_empty());
            named = own.is_none();
            model = model.or(own);
        } else if named && !line.trim().is_empty() {
            model = model.or(Some(words(line)));
            named = false;
        }
    }
    if sockets == 0 {
        return Vec::new();
    }
    let mut facts = vec![fact("cpu.sockets", sockets), fact("cpu.threads", threads)];
    facts.extend(cores.map(|cores| fact("cpu.cores", cores)));
    facts.extend(model.map(|model| fact("cpu.model", model)));
    facts.extend(mhz.map(|mhz| fact("cpu.mhz", mhz)));
    facts
}
