//! Menus without a language of their own: entries of the Boot Loader Specification (uapi-group.org, BLS type 1)
//! `extlinux.conf` (SYSLINUX, doc/extlinux.txt and doc/menu.txt), and LILO's settings.

use crate::grub::{Menu, Raw, Variables};

/// Entries of one menu that are looked at.
const ENTRIES: usize = 256;

/// One BLS entry; `id` is its file's name without `.conf`. Variables are GRUB's extension.
pub fn bls(id: &str, text: &str, variables: &Variables) -> Raw {
    let mut entry = Raw { id: id.to_owned(), ..Raw::default() };
    for line in text.lines() {
        let (key, value) = line.trim().split_once([' ', '\t']).unwrap_or_default();
        let value = value.trim();
        match key {
            "title" => entry.title = value.to_owned(),
            "linux" => entry.kernel = Some(value.to_owned()),
            "initrd" => {
                let paths = value.split_whitespace().filter(|path| !path.starts_with('$'));
                entry.initrds.extend(paths.take(16).map(str::to_owned));
            }
            "options" => {
                let gap = if entry.arguments.is_empty() { "" } else { " " };
                entry.arguments = format!("{}{gap}{}", entry.arguments, expand(value, variables));
            }
            _ => {}
        }
    }
    entry
}

fn expand(options: &str, variables: &Variables) -> String {
    let word = |word: &str| match word.strip_prefix('$') {
        Some(name) => variables.get(name.trim_matches(['{', '}'])).cloned().unwrap_or_default(),
        None => word.to_owned(),
    };
    options.split_whitespace().map(word).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The menu in `extlinux.conf` or `syslinux.cfg`.
pub fn extlinux(text: &str) -> Menu {
    let mut menu = Menu::default();
    for line in text.lines() {
        let (key, value) = line.trim().split_once([' ', '\t']).unwrap_or_default();
        let (key, value) = (key.to_ascii_lowercase(), value.trim());
        if key == "label" && menu.entries.len() < ENTRIES {
            let position = menu.entries.len().to_string();
            menu.entries.push(Raw { id: value.into(), title: value.into(), position, ..Raw::default() });
        }
        if key == "default" && menu.default.is_none() {
            menu.default = Some(value.to_owned());
        }
        let Some(entry) = menu.entries.last_mut() else { continue };
        match key.as_str() {
            "kernel" | "linux" => entry.kernel = Some(value.to_owned()),
            "initrd" => entry.initrds.extend(value.split(',').take(16).map(str::to_owned)),
            "append" => {
                entry.arguments = value.to_owned();
                let images = value.split_whitespace().find_map(|word| word.strip_prefix("initrd="));
                entry
                    .initrds
                    .extend(images.into_iter().flat_map(|list| list.split(',')).take(16).map(str::to_owned));
            }
            "menu" if value.eq_ignore_ascii_case("default") => menu.default = Some(entry.id.clone()),
            "menu" => {
                if let Some((_, title)) =
                    value.split_once(' ').filter(|(word, _)| word.eq_ignore_ascii_case("label"))
                {
                    entry.title = title.trim().to_owned();
                }
            }
            _ => {}
        }
    }
    menu
}

/// The menu in `lilo.conf` or `elilo.conf` (lilo.conf(5), ELILO's `docs/elilo.txt`): settings before the first image hold for
/// all of them.
pub fn lilo(text: &str) -> Menu {
    let mut menu = Menu::default();
    let (mut common, mut roots): (Raw, Vec<String>) = (Raw::default(), vec![String::new()]);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let (key, value) = (key.trim(), value.trim().trim_matches('"'));
        if ["image", "other"].contains(&key) && menu.entries.len() < ENTRIES {
            let kernel = (key == "image").then(|| value.to_owned());
            let position = menu.entries.len().to_string();
            menu.entries.push(Raw { kernel, position, ..common.clone() });
            roots.push(roots.first().cloned().unwrap_or_default());
        }
        if key == "default" && menu.entries.is_empty() {
            menu.default = Some(value.to_owned());
        }
        let entry = menu.entries.last_mut().unwrap_or(&mut common);
        match key {
            "label" => (entry.title, entry.id) = (value.to_owned(), value.to_owned()),
            "initrd" => entry.initrds = vec![value.to_owned()],
            "append" => entry.arguments = value.to_owned(),
            "root" => {
                if let Some(root) = roots.last_mut() {
                    value.clone_into(root);
                }
            }
            _ => {}
        }
    }
    for (entry, root) in
        menu.entries.iter_mut().zip(roots.iter().skip(1)).filter(|(_, root)| !root.is_empty())
    {
        entry.arguments = format!("root={root} {}", entry.arguments).trim_end().to_owned();
    }
    menu
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_specification() {
        let text = "title Rocky Linux (5.14)\nversion 5.14\nlinux /vmlinuz-5.14\ninitrd /initramfs-5.14.img $tuned_initrd\noptions $kernelopts quiet\noptions nosmt\n";
        let variables = Variables::from([("kernelopts".to_owned(), "root=/dev/sda3 ro".to_owned())]);
        let entry = bls("id-5.14", text, &variables);
        assert_eq!(entry.kernel.as_deref(), Some("/vmlinuz-5.14"));
        assert_eq!(entry.initrds, ["/initramfs-5.14.img"]);
        assert_eq!(entry.arguments, "root=/dev/sda3 ro quiet nosmt");
    }

    #[test]
    fn lilo_of_slackware() {
        let text = "boot = /dev/sda\nroot=/dev/sda1\ndefault = new\nappend=\"vt.default_utf8=1\"\nimage = /boot/vmlinuz-huge\n  label = old\n  read-only\nimage = /boot/vmlinuz\n  label = new\n  initrd = /boot/initrd.gz\n  root = /dev/sdb1\nother = /dev/sda2\n  label = dos\n";
        let menu = lilo(text);
        let shown: Vec<_> =
            menu.entries.iter().map(|e| (e.kernel.as_deref(), e.arguments.as_str())).collect();
        assert_eq!(shown[0], (Some("/boot/vmlinuz-huge"), "root=/dev/sda1 vt.default_utf8=1"));
        assert_eq!(shown[1], (Some("/boot/vmlinuz"), "root=/dev/sdb1 vt.default_utf8=1"));
        assert_eq!((menu.default_entry(), menu.entries[1].initrds.len(), shown.len()), (Some(1), 1, 3));
    }

    #[test]
    fn extlinux_of_alpine() {
        let text = "DEFAULT menu.c32\nLABEL virt\n  MENU DEFAULT\n  MENU LABEL Linux virt\n  LINUX vmlinuz-virt\n  INITRD ucode.img,initramfs-virt\n  APPEND root=UUID=u modules=ext4\nLABEL old\n KERNEL /vmlinuz\n APPEND root=/dev/sda1 initrd=/initrd.img\n";
        let menu = extlinux(text);
        assert_eq!(menu.default_entry(), Some(0));
        assert_eq!((menu.entries[0].title.as_str(), menu.entries[0].initrds.len()), ("Linux virt", 2));
        assert_eq!(menu.entries[1].initrds, ["/initrd.img"]);
    }
}
