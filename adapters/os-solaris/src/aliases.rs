//! driver_aliases(4): which driver takes which device. The guest's own table says what it can drive, whatever its release.

use crate::files::{is_file, lines, text};
use wherry_sdk::Tree;

/// The guest's table.
#[derive(Debug, Default)]
pub struct Aliases(Vec<(String, String)>);

impl Aliases {
    /// Reads it.
    pub fn read(guest: &dyn Tree) -> Self {
        Self::parse(&text(guest, "/etc/driver_aliases").unwrap_or_default())
    }

    /// Lines of the form `driver "alias"`; the quotes may lack.
    pub fn parse(text: &str) -> Self {
        let parse = |line| {
            let line: &str = line;
            let (driver, alias) = line.split_once(char::is_whitespace)?;
            let plain = |c: u8| c.is_ascii_alphanumeric() || b"_-".contains(&c);
            // a name becomes a part of files' names
            driver.bytes().all(plain).then_some(())?;
            Some((driver.to_owned(), alias.trim().trim_matches('"').to_owned()))
        };
        Self(lines(text, '#').filter_map(parse).collect())
    }

    /// The driver of the first of these names that has one: most specific first, as the kernel looks.
    pub fn driver(&self, names: &[&str]) -> Option<&str> {
        names
            .iter()
            .find_map(|name| self.0.iter().find(|(_, alias)| alias == name))
            .map(|(driver, _)| driver.as_str())
    }
}

/// Whether the driver's module is there, for a kernel of 64 bits or of 32.
pub fn has_module(guest: &dyn Tree, driver: &str) -> bool {
    let folders = [
        "/kernel/drv/amd64",
        "/platform/i86pc/kernel/drv/amd64",
        "/kernel/drv",
        "/platform/i86pc/kernel/drv",
    ];
    folders.iter().any(|folder| is_file(guest, &format!("{folder}/{driver}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups() {
        let aliases = Aliases::parse(
            "# c\npci-ide \"pciclass,0101\"\ne1000g \"pci8086,100e\"\nahci pciclass,010601\nx\n",
        );
        assert_eq!(aliases.driver(&["pci8086,7010", "pciclass,010180", "pciclass,0101"]), Some("pci-ide"));
        assert_eq!(aliases.driver(&["pciclass,010601"]), Some("ahci"));
        assert_eq!(aliases.driver(&["pci15ad,7b0"]), None);
    }
}
