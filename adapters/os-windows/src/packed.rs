//! Files packed by themselves, as installation CDs and drivers' floppies have them (Microsoft, "COMPRESS", "SetupDecompressOrCopyFile"):
//! the last letter of the name's ending is `_`, or one is added where the ending is short.

use crate::cabinet;
use crate::files;
use crate::szdd;
use wherry_sdk::{Error, ErrorKind, Result};

/// The largest file, unpacked.
const FILE_MOST: u64 = 32 << 20;

/// What a file is called when it is packed: `halmps.dl_` for `halmps.dll`.
pub fn name(plain: &str) -> String {
    match plain.rsplit_once('.') {
        Some((stem, end)) if end.chars().count() >= 3 => {
            let kept: String = end.chars().take(end.chars().count() - 1).collect();
            format!("{stem}.{kept}_")
        }
        Some(_) => format!("{plain}_"),
        None => format!("{plain}._"),
    }
}

/// Unpacks what may be called `plain`, in a folder; none where a cabinet holds something else.
pub fn unpack(bytes: Vec<u8>, plain: &str) -> Result<Option<Vec<u8>>> {
    if bytes.starts_with(szdd::SIGNATURE) {
        return szdd::unpack(&bytes, FILE_MOST).map(Some);
    }
    if bytes.starts_with(cabinet::SIGNATURE) {
        return cabinet::unpack(&bytes, files::split(plain).1);
    }
    Err(Error::new(ErrorKind::Corrupt, "it is packed in no known way (a cabinet or SZDD)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let all =
            [("halmps.dll", "halmps.dl_"), ("x.c", "x.c_"), ("readme", "readme._"), ("a.b.sys", "a.b.sy_")];
        all.iter().for_each(|(plain, packed)| assert_eq!(name(plain), *packed));
        assert!(unpack(b"MZ".into(), "a.sys").is_err());
    }
}
