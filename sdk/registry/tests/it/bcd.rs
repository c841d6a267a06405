//! Boot configuration stores, put together as Windows has them.

use crate::checker::{Writer, assert_sound};
use crate::hives::{exported, merged};
use wherry_registry::bcd::{Element, Store, element, object};
use wherry_registry::device::{Device, DeviceKind, Partition};
use wherry_registry::{Hive, Kind};
use wherry_sdk::image::Uuid;

const LOADER: &str = "733b62e5-f608-11eb-825c-c112f60133ab";

fn uuid(text: &str) -> Uuid {
    Uuid::parse(text).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    text.split(',').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// Published by mistyprojects.co.uk ("Devices Partition - Data"): `partition=C:` of Windows 8.1 on an MBR disk.
const MBR: &str = "00,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00,06,00,00,00,00,00,00,00,48,00,00,00,00,00,00,00,00,00,f0,15,00,00,\
    00,00,00,00,00,00,00,00,00,00,00,00,00,00,01,00,00,00,f1,a8,eb,b3,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00,00,\
    00,00,00,00,00,00,00,00,00,00";

/// A descriptor of a partition of a GPT disk with identifiers of 0x11 and 0x22 bytes, as a store of Windows 10 has it.
fn gpt() -> Vec<u8> {
    let mut bytes = hex("06,00,00,00,00,00,00,00,48,00,00,00,00,00,00,00");
    bytes.extend([[0x11; 16].as_slice(), &[0; 8], &[0x22; 16], &[0; 16]].concat());
    bytes
}

/// A ramdisk of a file on that partition, as an entry for Windows' recovery has it.
fn ramdisk() -> Vec<u8> {
    let mut bytes = uuid("733b62e7-f608-11eb-825c-c112f60133ab").guid().to_vec();
    bytes.extend(hex("00,00,00,00,01,00,00,00,8a,00,00,00,00,00,00,00,03,00,00,00"));
    bytes.extend([0; 20]);
    bytes.extend(hex("01,00,00,00,62,00,00,00,05,00,00,00"));
    bytes.extend(gpt());
    bytes.extend(wherry_registry::data::sz("\\re.wim"));
    bytes
}

#[test]
fn devices_are_what_windows_wrote() {
    let mbr = Partition::Mbr { signature: 0xb3eb_a8f1, offset: 368_050_176 };
    let device = Device::from_bytes(&hex(MBR));
    assert_eq!((device.kind(), device.options()), (DeviceKind::Partition(mbr), None));
    assert_eq!(Device::partition(&mbr), device);
    let same = Partition::Gpt { disk: Uuid([0x22; 16]), partition: Uuid([0x11; 16]) };
    let plain = Device::from_bytes(&[vec![0; 16], gpt()].concat());
    assert_eq!((plain.kind(), Device::partition(&same)), (DeviceKind::Partition(same), plain.clone()));
    let file = Device::from_bytes(&ramdisk());
    assert_eq!((file.kind(), file.partitions()), (DeviceKind::Ramdisk, vec![same]));
    assert!(file.options().is_some());
    let moved = file.moved(|old| (*old == same).then_some(mbr)).unwrap();
    assert_eq!(
        (moved.kind(), moved.partitions(), moved.options()),
        (DeviceKind::Ramdisk, vec![mbr], file.options())
    );
    assert_eq!(moved.moved(|old| (*old == mbr).then_some(same)), Some(file.clone()));
    assert_eq!(file.moved(|_| None), None);
    assert_eq!((Device::boot().kind(), Device::boot().bytes().len()), (DeviceKind::Boot, 88));
    for (kind, local, expected) in [
        (8, 0, DeviceKind::Locate),
        (0, 5, DeviceKind::File),
        (0, 6, DeviceKind::VirtualDisk),
        (4, 0, DeviceKind::Other(4, 0)),
    ] {
        let mut bytes = vec![0; 40];
        (bytes[16], bytes[32]) = (kind, local);
        assert_eq!(
            (Device::from_bytes(&bytes).kind(), Device::from_bytes(&bytes).partitions()),
            (expected, vec![])
        );
    }
    assert_eq!(Device::from_bytes(&[]).kind(), DeviceKind::Other(0, 0));
}

fn store() -> Vec<u8> {
    let mut hive = Hive::empty(3).unwrap();
    let mut store = Store::create(&mut hive).unwrap();
    let loader = uuid(LOADER);
    let old = Partition::Mbr { signature: 1, offset: 1 << 20 };
    store.make(&object::BOOTMGR, object::TYPE_BOOTMGR).unwrap();
    store.make(&loader, object::TYPE_LOADER).unwrap();
    for (id, number, value) in [
        (object::BOOTMGR, element::DEVICE, Element::Device(Device::partition(&old))),
        (object::BOOTMGR, element::DEFAULT, Element::Object(loader)),
        (object::BOOTMGR, element::DISPLAY_ORDER, Element::Objects(vec![loader, object::MEMDIAG])),
        (object::BOOTMGR, element::TIMEOUT, Element::Integer(30)),
        (loader, element::DESCRIPTION, Element::Text("Windows 10".into())),
        (loader, element::DEVICE, Element::Device(Device::boot())),
        (loader, element::OS_DEVICE, Element::Device(Device::partition(&old))),
        (loader, element::DETECT_HAL, Element::Boolean(true)),
        (loader, 0x1700_0077, Element::Integers(vec![0x1500_0075, 7])),
    ] {
        store.set(&id, number, &value).unwrap();
        assert_eq!(store.element(&id, number).unwrap(), Some(value));
    }
    hive.bytes().unwrap()
}

#[test]
fn a_store_is_read_and_changed() {
    let bytes = store();
    assert_sound(&bytes, Writer::Ours);
    let mut hive = Hive::open(bytes.clone(), &[]).unwrap();
    let mut store = Store::open(&mut hive).unwrap();
    let loader = uuid(LOADER);
    assert_eq!(store.objects().unwrap().len(), 2);
    assert_eq!(store.loaders().unwrap(), [(loader, "Windows 10".to_owned())]);
    assert_eq!(store.default_entry().unwrap(), Some(loader));
    assert_eq!(store.display_order().unwrap(), [loader, object::MEMDIAG]);
    assert_eq!(store.elements(&loader).unwrap().len(), 5);
    let old = Partition::Mbr { signature: 1, offset: 1 << 20 };
    let new = Partition::Gpt { disk: Uuid([1; 16]), partition: Uuid([2; 16]) };
    let swap = |from: Partition, to: Partition| move |at: &Partition| (*at == from).then_some(to);
    let changed = store.move_partitions(swap(old, new)).unwrap();
    assert_eq!(changed, [(loader, element::OS_DEVICE), (object::BOOTMGR, element::DEVICE)]);
    assert_eq!(store.move_partitions(swap(old, new)).unwrap(), []);
    assert!(store.unset(&loader, element::DETECT_HAL).unwrap());
    assert!(!store.unset(&loader, element::DETECT_HAL).unwrap());
    let (before, after) = (exported(&bytes), exported(&hive.bytes().unwrap()));
    let differing = before.1.iter().filter(|line| !after.1.contains(line)).count();
    assert_eq!((before.0 - after.0, differing), (1, 3));
}

#[test]
fn what_is_stored_otherwise_is_kept() {
    let text = format!(
        "[HKEY_LOCAL_MACHINE\\Objects\\{{{LOADER}}}\\Elements\\26000010]\n\"Element\"=dword:00000001\n\
         [HKEY_LOCAL_MACHINE\\Objects\\{{{LOADER}}}\\Elements\\23000003]\n\"Element\"=\"no object\"\n\
         [HKEY_LOCAL_MACHINE\\Objects\\{{{LOADER}}}\\Elements\\other]\n[HKEY_LOCAL_MACHINE\\Objects\\other]\n"
    );
    let mut hive = Hive::open(merged(&Hive::empty(5).unwrap().bytes().unwrap(), &text), &[]).unwrap();
    let mut store = Store::open(&mut hive).unwrap();
    let elements = store.elements(&uuid(LOADER)).unwrap();
    let kinds: Vec<_> = elements.iter().map(|(_, element)| matches!(element, Element::Other(..))).collect();
    assert_eq!(kinds, [true, true]);
    assert_eq!(elements[1].1, Element::Other(Kind::DWORD, vec![1, 0, 0, 0]));
    assert_eq!(store.default_entry().unwrap(), None);
    // A text with two NULs behind it, as Windows writes some.
    let path = format!(r"Objects\{{{LOADER}}}\Elements\12000002");
    hive.set(&path, "Element", Kind::SZ, &[b'a', 0, 0, 0, 0, 0]).unwrap();
    hive.take("").unwrap();
    let mut store = Store::open(&mut hive).unwrap();
    store.set(&uuid(LOADER), element::PATH, &Element::Text("a".into())).unwrap();
    assert!(hive.take("").unwrap().patches.is_empty());
    assert!(Store::open(&mut Hive::empty(5).unwrap()).is_err());
}
