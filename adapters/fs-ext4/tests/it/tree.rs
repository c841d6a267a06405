//! Trees of files, as far as they are compared.

use fs_ext4::Ext4;
use std::collections::BTreeMap;
use std::path::Path;
use wherry_sdk::testing::filesystem::{self, Content, Files};

/// `/lost+found` is left out, and so are the inodes' numbers.
pub fn compared(mut files: Files) -> Files {
    files.remove("/lost+found");
    files.values_mut().for_each(|node| node.id = 0);
    files
}

/// The tree as the adapter sees it.
pub fn from_adapter(fs: &mut Ext4) -> Files {
    compared(filesystem::from_adapter(fs))
}

/// The tree below a directory of this machine, for instance a mounted image.
pub fn from_directory(root: &Path) -> Files {
    let mut files = filesystem::from_directory(root);
    for (path, node) in &mut files {
        node.attributes = filesystem::attributes(&root.join(&path[1..]));
    }
    compared(files)
}

/// The same without what debugfs does not restore in a dump: owners of links, attributes, times, link counts. It also
/// dumps 60 bytes of every file with inline data (1.47.0), so that shorter ones are compared with zeroes behind them.
pub fn dumped(files: &Files) -> BTreeMap<String, Content> {
    let known = files.iter().filter(|(_, node)| node.content != Content::Other);
    let padded = |content: &Content| match content {
        Content::File(bytes) if bytes.len() < 60 => {
            let mut bytes = bytes.clone();
            bytes.resize(60, 0);
            Content::File(bytes)
        }
        content => content.clone(),
    };
    known.map(|(path, node)| (path.clone(), padded(&node.content))).collect()
}
