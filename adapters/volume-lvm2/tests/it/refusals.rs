//! What is named and refused, by groups that lvm2 itself accepts.

use crate::exercise::checked_scan;
use crate::lab::{Lab, scan};
use crate::made::{self, hidden, logical, striped};
use wherry_sdk::volume::Layout;

/// The part's number of segments, and the concerns that name it.
fn fate(layout: &Layout, name: &str) -> (usize, Vec<String>) {
    let part = layout.parts.iter().find(|part| part.id == format!("lvm:vg/{name}"));
    let named = layout.concerns.iter().filter(|concern| concern.message.contains(&format!("vg/{name} ")));
    (part.map_or(usize::MAX, |part| part.segments.len()), named.map(|concern| concern.id.clone()).collect())
}

fn linear(extent: u64, count: u64) -> String {
    striped(0, count, &[("pv0", extent)])
}

/// Snapshot, mirror and thin as lvm2 stores them; `vgcfgrestore` and `lvs` accept the text.
#[test]
fn snapshots_mirrors_and_thin_volumes() {
    let lab = Lab::new(&[48]);
    lab.create();
    let snapshot = "start_extent = 0 extent_count = 2 type = \"snapshot\" chunk_size = 8";
    let mirror = "start_extent = 0 extent_count = 1 type = \"mirror\" mirror_count = 2 region_size = 1024";
    let pool = "start_extent = 0 extent_count = 4 type = \"thin-pool\" metadata = \"pool_tmeta\" pool = \"pool_tdata\" \
                transaction_id = 1 chunk_size = 128 discards = \"passdown\" zero_new_blocks = 1";
    let thin = "start_extent = 0 extent_count = 40 type = \"thin\" thin_pool = \"pool\" transaction_id = 0 device_id = 1";
    lab.define(
        &[
            logical("plain", &[&linear(0, 2)]),
            logical("origin", &[&linear(2, 2)]),
            logical("snap", &[&linear(4, 2)]),
            hidden("snapsh", &format!("{snapshot} origin = \"origin\" cow_store = \"snap\"")),
            hidden("image0", &linear(6, 1)),
            hidden("image1", &linear(7, 1)),
            logical("mirror", &[&format!("{mirror} mirrors = [\"image0\", 0, \"image1\", 0]")]),
            hidden("pool_tmeta", &linear(8, 4)),
            hidden("pool_tdata", &linear(12, 4)),
            logical("pool", &[pool]),
            logical("thin", &[thin]),
        ]
        .concat(),
    );
    let listed = lab.lvm(&["lvs", "--noheadings", "-o", "lv_name", "vg"]);
    let layout = lab.scan();
    let own = layout.parts.iter().filter(|part| part.kind != "copy");
    let names: Vec<&str> = own.map(|part| part.id.strip_prefix("lvm:vg/").unwrap()).collect();
    // A pool has no bytes of its own.
    let listed: Vec<&str> = listed.split_whitespace().filter(|name| *name != "pool").collect();
    assert_eq!(names.len(), listed.len(), "{listed:?}");
    assert!(listed.iter().all(|name| names.contains(name)), "{listed:?}");
    let refused = |id: &str| (0, vec![id.to_string()]);
    assert_eq!(fate(&layout, "plain"), (1, vec![]));
    assert_eq!(fate(&layout, "origin"), (1, vec!["lvm.has-snapshots".into()]));
    assert_eq!(fate(&layout, "snap"), refused("lvm.snapshot"));
    assert_eq!(fate(&layout, "mirror"), (1, vec![]));
    let copy = layout.parts.iter().find(|part| part.id == "lvm:vg/mirror/copy1").unwrap();
    assert_eq!((copy.kind.as_str(), copy.segments[0].offset), ("copy", (1 << 20) + (7 << 20)));
    // The pool was never started: its metadata are zeroes.
    assert_eq!(fate(&layout, "thin"), refused("lvm.bad-thin-pool"));
}

#[test]
fn other_types_and_stacks() {
    let mut logicals = String::new();
    let types = [
        ("cache", "lvm.cached"),
        ("cache+CACHE_USES_CACHEVOL", "lvm.cached"),
        ("writecache", "lvm.cached"),
        ("integrity", "lvm.integrity"),
        ("vdo", "lvm.vdo"),
        ("zero", "lvm.unsupported-type"),
        ("error", "lvm.unsupported-type"),
        ("raid1+RESHAPE", "lvm.unsupported-type"),
    ];
    for (index, (kind, _)) in types.iter().enumerate() {
        let body = format!("start_extent = 0 extent_count = 1 type = \"{kind}\"");
        logicals += &logical(&format!("odd{index}"), &[&body]);
    }
    logicals += &logical("moving", &[&striped(0, 1, &[("pvmove0", 0)])]);
    let moving = "start_extent = 0 extent_count = 1 type = \"mirror\" mirrors = [\"pv0\", 1, \"pv0\", 2]";
    logicals += &hidden("pvmove0", moving).replace("status = [", "status = [\"PVMOVE\", ");
    logicals += &logical("origin", &[&linear(0, 1)]);
    let merging =
        "start_extent = 0 extent_count = 1 type = \"snapshot\" origin = \"origin\" merging_store = \"back\"";
    logicals += &hidden("snapshot0", merging);
    let layout = checked_scan(&[&made::physical("A", made::group(&["A"], 1, &logicals).as_bytes())]);
    for (index, (kind, id)) in types.iter().enumerate() {
        assert_eq!(fate(&layout, &format!("odd{index}")), (0, vec![(*id).to_string()]), "{kind}");
        assert!(layout.concerns[index].message.contains(kind));
    }
    assert_eq!(fate(&layout, "moving"), (0, vec!["lvm.moving".into()]));
    assert_eq!(fate(&layout, "origin"), (0, vec!["lvm.snapshot".into()]));
    assert_eq!(fate(&layout, "pvmove0"), (usize::MAX, vec![]));
}

/// What lies on the disks that are there is mapped, the rest is named.
#[test]
fn missing_and_duplicate_disks() {
    let lab = Lab::new(&[8, 8]);
    lab.create();
    let root = logical("root", &[&linear(0, 2)]);
    lab.define(&(root + &logical("data", &[&striped(0, 2, &[("pv1", 0)])])));
    let [first, second] = [lab.images[0].clone(), lab.images[1].clone()];
    let alone = scan(std::slice::from_ref(&first));
    assert_eq!(fate(&alone, "root"), (1, vec![]));
    assert_eq!(fate(&alone, "data"), (0, vec!["lvm.missing-pv".into()]));
    let uuid = lab.lvm(&["pvs", "--noheadings", "-o", "pv_uuid", &lab.loops[1]]);
    let told = alone.concerns.iter().find(|one| one.id == "lvm.missing-pv").unwrap();
    let hint = format!("last seen as {}", lab.loops[1]);
    assert!(told.message.contains(uuid.trim()) && told.message.contains(&hint), "{}", told.message);
    let copied = scan(&[first.clone(), second.clone(), first]);
    assert_eq!(fate(&copied, "root"), (0, vec!["lvm.duplicate-pv".into()]));
    assert_eq!(fate(&copied, "data"), (1, vec![]));
}

#[test]
fn exported_and_overlapping_groups() {
    let lab = Lab::new(&[8]);
    lab.create();
    lab.define(&logical("root", &[&linear(0, 2)]));
    assert_eq!(lab.scan().parts[0].segments.len(), 1);
    lab.lvm(&["vgexport", "--quiet", "vg"]);
    let layout = lab.scan();
    assert_eq!((layout.parts[0].segments.len(), layout.concerns[0].id.as_str()), (0, "lvm.exported"));
    let both = logical("a", &[&linear(0, 4)]) + &logical("b", &[&linear(3, 2)]);
    let layout = checked_scan(&[&made::physical("A", made::group(&["A"], 1, &both).as_bytes())]);
    assert!(layout.parts.iter().all(|part| part.segments.is_empty()));
    assert!(
        layout.concerns[0].message.contains("a and b both lie in extent 3 of pv0"),
        "{:?}",
        layout.concerns
    );
}

/// The same name twice, two texts of the same age, and a text that says where it cannot lie.
#[test]
fn contradictions() {
    let root = logical("root", &[&linear(0, 4)]);
    let text = made::group(&["A"], 1, &root);
    let other = made::group(&["B"], 7, &root).replace("\"group\"", "\"other\"");
    let layout =
        checked_scan(&[&made::physical("A", text.as_bytes()), &made::physical("B", other.as_bytes())]);
    assert_eq!((layout.parts.len(), layout.concerns[0].id.as_str()), (1, "lvm.same-name"));
    let pair = made::group(&["A", "B"], 1, &root);
    let differs = made::group(&["A", "B"], 1, &root.replace("pv0", "pv1"));
    let layout =
        checked_scan(&[&made::physical("A", pair.as_bytes()), &made::physical("B", differs.as_bytes())]);
    assert_eq!((layout.parts[0].segments.len(), layout.concerns[0].id.as_str()), (0, "lvm.conflict"));
    let loops = text.replace("pe_start = 2048", "pe_start = 8");
    let layout = checked_scan(&[&made::physical("A", loops.as_bytes())]);
    assert!(layout.concerns[0].message.contains("overlaps its own metadata"), "{:?}", layout.concerns);
    let long = text.replace("pe_count = 16", "pe_count = 32");
    let layout = checked_scan(&[&made::physical("A", long.replace("\"pv0\", 0", "\"pv0\", 14").as_bytes())]);
    assert!(layout.concerns[0].message.contains("beyond the end of device 0"), "{:?}", layout.concerns);
}

/// 64 MiB in stripes of one sector, in each of nine groups: those over the limit are refused.
#[test]
fn too_many_stripes() {
    let stripes = striped(0, 64, &[("pv0", 0), ("pv0", 32)]).replace("stripe_size = 128", "stripe_size = 1");
    let text = made::group(&["A"], 1, &logical("wide", &[&stripes, &striped(64, 1, &[("pv0", 10)])]));
    let text =
        text.replace("pe_count = 16", "pe_count = 65").replace("extent_size = 128", "extent_size = 2048");
    let text = text.replace("\"pv0\", 10", "\"pv0\", 64");
    let disks: Vec<Vec<u8>> = (0..9)
        .map(|number| {
            let name = format!("P{number}");
            let text = text.replace(&made::uuid("A"), &made::uuid(&name));
            let text = text
                .replace("vg {", &format!("vg{number} {{"))
                .replace("\"group\"", &format!("\"{number}\""));
            let mut disk = made::physical(&name, text.as_bytes());
            disk.resize(66 << 20, 0);
            disk
        })
        .collect();
    let layout = checked_scan(&disks.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let pieces: Vec<usize> = layout.parts.iter().map(|part| part.segments.len()).collect();
    // The last linear extent goes on where the last stripe ended, so that it is no piece of its own.
    let each = (64 << 20) / 512;
    assert_eq!(pieces, [each, each, each, each, each, each, each, 0, 0]);
    let ids: Vec<&str> = layout.concerns.iter().map(|concern| concern.id.as_str()).collect();
    assert_eq!(ids, ["lvm.too-many-segments"; 2]);
}
