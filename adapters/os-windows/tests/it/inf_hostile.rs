//! Damaged INF files, deterministic by seed.

use crate::inf_exercise::exercise;
use crate::packages::{NETKVM, VIOSCSI, VIOSTOR};
use wherry_sdk::testing::{Random, damage};

#[test]
fn damaged_files() {
    for (number, text) in (0..).zip([VIOSTOR, VIOSCSI, NETKVM]) {
        exercise(text.as_bytes());
        for seed in 0..170 {
            let mut bytes = text.as_bytes().to_vec();
            let end = bytes.len();
            damage(&mut bytes, 0, end, seed + number * 1000);
            exercise(&bytes);
        }
    }
}

/// Words where others belong: sections that lead to themselves, numbers that are none, paths that climb.
#[test]
fn words_changed() {
    const WORDS: [&str; 16] = [
        "scsi_inst",
        "%12%",
        "..\\..\\x",
        "0xffffffff",
        "-1",
        "\"",
        "%",
        "=",
        ",",
        "[",
        "\\\n",
        "Needs=scsi_inst.HW\n",
        "65535,..\\..",
        "viostor_Files_Driver",
        "Include=a.inf\n",
        "\0",
    ];
    let mut random = Random::new(7);
    for _ in 0..250 {
        let mut text = if random.below(2) == 0 { VIOSTOR.to_owned() } else { VIOSCSI.to_owned() };
        for _ in 0..=random.below(4) {
            let at = (0..text.len())
                .cycle()
                .skip(random.below(text.len() as u64) as usize)
                .find(|at| text.is_char_boundary(*at));
            let at = at.unwrap();
            let end = (at + random.below(12) as usize).min(text.len());
            let word = WORDS[random.below(WORDS.len() as u64) as usize];
            if text.is_char_boundary(end) {
                text.replace_range(at..end, word);
            }
        }
        exercise(text.as_bytes());
    }
}

/// Circles of needs end, and so do files that include each other.
#[test]
fn circles() {
    let text = VIOSTOR.replace(
        "[scsi_inst.HW]",
        "[scsi_inst.HW]\nInclude=a.inf\nNeeds=one\n[one]\nNeeds=two\nAddReg=pnpsafe_pci_addreg\n[two]\nNeeds=one,two\n[x]",
    );
    exercise(text.as_bytes());
}
