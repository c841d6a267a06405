//! What every store promises: the directory, and a real S3 server.

use crate::machine::noise;
use crate::s3::server;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::tempdir;
use wherry_archive::{ErrorKind, Local, Store, open};

/// Says to a child where to look.
const CONTRACT: &str = "WHERRY_TEST_CONTRACT";
/// The contract alone.
const SHORT: &str = "WHERRY_TEST_SHORT";

fn listed(store: &dyn Store, prefix: &str) -> Vec<(String, u64)> {
    let mut list = Vec::new();
    store.list(prefix, &mut |object| list.push((object.key, object.size))).unwrap();
    list.sort();
    list
}

fn contract(store: &Arc<dyn Store>) {
    assert_eq!(listed(store.as_ref(), "packs/"), []);
    assert_eq!(store.open("packs/none").err().unwrap().kind, ErrorKind::Missing);
    assert_eq!(store.get("packs/none").err().unwrap().kind, ErrorKind::Missing);
    store.delete("packs/none").unwrap();

    assert!(store.put_new("packs/aa/one", b"first").unwrap());
    assert!(!store.put_new("packs/aa/one", b"other").unwrap());
    assert_eq!(store.get("packs/aa/one").unwrap(), b"first");
    assert!(
        store.put_own("packs/aa/one", b"first").unwrap() && !store.put_own("packs/aa/one", b"other").unwrap()
    );
    assert!(store.put_new("packs/aa/empty", b"").unwrap());
    assert_eq!(store.get("packs/aa/empty").unwrap(), b"");

    let large = noise(1, (33 << 20) + 7);
    assert!(store.put_new("packs/bb/large", &large).unwrap());
    let reader = store.open("packs/bb/large").unwrap();
    assert_eq!(reader.length(), large.len() as u64);
    for (from, length) in [(0, 1), (4095, 10_000), (large.len() - 1, 1), (0, large.len()), (5, 0)] {
        let mut bytes = vec![0; length];
        reader.read_at(from as u64, &mut bytes).unwrap();
        assert!(bytes == large[from..from + length], "{from}+{length}");
    }
    assert_eq!(reader.read_at(large.len() as u64, &mut [0]).unwrap_err().kind, ErrorKind::Corrupt);

    // What a listing tells of may be used at once; a name that only begins alike is not below a prefix.
    assert!(store.put_new("packs.old/one", b"1").unwrap());
    let mut bytes = 0;
    store.list("packs/", &mut |object| bytes += store.get(&object.key).unwrap().len()).unwrap();
    assert_eq!(bytes, 5 + large.len());

    // Segments of the index may be read from a copy.
    assert!(store.put_new("index/some", b"0123456789").unwrap());
    for _ in 0..2 {
        let mut bytes = [0; 4];
        store.open("index/some").unwrap().read_at(3, &mut bytes).unwrap();
        assert_eq!(&bytes, b"3456");
    }
    let names = |prefix| listed(store.as_ref(), prefix);
    assert_eq!(names("packs/").len(), 3);
    assert_eq!(names("index/"), [("index/some".into(), 10)]);
    store.delete("index/some").unwrap();
    store.delete("index/some").unwrap();
    assert_eq!(names("index/"), []);
    assert_eq!(store.open("index/some").err().unwrap().kind, ErrorKind::Missing);

    let (won, rounds) = (AtomicUsize::new(0), 20);
    std::thread::scope(|scope| {
        for writer in 0..8u8 {
            let (store, won) = (store.clone(), &won);
            scope.spawn(move || {
                for round in 0..rounds {
                    if store.put_new(&format!("snapshots/{round}"), &[writer; 100]).unwrap() {
                        won.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(store.get(&format!("snapshots/{round}")).unwrap(), [writer; 100]);
                    }
                }
            });
        }
    });
    assert_eq!(won.into_inner(), rounds, "exactly one of several creators wins");
}

#[test]
fn a_directory_keeps_the_contract() {
    let folder = tempdir().unwrap();
    contract(&open(folder.path().to_str().unwrap()).unwrap());
    let file = folder.path().join("packs/cut");
    cut(&Local::new(folder.path()), || std::fs::write(&file, [1; 2000]).unwrap());
    let url = format!("file://{}", folder.path().join("other").display());
    contract(&open(&url).unwrap());
}

/// An object that became shorter, which is against all promises.
fn cut(store: &dyn Store, cut: impl Fn()) {
    assert!(store.put_new("packs/cut", &[1; 5000]).unwrap());
    let reader = store.open("packs/cut").unwrap();
    cut();
    assert_eq!(reader.read_at(1000, &mut [0; 4000]).unwrap_err().kind, ErrorKind::Corrupt);
}

/// Segments of the index are read from files of nobody else's, whole ones whoever opens them at the same time.
fn segments(store: &Arc<dyn Store>) {
    let content = noise(2, 3 << 20);
    assert!(store.put_new("index/large", &content).unwrap());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(store_bytes(store.as_ref(), "index/large") == content));
        }
    });
    let cache = std::env::var("XDG_CACHE_HOME").unwrap();
    // Other tests of this server keep theirs beside it.
    let mut copies = copies(Path::new(&cache));
    copies.retain(|path| path.ends_with("large"));
    let [copy] = &copies[..] else { panic!("{copies:?}") };
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(copy), mode(copy.parent().unwrap())), (0o600, 0o700));
    store.delete("index/large").unwrap();
    assert_eq!(listed(store.as_ref(), "index/"), []);
    assert!(!copy.exists(), "what is gone needs no copy");
}

fn store_bytes(store: &dyn Store, key: &str) -> Vec<u8> {
    let reader = store.open(key).unwrap();
    let mut bytes = vec![0; reader.length() as usize];
    reader.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Every file below a folder.
fn copies(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![folder.into()] };
    entries.flat_map(|entry| copies(&entry.unwrap().path())).collect()
}

/// The child's part of the tests with a server, whose environment it needs.
#[test]
fn client() {
    let Ok(address) = std::env::var(CONTRACT) else { return };
    let store = open(&address).unwrap();
    contract(&store);
    if std::env::var_os(SHORT).is_some() {
        return;
    }
    segments(&store);
    let again = store.clone();
    cut(store.as_ref(), || {
        again.delete("packs/cut").unwrap();
        assert!(again.put_new("packs/cut", &[1; 2000]).unwrap());
    });
    // A prefix is a whole folder's name, and may hold what a URL writes in another way.
    for name in ["a b", "50%", "Ä", "x+y"] {
        let other = open(&format!("{address}/{name}/")).unwrap();
        assert!(other.put_new("packs/one", name.as_bytes()).unwrap());
        assert_eq!(listed(other.as_ref(), "packs/"), [("packs/one".into(), name.len() as u64)]);
        assert_eq!(other.get("packs/one").unwrap(), name.as_bytes());
    }
    // More than one page of a listing.
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..150 {
                    assert!(store.put_new(&format!("many/{thread}/{number}"), b"1").unwrap());
                }
            });
        }
    });
    assert_eq!(listed(store.as_ref(), "many/").len(), 1200);
}

fn child(name: &str, more: &[(&str, String)]) -> Result<String, String> {
    let place = (CONTRACT, server().address(name));
    server().run("store::client", &[more, &[place]].concat())
}

#[test]
fn a_server_keeps_the_contract() {
    child("contract", &[]).unwrap();
}

/// A file stands where the folder for copies would be.
#[test]
fn a_server_is_used_where_nothing_can_be_kept() {
    let more = [("XDG_CACHE_HOME", "/dev/null".to_owned()), (SHORT, String::new())];
    child("no-cache", &more).unwrap();
}

#[test]
fn a_server_is_used_over_tls_if_it_is_trusted() {
    let short = (SHORT, String::new());
    let [endpoint, trust] = server().encrypted();
    child("tls", &[endpoint.clone(), trust, short.clone()]).unwrap();
    let patience = ("WHERRY_STORE_PATIENCE", "1".to_owned());
    let refused = child("tls-unknown", &[endpoint, short, patience]).unwrap_err();
    assert!(refused.contains("invalid peer certificate: UnknownIssuer; its authority must be"), "{refused}");
}

#[test]
fn addresses_that_are_none_are_refused() {
    for wrong in
        ["http://me:secret@host/x", "", "s4://bucket", "s3:///prefix", "s3://me:secret@bucket/prefix"]
    {
        let refused = open(wrong).err().unwrap();
        assert!(
            refused.context.contains("s3://BUCKET/PREFIX") && !refused.context.contains("secret"),
            "{refused}"
        );
    }
}
