//! Which Linux this is, and where its parts are.

use crate::firmware::Loaders;
use crate::kernels::Kernel;
use crate::mounts::{self, Outcome};
use crate::release::{architecture, hostname, release};
use crate::{entries, interfaces, persist, tools};
use std::collections::BTreeSet;
use wherry_sdk::source::OperatingSystem;
use wherry_sdk::{Fact, Result, Tree, fact};

/// Finds the root volume and mounts it with what belongs to it.
pub fn identify(guest: &dyn Tree) -> Result<Option<OperatingSystem>> {
    let Some(root) = mounts::mount(guest) else { return Ok(None) };
    let release = release(guest);
    let mut facts = vec![fact("root.volume", &root.id)];
    facts.extend(root.subvolume.as_ref().map(|subvolume| fact("root.subvolume", subvolume)));
    describe(guest, &root, &mut facts);
    Ok(Some(OperatingSystem {
        family: "linux".to_owned(),
        id: release.id,
        product: release.product,
        version: release.version,
        architecture: architecture(guest).to_owned(),
        hostname: hostname(guest),
        facts,
    }))
}

fn describe(guest: &dyn Tree, root: &mounts::Root, facts: &mut Vec<Fact>) {
    for mount in &root.mounts {
        let outcome = match &mount.outcome {
            Outcome::Mounted(id) => format!("{} {id}", mount.source),
            Outcome::NotFound => format!("{} not found", mount.source),
            Outcome::Failed(why) => format!("{} not mounted: {why}", mount.source),
        };
        facts.push(fact(format!("mount.{}", mount.path), outcome));
    }
    facts.extend(root.others.iter().enumerate().map(|(n, id)| fact(format!("other-root.{n}"), id)));
    kernels(guest, facts);
    let loaders = Loaders::find(guest);
    facts.extend(loaders.names.iter().map(|name| fact("boot-loader", name)));
    facts.push(fact("initramfs", persist::family(guest)));
    facts.push(fact("firmware", loaders.firmware(guest)));
    network(guest, facts);
    let installed = tools::installed(guest).into_iter().enumerate();
    facts.extend(installed.map(|(n, (name, _))| fact(format!("tools.{n}"), name)));
    for path in ["/", "/boot"] {
        if let Ok(room) = guest.room(path) {
            facts.push(fact(format!("free.{path}"), room.free));
        }
    }
}

/// `kernel.N`: release, module directory, images; `entry.N`: what the menus start.
fn kernels(guest: &dyn Tree, facts: &mut Vec<Fact>) {
    let entries = entries::entries(guest);
    let mut seen = BTreeSet::new();
    let mut kernels = Vec::new();
    for entry in &entries {
        let Some(path) = entry.kernel.as_ref().filter(|path| !entry.unified && seen.insert((*path).clone()))
        else {
            continue;
        };
        let kernel = Kernel::read(guest, path);
        let modules = kernel.modules.as_deref().unwrap_or("no modules");
        let initrds = if entry.initrds.is_empty() { "no initrd".to_owned() } else { entry.initrds.join(" ") };
        kernels.push(format!("{} {modules} {initrds}", kernel.name()));
    }
    facts.extend(kernels.into_iter().enumerate().map(|(n, text)| fact(format!("kernel.{n}"), text)));
    for (n, entry) in entries.iter().enumerate() {
        let default = if entry.default { " (default)" } else { "" };
        facts.push(fact(format!("entry.{n}"), format!("{}{default}: {}", entry.source, entry.title)));
    }
}

fn network(guest: &dyn Tree, facts: &mut Vec<Fact>) {
    let mut seen = BTreeSet::new();
    let named = interfaces::find(guest).into_iter().filter_map(|i| i.name.map(|name| (i.by, name)));
    let configured =
        named.filter(|(by, name)| !matches!(*by, "udev" | "systemd-link") && seen.insert(name.clone()));
    let texts: Vec<String> = configured.map(|(by, name)| format!("{by} {name}")).collect();
    facts.extend(texts.into_iter().enumerate().map(|(n, text)| fact(format!("network.{n}"), text)));
}
