//! Drives the editor of ISO images over any bytes: what it wants written is within the image or follows its end.

use os_solaris::hsfs::Image;
use wherry_sdk::{Error, Patch};

/// The image with patches applied; none may begin beyond the end.
pub fn patched(image: &[u8], patches: &[Patch]) -> Vec<u8> {
    let mut image = image.to_vec();
    for patch in patches {
        let at = patch.offset as usize;
        assert!(at <= image.len(), "a patch at {at} of {}", image.len());
        let end = at + patch.bytes.len();
        image.resize(image.len().max(end), 0);
        image[at..end].copy_from_slice(&patch.bytes);
    }
    image
}

/// The patches that replace a file.
pub fn replace(image: &[u8], path: &str, content: &[u8]) -> Result<Vec<Patch>, Error> {
    let read = |offset: u64, length: u64| {
        let at = offset as usize;
        let end = at.checked_add(length as usize);
        let bytes = end.and_then(|end| image.get(at..end)).map(<[u8]>::to_vec);
        bytes.ok_or_else(|| Error::corrupt(offset, "beyond the end"))
    };
    Image::open(&read, image.len() as u64)?.replace(path, content)
}

/// Replaces a file by a short and by a long one; what was done once is done.
pub fn exercise(image: &[u8]) {
    for content in [&b"#path_to_inst_bootstrap_1\n"[..], &[b'x'; 5000], b""] {
        if let Ok(patches) = replace(image, "etc/path_to_inst", content) {
            let total: usize = patches.iter().map(|patch| patch.bytes.len()).sum();
            assert!(total < 8 << 20);
            // a damaged image may have the record itself in the file's extent
            drop(replace(&patched(image, &patches), "etc/path_to_inst", content));
        }
    }
}
