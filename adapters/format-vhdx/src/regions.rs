//! The region table and its copy (2.2.3).

use crate::header::{Header, MIB, Region, is_sealed, seal};
use wherry_sdk::bytes::{field, little, put};
use wherry_sdk::image::Uuid;
use wherry_sdk::{Blob, Error, Result};

/// Where the two copies are.
pub(crate) const TABLES: [u64; 2] = [192 << 10, 256 << 10];
const LENGTH: u32 = 64 << 10;
const SIGNATURE: &[u8] = b"regi";
const HEAD: usize = 16;
const ENTRY: usize = 32;
const ENTRIES_MOST: u64 = 2047;
/// 2DC27766-F623-4200-9D64-115E9BFD4A08
const BAT: Uuid =
    Uuid([0x2d, 0xc2, 0x77, 0x66, 0xf6, 0x23, 0x42, 0, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 8]);
/// 8B7CA206-4790-4B9A-B8FE-575F050F886E
const METADATA: Uuid =
    Uuid([0x8b, 0x7c, 0xa2, 6, 0x47, 0x90, 0x4b, 0x9a, 0xb8, 0xfe, 0x57, 0x5f, 5, 0xf, 0x88, 0x6e]);

/// Where tables are.
pub(crate) struct Regions {
    pub(crate) bat: Region,
    pub(crate) metadata: Region,
    /// The first table was damaged.
    pub(crate) by_copy: bool,
}

impl Regions {
    /// From the first sound table.
    pub(crate) fn read(image: &dyn Blob, header: &Header) -> Result<Self> {
        for (number, at) in TABLES.into_iter().enumerate() {
            let table = image.read(at, LENGTH)?;
            if table.starts_with(SIGNATURE) && is_sealed(&table) {
                return Self::parse(&table, at, header, image.size(), number == 1);
            }
        }
        Err(Error::corrupt(TABLES[0], "neither region table has the signature `regi` and its checksum"))
    }

    fn parse(table: &[u8], at: u64, header: &Header, file: u64, by_copy: bool) -> Result<Self> {
        let count = little(table, 8, 4);
        if count > ENTRIES_MOST {
            return Err(Error::corrupt(
                at + 8,
                format!("a region table of {count} entries, at most 2047 fit"),
            ));
        }
        let (mut bat, mut metadata) = (None, None);
        let mut all: Vec<Region> = Some(header.log).into_iter().filter(|log| log.length > 0).collect();
        for number in 0..count as usize {
            let entry = field(table, HEAD + number * ENTRY, ENTRY);
            let region = Region { offset: little(entry, 16, 8), length: little(entry, 24, 4) };
            let id = Uuid::from_guid(field(entry, 0, 16));
            let known = match id {
                BAT => &mut bat,
                METADATA => &mut metadata,
                _ if little(entry, 28, 4) & 1 == 1 => {
                    let message = format!("the image needs region {id}, which is not known here");
                    return Err(Error::unsupported(message));
                }
                _ => &mut None,
            };
            if known.replace(region).is_some() || !region.is_sound(file) {
                let (from, length) = (region.offset, region.length);
                let message = format!(
                    "region {id} of {length} bytes at {from}: there twice, or not whole MiB of the file"
                );
                return Err(Error::corrupt(at, message));
            }
            all.push(region);
        }
        all.sort_by_key(|region| region.offset);
        if all.windows(2).any(|pair| matches!(pair, [one, two] if one.overlaps(*two))) {
            return Err(Error::corrupt(at, "regions overlap"));
        }
        let missing =
            || Error::corrupt(at, "the region table names no block allocation table, or no metadata");
        Ok(Self { bat: bat.ok_or_else(missing)?, metadata: metadata.ok_or_else(missing)?, by_copy })
    }

    /// The 64 KiB of a table.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH as usize];
        put(&mut bytes, 0, SIGNATURE);
        put(&mut bytes, 8, &2u32.to_le_bytes());
        for (number, (id, region)) in [(BAT, self.bat), (METADATA, self.metadata)].into_iter().enumerate() {
            let at = HEAD + number * ENTRY;
            put(&mut bytes, at, &id.guid());
            put(&mut bytes, at + 16, &region.offset.to_le_bytes());
            put(&mut bytes, at + 24, &(region.length as u32).to_le_bytes());
            put(&mut bytes, at + 28, &1u32.to_le_bytes());
        }
        seal(&mut bytes);
        bytes
    }
}

/// Where a new image has its log, its metadata and its table of `bat` bytes: behind the header section.
pub(crate) fn new(bat: u64) -> (Region, Regions) {
    let region = |offset, length| Region { offset, length };
    let bat = region(3 * MIB, bat.max(1).next_multiple_of(MIB));
    (region(MIB, MIB), Regions { bat, metadata: region(2 * MIB, MIB), by_copy: false })
}
