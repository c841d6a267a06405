//! Damaged and made-up answers.

use crate::exercise::exercise;
use crate::winrm::{envelope, fault};
use wherry_sdk::testing::damage;

#[test]
fn whatever_a_host_answers_ends() {
    let answers = [
        envelope("<rsp:Shell><rsp:ShellId>S-1</rsp:ShellId></rsp:Shell>"),
        envelope("<rsp:CommandResponse><rsp:CommandId>C-1</rsp:CommandId></rsp:CommandResponse>"),
        envelope(
            "<rsp:Stream Name=\"stdout\">d2hlcnJ5OlpHOXVaVDA9DQo=</rsp:Stream><rsp:CommandState State=\"x/Done\"/>",
        ),
        fault("TimedOut", "2150858793", "nothing yet"),
    ];
    for answer in &answers {
        exercise(answer.as_bytes());
    }
    exercise(b"");
    exercise(&"<a>".repeat(200_000).into_bytes());
    for (seed, answer) in (0..500).zip(answers.iter().cycle()) {
        let mut bytes = answer.clone().into_bytes();
        let length = bytes.len();
        damage(&mut bytes, 0, length, seed);
        exercise(&bytes);
    }
}
