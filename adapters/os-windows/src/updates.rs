//! Updates of Windows that drivers depend on.

use crate::hives::Store;
use crate::resource::{self, FileVersion};
use crate::version::{EIGHT, SEVEN};
use crate::work::Work;
use wherry_sdk::Result;

const PACKAGES: &str = r"Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages";
/// Updates that teach SHA-2 to the kernel of 7 and 2008 R2 (Microsoft Security Advisory 3033929), of Vista and 2008 (KB4039648), of
/// both (KB4474419), or contain one (KB3125574, the "convenience rollup" of April 2016).
const SHA2: [&str; 4] = ["KB3033929", "KB4039648", "KB4474419", "KB3125574"];
/// Monthly rollups, of which only the later ones contain it.
const ROLLUP: &str = "Package_for_RollupFix~";
/// `CurrentState` of packages whose files are there: superseded by a later one, installed, permanent.
const THERE: [u64; 3] = [0x50, 0x70, 0x80];
/// Packages that are looked at; a server has some thousands.
const PACKAGES_MOST: usize = 50_000;
/// `wintrust.dll` as KB3033929 brings it, on the branch of security updates and on that of all fixes, which begins at 20000
/// (dokan-dev/dokany issue 306; the installers of dokany and Keybase decide by it).
const SECURITY: FileVersion = FileVersion([6, 1, 7601, 18741]);
const FIXES_FROM: FileVersion = FileVersion([6, 1, 7601, 20000]);
const FIXES: FileVersion = FileVersion([6, 1, 7601, 22948]);
/// The largest `wintrust.dll` that is read; it has 200 to 300 KB.
const FILE_MOST: u64 = 4 << 20;

/// Whether the kernel checks signatures by SHA-2; none where that cannot be told.
pub fn knows_sha2(work: &mut Work<'_>) -> Result<Option<bool>> {
    if work.system.version >= EIGHT {
        return Ok(Some(true));
    }
    let names = work.hives.keys(Store::Software, PACKAGES)?;
    let (mut seen, mut rollup) = (false, false);
    for name in names.iter().take(PACKAGES_MOST) {
        let update = name.strip_prefix("Package_for_");
        if update.is_some_and(|rest| SHA2.iter().any(|own| is(rest, own))) {
            let state = work.hives.number(Store::Software, &format!(r"{PACKAGES}\{name}"), "CurrentState")?;
            if state.is_some_and(|state| THERE.contains(&state)) {
                return Ok(Some(true));
            }
        }
        seen |= update.is_some();
        rollup |= name.starts_with(ROLLUP);
    }
    let path = work.place.path("System32/wintrust.dll");
    let file = work.guest.read_all(&path, FILE_MOST).ok();
    let version = file.and_then(|bytes| resource::version(&bytes)).filter(|_| work.system.version >= SEVEN);
    Ok(match version {
        Some(version) => Some(is_new(version)),
        None if seen && !rollup => Some(false),
        None => None,
    })
}

/// Whether `KB3033929~31bf...` or `KB3033929_SP1~...` is that update.
fn is(rest: &str, update: &str) -> bool {
    rest.strip_prefix(update).is_some_and(|rest| rest.starts_with(['~', '_']))
}

fn is_new(version: FileVersion) -> bool {
    version >= FIXES || (SECURITY..FIXES_FROM).contains(&version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let new = |build, revision| is_new(FileVersion([6, 1, build, revision]));
        assert!(new(7601, 18741) && new(7601, 22948) && new(7601, 24545));
        assert!(!new(7600, 16385) && !new(7601, 17514) && !new(7601, 18740));
        // An update of the other branch that is older, with a higher number (KB2862966).
        assert!(!new(7601, 22380) && !new(7601, 22947));
    }

    #[test]
    fn names() {
        assert!(
            is("KB3033929~31bf3856ad364e35~amd64~~6.1.1.1", "KB3033929")
                && is("KB3033929_SP1~3", "KB3033929")
        );
        assert!(!is("KB30339291~3", "KB3033929") && !is("1_for_KB3033929~3", "KB3033929"));
    }
}
