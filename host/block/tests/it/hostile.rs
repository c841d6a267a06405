//! Damaged output of the tools.

use crate::exercise::exercise;
use crate::model::Random;

/// As `thin_delta` and `era_invalidate` print it.
const SEEDS: [&str; 3] = [
    "<superblock uuid=\"\" time=\"2\" transaction=\"1\" data_block_size=\"128\" nr_data_blocks=\"1000\">\n  \
     <diff left=\"1\" right=\"2\">\n    <same begin=\"0\" length=\"2\"/>\n    \
     <different begin=\"2\" length=\"2\"/>\n    <left_only begin=\"10\" length=\"1\"/>\n  </diff>\n</superblock>\n",
    "<superblock data_block_size=\"128\">\n<diff left=\"1\" right=\"2\">\n<different>\n\
     <range begin=\"2\" left_data_begin=\"2\" right_data_begin=\"100\" length=\"2\"/>\n</different>\n</diff>\n</superblock>",
    "<blocks>\n  <range begin=\"3\" end = \"8\"/>\n  <block block=\"50\"/>\n</blocks>\n",
];

#[test]
fn damaged_output_is_refused_or_sound() {
    let mut random = Random::new(81);
    let mut next = |below: usize| random.below(below as u64) as usize;
    let mut believed = 0;
    for seed in SEEDS {
        assert_eq!(exercise(seed.as_bytes()), 1);
        for _ in 0..400 {
            let mut bytes = seed.as_bytes().to_vec();
            for _ in 0..=next(3) {
                let (at, digit) = (next(bytes.len()), b"0123456789<>/\"= \xffa"[next(18)]);
                match next(4) {
                    0 => drop(bytes.remove(at)),
                    1 => bytes.insert(at, digit),
                    2 => bytes.splice(at..at, *b"99999999999999999999").for_each(drop),
                    _ => bytes[at] = digit,
                }
            }
            believed += exercise(&bytes);
        }
    }
    assert!(believed > 100, "{believed}");
}
