//! LUKS1: a header of 592 bytes, big-endian, with eight key slots (`struct luks_phdr`).

use crate::sealed::{Sealed, bad, hex, rest, uuid, word};
use wherry_sdk::bytes::{be16_at, be32_at, field, text};
use wherry_sdk::{Blob, Error, Result};

pub const MAGIC: &[u8] = b"LUKS\xba\xbe";
const LENGTH: u32 = 592;
const SECTOR: u64 = 512;
const SLOTS: usize = 8;
const SLOTS_AT: usize = 208;
const SLOT_LENGTH: usize = 48;
const ENABLED: u32 = 0x00ac_71f3;

/// The header, if there is one of version 1.
pub fn read(device: &dyn Blob) -> Result<Option<Sealed>> {
    if device.size() < u64::from(LENGTH) {
        return Ok(None);
    }
    let header = device.read(0, LENGTH)?;
    if !header.starts_with(MAGIC) || be16_at(&header, 6) == 2 {
        return Ok(None);
    }
    if be16_at(&header, 6) != 1 {
        return Err(Error::unsupported(format!("version {} is unknown", be16_at(&header, 6))));
    }
    let name = format!("{}-{}", text(field(&header, 8, 32)), text(field(&header, 40, 32)));
    let (name, hash) = (word(&name)?.to_string(), text(field(&header, 72, 32)));
    let (hash, key) = (word(&hash)?.to_string(), be32_at(&header, 108));
    let offset = u64::from(be32_at(&header, 104)) * SECTOR;
    if offset == 0 {
        return Err(Error::unsupported("its data are on another device (a detached header)"));
    }
    let slot = |index: usize| {
        let slot = field(&header, SLOTS_AT + index * SLOT_LENGTH, SLOT_LENGTH);
        (be32_at(slot, 0) == ENABLED).then(|| {
            format!(
                "id={index} way=pbkdf2 hash={hash} iterations={} salt={} cipher={name} key={key} offset={} stripes={} split={hash}",
                be32_at(slot, 4),
                hex(field(slot, 8, 32)),
                u64::from(be32_at(slot, 40)) * SECTOR,
                be32_at(slot, 44),
            )
        })
    };
    let slots: Vec<String> = (0..SLOTS).filter_map(slot).collect();
    if slots.is_empty() {
        return Err(bad("none of its key slots is in use"));
    }
    let digest = format!(
        "slots=0,1,2,3,4,5,6,7 hash={hash} iterations={} salt={} value={}",
        be32_at(&header, 164),
        hex(field(&header, 132, 32)),
        hex(field(&header, 112, 20))
    );
    Ok(Some(Sealed {
        uuid: uuid(&text(field(&header, 168, 40)))?,
        version: 1,
        label: String::new(),
        offset,
        length: rest(offset, device.size(), SECTOR)?,
        cipher: format!("name={name} key={key} sector=512 first=0"),
        slots,
        digests: vec![digest],
    }))
}
