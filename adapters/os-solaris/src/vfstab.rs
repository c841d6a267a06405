//! vfstab(4): seven columns, `-` for none.

use crate::names::Name;

/// One line that mounts or swaps.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What is mounted.
    pub special: &'a str,
    /// `/`, or `-` for swap.
    pub path: &'a str,
    /// `ufs`, `swap`, ...
    pub kind: &'a str,
}

/// The lines that say something.
pub fn entries(text: &str) -> Vec<Entry<'_>> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (special, _, path, kind) = (words.next()?, words.next()?, words.next()?, words.next()?);
            Some(Entry { special, path, kind })
        })
        .collect()
}

/// Disks that a text names, each once, as they come.
pub fn disks(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for name in text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(words)
        .filter_map(Name::parse)
    {
        if !found.contains(&name.disk) {
            found.push(name.disk);
        }
    }
    found
}

/// The text with other names for disks; `new` has the name of a disk by the old one. Comments stay.
pub fn rename(text: &str, new: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with('#') {
            out.push_str(line);
            continue;
        }
        let mut rest = line;
        for word in words(line) {
            let Some(at) = rest.find(word) else { continue };
            out.push_str(&rest[..at]);
            rest = &rest[at + word.len()..];
            let renamed = Name::parse(word).and_then(|name| Some(name.on(&new(&name.disk)?)));
            out.push_str(renamed.as_deref().unwrap_or(word));
        }
        out.push_str(rest);
    }
    out
}

/// Words as tables part them: `DUMPADM_DEVICE=/dev/dsk/...` is two.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| c.is_whitespace() || c == '=').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_spaces_stay() {
        let text = "#device\n/dev/dsk/c1t0d0s0\t/dev/rdsk/c1t0d0s0\t/\tufs\t1\tno\tlogging\nfd\t-\t/dev/fd\tfd\t-\tno\t-\n#/dev/dsk/c1t0d0s7 x\n/dev/dsk/c2t0d0s0 - - swap - no -";
        let new = rename(text, &|disk| (disk == "c1t0d0").then(|| "c0d0".to_owned()));
        assert_eq!(
            new,
            "#device\n/dev/dsk/c0d0s0\t/dev/rdsk/c0d0s0\t/\tufs\t1\tno\tlogging\nfd\t-\t/dev/fd\tfd\t-\tno\t-\n#/dev/dsk/c1t0d0s7 x\n/dev/dsk/c2t0d0s0 - - swap - no -"
        );
        assert_eq!(disks(text), ["c1t0d0", "c2t0d0"]);
        assert_eq!(entries(text).len(), 3);
        let dump = "DUMPADM_DEVICE=/dev/dsk/c1t0d0s1\n";
        assert_eq!(rename(dump, &|_| Some("c0d0".into())), "DUMPADM_DEVICE=/dev/dsk/c0d0s1\n");
    }
}
