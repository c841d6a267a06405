//! What the names of INF sections say of the systems that they are for: `NTamd64.10.0...14393` (Microsoft, "Combining Platform
//! Extensions with Operating System Versions", "Creating INF Files for Multiple Platforms and Operating Systems").

use crate::inf::{Inf, number};

/// Processors that drivers are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// i386 and later.
    X86,
    /// x86_64.
    Amd64,
    /// 32-bit ARM.
    Arm,
    /// aarch64.
    Arm64,
    /// Itanium.
    Ia64,
}

impl Architecture {
    /// As names of sections and of folders in the driver store have it.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::X86 => "x86",
            Self::Amd64 => "amd64",
            Self::Arm => "arm",
            Self::Arm64 => "arm64",
            Self::Ia64 => "ia64",
        }
    }

    const ALL: [Self; 5] = [Self::X86, Self::Amd64, Self::Arm, Self::Arm64, Self::Ia64];

    /// From `PROCESSOR_ARCHITECTURE`.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.suffix().eq_ignore_ascii_case(text))
    }

    /// From `IMAGE_FILE_HEADER.Machine`.
    pub fn of_machine(machine: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.machine() == machine)
    }

    /// As the contract has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
            other => other.suffix(),
        }
    }

    /// `IMAGE_FILE_HEADER.Machine` of its programs (Microsoft, "PE Format").
    pub fn machine(self) -> u16 {
        match self {
            Self::X86 => 0x14c,
            Self::Amd64 => 0x8664,
            Self::Arm => 0x1c4,
            Self::Arm64 => 0xaa64,
            Self::Ia64 => 0x200,
        }
    }

    /// Of a folder's name on vendors' disks.
    pub fn of_folder(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "i386" | "win32" => Some(Self::X86),
            "x64" | "x86_64" | "winx64" => Some(Self::Amd64),
            name => Self::of(name),
        }
    }

    /// Whether addresses have 64 bits.
    pub fn is_wide(self) -> bool {
        matches!(self, Self::Amd64 | Self::Arm64 | Self::Ia64)
    }
}

/// A workstation, as `VER_NT_WORKSTATION`.
pub const WORKSTATION: u32 = 1;
/// A domain controller, as `VER_NT_DOMAIN_CONTROLLER`.
pub const CONTROLLER: u32 = 2;
/// Any other server, as `VER_NT_SERVER`.
pub const SERVER: u32 = 3;
/// From this build of Windows 10 on, a decoration may have a build; before, such a decoration counts for nothing.
const BUILDS_FROM: u32 = 14310;
/// Server 2003, whose first service pack ended the use of sections without an architecture on other processors than x86.
const STRICT_FROM: (u32, u32) = (5, 2);
/// The first system that knows decorations with versions: XP.
const VERSIONS_FROM: (u32, u32) = (5, 1);

/// The system that a driver is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its processors.
    pub architecture: Architecture,
    /// 6 of 6.1.
    pub major: u32,
    /// 1 of 6.1.
    pub minor: u32,
    /// 7601.
    pub build: u32,
    /// [`WORKSTATION`], [`CONTROLLER`] or [`SERVER`].
    pub product: u32,
    /// `VER_SUITE_...`, a bit each; zero where it is not known.
    pub suite: u32,
    /// Its language, a LANGID: 0x0409 is American English.
    pub language: u16,
}

impl Target {
    /// Major and minor version.
    pub fn version(&self) -> (u32, u32) {
        (self.major, self.minor)
    }
}

/// What is asked of a system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoration {
    architecture: String,
    version: Option<(u32, u32)>,
    product: Option<u32>,
    suite: Option<u32>,
    build: Option<u32>,
}

/// How near a decoration is to a system, nearest last: version and build, product, suite, architecture.
type Nearness = ((u32, u32), u32, bool, bool, bool);

impl Decoration {
    /// Reads `NTamd64.6.1.3`; none where it is not of that form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.');
        let platform = parts.next()?.to_ascii_lowercase();
        let architecture = platform.strip_prefix("nt")?;
        if !matches!(architecture, "" | "x86" | "amd64" | "arm" | "arm64" | "ia64") {
            return None;
        }
        let mut numbers = Vec::new();
        for part in parts {
            numbers.push(if part.trim().is_empty() { None } else { Some(number(part)?) });
        }
        if numbers.len() > 5 {
            return None;
        }
        let at = |place: usize| numbers.get(place).copied().flatten();
        Some(Self {
            architecture: architecture.to_owned(),
            version: at(0).map(|major| (major, at(1).unwrap_or(0))),
            product: at(2),
            suite: at(3),
            build: at(4),
        })
    }

    /// How near it is to a system; none where it is not for it. `strict`: without an architecture it is for x86 alone.
    fn nearness(&self, target: &Target, strict: bool) -> Option<Nearness> {
        let own = self.architecture == target.architecture.suffix();
        let any = self.architecture.is_empty() && (!strict || target.architecture == Architecture::X86);
        let version = self.version.unwrap_or_default();
        if !(own || any) || version > target.version() {
            return None;
        }
        let known =
            target.version() > (10, 0) || (target.version() == (10, 0) && target.build >= BUILDS_FROM);
        if self.build.is_some() && !known {
            return None;
        }
        let build = self.build.unwrap_or(0);
        if version == target.version() && build > target.build {
            return None;
        }
        if self.version.is_some() && target.version() < VERSIONS_FROM {
            return None;
        }
        let fits = self.product.is_none_or(|product| product == target.product)
            && self.suite.is_none_or(|suite| suite & target.suite == suite);
        fits.then_some((version, build, self.product.is_some(), self.suite.is_some(), own))
    }
}

/// The name in lower case of the models section that a system uses, by the decorations that the manufacturer lists; none where
/// the file is not for it.
pub fn models(inf: &Inf, name: &str, decorations: &[String], target: &Target) -> Option<String> {
    let strict = target.version() >= STRICT_FROM;
    let mut all = vec![(Decoration::parse("nt")?, name.to_lowercase())];
    // Windows 2000 looks at no decoration here.
    if target.version() >= VERSIONS_FROM {
        for text in decorations {
            if let Some(decoration) = Decoration::parse(text) {
                all.push((decoration, format!("{name}.{text}").to_lowercase()));
            }
        }
    }
    nearest(inf, all, target, strict)
}

/// The name in lower case of an install section for a system: decorated, or not; none where there is none.
pub fn install(inf: &Inf, name: &str, target: &Target) -> Option<String> {
    let name = name.to_lowercase();
    let mut all = vec![(Decoration::parse("nt")?, name.clone())];
    let prefix = format!("{name}.");
    for own in inf.names(&prefix) {
        let decoration = own.get(prefix.len()..).and_then(Decoration::parse);
        all.extend(decoration.map(|decoration| (decoration, own.to_owned())));
    }
    nearest(inf, all, target, false)
}

/// The name in lower case of a section with an architecture alone, such as `SourceDisksFiles.amd64`, or without one.
pub fn platform(inf: &Inf, name: &str, target: &Target) -> Vec<String> {
    let decorated = format!("{name}.{}", target.architecture.suffix()).to_lowercase();
    [decorated, name.to_lowercase()].into_iter().filter(|name| inf.has(name)).collect()
}

/// Of several that are equally near the last counts: the decorated one.
fn nearest(inf: &Inf, all: Vec<(Decoration, String)>, target: &Target, strict: bool) -> Option<String> {
    let there = all.into_iter().filter(|(_, name)| inf.has(name));
    let near = there.filter_map(|(one, name)| Some((one.nearness(target, strict)?, name)));
    near.max_by_key(|(nearness, _)| *nearness).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(architecture: Architecture, major: u32, minor: u32, build: u32) -> Target {
        Target { architecture, major, minor, build, product: WORKSTATION, suite: 0, language: 0x409 }
    }

    fn chosen(decorations: &[&str], target: &Target) -> Option<String> {
        let sections: Vec<String> = decorations.iter().map(|one| format!("[m.{one}]\n")).collect();
        let inf = Inf::parse(format!("[m]\n{}", sections.concat()).as_bytes(), 0).expect("parses");
        let decorations: Vec<String> = decorations.iter().map(|&one| one.to_owned()).collect();
        models(&inf, "M", &decorations, target)
    }

    #[test]
    fn forms() {
        let full = Decoration::parse("NTamd64.10.0.1.0x80.14393").expect("is one");
        assert_eq!(
            (full.version, full.product, full.suite, full.build),
            (Some((10, 0)), Some(1), Some(0x80), Some(14393))
        );
        assert_eq!(Decoration::parse("nt.10.0...14393").and_then(|one| one.build), Some(14393));
        assert_eq!(Decoration::parse("ntx86.6").and_then(|one| one.version), Some((6, 0)));
        for odd in ["", "x86", "ntppc", "nt.x", "nt.1.2.3.4.5.6", "services"] {
            assert_eq!(Decoration::parse(odd), None, "{odd}");
        }
    }

    /// The examples of the source.
    #[test]
    fn the_nearest_models_are_chosen() {
        use Architecture::{Amd64, X86};
        let both = ["NTx86.5.1", "NT.6.0", "NT.10.0...14393"];
        assert_eq!(chosen(&both, &target(X86, 5, 1, 2600)).as_deref(), Some("m.ntx86.5.1"));
        assert_eq!(chosen(&both, &target(X86, 6, 1, 7601)).as_deref(), Some("m.nt.6.0"));
        assert_eq!(chosen(&both, &target(X86, 10, 0, 14393)).as_deref(), Some("m.nt.10.0...14393"));
        assert_eq!(chosen(&both, &target(X86, 10, 0, 10240)).as_deref(), Some("m.nt.6.0"));
        assert_eq!(chosen(&both, &target(X86, 10, 0, 14392)).as_deref(), Some("m.nt.6.0"));
        assert_eq!(chosen(&both, &target(X86, 5, 0, 2195)).as_deref(), Some("m"));
        // An empty section for later systems keeps them out, as the source's sample does.
        assert_eq!(chosen(&["NTx86.6.0", "NT.6.1"], &target(X86, 6, 2, 9200)).as_deref(), Some("m.nt.6.1"));
        // Other processors than x86 must be named since Server 2003 SP1.
        assert_eq!(chosen(&[], &target(Amd64, 6, 1, 7601)), None);
        assert_eq!(chosen(&["NTx86", "NTamd64"], &target(Amd64, 6, 1, 7601)).as_deref(), Some("m.ntamd64"));
        assert_eq!(chosen(&["NTx86", "NTamd64.6.2"], &target(Amd64, 6, 1, 7601)), None);
    }

    #[test]
    fn products_and_suites() {
        let mut host = target(Architecture::Amd64, 6, 1, 7601);
        let list = ["NTamd64.6.1", "NTamd64.6.1.3", "NTamd64.6.1.3.0x80"];
        assert_eq!(chosen(&list, &host).as_deref(), Some("m.ntamd64.6.1"));
        host.product = SERVER;
        assert_eq!(chosen(&list, &host).as_deref(), Some("m.ntamd64.6.1.3"));
        host.suite = 0x82;
        assert_eq!(chosen(&list, &host).as_deref(), Some("m.ntamd64.6.1.3.0x80"));
        host.product = CONTROLLER;
        assert_eq!(chosen(&list, &host).as_deref(), Some("m.ntamd64.6.1"));
    }

    #[test]
    fn install_sections() {
        let inf = Inf::parse(b"[i]\n[I.NT]\n[i.ntamd64]\n[i.Services]\n[j]\n[j.ntx86]\n", 0).expect("parses");
        let host = target(Architecture::Amd64, 10, 0, 19045);
        assert_eq!(install(&inf, "I", &host).as_deref(), Some("i.ntamd64"));
        assert_eq!(install(&inf, "J", &host).as_deref(), Some("j"));
        assert_eq!(install(&inf, "k", &host), None);
        assert_eq!(install(&inf, "i", &target(Architecture::X86, 5, 0, 2195)).as_deref(), Some("i.nt"));
    }
}
