//! Which Windows this is. Versions are compared by kernel version and build (Microsoft, "Operating System Version"; the
//! release pages of Windows 10, 11 and Server for builds).

use std::fmt;

/// A version of the kernel: 4.0, 5.0, 5.1, 5.2, 6.0 to 6.3, 10.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 6 of 6.1.
    pub major: u32,
    /// 1 of 6.1.
    pub minor: u32,
    /// 7601; 0 where it is not known.
    pub build: u32,
}

/// NT 4.0.
pub const NT4: Version = Version::new(4, 0);
/// Windows 2000.
pub const W2000: Version = Version::new(5, 0);
/// XP.
pub const XP: Version = Version::new(5, 1);
/// Server 2003, and XP for x64.
pub const W2003: Version = Version::new(5, 2);
/// Vista and Server 2008.
pub const VISTA: Version = Version::new(6, 0);
/// 7 and Server 2008 R2.
pub const SEVEN: Version = Version::new(6, 1);
/// 8 and Server 2012.
pub const EIGHT: Version = Version::new(6, 2);
/// 8.1 and Server 2012 R2.
pub const BLUE: Version = Version::new(6, 3);
/// 10 and Server 2016, and all that came later.
pub const TEN: Version = Version::new(10, 0);

impl Version {
    /// The first of this kernel.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor, build: 0 }
    }

    /// The same version, of a build.
    pub const fn build(self, build: u32) -> Self {
        Self { build, ..self }
    }

    /// `2008 R2` and the like: what people call it, without `Windows`.
    pub fn family(self, server: bool) -> &'static str {
        const NAMES: [(Version, &str, &str); 19] = [
            (TEN.build(26100), "11", "Server 2025"),
            (TEN.build(25398), "11", "Server 23H2"),
            (TEN.build(22000), "11", "Server 2022"),
            (TEN.build(20348), "10", "Server 2022"),
            (TEN.build(17763), "10", "Server 2019"),
            (TEN, "10", "Server 2016"),
            (BLUE, "8.1", "Server 2012 R2"),
            (EIGHT, "8", "Server 2012"),
            (SEVEN, "7", "Server 2008 R2"),
            (VISTA, "Vista", "Server 2008"),
            (W2003, "XP x64", "Server 2003"),
            (XP, "XP", "XP"),
            (W2000, "2000", "2000 Server"),
            (NT4, "NT 4.0", "NT 4.0 Server"),
            (Version::new(3, 51), "NT 3.51", "NT 3.51 Server"),
            (Version::new(3, 50), "NT 3.5", "NT 3.5 Server"),
            (Version::new(3, 10), "NT 3.1", "NT 3.1 Server"),
            (Version::new(1, 0), "before NT 3.1", "before NT 3.1"),
            (Version::new(0, 0), "of no known version", "of no known version"),
        ];
        let found = NAMES.iter().find(|(first, ..)| *first <= self);
        found.map_or("", |(_, client, name)| if server { name } else { client })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}.{}", self.major, self.minor)?;
        if self.build > 0 { write!(to, ".{}", self.build) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        let name = |major, minor, build, server| Version { major, minor, build }.family(server);
        assert_eq!(name(4, 0, 1381, false), "NT 4.0");
        assert_eq!(name(5, 2, 3790, true), "Server 2003");
        assert_eq!(name(6, 1, 7601, true), "Server 2008 R2");
        assert_eq!(name(10, 0, 14393, true), "Server 2016");
        assert_eq!(name(10, 0, 19045, false), "10");
        assert_eq!(name(10, 0, 22631, false), "11");
        assert_eq!(name(10, 0, 20348, true), "Server 2022");
        assert_eq!(name(10, 0, 26100, true), "Server 2025");
    }
}
