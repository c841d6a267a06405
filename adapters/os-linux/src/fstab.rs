//! `/etc/fstab` and `/etc/crypttab` (fstab(5), crypttab(5)).

use crate::devices::{Devices, Naming, is_partition, unstable};

/// One line of `/etc/fstab`.
#[derive(Debug, PartialEq)]
pub struct Entry<'a> {
    /// `UUID=...`, `/dev/sda1`
    pub source: &'a str,
    /// Where it is mounted; `none` for swap.
    pub path: &'a str,
    /// `ext4`
    pub kind: &'a str,
    /// `defaults,nofail`
    pub options: &'a str,
}

/// Whether this is a hypervisor's way to share the host's files, which no other machine has: VMware's, VirtualBox's,
/// Parallels', KVM's.
pub fn shared_folder(kind: &str) -> bool {
    ["vmhgfs", "fuse.vmhgfs-fuse", "vmblock", "vboxsf", "prl_fs", "fuse.prl_fsd", "virtiofs", "9p"]
        .contains(&kind)
}

impl Entry<'_> {
    /// Whether it is a drive for discs, whose name only looks like a disk's (`/dev/hdc`).
    pub fn removable(&self) -> bool {
        ["iso9660", "udf"].iter().any(|kind| self.kind.contains(kind))
            || ["cdrom", "floppy", "cdrecorder"].iter().any(|name| self.path.contains(name))
    }

    /// Whether the system starts without it.
    pub fn optional(&self) -> bool {
        let mut options = self.options.split(',');
        self.kind == "swap"
            || self.removable()
            || options.any(|option| option == "noauto" || option == "nofail")
    }
}

fn entry(line: &str) -> Option<Entry<'_>> {
    let mut words = line.split_whitespace();
    let source = words.next().filter(|word| !word.starts_with('#'))?;
    let path = words.next()?;
    Some(Entry {
        source,
        path,
        kind: words.next().unwrap_or_default(),
        options: words.next().unwrap_or_default(),
    })
}

/// Every entry, in order.
pub fn entries(text: &str) -> Vec<Entry<'_>> {
    text.lines().filter_map(entry).collect()
}

/// The text with controller-dependent names in column `column` replaced, and the lines whose device nobody knows.
pub fn rewrite<'a>(
    text: &'a str,
    column: usize,
    devices: &Devices,
    naming: Naming,
) -> (String, Vec<&'a str>) {
    let mut unknown = Vec::new();
    let lines = text.split_inclusive('\n').map(|line| {
        let word = line.split_whitespace().nth(column).filter(|_| !line.trim_start().starts_with('#'));
        let removable = column == 0 && entry(line).is_some_and(|entry| entry.removable());
        let disc = |word: &&str| removable && !is_partition(word);
        let Some(word) = word.filter(|word| unstable(word) && !disc(word)) else { return line.to_owned() };
        match devices.resolve(word).and_then(|device| naming.name(device)) {
            Some(name) => replace_word(line, column, word, &name),
            None => {
                unknown.push(line);
                line.to_owned()
            }
        }
    });
    (lines.collect(), unknown)
}

/// The text with folders of the old hypervisor's host left to be mounted by hand: a system that waits for one in vain ends in
/// its emergency shell.
pub fn without_shares(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| match entry(line) {
        Some(entry) if shared_folder(entry.kind) && !entry.optional() => {
            let (column, old) = if entry.options.is_empty() { (2, entry.kind) } else { (3, entry.options) };
            let gap = if entry.options.is_empty() { ' ' } else { ',' };
            replace_word(line, column, old, &format!("{old}{gap}noauto"))
        }
        _ => line.to_owned(),
    });
    lines.collect()
}

/// The line with the word in this column replaced, the space around it kept.
fn replace_word(line: &str, column: usize, old: &str, new: &str) -> String {
    let before: usize = {
        let mut rest = line;
        for _ in 0..column {
            let start = rest.trim_start();
            rest = &start[start.find(char::is_whitespace).unwrap_or(start.len())..];
        }
        line.len() - rest.trim_start().len()
    };
    format!("{}{new}{}", &line[..before], &line[before + old.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::Bus;
    use wherry_sdk::{Volume, fact};

    #[test]
    fn only_what_depends_on_the_controller_changes() {
        let facts = vec![fact("disk.index", 0), fact("partition.number", 1), fact("fs.uuid", "u-1")];
        let all = Devices::new(&[Volume { id: "a".into(), kind: "partition".into(), size: 0, facts }]);
        let naming = Naming { uuid: true, partuuid: true, bus: Bus::Scsi };
        let text = "# /dev/sda1 was /\n/dev/sda1  /  ext4\tdefaults 0 1\r\nUUID=x /home ext4\n/dev/sdb1 /srv ext4\ntmpfs /tmp tmpfs";
        let (new, unknown) = rewrite(text, 0, &all, naming);
        assert_eq!(new, text.replace("\n/dev/sda1", "\nUUID=u-1"));
        assert_eq!(unknown, ["/dev/sdb1 /srv ext4\n"]);
        assert_eq!(rewrite(&new, 0, &all, naming).0, new);
        assert_eq!(entries(&new).first().map(|e| (e.source, e.path)), Some(("UUID=u-1", "/")));
    }

    #[test]
    fn the_second_column_even_if_the_first_is_alike() {
        let facts = vec![fact("disk.index", 0), fact("partition.number", 1), fact("fs.uuid", "u-1")];
        let all = Devices::new(&[Volume { id: "a".into(), kind: "partition".into(), size: 0, facts }]);
        let naming = Naming { uuid: true, partuuid: true, bus: Bus::Scsi };
        let (new, _) = rewrite("x/dev/sda1\t/dev/sda1 none luks,initramfs\n", 1, &all, naming);
        assert_eq!(new, "x/dev/sda1\tUUID=u-1 none luks,initramfs\n");
    }

    #[test]
    fn folders_of_the_old_host() {
        let text = ".host:/ /mnt/hgfs\tvmhgfs defaults,ttl=5 0 0\nshare /srv vboxsf\n/dev/sda1 / ext4 defaults 0 1\n";
        let new = ".host:/ /mnt/hgfs\tvmhgfs defaults,ttl=5,noauto 0 0\nshare /srv vboxsf noauto\n/dev/sda1 / ext4 defaults 0 1\n";
        assert_eq!(without_shares(text), new);
        assert_eq!(without_shares(new), new);
    }

    #[test]
    fn what_can_be_missing() {
        let optional = |line| entry(line).map(|entry| entry.optional());
        assert_eq!(optional("/dev/sda2 none swap sw"), Some(true));
        assert_eq!(optional("/dev/hdc /media/cdrom udf,iso9660 user"), Some(true));
        assert_eq!(optional("/dev/sdb1 /srv ext4 rw,nofail"), Some(true));
        assert_eq!(optional("/dev/sdb1 /srv ext4 defaults"), Some(false));
        assert_eq!(optional("# x y"), None);
    }
}
