//! What the registry says of the system as a whole.

use crate::decoration::Architecture;
use crate::hives::{Hives, Store};
use crate::version::{TEN, Version};
use wherry_sdk::Result;

const NT: &str = r"Microsoft\Windows NT\CurrentVersion";
/// The first build of Windows 11, whose product name is that of Windows 10.
const ELEVEN: u32 = 22000;

/// One Windows.
#[derive(Clone, Debug)]
pub struct System {
    /// Kernel and build.
    pub version: Version,
    /// Its processors.
    pub machine: Architecture,
    /// A server of any kind.
    pub server: bool,
    /// A domain controller.
    pub controller: bool,
    /// For people: `Windows Server 2019 Standard`.
    pub product: String,
    /// `EditionID`: Professional, ServerStandard; empty before Vista.
    pub edition: String,
    /// `Service Pack 1`; empty without one and from Windows 8 on.
    pub service_pack: String,
    /// The machine's name.
    pub hostname: Option<String>,
    /// The domain that it is a member of.
    pub domain: Option<String>,
    /// All control sets.
    pub sets: Vec<String>,
    /// The control set that was used last.
    pub current: String,
}

impl System {
    /// Reads it.
    pub fn read(hives: &mut Hives<'_>) -> Result<Self> {
        let current = hives.current()?;
        let sets = hives.control_sets()?;
        let text = |hives: &mut Hives<'_>, name: &str| hives.text(Store::Software, NT, name);
        let product_name = text(hives, "ProductName")?.unwrap_or_default();
        let control = |rest: &str| format!(r"{current}\Control\{rest}");
        let kind = hives.text(Store::System, &control("ProductOptions"), "ProductType")?.unwrap_or_default();
        let server = !kind.is_empty() && !kind.eq_ignore_ascii_case("WinNT");
        let version = version(hives)?;
        let environment = control(r"Session Manager\Environment");
        let machine = hives.text(Store::System, &environment, "PROCESSOR_ARCHITECTURE")?;
        let machine = machine.and_then(|text| Architecture::of(&text)).unwrap_or(Architecture::X86);
        let name = control(r"ComputerName\ComputerName");
        let hostname = hives.text(Store::System, &name, "ComputerName")?.filter(|name| !name.is_empty());
        let edition = text(hives, "EditionID")?.unwrap_or_default();
        let domain = domain(hives, &current)?;
        let service_pack = text(hives, "CSDVersion")?.unwrap_or_default();
        Ok(Self {
            product: product(&product_name, version, server),
            version,
            machine,
            server,
            controller: kind.eq_ignore_ascii_case("LanmanNT"),
            edition,
            service_pack,
            hostname,
            domain,
            sets,
            current,
        })
    }
}

/// `CurrentMajorVersionNumber` where it is (Windows 10 and later say 6.3 in `CurrentVersion`), else `CurrentVersion`.
fn version(hives: &mut Hives<'_>) -> Result<Version> {
    let number = |hives: &mut Hives<'_>, name: &str| hives.number(Store::Software, NT, name);
    let text = |hives: &mut Hives<'_>, name: &str| hives.text(Store::Software, NT, name);
    let said = text(hives, "CurrentVersion")?.unwrap_or_default();
    let mut parts = said.split('.').map(|part| part.trim().parse().unwrap_or(0));
    let old = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    let major = number(hives, "CurrentMajorVersionNumber")?.and_then(|number| u32::try_from(number).ok());
    let minor = number(hives, "CurrentMinorVersionNumber")?.and_then(|number| u32::try_from(number).ok());
    let build = match text(hives, "CurrentBuildNumber")? {
        Some(build) => Some(build),
        None => text(hives, "CurrentBuild")?,
    };
    let build = build.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let (major, minor) = major.map_or(old, |major| (major, minor.unwrap_or(0)));
    Ok(Version { major, minor, build })
}

/// What people call it: Windows 11 still says that it is Windows 10, and NT 4.0 and 2000 say no more than their family.
fn product(name: &str, version: Version, server: bool) -> String {
    let name = name.trim();
    if !server && version >= TEN.build(ELEVEN) && name.starts_with("Windows 10") {
        return name.replacen("Windows 10", "Windows 11", 1);
    }
    if name.is_empty() || name.eq_ignore_ascii_case("Microsoft Windows NT") || name == "Windows NT" {
        return format!("Windows {}", version.family(server));
    }
    let plain = name.replace("Microsoft ", "").replace("(R)", "").replace(['®', '™'], "").replace("(TM)", "");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The domain whose member it is, if it is one. A DNS suffix alone does not make a member: the machine's account does, and
/// Netlogon starts by itself then.
fn domain(hives: &mut Hives<'_>, current: &str) -> Result<Option<String>> {
    let services = format!(r"{current}\Services");
    let netlogon = hives.number(Store::System, &format!(r"{services}\Netlogon"), "Start")?;
    if netlogon != Some(2) {
        return Ok(None);
    }
    let dns = hives.text(Store::System, &format!(r"{services}\Tcpip\Parameters"), "Domain")?;
    if let Some(dns) = dns.filter(|dns| !dns.is_empty()) {
        return Ok(Some(dns));
    }
    let winlogon = format!(r"{NT}\Winlogon");
    Ok(hives.text(Store::Software, &winlogon, "DefaultDomainName")?.filter(|name| !name.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{NT4, W2003};

    #[test]
    fn products() {
        let eleven = TEN.build(22631);
        assert_eq!(product("Windows 10 Pro", eleven, false), "Windows 11 Pro");
        assert_eq!(
            product("Windows Server 2022 Standard", TEN.build(20348), true),
            "Windows Server 2022 Standard"
        );
        assert_eq!(product("", NT4.build(1381), true), "Windows NT 4.0 Server");
        assert_eq!(product("Microsoft Windows Server 2003 R2", W2003, true), "Windows Server 2003 R2");
    }
}
