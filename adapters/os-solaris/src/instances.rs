//! path_to_inst(4): which device of a driver has which number. illumos' uts/common/os/instance.c reads it.

use crate::files::lines;
use std::collections::BTreeSet;

/// What the file begins with for a kernel that is to number all devices anew (`PTI_MAGIC_STR`). Without the file the kernel
/// would take the old numbers from `/etc/path_to_inst.old`.
pub const BOOTSTRAP: &str = "#path_to_inst_bootstrap_1\n";

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance<'a> {
    /// `/pci@0,0/pci-ide@1,1`
    pub path: &'a str,
    /// Its number among those of its driver.
    pub number: u32,
    /// `pci-ide`
    pub driver: &'a str,
}

/// Lines of the form `"/path" 0 "driver"`.
pub fn parse(text: &str) -> Vec<Instance<'_>> {
    let parse = |line| {
        let line: &str = line;
        let (path, rest) = line.strip_prefix('"')?.split_once('"')?;
        let (number, driver) = rest.trim_start().split_once(char::is_whitespace)?;
        let driver = driver.trim().strip_prefix('"')?.strip_suffix('"')?;
        Some(Instance { path, number: number.parse().ok()?, driver })
    };
    lines(text, '#').filter_map(parse).collect()
}

/// The numbers that the next `count` devices of a driver get: the lowest that no device has had (`in_next_instance`).
pub fn next(text: &str, driver: &str, count: usize) -> Vec<u32> {
    let taken: BTreeSet<u32> =
        parse(text).into_iter().filter(|one| one.driver == driver).map(|one| one.number).collect();
    (0..u32::MAX).filter(|number| !taken.contains(number)).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "#\n# Caution! This file contains critical kernel state\n#\n\"/pci@0,0\" 0 \"pci\"\n\"/pci@0,0/pci15ad,750@1\" 0 \"e1000g\"\n\"/pci@0,0/pci15ad,750@2\" 2 \"e1000g\"\nbroken\n\"/a\" x \"b\"\n";

    #[test]
    fn numbers() {
        assert_eq!(parse(TEXT).len(), 3);
        assert_eq!(next(TEXT, "e1000g", 2), [1, 3]);
        assert_eq!(next(TEXT, "pcn", 1), [0]);
        assert_eq!(next(BOOTSTRAP, "e1000g", 1), [0]);
    }
}
