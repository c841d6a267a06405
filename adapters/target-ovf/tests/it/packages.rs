//! Descriptors and manifests, as other tools read them.

use crate::bench::{Directory, FLAVOURS, machine, make, query, run};
use wherry_sdk::{Output, find};

/// Text of the child `field` of the item with this resource type.
fn item(output: &Directory, kind: u32, field: &str) -> String {
    let item = format!("//*[local-name()='ResourceType' and text()='{kind}']/..");
    query(output, &format!("string({item}/*[local-name()='{field}'])"))
}

#[test]
fn every_choice_is_a_package_that_others_check() {
    let output = Directory::new("out");
    let mut seen = 0;
    for (flavour, buses, cards) in FLAVOURS {
        for version in ["1", "2"] {
            for firmware in ["bios", "uefi"] {
                for (bus, card) in buses.iter().flat_map(|bus| cards.iter().map(move |card| (bus, card))) {
                    let wishes = [
                        ("wish.flavour", flavour),
                        ("wish.ovf-version", version),
                        ("firmware", firmware),
                        ("wish.disk-bus", bus),
                        ("wish.nic-model", card),
                    ];
                    make(&output, "k", &machine(&wishes)).unwrap();
                    run("xmllint", &["--noout", "web-a.1.ovf"], &output);
                    run("sha256sum", &["--strict", "-c", "web-a.1.mf"], &output);
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, 96);
}

#[test]
fn a_package_says_what_the_machine_is() {
    let output = Directory::new("out");
    let facts = make(&output, "k", &machine(&[("firmware", "uefi")])).unwrap();
    assert_eq!(find(&facts, "definition.0"), Some("web-a.1.ovf"));
    assert_eq!(find(&facts, "pack"), None);
    assert!(find(&facts, "next.0").unwrap().starts_with("ovftool '"), "{facts:?}");
    // the disk that boots is the first
    assert_eq!(output.read("web-a.1-disk1.vmdk").unwrap(), b"disk 1");
    assert_eq!(
        query(&output, "string(//*[local-name()='Disk'][1]/@*[local-name()='capacity'])"),
        (2u64 << 30).to_string()
    );
    assert_eq!(
        query(&output, "string(//*[local-name()='File'][2]/@*[local-name()='href'])"),
        "web-a.1-disk2.vmdk"
    );
    assert_eq!(query(&output, "string(//*[local-name()='File'][2]/@*[local-name()='size'])"), "6");
    assert_eq!(
        (item(&output, 3, "VirtualQuantity"), item(&output, 4, "VirtualQuantity")),
        ("3".into(), "1536".into())
    );
    assert_eq!(
        (item(&output, 6, "ResourceSubType"), item(&output, 10, "ResourceSubType")),
        ("VirtualSCSI".into(), "VmxNet3".into())
    );
    assert_eq!(
        (item(&output, 10, "Address"), item(&output, 10, "Connection")),
        ("52:54:00:aa:bb:01".into(), "VM Network".into())
    );
    assert_eq!(
        query(&output, "string(//*[local-name()='Network'][2]/@*[local-name()='name'])"),
        "a \"b\" <c>"
    );
    assert_eq!(
        query(&output, "string(//*[local-name()='OperatingSystemSection']/*[local-name()='Description'])"),
        "Debian <12> & more"
    );
    assert_eq!(
        query(&output, "string(//*[local-name()='OperatingSystemSection']/@*[local-name()='id'])"),
        "96"
    );
    assert_eq!(query(&output, "string(//*[local-name()='Config']/@*[local-name()='value'])"), "efi");
    assert_eq!(query(&output, "string(//*[local-name()='VirtualSystemType'])"), "vmx-13");
}

#[test]
fn elements_are_in_the_order_of_the_schema_and_ids_are_unique() {
    let output = Directory::new("out");
    make(&output, "k", &machine(&[])).unwrap();
    let text = String::from_utf8(output.read("web-a.1.ovf").unwrap()).unwrap();
    let mut last = String::new();
    let mut ids = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("<Item") || line.starts_with("<System") {
            last.clear();
        }
        if let Some(name) = line.strip_prefix("<rasd:").and_then(|rest| rest.split('>').next()) {
            assert!(*name > *last, "{name} after {last}");
            last = name.to_owned();
            ids.extend(line.strip_prefix("<rasd:InstanceID>").map(str::to_owned));
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((count, ids.len()), (7, 7));
    // Place 7 on a SCSI bus is the controller's own.
    let mut many = machine(&[]);
    many.disks = (0..15).map(|index| wherry_sdk::target::DiskNeed { index, ..many.disks[0] }).collect();
    make(&output, "k", &many).unwrap();
    let places = run("grep", &["-A4", "AddressOnParent", "web-a.1.ovf"], &output);
    let places: Vec<&str> = places.lines().filter(|line| line.contains("AddressOnParent")).collect();
    assert_eq!(places.iter().filter(|line| line.contains(">7<")).count(), 1, "a card's, no disk's");
    assert!(places.iter().any(|line| line.contains(">15<")));
}

#[test]
fn version_2_has_items_of_its_own() {
    let output = Directory::new("out");
    make(&output, "k", &machine(&[("wish.ovf-version", "2"), ("wish.flavour", "dmtf")])).unwrap();
    let space = |path: &str| query(&output, &format!("namespace-uri({path})"));
    assert_eq!(space("/*"), "http://schemas.dmtf.org/ovf/envelope/2");
    assert!(space("//*[local-name()='StorageItem']/*[1]").ends_with("CIM_StorageAllocationSettingData.xsd"));
    assert!(
        space("//*[local-name()='EthernetPortItem']/*[1]")
            .ends_with("CIM_EthernetPortAllocationSettingData.xsd")
    );
    assert_eq!(query(&output, "count(//*[local-name()='VirtualSystemType'])"), "0");
}

#[test]
fn a_container_is_packed_by_the_host() {
    let output = Directory::new("it's");
    let facts = make(
        &output,
        "k",
        &machine(&[("target.name", "ova"), ("wish.flavour", "virtualbox"), ("firmware", "uefi")]),
    )
    .unwrap();
    let packed: Vec<&str> =
        facts.iter().filter(|one| one.key.starts_with("pack")).map(|one| one.value.as_str()).collect();
    assert_eq!(
        packed,
        ["web-a.1.ova", "web-a.1.ovf", "web-a.1.mf", "web-a.1-disk1.vmdk", "web-a.1-disk2.vmdk"]
    );
    assert!(find(&facts, "next.0").unwrap().ends_with(r"/it'\''s/web-a.1.ova'"), "{facts:?}");
    assert!(find(&facts, "next.1").unwrap().contains("--firmware efi64"));
}

#[test]
fn what_the_source_had_is_written_again() {
    let section =
        "<n0:Backup xmlns=\"\" xmlns:n0=\"urn:x\" every=\"day\"><n0:Window>a &amp; b</n0:Window></n0:Backup>";
    let hostile = "</VirtualSystem><VirtualSystem ovf:id=\"x\">";
    let had = [
        ("source.ovf.version", "1"),
        ("source.ovf.flavour", "vmware"),
        ("source.os.type", "debian11_64Guest"),
        ("source.nic.0.network", "Servers"),
        ("source.kept.0", section),
        ("source.kept.1", hostile),
        ("source.kept.2", "<a/><b/>"),
        ("source.kept.3", "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"),
    ];
    let output = Directory::new("out");
    make(&output, "k", &machine(&had)).unwrap();
    assert_eq!(query(&output, "string(//*[namespace-uri()='urn:x' and local-name()='Window'])"), "a & b");
    assert_eq!(query(&output, "count(//*[local-name()='VirtualSystem'])"), "1");
    assert_eq!(query(&output, "count(//*[local-name()='a'])"), "0");
    assert_eq!(query(&output, "string(//@*[local-name()='osType'])"), "debian11_64Guest");
    assert_eq!(item(&output, 10, "Connection"), "Servers");
    let other = [&had[..], &[("wish.ovf-version", "2"), ("wish.flavour", "virtualbox")]].concat();
    make(&output, "k", &machine(&other)).unwrap();
    assert_eq!(
        query(&output, "count(//*[namespace-uri()='urn:x'])"),
        "0",
        "sections of version 1 are not version 2's"
    );
    assert_eq!(query(&output, "count(//@*[local-name()='osType'])"), "0");
}
