//! `/etc/fstab` and `/etc/crypttab` (fstab(5), crypttab(5)).

use crate::devices::{Device, resolve, unstable};

/// Source and mount point of every entry.
pub fn entries(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            words.next().zip(words.next())
        })
        .collect()
}

/// The text with controller-dependent names in column `column` replaced, and the names nobody knows.
pub fn rewrite(text: &str, column: usize, devices: &[Device]) -> (String, Vec<String>) {
    let mut unknown = Vec::new();
    let lines = text.split_inclusive('\n').map(|line| {
        if line.trim_start().starts_with('#') {
            return line.to_owned();
        }
        let Some(word) = line.split_whitespace().nth(column) else { return line.to_owned() };
        if !unstable(word) {
            return line.to_owned();
        }
        match resolve(word, devices).and_then(Device::stable) {
            Some(name) => line.replacen(word, &name, 1),
            None => {
                unknown.push(word.to_owned());
                line.to_owned()
            }
        }
    });
    let text = lines.collect();
    (text, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::devices;
    use wherry_sdk::{Volume, fact};

    #[test]
    fn only_what_depends_on_the_controller_changes() {
        let facts = vec![fact("disk.index", 0), fact("partition.number", 1), fact("fs.uuid", "u-1")];
        let all = devices(&[Volume { id: "a".into(), kind: "partition".into(), size: 0, facts }]);
        let text = "# /dev/sda1 was /\n/dev/sda1  /  ext4\tdefaults 0 1\nUUID=x /home ext4\n/dev/sdb1 /srv ext4\ntmpfs /tmp tmpfs";
        let (new, unknown) = rewrite(text, 0, &all);
        assert_eq!(new, text.replace("\n/dev/sda1", "\nUUID=u-1"));
        assert_eq!(unknown, ["/dev/sdb1"]);
        assert_eq!(rewrite(&new, 0, &all).0, new);
        assert_eq!(entries(&new).first(), Some(&("UUID=u-1", "/")));
    }
}
