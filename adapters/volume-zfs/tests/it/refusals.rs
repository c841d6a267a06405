//! Pools of which members are missing, and devices that are no members.

use crate::exercise::{Device, exercise};
use crate::pools::unpack;
use wherry_sdk::find;

#[test]
fn members_that_can_be_missed() {
    for (name, without) in [("fuse10", 1), ("fuse23z", 2)] {
        let mut devices = unpack(name);
        devices.truncate(devices.len() - without);
        let layout = exercise(&devices);
        let concern = &layout.concerns[0];
        assert_eq!((layout.concerns.len(), concern.id.as_str()), (1, "zfs.missing-member"));
        assert!(concern.message.contains("the others have all"), "{concern:?}");
        assert_eq!(layout.parts[0].segments.len(), devices.len());
    }
}

#[test]
fn members_that_cannot() {
    let mut devices = unpack("fuse23z");
    devices.truncate(1);
    let layout = exercise(&devices);
    assert!(
        layout.parts[0].segments.is_empty() && layout.concerns[0].message.contains("cannot be read without")
    );
    assert_eq!(find(&layout.parts[0].facts, "members"), Some("0"), "nothing else is looked for on it");
    let mut devices = unpack("stripe");
    devices.remove(0);
    let layout = exercise(&devices);
    let concern = layout.concerns.iter().find(|concern| concern.message.contains("of its 2 top-level vdevs"));
    assert!(concern.is_some() && layout.parts[0].segments.is_empty(), "{layout:?}");
}

#[test]
fn what_is_no_member() {
    for device in [vec![], vec![0; 512], vec![1; 6 << 20]] {
        let layout = exercise(&[Device::new(&device)]);
        assert!(layout.parts.is_empty() && layout.concerns.is_empty());
    }
    let mut short = unpack("fuse10");
    short[0].size = 6 << 20;
    let layout = exercise(&short);
    assert!(layout.concerns.iter().any(|one| one.message.contains("shorter")), "{layout:?}");
}
