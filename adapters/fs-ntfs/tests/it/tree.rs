//! Trees of files, as far as they are compared.

use fs_ntfs::Ntfs;
use std::path::Path;
use wherry_sdk::testing::filesystem::{self, Content, Files};

/// Without what ntfs-3g makes up. Directories and links have no link count that both sides agree on.
fn compared(mut files: Files) -> Files {
    for node in files.values_mut() {
        (node.mode, node.owner) = (0, (0, 0));
        node.attributes.clear();
        if !matches!(node.content, Content::File(_)) {
            node.links = 1;
        }
    }
    files
}

/// The tree as the adapter sees it.
pub fn from_adapter(fs: &mut Ntfs) -> Files {
    let mut files = filesystem::from_adapter(fs);
    for node in files.values_mut() {
        // ntfs-3g counts a short name as one more.
        node.links += u32::from(node.attributes.iter().any(|(name, _)| name == "ntfs.short-name"));
    }
    compared(files)
}

/// The tree below a directory of this machine, for instance a mounted volume.
pub fn from_directory(root: &Path) -> Files {
    compared(filesystem::from_directory(root))
}
