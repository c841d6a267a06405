//! What target adapters share: the operator's wishes, what can be a machine's name and a card's address, how disks are called,
//! identifiers, XML.

use crate::target::Machine;
use crate::{Concern, Error, ErrorKind, Result, Severity, concern, find};
use sha2::{Digest, Sha256};
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
        // the host takes that one, for every target
        let remedy = format!("choose among firmware, {}", known.join(", "));
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

/// `value` if it is one of `values`: for a profile as it came back from the host, which may have been edited or stored meanwhile.
pub fn offered(what: &str, value: &str, values: &[&str]) -> Result<String> {
    if values.contains(&value) {
        return Ok(value.to_owned());
    }
    let message = format!("{what} `{value}` is not offered; choose one of {}", values.join(", "));
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// Refuses addresses that are not of one card, and networks that nothing can be called.
pub fn check_cards(machine: &Machine) -> Result<()> {
    for nic in &machine.nics {
        if let Some(mac) = nic.mac.as_deref().filter(|mac| !is_unicast(mac)) {
            let message = format!("{mac:?} is not the MAC address of a card, such as 52:54:00:12:34:56");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        if let Some(network) = nic.network.as_deref()
            && (network.is_empty() || network.contains(char::is_control))
        {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("{network:?} cannot be the name of a network"),
            ));
        }
    }
    Ok(())
}

/// The warning `PLATFORM.same-mac`: a bond shows one address on all of its cards.
pub fn same_macs(machine: &Machine, platform: &str) -> Option<Concern> {
    let mut seen = BTreeSet::new();
    let mut macs = machine.nics.iter().filter_map(|nic| Some(nic.mac.as_ref()?.to_ascii_lowercase()));
    let twice = macs.find(|mac| !seen.insert(mac.clone()))?;
    let message = format!("two network cards have the address {twice}");
    let remedy = "if the source bonds them, give each card its permanent address";
    Some(concern(Severity::Warning, &format!("{platform}.same-mac"), message, Some(remedy)))
}

/// The warning `PLATFORM.firmware-assumed`, where nobody said how the source boots.
pub fn firmware_assumed(machine: &Machine, platform: &str) -> Option<Concern> {
    if find(&machine.facts, "firmware").is_some() {
        return None;
    }
    let message = "the source does not say whether it boots by bios or uefi; bios is assumed";
    Some(concern(Severity::Warning, &format!("{platform}.firmware-assumed"), message, None))
}

/// Guests that an x86_64 processor runs.
const X86: [&str; 6] = ["x86_64", "i686", "i586", "i486", "i386", "x86"];

/// The blocking concern `PLATFORM.architecture` for a guest that an x86_64 processor does not run.
pub fn other_architecture(machine: &Machine, platform: &str) -> Option<Concern> {
    let other = find(&machine.facts, "os.architecture").filter(|one| !X86.contains(one))?;
    let message = format!("the guest is built for {other}; only x86_64 machines are made here");
    let id = format!("{platform}.architecture");
    Some(concern(Severity::Blocking, &id, message, Some("use another target")))
}

/// Bytes of a sector of the disk with this index. A size that cannot be read is 0, which no target takes.
pub fn sector_size(machine: &Machine, index: u32) -> u32 {
    let said = find(&machine.facts, &format!("disk.{index}.sector-size"));
    said.map_or(512, |said| said.parse().unwrap_or(0))
}

/// `NAME.EXTENSION` for the machine's first disk, `NAME-INDEX.EXTENSION` for the others.
pub fn disk_file(machine: &Machine, position: usize, extension: &str) -> String {
    let index = machine.disks.get(position).filter(|_| position > 0).map(|disk| format!("-{}", disk.index));
    format!("{}{}.{extension}", machine.name, index.unwrap_or_default())
}

/// Whether `file` is what [`disk_file`] could call a disk of `machine`.
pub fn is_disk_file(file: &str, machine: &str, extensions: &[&str]) -> bool {
    let stem = || {
        let (stem, extension) = file.strip_prefix(machine)?.rsplit_once('.')?;
        extensions.contains(&extension).then_some(stem)
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    stem().is_some_and(|stem| stem.is_empty() || stem.strip_prefix('-').is_some_and(digits))
}

/// Sixteen bytes that are always the same for `key` and `what`, and for nothing else.
pub fn identity(key: &str, what: &str) -> [u8; 16] {
    let digest = Sha256::digest(format!("{key}\n{what}").as_bytes());
    std::array::from_fn(|place| digest.get(place).copied().unwrap_or_default())
}

/// An identifier of version 8, made from [`identity`] (RFC 9562, section 5.8), with hyphens in the usual places.
pub fn uuid(key: &str, what: &str) -> String {
    let mut bytes = identity(key, what);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
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
