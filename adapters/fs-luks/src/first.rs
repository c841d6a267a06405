//! LUKS1: all that is known lies in one header.
//!
//! Source: "LUKS On-Disk Format Specification" 1.2.3, section 2 and figures 2 to 4.

use crate::header::{Found, shown};
use wherry_sdk::bytes::{be32_at, field};
use wherry_sdk::fact;

/// Bytes of the header.
pub const LENGTH: usize = 592;
const SECTOR: u64 = 512;
const SLOTS: usize = 208;
const SLOT_LENGTH: usize = 48;
const SLOT_COUNT: usize = 8;
const ENABLED: u32 = 0x00ac_71f3;

/// What the header says.
pub fn read(bytes: &[u8]) -> Found {
    let words = |at| shown(field(bytes, at, 32));
    let slots = (0..SLOT_COUNT).filter(|slot| be32_at(bytes, SLOTS + slot * SLOT_LENGTH) == ENABLED);
    let slots: Vec<String> = slots.map(|slot| format!("{slot}: pbkdf2")).collect();
    Found {
        uuid: shown(field(bytes, 168, 40)),
        label: String::new(),
        sector: SECTOR as u32,
        clean: true,
        facts: vec![
            fact("luks.version", 1),
            fact("luks.cipher", format!("{}-{}", words(8), words(40))),
            fact("luks.hash", words(72)),
            fact("luks.key-bits", u64::from(be32_at(bytes, 108)) * 8),
            fact("luks.offset", u64::from(be32_at(bytes, 104)) * SECTOR),
            fact("luks.key-slots", slots.join(", ")),
        ],
    }
}
