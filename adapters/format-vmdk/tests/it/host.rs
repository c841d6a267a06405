//! The host's side of the contract: it opens files beside the image, and moves and (de)compresses bytes where the
//! adapter says.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use format_vmdk::Vmdk;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use wherry_sdk::format::{Codec, Extent, Place, Unit};
use wherry_sdk::testing::image::{self, Files, SparseDisk};
use wherry_sdk::testing::{FileBlob, Random};
use wherry_sdk::{Blob, DiskFormat, FormatReader, FormatWriter, Result};

pub type Reader = <Vmdk as DiskFormat>::Reader;
pub type Writer = <Vmdk as DiskFormat>::Writer;

pub fn writer(size: u64, options: &[(&str, &str)]) -> Result<Writer> {
    image::writer::<Vmdk>(size, options)
}

/// Writes `disk` as the pump does, by chunks of 1 MiB, units that are zero left out; `seed` swaps some chunks.
pub fn write(disk: &SparseDisk, path: &Path, options: &[(&str, &str)], seed: u64) {
    let mut writer = writer(disk.size, options).unwrap();
    let _old = std::fs::remove_file(path);
    let files = Files::create(path, &mut writer);
    let unit = u64::from(writer.shape().unit);
    let mut numbers: Vec<u64> = disk
        .pieces()
        .flat_map(|(offset, block)| offset / unit..(offset + block.len() as u64).div_ceil(unit))
        .collect();
    numbers.dedup();
    let mut chunks: Vec<&[u64]> =
        numbers.chunk_by(|one, two| (one * unit) >> 20 == (two * unit) >> 20).collect();
    let mut random = Random::new(seed);
    for at in 1..chunks.len() {
        if seed > 0 && random.below(3) == 0 {
            chunks.swap(at - 1, at);
        }
    }
    for chunk in chunks {
        write_chunk(disk, &files, &mut writer, chunk);
    }
    files.finish(&mut writer);
}

fn write_chunk(disk: &SparseDisk, files: &Files, writer: &mut Writer, numbers: &[u64]) {
    let shape = writer.shape();
    let mut units = Vec::new();
    let mut stored = Vec::new();
    for index in numbers {
        let plain = disk.read(index * u64::from(shape.unit), shape.unit.into());
        let bytes =
            if shape.codec == Codec::None { plain } else { compress(shape.codec, shape.level, &plain) };
        assert!(shape.codec == Codec::None || !shape.plain_if_larger, "a unit could be stored plain");
        units.push(Unit { index: *index, stored: bytes.len() as u32, codec: shape.codec });
        stored.push(bytes);
    }
    let places = writer.place(&units).unwrap();
    let lead = shape.lead as usize;
    let heads = if lead > 0 { writer.heads(&units).unwrap() } else { Vec::new() };
    assert_eq!(heads.len(), lead * units.len());
    for (at, (offset, bytes)) in places.into_iter().zip(stored).enumerate() {
        let mut bytes = [&heads[at * lead..(at + 1) * lead], &bytes].concat();
        bytes.resize(bytes.len().next_multiple_of(shape.align as usize), 0);
        files.write_at(&bytes, offset - lead as u64);
    }
}

fn compress(codec: Codec, level: u8, bytes: &[u8]) -> Vec<u8> {
    assert_eq!(codec, Codec::Zlib);
    let mut out = Vec::with_capacity(bytes.len() * 2 + 64);
    let mut deflate = Compress::new(Compression::new(level.into()), true);
    deflate.compress_vec(bytes, &mut out, FlushCompress::Finish).unwrap();
    out
}

/// `stored` may have more bytes behind the stream. None: damaged.
fn decompress(codec: Codec, stored: &[u8], unit: usize) -> Option<Vec<u8>> {
    assert_eq!(codec, Codec::Zlib);
    let mut out = vec![0; unit];
    let mut inflate = Decompress::new(true);
    let status = inflate.decompress(stored, &mut out, FlushDecompress::Finish).ok()?;
    out.truncate(inflate.total_out() as usize);
    (status == Status::StreamEnd).then_some(out)
}

/// An image as the host opens it.
pub struct Image {
    pub parts: Vec<PathBuf>,
    pub reader: Reader,
}

/// Opens an image, the files beside it that it names, and its parent.
pub fn open(path: &Path, parent: Option<&Path>) -> Result<Image> {
    let parts = vec![path.to_path_buf()];
    let first = Reader::open(blobs(&parts))?;
    let files = first.facts().files;
    let beside = files.iter().map(|name| path.with_file_name(name));
    let parts: Vec<PathBuf> = parts.into_iter().chain(beside).chain(parent.map(Path::to_path_buf)).collect();
    let reader = if parts.len() == 1 { first } else { Reader::open(blobs(&parts))? };
    assert_eq!(reader.facts().files, files);
    Ok(Image { parts, reader })
}

fn blobs(parts: &[PathBuf]) -> Vec<Box<dyn Blob>> {
    parts.iter().map(|path| Box::new(FileBlob::open(path).unwrap()) as Box<dyn Blob>).collect()
}

impl Image {
    /// All extents, asked for by pages of `most`.
    pub fn extents(&mut self, most: u32) -> Vec<Extent> {
        image::extents(&mut self.reader, most)
    }

    /// The bytes of an extent, unless they cannot be decompressed.
    pub fn data(&self, extent: &Extent) -> Option<Vec<u8>> {
        let read = |part: usize, offset, length: u64| {
            let mut bytes = vec![0; length as usize];
            File::open(&self.parts[part]).unwrap().read_exact_at(&mut bytes, offset).unwrap();
            bytes
        };
        Some(match extent.at {
            Place::Zero => vec![0; extent.length as usize],
            Place::Stored(offset) => read(0, offset, extent.length),
            Place::StoredIn((part, offset)) => read(part as usize, offset, extent.length),
            Place::Compressed((codec, offset, length)) => {
                let unit = self.reader.facts().unit as usize;
                let mut bytes = decompress(codec, &read(0, offset, length), unit)?;
                assert!(bytes.len() as u64 >= extent.length);
                bytes.truncate(extent.length as usize);
                bytes
            }
        })
    }

    /// The whole disk.
    pub fn decode(&mut self, most: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for extent in self.extents(most) {
            bytes.extend_from_slice(&self.data(&extent).expect("compressed"));
        }
        bytes
    }
}

/// The whole disk of an image without a parent.
pub fn decode(path: &Path, most: u32) -> Vec<u8> {
    open(path, None).unwrap().decode(most)
}
