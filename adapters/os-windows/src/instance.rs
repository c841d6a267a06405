//! Names of devices that Windows has not seen yet. Plug and Play makes the last part of a PCI device's path from its parent's
//! path and its own place (`3&267a616a&0&18`), or from its serial number, so that it can be known before the first start.
//!
//! The part before the place is the parent's `ParentIdPrefix`: depth, hash, counter. Where the parent has none yet, Windows makes
//! it: the hash of its path, and the counter of the value `NextParentID.HASH.DEPTH` of `Enum`, which is 1 where the installation's
//! image has used 0. The hash and these rules were found by their results; `tests` has the names and where they were seen.

use crate::hal;
use crate::hives::{Hives, Store};
use crate::models::Model;
use crate::system::System;
use crate::tools::Platform;
use crate::version::{SEVEN, VISTA, W2003, XP};
use crate::work::Work;
use wherry_sdk::{Result, find};

/// A place on a PCI bus: `0000:00:08.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    bus: u8,
    device: u8,
    function: u8,
}

impl Slot {
    /// As the profile's `nic.N.slot` has it.
    pub fn parse(text: &str) -> Option<Self> {
        let (domain, rest) = text.split_once(':')?;
        let (bus, rest) = rest.split_once(':')?;
        let (device, function) = rest.split_once('.')?;
        let hex = |text: &str| u8::from_str_radix(text, 16).ok();
        let new = Self { bus: hex(bus)?, device: hex(device)?, function: hex(function)? };
        (domain.bytes().all(|c| c == b'0') && new.device < 32 && new.function < 8).then_some(new)
    }

    /// Device and function as configuration space has them.
    fn function(self) -> u8 {
        self.device << 3 | self.function
    }

    /// The bus, and the place on it as the kernel counts (`PCI_SLOT_NUMBER`): the device's number, and the function's above.
    pub fn numbers(self) -> (u32, u32) {
        (self.bus.into(), u32::from(self.function) << 5 | u32::from(self.device))
    }
}

/// The path below `Enum` that the new machine's card N will have; none where it is not known.
pub fn device(work: &mut Work<'_>, model: &Model, n: usize) -> Result<Option<String>> {
    let Some(id) = model.device else { return Ok(None) };
    let instance = if id.contains(E1000E) || id.contains(VMXNET3) {
        // QEMU's e1000e has a serial number as well, but a Windows was seen that does not name it by that.
        let numbered = Platform::of(work.profile) == Platform::VmWare && work.system.version >= SEVEN;
        let mac = work.option(&format!("nic.{n}.mac")).and_then(octets).filter(|_| numbered);
        mac.map(|mac| serial(id, mac))
    } else {
        place(work, n)?
    };
    Ok(instance.map(|instance| format!(r"{id}\{instance}")))
}

fn place(work: &mut Work<'_>, n: usize) -> Result<Option<String>> {
    let facts = &work.profile.facts;
    if let Some(slot) =
        find(facts, &format!("nic.{n}.slot")).and_then(Slot::parse).filter(|slot| slot.bus == 0)
    {
        let Some((root, depth)) = root(work)? else { return Ok(None) };
        let prefix = prefix(&mut work.hives, &work.system, &root, depth)?;
        return Ok(Some(format!("{prefix}&{:02X}", slot.function())));
    }
    match find(facts, &format!("nic.{n}.path")).and_then(behind) {
        Some((bridge, own)) => behind_bridge(work, bridge, own),
        None => Ok(None),
    }
}

/// The path of the root bus and the depth of what is on it; none where it is not known.
fn root(work: &mut Work<'_>) -> Result<Option<(String, u32)>> {
    if !is_acpi(work)? {
        return Ok(Some((r"PCI_HAL\PNP0A03\0".into(), 2)));
    }
    let machine = work.profile.machine.as_str();
    // QEMU's hw/i386/acpi-build.c: _HID PNP0A08 and PNP0A03, _UID 0 (since version 5.2).
    let path = if machine.contains("q35") {
        r"ACPI\PNP0A08\0".into()
    } else if machine == "pc" || ["i440fx", "xen", "generation-1"].iter().any(|one| machine.starts_with(one))
    {
        r"ACPI\PNP0A03\0".into()
    } else if machine.starts_with("vmx") {
        // It has no _UID there, and is called by its parent, which each Windows has seen.
        let Some(own) = known_prefix(&mut work.hives, &work.system, r"ACPI_HAL\PNP0C08\0")? else {
            return Ok(None);
        };
        format!(r"ACPI\PNP0A03\{own}")
    } else {
        return Ok(None);
    };
    Ok(Some((path, 3)))
}

/// Whether Windows will run with a HAL that knows ACPI. All of Vista and later do.
fn is_acpi(work: &mut Work<'_>) -> Result<bool> {
    if work.system.version >= VISTA {
        return Ok(true);
    }
    let asked = work.option("hal").map(str::to_owned);
    let found = hal::computer(&mut work.hives, &work.system)?.map(|(_, id)| id);
    let hal = asked.or(found).unwrap_or_default().to_lowercase();
    if hal.starts_with("acpi") || hal.starts_with("mps_") || hal == "e_isa_up" {
        return Ok(hal.starts_with("acpi"));
    }
    let other = format!(r"{}\Enum\PCI_HAL", work.system.current);
    Ok(!work.hives.has(Store::System, &other)?)
}

/// A card on the bus of VMware's bridge, by both places.
fn behind_bridge(work: &mut Work<'_>, bridge: u8, own: u8) -> Result<Option<String>> {
    let id = match work.system.version {
        version if version >= VISTA => r"PCI\VEN_15AD&DEV_0790&SUBSYS_079015AD&REV_02",
        // It does not look for a bridge's subsystem.
        version if (XP..W2003).contains(&version) => r"PCI\VEN_15AD&DEV_0790&SUBSYS_00000000&REV_02",
        _ => return Ok(None),
    };
    if Platform::of(work.profile) != Platform::VmWare || !is_acpi(work)? {
        return Ok(None);
    }
    let Some((root, depth)) = root(work)? else { return Ok(None) };
    let outer = prefix(&mut work.hives, &work.system, &root, depth)?;
    let bridge_path = format!(r"{id}\{outer}&{bridge:02X}");
    let inner = prefix(&mut work.hives, &work.system, &bridge_path, depth + 1)?;
    Ok(Some(format!("{inner}&{own:02X}{bridge:02X}")))
}

/// What the names of a device's children begin with.
fn prefix(hives: &mut Hives<'_>, system: &System, parent: &str, depth: u32) -> Result<String> {
    if let Some(known) = known_prefix(hives, system, parent)? {
        return Ok(known);
    }
    let hash = hash(parent);
    let value = format!("NextParentID.{hash:x}.{depth}");
    let next = hives.number(Store::System, &format!(r"{}\Enum", system.current), &value)?;
    Ok(format!("{depth}&{hash:x}&{:x}", next.unwrap_or(0)))
}

/// The same, where Windows has made it already.
fn known_prefix(hives: &mut Hives<'_>, system: &System, parent: &str) -> Result<Option<String>> {
    let key = format!(r"{}\Enum\{parent}", system.current);
    let is_one = |text: &String| {
        text.matches('&').count() == 2
            && text.len() < 32
            && text.bytes().all(|c| c == b'&' || c.is_ascii_hexdigit())
    };
    Ok(hives.text(Store::System, &key, "ParentIdPrefix")?.filter(is_one))
}

/// `11.0/01.0`: a bridge on the root bus, and a place on its bus.
fn behind(text: &str) -> Option<(u8, u8)> {
    let (bridge, own) = text.split_once('/')?;
    let slot = |text: &str| Slot::parse(&format!("0000:00:{text}"));
    Some((slot(bridge)?.function(), slot(own)?.function()))
}

const E1000E: &str = "VEN_8086&DEV_10D3";
const VMXNET3: &str = "VEN_15AD&DEV_07B0";

/// VMware's PCI Express cards have serial numbers, made of the hardware address.
fn serial(id: &str, [a, b, c, d, e, f]: [u8; 6]) -> String {
    let bytes = match id.contains(VMXNET3) {
        true => [0xff, c, b, a, f, e, d, 0xfe],
        false => [a, b, c, 0xff, 0xff, d, e, f],
    };
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>() + "00"
}

/// The hardware address in the path of such a card.
pub fn mac(device: &str) -> Option<String> {
    let (id, instance) = device.rsplit_once('\\')?;
    let id = id.to_ascii_uppercase();
    let number = instance.strip_suffix("00").filter(|number| number.len() == 16)?;
    let bytes = u64::from_str_radix(number, 16).ok()?.to_be_bytes();
    let octets = match bytes {
        [0xff, c, b, a, f, e, d, 0xfe] if id.contains(VMXNET3) => [a, b, c, d, e, f],
        [a, b, c, 0xff, 0xff, d, e, f] if id.contains(E1000E) => [a, b, c, d, e, f],
        _ => return None,
    };
    Some(octets.map(|octet| format!("{octet:02x}")).join(":"))
}

fn octets(mac: &str) -> Option<[u8; 6]> {
    let all: Option<Vec<u8>> = mac.split(':').map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
    all?.try_into().ok()
}

fn hash(path: &str) -> u32 {
    let path = path.to_uppercase();
    let sum = path.encode_utf16().fold(0_u32, |sum, c| sum.wrapping_mul(37).wrapping_add(u32::from(c)));
    (sum.wrapping_mul(314_159_269) as i32).unsigned_abs() % 1_000_000_007
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paths of parents, and what the names of devices below them begin with. The numbers are those of stored public files.
    #[test]
    fn hashes_that_windows_shows() {
        let known = [
            // "ParentIdPrefix" and "NextParentID.267a616a.3" of an XP (30089396772); Windows 2016 on QEMU 3.0 and then on
            // QEMU 5.2 (46747524313); &1 on QEMU, Xen, VirtualBox and Hyper-V (51795203193, 46961999442, 37066238891, 38686902528).
            (r"ACPI\PNP0A03\0", 0x267a_616a),
            (r"ACPI\PNP0A03\1", 0x13c0_b0c5),
            (r"ACPI\PNP0A08\0", 0x1158_3659),
            (r"ACPI_HAL\PNP0C08\0", 0x0dab_a3ff),
            // A Standard PC: "NextParentID.ebb567f.2" (30089396772), 2&ebb567f&0&18 in QEMU (57905993273).
            (r"PCI_HAL\PNP0A03\0", 0x0ebb_567f),
            // VMware: "NextParentID.61aaa01.3" beside "NextParentID.daba3ff.2" (40544752081); Windows Server 2016 with the root
            // 2&DABA3FF&1 (26045890059); Windows 7 (15988823401).
            (r"ACPI\PNP0A03\2&daba3ff&0", 0x061a_aa01),
            (r"ACPI\PNP0A03\2&DABA3FF&1", 0x18d4_5aa6),
            (r"ACPI\PNP0A03\2&DABA3FF&2", 0x2b8e_0b4b),
            // The bridge: PCnet in XP (8535661495), e1000 (29125515885, 27339795758), AHCI beside its root (26045890059).
            (r"PCI\VEN_15AD&DEV_0790&SUBSYS_00000000&REV_02\3&61aaa01&0&88", 0x047b_7341),
            (r"PCI\VEN_15AD&DEV_0790&SUBSYS_079015AD&REV_02\3&18d45aa6&0&88", 0x0b70_f118),
            (r"PCI\VEN_15AD&DEV_0790&SUBSYS_079015AD&REV_02\3&2b8e0b4b&0&88", 0x3ad8_7e0a),
            // Ports of PCI Express: LSI SAS (26045890059, 29365843274), xHCI (6513485484); QEMU's (70244986881).
            (r"PCI\VEN_15AD&DEV_07A0&SUBSYS_07A015AD&REV_01\3&18d45aa6&0&A8", 0x2732_702b),
            (r"PCI\VEN_15AD&DEV_07A0&SUBSYS_07A015AD&REV_01\3&2b8e0b4b&0&A8", 0x1f16_fef7),
            (r"PCI\VEN_15AD&DEV_07A0&SUBSYS_07A015AD&REV_01\3&18d45aa6&0&B8", 0x23f7_07fc),
            (r"PCI\VEN_1B36&DEV_000C&SUBSYS_00001B36&REV_00\3&11583659&0&14", 0x1282_9b10),
        ];
        known.into_iter().for_each(|(path, expected)| assert_eq!(hash(path), expected, "{path}"));
    }

    /// Names of cards, and the addresses that these have where both were told (4015458575), or that are of VMware's makers.
    #[test]
    fn serial_numbers_that_windows_shows() {
        let known = [
            (r"PCI\VEN_15AD&DEV_07B0&SUBSYS_07B015AD&REV_01\FF565000BB0895FE00", "00:50:56:95:08:bb"),
            // 27339795758, 3610636796
            (r"PCI\VEN_15AD&DEV_07B0&SUBSYS_07B015AD&REV_01\FF290C008E0E28FE00", "00:0c:29:28:0e:8e"),
            (r"PCI\VEN_15AD&DEV_07B0&SUBSYS_07B015AD&REV_01\FF565000B37984FE00", "00:50:56:84:79:b3"),
            // 26045890059, 6513485484, 23146207909
            (r"PCI\VEN_8086&DEV_10D3&SUBSYS_07D015AD&REV_00\005056FFFFB441AF00", "00:50:56:b4:41:af"),
            (r"PCI\VEN_8086&DEV_10D3&SUBSYS_07D015AD&REV_00\005056FFFFB9E8F200", "00:50:56:b9:e8:f2"),
            (r"PCI\VEN_8086&DEV_10D3&SUBSYS_07D015AD&REV_00\000C29FFFF66A80700", "00:0c:29:66:a8:07"),
        ];
        for (path, expected) in known {
            assert_eq!(mac(path).as_deref(), Some(expected), "{path}");
            let (id, instance) = path.rsplit_once('\\').unwrap();
            assert_eq!(serial(id, octets(expected).unwrap()), instance);
        }
        for odd in
            ["", "x", r"PCI\VEN_8086&DEV_10D3\4&12829b10&0&0014", r"PCI\VEN_8086&DEV_10D3\+1234567890ABCDE00"]
        {
            assert_eq!(mac(odd), None, "{odd}");
        }
        assert_eq!((octets("00:0c:29:66:a8"), octets("00:0c:29:66:a8:xx")), (None, None));
    }

    #[test]
    fn places() {
        assert_eq!(behind("11.0/01.0"), Some((0x88, 0x08)));
        assert_eq!(Slot::parse("0000:02:03.1").unwrap().numbers(), (2, 0x23));
        for odd in ["", "11.0", "11.0/20.0", "11/1", "/", "1.0/1.0/1.0"] {
            assert_eq!(behind(odd), None, "{odd}");
        }
        for odd in ["", "0000:00:08", "0001:00:08.0", "0000:00:20.0", "0000:00:08.8", "x:y:z.w"] {
            assert_eq!(Slot::parse(odd), None, "{odd}");
        }
    }
}
