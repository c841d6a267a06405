//! New hives, for fixtures.

use crate::base::{BASE, checksum};
use crate::hive::{Hive, NONE};
use wherry_sdk::bytes::put;
use wherry_sdk::{Error, Result};

/// Places among the bins: the root, its security, what is free behind them.
const ROOT: usize = 32;
const SECURITY: usize = 128;
const BIN: usize = 4096;
/// "Key node", "Flags": the root; it cannot be removed; its name is a byte a letter.
const FLAGS: u16 = 0x04 | 0x08 | 0x20;

/// An entry of an access control list that subkeys inherit: everything that `mask` says is allowed to `S-1-5-...`.
fn allow(mask: u32, authorities: &[u32]) -> Vec<u8> {
    let sid = sid(authorities);
    let mut entry = vec![0, 2];
    entry.extend(((8 + sid.len()) as u16).to_le_bytes());
    entry.extend(mask.to_le_bytes());
    entry.extend(sid);
    entry
}

fn sid(authorities: &[u32]) -> Vec<u8> {
    let mut sid = vec![1, authorities.len() as u8, 0, 0, 0, 0, 0, 5];
    authorities.iter().for_each(|authority| sid.extend(authority.to_le_bytes()));
    sid
}

/// What Windows gives `HKEY_LOCAL_MACHINE\SYSTEM` in essence (MS-DTYP 2.4.6): the owner is the administrators' group, which
/// like the system may do everything, and users may read.
fn descriptor() -> Vec<u8> {
    const ALL: u32 = 0x000f_003f;
    const READ: u32 = 0x0002_0019;
    let (administrators, system, users) = ([32, 544], [18], [32, 545]);
    let entries = [allow(ALL, &administrators), allow(ALL, &system), allow(READ, &users)].concat();
    let (owner, group) = (sid(&administrators), sid(&system));
    let mut descriptor = vec![1, 0, 4, 0x80];
    let list = 20 + 8 + entries.len();
    for place in [list, list + owner.len(), 0, 20] {
        descriptor.extend((place as u32).to_le_bytes());
    }
    descriptor.extend([2, 0]);
    descriptor.extend(((8 + entries.len()) as u16).to_le_bytes());
    descriptor.extend([3, 0, 0, 0]);
    [descriptor, entries, owner, group].concat()
}

fn cell(length: usize) -> [u8; 4] {
    (length as u32).wrapping_neg().to_le_bytes()
}

impl Hive<Vec<u8>> {
    /// A hive of version 1.`minor` (2 to 6) with nothing in it but its root and a security item.
    ///
    /// # Errors
    /// A version that is not written.
    pub fn empty(minor: u32) -> Result<Self> {
        if !(2..=6).contains(&minor) {
            return Err(Error::unsupported(format!("regf 1.{minor} is not written: 1.2 to 1.6 are")));
        }
        let mut base = vec![0; BASE as usize];
        put(&mut base, 0, b"regf");
        for (at, number) in
            [(4, 1), (8, 1), (20, 1), (24, minor), (32, 1), (36, ROOT as u32), (40, BIN as u32), (44, 1)]
        {
            put(&mut base, at, &u32::to_le_bytes(number));
        }
        let sum = checksum(&base);
        put(&mut base, 508, &sum.to_le_bytes());
        let mut bin = vec![0; BIN];
        put(&mut bin, 0, b"hbin");
        put(&mut bin, 8, &(BIN as u32).to_le_bytes());
        put(&mut bin, ROOT, &cell(SECURITY - ROOT));
        put(&mut bin, ROOT + 4, b"nk");
        put(&mut bin, ROOT + 6, &FLAGS.to_le_bytes());
        for (at, number) in
            [(16, NONE), (28, NONE), (32, NONE), (40, NONE), (44, SECURITY as u32), (48, NONE)]
        {
            put(&mut bin, ROOT + 4 + at, &number.to_le_bytes());
        }
        put(&mut bin, ROOT + 4 + 72, &[4, 0, 0, 0]);
        put(&mut bin, ROOT + 4 + 76, b"ROOT");
        let descriptor = descriptor();
        let end = SECURITY + (24 + descriptor.len()).next_multiple_of(8);
        put(&mut bin, SECURITY, &cell(end - SECURITY));
        put(&mut bin, SECURITY + 4, b"sk");
        for (at, number) in [(4, SECURITY), (8, SECURITY), (12, 1), (16, descriptor.len())] {
            put(&mut bin, SECURITY + 4 + at, &(number as u32).to_le_bytes());
        }
        put(&mut bin, SECURITY + 4 + 20, &descriptor);
        put(&mut bin, end, &((BIN - end) as u32).to_le_bytes());
        Self::open([base, bin].concat(), &[])
    }
}
