//! Which distribution this is: os-release(5) and its ancestors.

use crate::files::{exists, names, shell_value, text};
use wherry_sdk::Tree;

/// os-release's ID, the product's name for people, its version.
pub struct Release {
    /// `debian`
    pub id: String,
    /// `Debian GNU/Linux 12 (bookworm)`
    pub product: String,
    /// `12`
    pub version: String,
}

/// Files from before os-release, the more particular first.
const ANCESTORS: [(&str, &str); 10] = [
    ("/etc/centos-release", "centos"),
    ("/etc/oracle-release", "ol"),
    ("/etc/fedora-release", "fedora"),
    ("/etc/redhat-release", "rhel"),
    ("/etc/SuSE-release", "sles"),
    ("/etc/alpine-release", "alpine"),
    ("/etc/gentoo-release", "gentoo"),
    ("/etc/slackware-version", "slackware"),
    ("/etc/arch-release", "arch"),
    ("/etc/debian_version", "debian"),
];

/// The kernels of other systems with the same folders: FreeBSD, OpenBSD, NetBSD, illumos.
const OTHERS: [&str; 4] = ["/boot/kernel/kernel", "/bsd", "/netbsd", "/platform/i86pc"];

/// Whether the root of a Linux is mounted at `/`, by what is in it: names of distributions do not count.
pub fn is_linux(guest: &dyn Tree) -> bool {
    let here = |path: &str| exists(guest, path);
    // a separate /usr may hold the target of /etc/os-release, so that the table of mounts and the users count as well
    let root = named(guest).is_some() || here("/etc/fstab") && here("/etc/passwd");
    root && !OTHERS.iter().any(|path| here(path))
}

/// What the tree mounted at `/` says it is; a system without a name is just a Linux.
pub fn release(guest: &dyn Tree) -> Release {
    let nameless = || Release { id: "linux".into(), product: "Linux".into(), version: String::new() };
    named(guest).unwrap_or_else(nameless)
}

fn named(guest: &dyn Tree) -> Option<Release> {
    for path in ["/etc/os-release", "/usr/lib/os-release"] {
        let Some(text) = text(guest, path) else { continue };
        let Some(id) = shell_value(&text, "ID") else { continue };
        let product = shell_value(&text, "PRETTY_NAME").unwrap_or_else(|| id.clone());
        return Some(Release { id, product, version: shell_value(&text, "VERSION_ID").unwrap_or_default() });
    }
    let lsb = text(guest, "/etc/lsb-release");
    if let Some((text, id)) = lsb.and_then(|text| shell_value(&text, "DISTRIB_ID").map(|id| (text, id))) {
        let product = shell_value(&text, "DISTRIB_DESCRIPTION").unwrap_or_else(|| id.clone());
        let version = shell_value(&text, "DISTRIB_RELEASE").unwrap_or_default();
        return Some(Release { id: id.to_ascii_lowercase(), product, version });
    }
    let known = ANCESTORS.iter().find_map(|(path, id)| ancestor(id, &text(guest, path)?));
    known.or_else(|| unknown(guest))
}

/// A distribution that nobody here knows, by the name of its `-release` or `-version` file.
fn unknown(guest: &dyn Tree) -> Option<Release> {
    let endings = ["-release", "_release", "-version", "_version"];
    let id = |name: &String| {
        let id = endings.iter().find_map(|ending| name.strip_suffix(ending))?;
        Some(id.to_ascii_lowercase()).filter(|id| !["lsb", "os", "system", "initrd"].contains(&id.as_str()))
    };
    let files = names(guest, "/etc").into_iter().filter_map(|name| id(&name).map(|id| (name, id))).take(8);
    let mut found = files.filter_map(|(name, id)| ancestor(&id, &text(guest, &format!("/etc/{name}"))?));
    found.next()
}

fn ancestor(id: &str, text: &str) -> Option<Release> {
    let line = text.lines().next().unwrap_or_default().trim();
    let number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let version = line.split_whitespace().find(number).unwrap_or_default().to_owned();
    let product = match id {
        "debian" => format!("Debian GNU/Linux {line}"),
        "alpine" => format!("Alpine Linux {line}"),
        "arch" => "Arch Linux".to_owned(),
        _ if line.is_empty() => return None,
        _ => line.to_owned(),
    };
    let id = match (id, line) {
        ("rhel", line) if line.starts_with("CentOS") => "centos",
        ("sles", line) if line.contains("openSUSE") => "opensuse",
        (id, _) => id,
    };
    Some(Release { id: id.to_owned(), product, version })
}

/// From the ELF header of the shell (`e_machine`, offset 18, System V ABI).
pub fn architecture(guest: &dyn Tree) -> &'static str {
    let shells = ["/bin/sh", "/usr/bin/sh", "/bin/bash", "/sbin/init"];
    let header =
        shells.iter().find_map(|path| guest.read(path, 0, 20).ok().filter(|b| b.starts_with(b"\x7fELF")));
    match header.as_deref().and_then(|bytes| bytes.get(18)) {
        Some(62) => "x86_64",
        Some(183) => "aarch64",
        Some(3) => "i686",
        _ => "unknown",
    }
}

/// The machine's own name.
pub fn hostname(guest: &dyn Tree) -> Option<String> {
    let older = || shell_value(&text(guest, "/etc/sysconfig/network")?, "HOSTNAME");
    let name = text(guest, "/etc/hostname").or_else(|| text(guest, "/etc/HOSTNAME")).or_else(older)?;
    let first = name.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    first.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors() {
        for (id, text, expected) in [
            ("rhel", "CentOS release 6.10 (Final)\n", ("centos", "CentOS release 6.10 (Final)", "6.10")),
            ("debian", "7.11\n", ("debian", "Debian GNU/Linux 7.11", "7.11")),
            (
                "sles",
                "openSUSE 13.1 (x86_64)\nVERSION = 13.1\n",
                ("opensuse", "openSUSE 13.1 (x86_64)", "13.1"),
            ),
            ("arch", "", ("arch", "Arch Linux", "")),
        ] {
            let found = ancestor(id, text).expect("known");
            assert_eq!((found.id.as_str(), found.product.as_str(), found.version.as_str()), expected);
        }
        assert!(ancestor("rhel", "\n").is_none());
    }
}
