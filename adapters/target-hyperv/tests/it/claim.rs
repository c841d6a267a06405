//! Whose files these are.

use crate::bench::{DEBIAN, machine};
use target_hyperv::HyperV;
use wherry_sdk::testing::target::{belongs_to_its_key, others_stay};

#[test]
fn a_place_belongs_to_its_key() {
    belongs_to_its_key::<HyperV>(&machine(DEBIAN, &[]));
}

#[test]
fn files_of_others_stay() {
    let files = ["web-a.1.vhdx", "web-a.1-0.vhdx", "web-a.1-2.vhdx", "web-a.1.vhd", "web-a.1.ps1"];
    others_stay::<HyperV>(&machine(DEBIAN, &[]), &files, "vhdx");
}
