//! Logical names of disks, `/dev/dsk/c0t0d0s0`, and the minor names of physical ones, `...:a`. disk_link.c of illumos' devfsadm
//! makes the ones from the others: minors `a` to `p` are the slices 0 to 15, `q` to `u` the partitions 0 to 4.

/// A name below `/dev/dsk` or `/dev/rdsk`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Whether it is the character device.
    pub raw: bool,
    /// `c0t0d0`
    pub disk: String,
    /// `s0`, `p1`, or nothing for a whole disk with an EFI label.
    pub part: String,
    /// What follows: a logical drive of pcfs (`:boot`), or nothing.
    pub rest: String,
}

impl Name {
    /// Takes a path apart.
    pub fn parse(path: &str) -> Option<Self> {
        let (raw, name) = match path.strip_prefix("/dev/dsk/") {
            Some(name) => (false, name),
            None => (true, path.strip_prefix("/dev/rdsk/")?),
        };
        let (name, rest) = name.split_at(name.find(':').unwrap_or(name.len()));
        let (disk, part) = split(name)?;
        Some(Self { raw, disk: disk.to_owned(), part: part.to_owned(), rest: rest.to_owned() })
    }

    /// The same part of another disk.
    pub fn on(&self, disk: &str) -> String {
        let folder = if self.raw { "rdsk" } else { "dsk" };
        format!("/dev/{folder}/{disk}{}{}", self.part, self.rest)
    }
}

/// `c0t0d0s3` as `c0t0d0` and `s3`.
pub fn split(name: &str) -> Option<(&str, &str)> {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let hexadecimal = |text: &str| {
        text.len() - text.trim_start_matches(|c: char| c.is_ascii_hexdigit() && !c.is_ascii_lowercase()).len()
    };
    let mut at = 0;
    for (letter, needed) in [('c', true), ('t', false), ('d', true)] {
        let here = name.get(at..)?;
        let Some(tail) = here.strip_prefix(letter) else {
            if needed {
                return None;
            } else {
                continue;
            };
        };
        let length = if letter == 't' { hexadecimal(tail) } else { digits(tail) };
        if length == 0 {
            return None;
        }
        at += 1 + length;
    }
    let (disk, part) = name.split_at_checked(at)?;
    minor(part).map(|_| (disk, part))
}

/// The minor name of a part: `s0` is `a`, `p0` is `q`, a whole disk with an EFI label `wd`.
pub fn minor(part: &str) -> Option<String> {
    if part.is_empty() {
        return Some("wd".to_owned());
    }
    let (kind, number) = part.split_at_checked(1)?;
    let number: u8 = number.parse().ok()?;
    let letter = match kind {
        "s" if number < 16 => b'a' + number,
        "p" if number < 5 => b'q' + number,
        _ => return None,
    };
    Some(char::from(letter).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_names() {
        for (path, expected) in [
            ("/dev/dsk/c0t0d0s0", Some((false, "c0t0d0", "s0", ""))),
            ("/dev/rdsk/c12d1s15", Some((true, "c12d1", "s15", ""))),
            ("/dev/dsk/c0d0p0:boot", Some((false, "c0d0", "p0", ":boot"))),
            ("/dev/dsk/c0t5000C500F1d0s6", Some((false, "c0t5000C500F1d0", "s6", ""))),
            ("/dev/dsk/c0t0d0", Some((false, "c0t0d0", "", ""))),
            ("/dev/dsk/c0t0d0s16", None),
            ("/dev/dsk/c0t0d0p5", None),
            ("/dev/dsk/ct0d0s0", None),
            ("/dev/dsk/c0t0", None),
            ("/dev/md/dsk/d0", None),
            ("/dev/dsk/é", None),
        ] {
            let found = Name::parse(path);
            let found = found.as_ref().map(|n| (n.raw, n.disk.as_str(), n.part.as_str(), n.rest.as_str()));
            assert_eq!(found, expected, "{path}");
        }
        assert_eq!(
            Name::parse("/dev/rdsk/c1t0d0s7").map(|name| name.on("c0d0")).as_deref(),
            Some("/dev/rdsk/c0d0s7")
        );
        assert_eq!(
            ["s0", "s7", "p0", "p4"].map(minor),
            ["a", "h", "q", "u"].map(|minor| Some(minor.to_owned()))
        );
    }
}
