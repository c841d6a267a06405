//! Machines for Hyper-V and VMware, by the built program: what is on their disks, and what is written beside them.

use crate::guest::{disk, fsck, tool};
use crate::{program, text};
use serde_json::Value;
use std::path::PathBuf;

const DRIVERS: &[&str] = &[
    "hv_vmbus",
    "hv_storvsc",
    "hv_netvsc",
    "sd_mod",
    "vmw_pvscsi",
    "vmxnet3",
    "mptsas",
    "tulip",
    "ata_piix",
];

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        disk(place.0.path(), DRIVERS);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The plan of a migration that was carried out, with a fixed time so that two can be compared.
    fn migrate(&self, to: &str, wishes: &[&str]) -> Value {
        let mut command = program();
        command.env("SOURCE_DATE_EPOCH", "1790000000");
        command.args(["migrate", "raw:disk.raw", "--name", "web", "--to", to, "--output", "json"]);
        command.args(wishes.iter().flat_map(|wish| ["--wish", wish])).current_dir(self.0.path());
        let shown = command.output().unwrap();
        assert!(shown.status.success(), "{to} {wishes:?}: {}", text(&shown.stderr));
        let answer: Value = serde_json::from_slice(&shown.stdout).unwrap();
        answer["plan"].clone()
    }

    /// Whether two images hold the same, by QEMU: formats and names.
    fn same(&self, one: (&str, &str), other: (&str, &str)) {
        let paths = [one, other].map(|(_, name)| self.path(name).to_str().unwrap().to_owned());
        tool("qemu-img", &["compare", "-f", one.0, "-F", other.0, &paths[0], &paths[1]]);
    }
}

#[test]
fn a_guest_goes_to_hyperv() {
    let place = Place::new();
    let plan = place.migrate("hyperv:one", &[]);
    let profile = &plan["profile"];
    assert_eq!((&profile["disk-bus"], &profile["machine"]), (&"hyperv-scsi".into(), &"generation-1".into()));
    let script = std::fs::read_to_string(place.path("one/web.ps1")).unwrap();
    assert!(script.contains("@{ File = 'web.vhdx'; Type = 'IDE'; Number = 0; Location = 0 }"), "{script}");
    place.migrate("hyperv:two", &["format=vhd", "subformat=fixed"]);
    place.same(("vhdx", "one/web.vhdx"), ("vpc", "two/web.vhd"));
    tool(
        "qemu-img",
        &[
            "convert",
            "-O",
            "raw",
            place.path("one/web.vhdx").to_str().unwrap(),
            place.path("made").to_str().unwrap(),
        ],
    );
    fsck(place.0.path(), &place.path("made"));
    // Again, and nothing is different.
    let before = std::fs::read(place.path("one/web.vhdx")).unwrap();
    place.migrate("hyperv:one", &[]);
    assert!(before == std::fs::read(place.path("one/web.vhdx")).unwrap());
}

#[test]
fn a_guest_goes_to_vmware() {
    let place = Place::new();
    let plan = place.migrate("vmware:sparse", &[]);
    let profile = &plan["profile"];
    assert_eq!((&profile["disk-bus"], &profile["nic-model"]), (&"pvscsi".into(), &"vmxnet3".into()));
    let vmx = std::fs::read_to_string(place.path("sparse/web.vmx")).unwrap();
    assert!(
        vmx.contains("guestOS = \"debian10-64\"") && vmx.contains("scsi0:0.fileName = \"web.vmdk\""),
        "{vmx}"
    );
    place.migrate("vmware:packed", &["subformat=streamOptimized"]);
    place.same(("vmdk", "sparse/web.vmdk"), ("vmdk", "packed/web.vmdk"));
    place.migrate("vmware:old", &["disk-bus=lsi-sas", "machine=vmx-9"]);
    assert!(
        std::fs::read_to_string(place.path("old/web.vmx")).unwrap().contains("virtualHW.version = \"9\"")
    );
}
