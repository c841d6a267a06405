//! A format's judge: sparse disks, the host's side of the contract for plain units, and QEMU's tools
//! (Debian's `qemu-utils`). Everything here panics where it fails, as tests do.

use super::{FileBlob, MemoryBlob, Random};
use crate::format::{Codec, Extent, Place, Unit};
use crate::{Blob, DiskFormat, FormatReader, FormatWriter, Result, Severity, fact};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

const PIECE: u64 = 32 << 10;

/// Where a disk has data; dense and alternating data end after 6 MiB.
#[allow(missing_docs, reason = "their names say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    Zero,
    Dense,
    Alternating,
    Scattered,
    LastSector,
}

/// All of them.
pub const PATTERNS: [Pattern; 5] =
    [Pattern::Zero, Pattern::Dense, Pattern::Alternating, Pattern::Scattered, Pattern::LastSector];

/// What a disk should hold: pieces of 32 KiB that are not zero.
pub struct SparseDisk {
    /// In bytes.
    pub size: u64,
    pieces: BTreeMap<u64, Vec<u8>>,
}

impl SparseDisk {
    /// The same for the same seed.
    pub fn new(size: u64, pattern: Pattern, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = size.div_ceil(PIECE);
        let numbers: BTreeSet<u64> = match pattern {
            Pattern::Zero => BTreeSet::new(),
            Pattern::Dense => (0..count.min(192)).collect(),
            Pattern::Alternating => (0..count.min(192)).filter(|number| number % 4 < 2).collect(),
            Pattern::Scattered => (0..count.min(16)).map(|_| random.below(count)).collect(),
            Pattern::LastSector => count.checked_sub(1).into_iter().collect(),
        };
        let mut piece = |number: u64| {
            let length = PIECE.min(size - number * PIECE) as usize;
            // Text-like bytes, every third piece random ones, none of them all zero.
            let letters = if random.below(3) == 0 { 255 } else { 4 };
            let mut bytes: Vec<u8> = (0..length).map(|_| 1 + random.below(letters) as u8).collect();
            if pattern == Pattern::LastSector {
                bytes[..length.saturating_sub(512)].fill(0);
            }
            (number, bytes)
        };
        Self { size, pieces: numbers.into_iter().map(&mut piece).collect() }
    }

    /// `length` bytes from `offset`; zero beyond the end.
    pub fn read(&self, offset: u64, length: u64) -> Vec<u8> {
        let mut bytes = vec![0; length as usize];
        for (number, piece) in self.pieces.range(offset / PIECE..(offset + length).div_ceil(PIECE)) {
            let start = number * PIECE;
            let (from, to) = (start.max(offset), (start + piece.len() as u64).min(offset + length));
            if from < to {
                bytes[(from - offset) as usize..(to - offset) as usize]
                    .copy_from_slice(&piece[(from - start) as usize..(to - start) as usize]);
            }
        }
        bytes
    }

    /// Offset and bytes of everything that is not zero.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pieces.iter().map(|(number, piece)| (number * PIECE, piece.as_slice()))
    }

    /// Whether a range has no data.
    pub fn is_hole(&self, offset: u64, length: u64) -> bool {
        self.pieces.range(offset / PIECE..(offset + length).div_ceil(PIECE)).next().is_none()
    }

    /// As a sparse file.
    pub fn write_raw(&self, path: &Path) {
        let file = File::create(path).expect("a raw file");
        file.set_len(self.size).expect("a length");
        for (offset, piece) in self.pieces() {
            file.write_all_at(piece, offset).expect("written");
        }
    }

    /// By `qemu-io` into an image that exists, of a format that can be this large.
    pub fn write_with_qemu(&self, path: &Path, format: &str) {
        let source = path.with_extension("piece");
        for (offset, piece) in self.pieces() {
            std::fs::write(&source, piece).expect("written");
            let command = format!("write -s {} {offset} {}", text(&source), piece.len());
            run("qemu-io", &["-f", format, "-c", &command, text(path)]);
        }
    }

    /// As the host writes it into a new image of format `F`, units that are zero left out.
    pub fn write_image<F: DiskFormat>(&self, path: &Path, options: &[(&str, &str)]) {
        let mut writer = writer::<F>(self.size, options).expect("a writer");
        let _old = std::fs::remove_file(path);
        let files = Files::create(path, &mut writer);
        let shape = writer.shape();
        let unit = u64::from(shape.unit);
        let numbers: BTreeSet<u64> = self
            .pieces()
            .flat_map(|(offset, piece)| offset / unit..(offset + piece.len() as u64).div_ceil(unit))
            .collect();
        for index in numbers {
            let bytes = self.read(index * unit, unit);
            let places =
                writer.place(&[Unit { index, stored: shape.unit, codec: Codec::None }]).expect("placed");
            files.write_at(&bytes, places[0]);
        }
        files.finish(&mut writer);
    }

    /// What `F` reads of an image must be this disk; works for any size.
    pub fn check_image<F: DiskFormat>(&self, path: &Path) {
        let mut reader = open::<F>(&[path]).expect("opens");
        assert_eq!(reader.facts().virtual_size, self.size.next_multiple_of(512));
        for extent in extents(&mut reader, 1000) {
            if extent.at == Place::Zero {
                let clear = self.is_hole(extent.logical, extent.length)
                    || self.read(extent.logical, extent.length).iter().all(|byte| *byte == 0);
                assert!(clear, "{extent:?} has data");
            } else {
                assert!(
                    data(&extent, &[path]) == self.read(extent.logical, extent.length),
                    "{extent:?} differs"
                );
            }
        }
    }
}

/// A writer of `F`.
pub fn writer<F: DiskFormat>(size: u64, options: &[(&str, &str)]) -> Result<F::Writer> {
    let options: Vec<_> = options.iter().map(|(key, value)| fact(*key, value)).collect();
    F::Writer::create(size, &options)
}

/// The files of a new image, as the host makes them.
pub struct Files {
    /// The image's own, then its parts, by their starts.
    files: Vec<(u64, File)>,
}

impl Files {
    /// At `path`, and the parts beside it.
    pub fn create(path: &Path, writer: &mut impl FormatWriter) -> Self {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let parts = writer.parts(name).expect("parts");
        let parts = parts.iter().map(|part| (part.start, path.with_file_name(&part.name)));
        let file = |(start, path)| (start, File::create_new(path).expect("a file that is not there yet"));
        Self { files: [(0, path.to_path_buf())].into_iter().chain(parts).map(file).collect() }
    }

    /// Writes into one of the files.
    pub fn write_at(&self, bytes: &[u8], offset: u64) {
        let next = self.files.partition_point(|(start, _)| *start <= offset);
        let end = self.files.get(next).map_or(u64::MAX, |(start, _)| *start);
        assert!(offset + bytes.len() as u64 <= end, "a write over the end of a file");
        let (start, file) = &self.files[next - 1];
        file.write_all_at(bytes, offset - start).expect("written");
    }

    /// Writes what is left: all inside the files, whatever begins the image last.
    pub fn finish(self, writer: &mut impl FormatWriter) {
        for page in 0.. {
            let ending = writer.finish(page).expect("finishes");
            assert_eq!(
                writer.finish(page).expect("finishes again"),
                ending,
                "the same page, the same answer"
            );
            assert!(ending.patches.iter().map(|patch| patch.bytes.len()).sum::<usize>() <= (1 << 20) + 4096);
            for patch in &ending.patches {
                let alone = self.files.len() == 1;
                let inside = patch.offset + patch.bytes.len() as u64 <= ending.length;
                assert!(inside || !alone, "a patch beyond the end");
                assert!(patch.offset > 0 || !ending.more, "what begins the file comes last");
                self.write_at(&patch.bytes, patch.offset);
            }
            if !ending.more {
                let parts = writer.lengths().expect("lengths");
                assert_eq!(parts.len() + 1, self.files.len(), "a length for each part");
                for ((_, file), length) in self.files.iter().zip([ending.length].into_iter().chain(parts)) {
                    file.set_len(length).expect("a length");
                }
                return;
            }
        }
    }
}

/// A reader of `F`: the image, its files, its parents.
pub fn open<F: DiskFormat>(parts: &[&Path]) -> Result<F::Reader> {
    F::Reader::open(
        parts.iter().map(|path| Box::new(FileBlob::open(path).expect("opens")) as Box<dyn Blob>).collect(),
    )
}

/// All extents, asked for by pages of `most`; without gaps.
pub fn extents(reader: &mut impl FormatReader, most: u32) -> Vec<Extent> {
    let size = reader.facts().virtual_size;
    let (mut all, mut at): (Vec<Extent>, u64) = (Vec::new(), 0);
    loop {
        let page = reader.extents(at, most).expect("extents");
        assert!(page.len() <= most as usize);
        if page.is_empty() {
            assert_eq!(at, size, "the end came early");
            return all;
        }
        for extent in page {
            assert!(extent.length > 0 && extent.logical == at, "{extent:?} does not follow {at}");
            at += extent.length;
            all.push(extent);
        }
    }
}

/// The bytes of an extent.
pub fn data(extent: &Extent, parts: &[&Path]) -> Vec<u8> {
    let (part, offset) = match extent.at {
        Place::Zero => return vec![0; extent.length as usize],
        Place::Stored(offset) => (0, offset),
        Place::StoredIn((part, offset)) => (part as usize, offset),
        Place::Compressed(_) => panic!("{extent:?}: only plain units are known here"),
    };
    let mut bytes = vec![0; extent.length as usize];
    File::open(parts[part]).expect("opens").read_exact_at(&mut bytes, offset).expect("inside the part");
    bytes
}

/// The whole disk.
pub fn decode<F: DiskFormat>(parts: &[&Path], most: u32) -> Vec<u8> {
    let mut reader = open::<F>(parts).expect("opens");
    extents(&mut reader, most).iter().flat_map(|extent| data(extent, parts)).collect()
}

/// Runs a tool that must succeed; its standard output.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).output();
    let done = done.unwrap_or_else(|e| panic!("{program} (Debian package qemu-utils): {e}"));
    let (out, error) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{program} {arguments:?}: {out}{error}");
    out.into_owned()
}

/// A path for a command line.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

const LIBVHDI: &str = "
import pyvhdi, sys
files = []
for path in sys.argv[2:]:
    file = pyvhdi.file()
    file.open(path)
    if files:
        files[-1].set_parent(file)
    files.append(file)
file = files[0]
with open(sys.argv[1], 'wb') as out:
    while file.get_offset() < file.media_size:
        out.write(file.read_buffer(1 << 20))
print(file.bytes_per_sector, file.parent_identifier)
";

/// A VHD or VHDX image and its parents, as libvhdi (Debian's python3-libvhdi) reads them; and what it says: the sector
/// size and the parent's identity.
pub fn by_libvhdi(parts: &[&Path]) -> (Vec<u8>, String) {
    let out = parts[0].with_extension("raw");
    let paths: Vec<&str> = parts.iter().map(|path| text(path)).collect();
    let said = run("/usr/bin/python3", &[&["-c", LIBVHDI, text(&out)], &paths[..]].concat());
    (std::fs::read(&out).expect("written"), said)
}

const EXERCISE_PARENT: u64 = 100_000;
const EXERCISE_PAGES: u32 = 200;

/// Every public call of `F`'s reader on any bytes, alone and with a parent, with what must hold of the answers. Says
/// whether an image was opened.
pub fn exercise<F: DiskFormat>(bytes: &[u8]) -> bool {
    let end = bytes.len().saturating_sub(64 << 10);
    let variant = F::probe(&bytes[..bytes.len().min(64 << 10)], &bytes[end..]);
    let image = MemoryBlob::read_only(bytes);
    let parent = MemoryBlob::read_only(vec![0; EXERCISE_PARENT as usize]);
    let mut opened = false;
    for parts in [vec![image.clone()], vec![image, parent]] {
        let parts = parts.into_iter().map(|blob| Box::new(blob) as Box<dyn Blob>).collect();
        let Ok(mut reader) = F::Reader::open(parts) else { continue };
        assert!(variant.is_some(), "opened, but not recognised");
        opened = true;
        walk(&mut reader, |extent| check(extent, bytes.len() as u64));
    }
    opened
}

/// All extents by pages of several sizes, and some from anywhere: without gaps, each as `check` wants it.
pub fn walk(reader: &mut impl FormatReader, check: impl Fn(&Extent)) {
    let facts = reader.facts();
    let blocked = facts.concerns.iter().any(|concern| concern.severity == Severity::Blocking);
    let mut at = 0;
    for page in 0..EXERCISE_PAGES {
        let most = [1, 3, u32::MAX][page as usize % 3];
        let Ok(extents) = reader.extents(at, most) else { break };
        assert!(!blocked, "a blocked image was read");
        assert!(extents.len() <= most.min(1000) as usize);
        assert_eq!(extents.is_empty(), at == facts.virtual_size, "only the end is empty");
        for extent in &extents {
            assert_eq!(extent.logical, at, "a gap");
            at = extent.logical.checked_add(extent.length).expect("an end");
            check(extent);
        }
        assert!(at <= facts.virtual_size);
        if extents.is_empty() {
            break;
        }
    }
    for start in [1, facts.virtual_size / 2 + 511, facts.virtual_size, u64::MAX] {
        for extent in reader.extents(start, 10).unwrap_or_default() {
            // A packed unit is told as a whole.
            let packed = matches!(extent.at, Place::Compressed(_));
            assert!(start < facts.virtual_size && (packed || extent.logical >= start));
            check(&extent);
        }
    }
}

fn check(extent: &Extent, file: u64) {
    let within = |offset: u64, size| offset.checked_add(extent.length).is_some_and(|end| end <= size);
    let sound = match extent.at {
        Place::Zero => true,
        Place::Stored(offset) => within(offset, file),
        Place::StoredIn((part, offset)) => {
            part == 1 && offset == extent.logical && within(offset, EXERCISE_PARENT)
        }
        Place::Compressed(_) => false,
    };
    assert!(sound && extent.length > 0, "{extent:?}");
}
