//! Volumes made here by libbde's document.

use fs_bitlocker::Driver;
use wherry_sdk::bytes::put;
use wherry_sdk::checksum::crc32;
use wherry_sdk::image::Uuid;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::{ErrorKind, FileSystem, find as fact};

/// Where the metadata of the volumes made here is.
const BLOCK: usize = 8192;

/// A volume by libbde's document: signature and place of the identifier, or none for Windows Vista.
pub fn encrypted(signature: &[u8; 8], identifier: Option<(usize, &str)>, protectors: &[u16]) -> Vec<u8> {
    let mut bytes = vec![0; 64 << 10];
    put(&mut bytes, 0, b"\xeb\x58\x90");
    put(&mut bytes, 3, signature);
    put(&mut bytes, 11, &512u16.to_le_bytes());
    bytes[13] = 8;
    match identifier {
        Some((at, guid)) => {
            put(&mut bytes, at, &Uuid::parse(guid).unwrap().guid());
            put(&mut bytes, at + 16, &(BLOCK as u64).to_le_bytes());
        }
        None => put(&mut bytes, 56, &2u64.to_le_bytes()),
    }
    let mut entries = Vec::new();
    for protector in protectors {
        let mut entry = [0; 36];
        put(&mut entry, 0, &36u16.to_le_bytes());
        put(&mut entry, 2, &2u16.to_le_bytes());
        put(&mut entry, 4, &8u16.to_le_bytes());
        put(&mut entry, 34, &protector.to_le_bytes());
        entries.extend(entry);
    }
    entries.extend([0x0e, 0, 7, 0, 2, 0, 1, 0, b'P', 0, b'C', 0, 0, 0]);
    let mut block = vec![0; 112];
    put(&mut block, 0, b"-FVE-FS-");
    put(&mut block, 10, &[if identifier.is_some() { 2 } else { 1 }, 0, 4, 0, 4, 0]);
    put(&mut block, 64, &(48 + entries.len() as u32).to_le_bytes());
    put(&mut block, 80, &[1; 16]);
    put(&mut block, 100, &0x8004u16.to_le_bytes());
    block.extend(entries);
    block.resize(block.len().next_multiple_of(16), 0);
    let units = (block.len() / 16) as u16;
    put(&mut block, 8, &units.to_le_bytes());
    put(&mut bytes, BLOCK, &block);
    put(&mut bytes, BLOCK + block.len() + 4, &(crc32(!0, &block) ^ !0).to_le_bytes());
    bytes
}

/// Every kind of volume.
pub fn volumes() -> [(Vec<u8>, &'static str); 4] {
    [
        (encrypted(b"-FVE-FS-", Some((160, "4967d63b-2e29-4ad8-8399-f6a339e3d000")), &[0x100, 0x800]), "7"),
        (encrypted(b"-FVE-FS-", Some((160, "92a84d3b-dd80-4d0e-9e4e-b1e3284eaed8")), &[0x100, 0x800]), "7"),
        (
            encrypted(b"MSWIN4.1", Some((424, "4967d63b-2e29-4ad8-8399-f6a339e3d001")), &[0x100, 0x800]),
            "To Go",
        ),
        (encrypted(b"-FVE-FS-", None, &[0x100, 0x800]), "Vista"),
    ]
}

#[test]
fn bitlocker_is_named_and_refused() {
    for (bytes, version) in volumes() {
        let device = MemoryBlob::new(bytes);
        let identity = Driver::probe(&device).unwrap().unwrap();
        assert_eq!(identity.kind, "bitlocker");
        assert_eq!(identity.uuid.as_deref(), Some("01010101-0101-0101-0101-010101010101"));
        let told = |key| fact(&identity.facts, key);
        assert_eq!(told("bitlocker.version"), Some(version));
        assert_eq!(told("bitlocker.method"), Some("AES-XTS 128"));
        assert_eq!(told("bitlocker.protectors"), Some("TPM, recovery password"));
        assert_eq!(told("bitlocker.description"), Some("PC"));
        let error = Driver::mount(Box::new(device), false).err().unwrap();
        assert!(
            error.kind == ErrorKind::Unsupported && error.message.contains("manage-bde -off"),
            "{error:?}"
        );
    }
    let open = encrypted(b"-FVE-FS-", Some((160, "4967d63b-2e29-4ad8-8399-f6a339e3d000")), &[0, 0x100]);
    let error = Driver::mount(Box::new(MemoryBlob::new(open)), false).err().unwrap();
    assert!(error.message.contains("lies open"), "{error:?}");
    // A FAT that mkfs.vfat or Windows 98 made is none.
    assert!(Driver::probe(&MemoryBlob::new(encrypted(b"MSWIN4.1", None, &[]))).unwrap().is_none());
}
