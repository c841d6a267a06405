//! Services and drivers, and the disks that letters stand for.

use crate::hives::{Hives, Store};
use crate::system::System;
use wherry_sdk::image::Uuid;
use wherry_sdk::{Fact, Result, fact};

/// `Start`: by the loader, before anything else.
pub const BOOT: u32 = 0;
/// Never.
pub const DISABLED: u32 = 4;
/// Services of one machine that are looked at.
const MOST: usize = 8192;

/// `boot-drivers`, `system-drivers` and `services`: names of what starts by itself.
pub fn describe(hives: &mut Hives<'_>, system: &System) -> Result<Vec<Fact>> {
    let services = format!(r"{}\Services", system.current);
    let mut lists = [("boot-drivers", Vec::new()), ("system-drivers", Vec::new()), ("services", Vec::new())];
    for name in hives.keys(Store::System, &services)?.into_iter().take(MOST) {
        let key = format!(r"{services}\{name}");
        let Some(start) = hives.number(Store::System, &key, "Start")? else { continue };
        if let Some((_, list)) = lists.get_mut(start as usize) {
            list.push(name);
        }
    }
    let told = lists.into_iter().filter(|(_, list)| !list.is_empty());
    Ok(told.map(|(key, list)| fact(key, list.join(" "))).collect())
}

/// How a service starts in a control set; none where there is no such service.
pub fn start(hives: &mut Hives<'_>, set: &str, name: &str) -> Result<Option<u32>> {
    let start = hives.number(Store::System, &format!(r"{set}\Services\{name}"), "Start")?;
    Ok(start.and_then(|start| u32::try_from(start).ok()))
}

/// `drive.C` and the like: which disk and partition a letter stands for, as the mount manager keeps it in
/// `SYSTEM\MountedDevices`: an MBR disk's signature and the partition's first byte, or a GPT partition's id.
pub fn devices(hives: &mut Hives<'_>) -> Result<Vec<Fact>> {
    let mut facts = Vec::new();
    for name in hives.values(Store::System, "MountedDevices")? {
        let letter = name.strip_prefix(r"\DosDevices\").and_then(|rest| rest.strip_suffix(':'));
        let Some(letter) = letter.filter(|letter| letter.len() == 1) else { continue };
        if let Some((_, bytes)) = hives.value(Store::System, "MountedDevices", &name)? {
            facts.push(fact(format!("drive.{letter}"), device(&bytes)));
        }
    }
    Ok(facts)
}

fn device(bytes: &[u8]) -> String {
    if let Some(guid) = bytes.strip_prefix(b"DMIO:ID:") {
        return format!("gpt {}", Uuid::from_guid(guid));
    }
    if let Ok(bytes) = <[u8; 12]>::try_from(bytes) {
        let signature = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let mut offset = [0; 8];
        offset.copy_from_slice(&bytes[4..]);
        return format!("mbr {signature:08x} {}", u64::from_le_bytes(offset));
    }
    let units: Vec<u16> = bytes.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_by_what_is_stored() {
        let mbr = [0x78, 0x56, 0x34, 0x12, 0, 0, 0x10, 0, 0, 0, 0, 0];
        assert_eq!(device(&mbr), "mbr 12345678 1048576");
        let guid = b"\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b";
        assert_eq!(device(&[b"DMIO:ID:", &guid[..]].concat()), "gpt c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    }
}
