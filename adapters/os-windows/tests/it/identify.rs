//! What is told of each release.

use crate::generations::{ALL, find, tree};
use os_windows::Windows;
use wherry_sdk::source::OperatingSystem;
use wherry_sdk::{SourceOs, Tree};

fn identify(name: &str) -> OperatingSystem {
    Windows::identify(&tree(find(name))).unwrap().expect("a Windows")
}

fn fact<'a>(os: &'a OperatingSystem, key: &str) -> Option<&'a str> {
    wherry_sdk::find(&os.facts, key)
}

#[test]
fn every_release_is_recognised() {
    for one in ALL {
        let os = identify(one.name);
        assert_eq!((os.family.as_str(), os.hostname.as_deref()), ("windows", Some("OLDBOX")));
        assert_eq!(os.architecture, if one.x86 { "x86" } else { "x86_64" });
        let (major, minor) = one.number();
        assert_eq!(os.version, format!("{major}.{minor}.{}", one.build));
        assert_eq!(fact(&os, "windows.control-sets"), Some("ControlSet001 ControlSet002"));
        assert_eq!(fact(&os, "drive.C"), Some("mbr 12345678 1048576"));
        assert_eq!(fact(&os, "tools.0"), Some("VMware Tools"));
    }
    let names: Vec<String> = ALL.iter().map(|one| identify(one.name).product).collect();
    assert_eq!(
        names,
        [
            "Windows NT 4.0 Server",
            "Windows 2000",
            "Windows XP",
            "Windows Server 2003",
            "Windows Server 2008 Standard",
            "Windows 7 Professional",
            "Windows Server 2008 R2 Standard",
            "Windows Server 2012 R2 Standard",
            "Windows 10 Pro",
            "Windows Server 2016 Standard",
            "Windows Server 2019 Standard",
            "Windows Server 2022 Standard",
            "Windows 11 Pro",
            "Windows Server 2025 Standard",
        ]
    );
}

#[test]
fn facts_of_an_old_one() {
    let os = identify("2003");
    assert_eq!(fact(&os, "hal"), Some("ACPI uniprocessor PC"));
    assert_eq!(fact(&os, "kernel"), Some("uniprocessor"));
    assert_eq!(fact(&os, "firmware"), Some("bios"));
    assert_eq!(fact(&os, "boot-loader"), Some("ntldr part:1"));
    assert_eq!(
        fact(&os, "network.0"),
        Some(
            "Local Area Connection (Intel(R) PRO/1000 MT Network Connection) 192.168.7.20/255.255.255.0 by 192.168.7.1 names \
             from 192.168.7.2,192.168.7.3"
        )
    );
    assert!(fact(&os, "entry.0").unwrap().contains("(default)"));
    let both = "Ethernet0 (Intel(R) PRO/1000 MT Network Connection) 192.168.7.20/255.255.255.0 2001:db8::5/64 by 192.168.7.1 by fe80::1 \
                names from 192.168.7.2,192.168.7.3,2001:db8::53";
    assert_eq!(fact(&identify("2019"), "network.0"), Some(both));
    let adapter = "AMDPCN1 ([1] AMD PCNET Family Ethernet Adapter) 192.168.7.20/255.255.255.0 by 192.168.7.1 names from 192.168.7.2";
    assert_eq!(fact(&identify("nt4"), "network.0"), Some(adapter));
}

#[test]
fn a_system_partition_is_mounted_beside() {
    let tree = tree(find("2022"));
    let os = Windows::identify(&tree).unwrap().unwrap();
    assert_eq!(
        (fact(&os, "firmware"), fact(&os, "boot-loader")),
        (Some("uefi"), Some("bootmgr-efi part:esp"))
    );
    assert!(tree.stat("/[system partition]/EFI/Microsoft/Boot/BCD").is_ok());
}
