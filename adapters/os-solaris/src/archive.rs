//! Boot archives: what they are, and how files in them are replaced. The kernel reads its tables from there before it has a root.

use crate::files::exists;
use crate::hsfs::{self, Read};
use crate::image::Overlay;
use crate::work::Work;
use crate::{cpio, gzip};
use wherry_sdk::{Change, Error, ErrorKind, Patch, Result, Tree};
use wherry_ufs::{Bytes, Ufs};

/// Boot archives of x86, for kernels of 32 bits and of 64.
pub const ARCHIVES: [&str; 2] = ["/platform/i86pc/boot_archive", "/platform/i86pc/amd64/boot_archive"];
/// Bytes of a file within one that are read.
const INNER_MOST: u64 = 1 << 20;

/// A file within archives, and what it is to be.
#[derive(Clone, Copy, Debug)]
pub struct Inner<'a> {
    /// Its path without the first slash: `etc/path_to_inst`.
    pub path: &'a str,
    /// What it has to be before, if that matters; packed or plain, and with whatever empty lines at the end.
    pub old: Option<&'a str>,
    /// The new text.
    pub new: &'a str,
}

/// What a boot archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A UFS file system (`fs_magic` 0x011954 of the superblock at 8192).
    Ufs,
    /// ISO 9660.
    Hsfs,
    /// cpio, in the formats of illumos' bootadm.
    Cpio,
    /// Any of them, packed by gzip.
    Gzip,
    /// Something else.
    Unknown,
}

impl Kind {
    /// What bootadm calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ufs => "ufs",
            Self::Hsfs => "hsfs",
            Self::Cpio => "cpio",
            Self::Gzip => "gzip",
            Self::Unknown => "unknown",
        }
    }
}

/// What an archive is; none if there is none.
pub fn kind(guest: &dyn Tree, path: &str) -> Option<Kind> {
    kind_of(&|offset, length| guest.read(path, offset, length.try_into().unwrap_or(u32::MAX)).ok())
}

/// What bytes are; `at` gives up to so many from an offset.
fn kind_of(at: &dyn Fn(u64, u64) -> Option<Vec<u8>>) -> Option<Kind> {
    let head = at(0, 8)?;
    if head.starts_with(&gzip::MAGIC) {
        return Some(Kind::Gzip);
    }
    if [&b"070707"[..], b"070701", b"070702"].iter().any(|magic| head.starts_with(magic)) {
        return Some(Kind::Cpio);
    }
    if at(32769, 5).as_deref() == Some(b"CD001") {
        return Some(Kind::Hsfs);
    }
    let magic = at(8192 + 1372, 4);
    Some(if magic.as_deref() == Some(&0x0001_1954_u32.to_le_bytes()) { Kind::Ufs } else { Kind::Unknown })
}

/// How an archive is changed.
enum Edit {
    /// In place.
    Patches(Vec<Patch>),
    /// As a whole.
    Whole(Vec<u8>),
}

impl Edit {
    fn is_none(&self) -> bool {
        matches!(self, Self::Patches(patches) if patches.is_empty())
    }
}

/// An archive with files replaced, which is not written yet.
pub struct Prepared {
    path: &'static str,
    edit: Edit,
    change: Change,
}

/// Replaces the files in each archive of the guest, or says which of them cannot be edited and why: the kernels for 32 bits and
/// for 64 are to find the same.
pub fn prepare(guest: &dyn Tree, files: &[Inner<'_>]) -> Result<Vec<Prepared>> {
    let mut prepared = Vec::new();
    for path in ARCHIVES.into_iter().filter(|path| exists(guest, path)) {
        let (edit, change) = edit(guest, path, files)
            .map_err(|error| Error::new(error.kind, format!("{path} stays as it is ({})", error.message)))?;
        prepared.push(Prepared { path, edit, change });
    }
    Ok(prepared)
}

/// Writes the archives that change.
pub fn write(work: &mut Work<'_>, prepared: &[Prepared], reason: &str) -> Result<()> {
    for Prepared { path, edit, change } in prepared.iter().filter(|one| !one.edit.is_none()) {
        match edit {
            Edit::Patches(patches) => work.guest.modify(path, patches, Some(change), reason)?,
            Edit::Whole(bytes) => {
                work.guest.write(path, bytes, None, &format!("{reason}, and it is packed anew"))?;
            }
        }
    }
    Ok(())
}

/// What has to be written into an archive.
fn edit(guest: &dyn Tree, path: &str, files: &[Inner<'_>]) -> Result<(Edit, Change)> {
    // illumos' loader has the archive's hash checked
    if exists(guest, &format!("{path}.hash")) {
        return Err(Error::unsupported("its hash is checked"));
    }
    let size = guest.stat(&guest.canonical(path)?)?.size;
    let read = |offset: u64, length: u64| {
        let short = || Error::corrupt(offset, "the image ends early");
        let length = u32::try_from(length).map_err(|_| short())?;
        let bytes = guest.read(path, offset, length)?;
        if bytes.len() == length as usize { Ok(bytes) } else { Err(short()) }
    };
    if kind(guest, path) != Some(Kind::Gzip) {
        let (patches, change) = plain(&read, size, files)?;
        return Ok((Edit::Patches(patches), change));
    }
    let mut bytes = gzip::unpack(&read, size)?;
    let (patches, change) = unpacked(&bytes, files)?;
    if patches.is_empty() {
        return Ok((Edit::Patches(patches), change));
    }
    apply(&mut bytes, patches)?;
    let room = guest.room(path)?.free.saturating_add(size);
    Ok((Edit::Whole(gzip::pack(&bytes, room.min(gzip::PACKED_MOST))?), change))
}

/// What has to be written into an archive so that it has these files; of a packed one, into its content.
///
/// # Errors
/// What it is cannot be edited, or it is damaged.
pub fn replace(read: &Read<'_>, size: u64, files: &[Inner<'_>]) -> Result<Vec<Patch>> {
    let packed = read(0, size.min(3))? == gzip::MAGIC;
    let edit = if packed { unpacked(&gzip::unpack(read, size)?, files) } else { plain(read, size, files) };
    edit.map(|(patches, _)| patches)
}

fn plain(read: &Read<'_>, size: u64, files: &[Inner<'_>]) -> Result<(Vec<Patch>, Change)> {
    let at = |offset: u64, length: u64| read(offset, length.min(size.saturating_sub(offset))).ok();
    let kind = kind_of(&at).unwrap_or(Kind::Unknown);
    let (before, patches) = match kind {
        Kind::Cpio => in_cpio(read, size, files)?,
        Kind::Hsfs => in_hsfs(read, size, files)?,
        Kind::Ufs => in_ufs(read, size, files)?,
        Kind::Gzip | Kind::Unknown => {
            return Err(Error::unsupported(format!("archives of the kind {} are not edited", kind.name())));
        }
    };
    let before: Vec<String> = before.iter().map(|bytes| gzip::text(bytes, INNER_MOST)).collect();
    Ok((patches, change(&before, files)?))
}

/// What is shown of the change, where the files were what they had to be.
fn change(before: &[String], files: &[Inner<'_>]) -> Result<Change> {
    let mut shown = Change { before: String::new(), after: String::new() };
    let same = |one: &str, other: &str| one.trim_end_matches('\n') == other.trim_end_matches('\n');
    for (before, file) in before.iter().zip(files) {
        if file.old.is_some_and(|old| !same(before, old) && !same(before, file.new)) {
            return Err(Error::unsupported(format!("{} in it is another than the root's", file.path)));
        }
        shown.before += &format!("{}:\n{before}", file.path);
        shown.after += &format!("{}:\n{}", file.path, file.new);
    }
    Ok(shown)
}

/// What has to be written into one that was unpacked.
fn unpacked(bytes: &[u8], files: &[Inner<'_>]) -> Result<(Vec<Patch>, Change)> {
    let read = |offset: u64, length: u64| {
        let start = usize::try_from(offset).ok();
        let end = start.and_then(|start| start.checked_add(usize::try_from(length).ok()?));
        let part = start.zip(end).and_then(|(start, end)| bytes.get(start..end));
        part.map(<[u8]>::to_vec).ok_or_else(|| Error::corrupt(offset, "the image ends early"))
    };
    plain(&read, bytes.len() as u64, files)
}

fn apply(bytes: &mut Vec<u8>, patches: Vec<Patch>) -> Result<()> {
    for patch in patches {
        let beyond = || Error::corrupt(patch.offset, "a change begins beyond the end of the image");
        let start = usize::try_from(patch.offset).ok().filter(|at| *at <= bytes.len()).ok_or_else(beyond)?;
        let end = start.checked_add(patch.bytes.len()).ok_or_else(beyond)?;
        bytes.resize(bytes.len().max(end), 0);
        bytes.splice(start..end, patch.bytes);
    }
    Ok(())
}

/// The files as they are, and what has to be written.
type Replaced = (Vec<Vec<u8>>, Vec<Patch>);

fn in_cpio(read: &Read<'_>, size: u64, files: &[Inner<'_>]) -> Result<Replaced> {
    let (mut before, mut patches) = Replaced::default();
    for file in files {
        let (old, new) = cpio::replace(read, size, file.path, file.new.as_bytes(), INNER_MOST)?;
        before.push(old);
        patches.extend(new);
    }
    Ok((before, patches))
}

fn in_hsfs(read: &Read<'_>, size: u64, files: &[Inner<'_>]) -> Result<Replaced> {
    let (mut before, mut patches) = Replaced::default();
    let mut image = hsfs::Image::open(read, size)?;
    for file in files {
        before.push(image.content(file.path, INNER_MOST)?.unwrap_or_default());
        patches.extend(image.replace(file.path, file.new.as_bytes())?);
    }
    Ok((before, patches))
}

/// They are read plain where others are packed one by one (`cf_check_compressed`).
fn in_ufs(read: &Read<'_>, size: u64, files: &[Inner<'_>]) -> Result<Replaced> {
    let overlay = Overlay::new(read, size);
    let mut fs = Ufs::mount(Box::new(&overlay), true)?;
    let mut before = Vec::new();
    for file in files {
        let path = format!("/{}", file.path);
        let meta = fs.stat(&path).map_err(|error| match error.kind {
            ErrorKind::NotFound => Error::unsupported(format!("{} is not in the archive", file.path)),
            _ => error,
        })?;
        if meta.size > INNER_MOST {
            let message = format!("{} has {} bytes in the archive, too many", file.path, meta.size);
            return Err(Error::unsupported(message));
        }
        let old = fs.read(&path, 0, INNER_MOST as u32)?;
        if old != file.new.as_bytes() {
            // the time stays, so that a plan and what it plans are the same
            fs = fs.at(meta.mtime);
            fs.write(&path, &Bytes(file.new.as_bytes().to_vec()), None)?;
            fs.sync()?;
        }
        before.push(old);
    }
    drop(fs);
    Ok((before, overlay.patches()?))
}
