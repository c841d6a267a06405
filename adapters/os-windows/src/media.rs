//! Windows' own files on what the operator lends: an installation CD or a service pack (folder `I386`), as they are or packed.
//!
//! There a file is called by its name, or packed by itself with a last letter of `_` (`HALMPS.DL_`: a cabinet, or in the older
//! format of [`crate::szdd`]), or is in `driver.cab` and service packs' `sp1.cab` beside the others.

use crate::cabinets;
use crate::files;
use crate::hal;
use crate::resource::{self, FileVersion};
use crate::szdd;
use crate::work::Work;
use wherry_sdk::{Error, ErrorKind, Result, Tree};

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

/// All copies of a program for 32-bit PCs. What cannot be unpacked is a note.
pub fn copies(work: &mut Work<'_>, name: &str) -> Result<Vec<Copy>> {
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

/// `halmps.dl_`.
fn packed(name: &str) -> String {
    let mut name = name.to_ascii_lowercase();
    name.pop();
    name + "_"
}

fn may_have(path: &str, name: &str) -> bool {
    let own = files::split(path).1.to_ascii_lowercase();
    own == name || own == packed(name) || is_cabinet(&own)
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
    if bytes.starts_with(szdd::SIGNATURE) {
        return szdd::unpack(&bytes, FILE_MOST).map(Some);
    }
    if bytes.starts_with(b"MSCF") {
        return cabinets::read(guest, path, name);
    }
    Err(Error::new(ErrorKind::Corrupt, "it is packed in no known way (a cabinet or SZDD)"))
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
