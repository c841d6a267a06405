//! An output directory on disk.

use crate::{Error, ErrorKind, Output, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A directory, as a target adapter may use it; gone when it is dropped.
pub struct Directory {
    /// Where it is.
    pub path: PathBuf,
    parent: PathBuf,
}

impl Directory {
    /// An empty one, whose name is as awkward as it is told to be.
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let parent = std::env::temp_dir().join(format!("wherry-output-{}-{number}", std::process::id()));
        let path = parent.join(name);
        fs::create_dir_all(&path).expect("a temporary directory can be made");
        Self { path, parent }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.parent);
    }
}

fn io(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, error.to_string())
}

impl Output for Directory {
    fn write(&self, name: &str, bytes: &[u8], executable: bool) -> Result<()> {
        assert!(!name.contains('/'), "{name} is no plain name");
        fs::write(self.path.join(name), bytes).map_err(io)?;
        let mode = if executable { 0o755 } else { 0o644 };
        fs::set_permissions(self.path.join(name), fs::Permissions::from_mode(mode)).map_err(io)
    }
    fn read(&self, name: &str) -> Result<Vec<u8>> {
        fs::read(self.path.join(name)).map_err(io)
    }
    fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(io)? {
            names.push(entry.map_err(io)?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
    fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.path.join(name)).map_err(io)
    }
    fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}
