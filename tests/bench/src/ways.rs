//! The ways to make a copy that are measured: the built program's and others'.

use crate::server::Server;
use std::path::Path;

/// A way to make a copy.
pub struct Way {
    /// What is copied, or which server it is read from.
    pub from: &'static str,
    /// The row that it is compared in.
    pub to: &'static str,
    /// What `qemu-img` calls the copy's format.
    pub format: &'static str,
    pub name: &'static str,
    pub command: Vec<String>,
    pub ours: bool,
}

/// The disk without free blocks, and the one with them.
pub const FULL: &str = "full";
pub const GUEST: &str = "guest";

/// A format as `wherry` and `qemu-img` are told of it.
struct Format {
    row: &'static str,
    ours: &'static str,
    set: &'static str,
    qemu: &'static str,
    option: &'static str,
}

const fn plain(row: &'static str, qemu: &'static str) -> Format {
    Format { row, ours: row, set: "", qemu, option: "" }
}

const PLAIN: [Format; 5] = [
    plain("raw", "raw"),
    plain("qcow2", "qcow2"),
    plain("vmdk", "vmdk"),
    plain("vhdx", "vhdx"),
    plain("vhd", "vpc"),
];

const PACKED: [Format; 2] = [
    // Both at level 3.
    Format {
        row: "qcow2 zstd",
        ours: "qcow2",
        set: "compression=zstd",
        qemu: "qcow2",
        option: "-c -o compression_type=zstd",
    },
    // Both at level 6.
    Format {
        row: "vmdk stream",
        ours: "vmdk",
        set: "subformat=streamOptimized",
        qemu: "vmdk",
        option: "-o subformat=streamOptimized",
    },
];

/// What is read and what is written.
struct Ends<'a> {
    from: &'static str,
    source: &'a str,
    target: &'a str,
}

impl Ends<'_> {
    fn way(&self, format: &Format, name: &'static str, line: String) -> Way {
        let command = line.split_whitespace().map(String::from).collect();
        let ours = name.starts_with("wherry");
        Way { from: self.from, to: format.row, format: format.qemu, name, command, ours }
    }

    fn ours(&self, format: &Format) -> Way {
        let Self { from, source, target } = self;
        let source = if source.starts_with("nbd") { (*source).to_owned() } else { format!("raw:{source}") };
        let (name, used) = match *from == GUEST && format.set.is_empty() {
            true => ("wherry --used-only", "--used-only"),
            false => ("wherry", ""),
        };
        let set = if format.set.is_empty() { String::new() } else { format!("--set {}", format.set) };
        let line =
            format!("target/release/wherry convert {source} --to {}:{target} {set} {used}", format.ours);
        self.way(format, name, line)
    }

    /// As it comes, and with its fastest settings, where it takes them.
    fn qemu(&self, format: &Format) -> Vec<Way> {
        let line = |how: &str| {
            let Self { source, target, .. } = self;
            format!("qemu-img convert {how} -f raw -O {} {} {source} {target}", format.qemu, format.option)
        };
        let mut ways = vec![self.way(format, "qemu-img", line(""))];
        // Grains of a stream follow each other: qemu-img refuses to write them out of order.
        if format.row != "vmdk stream" {
            ways.push(self.way(format, "qemu-img -m 16 -W", line("-m 16 -W")));
        }
        ways
    }

    fn other(&self, name: &'static str) -> Way {
        self.way(&PLAIN[0], name, format!("{name} {} {}", self.source, self.target))
    }
}

/// All of them, for two disks and servers of the first.
pub fn list(full: &Path, guest: &Path, servers: &[Server], target: &Path) -> Vec<Way> {
    let (full, guest, target) =
        (full.display().to_string(), guest.display().to_string(), target.display().to_string());
    let mut ways = Vec::new();
    for (from, source) in [(FULL, &full), (GUEST, &guest)] {
        let ends = Ends { from, source, target: &target };
        for format in PLAIN.iter().chain(&PACKED) {
            ways.push(ends.ours(format));
            if format.row == "raw" {
                ways.extend(["cp --sparse=auto", "nbdcopy"].map(|name| ends.other(name)));
            }
            ways.extend(ends.qemu(format));
        }
    }
    for server in servers {
        let ends = Ends { from: server.name, source: &server.uri, target: &target };
        ways.extend([ends.ours(&PLAIN[0]), ends.other("nbdcopy")]);
    }
    ways
}
