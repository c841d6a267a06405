//! LUKS volumes that cryptsetup and Linux made (`adapters/volume-luks/tests/it/fixtures/README.md`), opened by what the adapter
//! tells of them, which its own tests hold to the same `.facts`.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use wherry_block::{Disk, Encrypted, MemoryDisk, Piece, Sealed, Segments};

const BLOCK: usize = 4096;
const PASSPHRASE: &[u8] = b"correct horse";

/// The bytes of a fixture.
fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../../adapters/volume-luks/tests/it/fixtures/{name}.zst"));
    let said = Command::new("zstd").args(["-dcq"]).arg(&path).output().expect("package zstd");
    assert!(said.status.success(), "{}", path.display());
    said.stdout
}

/// What the adapter says: facts, and where the encrypted bytes are.
struct Part {
    facts: Vec<(String, String)>,
    offset: u64,
    length: u64,
}

fn part(name: &str) -> Part {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../../adapters/volume-luks/tests/it/fixtures/{name}.facts"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut facts: Vec<(String, String)> = text
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    let (_, place) = facts.remove(0);
    let (offset, length) = place.split_once(' ').unwrap();
    Part { facts, offset: offset.parse().unwrap(), length: length.parse().unwrap() }
}

/// The part's plain text, over this disk.
fn opened(part: &Part, disk: &Arc<dyn Disk>, passphrase: &[u8]) -> Option<Encrypted> {
    let facts = part.facts.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let sealed = Sealed::parse(facts).unwrap();
    let key = sealed.unlock(disk.as_ref(), passphrase).unwrap()?;
    let piece = Piece { logical: 0, length: part.length, disk: disk.clone(), offset: part.offset };
    Some(sealed.open(&key, Arc::new(Segments::new(vec![piece]))).unwrap())
}

fn blocks(disk: &dyn Disk, offset: u64, count: usize) -> Vec<Vec<u8>> {
    let mut bytes = vec![0; count * BLOCK];
    disk.read_at(offset, &mut bytes).unwrap();
    bytes.chunks(BLOCK).map(<[u8]>::to_vec).collect()
}

/// Block N begins with its number, the rest is zero.
fn is_numbered(blocks: &[Vec<u8>], first: u64) -> bool {
    blocks
        .iter()
        .zip(first..)
        .all(|(block, number)| block[..8] == number.to_le_bytes() && block[8..].iter().all(|byte| *byte == 0))
}

#[test]
fn linux_plain_text_is_read_and_what_is_written_is_read_again() {
    for name in ["luks1-cbc", "luks1-cbc-plain64", "luks2-argon2id", "luks2-4096", "luks2-cbc"] {
        let bytes = fixture(name);
        let part = &part(name);
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(bytes.clone()));
        assert!(opened(part, &disk, b"wrong horse").is_none(), "{name}");
        let plain = opened(part, &disk, PASSPHRASE).unwrap_or_else(|| panic!("{name} is not opened"));
        let end = plain.length();
        assert!(is_numbered(&blocks(&plain, 0, 16), 1), "{name}");
        assert!(is_numbered(&blocks(&plain, end - 16 * BLOCK as u64, 16), 301), "{name}");
        plain.write_at(5000, b"an edit over a sector's end, and not whole sectors").unwrap();
        let again = opened(part, &disk, PASSPHRASE).unwrap();
        let mut read = vec![0; 50];
        again.read_at(5000, &mut read).unwrap();
        assert_eq!(read, b"an edit over a sector's end, and not whole sectors", "{name}");
        assert!(is_numbered(&blocks(&again, 0, 1), 1) && is_numbered(&blocks(&again, 8192, 14), 3), "{name}");
        let mut below = vec![0; bytes.len()];
        disk.read_at(0, &mut below).unwrap();
        let start = part.offset as usize;
        assert!(below[..start] == bytes[..start], "{name}: the header is as it was");
        assert!(!below.windows(7).any(|window| window == b"an edit"), "{name}: nothing plain is below");
        let changed = below.chunks(512).zip(bytes.chunks(512)).filter(|(one, other)| one != other).count();
        assert!(changed <= 8, "{name}: {changed} sectors changed");
    }
}
