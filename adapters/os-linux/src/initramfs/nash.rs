//! Images of Red Hat's mkinitrd (RHEL 4 and 5, Fedora until 11): `/init` is a script for nash, which loads each module by a line
//! of its own and knows no index of modules; the modules lie flat in `/lib` (mkinitrd's `mkinitrd` and `nash.8`).
//!
//! ```text
//! echo "Loading mptspi.ko module"
//! insmod /lib/mptspi.ko
//! mkblkdevs                               # RHEL 4: /sbin/udevstart
//! lvm vgchange -ay VolGroup00
//! mkrootdev -t ext3 -o defaults,ro /dev/VolGroup00/LogVol00
//! ```
//! What makes the device nodes must run after a driver and before anything looks for the root: the new lines come before it.
//! `root=` of the kernel's command line is preferred to what the script says (nash.c, `mkrootdevCommand`).

use super::family::Files;
use super::library::Library;
use super::rootfs::Rootfs;
use wherry_sdk::{Error, Result};

const INIT: &str = "init";
/// What looks for the root, or for what it lies on.
const SEEKERS: [&str; 5] = ["mkrootdev", "lvm", "raidautorun", "dmraid", "resume"];
/// What makes device nodes.
const MAKERS: [&str; 3] = ["mkblkdevs", "/sbin/udevstart", "udevstart"];
/// What waits for drivers that were loaded.
const WAITERS: [&str; 2] = ["stabilized", "sleep"];

/// The script's lines.
struct Script<'a> {
    lines: Vec<&'a str>,
}

fn command(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// The module that a line loads: `insmod /lib/scsi_mod.ko`.
fn loaded(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let path = words.next().filter(|word| *word == "insmod").and_then(|_| words.next())?;
    path.strip_prefix("/lib/")?.strip_suffix(".ko")
}

impl<'a> Script<'a> {
    fn read(base: &'a Rootfs) -> Result<(String, Script<'a>)> {
        let bytes =
            base.content(INIT).ok_or_else(|| Error::unsupported("/init in it is too long to be edited"))?;
        let text = std::str::from_utf8(bytes).map_err(|_| Error::unsupported("/init in it is not text"))?;
        Ok((text.to_owned(), Script { lines: text.split_inclusive('\n').collect() }))
    }

    /// Whether the module is loaded before the line at `end`, by a file that is there.
    fn loads(&self, base: &Rootfs, module: &str, end: usize) -> bool {
        let named = |name: &str| {
            name.replace('-', "_") == module && base.regular(&format!("lib/{name}.ko")).is_some()
        };
        self.lines.iter().take(end).filter_map(|line| loaded(line)).any(named)
    }

    /// The line before which drivers must be loaded: what makes device nodes for the first that looks for the root.
    fn place(&self) -> Option<usize> {
        // the mounts before the modules are of /proc and the like
        let first_module = self.lines.iter().position(|line| loaded(line).is_some()).unwrap_or(0);
        let seeks = |line: &&str| SEEKERS.contains(&command(line));
        let seeker = self.lines.iter().skip(first_module).position(seeks)? + first_module;
        let mut place = self.lines.iter().take(seeker).rposition(|line| MAKERS.contains(&command(line)))?;
        let waits = |line: &str| WAITERS.contains(&command(line)) || line.starts_with("echo Waiting");
        while place.checked_sub(1).and_then(|above| self.lines.get(above)).is_some_and(|line| waits(line)) {
            place -= 1;
        }
        Some(place)
    }
}

/// The modules that are wanted with all they need, in the order of loading.
fn closure(library: &Library<'_>, wanted: &[String]) -> Result<Vec<String>> {
    let mut all: Vec<String> = Vec::new();
    for module in wanted {
        let new = library.closure(module)?;
        all.extend(new.into_iter().filter(|module| !all.contains(module)).collect::<Vec<_>>());
    }
    Ok(all)
}

/// The files that make the script load what it does not load in time, and the names of those modules. None: nothing is missing.
pub fn extend(
    base: &Rootfs,
    library: &Library<'_>,
    release: &str,
    wanted: &[String],
) -> Result<(Files, Vec<String>)> {
    let (_, script) = Script::read(base)?;
    let place = script.place();
    let place = place.ok_or_else(|| {
        Error::unsupported("nothing in its /init makes the device of the root after its drivers")
    })?;
    let missing: Vec<String> =
        closure(library, wanted)?.into_iter().filter(|module| !script.loads(base, module, place)).collect();
    let mut files = Files::new();
    let mut lines = String::new();
    for module in &missing {
        let fetched = library.fetch(module, release, &|_| false)?;
        let name =
            fetched.path.rsplit('/').next().and_then(|file| file.strip_suffix(".ko")).unwrap_or(module);
        lines.push_str(&format!("echo \"Loading {name}.ko module\"\ninsmod /lib/{name}.ko \n"));
        files.insert(format!("lib/{name}.ko"), fetched.bytes);
    }
    if !missing.is_empty() {
        let (before, after) = script.lines.split_at(place.min(script.lines.len()));
        files.insert(INIT.to_owned(), format!("{}{lines}{}", before.concat(), after.concat()).into_bytes());
    }
    Ok((files, missing))
}

/// Whether the script loads everything that is wanted, each after what it needs, and in time. Otherwise what it does not.
pub fn check(merged: &Rootfs, library: &Library<'_>, wanted: &[String]) -> std::result::Result<(), String> {
    let reason = |error: Error| error.message;
    let (_, script) = Script::read(merged).map_err(reason)?;
    let place = script.place().ok_or("nothing would make the device of the root")?;
    let at = |module: &str| {
        script.lines.iter().position(|line| loaded(line).is_some_and(|name| name.replace('-', "_") == module))
    };
    for module in closure(library, wanted).map_err(reason)? {
        if !script.loads(merged, &module, place) {
            return Err(format!("module {module} would not be loaded in time"));
        }
        let needs = library.needs(&module);
        let late = needs
            .iter()
            .filter(|need| !library.built_in(need))
            .find(|need| at(need).is_none_or(|need| Some(need) > at(&module)));
        if let Some(need) = late {
            return Err(format!("module {module} would be loaded before {need}"));
        }
    }
    Ok(())
}
