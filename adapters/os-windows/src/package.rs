//! Driver packages in a directory that the operator names, and which of them is the best for a device on a system (Microsoft,
//! "How Windows selects a driver package for a device", "Identifier Score", "Feature Score").

use crate::decoration::{Architecture, Target, WORKSTATION};
use crate::files;
use crate::inf::{INF_MOST, Inf, number};
use crate::install::{self, Model};
use std::collections::BTreeMap;
use wherry_sdk::image::Uuid;
use wherry_sdk::{Result, Tree};

/// The largest file of a package that is read.
const FILE_MOST: u64 = 256 << 20;
/// A device's ids are compared with those of an INF file that say more of it: the rank of such a match.
const EXTENDED: u32 = 0x800;

/// A package: an INF file and the files beside and below it.
pub struct Package {
    /// Its folder in the tree.
    pub folder: String,
    /// Its INF file's name.
    pub name: String,
    /// The INF file as it is.
    pub bytes: Vec<u8>,
    /// The same, parsed.
    pub inf: Inf,
}

/// Date and version of a driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DriverVersion {
    /// Year, month, day.
    pub date: (u32, u32, u32),
    /// Four numbers.
    pub version: [u16; 4],
}

impl DriverVersion {
    /// Reads `02/25/2024,100.94.104.24800`.
    pub fn parse(fields: &[String]) -> Option<Self> {
        let mut date = fields.first()?.split(['/', '-']).map(|part| part.trim().parse::<u32>().ok());
        let (month, day, year) = (date.next()??, date.next()??, date.next()??);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1601..=9999).contains(&year) {
            return None;
        }
        let mut version = [0; 4];
        let given = fields.get(1).map(String::as_str).unwrap_or_default();
        for (place, part) in version.iter_mut().zip(given.split('.')) {
            *place = part.trim().parse().unwrap_or(0);
        }
        Some(Self { date: (year, month, day), version })
    }

    /// The date as FILETIME: 100 ns from 1601 on, at midnight (days by the proleptic Gregorian calendar).
    pub fn filetime(&self) -> u64 {
        let (year, month, day) = self.date;
        let (year, month) = if month > 2 { (year, month - 3) } else { (year.saturating_sub(1), month + 9) };
        let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
        // 584,695 days lie between 0000-02-29 and 1601-01-01 in this count.
        u64::from(days.saturating_sub(584_695)) * 864_000_000_000
    }
}

impl Package {
    /// Parses an INF file that is in a folder of the tree.
    pub fn parse(folder: &str, name: &str, bytes: Vec<u8>, language: u16) -> Result<Self> {
        let inf = Inf::parse(&bytes, language)?;
        Ok(Self { folder: folder.into(), name: name.into(), bytes, inf })
    }

    /// For people: its path.
    pub fn path(&self) -> String {
        format!("{}/{}", self.folder, self.name)
    }

    /// The class of its devices; none where the file says none that is one.
    pub fn class(&self) -> Option<Uuid> {
        self.inf.value("Version", "ClassGuid").and_then(|text| Uuid::parse(&text.to_lowercase()))
    }

    /// Who made it.
    pub fn provider(&self) -> String {
        self.inf.value("Version", "Provider").unwrap_or_default()
    }

    /// Date and version.
    pub fn version(&self) -> DriverVersion {
        DriverVersion::parse(&self.inf.list("Version", "DriverVer")).unwrap_or_default()
    }

    /// Its catalog's name for a system; none where the package is unsigned.
    pub fn catalog(&self, target: &Target) -> Option<String> {
        let own = format!("CatalogFile.nt{}", target.architecture.suffix());
        let names = [own.as_str(), "CatalogFile.nt", "CatalogFile"];
        names.iter().find_map(|key| self.inf.value("Version", key)).filter(|name| !name.is_empty())
    }

    /// Bytes of a file of the package, by its path relative to the INF file, in any case; none where it is missing.
    pub fn read(&self, tree: &dyn Tree, relative: &str) -> Result<Option<Vec<u8>>> {
        let mut path = self.folder.clone();
        for part in relative.split('/') {
            let entries = tree.entries(&path).unwrap_or_default();
            let found = entries.iter().find(|entry| entry.name.eq_ignore_ascii_case(part));
            let Some(found) = found else { return Ok(None) };
            path = format!("{path}/{}", found.name);
        }
        tree.read_all(&path, FILE_MOST).map(Some)
    }
}

/// All packages in a folder of the tree and below it, and what was not one: paths with the reason.
pub fn find(tree: &dyn Tree, root: &str, language: u16) -> Result<(Vec<Package>, Vec<String>)> {
    Ok(among(tree, &files::below(tree, root)?, language))
}

/// The packages among these files, in their order.
pub fn among(tree: &dyn Tree, files: &[String], language: u16) -> (Vec<Package>, Vec<String>) {
    let (mut packages, mut odd) = (Vec::new(), Vec::new());
    for path in files.iter().filter(|path| path.to_ascii_lowercase().ends_with(".inf")) {
        let (folder, name) = files::split(path);
        let bytes = tree.read_all(path, INF_MOST as u64);
        match bytes.and_then(|bytes| Package::parse(folder, name, bytes, language)) {
            Ok(package) => packages.push(package),
            Err(e) => odd.push(format!("{path}: {}", e.message)),
        }
    }
    (packages, odd)
}

/// What a device says of itself, the most specific first.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// `PCI\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00`, ... The last may leave out what is not known; an INF file may say more.
    pub hardware: Vec<String>,
    /// `PCI\VEN_1AF4&CC_010000`, ...
    pub compatible: Vec<String>,
}

impl Device {
    /// A device of which only this much is known.
    pub fn new(id: &str) -> Self {
        Self { hardware: vec![id.to_owned()], compatible: Vec::new() }
    }

    /// How well a model fits: the identifier score, less is better; none where it does not.
    pub fn score(&self, model: &Model) -> Option<u32> {
        let mut best = None;
        for (place, id) in (0_u32..).zip(&model.ids) {
            let list = |own: &[String]| own.iter().position(|own| own.eq_ignore_ascii_case(id));
            let extended = self.hardware.iter().any(|own| {
                let head = id.get(..own.len()).is_some_and(|head| head.eq_ignore_ascii_case(own));
                head && id.get(own.len()..).is_some_and(|rest| rest.starts_with('&'))
            });
            let score = match (list(&self.hardware), list(&self.compatible)) {
                (Some(at), _) if place == 0 => Some(at as u32),
                (Some(at), _) => Some(0x1000 + at as u32),
                (_, Some(at)) if place == 0 => Some(0x2000 + at as u32),
                (_, Some(at)) => Some(0x3000 + at as u32),
                _ if extended && place == 0 => Some(EXTENDED),
                _ if extended => Some(0x1000 + EXTENDED),
                _ => None,
            };
            best = [best, score].into_iter().flatten().min();
        }
        best
    }
}

/// The best package for a device.
pub struct Choice<'a> {
    /// The package.
    pub package: &'a Package,
    /// Its model that fits the device best.
    pub model: Model,
}

/// What makes one package better than another; less is better.
type Rank = (bool, (u32, u32, bool, u32), u32, std::cmp::Reverse<DriverVersion>);

/// The packages for a device on a system, each with its best model, the best first: signed before unsigned, then by what its
/// folder is for, by rank, date and version. Empty where no package is for them; [`misfits`] tells what comes near.
pub fn ranked<'a>(packages: &'a [Package], device: &Device, target: &Target) -> Vec<Choice<'a>> {
    let mut all: Vec<(Rank, Choice<'a>)> = Vec::new();
    for package in packages {
        let Some(place) = place(&package.folder, target) else { continue };
        let mut best: Option<(Rank, Model)> = None;
        let unsigned = package.catalog(target).is_none();
        for model in install::models(&package.inf, target) {
            let Some(score) = device.score(&model) else { continue };
            let section = crate::decoration::install(&package.inf, &model.section, target);
            let feature = section.and_then(|section| package.inf.value(&section, "FeatureScore"));
            let feature = feature.and_then(|text| number(&format!("0x{}", text.trim_start_matches("0x"))));
            let rank = feature.unwrap_or(0xff).min(0xff) << 16 | score;
            let rank = (unsigned, place, rank, std::cmp::Reverse(package.version()));
            if best.as_ref().is_none_or(|(other, _)| rank < *other) {
                best = Some((rank, model));
            }
        }
        all.extend(best.map(|(rank, model)| (rank, Choice { package, model })));
    }
    all.sort_by_key(|(rank, _)| *rank);
    all.into_iter().map(|(_, choice)| choice).collect()
}

/// INF files that name a device, though for other systems than this one: what to tell an operator who has the wrong ones.
pub fn misfits(packages: &[Package], device: &Device) -> Vec<String> {
    let names = |inf: &Inf| {
        let sections: Vec<&str> = inf.names("").collect();
        sections.iter().flat_map(|section| inf.lines(section)).any(|line| {
            let ids = line.values.iter().skip(1).map(|id| inf.expand(id)).collect();
            let model = Model {
                description: String::new(),
                manufacturer: String::new(),
                section: String::new(),
                ids,
            };
            line.key.is_some() && device.score(&model).is_some()
        })
    };
    packages.iter().filter(|package| names(&package.inf)).map(Package::path).collect()
}

/// Names of folders that say for which system the drivers in them are (the layout of the virtio-win and VMware Tools disks).
const SYSTEMS: &[(&str, (u32, u32, u32), bool)] = &[
    ("nt4", (4, 0, 0), false),
    ("2k", (5, 0, 0), false),
    ("win2k", (5, 0, 0), false),
    ("xp", (5, 1, 0), false),
    ("wxp", (5, 1, 0), false),
    ("2k3", (5, 2, 0), true),
    ("wnet", (5, 2, 0), true),
    ("vista", (6, 0, 0), false),
    ("wlh", (6, 0, 0), true),
    ("2k8", (6, 0, 0), true),
    ("w7", (6, 1, 0), false),
    ("win7", (6, 1, 0), false),
    ("2k8r2", (6, 1, 0), true),
    ("w8", (6, 2, 0), false),
    ("win8", (6, 2, 0), false),
    ("2k12", (6, 2, 0), true),
    ("w8.1", (6, 3, 0), false),
    ("2k12r2", (6, 3, 0), true),
    ("w10", (10, 0, 10240), false),
    ("win10", (10, 0, 10240), false),
    ("2k16", (10, 0, 14393), true),
    ("2k19", (10, 0, 17763), true),
    ("2k22", (10, 0, 20348), true),
    ("w11", (10, 0, 22000), false),
    ("2k25", (10, 0, 26100), true),
];

/// How near a folder's name is to a system, less is nearer: its version's distance, whether it is of the other kind, its build's
/// distance. None where it is for a later one, or for other processors. A folder that names no system is for all.
fn place(folder: &str, target: &Target) -> Option<(u32, u32, bool, u32)> {
    let processors = folder.rsplit('/').find_map(Architecture::of_folder);
    if processors.is_some_and(|named| named != target.architecture) {
        return None;
    }
    let named =
        folder.rsplit('/').find_map(|part| SYSTEMS.iter().find(|(name, ..)| part.eq_ignore_ascii_case(name)));
    let Some((_, (major, minor, build), server)) = named else { return Some((0, 0, false, 0)) };
    let older = (*major, *minor) < target.version();
    if (*major, *minor) > target.version() || (!older && *build > target.build) {
        return None;
    }
    let other = *server != (target.product != WORKSTATION);
    let distance = target.major.saturating_sub(*major);
    let minor = if distance == 0 { target.minor - minor } else { 100 - (*minor).min(99) };
    Some((distance, minor, other, u32::MAX - build))
}

/// Counts of what was found, for people: `3 packages (viostor 2, netkvm 1)`.
pub fn summary(packages: &[Package]) -> String {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for package in packages {
        let name = package.name.to_lowercase();
        *counts.entry(name.trim_end_matches(".inf").to_owned()).or_default() += 1;
    }
    let list: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    format!("{} packages ({})", packages.len(), list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoration::SERVER;

    fn target(major: u32, minor: u32, build: u32, product: u32) -> Target {
        Target { architecture: Architecture::Amd64, major, minor, build, product, suite: 0, language: 0x409 }
    }

    fn package(folder: &str, version: &str) -> Package {
        let text = format!(
            "[Version]\nDriverVer={version}\nCatalogFile=a.cat\n[Manufacturer]\nm=M,NTamd64\n[M.NTamd64]\n\
             d=i,PCI\\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00,PCI\\VEN_1AF4&DEV_1001\n[i]\n"
        );
        Package::parse(folder, "a.inf", text.into_bytes(), 0x409).expect("parses")
    }

    #[test]
    fn versions_and_dates() {
        let parse =
            |text: &str| DriverVersion::parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>());
        let version = parse("02/25/2024,100.94.104.24800").expect("is one");
        assert_eq!((version.date, version.version), ((2024, 2, 25), [100, 94, 104, 24800]));
        // As a Windows 8.1 stored it of a real package.
        assert_eq!(parse("07/18/2016,5.0.26.0").expect("is one").filetime(), 0x01d1_e087_53b4_8000);
        assert_eq!(parse("01/01/1601").expect("is one").filetime(), 0);
        assert_eq!(parse("01/01/1970,1").expect("is one").filetime(), 11_644_473_600 * 10_000_000);
        assert_eq!((parse("13/01/2000"), parse("x")), (None, None));
        assert!(parse("01/02/2000,1.10.0.0") > parse("01/02/2000,1.9.0.0"));
    }

    #[test]
    fn ranks() {
        let model = |ids: &[&str]| Model {
            description: String::new(),
            manufacturer: String::new(),
            section: String::new(),
            ids: ids.iter().map(|&id| id.to_owned()).collect(),
        };
        let device =
            Device { hardware: vec!["H1".into(), "H2".into()], compatible: vec!["C1".into(), "C2".into()] };
        // "Driver rank example" of the source.
        assert_eq!(device.score(&model(&["h1"])), Some(0));
        assert_eq!(device.score(&model(&["H2"])), Some(1));
        assert_eq!(device.score(&model(&["x", "H2"])), Some(0x1001));
        assert_eq!(device.score(&model(&["C2"])), Some(0x2001));
        assert_eq!(device.score(&model(&["x", "C1"])), Some(0x3000));
        assert_eq!(device.score(&model(&["C1", "H1"])), Some(0x1000));
        assert_eq!(device.score(&model(&["H1&SUBSYS_1"])), Some(EXTENDED));
        assert_eq!(device.score(&model(&["H10", "x"])), None);
    }

    #[test]
    fn the_best_is_chosen() {
        let all = [
            package("/d/viostor/w10/amd64", "02/25/2024,1.0.0.0"),
            package("/d/viostor/2k19/amd64", "02/25/2024,1.0.0.0"),
            package("/d/viostor/2k16/amd64", "02/26/2024,1.0.0.0"),
            package("/d/viostor/w7/amd64", "02/25/2030,9.0.0.0"),
            package("/d/viostor/2k22/amd64", "02/25/2024,1.0.0.0"),
        ];
        let device = Device::new(r"PCI\VEN_1AF4&DEV_1001");
        let chosen =
            |target| ranked(&all, &device, &target).first().map(|choice| choice.package.folder.as_str());
        assert_eq!(chosen(target(10, 0, 17763, SERVER)), Some("/d/viostor/2k19/amd64"));
        assert_eq!(chosen(target(10, 0, 19045, WORKSTATION)), Some("/d/viostor/w10/amd64"));
        assert_eq!(chosen(target(10, 0, 22631, WORKSTATION)), Some("/d/viostor/w10/amd64"));
        assert_eq!(chosen(target(10, 0, 26100, SERVER)), Some("/d/viostor/2k22/amd64"));
        assert_eq!(chosen(target(6, 1, 7601, SERVER)), Some("/d/viostor/w7/amd64"));
        assert_eq!(chosen(target(6, 0, 6002, SERVER)), None);
        let other = Device::new(r"PCI\VEN_1AF4&DEV_1004");
        assert!(
            ranked(&all, &other, &target(10, 0, 17763, SERVER)).is_empty()
                && misfits(&all, &other).is_empty()
        );
        assert_eq!(misfits(&all, &device).len(), 5);
        let two = [
            package("/a", "01/01/2020,1.0.0.0"),
            package("/b", "01/01/2021,0.9.0.0"),
            package("/c", "01/01/2021,0.8.0.0"),
        ];
        assert_eq!(
            ranked(&two, &device, &target(10, 0, 17763, SERVER))
                .first()
                .map(|choice| choice.package.folder.as_str()),
            Some("/b")
        );
    }

    #[test]
    fn folders_of_other_processors_do_not_fit() {
        let folders = ["/d/x86/tools", "/d/w10/i386", "/d/amd64/w10", "/d/x64", "/d/ARM64"];
        let all = folders.map(|folder| package(folder, "01/01/2020,1.0.0.0"));
        let device = Device::new(r"PCI\VEN_1AF4&DEV_1001");
        let fit = ranked(&all, &device, &target(10, 0, 17763, SERVER));
        let fit: Vec<&str> = fit.iter().map(|choice| choice.package.folder.as_str()).collect();
        assert_eq!(fit, ["/d/x64", "/d/amd64/w10"]);
    }
}
