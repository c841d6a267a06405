//! Boot archives: what they are, and the one file in them that is worth changing, `path_to_inst`.
//!
//! The kernel reads it from there before it has a root. It is one of the files of `filelist.safe`, over which the service
//! boot-archive does not stop the start if the root's copy is newer than the archive.

use crate::cpio;
use crate::files::{exists, text};
use crate::hsfs::Image;
use crate::instances::{self, BOOTSTRAP};
use crate::work::Work;
use wherry_sdk::{Change, Error, Patch, Result, Tree};

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
    let at = |offset, length| guest.read(path, offset, length).ok();
    let head = at(0, 8)?;
    if head.starts_with(&[0x1f, 0x8b]) {
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
        match patches(work.guest, path) {
            Ok((patches, change)) => edits.push((path, patches, change)),
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
    for (path, patches, change) in edits.iter().filter(|(_, patches, _)| !patches.is_empty()) {
        work.guest.modify(path, patches, Some(change), reason)?;
    }
    if !instances::parse(&old).is_empty() {
        let like = work.guest.stat(&work.guest.canonical(TABLE)?)?;
        work.rename(TABLE, ASIDE, "it has the numbers of the old machine's devices")?;
        work.write(TABLE, BOOTSTRAP, Some(&like), reason)?;
    }
    Ok(())
}

/// What has to be written into an archive.
fn patches(guest: &dyn Tree, path: &str) -> Result<(Vec<Patch>, Change)> {
    let kind = kind(guest, path).unwrap_or(Kind::Unknown);
    if !matches!(kind, Kind::Hsfs | Kind::Cpio) {
        return Err(Error::unsupported(format!("archives of the kind {} are not edited", kind.name())));
    }
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
    let content = BOOTSTRAP.as_bytes();
    let (before, patches) = if kind == Kind::Cpio {
        cpio::replace(&read, size, INNER, content, TABLE_MOST)?
    } else {
        let image = Image::open(&read, size)?;
        (image.content(INNER, TABLE_MOST)?.unwrap_or_default(), image.replace(INNER, content)?)
    };
    let before = format!("{INNER}:\n{}", String::from_utf8_lossy(&before));
    Ok((patches, Change { before, after: format!("{INNER}:\n{BOOTSTRAP}") }))
}
