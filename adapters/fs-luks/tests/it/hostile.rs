//! Damaged headers, deterministic by seed.

use crate::exercise::exercise;
use crate::lab::{Lab, with_json};
use wherry_sdk::testing::{Random, damage};

#[test]
fn damaged_headers() {
    let first = Lab::new(1, &[]).bytes()[..2048].to_vec();
    let second = Lab::new(2, &["--label", "x"]).bytes()[..40_000].to_vec();
    for seed in 0..600 {
        let mut bytes = if seed % 3 == 0 { first.clone() } else { second.clone() };
        let (from, to) = if seed % 2 == 0 { (0, 592) } else { (0, bytes.len()) };
        damage(&mut bytes, from, to, seed);
        exercise(&bytes);
    }
    for length in (0..40_000).step_by(499) {
        exercise(&second[..length]);
    }
}

/// JSON that is odd although its checksum is right.
#[test]
fn odd_text() {
    let whole = Lab::new(2, &[]).bytes()[..40_000].to_vec();
    let end = whole[4096..].iter().position(|byte| *byte == 0).unwrap();
    let json = String::from_utf8(whole[4096..4096 + end].to_vec()).unwrap();
    let deep = "[".repeat(10_000);
    let many: String = (0..900).map(|number| format!(r#""{number}":{{"type":"x"}},"#)).collect();
    let many = format!(r#"{{"tokens":{{{many}"z":1}},"keyslots":{{{many}"-1":[]}}}}"#);
    let long =
        format!(r#"{{"segments":{{"0":{{"type":"crypt","encryption":"{}"}}}}}}"#, "\\u0007x".repeat(1000));
    let odd = [
        "",
        "{",
        "[]",
        "{}",
        "null",
        r#"{"segments":[]}"#,
        r#"{"segments":{"0":5},"keyslots":{"0":null}}"#,
        r#"{"keyslots":{"0":{"key_size":18446744073709551615}},"config":{"requirements":{"mandatory":[1,{}]}}}"#,
        r#"{"segments":{"0":{"type":"crypt","sector_size":0,"integrity":7,"offset":1}}}"#,
        &deep,
        &many,
        &long,
    ];
    for json in odd {
        let mut bytes = whole.clone();
        with_json(&mut bytes, &json[..json.len().min(12_000)]);
        exercise(&bytes);
    }
    let mut random = Random::new(7);
    for _ in 0..300 {
        let mut text = json.clone().into_bytes();
        for _ in 0..3 {
            let at = random.below(text.len() as u64) as usize;
            text[at] = b"{}[]\",:0e-x\\"[random.below(12) as usize];
        }
        let mut bytes = whole.clone();
        with_json(&mut bytes, &String::from_utf8_lossy(&text));
        exercise(&bytes);
    }
}
