//! What a volume is called, compared with cryptsetup and blkid.

use crate::lab::{Lab, by_blkid, dumped, is_luks, with_json};
use fs_luks::Driver;
use wherry_sdk::filesystem::Identity;
use wherry_sdk::testing::MemoryBlob;
use wherry_sdk::{ErrorKind, FileSystem, find};

fn probe(bytes: &[u8]) -> Option<Identity> {
    Driver::probe(&MemoryBlob::read_only(bytes)).unwrap()
}

fn told<'a>(identity: &'a Identity, key: &str) -> Option<&'a str> {
    find(&identity.facts, key)
}

#[test]
fn the_first_version() {
    let lab = Lab::new(1, &["--cipher", "aes-cbc-essiv:sha256", "--key-size", "256", "--hash", "sha512"]);
    lab.call("luksAddKey", &["--pbkdf-force-iterations", "1000", "--key-slot", "5"], &[&lab.key()]);
    let identity = probe(&lab.bytes()).unwrap();
    let dump = lab.call("luksDump", &[], &[]);
    let cipher = ["Cipher name", "Cipher mode"].map(|word| dumped(&dump, word).unwrap()).join("-");
    assert_eq!(told(&identity, "luks.cipher"), Some(cipher.as_str()));
    assert_eq!(told(&identity, "luks.hash"), dumped(&dump, "Hash spec").as_deref());
    assert_eq!(told(&identity, "luks.key-bits"), dumped(&dump, "MK bits").as_deref());
    let offset: u64 = dumped(&dump, "Payload offset").unwrap().parse().unwrap();
    assert_eq!(told(&identity, "luks.offset"), Some((offset * 512).to_string().as_str()));
    assert_eq!(told(&identity, "luks.key-slots"), Some("0: pbkdf2, 5: pbkdf2"));
    let [kind, version, uuid, _] = by_blkid(&lab.path());
    assert_eq!(
        (identity.kind.as_str(), told(&identity, "luks.version")),
        (kind.as_str(), Some(version.as_str()))
    );
    assert_eq!((identity.uuid.unwrap(), identity.clean), (uuid, true));
}

#[test]
fn the_second_version() {
    let lab = Lab::new(2, &["--label", "a label", "--subsystem", "wherry", "--sector-size", "4096"]);
    lab.call("luksAddKey", &["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"], &[&lab.key()]);
    let identity = probe(&lab.bytes()).unwrap();
    let dump = lab.call("luksDump", &[], &[]);
    assert_eq!(told(&identity, "luks.cipher"), dumped(&dump, "cipher").as_deref());
    assert_eq!(told(&identity, "luks.offset"), dumped(&dump, "offset").as_deref());
    assert_eq!(Some(identity.block.to_string()), dumped(&dump, "sector"));
    assert_eq!(told(&identity, "luks.subsystem"), dumped(&dump, "Subsystem").as_deref());
    let bits = format!("{} bits", told(&identity, "luks.key-bits").unwrap());
    assert_eq!(Some(bits), dumped(&dump, "Key"));
    assert_eq!(told(&identity, "luks.key-slots"), Some("0: argon2id, 1: pbkdf2"));
    assert_eq!(told(&identity, "luks.tokens"), None);
    let [kind, version, uuid, label] = by_blkid(&lab.path());
    assert_eq!(
        (identity.kind.as_str(), told(&identity, "luks.version")),
        (kind.as_str(), Some(version.as_str()))
    );
    assert_eq!((identity.uuid.unwrap(), identity.label.unwrap(), identity.clean), (uuid, label, true));
}

#[test]
fn tokens_and_changes_under_way() {
    let lab = Lab::new(2, &[]);
    // The kind is one that cryptsetup has no plug-in for, which would look into it.
    let token = lab.path().with_extension("json");
    std::fs::write(&token, r#"{"type":"clevis","keyslots":["0"]}"#).unwrap();
    lab.call("token", &["import", "--json-file", token.to_str().unwrap()], &[]);
    let identity = probe(&lab.bytes()).unwrap();
    assert_eq!(told(&identity, "luks.tokens"), Some("0: clevis"));
    let mut bytes = lab.bytes();
    with_json(
        &mut bytes,
        r#"{"config":{"requirements":{"mandatory":["online-reencrypt-v2"]}},"segments":{}}"#,
    );
    let identity = probe(&bytes).unwrap();
    assert_eq!((told(&identity, "luks.requirements"), identity.clean), (Some("online-reencrypt-v2"), false));
    let error = Driver::mount(Box::new(MemoryBlob::new(bytes)), true).err().unwrap();
    assert!(error.kind == ErrorKind::Unsupported && error.message.contains("being changed"), "{error:?}");
}

#[test]
fn a_damaged_header() {
    for size in ["16k", "64k", "4m"] {
        let lab = Lab::new(2, &["--label", "x", "--luks2-metadata-size", size]);
        let whole = lab.bytes();
        assert_eq!(told(&probe(&whole).unwrap(), "luks.header"), None, "{size}");
        let mut bytes = whole.clone();
        bytes[4100] ^= 1;
        let identity = probe(&bytes).unwrap();
        assert!(is_luks(&bytes) && told(&identity, "luks.header").unwrap().contains("the second is not"));
        assert_eq!((told(&identity, "luks.key-slots"), identity.clean), (Some("0: argon2id"), false));
        let second = whole.windows(6).position(|window| window == b"SKUL\xba\xbe").unwrap();
        bytes[second + 200] ^= 1;
        let identity = probe(&bytes).unwrap();
        assert!(told(&identity, "luks.header").unwrap().contains("neither") && identity.uuid.is_some());
    }
}

#[test]
fn what_is_no_volume() {
    let whole = Lab::new(1, &[]).bytes();
    for (at, byte) in [(0, b'S'), (7, 3)] {
        let mut bytes = whole[..10_000].to_vec();
        bytes[at] = byte;
        assert!(probe(&bytes).is_none() && !is_luks(&bytes));
    }
    // A pool that spared the header.
    let mut pool = whole[..20_000].to_vec();
    assert!(probe(&pool).is_some());
    pool[16384 + 24..16384 + 32].copy_from_slice(b"version\0");
    assert!(probe(&pool).is_none());
    assert!(probe(&whole[..500]).is_none() && probe(&[]).is_none());
}
