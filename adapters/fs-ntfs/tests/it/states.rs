//! In which state a volume was left: its log, `hiberfil.sys`. The log's pages are written here by the documents; what
//! they mean is compared with ntfs-3g.probe.

use crate::images::{Image, empty, find};
use crate::tools::mounted;
use fs_ntfs::Ntfs;
use fs_ntfs::hibernation;
use fs_ntfs::log::{self, State};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use wherry_sdk::bytes::{field, put};
use wherry_sdk::testing::{FileBlob, can_fuse};
use wherry_sdk::{ErrorKind, FileSystem, find as fact};

/// A log's restart page, in all that is looked at.
#[derive(Clone, Copy)]
pub struct Restart {
    pub magic: &'static [u8; 4],
    pub size: u32,
    pub version: (u16, u16),
    pub newest: u64,
    pub used: bool,
    pub flags: u16,
}

/// A log in use, as Windows XP and later have it.
pub const OPEN: Restart =
    Restart { magic: b"RSTR", size: 4096, version: (1, 1), newest: 0x20_1234, used: true, flags: 0 };

/// Bytes of the log that its pages speak of.
const LENGTH: u64 = 2 << 20;

/// The page, with its update sequence.
pub fn page(restart: &Restart) -> Vec<u8> {
    let mut bytes = vec![0; restart.size as usize];
    let numbers = (restart.size / 512 + 1) as u16;
    let area = (0x1e + usize::from(numbers) * 2).next_multiple_of(8);
    put(&mut bytes, 0, restart.magic);
    put(&mut bytes, 4, &0x1eu16.to_le_bytes());
    put(&mut bytes, 6, &numbers.to_le_bytes());
    put(&mut bytes, 0x10, &restart.size.to_le_bytes());
    put(&mut bytes, 0x14, &restart.size.to_le_bytes());
    put(&mut bytes, 0x18, &(area as u16).to_le_bytes());
    put(&mut bytes, 0x1a, &restart.version.1.to_le_bytes());
    put(&mut bytes, 0x1c, &restart.version.0.to_le_bytes());
    let (free, used) = if restart.used { (0xffffu16, 0u16) } else { (0, 0xffff) };
    put(&mut bytes, area, &restart.newest.to_le_bytes());
    put(&mut bytes, area + 8, &1u16.to_le_bytes());
    put(&mut bytes, area + 10, &free.to_le_bytes());
    put(&mut bytes, area + 12, &used.to_le_bytes());
    put(&mut bytes, area + 14, &restart.flags.to_le_bytes());
    put(&mut bytes, area + 0x10, &(67 - (64 - LENGTH.leading_zeros())).to_le_bytes());
    put(&mut bytes, area + 0x14, &0xe0u16.to_le_bytes());
    put(&mut bytes, area + 0x16, &0x40u16.to_le_bytes());
    put(&mut bytes, area + 0x18, &LENGTH.to_le_bytes());
    put(&mut bytes, area + 0x24, &0x30u16.to_le_bytes());
    put(&mut bytes, area + 0x26, &0x40u16.to_le_bytes());
    let client = area + 0x40;
    put(&mut bytes, client + 0x10, &[0xff; 4]);
    put(&mut bytes, client + 0x1c, &8u32.to_le_bytes());
    put(&mut bytes, client + 0x20, b"N\0T\0F\0S\0");
    // The number 7 stands at the end of each 512 bytes, whose own bytes are zero.
    put(&mut bytes, 0x1e, &7u16.to_le_bytes());
    for index in 1..usize::from(numbers) {
        put(&mut bytes, index * 512 - 2, &7u16.to_le_bytes());
    }
    bytes
}

/// The start of a log with two pages.
pub fn pages(one: &Restart, two: &Restart) -> Vec<u8> {
    let mut bytes = vec![0xff; 256 << 10];
    put(&mut bytes, 0, &page(one));
    put(&mut bytes, one.size as usize, &page(two));
    bytes
}

fn judge(bytes: &[u8]) -> State {
    log::judge(LENGTH, |offset, length| Ok(field(bytes, offset as usize, length as usize).to_vec())).unwrap()
}

/// Logs, and what each means.
fn logs() -> Vec<(Vec<u8>, State)> {
    let later = Restart { newest: OPEN.newest + 8, ..OPEN };
    let complete = Restart { flags: 2, ..OPEN };
    let closed = Restart { used: false, ..OPEN };
    let new = Restart { version: (2, 0), ..OPEN };
    let checked = Restart { magic: b"CHKD", used: false, ..later };
    vec![
        (vec![0xff; 256 << 10], State::Empty),
        (pages(&OPEN, &OPEN), State::Pending),
        (pages(&complete, &complete), State::Clean),
        (pages(&complete, &later), State::Pending),
        (pages(&OPEN, &Restart { flags: 2, ..later }), State::Clean),
        (pages(&closed, &closed), State::Clean),
        (pages(&new, &new), State::Kept),
        (pages(&Restart { flags: 2, ..new }, &Restart { flags: 2, ..new }), State::Kept),
        (pages(&checked, &checked), State::Checked),
        (pages(&Restart { size: 8192, ..OPEN }, &Restart { size: 8192, ..complete }), State::Pending),
    ]
}

#[test]
fn logs_are_judged() {
    for (number, (bytes, state)) in logs().into_iter().enumerate() {
        assert_eq!(judge(&bytes), state, "log {number}");
    }
    let complete = Restart { flags: 2, ..OPEN };
    let other = Restart { version: (3, 1), ..OPEN };
    assert_eq!(judge(&pages(&other, &other)), State::Unknown(3, 1));
    assert!(State::Unknown(3, 1).doubt().unwrap().contains("3.1"));
    // A torn page may have been the newer one.
    let mut torn = pages(&complete, &complete);
    torn[1022] ^= 1;
    assert_eq!(judge(&torn), State::Damaged);
    torn[4096 + 1022] ^= 1;
    assert_eq!(judge(&torn), State::Damaged);
    // Linux' ntfs3 does not ask who used a log that chkdsk made void; ntfs-3g does.
    let checked = Restart { magic: b"CHKD", ..OPEN };
    assert_eq!(judge(&pages(&checked, &checked)), State::Checked);
    assert_eq!(judge(&pages(&checked, &Restart { newest: OPEN.newest + 1, ..OPEN })), State::Pending);
    assert_eq!(judge(&[]), State::Damaged);
    assert_eq!(judge(&[0; 8192]), State::Damaged);
    // Only one page is left.
    let mut half = pages(&complete, &complete);
    half[..4].fill(0);
    assert_eq!(judge(&half), State::Clean);
}

/// The log that mkntfs made, all ones.
fn log_at(image: &Image) -> u64 {
    let bytes = fs::read(&image.path).unwrap();
    let ones = |at: &usize| bytes[*at..].iter().take(1 << 20).all(|byte| *byte == 0xff);
    (0..bytes.len() - (1 << 20)).step_by(4096).find(ones).expect("mkntfs fills the log with ones") as u64
}

/// What ntfs-3g says: 0 clean, 14 hibernated, 15 not clean.
fn probe(image: &Path) -> Option<i32> {
    let mut command = Command::new("/bin/ntfs-3g.probe");
    command.arg("--readwrite").arg(image).output().unwrap().status.code()
}

#[test]
fn ntfs_3g_judges_the_same() {
    let image = empty(find("4k"));
    let at = log_at(&image);
    for (number, (bytes, state)) in logs().into_iter().enumerate() {
        fs::File::options().write(true).open(&image.path).unwrap().write_all_at(&bytes, at).unwrap();
        let clean = state.doubt().is_none();
        let code = match state {
            State::Kept => 14,
            _ if clean => 0,
            _ => 15,
        };
        assert_eq!(probe(&image.path), Some(code), "ntfs-3g on log {number}");
        let device = FileBlob::open(&image.path).unwrap();
        let identity = Ntfs::probe(&device).unwrap().unwrap();
        assert_eq!(fact(&identity.facts, "ntfs.log"), Some(state.name()), "log {number}");
        assert_eq!(identity.clean, clean, "log {number}");
        assert!(Ntfs::mount(Box::new(device.clone()), false).is_ok(), "it is read in any state");
        match Ntfs::mount(Box::new(device), true) {
            Ok(_) => assert!(clean),
            Err(error) => assert!(
                !clean && error.kind == ErrorKind::Dirty && error.message.contains("shut"),
                "{error:?}"
            ),
        }
    }
}

#[test]
fn hibernation_as_ntfs_3g_judges_it() {
    if !can_fuse() {
        return;
    }
    use hibernation::State::{Asleep, Awake, Elsewhere, Waking};
    // What ntfs-3g knows: the others are older or rarer.
    for (word, state, known) in [
        ("HIBR", Asleep, true),
        ("hibr", Asleep, true),
        ("WAKE", Awake, true),
        ("\0\0\0\0", Awake, true),
        ("RSTR", Waking, false),
        ("link", Elsewhere, false),
    ] {
        let image = empty(find("4k"));
        let mount = mounted(&image.path, "compression");
        let mut bytes = vec![0; 10_000];
        put(&mut bytes, 0, word.as_bytes());
        fs::write(mount.path.join("hiberfil.sys"), &bytes).unwrap();
        drop(mount);
        let device = FileBlob::open(&image.path).unwrap();
        let identity = Ntfs::probe(&device).unwrap().unwrap();
        assert_eq!(fact(&identity.facts, "ntfs.hibernated"), Some(state.name()), "{word}");
        let mounted = Ntfs::mount(Box::new(device), true);
        assert_eq!(
            mounted.err().map(|error| error.kind),
            (state != Awake).then_some(ErrorKind::Dirty),
            "{word}"
        );
        if known {
            assert_eq!(probe(&image.path), Some(if state == Asleep { 14 } else { 0 }), "ntfs-3g on {word}");
        }
    }
    assert_eq!(hibernation::State::read(b"hi"), Awake);
}
