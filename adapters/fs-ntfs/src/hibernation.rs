//! `hiberfil.sys`: whether Windows sleeps in it. What it keeps in memory then counts more than what is on the volume.
//!
//! Fast Startup writes the same file with the same header when Windows 8 or later is shut down, so that the two are not
//! told apart here. Sources: the header `PO_MEMORY_IMAGE` as volatility documents it, and ntfs-3g's notes.

/// Bytes of the header that are looked at.
pub const HEADER: u64 = 4096;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// no image, or one that was used already
    Awake,
    /// an image that the next start goes on with
    Asleep,
    /// a start that began to go on with it
    Waking,
    /// the image is on another volume
    Elsewhere,
}

impl State {
    /// From the first bytes of the file.
    pub fn read(header: &[u8]) -> Self {
        let word = header.first_chunk::<4>().map(|word| word.map(|byte| byte.to_ascii_lowercase()));
        match word.as_ref() {
            Some(b"hibr") => Self::Asleep,
            Some(b"rstr") => Self::Waking,
            Some(b"link") => Self::Elsewhere,
            // `wake`: it was gone on with, the image is void. Zeroes: the same since Windows 8. Others: never used.
            _ => Self::Awake,
        }
    }

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Awake => "no",
            Self::Asleep => "yes",
            Self::Waking => "waking",
            Self::Elsewhere => "elsewhere",
        }
    }

    /// Why the volume cannot be believed, and what to do.
    pub fn doubt(self) -> Option<String> {
        let what = match self {
            Self::Awake => return None,
            Self::Asleep => "Windows is hibernated, or was shut down with Fast Startup",
            Self::Waking => "Windows was hibernated, and stopped while it woke up",
            Self::Elsewhere => "Windows may be hibernated in a file on another volume",
        };
        let remedy = "start it once, and shut it down fully (shutdown /s /t 0, or hold Shift)";
        Some(format!("{what}: {remedy}"))
    }
}
