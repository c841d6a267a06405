//! Which Solaris or illumos this is, and where its parts are.

use crate::files::{exists, text};
use crate::{archive, boot, menu, metadevices, mounts, network, release, zones};
use wherry_sdk::source::OperatingSystem;
use wherry_sdk::{Fact, Result, Tree, fact, find};

/// Boot archives of SPARC.
const SPARC: [&str; 2] = ["/platform/sun4u/boot_archive", "/platform/sun4v/boot_archive"];

/// Finds the root volume and mounts it with what belongs to it.
pub fn identify(guest: &dyn Tree) -> Result<Option<OperatingSystem>> {
    let Some(root) = mounts::mount(guest) else { return Ok(None) };
    let Some(release) = release::release(guest) else { return Ok(None) };
    let mut facts = vec![fact("root.volume", &root.id), fact("root.kind", &root.kind)];
    facts.extend(root.mounts.iter().map(|(path, outcome)| fact(format!("mount.{path}"), outcome)));
    numbered(&mut facts, "other-root", root.others.clone());
    facts.extend(release.update.as_ref().map(|update| fact("release.update", update)));
    facts.extend(release::kernel(guest).map(|kernel| fact("kernel.patch", kernel)));
    numbered(&mut facts, "platform", release::platforms(guest));
    boot_facts(guest, &root, &mut facts);
    let metadevices =
        metadevices::read(guest).into_iter().map(|one| format!("{} {}", one.name, one.form)).collect();
    numbered(&mut facts, "metadevice", metadevices);
    numbered(&mut facts, "zone", zones::zones(guest));
    numbered(&mut facts, "network", network::interfaces(guest));
    facts.extend(guest.room("/").ok().map(|room| fact("free./", room.free)));
    Ok(Some(OperatingSystem {
        family: "solaris".to_owned(),
        id: release.id,
        product: release.product,
        version: release.version,
        architecture: release::architecture(guest).to_owned(),
        hostname: release::hostname(guest),
        facts,
    }))
}

fn numbered(facts: &mut Vec<Fact>, key: &str, values: Vec<String>) {
    facts.extend(values.into_iter().enumerate().map(|(n, value)| fact(format!("{key}.{n}"), value)));
}

fn boot_facts(guest: &dyn Tree, root: &mounts::Root, facts: &mut Vec<Fact>) {
    let volumes = guest.volumes();
    let own = volumes.iter().find(|volume| volume.id == root.id);
    let of = |key| own.and_then(|volume| find(&volume.facts, key)).unwrap_or_default();
    let mut environments = zones::live_upgrade(guest);
    environments.extend(of("fs.boot-environments").lines().map(str::to_owned));
    numbered(facts, "boot-environment", environments);
    if !of("fs.bootfs").is_empty() {
        facts.push(fact("boot.bootfs", of("fs.bootfs")));
    }
    let archives = archive::ARCHIVES.into_iter().chain(SPARC);
    let archives = archives.filter_map(|path| Some(format!("{path} {}", archive::kind(guest, path)?.name())));
    numbered(facts, "boot-archive", archives.collect());
    let environment = text(guest, "/boot/solaris/bootenv.rc").unwrap_or_default();
    for name in ["bootpath", "console", "boot-args"] {
        let value = menu::property(&environment, name).filter(|value| !value.is_empty());
        facts.extend(value.map(|value| fact(format!("eeprom.{name}"), value)));
    }
    let entries = text(guest, boot::MENU).map(|text| menu::entries(&text)).unwrap_or_default();
    facts.extend(loader(guest, !entries.is_empty()).map(|name| fact("boot-loader", name)));
    numbered(facts, "entry", entries.into_iter().map(|entry| entry.title).collect());
}

fn loader(guest: &dyn Tree, menu: bool) -> Option<&'static str> {
    let has = |paths: &[&str]| paths.iter().any(|path| exists(guest, path));
    if has(&["/boot/loader.conf", "/boot/defaults/loader.conf"]) {
        return Some("loader");
    }
    if has(&["/usr/lib/grub2/bios/i386-pc", "/boot/grub/grub.cfg"]) {
        return Some("grub2");
    }
    (menu || has(&["/boot/grub/stage2"])).then_some("grub-legacy")
}
