//! Network cards: which becomes which, where Windows will find them, and what is done where that is not known.

use crate::generations::{CARD, Generation, NET, OLD_CARD, Values, dword, find, multi, sz, tree, tree_with};
use crate::golden::show;
use crate::profiles;
use os_windows::Windows;
use std::fmt::Write as _;
use std::path::PathBuf;
use wherry_sdk::source::Adaptation;
use wherry_sdk::testing::MemoryTree;
use wherry_sdk::{Concern, DeviceProfile, Fact, SourceOs, fact};

const SECOND: &str = "{0A1B2C3D-5555-6666-7777-88889999AAAA}";
const SECOND_CARD: &str = r"PCI\VEN_8086&DEV_100F&SUBSYS_075015AD&REV_01\4&b70f118&0&1088";
const MACS: [&str; 2] = ["52:54:00:12:34:56", "52:54:00:12:34:57"];

/// A second card, whose name comes before the first's, though its device comes after it.
fn second(set: &str) -> Values {
    let class = format!(r"{set}Control\Class\{NET}\0008");
    let connection = format!(r"{set}Control\Network\{NET}\{SECOND}\Connection");
    let address = format!(r"{set}Services\Tcpip\Parameters\Interfaces\{SECOND}");
    vec![
        sz(&class, "NetCfgInstanceId", SECOND),
        sz(&class, "DriverDesc", "Intel(R) PRO/1000 MT Network Connection #2"),
        dword(&class, "Characteristics", 0x84),
        sz(&connection, "Name", "Backup"),
        sz(&connection, "PnpInstanceID", SECOND_CARD),
        dword(&address, "EnableDHCP", 0),
        multi(&address, "IPAddress", &["10.20.0.5"]),
        multi(&address, "SubnetMask", &["255.255.0.0"]),
        sz(&format!(r"{set}Enum\{SECOND_CARD}"), "Driver", &format!(r"{NET}\0008")),
    ]
}

fn located(set: &str) -> Values {
    let place = |card: &str, device: u32| {
        let text =
            format!(r"@system32\drivers\pci.sys,#65536;PCI bus %1, device %2, function %3;(2,{device},0)");
        sz(&format!(r"{set}Enum\{card}"), "LocationInformation", &text)
    };
    [second(set), vec![place(OLD_CARD, 1), place(SECOND_CARD, 2)]].concat()
}

fn kvm(one: &Generation) -> DeviceProfile {
    let mut profile = profiles::kvm("bios", one.number());
    profile.facts.push(fact("nic.1.slot", "0000:00:04.0"));
    profile
}

fn options(macs: &[&str]) -> Vec<Fact> {
    macs.iter().enumerate().map(|(n, mac)| fact(format!("nic.{n}.mac"), mac)).collect()
}

/// What is said and done about cards. A second run says the same, and does nothing.
fn story(tree: &MemoryTree, profile: &DeviceProfile, options: &[Fact]) -> String {
    let run = || -> Adaptation {
        Windows::identify(tree).unwrap().expect("a Windows");
        Windows::adapt(tree, profile, options).unwrap()
    };
    let result = run();
    let edits = tree.edits();
    tree.forget();
    let again = run();
    assert_eq!(tree.edits().iter().map(show).collect::<String>(), "", "a second run");
    // What was guessed is decided then.
    let lasting = |concern: &&Concern| concern.id != "windows.network.order";
    assert!(again.concerns.iter().eq(result.concerns.iter().filter(lasting)), "{:?}", again.concerns);
    let mut text = String::new();
    for concern in result.concerns.iter().filter(|concern| concern.id.starts_with("windows.network")) {
        let _ = writeln!(text, "{:?} {}\n  {}", concern.severity, concern.id, concern.message);
        let _ = writeln!(text, "  -> {}", concern.remedy.as_deref().unwrap_or_default());
    }
    let about = |reason: &str| reason.contains("card") || reason.contains("first logon");
    edits.iter().filter(|edit| about(&edit.reason)).for_each(|edit| text += &show(edit));
    text
}

fn agreed(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(name);
    if std::env::var("WHERRY_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "{name}");
}

#[test]
fn two_cards_by_their_places() {
    let one = find("2016");
    let text = story(&tree_with(one, located), &kvm(one), &options(&MACS));
    agreed("cards-two.txt", &text);
    let line = |card: &str, slot: &str| {
        let device = r"PCI\VEN_8086&DEV_100E&SUBSYS_11001AF4&REV_03\3&11583659&0&";
        format!("because the new card at {device}{slot} takes over the identity of {card},")
    };
    assert!(text.contains(&line("Ethernet0", "18")) && text.contains(&line("Backup", "20")), "{text}");
    assert!(!text.contains("windows.network.order"));
}

#[test]
fn names_are_only_a_guess() {
    let one = find("2016");
    let text = story(&tree_with(one, second), &kvm(one), &options(&MACS));
    let said = "told by names alone: Backup becomes card 0, Ethernet0 becomes card 1";
    assert!(text.contains("Warning windows.network.order") && text.contains(said), "{text}");
    let text = story(&tree(one), &kvm(one), &options(&MACS));
    assert!(!text.contains("windows.network.order"), "{text}");
}

/// VMware's PCI Express cards are called by their addresses: the machine's cards come the other way round.
#[test]
fn cards_by_their_addresses() {
    let one = find("2019");
    let cards = |set: &str| {
        let id = r"PCI\VEN_15AD&DEV_07B0&SUBSYS_07B015AD&REV_01";
        let mut all = second(set);
        for (guid, instance) in [(CARD, "FF565000BB0895FE00"), (SECOND, "FF565000BC0895FE00")] {
            let connection = format!(r"{set}Control\Network\{NET}\{guid}\Connection");
            all.push(sz(&connection, "PnpInstanceID", &format!(r"{id}\{instance}")));
            all.push(sz(&format!(r"{set}Enum\{id}\{instance}"), "Service", "vmxnet3ndis6"));
        }
        all
    };
    let tree = tree_with(one, cards);
    let text = story(&tree, &kvm(one), &options(&["00:50:56:95:08:bb", "00:50:56:95:08:bc"]));
    assert!(text.contains("0&18 takes over the identity of Ethernet0"), "{text}");
    assert!(text.contains("0&20 takes over the identity of Backup") && !text.contains("network.order"));
}

/// With DHCP there is nothing to carry: the new card installs itself.
#[test]
fn a_card_by_dhcp_is_left_alone() {
    let one = find("2012r2");
    let dhcp = |set: &str| {
        let address = format!(r"{set}Services\Tcpip\Parameters\Interfaces\{CARD}");
        let index = format!(r"{set}Control\Class\{NET}\0007");
        vec![dword(&address, "EnableDHCP", 1), dword(&index, "NetLuidIndex", 99)]
    };
    let text = story(&tree_with(one, dhcp), &profiles::kvm("bios", one.number()), &options(&MACS[..1]));
    agreed("cards-dhcp.txt", &text);
    assert_eq!(text, "");
}

/// Where the place is not known, the script gives the addresses, and the old card must not claim them.
#[test]
fn a_script_gives_what_the_old_card_had() {
    let one = find("2016");
    let profile = profiles::hyperv("bios", one.number());
    let options = [options(&MACS), vec![fact("first-boot", "yes")]].concat();
    let tree = tree_with(one, located);
    agreed("cards-script.txt", &story(&tree, &profile, &options));
    let facts = Windows::identify(&tree).unwrap().unwrap().facts;
    let cards: Vec<&Fact> = facts.iter().filter(|fact| fact.key.starts_with("network.")).collect();
    assert!(cards[0].value.contains("10.20.0.5") && cards[1].value.contains("192.168.7.20"), "{cards:?}");
}

/// The same by hand: nothing is forgotten that nobody gives back.
#[test]
fn without_a_script_the_old_card_stays() {
    let one = find("2016");
    let text = story(&tree(one), &profiles::hyperv("bios", one.number()), &options(&MACS));
    assert!(text.contains("Warning windows.network.address-lost"), "{text}");
    assert!(!text.contains("modify"), "{text}");
}

/// The device's path on a machine of QEMU's, as the guest's registry makes it.
fn path(release: &str, machine: &str, more: impl Fn(&str) -> Values) -> String {
    let one = find(release);
    let mut profile = profiles::kvm("bios", one.number());
    profile.machine = machine.into();
    let text = story(&tree_with(one, more), &profile, &options(&MACS[..1]));
    let found = text.split_once("the new card at ").and_then(|(_, rest)| rest.split_once(" takes over"));
    found.unwrap_or_else(|| panic!("{text}")).0.rsplit_once('\\').unwrap().1.to_owned()
}

#[test]
fn places_follow_from_what_the_guest_has_seen() {
    let counted = |set: &str| vec![dword(&format!("{set}Enum"), "NextParentID.267a616a.3", 1)];
    let seen = |set: &str| {
        let root = format!(r"{set}Enum\ACPI\PNP0A03\0");
        [counted(set), vec![sz(&root, "ParentIdPrefix", "3&267a616a&0")]].concat()
    };
    let odd = |set: &str| vec![sz(&format!(r"{set}Enum\ACPI\PNP0A03\0"), "ParentIdPrefix", r"3&x\..\..&0")];
    assert_eq!(path("2016", "i440fx", |_| vec![]), "3&267a616a&0&18");
    assert_eq!(path("2016", "i440fx", counted), "3&267a616a&1&18");
    assert_eq!(path("2016", "i440fx", seen), "3&267a616a&0&18");
    assert_eq!(path("2016", "i440fx", odd), "3&267a616a&0&18");
    assert_eq!(path("2016", "q35", counted), "3&11583659&0&18");
}

/// Windows with a HAL that knows no ACPI names the root bus otherwise.
#[test]
fn places_without_acpi() {
    let computer = |hal: &'static str| {
        move |set: &str| {
            let key = format!(r"{set}Enum\Root\ACPI_HAL\0000");
            let class = "{4D36E966-E325-11CE-BFC1-08002BE10318}";
            vec![sz(&key, "ClassGUID", class), multi(&key, "HardwareID", &[hal])]
        }
    };
    for hal in ["e_isa_up", "mps_up", "MPS_MP"] {
        assert_eq!(path("2000", "i440fx", computer(hal)), "2&ebb567f&0&18", "{hal}");
    }
    for hal in ["acpiapic_up", "ACPIPIC_UP"] {
        assert_eq!(path("xp", "i440fx", computer(hal)), "3&267a616a&0&18", "{hal}");
    }
    let unknown = |set: &str| {
        let root = sz(&format!(r"{set}Enum\PCI_HAL\PNP0A03\0"), "Service", "pci");
        [computer("maker_mp")(set), vec![root]].concat()
    };
    assert_eq!(path("xp", "i440fx", unknown), "2&ebb567f&0&18");
}
