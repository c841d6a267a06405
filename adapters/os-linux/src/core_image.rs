//! GRUB's core for BIOS, composed of the files of `i386-pc` as `grub-mkimage` does it (GRUB, `util/mkimage.c`,
//! `util/grub-mkimagexx.c`, `include/grub/offsets.h`, `include/grub/kernel.h`; all numbers little-endian):
//!
//! ```text
//! diskboot.img, one sector, which loads the rest: last 12 bytes u64 first sector, u16 sectors, u16 segment to load to
//! lzma_decompress.img: +8 u32 bytes of what follows, +12 u32 bytes when unpacked, +16 u32 bytes of Reed-Solomon codes (none)
//! LZMA without a header, lc 3, lp 0, pb 2, dictionary 64 KiB, of:
//!   kernel.img, an ELF file, as it lies in memory from 0x9000 on up to its zeroes
//!   u32 "mimg", u32 12, u32 bytes from here on; then objects { u32 type, u32 bytes with this header, content to a multiple of 4 }:
//!   modules (0), commands (2), the folder that everything else comes from (3)
//! ```

use std::collections::BTreeMap;
use std::io::Write;
use wherry_sdk::bytes::{field, little, part, put, put_u16, put_u32, put_u64};
use wherry_sdk::{Error, Result};

/// Bytes that BIOS counts in.
pub const SECTOR: usize = 512;
const LINKED_AT: u64 = 0x9000;
/// What can be loaded below the BIOS's own memory, and what the decompressor may have of it.
const CORE_MOST: usize = 0x78000 - 0x9000;
const DECOMPRESSOR_MOST: usize = 0x9000 - 0x8200;
/// More than any kernel and its modules have.
const UNPACKED_MOST: usize = 4 << 20;
/// Modules of one core.
const MODULES: usize = 256;
const ELF_SECTIONS: u64 = 64;
const MODULE: u32 = 0;
const COMMANDS: u32 = 2;
const FOLDER: u32 = 3;
/// Where the loader's first sector puts the second one, as a segment: 0x8200.
const SEGMENT: u16 = 0x820;

/// What of `i386-pc` a core is made of.
pub struct Parts<'a> {
    /// `diskboot.img`
    pub diskboot: &'a [u8],
    /// `lzma_decompress.img`
    pub decompressor: &'a [u8],
    /// `kernel.img`
    pub kernel: &'a [u8],
    /// In the order in which they are started: each after those that it needs.
    pub modules: &'a [Vec<u8>],
    /// What is done before anything else is loaded.
    pub commands: &'a str,
    /// The folder of modules and menu on the file system that the commands find.
    pub folder: &'a str,
}

fn damaged(what: &str) -> Error {
    Error::corrupt(0, format!("the lent {what} is not GRUB's for BIOS"))
}

/// The core, to be put into sectors one after the other from `first` on.
pub fn compose(parts: &Parts<'_>, first: u64) -> Result<Vec<u8>> {
    if parts.diskboot.len() != SECTOR {
        return Err(damaged("diskboot.img"));
    }
    if !(32..=DECOMPRESSOR_MOST).contains(&parts.decompressor.len()) {
        return Err(damaged("lzma_decompress.img"));
    }
    let unpacked = unpacked(parts)?;
    let packed = packed(&unpacked)?;
    let mut core = [parts.diskboot, parts.decompressor].concat();
    put_u32(&mut core, SECTOR + 8, packed.len() as u32);
    put_u32(&mut core, SECTOR + 12, unpacked.len() as u32);
    put_u32(&mut core, SECTOR + 16, 0);
    core.extend(packed);
    if core.len() > CORE_MOST {
        return Err(Error::unsupported(format!(
            "GRUB's core would have {} bytes, more than the {CORE_MOST} that BIOS can load",
            core.len()
        )));
    }
    core.resize(core.len().next_multiple_of(SECTOR), 0);
    let sectors = core.len() / SECTOR - 1;
    // one run of sectors, and the end of the list, which goes towards the start of the sector
    put(&mut core, SECTOR - 24, &[0; 12]);
    put_u64(&mut core, SECTOR - 12, first + 1);
    put_u16(&mut core, SECTOR - 4, sectors as u16);
    put_u16(&mut core, SECTOR - 2, SEGMENT);
    Ok(core)
}

fn unpacked(parts: &Parts<'_>) -> Result<Vec<u8>> {
    let mut image = loaded(parts.kernel)?;
    let start = image.len();
    image.extend([0x676d_696d_u32, 12, 0].into_iter().flat_map(u32::to_le_bytes));
    let commands = [parts.commands.as_bytes(), &[0]].concat();
    let folder = [parts.folder.as_bytes(), &[0]].concat();
    let modules = parts.modules.iter().map(|module| (MODULE, module.as_slice()));
    for (kind, content) in modules.chain([(COMMANDS, commands.as_slice()), (FOLDER, folder.as_slice())]) {
        let length = content.len().next_multiple_of(4);
        if image.len() + length + 8 > UNPACKED_MOST {
            return Err(Error::unsupported(format!(
                "GRUB's core would have more than {UNPACKED_MOST} bytes"
            )));
        }
        image.extend([kind, length as u32 + 8].into_iter().flat_map(u32::to_le_bytes));
        image.extend_from_slice(content);
        image.resize(image.len() + length - content.len(), 0);
    }
    let size = image.len() - start;
    put_u32(&mut image, start + 8, size as u32);
    Ok(image)
}

/// The kernel as it lies in memory: every section with bytes, at its address.
fn loaded(kernel: &[u8]) -> Result<Vec<u8>> {
    // ELF of 32 bits, little-endian, for the 386 (System V ABI, "ELF Header", "Section Header")
    if kernel.get(..6) != Some(b"\x7fELF\x01\x01") || little(kernel, 18, 2) != 3 {
        return Err(damaged("kernel.img"));
    }
    let (table, length, count) = (little(kernel, 32, 4), little(kernel, 46, 2), little(kernel, 48, 2));
    let mut image = Vec::new();
    for number in 0..count.min(ELF_SECTIONS) {
        let header = part(kernel, (table + number * length) as usize, 40);
        let (kind, flags) = (little(header, 4, 4), little(header, 8, 4));
        let (address, offset, size) = (little(header, 12, 4), little(header, 16, 4), little(header, 20, 4));
        // PROGBITS that is loaded
        if kind != 1 || flags & 2 == 0 || size == 0 {
            continue;
        }
        let content = field(kernel, offset as usize, size as usize);
        let at = address.checked_sub(LINKED_AT).filter(|at| at + size <= UNPACKED_MOST as u64);
        let at = at.filter(|_| content.len() as u64 == size).ok_or_else(|| damaged("kernel.img"))? as usize;
        image.resize(image.len().max(at + content.len()), 0);
        put(&mut image, at, content);
    }
    if image.is_empty() {
        return Err(damaged("kernel.img"));
    }
    Ok(image)
}

fn packed(image: &[u8]) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| Error::new(wherry_sdk::ErrorKind::Failed, format!("LZMA: {e}"));
    let mut options = lzma_rust2::LzmaOptions::with_preset(9);
    (options.dict_size, options.lc, options.lp, options.pb) = (1 << 16, 3, 0, 2);
    let mut writer = lzma_rust2::LzmaWriter::new_no_header(Vec::new(), &options, false).map_err(failed)?;
    writer.write_all(image).map_err(failed)?;
    writer.finish().map_err(failed)
}

/// The modules that these need, each after those that it needs itself, by the lines `name: needed needed` of `moddep.lst`; an
/// error names one that is not in the list.
pub fn resolve(list: &str, wanted: &[&str]) -> Result<Vec<String>> {
    let lines = list.lines().filter_map(|line| line.split_once(':'));
    let needs: BTreeMap<&str, &str> = lines.map(|(name, needed)| (name.trim(), needed)).collect();
    let mut order: Vec<String> = Vec::new();
    // a name that comes up again has had its needs put before it
    let mut pending: Vec<(&str, bool)> = wanted.iter().rev().map(|name| (*name, false)).collect();
    let mut opened: Vec<&str> = Vec::new();
    while let Some((name, done)) = pending.pop() {
        if done {
            order.push(name.to_owned());
            continue;
        }
        if opened.contains(&name) {
            continue;
        }
        let needed = needs.get(name).ok_or_else(|| {
            Error::new(
                wherry_sdk::ErrorKind::NotFound,
                format!("moddep.lst of the lent GRUB has no module {name}"),
            )
        })?;
        if opened.len() >= MODULES || name.contains(['/', '\0']) {
            return Err(damaged("moddep.lst"));
        }
        opened.push(name);
        pending.push((name, true));
        // the last of a line first, as grub-mkimage has it (`util/resolve.c`)
        pending.extend(needed.split_whitespace().map(|name| (name, false)));
    }
    Ok(order)
}

/// The loader's first sector: what of it lies before and behind the place for a BIOS parameter block, each with its offset. Drive
/// numbers that BIOSes get wrong are mended as for every hard disk (`util/setup.c`: `GRUB_BOOT_MACHINE_DRIVE_CHECK`).
pub fn boot_sector(image: &[u8], first: u64) -> Result<[(u64, Vec<u8>); 2]> {
    if image.len() != SECTOR || image.get(510..) != Some(&[0x55, 0xaa]) {
        return Err(damaged("boot.img"));
    }
    let mut image = image.to_vec();
    put_u64(&mut image, 0x5c, first);
    put(&mut image, 0x66, &[0x90, 0x90]);
    let piece = |from: usize, to: usize| (from as u64, field(&image, from, to - from).to_vec());
    Ok([piece(0, 3), piece(0x5a, 440)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_before_it() {
        let list = "a: b c\nb: c\nc:\nd: d e\ne: d\n";
        assert_eq!(resolve(list, &["a"]).expect("resolves"), ["c", "b", "a"]);
        assert_eq!(resolve(list, &["b", "a", "b"]).expect("resolves"), ["c", "b", "a"]);
        // circles end
        assert_eq!(resolve(list, &["d"]).expect("resolves"), ["e", "d"]);
        assert!(resolve(list, &["f"]).is_err() && resolve("", &["a"]).is_err());
    }
}
