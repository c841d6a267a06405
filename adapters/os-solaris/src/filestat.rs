//! The states of the files in the boot archive, which bootadm keeps in `/boot/solaris/filestat.ramdisk`. At the start
//! svc:/system/boot-archive compares them with the root's files (bootadm.c of illumos, `cmpstat` and `getoldstat`), and
//! Solaris 10 stops where a file has another size or time than its archive tells.
//!
//! The file is a list of names and values as libnvpair packs it, by XDR in every release since 2005 (`savenew`): a head of
//! four bytes (the encoding, 1, then the byte order and two of reserve), version and flags, pairs, and two zeros. A pair has
//! its length here and in memory, the name, the type, the number of elements, and the elements with their number before
//! them (nvpair.c, `nvs_xdr_nvp_op`). Each name has one value: size and time of modification.

use wherry_sdk::bytes::{be32_at, big, byte_at, field};
use wherry_sdk::{Error, Result};

/// Where it is.
pub const PATH: &str = "/boot/solaris/filestat.ramdisk";
/// Bytes that are read of it: an archive has a few thousand files, each with less than 200 bytes here.
pub const MOST: u64 = 4 << 20;

/// `NV_ENCODE_XDR`.
const XDR: u8 = 1;
/// Bytes before the pairs: the head, version and flags.
const HEAD: usize = 12;
/// Bytes of a pair besides its name: two lengths, the name's length, type, number of elements, their number again, and two
/// elements of 8 bytes.
const FIXED: usize = 40;
/// `DATA_TYPE_UINT64_ARRAY`.
const NUMBERS: u32 = 16;
/// Size and time.
const ELEMENTS: u32 = 2;

/// What the list says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Where its size is in the list: 8 bytes, the most significant first.
    pub at: usize,
    /// Its bytes.
    pub size: u64,
    /// When it was modified, in seconds since 1970.
    pub mtime: i64,
}

fn bad(at: usize, what: &str) -> Error {
    Error::corrupt(at as u64, format!("{PATH} {what}"))
}

/// What a list says of the file with this name, like `etc/driver_aliases`; none where it does not name it. The list is read
/// to its end, because one that libnvpair would refuse stops the start whatever it says of the file.
///
/// # Errors
/// A list that bootadm would not have written.
pub fn find(list: &[u8], name: &str) -> Result<Option<State>> {
    if byte_at(list, 0) != XDR {
        return Err(bad(0, "is not packed as XDR"));
    }
    if be32_at(list, 4) != 0 {
        return Err(bad(4, "is of another version than 0"));
    }
    let (mut at, mut found) = (HEAD, None);
    while let Some(pair) = pair(list, at)? {
        if pair.name == name.as_bytes() && found.replace(pair.state).is_some() {
            return Err(bad(at, &format!("names {name} twice")));
        }
        at += pair.length;
    }
    Ok(found)
}

/// One pair.
struct Pair<'a> {
    name: &'a [u8],
    state: State,
    /// Bytes of the whole.
    length: usize,
}

/// The pair at `at`; none at the end of the list.
fn pair(list: &[u8], at: usize) -> Result<Option<Pair<'_>>> {
    let lengths = field(list, at, 8);
    if lengths.is_empty() {
        return Err(bad(at, "has no end"));
    }
    let (length, in_memory) = (be32_at(lengths, 0) as usize, be32_at(lengths, 4));
    if (length, in_memory) == (0, 0) {
        return Ok(None);
    }
    let whole = field(list, at, length);
    let named = be32_at(whole, 8) as usize;
    let padded = named.checked_next_multiple_of(4).and_then(|padded| padded.checked_add(FIXED));
    if in_memory == 0 || whole.is_empty() || padded != Some(length) {
        return Err(bad(at, "has a pair of another length than it tells"));
    }
    // the number of elements is told twice, and the elements come last
    let words: Vec<u32> = [28, 24, 20].iter().map(|back| be32_at(whole, length - back)).collect();
    if words != [NUMBERS, ELEMENTS, ELEMENTS] {
        return Err(bad(at, "has a value that is not a size and a time"));
    }
    let state = State {
        at: at + length - 16,
        size: big(whole, length - 16, 8),
        mtime: big(whole, length - 8, 8).cast_signed(),
    };
    Ok(Some(Pair { name: field(whole, 12, named), state, length }))
}
