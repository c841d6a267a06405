//! GRUB's `menu.lst` as Solaris 10 has it. System Administration Guide: Basic Administration (817-1985), "Description of the
//! menu.lst File"; how the kernel takes `-B` apart: illumos' uts/i86pc/os/fakebop.c, `build_boot_properties`.

/// One entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its title.
    pub title: String,
    /// The line with the kernel, from 0.
    pub kernel: Option<usize>,
    /// The boot archive or the failsafe system.
    pub module: Option<String>,
}

impl Entry {
    /// Whether it starts the installed system, not the failsafe one and nothing foreign.
    pub fn installed(&self) -> bool {
        self.module.as_ref().is_some_and(|module| module.contains("boot_archive"))
    }
}

/// The entries of a menu.
pub fn entries(text: &str) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if word == "title" {
            found.push(Entry { title: rest.trim().to_owned(), ..Entry::default() });
            continue;
        }
        let Some(entry) = found.last_mut() else { continue };
        match word {
            "kernel" | "kernel$" => entry.kernel = entry.kernel.or(Some(number)),
            "module" | "module$" => {
                entry.module =
                    entry.module.take().or_else(|| rest.split_whitespace().next().map(str::to_owned));
            }
            _ => {}
        }
    }
    found
}

/// The menu with `bootpath` given to every installed system.
pub fn with_boot_path(text: &str, path: &str) -> String {
    let lines: Vec<usize> =
        entries(text).iter().filter(|entry| entry.installed()).filter_map(|entry| entry.kernel).collect();
    let mut out = String::with_capacity(text.len());
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if lines.contains(&number) {
            let (line, end) = line.split_at(line.trim_end_matches(['\n', '\r']).len());
            out.push_str(&with_property(line, "bootpath", path));
            out.push_str(end);
        } else {
            out.push_str(line);
        }
    }
    out
}

/// The kernel's line of an installed system with a quote that is not closed: nobody can tell what it means.
pub fn open_quote(text: &str) -> Option<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let entries = entries(text);
    let kernels = entries.iter().filter(|entry| entry.installed()).filter_map(|entry| entry.kernel);
    let mut found = kernels.filter_map(|number| lines.get(number).copied());
    found.find(|line| {
        let step = |quote: Option<char>, c: char| match quote {
            Some(open) => Some(open).filter(|open| *open != c),
            None => Some(c).filter(|c| matches!(c, '"' | '\'')),
        };
        line.chars().fold(None, step).is_some()
    })
}

/// A kernel's line with `-B NAME="VALUE"`, which replaces the same property and stays behind the others.
fn with_property(line: &str, name: &str, value: &str) -> String {
    let new = format!("{name}=\"{value}\"");
    let Some(at) = line
        .match_indices(" -B")
        .map(|(at, _)| at)
        .find(|at| line.get(at + 3..).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t'])))
    else {
        return format!("{} -B {new}", line.trim_end());
    };
    let (head, rest) = line.split_at(at + 3);
    let list = rest.trim_start();
    let length = list_length(list);
    let (list, tail) = list.split_at(length);
    let mut kept: Vec<&str> = properties(list).into_iter().filter(|one| !is(one, name)).collect();
    kept.push(&new);
    format!("{head} {}{tail}", kept.join(","))
}

fn is(property: &str, name: &str) -> bool {
    property.strip_prefix(name).is_some_and(|rest| rest.starts_with('='))
}

/// Bytes up to the first white space outside quotes.
fn list_length(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => return at,
            None => {}
        }
    }
    text.len()
}

/// Properties between commas outside quotes.
fn properties(list: &str) -> Vec<&str> {
    let (mut found, mut start, mut quote) = (Vec::new(), 0, None);
    for (at, c) in list.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == ',' => {
                found.push(list.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            None => {}
        }
    }
    found.push(list.get(start..).unwrap_or_default());
    found.retain(|one| !one.is_empty());
    found
}

/// The value of a property in `bootenv.rc`: `setprop NAME VALUE`, in quotes or not (fakebop.c, `boot_prop_finish`). The last counts.
pub fn property<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = |line: &'a str| {
        let mut words = line.split_whitespace();
        let found = words.next() == Some("setprop") && words.next() == Some(name);
        let value = words.next().filter(|_| found)?;
        Some(value.trim_matches(['\'', '"']))
    };
    crate::files::lines(text, '#').filter_map(line).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MENU: &str = "default 0\ntimeout 10\n#---------- ADDED BY BOOTADM - DO NOT EDIT ----------\ntitle Solaris 10 11/06 X86\nroot (hd0,0,a)\nkernel /platform/i86pc/multiboot\nmodule /platform/i86pc/boot_archive\n#---------------------END BOOTADM--------------------\ntitle Solaris failsafe\nroot (hd0,0,a)\nkernel /boot/multiboot kernel/unix -s\nmodule /boot/x86.miniroot-safe\ntitle other\n  rootnoverify (hd0,1)\n  chainloader +1\n";

    #[test]
    fn installed_systems_get_the_path() {
        let new = with_boot_path(MENU, "/pci@0,0/x:a");
        assert!(new.contains("kernel /platform/i86pc/multiboot -B bootpath=\"/pci@0,0/x:a\"\nmodule"));
        assert!(new.contains("kernel /boot/multiboot kernel/unix -s\n"));
        assert_eq!(with_boot_path(&new, "/pci@0,0/x:a"), new);
        assert_eq!(entries(MENU).len(), 3);
    }

    #[test]
    fn properties_stay() {
        for (line, expected) in [
            ("kernel /m -B console=ttya", "kernel /m -B console=ttya,bootpath=\"/p,0\""),
            ("kernel /m -B console=ttya -v", "kernel /m -B console=ttya,bootpath=\"/p,0\" -v"),
            ("kernel /m -v", "kernel /m -v -B bootpath=\"/p,0\""),
            ("kernel /m -B bootpath=\"/old,0:a\",a=b -s", "kernel /m -B a=b,bootpath=\"/p,0\" -s"),
            ("kernel /m -B", "kernel /m -B bootpath=\"/p,0\""),
            ("kernel /m -Bx", "kernel /m -Bx -B bootpath=\"/p,0\""),
        ] {
            assert_eq!(with_property(line, "bootpath", "/p,0"), expected);
        }
    }

    #[test]
    fn quotes_that_stay_open() {
        assert_eq!(open_quote(MENU), None);
        let line = "kernel /platform/i86pc/multiboot -B a=\"b";
        let menu = MENU.replace("kernel /platform/i86pc/multiboot", line);
        assert_eq!(open_quote(&menu), Some(line));
        assert_eq!(open_quote(&menu.replace("a=\"b", "a=\"b'c\"")), None);
    }

    #[test]
    fn boot_environment() {
        let text = "#\nsetprop ata-dma-enabled '1'\nsetprop bootpath '/pci@0,0/pci-ide@7,1/ide@0/cmdk@0,0:a'\nsetprop\tconsole text\nsetprop\n";
        assert_eq!(property(text, "bootpath"), Some("/pci@0,0/pci-ide@7,1/ide@0/cmdk@0,0:a"));
        assert_eq!(property(text, "console"), Some("text"));
        assert_eq!(property(text, "x"), None);
    }
}
