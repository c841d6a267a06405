//! What the operator chooses, and the descriptor that says so.

use wherry_sdk::{Error, ErrorKind, Fact, Result};

/// Bytes of an embedded descriptor, as VMware and QEMU reserve them.
pub(crate) const DESCRIPTOR_BYTES: usize = 20 * 512;
/// deflate's own default.
const LEVEL: u8 = 6;
/// What VMware gives to a disk that was never written.
const CID: u32 = 0xffff_fffe;
/// VMware's newest at the time of 62 TiB disks (vSphere 5.5).
const HARDWARE_VERSION: u32 = 10;
const ADAPTERS: [&str; 5] = ["lsilogic", "ide", "buslogic", "pvscsi", "legacyESX"];

/// How a new image is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subformat {
    MonolithicSparse,
    StreamOptimized,
    TwoGbMaxExtentSparse,
    MonolithicFlat,
    TwoGbMaxExtentFlat,
}

/// What descriptors call them.
const SUBFORMATS: [(&str, Subformat); 5] = [
    ("monolithicSparse", Subformat::MonolithicSparse),
    ("streamOptimized", Subformat::StreamOptimized),
    ("twoGbMaxExtentSparse", Subformat::TwoGbMaxExtentSparse),
    ("monolithicFlat", Subformat::MonolithicFlat),
    ("twoGbMaxExtentFlat", Subformat::TwoGbMaxExtentFlat),
];

impl Subformat {
    /// Whether the descriptor is in the file with the grains.
    pub(crate) fn is_embedded(self) -> bool {
        matches!(self, Self::MonolithicSparse | Self::StreamOptimized)
    }

    /// Whether the bytes of the disk lie in files as they are.
    pub(crate) fn is_flat(self) -> bool {
        matches!(self, Self::MonolithicFlat | Self::TwoGbMaxExtentFlat)
    }

    /// Whether there is a file for every 2047 MiB of the disk.
    pub(crate) fn is_split(self) -> bool {
        matches!(self, Self::TwoGbMaxExtentSparse | Self::TwoGbMaxExtentFlat)
    }

    fn name(self) -> &'static str {
        SUBFORMATS.iter().find(|(_, known)| *known == self).map_or("custom", |(name, _)| name)
    }
}

/// What a new image will say of itself.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) subformat: Subformat,
    adapter: String,
    hardware: u32,
    pub(crate) level: u8,
    cid: u32,
    pub(crate) file_name: String,
}

impl Options {
    pub(crate) fn read(facts: &[Fact]) -> Result<Self> {
        let mut options = Self {
            subformat: Subformat::MonolithicSparse,
            adapter: ADAPTERS[0].into(),
            hardware: HARDWARE_VERSION,
            level: LEVEL,
            cid: CID,
            file_name: "disk.vmdk".into(),
        };
        let (mut level, mut named) = (None, false);
        for Fact { key, value } in facts {
            match key.as_str() {
                "subformat" => options.subformat = subformat(value)?,
                "adapter-type" => options.adapter = adapter(value)?,
                "hardware-version" => options.hardware = number(key, value, 3..=99)?,
                "compression-level" => level = Some(number(key, value, 1..=9)?),
                "cid" => options.cid = cid(value)?,
                "file-name" => (options.file_name, named) = (file_name(value)?, true),
                other => return Err(invalid(format!("vmdk has no option `{other}`"))),
            }
        }
        if named && !options.subformat.is_embedded() {
            let message = "file-name: the files of this `subformat` are called after the disk's own name";
            return Err(invalid(message.into()));
        }
        if let Some(level) = level {
            if options.subformat != Subformat::StreamOptimized {
                return Err(invalid("compression-level needs `subformat` streamOptimized".into()));
            }
            options.level = level as u8;
        }
        Ok(options)
    }

    /// The descriptor of a disk of so many sectors, with these lines of extents.
    pub(crate) fn descriptor(&self, sectors: u64, lines: &str) -> Vec<u8> {
        let create_type = self.subformat.name();
        let (cylinders, heads, per_track) = geometry(sectors, &self.adapter);
        let (cid, adapter, hardware) = (self.cid, &self.adapter, self.hardware);
        let mut text = format!(
            "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID={cid:08x}\nparentCID=ffffffff\n\
             createType=\"{create_type}\"\n\n# Extent description\n{lines}\n\
             # The Disk Data Base\n#DDB\n\nddb.adapterType = \"{adapter}\"\n\
             ddb.geometry.cylinders = \"{cylinders}\"\nddb.geometry.heads = \"{heads}\"\n\
             ddb.geometry.sectors = \"{per_track}\"\nddb.virtualHWVersion = \"{hardware}\"\n"
        )
        .into_bytes();
        if self.subformat.is_embedded() {
            text.resize(DESCRIPTOR_BYTES, 0);
        }
        text
    }
}

/// Cylinders, heads and sectors per track as VMware's adapters count them (VMware KB 1026254): ATA's for IDE, else by size.
fn geometry(sectors: u64, adapter: &str) -> (u64, u64, u64) {
    const GIB: u64 = 1 << 21;
    let (heads, per_track, most) = match sectors {
        _ if adapter == "ide" => (16, 63, 16383),
        ..GIB => (64, 32, u64::MAX),
        GIB..=0x40_0000 => (128, 32, u64::MAX),
        _ => (255, 63, u64::MAX),
    };
    ((sectors / (heads * per_track)).clamp(1, most), heads, per_track)
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

fn subformat(value: &str) -> Result<Subformat> {
    let found = SUBFORMATS.iter().find(|(name, _)| *name == value).map(|(_, found)| *found);
    found.ok_or_else(|| {
        let names = SUBFORMATS.map(|(name, _)| name).join(", ");
        invalid(format!("subformat `{value}`: known are {names}"))
    })
}

fn adapter(value: &str) -> Result<String> {
    if ADAPTERS.contains(&value) {
        return Ok(value.into());
    }
    Err(invalid(format!("adapter-type `{value}`: known are {}", ADAPTERS.join(", "))))
}

fn number(key: &str, value: &str, range: std::ops::RangeInclusive<u32>) -> Result<u32> {
    let (least, most) = (range.start(), range.end());
    let found = value.parse().ok().filter(|number| range.contains(number));
    found.ok_or_else(|| invalid(format!("{key} `{value}`: {least} to {most} are possible")))
}

fn cid(value: &str) -> Result<u32> {
    let digits = value.len() == 8 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    let found = u32::from_str_radix(value, 16).ok().filter(|cid| digits && *cid != u32::MAX);
    found.ok_or_else(|| invalid(format!("cid `{value}`: 8 hexadecimal digits are needed, not all of them f")))
}

pub(crate) fn file_name(value: &str) -> Result<String> {
    let odd = |c: char| c.is_control() || "/\\:\"".contains(c);
    if value.is_empty() || value.len() > 255 || value.contains(odd) || value.contains("..") {
        return Err(invalid(format!("file-name `{value}`: a plain name is needed")));
    }
    Ok(value.into())
}
