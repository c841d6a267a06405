//! Programs of this machine.

use std::process::Command;

/// Runs a program that must succeed; its standard output.
///
/// # Panics
/// With all that it said, if it does not.
pub fn run(command: &mut Command) -> String {
    said(command, &[0]).0
}

/// Runs a program that must end with one of these codes; all that it said.
///
/// # Panics
/// If it does not.
pub fn run_to(command: &mut Command, codes: &[i32]) -> String {
    let (out, error) = said(command, codes);
    out + &error
}

fn said(command: &mut Command, codes: &[i32]) -> (String, String) {
    let done = command.output();
    let done = done.unwrap_or_else(|e| panic!("{command:?}: {e}; `cargo xtask test` installs it"));
    let [out, error] = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    let code = done.status.code().unwrap_or(-1);
    assert!(codes.contains(&code), "{command:?} ended with {code}:\n{out}{error}");
    (out, error)
}
