//! Names of devices that Windows has not seen yet. Plug and Play makes the last part of a PCI device's path from its
//! parent's path and its own place, so that it can be known before the first start.
//!
//! The hash was found by its results: `ACPI\PNP0A03\0`, `ACPI\PNP0A03\1` and `ACPI\PNP0A08\0` give the
//! `3&267a616a&0`, `3&13c0b0c5&0` and `3&11583659&0` that every such machine shows, `ACPI_HAL\PNP0C08\0` the `2&daba3ff&0`.

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

    /// The bus, and the place on it as the kernel counts (`PCI_SLOT_NUMBER`): the device's number, and the function's above.
    pub fn numbers(self) -> (u32, u32) {
        (self.bus.into(), u32::from(self.function) << 5 | u32::from(self.device))
    }
}

/// The path of the root bus's parent on a machine of QEMU; none where it is not known.
fn root(machine: &str) -> Option<&'static str> {
    // QEMU's hw/i386/acpi-build.c: _HID PNP0A08 and PNP0A03, _UID 0 (since version 5.2).
    if machine.contains("q35") {
        Some(r"ACPI\PNP0A08\0")
    } else if machine.contains("i440fx") || machine == "pc" {
        Some(r"ACPI\PNP0A03\0")
    } else {
        None
    }
}

/// The last part of the path of a device on the root bus: `3&11583659&0&40`.
pub fn instance(machine: &str, slot: Slot) -> Option<String> {
    let parent = root(machine).filter(|_| slot.bus == 0)?;
    let place = slot.device << 3 | slot.function;
    Some(format!("3&{:x}&0&{place:02X}", hash(parent)))
}

fn hash(path: &str) -> u32 {
    let sum = path.encode_utf16().fold(0_u32, |sum, c| sum.wrapping_mul(37).wrapping_add(u32::from(c)));
    (sum.wrapping_mul(314_159_269) as i32).unsigned_abs() % 1_000_000_007
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_that_windows_shows() {
        let known = [
            (r"ACPI\PNP0A03\0", 0x267a_616a),
            (r"ACPI\PNP0A03\1", 0x13c0_b0c5),
            (r"ACPI\PNP0A08\0", 0x1158_3659),
            (r"ACPI_HAL\PNP0C08\0", 0x0dab_a3ff),
        ];
        known.into_iter().for_each(|(path, expected)| assert_eq!(hash(path), expected, "{path}"));
    }

    #[test]
    fn instances() {
        let slot = Slot::parse("0000:00:08.0").unwrap();
        assert_eq!(instance("q35", slot).as_deref(), Some("3&11583659&0&40"));
        assert_eq!(Slot::parse("0000:02:03.1").unwrap().numbers(), (2, 0x23));
        assert_eq!(instance("i440fx", slot).as_deref(), Some("3&267a616a&0&40"));
        assert_eq!(instance("vmx-19", slot), None);
        assert_eq!(instance("q35", Slot::parse("0000:01:00.0").unwrap()), None);
        for odd in ["", "0000:00:08", "0001:00:08.0", "0000:00:20.0", "0000:00:08.8", "x:y:z.w"] {
            assert_eq!(Slot::parse(odd), None, "{odd}");
        }
    }
}
