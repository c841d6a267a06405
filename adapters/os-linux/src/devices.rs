//! The guest's volumes under the names its own tables use.

use wherry_sdk::{Volume, find};

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
}

impl Device {
    /// A name that does not depend on the controller: `UUID=...`, or `PARTUUID=...` for a volume without one.
    pub fn stable(&self) -> Option<String> {
        let uuid = self.uuid.as_ref().map(|uuid| format!("UUID={uuid}"));
        uuid.or_else(|| self.partuuid.first().map(|uuid| format!("PARTUUID={uuid}")))
    }
}

/// The devices of these volumes; the disk's number may be a fact of the parent.
pub fn devices(volumes: &[Volume]) -> Vec<Device> {
    volumes.iter().map(|volume| device(volume, volumes)).collect()
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
    if let (Some(id), Some(number), Some("mbr")) =
        (inherited("table.id"), number, inherited("table.kind").as_deref())
    {
        let number: u32 = number;
        let id = id.trim_start_matches("0x").to_ascii_lowercase();
        partuuid.push(format!("{id}-{number:02x}"));
    }
    Device {
        id: volume.id.clone(),
        uuid: text("fs.uuid"),
        label: text("fs.label"),
        partuuid,
        partlabel: text("partition.label"),
        disk: inherited("disk.index").and_then(|n| n.parse().ok()),
        number,
        lvm: text("lvm.vg").zip(text("lvm.lv")),
    }
}

/// The volume that `spec` (an fstab source or a `root=` value) names.
pub fn resolve<'a>(spec: &str, all: &'a [Device]) -> Option<&'a Device> {
    let same = |a: &Option<String>, b: &str| a.as_deref().is_some_and(|a| a.eq_ignore_ascii_case(b));
    let tagged = |tag: &str, path: &str| {
        spec.strip_prefix(tag).or_else(|| spec.strip_prefix(path)).map(|v| v.trim_matches('"'))
    };
    if let Some(uuid) = tagged("UUID=", "/dev/disk/by-uuid/") {
        return all.iter().find(|d| same(&d.uuid, uuid));
    }
    if let Some(label) = tagged("LABEL=", "/dev/disk/by-label/") {
        return all.iter().find(|d| d.label.as_deref() == Some(label));
    }
    if let Some(uuid) = tagged("PARTUUID=", "/dev/disk/by-partuuid/") {
        return all.iter().find(|d| d.partuuid.iter().any(|p| p.eq_ignore_ascii_case(uuid)));
    }
    if let Some(label) = tagged("PARTLABEL=", "/dev/disk/by-partlabel/") {
        return all.iter().find(|d| d.partlabel.as_deref() == Some(label));
    }
    if let Some((disk, number)) = kernel_name(spec) {
        return all.iter().find(|d| d.lvm.is_none() && d.disk == Some(disk) && d.number == number);
    }
    let name = spec.strip_prefix("/dev/")?;
    all.iter().find(|d| {
        d.lvm.as_ref().is_some_and(|(vg, lv)| {
            // device-mapper doubles the hyphens inside names
            name == format!("{vg}/{lv}")
                || name == format!("mapper/{}-{}", vg.replace('-', "--"), lv.replace('-', "--"))
        })
    })
}

/// Disk and partition of a name that the kernel gives by controller and order: `/dev/sda1`, `/dev/nvme0n1p2`.
pub fn kernel_name(spec: &str) -> Option<(u32, Option<u32>)> {
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

/// Whether the name depends on the controller, so that it may not exist on other hardware.
pub fn unstable(spec: &str) -> bool {
    kernel_name(spec).is_some()
        || spec.starts_with("/dev/disk/by-path/")
        || spec.starts_with("/dev/disk/by-id/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wherry_sdk::fact;

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
    }

    #[test]
    fn volumes_are_found_by_every_name() {
        let volume = |id: &str, facts: &[(&str, &str)]| Volume {
            id: id.into(),
            kind: "partition".into(),
            size: 0,
            facts: facts.iter().map(|(key, value)| fact(*key, value)).collect(),
        };
        let all = devices(&[
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
            ("/dev/sda2", None),
            ("/dev/mapper/my--vg-root", Some("l")),
            ("/dev/my-vg/root", Some("l")),
            ("tmpfs", None),
        ] {
            assert_eq!(resolve(spec, &all).map(|d| d.id.as_str()), id, "{spec}");
        }
    }
}
