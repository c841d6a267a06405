//! Disks from a directory of files.

use fs_iso9660::Iso;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;
use wherry_sdk::FileSystem;
use wherry_sdk::testing::filesystem::{Contents, contents, from_adapter, from_directory};
use wherry_sdk::testing::{MemoryBlob, run};

/// A directory with files, and images beside it.
pub struct Lab {
    directory: TempDir,
}

impl Lab {
    pub fn new(files: &Contents) -> Self {
        let directory = TempDir::new().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        for (path, content) in files {
            let path = root.join(path.trim_start_matches('/'));
            match content {
                Some(bytes) => {
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path, bytes).unwrap();
                }
                None => std::fs::create_dir_all(path).unwrap(),
            }
        }
        Self { directory }
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// An image by `genisoimage` or `xorrisofs`.
    pub fn image(&self, program: &str, options: &[&str]) -> Vec<u8> {
        let image = self.directory.path().join("image.iso");
        let mut command = Command::new(program);
        command.args(["-quiet", "-V", "DRIVERS 1", "-o"]).arg(&image).args(options).arg(self.root());
        run(&mut command);
        std::fs::read(image).unwrap()
    }

    /// What xorriso reads of an image.
    pub fn by_xorriso(&self, image: &[u8]) -> Contents {
        let (path, out) = (self.directory.path().join("other.iso"), self.directory.path().join("out"));
        std::fs::write(&path, image).unwrap();
        let _ = std::fs::remove_dir_all(&out);
        let mut command = Command::new("/usr/bin/xorriso");
        command.args(["-osirrox", "on", "-indev"]).arg(&path).args(["-extract", "/"]).arg(&out);
        run(&mut command);
        Command::new("/bin/chmod").args(["-R", "u+rwx"]).arg(&out).status().unwrap();
        contents(from_directory(&out))
    }
}

pub fn mount(image: &[u8]) -> Iso {
    Iso::mount(Box::new(MemoryBlob::read_only(image)), false).unwrap()
}

/// All of a disk.
pub fn walk(iso: &mut Iso) -> Contents {
    contents(from_adapter(iso))
}
