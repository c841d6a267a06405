//! Packed resources out of WIM images that wimlib made: the chunks and their table are those of WOF.

use fs_ntfs::wof::Packing;
use std::fs;
use std::path::Path;
use std::process::Command;
use wherry_sdk::bytes::little;
use wherry_sdk::testing::{noise, run};

/// A packed file, with its table.
pub struct Resource {
    pub packed: Vec<u8>,
    pub size: u64,
}

/// One packing, and how wimcapture is asked for it.
pub const PACKINGS: [(Packing, &str, u32); 4] = [
    (Packing::Xpress(4096), "xpress", 4096),
    (Packing::Xpress(8192), "xpress", 8192),
    (Packing::Xpress(16384), "xpress", 16384),
    (Packing::Lzx, "lzx", 32768),
];

/// Contents of every kind: text, a program with calls, noise with islands, long runs, matches near and far.
pub fn contents() -> Vec<Vec<u8>> {
    let text: String = (0..9000u64).map(|n| format!("{} line {n} of {}\n", n * n, n % 77)).collect();
    let program = fs::read("/usr/bin/wimlib-imagex").unwrap();
    let library = fs::read("/usr/bin/env").unwrap();
    let mut islands = noise(3, 300_000);
    for at in (0..300_000).step_by(7001) {
        islands[at..at + 3000].fill(at as u8);
    }
    let mut calls = Vec::new();
    for n in 0..20_000u32 {
        calls.push(0xe8);
        calls.extend((n.wrapping_mul(77) % 20_000).wrapping_sub(9_000).to_le_bytes());
    }
    let mut far = noise(9, 30_000);
    far.extend_from_within(..);
    far.extend_from_within(..);
    let mut skewed = Vec::new();
    for n in 0..100_000u32 {
        // Symbols of very different frequency have codes of every length.
        let rare = if n % 5 == 4 { (n / 5) as u8 } else { 0 };
        skewed.push((n.wrapping_mul(2_654_435_761).leading_zeros() as u8 * 3).wrapping_add(rare));
    }
    let mut all =
        vec![text.into_bytes(), program, library, islands, calls, far, skewed, vec![b'a'; 1_000_000]];
    all.extend([1, 2, 11, 500, 4095, 4096, 4097, 32767, 32768, 32769, 65536].map(|size| {
        let line = format!("{size} bytes\n");
        line.bytes().cycle().take(size).collect()
    }));
    all
}

/// Every content in a WIM image, with its packed form where wimlib could pack it.
pub fn pack(method: &str, chunk: u32, contents: &[Vec<u8>]) -> Vec<Resource> {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    for (index, content) in contents.iter().enumerate() {
        fs::write(tree.join(index.to_string()), content).unwrap();
    }
    let image = directory.path().join("image.wim");
    let mut command = Command::new("wimcapture");
    command.arg(&tree).arg(&image).arg(format!("--compress={method}")).arg(format!("--chunk-size={chunk}"));
    run(command.args(["--threads=1", "--no-acls"]));
    resources(&image)
}

/// The packed resources that are files. Source: "Windows Imaging File Format (WIM)" white paper.
fn resources(image: &Path) -> Vec<Resource> {
    let bytes = fs::read(image).unwrap();
    assert!(bytes.starts_with(b"MSWIM\0\0\0"));
    let table = little(&bytes, 48, 7) as usize;
    let start = little(&bytes, 56, 8) as usize;
    let mut found = Vec::new();
    for entry in bytes[start..start + table].chunks_exact(50) {
        let (length, flags) = (little(entry, 0, 7) as usize, entry[7]);
        let (offset, size) = (little(entry, 8, 8) as usize, little(entry, 16, 8));
        // 2: metadata of the image, 4: packed
        if flags & 6 == 4 {
            found.push(Resource { packed: bytes[offset..offset + length].to_vec(), size });
        }
    }
    found
}
