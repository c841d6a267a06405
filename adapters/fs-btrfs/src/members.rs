//! The devices of a file system, one behind the other as `volume-btrfs` joins them: in the order of their numbers, each as long as its
//! superblock says, so that each tells where the next one begins. A device alone is the only member.

use crate::bytes::{field, part, put, u64_at};
use crate::checksum::LENGTH_MOST;
use crate::superblock::{LENGTH, PLACES, Superblock};
use wherry_sdk::{Device, Error, Result};

/// What a superblock says of its own device (struct btrfs_dev_item).
const ITEM_AT: usize = 201;
const ITEM: usize = 98;
/// What no chunk lies in (BTRFS_DEVICE_RANGE_RESERVED).
const RESERVED: u64 = 1 << 20;
/// More than any file system has.
const MEMBERS_MOST: usize = 1 << 10;

/// One of the devices.
struct Member {
    number: u64,
    /// Where it begins, and its bytes.
    base: u64,
    size: u64,
    item: Vec<u8>,
}

/// All that are here.
pub struct Members(Vec<Member>);

impl Members {
    /// The device that `superblock` is of, and those behind it.
    pub fn read(device: &mut Device<'_>, superblock: &Superblock) -> Result<Self> {
        let alone = superblock.devices() == 1;
        let own = |raw: &[u8]| field(raw, ITEM_AT, ITEM).to_vec();
        let size = if alone { device.size() } else { superblock.device_size() };
        let first = Member { number: superblock.device_id(), base: 0, size, item: own(&superblock.raw) };
        let mut members = vec![first];
        let mut base = size;
        while !alone && base < device.size() && members.len() < MEMBERS_MOST {
            let Some(raw) = next(device, superblock, base)? else { break };
            let item = own(&raw);
            let (number, size) = (u64_at(&item, 0), u64_at(&item, 8));
            let fits = base.checked_add(size).is_some_and(|end| end <= device.size()) && size > PLACES[0];
            if !fits || members.iter().any(|known| known.number == number) {
                return Err(Error::corrupt(
                    base,
                    format!("device {number} of the file system makes no sense"),
                ));
            }
            members.push(Member { number, base, size, item });
            base += size;
        }
        Ok(Self(members))
    }

    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// Bytes of all of them; of one alone those that it has.
    pub fn size(&self) -> u64 {
        self.0.iter().map(|member| u64_at(&member.item, 8)).fold(0, u64::saturating_add)
    }

    /// Where `length` bytes at an offset of a device are; none if that one is not here.
    pub fn place(&self, number: u64, offset: u64, length: u64) -> Result<Option<u64>> {
        let Some(member) = self.0.iter().find(|member| member.number == number) else { return Ok(None) };
        match offset.checked_add(length).is_some_and(|end| end <= member.size) {
            true => Ok(Some(member.base + offset)),
            false => Err(Error::corrupt(offset, format!("it lies beyond the end of device {number}"))),
        }
    }

    /// Ranges that are used whatever the trees say: what no chunk lies in, and the copies of the superblock.
    pub fn reserved(&self) -> Vec<(u64, u64)> {
        let starts = self.0.iter().map(|member| (member.base, member.base + member.size.min(RESERVED)));
        let mut list: Vec<(u64, u64)> = starts.collect();
        list.extend(self.superblocks().map(|place| (place, place + LENGTH as u64)));
        list.sort_unstable();
        list
    }

    /// Where copies of the superblock are.
    pub fn superblocks(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|member| {
            let there = move |place: &u64| place + LENGTH as u64 <= member.size;
            PLACES.into_iter().filter(there).map(|place| member.base + place)
        })
    }

    /// The copies themselves, each with what is its device's own.
    pub fn copies(&self, superblock: &Superblock) -> Vec<(u64, Vec<u8>)> {
        let mut list = Vec::new();
        for member in &self.0 {
            let mut own = superblock.clone();
            put(&mut own.raw, ITEM_AT, &member.item);
            let there = PLACES.into_iter().filter(|place| place + LENGTH as u64 <= member.size);
            list.extend(there.map(|place| (member.base + place, own.copy(place))));
        }
        list
    }
}

/// The superblock of the device that begins at `base`, if it belongs to the same file system.
fn next(device: &mut Device<'_>, first: &Superblock, base: u64) -> Result<Option<Vec<u8>>> {
    if device.size() - base < PLACES[0] + LENGTH as u64 {
        return Ok(None);
    }
    let raw = device.pass(base + PLACES[0], LENGTH as u32)?;
    // Both UUIDs and where it is, then the magic.
    let same =
        part(&raw, 32, 16) == part(&first.raw, 32, 16) && field(&raw, 48, 8) == PLACES[0].to_le_bytes();
    let same = same && part(&raw, 64, 16) == part(&first.raw, 64, 16);
    let sound =
        first.algorithm.sum(part(&raw, LENGTH_MOST, LENGTH)) == part(&raw, 0, first.algorithm.length());
    Ok((same && sound).then_some(raw))
}
