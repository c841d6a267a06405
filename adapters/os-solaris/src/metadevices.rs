//! Solaris Volume Manager: metadevices and what they are made of. md.tab(4), md.cf(4), metaroot(1M), system(4).

use crate::files::{lines, text};
use wherry_sdk::Tree;

/// Metadevices that are looked at.
const MOST: usize = 8192;

/// One metadevice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadevice {
    /// `d0`
    pub name: String,
    /// What it is made of, as it is written: `-m d10 d20 1`.
    pub form: String,
}

impl Metadevice {
    /// Its submirrors; empty if it is no mirror.
    fn submirrors(&self) -> Vec<&str> {
        let Some(rest) = self.form.strip_prefix("-m ") else { return Vec::new() };
        rest.split_whitespace().filter(|word| word.starts_with('d')).collect()
    }
}

/// The metadevices that `/etc/lvm/md.cf` lists, which the system writes, or else those of `md.tab`, which people write.
pub fn read(guest: &dyn Tree) -> Vec<Metadevice> {
    let parsed = |path| parse(&text(guest, path).unwrap_or_default());
    let current = parsed("/etc/lvm/md.cf");
    if current.is_empty() { parsed("/etc/lvm/md.tab") } else { current }
}

fn parse(text: &str) -> Vec<Metadevice> {
    let text = text.replace("\\\n", " ");
    let metadevice = |line: &str| {
        let (name, form) = line.split_once(char::is_whitespace)?;
        let name = name.rsplit('/').next().unwrap_or(name);
        let number = name.strip_prefix('d')?;
        let known = !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit());
        let form = form.split_whitespace().collect::<Vec<_>>().join(" ");
        known.then(|| Metadevice { name: name.to_owned(), form })
    };
    lines(&text, '#').filter_map(metadevice).take(MOST).collect()
}

/// The name of a metadevice that `/dev/md/dsk/d0` stands for.
pub fn name(special: &str) -> Option<&str> {
    special.strip_prefix("/dev/md/dsk/").or_else(|| special.strip_prefix("/dev/md/rdsk/"))
}

/// The plain slice that a metadevice shows, `/dev/dsk/c0t0d0s0`, if it is a slice or a mirror of single slices.
pub fn slice(all: &[Metadevice], special: &str) -> Option<String> {
    let of = |name: &str| all.iter().find(|one| one.name == name);
    let mirror = of(name(special)?)?;
    let first = match mirror.submirrors().first() {
        Some(first) => of(first)?,
        None => mirror,
    };
    // one stripe of one slice
    let words: Vec<&str> = first.form.split_whitespace().collect();
    match words.as_slice() {
        ["1", "1", slice, ..] => Some(format!("/dev/dsk/{}", slice.trim_start_matches("/dev/dsk/"))),
        _ => None,
    }
}

/// The metadevice that the kernel takes for its root: `rootdev:/pseudo/md@0:0,0,blk`.
pub fn root(system: &str) -> Option<String> {
    let line = lines(system, '*').find(|line| line.starts_with("rootdev:"))?;
    let minor = line.strip_prefix("rootdev:/pseudo/md@0:")?;
    let number = minor.split(',').nth(1)?.trim();
    number.bytes().all(|c| c.is_ascii_digit()).then(|| format!("d{number}"))
}

/// What a person types in the running guest so that its root is a plain slice.
pub fn unmirror(all: &[Metadevice], root: &str) -> String {
    let slice = slice(all, &format!("/dev/md/dsk/{root}")).unwrap_or_else(|| "/dev/dsk/cXtXdXsX".to_owned());
    let further: Vec<&str> =
        all.iter().find(|one| one.name == root).map(Metadevice::submirrors).unwrap_or_default();
    let mut commands: Vec<String> =
        further.iter().skip(1).map(|submirror| format!("metadetach {root} {submirror}")).collect();
    commands.push(format!("metaroot {slice}"));
    commands.push("lockfs -fa".into());
    commands.push("bootadm update-archive".into());
    commands.push("init 6".into());
    commands.push(format!("metaclear -r {root}"));
    commands.extend(further.iter().skip(1).map(|submirror| format!("metaclear {submirror}")));
    commands.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# metadevice configuration file\nd0 -m d10 d20 1\nd10 1 1 c1t0d0s0\nd20 1 1 c1t1d0s0\nd5 2 1 c1t2d0s0 \\\n 1 c1t3d0s0\nhsp001 c1t4d0s0\n/dev/md/dsk/d7 -m /dev/md/dsk/d8 1\n";

    #[test]
    fn mirrors_and_slices() {
        let all = parse(TABLE);
        assert_eq!(all.len(), 5);
        assert_eq!(slice(&all, "/dev/md/dsk/d0").as_deref(), Some("/dev/dsk/c1t0d0s0"));
        assert_eq!(slice(&all, "/dev/md/rdsk/d20").as_deref(), Some("/dev/dsk/c1t1d0s0"));
        assert_eq!(slice(&all, "/dev/md/dsk/d5"), None);
        assert_eq!(slice(&all, "/dev/dsk/c1t0d0s0"), None);
        assert_eq!(root("* c\nrootdev:/pseudo/md@0:0,0,blk\n").as_deref(), Some("d0"));
        assert_eq!(root("*rootdev:/pseudo/md@0:0,0,blk\n"), None);
        assert_eq!(
            unmirror(&all, "d0"),
            "metadetach d0 d20; metaroot /dev/dsk/c1t0d0s0; lockfs -fa; bootadm update-archive; init 6; metaclear -r d0; metaclear d20"
        );
    }
}
