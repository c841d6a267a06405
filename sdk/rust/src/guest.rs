//! What a target has to know of the operating system that it gets, from a machine's facts: `os.family`, `os.id`,
//! `os.product`, `os.version`, `os.architecture`.

use crate::find;
use crate::target::Machine;

/// The operating system on a machine's disks.
pub struct Guest<'a> {
    /// Windows, if it is one whose version is known.
    pub windows: Option<Windows>,
    /// As in os-release: `debian`; empty where no system was recognised.
    pub id: &'a str,
    /// The first two numbers of its own version: `9.4`, `12.0`.
    pub version: (u32, u32),
    /// Whether its programs are of 64 bits; said of everything that is not known to be of 32.
    pub is_wide: bool,
}

/// A version of Windows, as its kernel counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Windows {
    /// 4.0 is NT 4, 5.0 is 2000, 6.1 is 7 and 2008 R2, 10.0 is 10, 11 and 2016 to 2025.
    pub kernel: (u32, u32),
    /// 20348 is 2022; 0 where only the product's name was known.
    pub build: u32,
    /// A server's edition.
    pub is_server: bool,
}

/// A kind of Solaris, by the drivers that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Solaris {
    /// Solaris 10 and what is older.
    Ten,
    /// Solaris 11, and OpenSolaris, from which it comes.
    Eleven,
    /// A distribution of illumos.
    Illumos,
}

/// Distributions of illumos, by their ids.
const ILLUMOS: [&str; 8] =
    ["openindiana", "omnios", "smartos", "tribblix", "nexenta", "dilos", "xstreamos", "illumos"];

/// Architectures of 32 bits.
const X86_NARROW: [&str; 5] = ["i386", "i486", "i586", "i686", "x86"];

/// Products by a part of their names, the more exact ones first.
const PRODUCTS: [(&str, (u32, u32), u32); 22] = [
    ("NT 3.51", (3, 51), 1057),
    ("NT 4", (4, 0), 1381),
    ("Windows NT", (4, 0), 1381),
    ("2008 R2", (6, 1), 7601),
    ("2012 R2", (6, 3), 9600),
    ("2003", (5, 2), 3790),
    ("2008", (6, 0), 6003),
    ("2012", (6, 2), 9200),
    ("2016", (10, 0), 14393),
    ("2019", (10, 0), 17763),
    ("2022", (10, 0), 20348),
    ("2025", (10, 0), 26100),
    ("2000", (5, 0), 2195),
    ("XP Professional x64", (5, 2), 3790),
    ("XP", (5, 1), 2600),
    ("Vista", (6, 0), 6002),
    ("Windows 7", (6, 1), 7601),
    ("Windows 8.1", (6, 3), 9600),
    ("Windows 8", (6, 2), 9200),
    ("Windows 10", (10, 0), 19045),
    ("Windows 11", (10, 0), 22631),
    ("Hyper-V Server", (10, 0), 17763),
];

impl<'a> Guest<'a> {
    /// What the facts of `machine` say.
    pub fn of(machine: &'a Machine) -> Self {
        let said = |key: &str| find(&machine.facts, key).unwrap_or_default();
        let is_windows = said("os.family") == "windows" || said("os.id").starts_with("windows");
        let mut numbers = said("os.version").split('.').map(|part| part.parse::<u32>().ok());
        let mut number = || numbers.next().flatten();
        let (major, minor, build) = (number(), number(), number());
        let product = said("os.product");
        let by_name = || {
            let (_, kernel, build) = PRODUCTS.iter().find(|(part, ..)| product.contains(part))?;
            Some((*kernel, *build))
        };
        // A version such as `2019` is a product's name.
        let kernel = major.filter(|major| (3..=10).contains(major)).zip(minor);
        let known = kernel.map(|kernel| (kernel, build.unwrap_or(0))).or_else(by_name);
        let is_server = product.contains("Server") || product.contains("20");
        let windows = known.filter(|_| is_windows);
        Self {
            windows: windows.map(|(kernel, build)| Windows { kernel, build, is_server }),
            id: said("os.id"),
            version: (major.unwrap_or(0), minor.unwrap_or(0)),
            is_wide: !X86_NARROW.contains(&said("os.architecture")),
        }
    }
}

impl Guest<'_> {
    /// Which Solaris it is, if it is one.
    pub fn solaris(&self) -> Option<Solaris> {
        match self.id {
            "solaris" if self.version.0 < 11 => Some(Solaris::Ten),
            "solaris" | "opensolaris" => Some(Solaris::Eleven),
            id => ILLUMOS.contains(&id).then_some(Solaris::Illumos),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact;

    fn guest(facts: &[(&str, &str)], test: impl Fn(&Guest<'_>)) {
        let facts = facts.iter().map(|(key, value)| fact(*key, value)).collect();
        let (disks, nics) = (Vec::new(), Vec::new());
        test(&Guest::of(&Machine { name: "m".into(), cpus: 1, memory_mib: 1, disks, nics, facts }));
    }

    #[test]
    fn windows_by_its_version_or_its_name() {
        let cases = [
            ("4.0.1381", "Windows NT Server 4.0", (4, 0), 1381, true),
            ("", "Windows NT Workstation 4.0", (4, 0), 1381, false),
            ("5.0", "Microsoft Windows 2000 Server", (5, 0), 0, true),
            ("", "Microsoft Windows XP", (5, 1), 2600, false),
            ("2003", "Windows Server 2003 R2 Standard", (5, 2), 3790, true),
            ("6.1.7601", "Windows 7 Professional", (6, 1), 7601, false),
            ("", "Windows Server 2008 R2 Enterprise", (6, 1), 7601, true),
            ("", "Windows Server 2012 R2", (6, 3), 9600, true),
            ("10.0.26100", "Windows Server 2025 Datacenter", (10, 0), 26100, true),
            ("", "Windows 11 Pro", (10, 0), 22631, false),
        ];
        for (version, product, kernel, build, is_server) in cases {
            let facts = [("os.family", "windows"), ("os.version", version), ("os.product", product)];
            guest(&facts, |it| {
                assert_eq!(it.windows, Some(Windows { kernel, build, is_server }), "{product}")
            });
        }
    }

    #[test]
    fn others() {
        let debian = [("os.family", "linux"), ("os.id", "debian"), ("os.version", "12")];
        guest(&debian, |it| assert_eq!((it.windows, it.id, it.version), (None, "debian", (12, 0))));
        let rhel = [("os.id", "rhel"), ("os.version", "9.4"), ("os.architecture", "i686")];
        guest(&rhel, |it| assert_eq!((it.version, it.is_wide), ((9, 4), false)));
        for (id, version, kind) in [
            ("solaris", "10", Solaris::Ten),
            ("solaris", "11.4", Solaris::Eleven),
            ("opensolaris", "2009.06", Solaris::Eleven),
            ("omnios", "r151046", Solaris::Illumos),
        ] {
            let facts = [("os.family", "solaris"), ("os.id", id), ("os.version", version)];
            guest(&facts, |it| assert_eq!((it.solaris(), it.windows), (Some(kind), None), "{id}"));
        }
        guest(&debian, |it| assert_eq!(it.solaris(), None));
        guest(&[], |it| assert_eq!((it.windows, it.id, it.is_wide), (None, "", true)));
        guest(&[("os.family", "windows"), ("os.product", "Windows")], |it| assert_eq!(it.windows, None));
    }
}
