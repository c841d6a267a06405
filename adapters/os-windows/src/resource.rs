//! What a program says of itself: the processor it is for, and its version resource (Microsoft, "PE Format",
//! "VS_VERSIONINFO structure", "VS_FIXEDFILEINFO structure", "String structure").

use std::fmt;

/// `IMAGE_FILE_MACHINE_I386`.
pub const I386: u16 = 0x14c;
/// The key of the resource, and how far behind its beginning the fixed part is: the key has 32 bytes with its end, and two more
/// align what follows.
const KEY: &str = "VS_VERSION_INFO\0";
const FIXED: usize = 34;
/// `dwSignature` and `dwStrucVersion` of the fixed part.
const SIGNATURE: [u8; 8] = [0xbd, 0x04, 0xef, 0xfe, 0, 0, 1, 0];
/// `VS_FF_DEBUG`.
const DEBUG: u32 = 1;

/// The version of a file: 5.1.2600.5512.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileVersion(pub [u16; 4]);

impl fmt::Display for FileVersion {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, build, revision] = self.0;
        write!(to, "{major}.{minor}.{build}.{revision}")
    }
}

impl FileVersion {
    /// Whether it is of the same build, of any service pack.
    pub fn is_same_build(self, other: Self) -> bool {
        self.0[..3] == other.0[..3]
    }
}

/// The version of a program; none where it has none, or is one for debugging.
pub fn version(program: &[u8]) -> Option<FileVersion> {
    let key = wide(KEY);
    let starts = program.windows(key.len()).enumerate().filter(|(_, window)| *window == key);
    starts.into_iter().find_map(|(at, _)| fixed(program.get(at + FIXED..)?))
}

fn fixed(bytes: &[u8]) -> Option<FileVersion> {
    let rest = bytes.strip_prefix(&SIGNATURE)?;
    let number = |place: usize| {
        let four = rest.get(place * 4..place * 4 + 4)?;
        Some(u32::from_le_bytes(four.try_into().ok()?))
    };
    let (high, low) = (number(0)?, number(1)?);
    // `dwFileFlags`, as far as `dwFileFlagsMask` says that they are set.
    if number(4)? & number(5)? & DEBUG != 0 {
        return None;
    }
    let half = |number: u32| [(number >> 16) as u16, number as u16];
    let ([major, minor], [build, revision]) = (half(high), half(low));
    Some(FileVersion([major, minor, build, revision]))
}

/// `OriginalFilename`.
pub fn original_name(program: &[u8]) -> Option<String> {
    let key = wide("OriginalFilename\0");
    let at = program.windows(key.len()).position(|window| window == key)? + key.len();
    let units = program.get(at..)?.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).take(64);
    let name: Vec<u16> = units.skip_while(|unit| *unit == 0).take_while(|unit| *unit != 0).collect();
    String::from_utf16(&name).ok().filter(|name| !name.is_empty())
}

/// The processor that a program is for (`IMAGE_FILE_HEADER.Machine`).
pub fn machine(program: &[u8]) -> Option<u16> {
    let at = program.strip_prefix(b"MZ").and_then(|rest| rest.get(0x3a..0x3e))?;
    let at = u32::from_le_bytes(at.try_into().ok()?) as usize;
    let two = program.get(at..)?.strip_prefix(b"PE\0\0")?.get(..2)?;
    Some(u16::from_le_bytes(two.try_into().ok()?))
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs() {
        let program = [&[1, 2, 3, 4][..], &wide("OriginalFilename\0\0halmacpi.dll\0x")].concat();
        assert_eq!(original_name(&program).as_deref(), Some("halmacpi.dll"));
        assert_eq!(original_name(&wide("OriginalFilename\0")), None);
    }

    #[test]
    fn versions_of_programs() {
        let with = |flags: u32| {
            let numbers = [0x0005_0001, 0x0a28_1588, 0, 0, 0x3f, flags, 0x0004_0004];
            let fixed = numbers.iter().flat_map(|number: &u32| number.to_le_bytes());
            [&wide(KEY)[..], &[0, 0], &SIGNATURE, &fixed.collect::<Vec<u8>>()].concat()
        };
        // Words that only look like a resource stand before it.
        let program = [&wide(KEY)[..], &[7; 50], &with(0)].concat();
        assert_eq!(version(&program).unwrap().to_string(), "5.1.2600.5512");
        assert_eq!(version(&with(DEBUG)), None);
        assert_eq!((version(&with(0)[..40]), version(b"")), (None, None));
    }

    #[test]
    fn processors() {
        let mut program = b"MZ".to_vec();
        program.resize(0x3c, 0);
        program.extend(0x40_u32.to_le_bytes());
        program.extend(b"PE\0\0\x4c\x01");
        assert_eq!(machine(&program), Some(I386));
        program[0x3f] = 0xff;
        assert_eq!((machine(&program), machine(b"MZ")), (None, None));
    }
}
