//! The "new ASCII" cpio archive (magic 070701, with checksum 070702), read as `init/initramfs.c` does and written.

use super::rootfs::Rootfs;
use std::io::{self, BufRead, Read};

/// Name of the entry that ends an archive.
pub const TRAILER: &str = "TRAILER!!!";
/// Linux's `PATH_MAX`: entries with longer names are skipped by the kernel.
const PATH_MOST: u32 = 4096;
const HEADER: usize = 110;
/// File type bits of a mode, as in stat(2).
pub const TYPE: u32 = 0o170_000;
/// A directory.
pub const DIRECTORY: u32 = 0o040_000;
/// A regular file.
pub const REGULAR: u32 = 0o100_000;
/// A symbolic link.
pub const SYMLINK: u32 = 0o120_000;

/// What an entry's header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// inode, device major and minor: the identity of a hard-linked file
    pub identity: (u32, u32, u32),
    /// type and permissions
    pub mode: u32,
    /// names of this file in the archive
    pub links: u32,
    /// bytes of content
    pub size: u32,
    name: u32,
    /// sum of all content bytes; only in 070702
    sum: Option<u32>,
}

impl Header {
    fn parse(bytes: &[u8; HEADER]) -> io::Result<Self> {
        let (magic, digits) = bytes.split_at(6);
        let checked = match magic {
            b"070701" => false,
            b"070702" => true,
            b"070707" => return Err(invalid("the old portable cpio format, which the kernel refuses")),
            _ => return Err(invalid("no cpio header where one must be")),
        };
        let mut fields = [0u32; 13];
        for (field, digits) in fields.iter_mut().zip(digits.chunks(8)) {
            let text = std::str::from_utf8(digits).map_err(|_| invalid("a cpio header is not text"))?;
            *field =
                u32::from_str_radix(text, 16).map_err(|_| invalid("a cpio header is not hexadecimal"))?;
        }
        let [inode, mode, _uid, _gid, links, _mtime, size, major, minor, _rmajor, _rminor, name, sum] =
            fields;
        Ok(Self { identity: (inode, major, minor), mode, links, size, name, sum: checked.then_some(sum) })
    }

    fn is(&self, kind: u32) -> bool {
        self.mode & TYPE == kind
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Unpacks the archives that start at `at` of the image, up to what is no cpio; answers their length.
pub fn unpack_plain(
    reader: &mut impl BufRead,
    at: u64,
    rootfs: &mut Rootfs,
    budget: &mut u64,
) -> io::Result<u64> {
    let mut flow = Flow { reader, at, budget };
    flow.entries(rootfs)?;
    Ok(flow.at - at)
}

/// Unpacks every archive of a decompressed stream; answers the stream's length.
pub fn unpack_stream(reader: &mut impl BufRead, rootfs: &mut Rootfs, budget: &mut u64) -> io::Result<u64> {
    let mut flow = Flow { reader, at: 0, budget };
    flow.entries(rootfs)?;
    match flow.reader.fill_buf()?.first() {
        None => Ok(flow.at),
        Some(_) => Err(invalid("junk within the compressed archive")),
    }
}

/// A reader with its position, on which cpio's padding depends.
struct Flow<'a, R> {
    reader: &'a mut R,
    at: u64,
    budget: &'a mut u64,
}

impl<R: BufRead> Flow<'_, R> {
    fn spend(&mut self, bytes: u64) -> io::Result<()> {
        self.at += bytes;
        *self.budget = self.budget.checked_sub(bytes).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, "the archive unpacks to over 1 GiB")
        })?;
        Ok(())
    }

    fn exact(&mut self, length: u32) -> io::Result<Vec<u8>> {
        self.spend(u64::from(length))?;
        let mut bytes = Vec::new();
        self.reader.take(u64::from(length)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == u64::from(length) {
            Ok(bytes)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// Reads over the padding, which may be missing at the very end.
    fn align(&mut self) -> io::Result<()> {
        let padding = self.at.next_multiple_of(4) - self.at;
        let read = io::copy(&mut self.reader.take(padding), &mut io::sink())?;
        self.spend(read)
    }

    /// Reads over `length` bytes, and sums them up where there is a sum to compare.
    fn skip(&mut self, length: u32, summed: bool) -> io::Result<u32> {
        self.spend(u64::from(length))?;
        let mut left = length as usize;
        let mut sum = 0u32;
        while left > 0 {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let count = buffer.len().min(left);
            if summed {
                sum = total(buffer.get(..count).unwrap_or_default(), sum);
            }
            self.reader.consume(count);
            left -= count;
        }
        Ok(sum)
    }

    /// Entries, with zeros between them; the kernel needs no trailer.
    fn entries(&mut self, rootfs: &mut Rootfs) -> io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            match buffer.first() {
                Some(0) => {
                    let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
                    self.reader.consume(zeros);
                    self.spend(zeros as u64)?;
                }
                Some(b'0') if self.at.is_multiple_of(4) => {
                    let bytes = self.exact(HEADER as u32)?;
                    let header = Header::parse(bytes.first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?)?;
                    self.entry(&header, rootfs)?;
                    self.align()?;
                }
                _ => return Ok(()),
            }
        }
    }

    fn entry(&mut self, header: &Header, rootfs: &mut Rootfs) -> io::Result<()> {
        let readable = header.is(REGULAR) || header.is(SYMLINK) || header.size == 0;
        let long = header.name == 0 || header.name > PATH_MOST;
        if long || !readable || header.is(SYMLINK) && header.size > PATH_MOST {
            self.skip(header.name, false)?;
            self.align()?;
            return self.skip(header.size, false).map(drop);
        }
        let name = text(&self.exact(header.name)?);
        self.align()?;
        if header.is(SYMLINK) {
            let target = text(&self.exact(header.size)?);
            return rootfs.symlink(&name, target);
        }
        if name == TRAILER {
            // Hard links do not reach beyond an archive.
            rootfs.forget_links();
            return self.skip(header.size, false).map(drop);
        }
        if !header.is(REGULAR) {
            return rootfs.other(&name, header);
        }
        let file = rootfs.file(&name, header)?;
        let sum = if rootfs.wants(&name, header.size) {
            let content = self.exact(header.size)?;
            let sum = total(&content, 0);
            rootfs.fill(file, header.size, Some(content))?;
            sum
        } else {
            rootfs.fill(file, header.size, None)?;
            self.skip(header.size, header.sum.is_some())?
        };
        if header.sum.is_some_and(|expected| expected != sum) {
            return Err(invalid("the checksum of a file does not match"));
        }
        Ok(())
    }
}

fn total(bytes: &[u8], start: u32) -> u32 {
    bytes.iter().fold(start, |sum, byte| sum.wrapping_add(u32::from(*byte)))
}

/// The bytes up to the first zero, one character each, so that different names stay different.
fn text(bytes: &[u8]) -> String {
    bytes.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect()
}

/// Writes an archive: everything root's, at time 0, so that the same input gives the same bytes.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
    inode: u32,
}

impl Writer {
    /// A directory that everybody may read.
    pub fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY | 0o755, 2, &[]);
    }

    /// A file with these permissions.
    pub fn file(&mut self, path: &str, permissions: u32, content: &[u8]) {
        self.entry(path, REGULAR | permissions & 0o7777, 1, content);
    }

    /// A symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.entry(path, SYMLINK | 0o777, 1, target.as_bytes());
    }

    fn entry(&mut self, path: &str, mode: u32, links: u32, content: &[u8]) {
        self.inode += 1;
        let inode = if path == TRAILER { 0 } else { self.inode };
        let (size, name) = (content.len(), path.len() + 1);
        let numbers = [inode, mode, 0, 0, links, 0, size as u32, 0, 0, 0, 0, name as u32, 0];
        self.bytes.extend(b"070701");
        for number in numbers {
            self.bytes.extend(format!("{number:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The complete archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, 1, &[]);
        self.bytes
    }
}
