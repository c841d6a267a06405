//! Files as no Solaris has them: the adapter never fails over them, and the second time changes nothing.

use crate::exercise::exercise;
use crate::golden::adapt;
use crate::guests::with;
use crate::tables::{root, sata, states};
use os_solaris::filestat;
use wherry_sdk::testing::Random;

const CASES: u64 = 120;

const TEXTS: &[&str] = &[
    "#device\n/dev/dsk/c1t0d0s0\t/dev/rdsk/c1t0d0s0\t/\tufs\t1\tno\t-\n/dev/dsk/c1t0d0s1 - - swap - no -\n/dev/md/dsk/d5 /dev/md/rdsk/d5 /data ufs 2 yes -\n",
    "DUMPADM_DEVICE=/dev/dsk/c1t0d0s1\n/dev/dsk/c2d0p0:boot /dev/rdsk/c2d0p0:boot / pcfs - no -\n",
    "pci-ide \"pciclass,0101\"\ne1000g \"pci8086,100e\"\ne1000g \"pci8086,100f\"\nmpt \"pci1000,30\"\n",
    "#path_to_inst_bootstrap_1\n\"/pci@0,0\" 0 \"pci\"\n\"/pci@0,0/pci1af4,1100@8\" 4294967295 \"e1000g\"\n\"/a\" 0 \"e1000g\"\n",
    "d0 -m d10 d20 1\nd10 1 1 c1t0d0s0\nd20 1 1 \\\n c1t1d0s0\nhsp001\nrootdev:/pseudo/md@0:0,0,blk\n",
    "default 0\ntitle a\nroot (hd0,0,a)\nkernel /platform/i86pc/multiboot -B console=ttya,bootpath=\"/x,y:a\" -v\nmodule /platform/i86pc/boot_archive\ntitle b\nkernel$ /k -B\nmodule$ /boot_archive\n",
    "setprop bootpath '/pci@0,0/x@1:a'\nsetprop console\nsetprop\tboot-args \"-v\"\n",
    "global:installed:/\nweb:installed:/zones/web:1\n1:be1:C:0\nphysical=\"e1000g0\" bge0 e1000g2000\n",
    "_ifname=e1000g0;_family=2;\n_ifname=string,bge0;\nnet0\tclass=int,1;devname=string,e1000g0;\n",
];

const PIECES: &[&str] = &[
    "\n",
    " ",
    "\t",
    "\"",
    "'",
    "\\\n",
    "#",
    "=",
    ",",
    ":",
    ";",
    "/",
    "-B ",
    "/dev/dsk/c0t0d0s0",
    "/dev/rdsk/c9d9s15",
    "c0t",
    "/dev/md/dsk/d0",
    "rootdev:/pseudo/md@0:",
    "title x\n",
    "kernel ",
    "module boot_archive\n",
    "bootpath=",
    "e1000g0",
    "e1000g4294967295",
    "bge999",
    "_ifname=",
    "devname=string,",
    "setprop ",
    "4294967296",
    "é",
    "\u{0}",
    "\r\n",
    " / ufs 1 no -\n",
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
            0 => drop(text.drain(from..to)),
            1 | 2 => text.insert_str(from, PIECES[random.below(PIECES.len() as u64) as usize]),
            3 => {
                let piece = text[from..to].to_owned();
                text.insert_str(to, &piece);
            }
            _ => {
                let other = TEXTS[random.below(TEXTS.len() as u64) as usize];
                let at = boundary(other, &mut random);
                text.insert_str(from, &other[at..]);
            }
        }
        if text.len() > 4096 {
            let mut end = 4096;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
        }
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
fn nasty_files() {
    let entries = "title a\nkernel /k\nmodule /boot_archive\n".repeat(5_000);
    let disks: String = (0..3_000).map(|n| format!("/dev/dsk/c{n}t0d0s0 - / ufs 1 no -\n")).collect();
    let metadevices: String = (0..20_000).map(|n| format!("d{n} -m d{n} d{n} 1\n")).collect();
    let instances: String = (0..20_000).map(|n| format!("\"/a@{n}\" {n} \"e1000g\"\n")).collect();
    let long = "-B ".repeat(50_000);
    for text in [
        "",
        "\n",
        "\0\0\0",
        "=",
        "title",
        "kernel",
        "setprop bootpath",
        &entries,
        &disks,
        &metadevices,
        &instances,
        &long,
    ] {
        exercise(text.as_bytes());
        exercise(format!("{text}\n").as_bytes());
    }
    for bytes in [&b"\xff\xfe\xfd"[..], &[0x80; 4096], &[b'\n'; 100_000]] {
        exercise(bytes);
    }
}

#[test]
fn damaged_states_of_the_archive() {
    let image = crate::ufs::image();
    let good = states(crate::ufs::ALIASES.len());
    let try_one = |bytes: &[u8]| {
        exercise(bytes);
        // as it was, or as it would be if the table were changed: nothing in between
        let tree = with(root(&image, &image).file(filestat::PATH, bytes), 1);
        let (_, edits) = adapt(&tree, &sata());
        let told = edits.iter().filter(|edit| edit.object == filestat::PATH).count();
        let given = edits.iter().filter(|edit| edit.object == "/etc/driver_aliases.wherry").count();
        assert!((told, given) == (0, 0) || (told, given) == (1, 2), "{edits:?}");
    };
    for length in 0..good.len() {
        try_one(&good[..length]);
    }
    for seed in 0..300 {
        let mut bytes = good.clone();
        wherry_sdk::testing::damage(&mut bytes, 0, good.len(), seed);
        try_one(&bytes);
    }
    // every word as nothing, as much, and as all there can be
    for at in (0..good.len()).step_by(4) {
        for word in [0_u32, 0x7fff_ffff, u32::MAX] {
            let mut bytes = good.clone();
            bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
            try_one(&bytes);
        }
    }
}
