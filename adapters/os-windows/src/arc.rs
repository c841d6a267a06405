//! ARC paths, by which boot.ini names a directory on a partition (Microsoft KB 102873, KB 227704).

/// How NTLDR reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `multi()`: by the BIOS.
    Bios,
    /// `scsi()`: by the driver in NTBOOTDD.SYS, which is one of the old controller.
    Driver,
    /// `signature()`: the same, with the disk's signature.
    Signature(u32),
}

/// `multi(0)disk(0)rdisk(0)partition(1)\WINDOWS`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArcPath {
    /// How the disk is reached.
    pub way: Way,
    /// The BIOS' number of the disk, from 0; the unit on a SCSI disk.
    pub disk: u32,
    /// From 1: primary partitions, then logical drives.
    pub partition: u32,
    /// `WINDOWS`.
    pub directory: String,
}

impl ArcPath {
    /// Reads one; none where it names no partition, such as `C:\CMDCONS\BOOTSECT.DAT`.
    pub fn parse(text: &str) -> Option<Self> {
        let (arc, directory) = text.split_once('\\')?;
        let mut parts = arc.split_terminator(')').filter_map(|part| part.trim().split_once('('));
        let (adapter, which) = parts.next()?;
        let mut number = |name: &str| {
            let (found, number) = parts.next()?;
            found.eq_ignore_ascii_case(name).then(|| number.parse().ok())?
        };
        let way = match adapter.to_ascii_lowercase().as_str() {
            "multi" => Way::Bios,
            "scsi" => Way::Driver,
            "signature" => Way::Signature(u32::from_str_radix(which, 16).ok()?),
            _ => return None,
        };
        let _target: u32 = number("disk")?;
        let (disk, partition) = (number("rdisk")?, number("partition")?);
        Some(Self { way, disk, partition, directory: directory.trim_end_matches('\\').to_owned() })
    }
}

/// The path of a directory that is read by the BIOS.
pub fn by_bios(disk: u32, partition: u32, directory: &str) -> String {
    format!(r"multi(0)disk(0)rdisk({disk})partition({partition})\{directory}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let text = r"multi(0)disk(0)rdisk(1)partition(2)\WINNT";
        let path = ArcPath::parse(text).unwrap();
        assert_eq!(
            (path.way, path.disk, path.partition, path.directory.as_str()),
            (Way::Bios, 1, 2, "WINNT")
        );
        assert_eq!(by_bios(1, 2, "WINNT"), text);
        let scsi = ArcPath::parse(r"SCSI(0)disk(3)rdisk(0)partition(1)\WINNT").unwrap();
        assert_eq!((scsi.way, scsi.disk, scsi.partition), (Way::Driver, 0, 1));
        let signature = ArcPath::parse(r"signature(8b467c12)disk(1)rdisk(0)partition(2)\winnt\").unwrap();
        assert_eq!((signature.way, signature.directory.as_str()), (Way::Signature(0x8b46_7c12), "winnt"));
        for text in [
            "",
            r"C:\CMDCONS\BOOTSECT.DAT",
            r"multi(0)\x",
            "multi(0)disk(0)rdisk(0)partition(1)",
            r"multi(x)disk()rdisk(-1)partition(1)\W",
        ] {
            assert_eq!(ArcPath::parse(text), None, "{text}");
        }
    }
}
