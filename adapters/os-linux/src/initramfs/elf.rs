//! The section `.modinfo` of a kernel module: `key=value` strings (System V ABI, chapter "Object files";
//! `include/linux/moduleparam.h`).

use wherry_sdk::{Error, Result};

/// The fields of the headers that differ in width.
struct Layout {
    wide: bool,
    big: bool,
}

impl Layout {
    fn short(&self, bytes: &[u8], at: usize) -> Option<u16> {
        let two = *bytes.get(at..)?.first_chunk()?;
        Some(if self.big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    }

    fn word(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let four = *bytes.get(at..)?.first_chunk()?;
        Some(if self.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }

    /// An address or offset: `narrow` or `wide` is its place, by the class of the file.
    fn long(&self, bytes: &[u8], narrow: usize, wide: usize) -> Option<usize> {
        if !self.wide {
            return usize::try_from(self.word(bytes, narrow)?).ok();
        }
        let eight = *bytes.get(wide..)?.first_chunk()?;
        let number = if self.big { u64::from_be_bytes(eight) } else { u64::from_le_bytes(eight) };
        usize::try_from(number).ok()
    }
}

/// Everything in `.modinfo`, in order.
pub fn information(module: &[u8]) -> Result<Vec<(String, String)>> {
    let section = section(module).ok_or_else(|| Error::corrupt(0, "not a kernel module with .modinfo"))?;
    let strings = section.split(|byte| *byte == 0).filter(|text| !text.is_empty());
    let pairs = strings.filter_map(|text| {
        let text = String::from_utf8_lossy(text);
        text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
    });
    Ok(pairs.collect())
}

fn section(module: &[u8]) -> Option<&[u8]> {
    let head: &[u8; 6] = module.first_chunk()?;
    let [0x7f, b'E', b'L', b'F', class @ 1..=2, order @ 1..=2] = *head else { return None };
    let layout = Layout { wide: class == 2, big: order == 2 };
    let table = layout.long(module, 32, 40)?;
    let [size, count, names] = if layout.wide { [58, 60, 62] } else { [46, 48, 50] };
    let size = usize::from(layout.short(module, size)?);
    let count = usize::from(layout.short(module, count)?);
    let header = |number: usize| {
        let at = table.checked_add(number.checked_mul(size)?)?;
        module.get(at..at.checked_add(size)?)
    };
    let content = |number: usize| {
        let header = header(number)?;
        let at = layout.long(header, 16, 24)?;
        module.get(at..at.checked_add(layout.long(header, 20, 32)?)?)
    };
    let names = content(usize::from(layout.short(module, names)?))?;
    let named = |number: &usize| {
        let name = header(*number).and_then(|header| layout.word(header, 0));
        let name = name.and_then(|at| names.get(at as usize..));
        name.is_some_and(|name| name.starts_with(b".modinfo\0"))
    };
    content((0..count).find(named)?)
}
