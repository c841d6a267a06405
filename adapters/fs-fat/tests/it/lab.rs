//! Images, the tools that make and check them, and trees of files to compare.

use fs_fat::Fat;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;
use wherry_sdk::FileSystem;
use wherry_sdk::testing::filesystem::{Contents, contents, from_adapter, from_directory};
use wherry_sdk::testing::{FileBlob, MemoryBlob, run};

/// One image in a folder of its own.
pub struct Lab {
    pub folder: TempDir,
    pub image: PathBuf,
}

/// Every kind of table, several sizes of sectors and clusters: arguments of mkfs.vfat and KiB.
pub const SHAPES: [(&[&str], u64); 7] = [
    (&["-F", "12", "-s", "1"], 1000),
    (&["-F", "12", "-s", "8", "-r", "64", "-f", "1"], 8192),
    (&["-F", "16", "-s", "1"], 6000),
    (&["-F", "16", "-s", "4", "-S", "1024"], 40_000),
    (&["-F", "32", "-s", "1"], 36_000),
    (&["-F", "32", "-s", "4", "-f", "1"], 140_000),
    (&["-F", "32", "-s", "1", "-S", "4096"], 280_000),
];

impl Lab {
    /// An empty volume of this many KiB.
    pub fn new(arguments: &[&str], kib: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let image = folder.path().join("volume");
        std::fs::File::create(&image).unwrap().set_len(kib << 10).unwrap();
        run(Command::new("/usr/sbin/mkfs.vfat")
            .args(["-i", "5ee05ee0", "-n", "VOYAGE"])
            .args(arguments)
            .arg(&image));
        Self { folder, image }
    }

    /// Copies a tree onto the volume with mtools.
    pub fn fill(&self, tree: &Contents) {
        let source = self.folder.path().join("source");
        for (path, content) in tree {
            let path = source.join(&path[1..]);
            match content {
                None => std::fs::create_dir_all(path).unwrap(),
                Some(bytes) => {
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path, bytes).unwrap();
                }
            }
        }
        let mut top: Vec<PathBuf> = std::fs::read_dir(&source).unwrap().map(|e| e.unwrap().path()).collect();
        top.sort();
        run(mtools("mcopy").arg("-i").arg(&self.image).args(["-s", "-Q", "-m"]).args(top).arg("::/"));
    }

    /// Copies a tree onto the volume with the adapter, which also works where mtools takes a small FAT32 for a FAT12.
    pub fn fill_with_adapter(&self, tree: &Contents) {
        let (blob, mut fat) = self.mount();
        for (path, content) in tree {
            match content {
                None => fat.make_directory(path, None).unwrap(),
                Some(bytes) => fat.write(path, &MemoryBlob::new(bytes.clone()), None).unwrap(),
            }
        }
        self.apply(&blob, &mut fat);
    }

    /// A writable mount; its changes stay in memory until they are applied.
    pub fn mount(&self) -> (FileBlob, Fat) {
        let blob = FileBlob::open(&self.image).unwrap();
        (blob.clone(), Fat::mount(Box::new(blob), true).unwrap())
    }

    /// Writes the changes of a mount into the image.
    pub fn apply(&self, blob: &FileBlob, fat: &mut Fat) {
        fat.sync().unwrap();
        blob.apply(&self.image).unwrap();
    }

    /// fsck.fat finds nothing.
    pub fn assert_clean(&self) {
        run(Command::new("/usr/sbin/fsck.fat").arg("-n").arg(&self.image));
    }

    /// Everything on the volume as mtools reads it.
    pub fn read_with_mtools(&self) -> Contents {
        let target = self.folder.path().join("target");
        let _ = std::fs::remove_dir_all(&target);
        std::fs::create_dir(&target).unwrap();
        run(mtools("mcopy").arg("-i").arg(&self.image).args(["-s", "-n", "::/"]).arg(&target));
        contents(from_directory(&target))
    }
}

fn mtools(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("LC_ALL", "C.UTF-8").env("MTOOLS_SKIP_CHECK", "1").env("MTOOLSRC", "/dev/null");
    command
}

/// Everything on the volume as the adapter reads it.
pub fn read(fat: &mut Fat) -> Contents {
    contents(from_adapter(fat))
}
