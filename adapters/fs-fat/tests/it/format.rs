//! New volumes on devices that hold something else, as fsck.fat and mtools see them, empty and filled.

use crate::lab::{Lab, read};
use crate::reading::sample;
use fs_fat::Fat;
use std::process::Command;
use wherry_sdk::testing::filesystem::assert_same;
use wherry_sdk::testing::{FileBlob, MemoryBlob, noise, run};
use wherry_sdk::{Blob, ErrorKind, FileSystem, Result};

/// A device with sectors of another size.
struct Sectored(FileBlob, u32);

impl Blob for Sectored {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn sector_size(&self) -> u32 {
        self.1
    }
    fn writable(&self) -> bool {
        true
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.0.read(offset, length)
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.write(offset, bytes)
    }
}

/// A device of noise for the first MiB, and a hole.
fn device(lab: &Lab, size: u64) {
    std::fs::write(&lab.image, noise(7, 1 << 20)).unwrap();
    std::fs::OpenOptions::new().write(true).open(&lab.image).unwrap().set_len(size).unwrap();
}

#[test]
fn empty_and_filled() {
    for (mib, sector) in [(33, 512), (64, 512), (100, 512), (300, 512), (512, 512), (300, 4096)] {
        let lab = Lab::new(&["-F", "12"], 1000);
        device(&lab, mib << 20);
        let blob = FileBlob::open(&lab.image).unwrap();
        Fat::format(&Sectored(blob.clone(), sector), "vfat", "ESP").unwrap();
        blob.apply(&lab.image).unwrap();
        lab.assert_clean();
        let found = Fat::probe(&FileBlob::open(&lab.image).unwrap()).unwrap().unwrap();
        assert_eq!((found.kind.as_str(), found.label.as_deref(), found.clean), ("vfat", Some("ESP"), true));
        assert!(found.uuid.is_some() && found.size <= mib << 20);
        let said = run(Command::new("/sbin/blkid").args(["-p", "-o", "export"]).arg(&lab.image));
        for line in ["TYPE=vfat", "VERSION=FAT32", "LABEL=ESP", &format!("UUID={}", found.uuid.unwrap())] {
            assert!(said.lines().any(|one| one == line), "{line} is not in {said}");
        }
        lab.fill_with_adapter(&sample());
        lab.assert_clean();
        assert_same(&lab.read_with_mtools(), &read(&mut lab.mount().1), "all of it");
    }
}

#[test]
fn refused() {
    let small = MemoryBlob::new(vec![0; 20 << 20]);
    let kind = |kind: &str, label: &str| Fat::format(&small, kind, label).unwrap_err().kind;
    assert_eq!(kind("vfat", "ESP"), ErrorKind::Unsupported);
    assert_eq!(kind("ext4", "ESP"), ErrorKind::NotFound);
    let enough = MemoryBlob::new(vec![0; 40 << 20]);
    for label in ["", "esp", "TWELVE BYTES", "A/B"] {
        assert_eq!(Fat::format(&enough, "vfat", label).unwrap_err().kind, ErrorKind::InvalidInput, "{label}");
    }
}
