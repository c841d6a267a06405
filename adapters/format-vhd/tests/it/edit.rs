//! How headers and footers are changed, with their checksums made right.

/// A header or footer: its offset, its length, and where its checksum is in it.
pub type Part = (usize, usize, usize);

/// Edits a part and mends its checksum.
pub fn edit(image: &mut [u8], (at, length, sum): Part, edits: &[(usize, &[u8])]) {
    let part = &mut image[at..at + length];
    for (at, bytes) in edits {
        part[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    part[sum..sum + 4].fill(0);
    let all: u32 = part.iter().map(|byte| u32::from(*byte)).sum();
    part[sum..sum + 4].copy_from_slice(&(!all).to_be_bytes());
}

/// The footer's copy and the dynamic header.
pub const COPY: Part = (0, 512, 64);
pub const HEADER: Part = (512, 1024, 36);

pub fn footer(image: &[u8]) -> Part {
    (image.len() - 512, 512, 64)
}

/// Makes every checksum right that a dynamic image has, as far as the image goes.
pub fn mend(image: &mut [u8]) {
    if image.len() >= 512 {
        edit(image, footer(image), &[]);
    }
    for part in [COPY, HEADER] {
        if image.len() >= part.0 + part.1 {
            edit(image, part, &[]);
        }
    }
}
