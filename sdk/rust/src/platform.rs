//! What target adapters share: the operator's wishes, what can be a machine's name and a card's address, XML.

use crate::target::Machine;
use crate::{Concern, Error, ErrorKind, Result, Severity, concern, find};
use std::collections::BTreeSet;

/// The wished value (`wish.disk-bus`) if it is known, or else the first, with the blocking concern `PLATFORM.unknown-wish`
/// when something else was wished.
pub fn wished<'a>(
    machine: &Machine,
    key: &str,
    known: &[&'a str],
    platform: &str,
    concerns: &mut Vec<Concern>,
) -> &'a str {
    let default = known.first().copied().unwrap_or_default();
    let Some(value) = find(&machine.facts, key) else { return default };
    if let Some(value) = known.iter().find(|one| **one == value) {
        return value;
    }
    let message = format!("`{key}` is `{value}`, which is not offered here");
    let remedy = format!("choose one of {}", known.join(", "));
    concerns.push(concern(Severity::Blocking, &format!("{platform}.unknown-wish"), message, Some(&remedy)));
    default
}

/// A blocking concern `PLATFORM.unknown-wish` for each wish that is none of `known` (without `wish.`).
pub fn unknown_wishes(machine: &Machine, known: &[&str], platform: &str) -> Vec<Concern> {
    let wishes = machine.facts.iter().filter_map(|fact| fact.key.strip_prefix("wish."));
    let tell = |wish| {
        let message = format!("`wish.{wish}` is not something this adapter knows");
        let remedy = format!("choose among {}", known.join(", "));
        concern(Severity::Blocking, &format!("{platform}.unknown-wish"), message, Some(&remedy))
    };
    wishes.filter(|wish| !known.contains(wish)).map(tell).collect()
}

/// Letters, digits, `.`, `_` and `-`, starting with a letter or digit: safe as a file name everywhere.
pub fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && name.len() <= 64 && name.chars().all(allowed) {
        return Ok(());
    }
    let rule = "at most 64 letters, digits, `.`, `_` and `-`, starting with a letter or digit";
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("the machine name {name:?} cannot be used: it needs {rule}"),
    ))
}

/// Refuses a machine without processors, memory or disks, with more than `cpus_most` processors, and one whose disks cannot be
/// told apart.
pub fn check_size(machine: &Machine, cpus_most: u32) -> Result<()> {
    let mut seen = BTreeSet::new();
    let what = if machine.cpus == 0 || machine.memory_mib == 0 {
        "the machine needs at least one cpu and some memory".into()
    } else if machine.cpus > cpus_most {
        format!("the machine has {} cpus; at most {cpus_most} work here", machine.cpus)
    } else if machine.disks.is_empty() {
        "the machine has no disks".into()
    } else if let Some(disk) = machine.disks.iter().find(|disk| !seen.insert(disk.index)) {
        format!("two disks have the index {}", disk.index)
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidInput, what))
}

/// Whether this is the address of one card, such as `52:54:00:12:34:56`.
pub fn is_unicast(mac: &str) -> bool {
    let bytes: Vec<_> = mac.split(':').collect();
    let pair = |byte: &&str| byte.len() == 2 && byte.chars().all(|c| c.is_ascii_hexdigit());
    let first = bytes.first().and_then(|byte| u8::from_str_radix(byte, 16).ok());
    bytes.len() == 6 && bytes.iter().all(pair) && first.is_some_and(|byte| byte & 1 == 0)
}

/// For XML text and attributes. XML 1.0 cannot write control characters (section 2.2); they become U+FFFD.
pub fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}
