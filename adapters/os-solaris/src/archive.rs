//! Boot archives: what they are, and the one file in them that is worth changing, `path_to_inst`.
//!
//! The kernel reads it from there before it has a root. It is one of the files of `filelist.safe`, over which the service
//! boot-archive does not stop the start if the root's copy is newer than the archive.

use crate::files::{exists, text};
use crate::hsfs::{self, Read};
use crate::image::Overlay;
use crate::instances::{self, BOOTSTRAP};
use crate::work::Work;
use crate::{cpio, gzip};
use wherry_sdk::{Change, Error, ErrorKind, Patch, Result, Tree};
use wherry_ufs::{Bytes, Ufs};

/// Boot archives of x86, for kernels of 32 bits and of 64.
pub const ARCHIVES: [&str; 2] = ["/platform/i86pc/boot_archive", "/platform/i86pc/amd64/boot_archive"];
const TABLE: &str = "/etc/path_to_inst";
const ASIDE: &str = "/etc/path_to_inst.wherry";
/// The file's name in the archive and in `filelist.safe`.
const INNER: &str = "etc/path_to_inst";
/// Bytes of the table that are read.
const TABLE_MOST: u64 = 1 << 20;

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

/// Has the kernel number all devices anew, where every archive can be told so. Otherwise the new devices get the next numbers.
pub fn adapt(work: &mut Work<'_>) -> Result<()> {
    let Some(old) = text(work.guest, TABLE).filter(|_| work.root.writable) else { return Ok(()) };
    let safe = text(work.guest, "/boot/solaris/filelist.safe").unwrap_or_default();
    if !safe.lines().any(|line| line.trim() == INNER) {
        return Ok(());
    }
    let archives: Vec<&str> = ARCHIVES.into_iter().filter(|path| exists(work.guest, path)).collect();
    let mut edits = Vec::new();
    for path in archives {
        match edit(work.guest, path) {
            Ok((edit, change)) => edits.push((path, edit, change)),
            Err(error) => {
                work.note(format!(
                    "{path} stays as it is ({}): new devices get the next numbers after those of the old machine",
                    error.message
                ));
                return Ok(());
            }
        }
    }
    let reason = "the kernel numbers the devices of the new machine from 0";
    for (path, edit, change) in edits.iter().filter(|(_, edit, _)| !edit.is_none()) {
        match edit {
            Edit::Patches(patches) => work.guest.modify(path, patches, Some(change), reason)?,
            Edit::Whole(bytes) => {
                let reason = format!("{reason}: {INNER} within it says so, and it is packed anew");
                work.guest.write(path, bytes, None, &reason)?;
            }
        }
    }
    if !instances::parse(&old).is_empty() {
        let like = work.guest.stat(&work.guest.canonical(TABLE)?)?;
        work.rename(TABLE, ASIDE, "it has the numbers of the old machine's devices")?;
        work.write(TABLE, BOOTSTRAP, Some(&like), reason)?;
    }
    Ok(())
}

/// What has to be written into an archive.
fn edit(guest: &dyn Tree, path: &str) -> Result<(Edit, Change)> {
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
        let (patches, change) = plain(&read, size)?;
        return Ok((Edit::Patches(patches), change));
    }
    let mut bytes = gzip::unpack(&read, size)?;
    let (patches, change) = unpacked(&bytes)?;
    if patches.is_empty() {
        return Ok((Edit::Patches(patches), change));
    }
    apply(&mut bytes, patches)?;
    let room = guest.room(path)?.free.saturating_add(size);
    Ok((Edit::Whole(gzip::pack(&bytes, room.min(gzip::PACKED_MOST))?), change))
}

/// What has to be written into a file so that the kernel numbers devices anew; of a packed one, into its content.
///
/// # Errors
/// What it is cannot be edited, or it is damaged.
pub fn replace(read: &Read<'_>, size: u64) -> Result<Vec<Patch>> {
    let packed = read(0, size.min(3))? == gzip::MAGIC;
    let edit = if packed { unpacked(&gzip::unpack(read, size)?) } else { plain(read, size) };
    edit.map(|(patches, _)| patches)
}

fn plain(read: &Read<'_>, size: u64) -> Result<(Vec<Patch>, Change)> {
    let at = |offset: u64, length: u64| read(offset, length.min(size.saturating_sub(offset))).ok();
    patches(read, size, kind_of(&at).unwrap_or(Kind::Unknown))
}

/// What has to be written into one that was unpacked.
fn unpacked(bytes: &[u8]) -> Result<(Vec<Patch>, Change)> {
    let read = |offset: u64, length: u64| {
        let start = usize::try_from(offset).ok();
        let end = start.and_then(|start| start.checked_add(usize::try_from(length).ok()?));
        let part = start.zip(end).and_then(|(start, end)| bytes.get(start..end));
        part.map(<[u8]>::to_vec).ok_or_else(|| Error::corrupt(offset, "the image ends early"))
    };
    plain(&read, bytes.len() as u64)
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

/// What has to be written into an image.
fn patches(read: &Read<'_>, size: u64, kind: Kind) -> Result<(Vec<Patch>, Change)> {
    let content = BOOTSTRAP.as_bytes();
    let (before, patches) = match kind {
        Kind::Cpio => cpio::replace(read, size, INNER, content, TABLE_MOST)?,
        Kind::Hsfs => {
            let image = hsfs::Image::open(read, size)?;
            (image.content(INNER, TABLE_MOST)?.unwrap_or_default(), image.replace(INNER, content)?)
        }
        Kind::Ufs => ufs(read, size, content)?,
        Kind::Gzip | Kind::Unknown => {
            return Err(Error::unsupported(format!("archives of the kind {} are not edited", kind.name())));
        }
    };
    let before = format!("{INNER}:\n{}", gzip::text(&before, TABLE_MOST));
    Ok((patches, Change { before, after: format!("{INNER}:\n{BOOTSTRAP}") }))
}

/// Replaces the table in a UFS file system. It is read plain where the others are packed one by one (`cf_check_compressed`).
fn ufs(read: &Read<'_>, size: u64, content: &[u8]) -> Result<(Vec<u8>, Vec<Patch>)> {
    let overlay = Overlay::new(read, size);
    let mut fs = Ufs::mount(Box::new(&overlay), true)?;
    let path = format!("/{INNER}");
    let meta = fs.stat(&path).map_err(|error| match error.kind {
        ErrorKind::NotFound => Error::unsupported(format!("{INNER} is not in the archive")),
        _ => error,
    })?;
    if meta.size > TABLE_MOST {
        return Err(Error::unsupported(format!("{INNER} has {} bytes in the archive, too many", meta.size)));
    }
    let before = fs.read(&path, 0, TABLE_MOST as u32)?;
    if before == content {
        return Ok((before, Vec::new()));
    }
    // the time stays, so that a plan and what it plans are the same
    let mut fs = fs.at(meta.mtime);
    fs.write(&path, &Bytes(content.to_vec()), None)?;
    fs.sync()?;
    drop(fs);
    Ok((before, overlay.patches()?))
}
