//! Files that nobody wrote on purpose: cut, doubled, spliced, and made to be nasty.

use crate::exercise::exercise;
use wherry_sdk::testing::Random;

/// Cases for each text.
const CASES: u64 = 50;

const TEXTS: &[&str] = &[
    "# /etc/fstab\n/dev/sda1  /  ext4  defaults 0 1\n/dev/sda5\tnone\tswap\tsw\t0 0\nUUID=2 /boot ext4 nofail\n/dev/disk/by-id/scsi-1-part1 /srv ext4\n",
    "set default=\"1>0\"\nset kernelopts=\"root=/dev/sda1 ro \"\nmenuentry 'a' --id x {\n\tlinux /boot/vmlinuz-5.0 root=/dev/sda1 resume=/dev/sdb9 ro\n\tinitrd /boot/initrd.img-5.0\n}\nsubmenu 'b' {\nmenuentry \"c\" {\n\tlinux16 ($root)/vmlinuz root=/dev/sda1 $kernelopts\n}\n}\n",
    "default=0\ntitle a\n\tkernel /vmlinuz-a ro root=/dev/hda1 resume=/dev/hda5\n\tinitrd /initrd\ntitle xen\n\tkernel /xen.gz\n\tmodule /vmlinuz root=/dev/sda1\n\tmodule /initrd\n",
    "DEFAULT a\nLABEL a\n MENU LABEL b\n LINUX /vmlinuz-a\n INITRD /x,/y\n APPEND root=/dev/sda1 initrd=/z\n",
    "title a\nversion 5\nlinux /vmlinuz-a\ninitrd /a $b\ninitrd /c\noptions root=/dev/sda1 resume=/dev/sda5 $kernelopts\n",
    "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX='root=/dev/sda1 resume=/dev/sdb9'\nMODULES=dep\nRESUME=/dev/sda5\n(hd0) /dev/sda\n",
    "network:\n  ethernets:\n    ens3:\n      match:\n        macaddress: 00:00:00:00:00:01\n      set-name: ens3\n    en4: {match: {driver: e1000}}\n  bridges:\n    br0: {}\n",
    "auto lo eth0\niface eth0 inet dhcp\niface ens192 inet static\n  bridge_ports eth1 ens3\n",
    "[connection]\ntype=ethernet\ninterface-name=ens3\n[ethernet]\nmac-address=00:00:00:00:00:01\n[Match]\nMACAddress=00:00:00:00:00:02\nDriver=e1000\nPath=pci-0000\n[Link]\nName=lan0\n",
    "TYPE=Ethernet\nDEVICE=\"eth0\"\nHWADDR=00:0C:29:00:00:01\nIDTYPE=sys_wwid IDNAME=1\n",
    "SUBSYSTEM==\"net\", DRIVERS==\"?*\", ATTR{address}==\"00:00:00:00:00:01\", KERNELS==\"0000:02:00.0\", NAME=\"eth0\"\nSUBSYSTEM==\"net\", DRIVERS==\"e1000\", NAME=\"ens3\"\n",
    "# GRUB Environment Block\nsaved_entry=a\nkernelopts=root=/dev/sda1 ro\n",
];

/// What stands out in these languages.
const PIECES: &[&str] = &[
    "\n",
    " ",
    "\t",
    "\"",
    "'",
    "\\",
    "$",
    "${",
    "}",
    "{",
    "#",
    "=",
    "==",
    ",",
    ":",
    "/",
    "..",
    "root=",
    "resume=",
    "console=",
    "/dev/sda1",
    "/dev/sda5",
    "/dev/sdb1",
    "UUID=",
    "menuentry ",
    "submenu ",
    "linux ",
    "initrd ",
    "options ",
    "set ",
    "GRUB_CMDLINE_LINUX=",
    "kernelopts=",
    "ens3",
    "eth0",
    "macaddress: ",
    "match:",
    "NAME=\"",
    "[Match]",
    "é",
    "\u{0}",
    "\r\n",
];

fn boundary(text: &str, random: &mut Random) -> usize {
    let mut at = random.below(text.len() as u64 + 1) as usize;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The text with a few places cut, doubled, spliced.
fn spoiled(text: &str, seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut text = text.to_owned();
    for _ in 0..=random.below(6) {
        let (a, b) = (boundary(&text, &mut random), boundary(&text, &mut random));
        let (from, to) = (a.min(b), a.max(b));
        match random.below(5) {
            0 => {
                let short = (from..=to.min(from + 9)).rev().find(|at| text.is_char_boundary(*at));
                text.replace_range(from..short.unwrap_or(from), "");
            }
            1 => text.insert_str(from, PIECES[random.below(PIECES.len() as u64) as usize]),
            2 => {
                let piece = text[from..to].to_owned();
                text.insert_str(boundary(&text, &mut random), &piece);
            }
            3 => text.truncate(to.max(1)),
            _ => {
                let other = TEXTS[random.below(TEXTS.len() as u64) as usize];
                let at = boundary(other, &mut random);
                text.insert_str(from, &other[at..]);
            }
        }
        while !text.is_char_boundary(text.len().min(4096)) {
            text.pop();
        }
        text.truncate(4096);
    }
    text
}

#[test]
fn spoiled_texts() {
    for (n, text) in TEXTS.iter().enumerate() {
        exercise(text.as_bytes());
        for seed in 0..CASES {
            let case = spoiled(text, seed * 1000 + n as u64);
            let result = std::panic::catch_unwind(|| exercise(case.as_bytes()));
            assert!(result.is_ok(), "text {n}, seed {seed}:\n{case}");
        }
    }
}

#[test]
fn environment_blocks() {
    for seed in 0..100 {
        let text = spoiled(TEXTS[TEXTS.len() - 1], seed);
        let mut block = text.into_bytes();
        block.resize(1024, b'#');
        exercise(&block);
    }
}

#[test]
fn nasty_files() {
    let deep = "submenu a {\n".repeat(20_000);
    let entries = "menuentry a {\nlinux /vmlinuz-a root=/dev/sda1\ninitrd /i\n}\n".repeat(2_000);
    let long = format!("GRUB_CMDLINE_LINUX=\"{}\"\n", "root=/dev/sda1 ".repeat(20_000));
    let interfaces: String = (0..5_000).map(|n| format!("iface eth{n} inet dhcp\n")).collect();
    for text in [
        "",
        "\n",
        "\0\0\0",
        "=",
        "linux",
        "linux ",
        "set default=",
        "menuentry",
        "title",
        "initrd",
        "options",
        "}}}}}}}}",
        "set a=$a\nset b=$a$b\nmenuentry $b {\nlinux $a$b\n}",
        "\u{feff}/dev/sda1 / ext4",
        "root=/dev/sda1",
        "root=/dev/sda1root=/dev/sda1",
        "network:\n ethernets:\n  a:\n   match:\n    macaddress:",
        "[Match\nMACAddress=\n[]\n=\n",
        "SUBSYSTEM==\"net\", NAME=\"\n",
        "(hd0) /dev/sda\n(hd0)\n(hd99999999999999999999) /dev/sdzz",
        &deep,
        &entries,
        &long,
        &interfaces,
    ] {
        exercise(text.as_bytes());
    }
    for bytes in [&b"\xff\xfe\xfd"[..], &[0x80; 4096], &[b'\n'; 100_000]] {
        exercise(bytes);
    }
}

/// Headers of kernels and of unified images, cut and with numbers near their types' ends.
#[test]
fn kernel_images() {
    let mut image = crate::system::vmlinuz("6.1.0");
    image[..2].copy_from_slice(b"MZ");
    image[60..64].copy_from_slice(&0x80u32.to_le_bytes());
    image[0x80..0x84].copy_from_slice(b"PE\0\0");
    image[0x86..0x88].copy_from_slice(&3u16.to_le_bytes());
    for (n, name) in [".uname", ".initrd", ".linux"].iter().enumerate() {
        let at = 0x98 + n * 40;
        image[at..at + name.len()].copy_from_slice(name.as_bytes());
        image[at + 8..at + 12].copy_from_slice(&64u32.to_le_bytes());
        image[at + 16..at + 24].copy_from_slice(&[64, 0, 0, 0, 0x20, 3, 0, 0]);
    }
    exercise(&image);
    for length in (0..image.len()).step_by(16) {
        exercise(&image[..length]);
    }
    for seed in 0..200 {
        let mut bytes = image.clone();
        wherry_sdk::testing::damage(&mut bytes, 0x30, 0x330, seed);
        exercise(&bytes);
    }
}
