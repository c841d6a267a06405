//! The tree of a pool's devices.

use crate::nvlist::List;

/// Children of one vdev, and levels of them: mirrors in a spare in a pool.
const CHILDREN_MOST: usize = 255;
const LEVELS_MOST: usize = 6;

/// A virtual device: a disk, or several together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vdev {
    /// disk | file | mirror | raidz | replacing | spare | hole | missing | indirect | draid | ...
    pub kind: String,
    /// Position among its siblings.
    pub id: u64,
    /// Unique.
    pub guid: u64,
    /// log2 of the smallest block, in top-level vdevs.
    pub ashift: u64,
    /// Bytes that can be allocated, in top-level vdevs; all children's together in raidz.
    pub asize: u64,
    /// Parity columns of raidz.
    pub parity: u64,
    /// Holds the intent log only.
    pub is_log: bool,
    /// The object that lists the space maps, and log2 of what each of them covers.
    pub metaslab_array: u64,
    /// See `metaslab_array`.
    pub metaslab_shift: u64,
    /// The ZAP of a top-level vdev, 0 if there is none.
    pub zap: u64,
    /// How the system last reached a leaf.
    pub path: Option<String>,
    /// The firmware's or bus' name of a leaf.
    pub phys_path: Option<String>,
    /// What identifies a leaf by its hardware.
    pub devid: Option<String>,
    /// What it is made of.
    pub children: Vec<Vdev>,
}

impl Vdev {
    /// The tree in a list.
    pub fn parse(list: &List) -> Self {
        Self::parse_level(list, 0)
    }

    fn parse_level(list: &List, level: usize) -> Self {
        let number = |name| list.number(name).unwrap_or(0);
        let text = |name| list.text(name).map(str::to_owned);
        let below = if level < LEVELS_MOST { list.lists("children") } else { &[] };
        Self {
            kind: text("type").unwrap_or_default(),
            id: number("id"),
            guid: number("guid"),
            ashift: number("ashift"),
            asize: number("asize"),
            parity: match list.text("type") {
                // What makes no sense is none, so that nothing can be missing.
                Some("raidz") => {
                    list.number("nparity").map_or(1, |parity| if parity > 3 { 0 } else { parity })
                }
                _ => 0,
            },
            is_log: number("is_log") != 0,
            metaslab_array: number("metaslab_array"),
            metaslab_shift: number("metaslab_shift"),
            zap: number("com.delphix:vdev_zap_top"),
            path: text("path"),
            phys_path: text("phys_path"),
            devid: text("devid"),
            children: below
                .iter()
                .take(CHILDREN_MOST)
                .map(|child| Self::parse_level(child, level + 1))
                .collect(),
        }
    }

    /// Whether it is a disk or a file.
    pub fn is_leaf(&self) -> bool {
        self.children.is_empty()
    }

    /// All leaves, in their order.
    pub fn leaves(&self) -> Vec<&Vdev> {
        if self.is_leaf() {
            return vec![self];
        }
        self.children.iter().flat_map(Vdev::leaves).collect()
    }

    /// Bytes that can be allocated on each leaf.
    pub fn leaf_size(&self) -> u64 {
        match self.kind.as_str() {
            "raidz" => self.asize / (self.children.len().max(1) as u64),
            _ => self.asize,
        }
    }

    /// Whether everything can be read when only the leaves are there that `has` knows.
    pub fn is_readable(&self, has: &dyn Fn(u64) -> bool) -> bool {
        let there = self.children.iter().filter(|child| child.is_readable(has)).count();
        match self.kind.as_str() {
            "hole" => true,
            "raidz" => there as u64 + self.parity >= self.children.len() as u64 && there > 0,
            "mirror" | "replacing" | "spare" => there > 0,
            _ => self.is_leaf() && has(self.guid),
        }
    }

    /// Its kind for people: `raidz2`, `mirror`, ...
    pub fn shown_kind(&self) -> String {
        if self.kind == "raidz" { format!("raidz{}", self.parity) } else { self.kind.clone() }
    }

    /// A leaf for people: its path and guid.
    pub fn shown(&self) -> String {
        match &self.path {
            Some(path) => format!("{path} ({})", self.guid),
            None => self.guid.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvlist::Value;

    #[test]
    fn parity_that_makes_no_sense_replaces_nothing() {
        let child = |guid| List(vec![("guid".into(), Value::Number(guid))]);
        let vdev = |parity| {
            Vdev::parse(&List(vec![
                ("type".into(), Value::Text("raidz".into())),
                ("nparity".into(), Value::Number(parity)),
                ("children".into(), Value::Lists(vec![child(1), child(2), child(3)])),
            ]))
        };
        let one = |guid| guid == 1;
        assert!(vdev(2).is_readable(&one));
        for parity in [0, 1, 4, u64::MAX - 1, u64::MAX] {
            assert!(!vdev(parity).is_readable(&one), "{parity}");
        }
    }
}
