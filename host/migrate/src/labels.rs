//! Labels that say where their devices are, for the plan.

use runtime::contract::{DevicePatch, Fact};

/// The facts about devices that something is written to, with the volumes' names.
pub(crate) fn said(volumes: &[String], facts: &[Fact], patches: &[DevicePatch]) -> String {
    let line = |fact: &Fact| {
        let (number, key) = fact.key.split_once('.')?;
        let number: usize = number.parse().ok()?;
        let written = patches.iter().any(|patch| patch.device as usize == number);
        Some(format!("{} {key} {}", volumes.get(number).filter(|_| written)?, fact.value))
    };
    facts.iter().filter_map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_is_told() {
        let fact = |key: &str, value: &str| Fact { key: key.into(), value: value.into() };
        let facts = [fact("pool", "rpool"), fact("0.path", "/a"), fact("1.path", "/b"), fact("7.path", "/c")];
        let patch = |device| DevicePatch { device, offset: 0, bytes: vec![0] };
        let volumes = ["gpt:1".to_owned(), "gpt:2".to_owned()];
        assert_eq!(said(&volumes, &facts, &[patch(1), patch(7)]), "gpt:2 path /b");
    }
}
