//! Windows' own files on what the operator lends: an installation CD or a service pack (folder `I386`), as they are or packed.
//!
//! There a file is called by its name, or packed by itself (`HALMPS.DL_`), or is in `driver.cab` and service packs' `sp1.cab`
//! beside the others.

use crate::cabinets;
use crate::files;
use crate::hal;
use crate::packed;
use crate::resource::{self, FileVersion};
use crate::work::Work;
use wherry_sdk::{Result, Tree};

/// Kernels, as they are called there: for one and for several processors, and the same with PAE.
pub const KERNELS: [&str; 4] = ["ntoskrnl.exe", "ntkrnlmp.exe", "ntkrnlpa.exe", "ntkrpamp.exe"];
/// The largest file, packed or not.
const FILE_MOST: u64 = 16 << 20;
/// Files that are opened in search of one.
const OPENED_MOST: usize = 256;

/// A copy of a file.
pub struct Copy {
    /// For people.
    pub path: String,
    /// All of it.
    pub bytes: Vec<u8>,
    /// Its version; none where it does not say.
    pub version: Option<FileVersion>,
}

impl Copy {
    /// Of a program.
    pub fn new(path: String, bytes: Vec<u8>) -> Self {
        let version = resource::version(&bytes);
        Self { path, bytes, version }
    }

    /// Where it lies: the CD's folder.
    pub fn folder(&self) -> &str {
        files::split(&self.path).0
    }

    /// For people: path and version.
    pub fn show(&self) -> String {
        self.version.map_or_else(|| self.path.clone(), |version| format!("{} ({version})", self.path))
    }
}

/// What a copy has to go with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fit {
    /// The version of the guest's kernel.
    pub kernel: Option<FileVersion>,
    /// That of the file that the copy stands in for.
    pub own: Option<FileVersion>,
}

impl Fit {
    /// Whether the copy has one of these versions.
    pub fn has(self, copy: &Copy) -> bool {
        copy.version.is_some() && (copy.version == self.kernel || copy.version == self.own)
    }
}

/// What came of looking for a file.
pub enum Search {
    /// One that fits.
    Found(Vec<u8>),
    /// Only these, which do not: path and version.
    Others(Vec<String>),
}

/// Looks for a program that fits. A kernel has to have the very version of the guest's; other files may also lie beside a kernel
/// of that version, since a service pack leaves them versions of their own.
pub fn find(work: &mut Work<'_>, name: &str, fit: Fit) -> Result<Search> {
    let copies = copies(work, name)?;
    let mut fitting = copies.iter().find(|copy| fit.has(copy));
    if fitting.is_none() && !KERNELS.contains(&name) {
        fitting = beside_kernel(work, &copies, fit)?;
    }
    Ok(match fitting {
        Some(copy) => Search::Found(copy.bytes.clone()),
        None => Search::Others(copies.iter().map(Copy::show).collect()),
    })
}

/// The copy that lies beside a kernel of the guest's version.
fn beside_kernel<'a>(work: &mut Work<'_>, copies: &'a [Copy], fit: Fit) -> Result<Option<&'a Copy>> {
    let Some(version) = fit.kernel else { return Ok(None) };
    let copies: Vec<&Copy> =
        copies.iter().filter(|copy| copy.version.is_some_and(|own| own.is_same_build(version))).collect();
    if copies.is_empty() {
        return Ok(None);
    }
    for name in KERNELS {
        for kernel in self::copies(work, name)?.iter().filter(|kernel| kernel.version == Some(version)) {
            if let Some(copy) = copies.iter().find(|copy| copy.folder() == kernel.folder()) {
                return Ok(Some(copy));
            }
        }
    }
    Ok(None)
}

/// The version of the guest's kernel.
pub fn kernel_version(work: &Work<'_>) -> Option<FileVersion> {
    let path = work.place.path("System32/ntoskrnl.exe");
    work.guest.read_all(&path, FILE_MOST).ok().and_then(|bytes| resource::version(&bytes))
}

/// All copies of a program for 32-bit PCs. What cannot be unpacked is a note.
fn copies(work: &mut Work<'_>, name: &str) -> Result<Vec<Copy>> {
    let lent = work.lent()?;
    let mut copies = Vec::new();
    let paths = lent.iter().flat_map(|lent| &lent.files).filter(|path| may_have(path, name));
    for path in paths.take(OPENED_MOST) {
        match read(work.guest, path, name) {
            Ok(Some(bytes)) if resource::machine(&bytes) == Some(resource::I386) => {
                copies.push(Copy::new(path.clone(), bytes));
            }
            Ok(_) => {}
            Err(e) => work.note(format!("{path} was passed over: {}", e.message)),
        }
    }
    Ok(copies)
}

/// Whether any of these files is Windows' own, or may hold such.
pub fn is_among(files: &[String]) -> bool {
    files.iter().any(|path| hal::files().any(|name| may_have(path, name)))
}

fn may_have(path: &str, name: &str) -> bool {
    let own = files::split(path).1.to_ascii_lowercase();
    own == name || own == packed::name(name) || is_cabinet(&own)
}

/// Cabinets of drivers.
fn is_cabinet(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".cab") else { return false };
    stem == "driver" || stem.strip_prefix("sp").is_some_and(|rest| rest.bytes().all(|c| c.is_ascii_digit()))
}

/// A file of this name, in the file at this path.
fn read(guest: &dyn Tree, path: &str, name: &str) -> Result<Option<Vec<u8>>> {
    let own = files::split(path).1.to_ascii_lowercase();
    if is_cabinet(&own) {
        return cabinets::read(guest, path, name);
    }
    let bytes = guest.read_all(path, FILE_MOST)?;
    if own == name {
        return Ok(Some(bytes));
    }
    packed::unpack(bytes, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_a_cd() {
        let yes = ["/[drivers 0]/I386/HALMPS.DL_", "halmps.dll", "/x/Driver.cab", "/x/sp4.cab", "/SP.CAB"];
        yes.iter().for_each(|path| assert!(may_have(path, "halmps.dll"), "{path}"));
        for path in ["/x/halmps.dl", "/x/halapic.dl_", "/x/spare.cab", "/x/driver.ca_", "/halmps.dll/x"] {
            assert!(!may_have(path, "halmps.dll"), "{path}");
        }
        assert!(is_among(&["/a".into(), "/I386/NTKRNLMP.EX_".into()]) && !is_among(&["/a.inf".into()]));
    }
}
