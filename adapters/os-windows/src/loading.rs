//! Whether Windows will load the drivers of a package: their processors and their signatures (Microsoft, "Kernel-Mode Code
//! Signing Requirements"; "Driver Signing changes in Windows 10, version 1607", with what is exempt: no Secure Boot, upgraded
//! systems, older certificates).

use crate::decoration::{Architecture, Target};
use crate::import::{Guest, Parcel};
use crate::install::{BOOT, KERNEL};
use crate::resource;
use crate::signature::{self, Signer};
use wherry_sdk::{Concern, Error, ErrorKind, Result, Severity, concern};

/// The build of version 1607, which asks for Microsoft's own signature where Secure Boot is on.
const PORTAL_FROM: u32 = 14393;

/// Drivers among the files that a package copies.
fn drivers<'a>(parcel: &'a Parcel<'_>) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    let copies = parcel.install.copies.iter();
    let drivers = copies.filter(|copy| copy.source.to_ascii_lowercase().ends_with(".sys"));
    drivers.filter_map(|copy| Some((copy.source.as_str(), parcel.files.get(&copy.source)?.as_slice())))
}

/// Makes sure that the drivers are programs, and for a system's processors. [`ErrorKind::Unsupported`]: they are for others.
pub fn check(parcel: &Parcel<'_>, target: &Target) -> Result<()> {
    for (name, bytes) in drivers(parcel) {
        let machine = resource::machine(bytes).ok_or_else(|| {
            let message = format!("{name} is damaged: it is no program (PE)");
            Error::new(ErrorKind::Corrupt, message)
        })?;
        if machine != target.architecture.machine() {
            let made = Architecture::of_machine(machine).map_or("other processors", Architecture::name);
            let message =
                format!("{name} is for {made}, and this Windows is for {}", target.architecture.name());
            return Err(Error::unsupported(message));
        }
    }
    Ok(())
}

/// How a guest looks at signatures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signing {
    /// Whether it knows SHA-2; none where that cannot be told.
    pub knows_sha2: Option<bool>,
    /// Whether its firmware checks signatures.
    pub secure_boot: bool,
    /// The operator vouches for the drivers.
    pub trusted: bool,
}

/// What may keep 64-bit Windows since Vista from loading a driver.
struct Trouble {
    id: &'static str,
    what: String,
    remedy: &'static str,
    /// Whether it is sure.
    sure: bool,
}

const RELEASED: &str = "lend the driver as its maker released it for this Windows; where this Windows is in test mode (testsigning), \
                        say --guest driver-signatures=trusted";

/// What speaks against the drivers' signatures. A driver that the loader starts has to have one in itself, others may have a
/// catalog's.
pub fn concerns(guest: &Guest<'_>, parcel: &Parcel<'_>) -> Vec<Concern> {
    if guest.target.version() < (6, 0) || !guest.target.architecture.is_wide() {
        return Vec::new();
    }
    let catalog = parcel.catalog.as_ref().and_then(|name| parcel.files.get(name)).map(Vec::as_slice);
    let mut all = Vec::new();
    for service in parcel.install.services.iter().filter(|service| KERNEL.contains(&service.kind)) {
        let mut copies = parcel.install.copies.iter();
        let copy = copies.find(|copy| copy.destination.eq_ignore_ascii_case(&service.binary));
        let Some((name, bytes)) = copy.and_then(|copy| Some((&copy.source, parcel.files.get(&copy.source)?)))
        else {
            continue;
        };
        let boot = service.start == BOOT;
        let own = signature::embedded(bytes);
        let signature = if boot { own } else { own.or(catalog) };
        let Some(trouble) = trouble(guest, name, signature) else { continue };
        let effect =
            if boot { "and it is needed to start (0xc0000428)" } else { "and its device has no driver then" };
        let block = boot && trouble.sure && !guest.signing.trusted;
        let severity = if block { Severity::Blocking } else { Severity::Warning };
        all.push(concern(severity, trouble.id, format!("{}, {effect}", trouble.what), Some(trouble.remedy)));
    }
    all
}

fn trouble(guest: &Guest<'_>, name: &str, signature: Option<&[u8]>) -> Option<Trouble> {
    let (version, build) = (guest.target.version(), guest.target.build);
    let signing = &guest.signing;
    let Some(signature) = signature else {
        let what = format!("{name} has no signature, without which 64-bit Windows refuses it");
        return Some(Trouble { id: "windows.driver.unsigned", what, remedy: RELEASED, sure: true });
    };
    match signature::signer(signature) {
        Signer::Other => {
            let what = format!(
                "{name} has a signature of no signer that Windows knows (a test signature), and is refused"
            );
            Some(Trouble { id: "windows.driver.test-signed", what, remedy: RELEASED, sure: true })
        }
        Signer::Cross if (version, build) >= ((10, 0), PORTAL_FROM) => {
            let (sure, when) = match signing.secure_boot {
                true => (true, "refuses it with Secure Boot"),
                false => (false, "refuses it once Secure Boot is on"),
            };
            let what =
                format!("{name} is signed by its maker, not by Microsoft: Windows since version 1607 {when}");
            let remedy = "lend a driver that Microsoft has signed (for virtio: of virtio-win 0.1.215 or later), or choose a machine \
                          without Secure Boot; where the maker's certificate is from before 2015-07-29, or Windows was upgraded \
                          from an earlier one, say --guest driver-signatures=trusted";
            Some(Trouble { id: "windows.driver.secure-boot", what, remedy, sure })
        }
        _ if version <= (6, 1) && signing.knows_sha2 != Some(true) && signature::needs_sha2(signature) => {
            let sure = signing.knows_sha2 == Some(false);
            let known = if sure { "does not know" } else { "may not know" };
            let what =
                format!("{name} is signed with SHA-2, which this Windows {known}, and is refused without");
            let remedy = if version == (6, 1) {
                "install KB3033929 or KB4474419 before the move, lend a driver that is signed with SHA-1, or say \
                 --guest driver-signatures=trusted where it is known to load"
            } else {
                "install KB4039648 or KB4474419 before the move, lend a driver that is signed with SHA-1, or say \
                 --guest driver-signatures=trusted where it is known to load"
            };
            Some(Trouble { id: "windows.driver.sha2", what, remedy, sure })
        }
        _ => None,
    }
}
