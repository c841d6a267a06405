//! What has to change for other hardware.

use crate::work::Work;
use crate::{boot, files, metadevices, mounts, network, release, storage, tables, zfs, zones};
use wherry_sdk::source::Adaptation;
use wherry_sdk::{DeviceProfile, Error, ErrorKind, Fact, Result, Tree};

/// Edits the guest that `identify` has mounted.
pub fn adapt(guest: &dyn Tree, profile: &DeviceProfile, options: &[Fact]) -> Result<Adaptation> {
    let missing = || Error::new(ErrorKind::NotFound, "there is no Solaris system among the volumes");
    let root = mounts::mount(guest).ok_or_else(missing)?;
    let mut work = Work::new(guest, profile, options, root);
    check_options(&mut work);
    if !check_processor(&mut work) {
        return Ok(work.result);
    }
    if !work.root.others.is_empty() {
        let others = work.root.others.join(", ");
        work.note(format!("further systems were left as they are: {others}"));
    }
    let managed = check_metadevices(&mut work);
    let given = if managed { None } else { tables::plan(&mut work) };
    let starts = boot::check(&mut work);
    // what is refused anyway is not edited by halves
    if starts
        && !managed
        && let Some(place) = boot::adapt(&mut work)?
    {
        storage::adapt(&mut work, &place)?;
        tables::adapt(&mut work, given)?;
    }
    zfs::adapt(&mut work);
    network::adapt(&mut work)?;
    by_hand(&mut work);
    if !zones::zones(guest).is_empty() {
        work.note(
            "zones move with the system; those with a network of their own have been given its new name"
                .into(),
        );
    }
    Ok(work.result)
}

/// A word that nobody understands is not passed over: there are no options but the cards' addresses.
fn check_options(work: &mut Work<'_>) {
    for option in work.options.iter().filter(|option| !option.key.starts_with("nic.")) {
        let message = format!("`{}` is not something this adapter knows", option.key);
        work.block("solaris.unknown-option", message, "leave out --guest: Solaris guests have no options");
    }
}

/// Whether the guest's programs run on the target's processor.
fn check_processor(work: &mut Work<'_>) -> bool {
    let own = release::architecture(work.guest);
    let target = work.profile.architecture.as_str();
    let same = match own {
        "x86" | "x86_64" => target == "x86_64",
        "sparc" => target.starts_with("sparc"),
        _ => false,
    };
    if same {
        if own == "sparc" {
            work.note("nothing was changed: a logical domain finds its disks and cards by itself where they have the old names (ldm add-vdisk, ldm add-vnet); if not: boot -r".into());
        }
        return own != "sparc";
    }
    if own == "sparc" {
        let message = format!(
            "{} is built for SPARC, and the new machine has {target}: no program of it, the kernel included, can run there",
            work.release.product
        );
        let remedy = "keep it as an image and deploy that to a logical domain or another SPARC machine; or install Solaris on the new machine and bring the applications that exist for x86: from a flash archive of the data (flarcreate -n NAME -x /platform ...), or by installing them in a zone of their own";
        work.block("solaris.architecture", message, remedy);
    } else {
        let message =
            format!("{} is built for {own}, and the new machine has {target}", work.release.product);
        work.block("solaris.architecture", message, "choose a target with the same processors");
    }
    false
}

/// Whether the Volume Manager has the root or other file systems: its databases name disks by driver and device identifier.
fn check_metadevices(work: &mut Work<'_>) -> bool {
    let all = metadevices::read(work.guest);
    let system = files::text(work.guest, "/etc/system").unwrap_or_default();
    let table = files::text(work.guest, "/etc/vfstab").unwrap_or_default();
    let entries = crate::vfstab::entries(&table);
    let of = |path: &str| {
        entries.iter().find(|entry| entry.path == path).and_then(|entry| metadevices::name(entry.special))
    };
    if let Some(root) = metadevices::root(&system).or_else(|| of("/").map(str::to_owned)) {
        let message = format!(
            "the root is on the metadevice {root}, and md.conf in the boot archive says by the old disks' driver where the Volume Manager's databases are"
        );
        let remedy = format!(
            "take the root off it in the running guest before the move, and mirror it again afterwards: {}",
            metadevices::unmirror(&all, &root)
        );
        work.block("solaris.metadevices.root", message, &remedy);
        return true;
    }
    let used: Vec<&str> = entries
        .iter()
        .filter(|entry| metadevices::name(entry.special).is_some())
        .map(|entry| entry.special)
        .collect();
    if used.is_empty() {
        return false;
    }
    let message =
        format!("{} are metadevices, whose databases name the old machine's disks", used.join(", "));
    let remedy = "put these file systems on plain slices in the guest before the move, or take their lines out of /etc/vfstab and set the metadevices up again afterwards (metadb, metainit)";
    work.block("solaris.metadevices", message, remedy);
    true
}

/// What could not be edited is told, in full.
fn by_hand(work: &mut Work<'_>) {
    if work.commands.is_empty() {
        return;
    }
    let commands = work.commands.join("\n");
    let message = format!(
        "the root on {} cannot be edited ({}), and has to be changed for the new machine",
        work.root.id, work.root.why
    );
    let remedy = format!(
        "make these changes in the guest itself right before its last shutdown, with / for /a, or from failsafe or installation media, with the root mounted at /a:\n{commands}"
    );
    work.block("solaris.root.read-only", message, &remedy);
}
