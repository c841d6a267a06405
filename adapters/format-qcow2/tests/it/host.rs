//! The host's side of the contract: it moves and (de)compresses bytes where the adapter says.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use format_qcow2::Qcow2;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use wherry_sdk::format::{Codec, Extent, Place, Unit};
use wherry_sdk::testing::image::SparseDisk;
use wherry_sdk::testing::{FileBlob, Random};
use wherry_sdk::{Blob, DiskFormat, FormatReader, FormatWriter, Result, fact};

pub type Reader = <Qcow2 as DiskFormat>::Reader;
pub type Writer = <Qcow2 as DiskFormat>::Writer;

pub fn writer(size: u64, options: &[(&str, &str)]) -> Result<Writer> {
    let options: Vec<_> = options.iter().map(|(key, value)| fact(*key, value)).collect();
    Writer::create(size, &options)
}

/// Writes `disk` as the pump does: chunks slightly out of order, units that are zero left out.
pub fn write(disk: &SparseDisk, path: &Path, options: &[(&str, &str)], seed: u64) {
    let mut writer = writer(disk.size, options).unwrap();
    let file = File::create(path).unwrap();
    let unit = u64::from(writer.shape().unit);
    let numbers =
        disk.pieces().flat_map(|(offset, block)| offset / unit..(offset + block.len() as u64).div_ceil(unit));
    let mut chunks: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for number in numbers {
        let chunk = chunks.entry((number * unit) >> 20).or_default();
        if chunk.last() != Some(&number) {
            chunk.push(number);
        }
    }
    let mut chunks: Vec<Vec<u64>> = chunks.into_values().collect();
    let mut random = Random::new(seed);
    for at in 1..chunks.len() {
        if random.below(3) == 0 {
            chunks.swap(at - 1, at);
        }
    }
    for chunk in chunks {
        write_chunk(disk, &file, &mut writer, &chunk);
    }
    finish(&file, &mut writer);
}

fn write_chunk(disk: &SparseDisk, file: &File, writer: &mut Writer, numbers: &[u64]) {
    let shape = writer.shape();
    let mut units = Vec::new();
    let mut stored = Vec::new();
    for index in numbers {
        let plain = disk.read(index * u64::from(shape.unit), shape.unit.into());
        let packed = compress(shape.codec, shape.level, &plain);
        let (codec, mut bytes) = match packed {
            Some(packed) if packed.len() < plain.len() => (shape.codec, packed),
            _ => (Codec::None, plain),
        };
        units.push(Unit { index: *index, stored: bytes.len() as u32, codec });
        bytes.resize(bytes.len().next_multiple_of(shape.align as usize), 0);
        stored.push(bytes);
    }
    for (offset, bytes) in writer.place(&units).unwrap().into_iter().zip(stored) {
        file.write_all_at(&bytes, offset).unwrap();
    }
}

/// Writes what is left; the same page is the same when it is asked for again.
pub fn finish(file: &File, writer: &mut Writer) {
    for page in 0.. {
        let ending = writer.finish(page).unwrap();
        assert!(ending.patches.iter().map(|patch| patch.bytes.len()).sum::<usize>() <= 1 << 20);
        for patch in &ending.patches {
            assert!(patch.offset + patch.bytes.len() as u64 <= ending.length);
            assert_eq!(patch.offset == 0, !ending.more, "the header is the last patch");
            file.write_all_at(&patch.bytes, patch.offset).unwrap();
        }
        if !ending.more {
            file.set_len(ending.length).unwrap();
            return;
        }
    }
}

fn compress(codec: Codec, level: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    match codec {
        Codec::None => None,
        Codec::Zstd => Some(zstd::bulk::compress(bytes, level.into()).unwrap()),
        Codec::Deflate => {
            let mut out = Vec::with_capacity(bytes.len() * 2 + 64);
            let mut deflate = Compress::new(Compression::new(level.into()), false);
            deflate.compress_vec(bytes, &mut out, FlushCompress::Finish).unwrap();
            Some(out)
        }
        other => panic!("{other:?} is none of qcow2's"),
    }
}

/// `stored` may have more bytes behind the compressed ones. None: damaged.
fn decompress(codec: Codec, stored: &[u8], unit: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; unit];
    match codec {
        Codec::Zstd => {
            zstd::stream::read::Decoder::new(stored).ok()?.read_exact(&mut out).ok()?;
        }
        Codec::Deflate => {
            let mut inflate = Decompress::new(false);
            inflate.decompress(stored, &mut out, FlushDecompress::None).ok()?;
            (inflate.total_out() == unit as u64).then_some(())?;
        }
        other => panic!("{other:?} is none of qcow2's"),
    }
    Some(out)
}

pub fn open(parts: &[&Path]) -> Result<Reader> {
    Reader::open(parts.iter().map(|path| Box::new(FileBlob::open(path).unwrap()) as Box<dyn Blob>).collect())
}

pub use wherry_sdk::testing::image::extents;

/// The bytes of an extent, unless they cannot be decompressed.
pub fn data(extent: &Extent, parts: &[&Path], unit: u32) -> Option<Vec<u8>> {
    let read = |part: usize, offset, length: u64| {
        let mut bytes = vec![0; length as usize];
        File::open(parts[part]).unwrap().read_exact_at(&mut bytes, offset).unwrap();
        bytes
    };
    Some(match extent.at {
        Place::Zero => vec![0; extent.length as usize],
        Place::Stored(offset) => read(0, offset, extent.length),
        Place::StoredIn((part, offset)) => read(part as usize, offset, extent.length),
        Place::Compressed((codec, offset, length)) => {
            let mut bytes = decompress(codec, &read(0, offset, length), unit as usize)?;
            bytes.truncate(extent.length as usize);
            bytes
        }
    })
}

/// The whole disk.
pub fn decode(parts: &[&Path], most: u32) -> Vec<u8> {
    let mut reader = open(parts).unwrap();
    let unit = reader.facts().unit;
    extents(&mut reader, most)
        .iter()
        .flat_map(|extent| data(extent, parts, unit).expect("compressed"))
        .collect()
}
