//! The guest's volumes under the names its own tables use, and the names that will hold on other hardware.

use crate::files::text;
use wherry_sdk::{Tree, Volume, find};

/// A volume as a configuration file may name it.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// The host's name.
    pub id: String,
    uuid: Option<String>,
    label: Option<String>,
    partuuid: Vec<String>,
    partlabel: Option<String>,
    disk: Option<u32>,
    number: Option<u32>,
    lvm: Option<(String, String)>,
    /// The UUID of the LUKS header that it is the plain text of.
    luks: Option<String>,
    /// The UUID of the array, as mdadm shows it, and the names that the kernel gives it.
    array: Option<(String, Vec<String>)>,
    /// Made of other devices: it has neither a disk's name nor a partition's number.
    mapped: bool,
    /// What is in it cannot be seen.
    encrypted: bool,
}

/// All devices, and what the guest's own names for disks have turned out to mean.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    all: Vec<Device>,
    /// a disk's name without its partition, the number of the disk
    learned: Vec<(String, u32)>,
    /// names of devices that are made of others, and their ids
    mapped: Vec<(String, String)>,
}

/// Which names a reader of a table understands, from the most to the least desirable.
#[derive(Clone, Copy, Debug)]
pub struct Naming {
    /// `UUID=`: anything with udev or blkid.
    pub uuid: bool,
    /// `PARTUUID=`: the kernel itself, util-linux 2.22 and newer.
    pub partuuid: bool,
    /// The target's bus, whose kernel names are the last resort.
    pub bus: Bus,
}

/// How the kernel names disks of a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    /// `/dev/sda1`
    Scsi,
    /// `/dev/vda1`
    VirtioBlk,
    /// `/dev/xvda1`
    Xen,
    /// `/dev/nvme0n1p1`
    Nvme,
    /// `/dev/hda1`: IDE before libata
    OldIde,
}

impl Bus {
    /// From the device profile's `disk-bus`.
    pub fn new(disk_bus: &str) -> Self {
        match disk_bus {
            "virtio-blk" => Self::VirtioBlk,
            "xen" => Self::Xen,
            "nvme" => Self::Nvme,
            _ => Self::Scsi,
        }
    }

    /// The kernel's name of a disk, or of a partition of it.
    pub fn device(self, disk: u32, partition: Option<u32>) -> Option<String> {
        let prefix = match self {
            Self::Scsi => "sd",
            Self::VirtioBlk => "vd",
            Self::Xen => "xvd",
            Self::OldIde => "hd",
            Self::Nvme => {
                let partition = partition.map(|number| format!("p{number}")).unwrap_or_default();
                return Some(format!("/dev/nvme{disk}n1{partition}"));
            }
        };
        let letter = char::from(b'a' + u8::try_from(disk).ok().filter(|disk| *disk < 26)?);
        let partition = partition.map(|number| number.to_string()).unwrap_or_default();
        Some(format!("/dev/{prefix}{letter}{partition}"))
    }
}

impl Naming {
    /// The best name for a device.
    pub fn name(&self, device: &Device) -> Option<String> {
        let uuid = device.uuid.as_ref().filter(|_| self.uuid).map(|uuid| format!("UUID={uuid}"));
        let partuuid = device.partuuid.first().filter(|_| self.partuuid);
        uuid.or_else(|| partuuid.map(|uuid| format!("PARTUUID={uuid}"))).or_else(|| {
            let disk = device.disk.filter(|_| !device.mapped)?;
            self.bus.device(disk, device.number)
        })
    }
}

impl Devices {
    /// The devices of these volumes; facts of a disk hold for its partitions.
    pub fn new(volumes: &[Volume]) -> Self {
        let all = volumes.iter().map(|volume| device(volume, volumes)).collect();
        Self { all, learned: Vec::new(), mapped: Vec::new() }
    }

    /// With the names that the mounted system gives to those that are made of others.
    pub fn named(mut self, guest: &dyn Tree) -> Self {
        let read = |path| text(guest, path).unwrap_or_default();
        self.name_opened(&read("/etc/crypttab"));
        ["/etc/mdadm.conf", "/etc/mdadm/mdadm.conf"].iter().for_each(|path| self.name_arrays(&read(path)));
        self
    }

    /// crypttab(5): name, device. dracut(8) and Anaconda call it by its UUID.
    fn name_opened(&mut self, table: &str) {
        let mut mapped = Vec::new();
        for line in table.lines() {
            let mut words = line.split_whitespace();
            let Some(name) = words.next().filter(|word| !word.starts_with('#')) else { continue };
            let Some(uuid) = words.next().and_then(|spec| self.resolve(spec)?.uuid.clone()) else { continue };
            let opened = self.all.iter().find(|device| device.luks.as_ref() == Some(&uuid));
            mapped.extend(opened.map(|device| (format!("/dev/mapper/{name}"), device.id.clone())));
        }
        let usual = |device: &Device| {
            Some((format!("/dev/mapper/luks-{}", device.luks.as_ref()?), device.id.clone()))
        };
        mapped.extend(self.all.iter().filter_map(usual));
        self.mapped.extend(mapped);
    }

    /// mdadm.conf(5): `ARRAY /dev/md0 UUID=...`; where it names none, the names that the array itself asks for.
    fn name_arrays(&mut self, table: &str) {
        let mut mapped = Vec::new();
        for line in table.lines() {
            let mut words = line.split_whitespace();
            if !words.next().is_some_and(|word| word.eq_ignore_ascii_case("ARRAY")) {
                continue;
            }
            let Some(name) = words.next().filter(|name| name.starts_with("/dev/")) else { continue };
            let uuid = words.find_map(|word| {
                let (key, value) = word.split_once('=')?;
                key.eq_ignore_ascii_case("uuid").then_some(value)
            });
            let same = |device: &&Device| {
                device.array.as_ref().zip(uuid).is_some_and(|((own, _), uuid)| own.eq_ignore_ascii_case(uuid))
            };
            mapped.extend(self.all.iter().find(same).map(|device| (name.to_owned(), device.id.clone())));
        }
        for device in &self.all {
            let names = device.array.iter().flat_map(|(_, names)| names);
            mapped.extend(names.map(|name| (name.clone(), device.id.clone())));
        }
        self.mapped.extend(mapped);
    }

    /// The guest calls this volume so, as is known from elsewhere: the disk's name is worth remembering.
    pub fn learn(&mut self, spec: &str, id: &str) {
        let Some((stem, number)) = unstable_parts(spec) else { return };
        let Some(device) = self.all.iter().find(|device| device.id == id) else { return };
        if let Some(disk) = device.disk.filter(|_| device.number == number && !device.mapped) {
            self.learned.push((stem, disk));
        }
    }

    /// The volume that `spec` (an fstab source or a `root=` value) names.
    pub fn resolve(&self, spec: &str) -> Option<&Device> {
        if let Some((stem, number)) = unstable_parts(spec) {
            let disk = self.disk(&stem)?;
            let same = |d: &&Device| !d.mapped && d.disk == Some(disk) && d.number == number;
            return self.all.iter().find(same);
        }
        let named = || {
            let id = self.mapped.iter().find(|(name, _)| name == spec).map(|(_, id)| id)?;
            self.all.iter().find(|device| device.id == *id)
        };
        tagged(spec, &self.all).or_else(|| logical(spec, &self.all)).or_else(named)
    }

    /// The disk that a name without its partition means.
    fn disk(&self, stem: &str) -> Option<u32> {
        if let Some((_, disk)) = self.learned.iter().find(|(name, _)| name == stem) {
            return Some(*disk);
        }
        let Some(index) = stem.strip_prefix('#').and_then(|n| n.parse().ok()) else {
            // a link by identifier or path: clear only when there is one disk
            let mut disks: Vec<u32> = self.all.iter().filter_map(|device| device.disk).collect();
            disks.sort_unstable();
            disks.dedup();
            return disks.first().copied().filter(|_| disks.len() == 1);
        };
        // the guest counted otherwise than the host does, so that other letters mean nothing
        let other_order =
            |(name, disk): &(String, u32)| name.strip_prefix('#').is_some_and(|n| n.parse() != Ok(*disk));
        if self.learned.iter().any(other_order) { None } else { Some(index) }
    }

    /// The number of the disk that `spec` names as a whole.
    pub fn whole_disk(&self, spec: &str) -> Option<u32> {
        let (stem, number) = unstable_parts(spec)?;
        if number.is_some() { None } else { self.disk(&stem) }
    }

    /// What the kernel will call a disk or a partition.
    pub fn kernel_name(&self, device: &Device, bus: Bus) -> Option<String> {
        bus.device(device.disk.filter(|_| !device.mapped)?, device.number)
    }

    /// Whether every partition and logical volume shows its UUID and is no lid on others, so that one that is not found is not
    /// there.
    pub fn all_known(&self) -> bool {
        let mut parts = self.all.iter().filter(|device| device.number.is_some() || device.mapped);
        parts.all(|device| device.uuid.is_some() && !device.encrypted)
    }
}

fn device(volume: &Volume, all: &[Volume]) -> Device {
    let text = |key| find(&volume.facts, key).filter(|value| !value.is_empty()).map(str::to_owned);
    let parent = text("parent").and_then(|id| all.iter().find(|other| other.id == id));
    let inherited = |key| {
        let above = parent.and_then(|parent| find(&parent.facts, key));
        find(&volume.facts, key).or(above).map(str::to_owned)
    };
    let number = text("partition.number").and_then(|n| n.parse().ok());
    let mut partuuid: Vec<String> = text("partition.uuid").into_iter().collect();
    if let (true, Some(id), Some(number), Some("mbr")) =
        (partuuid.is_empty(), inherited("table.id"), number, inherited("table.kind").as_deref())
    {
        let number: u32 = number;
        let id = id.trim_start_matches("0x").to_ascii_lowercase();
        partuuid.push(format!("{id}-{number:02x}"));
    }
    let lvm = text("lvm.vg").zip(text("lvm.lv"));
    let kind = find(&volume.facts, "fs.kind");
    let opened = |volume: &Volume| {
        find(&volume.facts, "luks.uuid").is_some_and(|uuid| Some(uuid) == text("fs.uuid").as_deref())
    };
    let sealed = matches!(kind, Some("crypto_LUKS" | "bitlocker"));
    Device {
        id: volume.id.clone(),
        uuid: text("fs.uuid"),
        label: text("fs.label"),
        partuuid,
        partlabel: text("partition.label"),
        disk: inherited("disk.index").and_then(|n| n.parse().ok()),
        number,
        mapped: lvm.is_some() || !["disk", "partition"].contains(&volume.kind.as_str()),
        lvm,
        luks: text("luks.uuid"),
        array: text("md.uuid").map(|uuid| (uuid, array_names(volume))),
        encrypted: sealed && !all.iter().any(opened),
    }
}

/// The names that an array's superblock asks for: its minor number of old, `HOST:NAME` since version 1 (md(4), mdadm(8) "DEVICE NAMES").
fn array_names(volume: &Volume) -> Vec<String> {
    let number = |name: &str| name.bytes().all(|c| c.is_ascii_digit()) && !name.is_empty();
    let minor = find(&volume.facts, "md.minor").filter(|minor| number(minor));
    let name = find(&volume.facts, "md.name").map(|name| name.rsplit(':').next().unwrap_or(name));
    let mut names: Vec<String> = minor.map(|minor| format!("/dev/md{minor}")).into_iter().collect();
    for name in name.into_iter().filter(|name| !name.is_empty()) {
        names.push(format!("/dev/md/{name}"));
        if number(name) {
            names.push(format!("/dev/md{name}"));
        }
    }
    names
}

/// `UUID=`, `LABEL=`, `PARTUUID=`, `PARTLABEL=` and the links of the same meaning.
fn tagged<'a>(spec: &str, all: &'a [Device]) -> Option<&'a Device> {
    let value = |tag: &str, path: &str| {
        spec.strip_prefix(tag).or_else(|| spec.strip_prefix(path)).map(|v| v.trim_matches('"').to_owned())
    };
    if let Some(uuid) = value("UUID=", "/dev/disk/by-uuid/") {
        return all.iter().find(|d| d.uuid.as_deref().is_some_and(|u| u.eq_ignore_ascii_case(&uuid)));
    }
    if let Some(label) = value("LABEL=", "/dev/disk/by-label/") {
        return all.iter().find(|d| d.label.as_ref() == Some(&label));
    }
    if let Some(uuid) = value("PARTUUID=", "/dev/disk/by-partuuid/") {
        return all.iter().find(|d| d.partuuid.iter().any(|p| p.eq_ignore_ascii_case(&uuid)));
    }
    let label = value("PARTLABEL=", "/dev/disk/by-partlabel/")?;
    all.iter().find(|d| d.partlabel.as_ref() == Some(&label))
}

/// `/dev/vg/lv` and `/dev/mapper/vg-lv`, where device-mapper doubles the hyphens inside names.
fn logical<'a>(spec: &str, all: &'a [Device]) -> Option<&'a Device> {
    let name = spec.strip_prefix("/dev/")?;
    all.iter().find(|d| {
        d.lvm.as_ref().is_some_and(|(vg, lv)| {
            name == format!("{vg}/{lv}")
                || name == format!("mapper/{}-{}", vg.replace('-', "--"), lv.replace('-', "--"))
        })
    })
}

/// Disk and partition of a name that the kernel gives by controller and order: `/dev/sda1`, `/dev/nvme0n1p2`.
fn kernel_name(spec: &str) -> Option<(u32, Option<u32>)> {
    let name = spec.strip_prefix("/dev/")?;
    let (disk, rest) = if let Some(rest) = name.strip_prefix("nvme") {
        let (disk, rest) = digits(rest);
        let (_, rest) = digits(rest.strip_prefix('n')?);
        (disk?, rest.strip_prefix('p').unwrap_or(rest))
    } else if let Some(rest) = name.strip_prefix("mmcblk") {
        let (disk, rest) = digits(rest);
        (disk?, rest.strip_prefix('p').unwrap_or(rest))
    } else {
        let rest = ["xvd", "sd", "hd", "vd"].iter().find_map(|prefix| name.strip_prefix(prefix))?;
        let end = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
        let (letters, rest) = rest.split_at(end);
        if letters.is_empty() || letters.len() > 2 {
            return None;
        }
        let disk = letters.bytes().fold(0, |sum, letter| sum * 26 + u32::from(letter - b'a') + 1);
        (disk - 1, rest)
    };
    if rest.is_empty() {
        return Some((disk, None));
    }
    match digits(rest) {
        (Some(number), "") => Some((disk, Some(number))),
        _ => None,
    }
}

fn digits(text: &str) -> (Option<u32>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    (number.parse().ok(), rest)
}

/// A name that depends on the controller, as the disk's part (`#0` for the kernel's first) and the partition.
fn unstable_parts(spec: &str) -> Option<(String, Option<u32>)> {
    if let Some((disk, number)) = kernel_name(spec) {
        return Some((format!("#{disk}"), number));
    }
    let by_id = spec.strip_prefix("/dev/disk/by-id/");
    // made from what is on the disk, not from the disk
    let lasting = |name: &str| ["dm-", "md-", "lvm-"].iter().any(|prefix| name.starts_with(prefix));
    if !spec.starts_with("/dev/disk/by-path/") && by_id.is_none_or(lasting) {
        return None;
    }
    match spec.rsplit_once("-part") {
        Some((stem, number)) if number.parse::<u32>().is_ok() => Some((stem.into(), number.parse().ok())),
        _ => Some((spec.into(), None)),
    }
}

/// Whether the name depends on the controller, so that it may not exist on other hardware.
pub fn unstable(spec: &str) -> bool {
    unstable_parts(spec).is_some()
}

/// Whether the name is that of a part of a disk.
pub fn is_partition(spec: &str) -> bool {
    unstable_parts(spec).is_some_and(|(_, number)| number.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wherry_sdk::fact;

    fn volume(id: &str, facts: &[(&str, &str)]) -> Volume {
        let facts = facts.iter().map(|(key, value)| fact(*key, value)).collect();
        Volume { id: id.into(), kind: "partition".into(), size: 0, facts }
    }

    #[test]
    fn names_of_the_kernel() {
        for (name, expected) in [
            ("/dev/sda1", Some((0, Some(1)))),
            ("/dev/sdaa3", Some((26, Some(3)))),
            ("/dev/xvdb", Some((1, None))),
            ("/dev/nvme1n1p2", Some((1, Some(2)))),
            ("/dev/sr0", None),
            ("/dev/sda1x", None),
            ("/dev/sda99999999999", None),
            ("UUID=1", None),
        ] {
            assert_eq!(kernel_name(name), expected, "{name}");
        }
        assert!(unstable("/dev/disk/by-id/ata-x-part1") && !unstable("/dev/disk/by-id/dm-name-vg-lv"));
    }

    #[test]
    fn names_on_the_target() {
        let names = [Bus::Scsi, Bus::VirtioBlk, Bus::Xen, Bus::Nvme].map(|bus| bus.device(1, Some(3)));
        let expected = ["/dev/sdb3", "/dev/vdb3", "/dev/xvdb3", "/dev/nvme1n1p3"];
        assert_eq!(names, expected.map(|name| Some(name.to_owned())));
        assert_eq!(Bus::Scsi.device(26, None), None);
    }

    #[test]
    fn volumes_are_found_by_every_name() {
        let all = Devices::new(&[
            volume("disk0", &[("disk.index", "0"), ("table.kind", "mbr"), ("table.id", "0x1234ABCD")]),
            volume(
                "a",
                &[("parent", "disk0"), ("partition.number", "1"), ("fs.uuid", "u-1"), ("fs.label", "top")],
            ),
            volume("l", &[("lvm.vg", "my-vg"), ("lvm.lv", "root"), ("fs.uuid", "u-2")]),
        ]);
        for (spec, id) in [
            ("UUID=u-1", Some("a")),
            ("LABEL=top", Some("a")),
            ("PARTUUID=1234abcd-01", Some("a")),
            ("/dev/sda1", Some("a")),
            ("/dev/vda1", Some("a")),
            ("/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0-part1", Some("a")),
            ("/dev/sda2", None),
            ("/dev/mapper/my--vg-root", Some("l")),
            ("/dev/my-vg/root", Some("l")),
            ("tmpfs", None),
        ] {
            assert_eq!(all.resolve(spec).map(|d| d.id.as_str()), id, "{spec}");
        }
    }

    #[test]
    fn what_is_encrypted_hides_others() {
        let part = |kind| volume("a", &[("partition.number", "1"), ("fs.uuid", "u"), ("fs.kind", kind)]);
        let known = |kind| Devices::new(&[part(kind)]).all_known();
        assert_eq!((known("swap"), known("crypto_LUKS"), known("bitlocker")), (true, false, false));
    }

    #[test]
    fn devices_made_of_others_have_the_names_of_tables() {
        let on_device =
            |id: &str, facts: &[(&str, &str)]| Volume { kind: "logical-volume".into(), ..volume(id, facts) };
        let mut all = Devices::new(&[
            volume("disk:0", &[("disk.index", "0")]),
            volume(
                "p",
                &[
                    ("disk.index", "0"),
                    ("partition.number", "3"),
                    ("fs.kind", "crypto_LUKS"),
                    ("fs.uuid", "l-1"),
                ],
            ),
            on_device("luks:l-1", &[("disk.index", "0"), ("luks.uuid", "l-1"), ("fs.uuid", "u-1")]),
            on_device("a", &[("md.uuid", "1:2:3:4"), ("md.name", "old-host:7"), ("fs.uuid", "u-2")]),
            on_device("b", &[("md.uuid", "5:6:7:8"), ("md.minor", "1"), ("fs.uuid", "u-3")]),
            on_device("c", &[("md.uuid", "a:b:c:d"), ("md.name", "h:data"), ("fs.uuid", "u-4")]),
        ]);
        all.name_opened("# name device\nsda3_crypt /dev/sda3 none luks\nother UUID=x none\n");
        all.name_arrays("DEVICE partitions\nARRAY /dev/md0 level=raid1 num-devices=2 uuid=5:6:7:8\nARRAY /dev/md9 UUID=0:0:0:0\n");
        for (spec, id) in [
            ("/dev/mapper/sda3_crypt", Some("luks:l-1")),
            ("/dev/mapper/luks-l-1", Some("luks:l-1")),
            ("/dev/mapper/other", None),
            ("/dev/sda3", Some("p")),
            ("/dev/sda", Some("disk:0")),
            ("/dev/md0", Some("b")),
            ("/dev/md1", Some("b")),
            ("/dev/md7", Some("a")),
            ("/dev/md/7", Some("a")),
            ("/dev/md/data", Some("c")),
            ("/dev/md9", None),
        ] {
            assert_eq!(all.resolve(spec).map(|device| device.id.as_str()), id, "{spec}");
        }
        let opened = all.resolve("/dev/mapper/sda3_crypt").unwrap();
        assert_eq!(all.kernel_name(opened, Bus::VirtioBlk), None);
        assert!(all.all_known());
    }

    #[test]
    fn what_the_root_is_called_tells_the_order_of_disks() {
        let part = |id, disk| volume(id, &[("disk.index", disk), ("partition.number", "1"), ("fs.uuid", id)]);
        let mut all = Devices::new(&[part("a", "0"), part("b", "1")]);
        let id = |all: &Devices, spec: &str| all.resolve(spec).map(|d| d.id.clone());
        assert_eq!(id(&all, "/dev/sdb1").as_deref(), Some("b"));
        assert_eq!(id(&all, "/dev/disk/by-id/x-part1"), None);
        all.learn("/dev/sdb1", "a");
        assert_eq!(id(&all, "/dev/sdb1").as_deref(), Some("a"));
        assert_eq!(id(&all, "/dev/sda1"), None);
        all.learn("/dev/disk/by-id/x-part1", "b");
        assert_eq!(id(&all, "/dev/disk/by-id/x-part1").as_deref(), Some("b"));
    }

    #[test]
    fn the_best_name_that_is_understood() {
        let facts = [("disk.index", "0"), ("partition.number", "5"), ("partition.uuid", "p-5")];
        let swap = &Devices::new(&[volume("s", &facts)]).all[0];
        let name = |uuid, partuuid| Naming { uuid, partuuid, bus: Bus::VirtioBlk }.name(swap);
        assert_eq!(name(true, true).as_deref(), Some("PARTUUID=p-5"));
        assert_eq!(name(true, false).as_deref(), Some("/dev/vda5"));
    }
}
