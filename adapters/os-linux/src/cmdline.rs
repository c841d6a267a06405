//! Kernel command lines wherever boot loaders and their tools keep them. Only the values that depend on the disk
//! controller change: `root=`, `resume=`; and the console, where none is named.

use crate::devices::{Devices, Naming, unstable};

/// How a file holds command lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `grub.cfg`, `menu.lst`, `extlinux.conf`: a line each, some entries with an initramfs, some without.
    Menu,
    /// A BLS entry: `options`; whether it has an initramfs.
    Bls {
        /// Whether it has an initramfs.
        initrd: bool,
    },
    /// `/etc/default/grub`: `GRUB_CMDLINE_LINUX="..."`.
    Shell,
    /// `/etc/kernel/cmdline`: nothing else.
    Plain,
    /// Settings of tools, of which some hold arguments: no console is added to them.
    Values,
}

/// What to make of command lines.
pub struct Rewrite<'a> {
    /// The guest's volumes.
    pub devices: &'a Devices,
    /// Names that an initramfs understands.
    pub initrd: Naming,
    /// Names that the kernel itself understands.
    pub bare: Naming,
    /// A console to add, such as `ttyS0`.
    pub console: Option<&'a str>,
    /// What to use in the place of a Xen console, which only Xen has.
    pub instead: Option<&'a str>,
}

/// What became of one file.
#[derive(Debug, Default, PartialEq)]
pub struct Rewritten {
    /// The whole new text.
    pub text: String,
    /// `root=` values that no volume answers to.
    pub unknown: Vec<String>,
    /// `resume=` values that were removed.
    pub removed: Vec<String>,
}

const COMMANDS: [&str; 8] =
    ["linux", "linux16", "linuxefi", "kernel", "options", "append", "module", "module2"];
/// What can stand before an argument.
const BEFORE: [char; 5] = [' ', '\t', '"', '\'', '='];
const STARTS: [&str; 4] = ["menuentry", "submenu", "title", "label"];

fn first_word(line: &str) -> &str {
    line.trim_start().split([' ', '\t', '=']).next().unwrap_or_default()
}

/// Whether this line carries a kernel command line.
fn carries(line: &str, style: Style) -> bool {
    let word = first_word(line);
    let has = |key: &str| line.contains(key);
    match style {
        Style::Plain | Style::Values => !line.trim().is_empty() && !word.starts_with('#'),
        Style::Shell => word.starts_with("GRUB_CMDLINE_LINUX"),
        Style::Bls { .. } => word == "options",
        // what update-grub of Debian and Ubuntu makes all entries of GRUB legacy's menu from
        Style::Menu if line.starts_with("# kopt") => has("root=") || has("resume="),
        Style::Menu if word == "set" => has(" rootpartition=") || has("kernelopts=") && !has("kernelopts}"),
        Style::Menu => {
            let named = COMMANDS.iter().any(|command| word.eq_ignore_ascii_case(command))
                || word.starts_with("linux$");
            named && (has("root=") || has("resume="))
        }
    }
}

/// Whether any command line names a console.
pub fn names_console(text: &str, style: Style) -> bool {
    let starts = |line: &str, at: usize| line[..at].is_empty() || line[..at].ends_with(BEFORE);
    let named = |line: &str| line.match_indices("console=").any(|(at, _)| starts(line, at));
    text.lines().any(|line| carries(line, style) && named(line))
}

/// Whether only a guest of Xen has this console: `hvc0`, or `xvc0` of kernels before 2.6.26.
pub fn is_xen_console(value: &str) -> bool {
    ["hvc0", "xvc0"].contains(&value.split(',').next().unwrap_or_default())
}

/// For every line, whether its entry has an initramfs; lines before the first entry count as if.
fn with_initrd(text: &str, style: Style) -> Vec<bool> {
    if style != Style::Menu {
        return vec![!matches!(style, Style::Bls { initrd: false }); text.lines().count()];
    }
    let mut blocks: Vec<(usize, bool)> = vec![(0, true)];
    for line in text.lines() {
        let word = first_word(line);
        if STARTS.iter().any(|start| word.eq_ignore_ascii_case(start)) {
            blocks.push((0, false));
        }
        if let Some(block) = blocks.last_mut() {
            block.0 += 1;
            let word = word.to_ascii_lowercase();
            block.1 |= word.starts_with("initrd") || line.contains(" initrd=") || word.starts_with("module");
        }
    }
    blocks.into_iter().flat_map(|(lines, has)| std::iter::repeat_n(has, lines)).collect()
}

impl Rewrite<'_> {
    /// The file with every command line made portable.
    pub fn file(&self, text: &str, style: Style) -> Rewritten {
        let mut result = Rewritten::default();
        let initrds = with_initrd(text, style);
        let mut new = String::with_capacity(text.len());
        for (n, line) in text.split_inclusive('\n').enumerate() {
            if carries(line, style) {
                let has = initrds.get(n).copied().unwrap_or(true);
                let line = self.arguments(line, has, &mut result);
                new.push_str(&self.with_console(line, style));
            } else {
                new.push_str(line);
            }
        }
        result.text = new;
        result
    }

    /// One command line, or a line that holds one.
    fn arguments(&self, line: &str, initrd: bool, result: &mut Rewritten) -> String {
        let naming = if initrd { self.initrd } else { self.bare };
        let name = |value: &str| self.devices.resolve(value).and_then(|device| naming.name(device));
        let mut line = line.to_owned();
        if let Some(instead) = self.instead {
            line = argument(&line, "console=", |value| {
                Some(if is_xen_console(value) { instead } else { value }.to_owned())
            });
        }
        // `rootpartition` is a variable of Photon's menu
        for key in ["root=", "real_root=", "rootpartition="] {
            line = argument(&line, key, |value| {
                if !unstable(value) {
                    return Some(value.to_owned());
                }
                let found = name(value);
                if found.is_none() {
                    result.unknown.push(value.to_owned());
                }
                found.or_else(|| Some(value.to_owned()))
            });
        }
        argument(&line, "resume=", |value| {
            let found = if unstable(value) { name(value) } else { Some(value.to_owned()) };
            if found.is_none() {
                result.removed.push(value.to_owned());
            }
            found
        })
    }

    /// The screen stays a console, the serial line becomes `/dev/console`.
    fn with_console(&self, line: String, style: Style) -> String {
        let Some(console) = self.console else { return line };
        let addition = format!("console=tty0 console={console}");
        let body = line.trim_end();
        let end = &line[body.len()..];
        let quoted = match style {
            Style::Shell if first_word(body) != "GRUB_CMDLINE_LINUX" => return line,
            Style::Values => return line,
            Style::Menu if first_word(body) == "set" && body.contains(" rootpartition=") => return line,
            Style::Menu if first_word(body) == "set" => true,
            // the variable's own place gets it
            _ if body.contains("$kernelopts") => return line,
            style => style == Style::Shell,
        };
        let Some((name, value)) = body.split_once('=').filter(|_| quoted) else {
            return format!("{body} {addition}{end}");
        };
        let quote = if value.starts_with('\'') { '\'' } else { '"' };
        let value = value.trim_matches(['"', '\'']).trim_end();
        let space = if value.is_empty() { "" } else { " " };
        format!("{name}={quote}{value}{space}{addition}{quote}{end}")
    }
}

/// The line with each value of `key` mapped; none removes the argument.
fn argument(line: &str, key: &str, mut map: impl FnMut(&str) -> Option<String>) -> String {
    let mut new = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(key) {
        let (before, from) = rest.split_at(at);
        let (name, after) = from.split_at(key.len());
        new.push_str(before);
        if !(new.is_empty() || new.ends_with(BEFORE)) {
            new.push_str(name);
            rest = after;
            continue;
        }
        let end = after.find(|c: char| c.is_whitespace() || c == '"' || c == '\'').unwrap_or(after.len());
        let (value, after) = after.split_at(end);
        rest = after;
        match map(value) {
            Some(value) => new.extend([name, &value]),
            None if rest.starts_with(' ') => rest = &rest[1..],
            None if new.ends_with(' ') => {
                new.pop();
            }
            None => {}
        }
    }
    new.push_str(rest);
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::Bus;
    use wherry_sdk::{Volume, fact};

    fn devices() -> Devices {
        let part = |id: &str, number: u32, uuid: Option<&str>| {
            let mut facts = vec![fact("disk.index", 0), fact("partition.number", number)];
            facts.push(fact("partition.uuid", format!("p-{number}")));
            facts.extend(uuid.map(|uuid| fact("fs.uuid", uuid)));
            Volume { id: id.into(), kind: "partition".into(), size: 0, facts }
        };
        Devices::new(&[part("a", 1, Some("u-1")), part("s", 5, None)])
    }

    fn rewrite(text: &str, style: Style, console: Option<&str>) -> Rewritten {
        let initrd = Naming { uuid: true, partuuid: true, bus: Bus::VirtioBlk };
        let bare = Naming { uuid: false, ..initrd };
        let rewrite = Rewrite { devices: &devices(), initrd, bare, console, instead: Some("tty0") };
        let result = rewrite.file(text, style);
        let again = Rewrite { console: None, ..rewrite }.file(&result.text, style);
        assert_eq!(again.text, result.text, "twice is not once");
        result
    }

    #[test]
    fn devices_in_menus() {
        for (old, new) in [
            ("\tlinux /v root=/dev/sda1 ro quiet\n", "\tlinux /v root=UUID=u-1 ro quiet\n"),
            ("\tlinux /v root=/dev/sda1\r\n", "\tlinux /v root=UUID=u-1\r\n"),
            ("\tset root='hd0,msdos1'\n", "\tset root='hd0,msdos1'\n"),
            ("\tlinux /v root=UUID=u-1 ro\n", "\tlinux /v root=UUID=u-1 ro\n"),
            ("\tlinux /v root=/dev/mapper/vg-root ro\n", "\tlinux /v root=/dev/mapper/vg-root ro\n"),
            ("linux /v root=/dev/sda1 resume=/dev/sdb9\n", "linux /v root=UUID=u-1\n"),
            ("linux /v root=/dev/sda1 resume=/dev/sda5\n", "linux /v root=UUID=u-1 resume=PARTUUID=p-5\n"),
            ("  APPEND root=/dev/hda1", "  APPEND root=UUID=u-1"),
            ("linux /v root=/dev/sdz1", "linux /v root=/dev/sdz1"),
            ("linux /v noroot=/dev/sda1 x", "linux /v noroot=/dev/sda1 x"),
            (
                "menuentry a {\n linux /v root=/dev/sda1\n}\nmenuentry b {\n linux /v root=/dev/sda1\n initrd /i\n}\n",
                "menuentry a {\n linux /v root=PARTUUID=p-1\n}\nmenuentry b {\n linux /v root=UUID=u-1\n initrd /i\n}\n",
            ),
            ("# kopt=root=/dev/sda1 ro\n", "# kopt=root=UUID=u-1 ro\n"),
            ("# kopt_2_6=root=/dev/sda1 ro\n", "# kopt_2_6=root=UUID=u-1 ro\n"),
            ("## # kopt=root=/dev/sda1\n", "## # kopt=root=/dev/sda1\n"),
            ("set kernelopts=\"root=/dev/sda1 ro \"\n", "set kernelopts=\"root=UUID=u-1 ro \"\n"),
        ] {
            assert_eq!(rewrite(old, Style::Menu, None).text, new);
        }
        assert_eq!(rewrite("linux /v root=/dev/sdz1", Style::Menu, None).unknown, ["/dev/sdz1"]);
    }

    #[test]
    fn devices_elsewhere() {
        for (style, old, new) in [
            (
                Style::Bls { initrd: true },
                "options root=/dev/sda1 resume=/dev/sdb9 ro",
                "options root=UUID=u-1 ro",
            ),
            (Style::Bls { initrd: false }, "options root=/dev/sda1 ro", "options root=PARTUUID=p-1 ro"),
            (Style::Shell, "GRUB_CMDLINE_LINUX=\"resume=/dev/sdb9\"", "GRUB_CMDLINE_LINUX=\"\""),
            (Style::Shell, "GRUB_CMDLINE_LINUX=root=/dev/sda1\n", "GRUB_CMDLINE_LINUX=root=UUID=u-1\n"),
            (Style::Shell, "# root=/dev/sda1\n", "# root=/dev/sda1\n"),
            (Style::Plain, "root=/dev/sda1 ro\n", "root=UUID=u-1 ro\n"),
            (Style::Plain, "root=UUID=u console=hvc0,115200 x\n", "root=UUID=u console=tty0 x\n"),
            (Style::Menu, "set rootpartition=/dev/sda1\n", "set rootpartition=UUID=u-1\n"),
            (
                Style::Values,
                "default_kernel_opts=\"quiet\"\nroot=/dev/sda1\n# root=/dev/sda1\n",
                "default_kernel_opts=\"quiet\"\nroot=UUID=u-1\n# root=/dev/sda1\n",
            ),
            (
                Style::Values,
                "DEFAULT_APPEND=\"resume=/dev/sda5 x\"\n",
                "DEFAULT_APPEND=\"resume=PARTUUID=p-5 x\"\n",
            ),
        ] {
            assert_eq!(rewrite(old, style, None).text, new);
        }
    }

    #[test]
    fn a_serial_console_is_added() {
        for (style, old, new) in [
            (
                Style::Shell,
                "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"\"\n",
                "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"console=tty0 console=ttyS0\"\n",
            ),
            (
                Style::Menu,
                "linux /v root=UUID=a ro\n",
                "linux /v root=UUID=a ro console=tty0 console=ttyS0\n",
            ),
            (
                Style::Menu,
                "set kernelopts=\"root=UUID=a \"\n",
                "set kernelopts=\"root=UUID=a console=tty0 console=ttyS0\"\n",
            ),
            (Style::Bls { initrd: true }, "options $kernelopts\n", "options $kernelopts\n"),
            (Style::Plain, "root=UUID=a\n", "root=UUID=a console=tty0 console=ttyS0\n"),
        ] {
            assert_eq!(rewrite(old, style, Some("ttyS0")).text, new);
        }
    }
}
