//! What every store promises: the directory, and a real S3 server.

use crate::machine::noise;
use crate::s3::server;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::tempdir;
use wherry_archive::{ErrorKind, Store, open};

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
    let url = format!("file://{}", folder.path().join("other").display());
    contract(&open(&url).unwrap());
}

/// The child's part of the tests with a server, whose environment it needs.
#[test]
fn client() {
    let Ok(address) = std::env::var("WHERRY_TEST_CONTRACT") else { return };
    contract(&open(&address).unwrap());
}

#[test]
fn a_server_keeps_the_contract() {
    let server = server();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::client", "--nocapture"])
        .envs(server.environment())
        .env("WHERRY_TEST_CONTRACT", server.address("contract"))
        .output()
        .unwrap();
    let words = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&words));
    assert!(String::from_utf8_lossy(&words).contains("1 passed"));
}

#[test]
fn addresses_that_are_none_are_refused() {
    for wrong in ["http://example.com/x", "", "s4://bucket", "s3:///prefix"] {
        let refused = open(wrong).err().unwrap();
        assert!(refused.context.contains("s3://BUCKET/PREFIX"), "{refused}");
    }
}

/// A server that is none: what it answers, and what the client says then.
#[test]
fn broken_servers_are_told() {
    use std::io::{Read, Write};
    let answers: [(&str, &str); 3] = [
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "cannot"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\netag: \"1\"\r\n\r\nshort",
            "cannot",
        ),
        ("nonsense\r\n\r\n", "cannot"),
    ];
    for (answer, words) in answers {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (mut stream, mut request) = (stream, [0; 4096]);
                let _read = stream.read(&mut request);
                let _written = stream.write_all(answer.as_bytes());
            }
        });
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::broken_client", "--nocapture"])
            .envs([
                ("AWS_ALLOW_HTTP", "true"),
                ("AWS_ACCESS_KEY_ID", "x"),
                ("AWS_SECRET_ACCESS_KEY", "topsecret"),
            ])
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
            .env("AWS_REGION", "x")
            .env("WHERRY_TEST_BROKEN", "s3://bucket/prefix")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains(words), "{answer}: {said}");
        assert!(said.contains("s3://bucket/prefix/packs/x") && !said.contains("topsecret"), "{said}");
    }
}

#[test]
fn broken_client() {
    let Ok(address) = std::env::var("WHERRY_TEST_BROKEN") else { return };
    println!("\nsaid: {}", open(&address).unwrap().get("packs/x").unwrap_err());
}
