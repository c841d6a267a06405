//! Kernel command lines wherever boot loaders keep them: `grub.cfg`, `/etc/default/grub`, `menu.lst`,
//! BLS entries (`options`), `extlinux.conf` (`APPEND`).

use crate::devices::{Device, resolve, unstable};

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

const COMMANDS: [&str; 7] = ["linux", "linux16", "linuxefi", "kernel", "options", "append", "module"];

/// Whether this line carries a kernel command line.
fn carries(line: &str) -> bool {
    let line = line.trim_start();
    let word = line.split([' ', '\t', '=']).next().unwrap_or_default();
    let command = COMMANDS.iter().any(|command| word.eq_ignore_ascii_case(command));
    (command && (line.contains("root=") || line.contains("resume=")))
        || word.starts_with("GRUB_CMDLINE_LINUX")
}

/// Makes `root=` and `resume=` portable and adds `console` (such as `ttyS0`) where no console is named.
pub fn rewrite(text: &str, devices: &[Device], console: Option<&str>) -> Rewritten {
    let mut result = Rewritten::default();
    let named = text.lines().any(|line| line.contains("console=") && carries(line));
    let mut new = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if !carries(line) {
            new.push_str(line);
            continue;
        }
        let mut line = argument(line, "root=", |value| root(value, devices, &mut result.unknown));
        line = argument(&line, "resume=", |value| resume(value, devices, &mut result.removed));
        match console {
            Some(console) if !named => new.push_str(&with_console(&line, console)),
            _ => new.push_str(&line),
        }
    }
    result.text = new;
    result
}

fn root(value: &str, devices: &[Device], unknown: &mut Vec<String>) -> Option<String> {
    if !unstable(value) {
        return Some(value.to_owned());
    }
    let name = resolve(value, devices).and_then(Device::stable);
    if name.is_none() {
        unknown.push(value.to_owned());
    }
    Some(name.unwrap_or_else(|| value.to_owned()))
}

fn resume(value: &str, devices: &[Device], removed: &mut Vec<String>) -> Option<String> {
    if !unstable(value) {
        return Some(value.to_owned());
    }
    let name = resolve(value, devices).and_then(Device::stable);
    if name.is_none() {
        removed.push(value.to_owned());
    }
    name
}

/// The line with each value of `key` mapped; none removes the argument.
fn argument(line: &str, key: &str, mut map: impl FnMut(&str) -> Option<String>) -> String {
    let mut new = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(key) {
        let (before, from) = rest.split_at(at);
        let (name, after) = from.split_at(key.len());
        new.push_str(before);
        if !before.ends_with([' ', '\t', '"', '\'']) {
            new.push_str(name);
            rest = after;
            continue;
        }
        let end = after.find(|c: char| c.is_whitespace() || c == '"' || c == '\'').unwrap_or(after.len());
        let (value, after) = after.split_at(end);
        rest = after;
        match map(value) {
            Some(value) => new.extend([name, &value]),
            None => rest = rest.strip_prefix(' ').unwrap_or(rest),
        }
    }
    new.push_str(rest);
    new
}

/// The screen stays a console, the serial line becomes `/dev/console`.
fn with_console(line: &str, console: &str) -> String {
    let addition = format!("console=tty0 console={console}");
    let body = line.trim_end();
    let end = &line[body.len()..];
    let Some((name, value)) =
        body.split_once('=').filter(|(name, _)| name.trim_start().starts_with("GRUB_CMDLINE_LINUX"))
    else {
        return format!("{body} {addition}{end}");
    };
    if name.trim() != "GRUB_CMDLINE_LINUX" {
        return line.to_owned();
    }
    let quote = if value.starts_with('\'') { '\'' } else { '"' };
    let value = value.trim_matches(['"', '\'']);
    let space = if value.is_empty() { "" } else { " " };
    format!("{name}={quote}{value}{space}{addition}{quote}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::devices;
    use wherry_sdk::{Volume, fact};

    #[test]
    fn command_lines() {
        let facts = vec![fact("disk.index", 0), fact("partition.number", 1), fact("fs.uuid", "u-1")];
        let all = devices(&[Volume { id: "a".into(), kind: "partition".into(), size: 0, facts }]);
        for (old, new) in [
            (
                "\tlinux /boot/vmlinuz-6 root=/dev/sda1 ro quiet\n",
                "\tlinux /boot/vmlinuz-6 root=UUID=u-1 ro quiet\n",
            ),
            ("\tset root='hd0,msdos1'\n", "\tset root='hd0,msdos1'\n"),
            ("\tlinux /vmlinuz root=UUID=u-1 ro\n", "\tlinux /vmlinuz root=UUID=u-1 ro\n"),
            ("options root=/dev/mapper/vg-root resume=/dev/sdb9 ro", "options root=/dev/mapper/vg-root ro"),
            ("  APPEND root=/dev/hda1", "  APPEND root=UUID=u-1"),
            ("GRUB_CMDLINE_LINUX=\"resume=/dev/sdb9\"", "GRUB_CMDLINE_LINUX=\"\""),
            ("linux /v root=/dev/sdz1", "linux /v root=/dev/sdz1"),
        ] {
            let result = rewrite(old, &all, None).text;
            assert_eq!(result, new);
            assert_eq!(rewrite(&result, &all, None).text, result);
        }
        assert_eq!(rewrite("linux /v root=/dev/sdz1", &all, None).unknown, ["/dev/sdz1"]);
    }

    #[test]
    fn a_serial_console_is_added_once() {
        let old = "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"\"\n";
        let new = rewrite(old, &[], Some("ttyS0")).text;
        assert_eq!(
            new,
            "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"console=tty0 console=ttyS0\"\n"
        );
        assert_eq!(rewrite(&new, &[], Some("ttyS0")).text, new);
        let line = rewrite("linux /v root=UUID=a ro\n", &[], Some("ttyS0")).text;
        assert_eq!(line, "linux /v root=UUID=a ro console=tty0 console=ttyS0\n");
    }
}
