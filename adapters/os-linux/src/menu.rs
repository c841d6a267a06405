//! The menu that GRUB reads after a change of firmware: the guest's own with commands for the new one, or one that is made of the
//! entries of another loader's. GRUB manual 2.12, "Commands" and "Quoting".

use crate::entries::{self, Entry};
use crate::files::{exists, text};
use crate::grub::{self, Variables};
use crate::mounts::Root;
use crate::place::place;
use crate::work::Work;
use std::fmt::Write as _;
use wherry_sdk::Result;

const REASON: &str = "GRUB takes what it starts from this menu";
/// Seconds that a menu of our making waits.
const TIMEOUT: u32 = 5;
/// The menu where the guest's own one only says where entries are (`blscfg`, which GRUB has in Fedora's builds alone).
const OWN: &str = "wherry.cfg";

/// The folder with the menu, and the menu's name there.
pub struct Menu {
    /// Without links.
    pub folder: String,
    pub name: &'static str,
}

/// Makes sure that there is a menu for a GRUB on this firmware; none if nothing could be in it, which is told.
pub fn provide(work: &mut Work<'_>, root: &Root) -> Result<Option<Menu>> {
    let own = ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"].into_iter().find_map(|path| {
        let real = crate::files::file(work.guest, path)?;
        Some((real.clone(), text(work.guest, &real)?))
    });
    let Some((path, old)) = own else {
        let boot = work.guest.canonical("/boot")?;
        return made(work, root, Menu { folder: format!("{boot}/grub"), name: "grub.cfg" });
    };
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let menu = grub::menu(&old, &Variables::new());
    if menu.bls || !menu.entries.iter().any(|entry| entry.kernel.is_some()) {
        return made(work, root, Menu { folder, name: OWN });
    }
    let inside = place(work.guest, root, &path).map_or_else(|| "/".to_owned(), |place| place.inside);
    let outside = |kernel: &String| {
        let kernel = kernel.split_once(')').map_or(kernel.as_str(), |(_, path)| path);
        inside != "/" && !kernel.starts_with(&inside)
    };
    if menu.entries.iter().filter_map(|entry| entry.kernel.as_ref()).any(outside) {
        // SUSE's GRUB counts from the subvolume, all others from the top
        return made(work, root, Menu { folder, name: OWN });
    }
    work.replace(&path, &old, &plain_commands(&old), "these commands are for the old firmware only")?;
    Ok(Some(Menu { folder, name: "grub.cfg" }))
}

/// `linux16`, `linuxefi` and their initramfs as commands that every build has.
fn plain_commands(menu: &str) -> String {
    let line = |line: &str| {
        let start = line.len() - line.trim_start().len();
        let (space, rest) = line.split_at(start);
        let word = rest.split([' ', '\t']).next().unwrap_or_default();
        match word {
            "linux16" | "linuxefi" => format!("{space}linux{}", rest.split_at(word.len()).1),
            "initrd16" | "initrdefi" => format!("{space}initrd{}", rest.split_at(word.len()).1),
            _ => line.to_owned(),
        }
    };
    menu.split_inclusive('\n').map(line).collect()
}

/// A word that GRUB takes as it is.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:=,@%+-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let safe: String = word.chars().filter(|c| !c.is_control()).collect();
    format!("'{}'", safe.replace('\'', "'\\''"))
}

fn made(work: &mut Work<'_>, root: &Root, menu: Menu) -> Result<Option<Menu>> {
    let all = entries::entries(work.guest);
    let fit: Vec<&Entry> = all.iter().filter(|entry| !entry.unified && !entry.hypervisor).collect();
    let mut body = String::new();
    let (mut count, mut default) = (0, 0);
    for entry in fit {
        let Some(text) = listed(work, root, entry) else { continue };
        if entry.default {
            default = count;
        }
        body.push_str(&text);
        count += 1;
    }
    if count == 0 {
        let message = "no entry of the guest's boot menu can be started by GRUB".to_owned();
        work.block("linux.boot-loader.no-entry", message, "install GRUB in the guest before the move");
        return Ok(None);
    }
    if all.iter().any(|entry| entry.default && (entry.unified || entry.hypervisor)) {
        let message =
            "what the guest starts by itself, GRUB cannot start here: another entry of its menu would"
                .to_owned();
        work.warn(
            "linux.boot-loader.default",
            message,
            "choose a plain kernel as the default before the move",
        );
    }
    let text = format!(
        "# Entries of the guest's own menus; later kernels are not added.\nset default={default}\nset timeout={TIMEOUT}\n{body}"
    );
    work.ensure_directory(&menu.folder, REASON)?;
    let path = format!("{}/{}", menu.folder, menu.name);
    if !exists(work.guest, &path) {
        work.guest.write(&path, text.as_bytes(), None, REASON)?;
    }
    work.note(format!(
        "{path} was made of the guest's own menu; kernels that are installed later are not in it by themselves: install GRUB's packages in the guest"
    ));
    Ok(Some(menu))
}

/// One entry; none if its files are not where GRUB finds them.
fn listed(work: &Work<'_>, root: &Root, entry: &Entry) -> Option<String> {
    let kernel = place(work.guest, root, entry.kernel.as_ref()?)?;
    let title = if entry.title.is_empty() { &entry.kernel_text } else { &entry.title };
    let mut text = format!("menuentry {} {{\n", quoted(title));
    let _ = writeln!(text, "\tsearch --no-floppy --fs-uuid --set=root {}", kernel.uuid);
    let words = entry.arguments.split_whitespace().filter(|word| !word.starts_with("initrd="));
    let words: Vec<String> = std::iter::once(quoted(&kernel.path)).chain(words.map(quoted)).collect();
    let _ = writeln!(text, "\tlinux {}", words.join(" "));
    let mut images = Vec::new();
    for path in &entry.initrds {
        let image = place(work.guest, root, path)?;
        if image.uuid != kernel.uuid {
            return None;
        }
        images.push(quoted(&image.path));
    }
    if !images.is_empty() {
        let _ = writeln!(text, "\tinitrd {}", images.join(" "));
    }
    text.push_str("}\n");
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_one_firmware() {
        let old = "menuentry a {\n\tlinux16 /v root=x linux16\n\tinitrd16 /i\n  linuxefi /w\n\tinitrdefi\t/j\n\tlinux /u\n}\n";
        let new = "menuentry a {\n\tlinux /v root=x linux16\n\tinitrd /i\n  linux /w\n\tinitrd\t/j\n\tlinux /u\n}\n";
        assert_eq!(plain_commands(old), new);
        assert_eq!(plain_commands(new), new);
    }

    #[test]
    fn words_that_grub_takes_apart() {
        assert_eq!(quoted("root=UUID=a-b"), "root=UUID=a-b");
        assert_eq!(quoted("a;$b"), "'a;$b'");
        assert_eq!(quoted("it's\n}"), "'it'\\''s}'");
        assert_eq!(quoted(""), "''");
    }
}
