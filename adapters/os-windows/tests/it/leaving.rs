//! What other hypervisors leave in a Windows: services and drivers, filters of classes and devices, programs. The names are
//! those of the products' own INF files and installers.

use crate::generations::{self, Generation, Values, hive, volumes};
use wherry_registry::{Kind, data};
use wherry_sdk::testing::MemoryTree;

/// A hypervisor's tools.
pub struct Old {
    pub name: &'static str,
    /// Service and how it starts.
    services: &'static [(&'static str, u32)],
    /// Key below the control set, list, names in it.
    filters: &'static [(&'static str, &'static str, &'static [&'static str])],
    /// Name among the installed programs, and its key.
    product: (&'static str, &'static str),
    /// Value of `Run`.
    run: &'static str,
}

const MICE: &str = r"Control\Class\{4d36e96f-e325-11ce-bfc1-08002be10318}";
const SYSTEM_DEVICES: &str = r"Control\Class\{4d36e97d-e325-11ce-bfc1-08002be10318}";
const IDE: &str = r"Control\Class\{4d36e96a-e325-11ce-bfc1-08002be10318}";
const MOUSE: &str = r"Enum\ACPI\PNP0F03\4&1f6f7f0c&0";

pub const ALL: &[Old] = &[
    Old {
        name: "virtualbox",
        services: &[("VBoxGuest", 0), ("VBoxMouse", 3), ("VBoxSF", 1), ("VBoxService", 2), ("VBoxVideo", 3)],
        filters: &[(MOUSE, "UpperFilters", &["VBoxMouse"])],
        product: ("Oracle VirtualBox Guest Additions 7.2.0", "Oracle VirtualBox Guest Additions"),
        run: "VBoxTray",
    },
    Old {
        name: "xen",
        services: &[
            ("xenbus", 0),
            ("xenfilt", 0),
            ("xenvbd", 0),
            ("xenvif", 3),
            ("xennet", 3),
            ("xeniface", 3),
            ("XenSvc", 2),
        ],
        filters: &[
            (SYSTEM_DEVICES, "UpperFilters", &["xenfilt"]),
            (IDE, "UpperFilters", &["xenfilt", "kept"]),
        ],
        product: ("XenServer VM Tools", "{1E2DB9E4-4F09-4B16-A2B9-D4D4A1A1A1A1}"),
        run: "",
    },
    Old {
        name: "parallels",
        services: &[
            ("prl_strg", 0),
            ("prl_tg", 1),
            ("prl_fs", 1),
            ("prl_mouf", 3),
            ("Parallels Tools Service", 2),
        ],
        filters: &[(MICE, "UpperFilters", &["prl_mouf", "mouclass"]), (IDE, "LowerFilters", &["prl_strg"])],
        product: ("Parallels Tools", "{AA4A4B2C-0C55-4D9A-8E2E-33A5B0B0B0B0}"),
        run: "Parallels Tools Center",
    },
    Old {
        name: "hyperv",
        services: &[
            ("vmbus", 0),
            ("storvsc", 0),
            ("storflt", 0),
            ("netvsc", 3),
            ("VMBusHID", 3),
            ("vmicheartbeat", 2),
            ("vmicshutdown", 2),
            (r"W32Time\TimeProviders\VMICTimeProvider", 1),
        ],
        filters: &[],
        product: ("", ""),
        run: "",
    },
    Old {
        name: "kvm",
        services: &[("QEMU-GA", 2), ("viostor", 0), ("netkvm", 3), ("BalloonService", 2)],
        filters: &[],
        product: ("QEMU guest agent", "{F2D8D5B6-1111-4222-8333-444455556666}"),
        run: "",
    },
];

/// A machine with these instead of VMware's.
pub fn tree(one: &Generation, old: &Old) -> MemoryTree {
    let is_vmware = |path: &str, text: &str| {
        let names = [r"\vmtools", r"\vmmouse", "fe2f6a2c", "c2a6f2efe69"];
        names.iter().any(|name| path.to_lowercase().contains(name)) || text.starts_with("VMware")
    };
    let own = |values: Values| -> Values {
        let kept = values.into_iter().filter(|(path, name, ..)| !is_vmware(path, name));
        kept.filter(|(path, name, ..)| !(path.ends_with(&MICE[14..]) && name == "UpperFilters")).collect()
    };
    let mut system = own(generations::system(one));
    for set in ["ControlSet001", "ControlSet002"] {
        system.extend(old.services.iter().map(|(service, start)| {
            (format!(r"{set}\Services\{service}"), "Start".into(), Kind::DWORD, data::dword(*start))
        }));
        system.extend(old.filters.iter().map(|(key, list, names)| {
            (format!(r"{set}\{key}"), (*list).into(), Kind::MULTI_SZ, data::multi_sz(names))
        }));
    }
    let mut software = own(generations::software(one));
    let windows = r"Microsoft\Windows\CurrentVersion";
    let text = |path: String, name: &str, text: &str| (path, name.to_owned(), Kind::SZ, data::sz(text));
    if !old.product.0.is_empty() {
        let key = format!(r"{windows}\Uninstall\{}", old.product.1);
        software.push(text(key, "DisplayName", old.product.0));
    }
    if !old.run.is_empty() {
        software.push(text(format!(r"{windows}\Run"), old.run, "tray.exe"));
    }
    let config = format!("/{}/System32/config", one.root);
    let mut all = volumes(one);
    let last = all.pop().unwrap();
    all.push(
        last.file(&format!("{config}/SYSTEM"), hive(one.regf, &system))
            .file(&format!("{config}/SOFTWARE"), hive(one.regf, &software)),
    );
    MemoryTree::new(all)
}
