//! What `/etc/release`, `/etc/os-release`, the platforms' directories and the patches say. uname(1), release names as
//! Oracle and the distributions write them.

use crate::files::{exists, names, text};
use wherry_sdk::Tree;

/// Patches that bring Solaris 10's kernel, in the order in which they replaced each other; SPARC, x86.
const KERNELS: &[(&str, &str)] = &[
    ("118822", "118844"),
    ("118833", "118855"),
    ("120011", "120012"),
    ("127127", "127128"),
    ("137137", "137138"),
    ("139555", "139556"),
    ("141444", "141445"),
    ("142909", "142910"),
    ("144500", "144501"),
    ("147440", "147441"),
    ("147147", "147148"),
    ("150400", "150401"),
];
/// Updates of Solaris 10 by the date in their names.
const UPDATES: &[&str] =
    &["3/05", "1/06", "6/06", "11/06", "8/07", "5/08", "10/08", "5/09", "10/09", "9/10", "8/11", "1/13"];
/// Words in the first line of `/etc/release`, and the system's identifier.
const SYSTEMS: &[(&str, &str)] = &[
    ("OpenIndiana", "openindiana"),
    ("OmniOS", "omnios"),
    ("SmartOS", "smartos"),
    ("Tribblix", "tribblix"),
    ("OpenSolaris", "opensolaris"),
    ("Nexenta", "nexenta"),
    ("DilOS", "dilos"),
    ("XStreamOS", "xstreamos"),
    ("illumos", "illumos"),
    ("Solaris", "solaris"),
];

/// Which system it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// `solaris`, `openindiana`, `omnios`, ...
    pub id: String,
    /// As the system writes it, without the processor.
    pub product: String,
    /// `10`, `11.4`, `r151046`, `2023.10`.
    pub version: String,
    /// Solaris 10: `u11 (1/13)`.
    pub update: Option<String>,
}

impl Release {
    /// Oracle's and Sun's main number: 10, 11.
    pub fn major(&self) -> Option<u32> {
        let number = self.version.split('.').next().and_then(|number| number.parse().ok());
        number.filter(|_| self.id == "solaris")
    }
}

/// The release; none if this is not such a system.
pub fn release(guest: &dyn Tree) -> Option<Release> {
    let kernel = ["/kernel/genunix", "/kernel/amd64/genunix", "/kernel/sparcv9/genunix"];
    let table = exists(guest, "/etc/name_to_major") || kernel.iter().any(|path| exists(guest, path));
    let text = text(guest, "/etc/release").filter(|_| table)?;
    parse(&text)
}

/// The first line of `/etc/release`.
fn parse(text: &str) -> Option<Release> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let id = SYSTEMS.iter().find(|(word, _)| line.contains(word))?.1;
    let words: Vec<&str> = line.split_whitespace().filter(|word| !matches!(*word, "X86" | "SPARC")).collect();
    let after = |name: &str| {
        let at = words.iter().position(|word| word.contains(name))?;
        words.get(at + 1).copied()
    };
    let number = |word: &&&str| word.chars().any(|c| c.is_ascii_digit());
    let version = match id {
        "solaris" => after("Solaris").filter(|word| word.starts_with(|c: char| c.is_ascii_digit())),
        // the release is the last word that has a number: `OmniOS v11 r151046`
        "omnios" => words.iter().rev().find(number).copied(),
        _ => words.iter().find(number).copied(),
    };
    let version = version.unwrap_or("unknown").to_owned();
    let date =
        words.iter().find(|word| UPDATES.contains(word)).filter(|_| id == "solaris" && version == "10");
    let update = date.and_then(|date| {
        let number = UPDATES.iter().position(|other| other == date)?;
        Some(if number == 0 { format!("first release ({date})") } else { format!("u{number} ({date})") })
    });
    // builds have names of their own at the end: s10x_u11wos_24a
    let product: Vec<&str> = words.into_iter().filter(|word| !word.contains("wos")).collect();
    Some(Release { id: id.to_owned(), product: product.join(" "), version, update })
}

/// `x86_64`, `x86`, `sparc`.
pub fn architecture(guest: &dyn Tree) -> &'static str {
    if exists(guest, "/platform/i86pc") {
        let wide = ["/platform/i86pc/kernel/amd64/unix", "/kernel/amd64/genunix"];
        return if wide.iter().any(|path| exists(guest, path)) { "x86_64" } else { "x86" };
    }
    let sparc = platforms(guest).iter().any(|name| name.starts_with("sun4"));
    if sparc || exists(guest, "/kernel/sparcv9") { "sparc" } else { "unknown" }
}

/// Kinds of machines that the system has kernels for: `i86pc`, `sun4u`, `sun4v`.
pub fn platforms(guest: &dyn Tree) -> Vec<String> {
    let known = |name: &String| {
        ["i86pc", "sun4u", "sun4v", "sun4us"].contains(&name.as_str())
            && exists(guest, &format!("/platform/{name}/kernel"))
    };
    names(guest, "/platform").into_iter().filter(known).collect()
}

/// Solaris 10: the newest patch of the kernel, as `uname -v` would call it.
pub fn kernel(guest: &dyn Tree) -> Option<String> {
    let patches = names(guest, "/var/sadm/patch");
    let newest = |number: &str| {
        let revisions = patches
            .iter()
            .filter_map(|name| name.strip_prefix(number)?.strip_prefix('-')?.parse::<u32>().ok());
        revisions.max().map(|revision| format!("Generic_{number}-{revision:02}"))
    };
    KERNELS.iter().rev().find_map(|(sparc, x86)| newest(x86).or_else(|| newest(sparc)))
}

/// The machine's own name: `/etc/nodename`, on Solaris 11 the start service has it, and the file may lack.
pub fn hostname(guest: &dyn Tree) -> Option<String> {
    let text = text(guest, "/etc/nodename")?;
    let name = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        for (line, id, version, update, product) in [
            ("   Solaris 10 1/06 s10x_u1wos_19a X86", "solaris", "10", Some("u1 (1/06)"), "Solaris 10 1/06"),
            (
                "Oracle Solaris 10 1/13 s10x_u11wos_24a X86\n",
                "solaris",
                "10",
                Some("u11 (1/13)"),
                "Oracle Solaris 10 1/13",
            ),
            (
                "Solaris 10 3/05 s10_74L2a X86",
                "solaris",
                "10",
                Some("first release (3/05)"),
                "Solaris 10 3/05 s10_74L2a",
            ),
            ("Oracle Solaris 11 11/11 X86", "solaris", "11", None, "Oracle Solaris 11 11/11"),
            ("Oracle Solaris 11.4 SPARC", "solaris", "11.4", None, "Oracle Solaris 11.4"),
            (
                "  OpenIndiana Hipster 2023.10 (powered by illumos)",
                "openindiana",
                "2023.10",
                None,
                "OpenIndiana Hipster 2023.10 (powered by illumos)",
            ),
            ("  OmniOS v11 r151046", "omnios", "r151046", None, "OmniOS v11 r151046"),
            (
                "SmartOS 20240125T000236Z x86_64",
                "smartos",
                "20240125T000236Z",
                None,
                "SmartOS 20240125T000236Z x86_64",
            ),
            (
                "OpenSolaris 2009.06 snv_111b X86",
                "opensolaris",
                "2009.06",
                None,
                "OpenSolaris 2009.06 snv_111b",
            ),
        ] {
            let update = update.map(str::to_owned);
            let expected =
                Release { id: id.into(), product: product.into(), version: version.into(), update };
            assert_eq!(parse(line), Some(expected), "{line}");
        }
        assert_eq!(parse("Debian GNU/Linux 12"), None);
        assert_eq!(parse(""), None);
    }
}
