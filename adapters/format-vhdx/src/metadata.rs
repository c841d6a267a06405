//! The metadata region (2.6).

use crate::header::{MIB, Region, utf16};
use wherry_sdk::bytes::{field, little, put};
use wherry_sdk::image::Uuid;
use wherry_sdk::{Blob, Error, Result};

const TABLE: u64 = 64 << 10;
const SIGNATURE: &[u8] = b"metadata";
const HEAD: usize = 32;
const ENTRY: usize = 32;
const ENTRIES_MOST: u64 = 2047;
const IS_USER: u64 = 1;
const IS_REQUIRED: u64 = 4;
/// 64 TiB (2.6.2.2).
pub(crate) const SIZE_MOST: u64 = 64 << 40;
/// Block sizes (2.6.2.1).
pub(crate) const BLOCK_LEAST: u64 = MIB;
pub(crate) const BLOCK_MOST: u64 = 256 << 20;
/// Sector sizes (2.6.2.4, 2.6.2.5).
pub(crate) const SECTORS: [u64; 2] = [512, 4096];

/// Items of this version: identifier, flags, bytes; at the places of [`Item`].
const ITEMS: [(Uuid, u32, u64); 6] = [
    // CAA16737-FA36-4D43-B3B6-33F0AA44E76B
    (
        Uuid([
            0xca, 0xa1, 0x67, 0x37, 0xfa, 0x36, 0x4d, 0x43, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b,
        ]),
        4,
        8,
    ),
    // 2FA54224-CD1B-4876-B211-5DBED83BF4B8
    (
        Uuid([
            0x2f, 0xa5, 0x42, 0x24, 0xcd, 0x1b, 0x48, 0x76, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8,
        ]),
        6,
        8,
    ),
    // BECA12AB-B2E6-4523-93EF-C309E000C746
    (Uuid([0xbe, 0xca, 0x12, 0xab, 0xb2, 0xe6, 0x45, 0x23, 0x93, 0xef, 0xc3, 9, 0xe0, 0, 0xc7, 0x46]), 6, 16),
    // 8141BF1D-A96F-4709-BA47-F233A8FAAB5F
    (
        Uuid([0x81, 0x41, 0xbf, 0x1d, 0xa9, 0x6f, 0x47, 9, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f]),
        6,
        4,
    ),
    // CDA348C7-445D-4471-9CC9-E9885251C556
    (
        Uuid([
            0xcd, 0xa3, 0x48, 0xc7, 0x44, 0x5d, 0x44, 0x71, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56,
        ]),
        6,
        4,
    ),
    // A8D35F2D-B30B-454D-ABF7-D3D84834AB0C
    (
        Uuid([0xa8, 0xd3, 0x5f, 0x2d, 0xb3, 0xb, 0x45, 0x4d, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0xc]),
        4,
        20,
    ),
];

/// Places in [`ITEMS`].
#[derive(Clone, Copy)]
enum Item {
    FileParameters,
    DiskSize,
    DiskId,
    LogicalSector,
    PhysicalSector,
    ParentLocator,
}

/// Type of a locator of a VHDX parent: B04AEFB7-D19E-4A81-B789-25B8E9445913.
const LOCATOR: Uuid =
    Uuid([0xb0, 0x4a, 0xef, 0xb7, 0xd1, 0x9e, 0x4a, 0x81, 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13]);
/// Keys of such a locator (2.6.2.6.3); paths in the order in which they are tried.
const PATHS: [&str; 3] = ["relative_path", "volume_path", "absolute_win32_path"];
const LINKAGES: [&str; 2] = ["parent_linkage", "parent_linkage2"];

/// What the disk is.
pub(crate) struct Metadata {
    /// Bytes of a payload block.
    pub(crate) block: u64,
    pub(crate) fixed: bool,
    pub(crate) has_parent: bool,
    /// Bytes of the disk.
    pub(crate) size: u64,
    /// Bytes of a logical and of a physical sector.
    pub(crate) sector: u64,
    pub(crate) physical: u64,
    pub(crate) id: Uuid,
    /// Known keys and values of the parent locator.
    pub(crate) locator: Vec<(String, String)>,
}

impl Metadata {
    /// Reads and checks the items of this version.
    pub(crate) fn read(image: &dyn Blob, region: Region) -> Result<Self> {
        let items = Items::read(image, region)?;
        let parameters = items.get(Item::FileParameters)?;
        let flags = little(&parameters, 4, 4);
        let has_parent = flags & 2 != 0;
        let metadata = Self {
            block: little(&parameters, 0, 4),
            fixed: flags & 1 != 0 && !has_parent,
            has_parent,
            size: little(&items.get(Item::DiskSize)?, 0, 8),
            sector: little(&items.get(Item::LogicalSector)?, 0, 4),
            physical: little(&items.get(Item::PhysicalSector)?, 0, 4),
            id: Uuid::from_guid(&items.get(Item::DiskId)?),
            locator: if has_parent { locator(&items.get(Item::ParentLocator)?)? } else { Vec::new() },
        };
        metadata.check().map_err(|message| Error::corrupt(region.offset, message))?;
        Ok(metadata)
    }

    fn check(&self) -> core::result::Result<(), String> {
        if !self.block.is_power_of_two() || !(BLOCK_LEAST..=BLOCK_MOST).contains(&self.block) {
            return Err(format!(
                "blocks of {} bytes: a power of two from 1 MiB to 256 MiB is needed",
                self.block
            ));
        }
        if !SECTORS.contains(&self.sector) || !SECTORS.contains(&self.physical) {
            return Err(format!(
                "sectors of {} and {} bytes: 512 or 4096 are needed",
                self.sector, self.physical
            ));
        }
        if !self.size.is_multiple_of(self.sector) || self.size > SIZE_MOST {
            return Err(format!("a disk of {} bytes: whole sectors, at most 64 TiB are needed", self.size));
        }
        Ok(())
    }

    /// What the parent is called: by its path, or else by what it must be.
    pub(crate) fn parent(&self) -> Option<String> {
        let value =
            |key: &&str| self.locator.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone());
        let named = PATHS.iter().chain(&LINKAGES).find_map(value);
        self.has_parent.then(|| named.unwrap_or_default())
    }

    /// Table and items, as they begin the region; without a parent.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let parameters = [(self.block as u32).to_le_bytes(), u32::from(self.fixed).to_le_bytes()].concat();
        let values: [&[u8]; 5] = [
            &parameters,
            &self.size.to_le_bytes(),
            &self.id.guid(),
            &(self.sector as u32).to_le_bytes(),
            &(self.physical as u32).to_le_bytes(),
        ];
        let mut bytes = vec![0; TABLE as usize];
        put(&mut bytes, 0, SIGNATURE);
        put(&mut bytes, 10, &(values.len() as u16).to_le_bytes());
        for (number, (value, (id, flags, length))) in values.into_iter().zip(ITEMS).enumerate() {
            let (at, offset) = (HEAD + number * ENTRY, bytes.len() as u32);
            put(&mut bytes, at, &id.guid());
            put(&mut bytes, at + 16, &offset.to_le_bytes());
            put(&mut bytes, at + 20, &(length as u32).to_le_bytes());
            put(&mut bytes, at + 24, &flags.to_le_bytes());
            bytes.extend(value);
        }
        bytes
    }
}

/// Where the known items are.
struct Items<'a> {
    image: &'a dyn Blob,
    region: Region,
    /// Offset in the region and length.
    found: [Option<(u64, u64)>; ITEMS.len()],
}

impl<'a> Items<'a> {
    fn read(image: &'a dyn Blob, region: Region) -> Result<Self> {
        let corrupt = |message: String| Err(Error::corrupt(region.offset, message));
        if region.length < TABLE {
            return corrupt("the metadata region is empty".into());
        }
        let table = image.read(region.offset, TABLE as u32)?;
        let count = little(&table, 10, 2);
        if !table.starts_with(SIGNATURE) || count > ENTRIES_MOST {
            return corrupt(format!("no metadata table `metadata` of at most 2047 entries: it has {count}"));
        }
        let mut found = [None; ITEMS.len()];
        for number in 0..count as usize {
            let entry = field(&table, HEAD + number * ENTRY, ENTRY);
            let (id, flags) = (Uuid::from_guid(field(entry, 0, 16)), little(entry, 24, 4));
            let (offset, length) = (little(entry, 16, 4), little(entry, 20, 4));
            let known = ITEMS.iter().position(|item| item.0 == id && flags & IS_USER == 0);
            let Some(slot) = known.and_then(|known| found.get_mut(known)) else {
                if flags & IS_REQUIRED != 0 {
                    let message = format!("the image needs metadata item {id}, which is not known here");
                    return Err(Error::unsupported(message));
                }
                continue;
            };
            if slot.replace((offset, length)).is_some() {
                return corrupt(format!("metadata item {id} is there twice"));
            }
        }
        Ok(Self { image, region, found })
    }

    fn get(&self, item: Item) -> Result<Vec<u8>> {
        let (Some((id, _, least)), Some(found)) = (ITEMS.get(item as usize), self.found.get(item as usize))
        else {
            return Ok(Vec::new());
        };
        let corrupt =
            |message: &str| Error::corrupt(self.region.offset, format!("metadata item {id} {message}"));
        let (offset, length) = found.ok_or_else(|| corrupt("is missing"))?;
        if offset < TABLE || length > MIB || length < *least || offset + length > self.region.length {
            return Err(corrupt(&format!("of {length} bytes at {offset} does not fit, or not its region")));
        }
        self.image.read(self.region.offset + offset, length as u32)
    }
}

/// Known keys and values of the parent locator (2.6.2.6).
fn locator(item: &[u8]) -> Result<Vec<(String, String)>> {
    let kind = Uuid::from_guid(field(item, 0, 16));
    if kind != LOCATOR {
        return Err(Error::unsupported(format!(
            "the parent is no VHDX image, but of type {kind}: merge them first"
        )));
    }
    let text = |entry: &[u8], offset: usize, length: usize| {
        utf16(field(item, little(entry, offset, 4) as usize, little(entry, length, 2) as usize))
    };
    let mut found: Vec<(String, String)> = Vec::new();
    for number in 0..little(item, 18, 2) as usize {
        let entry = field(item, 20 + number * 12, 12);
        let key = text(entry, 0, 8);
        let known = PATHS.iter().chain(&LINKAGES).any(|known| *known == key);
        if known && found.iter().all(|(other, _)| *other != key) {
            found.push((key, text(entry, 4, 10)));
        }
    }
    Ok(found)
}
