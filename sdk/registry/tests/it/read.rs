//! Keys and values of hives that hivex wrote.

use crate::hives::{dump, empty, merged, seal};
use wherry_registry::{Hive, Kind, Name};

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn values_of_every_kind_are_what_was_written() {
    let long = "00,11,22,33,".repeat(9000);
    let text = format!(
        "[HKEY_LOCAL_MACHINE\\ControlSet001\\Services\\atapi]\n\"Start\"=dword:00000003\n\"ImagePath\"=\"system32\\\\drivers\\\\atapi.sys\"\n\
         \"Group\"=hex(2):41,00,00,00\n\"Long\"=hex:{}\n\"Name\"=hex:\n@=\"standard\"\n\"List\"=hex(7):61,00,00,00,62,00,00,00,00,00\n",
        long.trim_end_matches(',')
    );
    let mut hive = Hive::open(merged(&empty(5), &text), &[]).unwrap();
    assert_eq!((hive.minor(), hive.applied()), (5, 0));
    let root = hive.root().unwrap();
    let key = hive.find(&root, "controlset001\\SERVICES\\Atapi").unwrap().unwrap();
    let mut data = |name: &str| {
        let value = hive.value(&key, name).unwrap().unwrap();
        (value.kind, hive.data(&value).unwrap())
    };
    assert_eq!(data("start"), (Kind::DWORD, vec![3, 0, 0, 0]));
    assert_eq!(data("ImagePath"), (Kind::SZ, utf16("system32\\drivers\\atapi.sys")));
    assert_eq!(data("Group"), (Kind::EXPAND_SZ, utf16("A")));
    assert_eq!(data(""), (Kind::SZ, utf16("standard")));
    assert_eq!(data("List"), (Kind::MULTI_SZ, [utf16("a"), utf16("b"), vec![0, 0]].concat()));
    assert_eq!(data("Name"), (Kind::BINARY, Vec::new()));
    assert_eq!(data("Long"), (Kind::BINARY, [0, 0x11, 0x22, 0x33].repeat(9000)));
    assert_eq!(hive.value(&key, "Stop").unwrap(), None);
    assert_eq!(hive.find(&root, "ControlSet001\\Service").unwrap(), None);
}

#[test]
fn thousands_of_subkeys_are_found_in_order() {
    let keys: String =
        (0..3000).map(|n| format!("[HKEY_LOCAL_MACHINE\\Many\\Key{:04}]\n", n * 7919 % 3000)).collect();
    let mut hive = Hive::open(merged(&empty(3), &keys), &[]).unwrap();
    let root = hive.root().unwrap();
    let many = hive.find(&root, "Many").unwrap().unwrap();
    let names: Vec<String> = hive.subkeys(&many).unwrap().iter().map(|key| key.name.to_string()).collect();
    assert_eq!(names, (0..3000).map(|n| format!("Key{n:04}")).collect::<Vec<_>>());
    for number in (0..3000).step_by(97) {
        let name = Name::from(format!("KEY{number:04}").as_str());
        assert_eq!(hive.subkey(&many, &name).unwrap().unwrap().name, name);
    }
    assert!(hive.subkey(&many, &Name::from("Key3000")).unwrap().is_none());
}

/// A hive of version 1.1 by hand, as the specification has it ("Very old versions of Windows"): cells of 16 bytes and more with two
/// words in front, names always UTF-16, and no flags in values.
fn of_nt_3_1() -> Vec<u8> {
    let none = u32::MAX;
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let name = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let key = |flags: u16, list: (u32, u32), values: (u32, u32), text: &str| {
        let mut node = [b"nk", &flags.to_le_bytes()[..], &[0; 12]].concat();
        node.extend(words(&[32, list.0, 0, list.1, none, values.0, values.1, none, none, 0, 0, 0, 0, 0]));
        node.extend([name(text).len() as u8, 0, 0, 0]);
        [node, name(text)].concat()
    };
    let mut hive = empty(1);
    hive.truncate(4096 + 32);
    let mut add = |content: Vec<u8>| {
        let length = (8 + content.len()).next_multiple_of(16);
        hive.extend(words(&[(length as u32).wrapping_neg(), none]));
        hive.extend(content);
        hive.resize(hive.len().next_multiple_of(16), 0);
    };
    // At 32, 128, 144, 240, 256, 304.
    add(key(4, (1, 128), (0, none), "r"));
    add([b"li".to_vec(), vec![1, 0], words(&[144])].concat());
    add(key(0, (0, none), (1, 240), "Größe"));
    add(words(&[256]));
    add([b"vk".to_vec(), vec![8, 0], words(&[12, 304, 1, 1]), name("Name")].concat());
    add([utf16("text"), vec![0; 2]].concat());
    let left = 8192 - hive.len();
    hive.extend(words(&[left as u32]));
    hive.resize(8192, 0);
    seal(&mut hive);
    hive
}

#[test]
fn the_oldest_version_is_read_and_not_edited() {
    let mut hive = Hive::open(of_nt_3_1(), &[]).unwrap();
    let text = [utf16("text"), vec![0; 2]].concat();
    let value = format!("\\Größe `Name` Kind(1) {text:?}");
    assert_eq!(dump(&mut hive).unwrap(), [" class []", &value, "\\Größe class []"]);
    assert_eq!(hive.make("A").unwrap_err().kind, wherry_sdk::ErrorKind::Unsupported);
}
