//! Whose files these are.

use crate::bench::{DEBIAN, machine};
use target_vmware::VMware;
use wherry_sdk::testing::target::{belongs_to_its_key, others_stay};

#[test]
fn a_place_belongs_to_its_key() {
    belongs_to_its_key::<VMware>(&machine(DEBIAN, &[]));
}

#[test]
fn files_of_others_stay() {
    let files = ["web-a.1.vmdk", "web-a.1-0.vmdk", "web-a.1-2.vmdk", "web-a.1.nvram", "web-a.1.vmx"];
    others_stay::<VMware>(&machine(DEBIAN, &[]), &files, "vmdk");
}
