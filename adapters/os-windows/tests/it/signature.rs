//! Signatures that osslsigncode has made, and what each Windows says to them.

use crate::generations::{self, find, volumes};
use crate::media::run;
use crate::program::{self, AMD64, CROSS, MICROSOFT};
use crate::{packages, profiles};
use os_windows::Windows;
use os_windows::signature::{Signer, embedded, needs_sha2, signer};
use std::path::Path;
use wherry_registry::{Kind, data};
use wherry_sdk::testing::{MemoryTree, MemoryVolume};
use wherry_sdk::{Fact, Severity, SourceOs, fact};

/// A key, and a certificate of it by an authority of this name, both signed by this algorithm.
fn certificates(folder: &Path, authority: &str, algorithm: &str) {
    let (name, hash) = (format!("/CN={authority}"), format!("-{algorithm}"));
    let root =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-subj"];
    run(folder, "openssl", &[&root[..], &[&name, &hash, "-days", "30"]].concat());
    let leaf = [
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "leaf.key",
        "-out",
        "leaf.csr",
        "-subj",
        "/CN=Red Hat",
    ];
    run(folder, "openssl", &leaf);
    let sign =
        ["x509", "-req", "-in", "leaf.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial"];
    run(folder, "openssl", &[&sign[..], &[&hash, "-days", "30", "-out", "leaf.pem"]].concat());
    let chain = ["leaf.pem", "root.pem"].map(|name| std::fs::read(folder.join(name)).unwrap()).concat();
    std::fs::write(folder.join("chain.pem"), chain).unwrap();
}

fn sign(folder: &Path, hash: &str, more: &[&str]) -> Vec<u8> {
    let all =
        ["sign", "-h", hash, "-certs", "chain.pem", "-key", "leaf.key", "-in", "in.sys", "-out", "out.sys"];
    let _ = std::fs::remove_file(folder.join("out.sys"));
    run(folder, "osslsigncode", &[&all[..], more].concat());
    std::fs::read(folder.join("out.sys")).unwrap()
}

#[test]
fn as_osslsigncode_signs() {
    for (authority, algorithm, who) in [
        (CROSS, "sha1", Signer::Cross),
        (MICROSOFT, "sha256", Signer::Microsoft),
        ("Test CA", "sha1", Signer::Other),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        certificates(folder, authority, algorithm);
        for machine in [program::I386, AMD64] {
            let plain = program::unsigned(machine, "code");
            assert_eq!(embedded(&plain), None);
            std::fs::write(folder.join("in.sys"), plain).unwrap();
            let old = sign(folder, "sha1", &[]);
            let own = embedded(&old).unwrap();
            run(folder, "osslsigncode", &["extract-signature", "-in", "out.sys", "-out", "out.p7"]);
            let theirs = std::fs::read(folder.join("out.p7")).unwrap();
            std::fs::remove_file(folder.join("out.p7")).unwrap();
            assert!(
                own.starts_with(&theirs) && own.len() < theirs.len() + 8,
                "{} {}",
                own.len(),
                theirs.len()
            );
            assert_eq!((signer(own), needs_sha2(own)), (who, algorithm == "sha256"));
            // A second signature by SHA-2 is for those that know it.
            std::fs::write(folder.join("in.sys"), &old).unwrap();
            let both = sign(folder, "sha256", &["-nest"]);
            assert_eq!(needs_sha2(embedded(&both).unwrap()), algorithm == "sha256");
            assert!(both.len() > old.len() + 500);
            std::fs::write(folder.join("in.sys"), program::unsigned(machine, "code")).unwrap();
            assert!(needs_sha2(embedded(&sign(folder, "sha256", &[])).unwrap()));
        }
    }
}

/// What osslsigncode and binutils say of the programs that stand for drivers.
#[test]
fn the_programs_are_real() {
    let folder = tempfile::tempdir().unwrap();
    for (machine, format) in [(program::I386, "pei-i386"), (AMD64, "pei-x86-64")] {
        std::fs::write(folder.path().join("x.sys"), program::driver(machine, "code")).unwrap();
        let said = std::process::Command::new("objdump")
            .args(["-h", "x.sys"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.contains(format) && said.contains(".text"), "{said}");
    }
}

#[test]
fn tables_that_lie() {
    let good = program::signed(AMD64, "code", &program::signature(MICROSOFT, false));
    assert!(embedded(&good).is_some());
    for length in 0..good.len() - 8 {
        assert_eq!(embedded(&good[..length]), None, "{length}");
    }
    for seed in 0..500 {
        let mut odd = good.clone();
        wherry_sdk::testing::damage(&mut odd, 0, 0x200, seed);
        if let Some(found) = embedded(&odd) {
            assert!(found.len() < odd.len());
            needs_sha2(found);
        }
    }
}

/// Moves a Windows to virtio with this driver; the concerns about it.
fn told(
    release: &str,
    driver: &[u8],
    secure: bool,
    extra: &[Fact],
    own: fn(&mut generations::Values),
) -> Vec<String> {
    let one = find(release);
    let mut software = generations::software(one);
    own(&mut software);
    moved(one, (driver, secure), extra, &|volume| {
        volume.file("/Windows/System32/config/SOFTWARE", generations::hive(one.regf, &software))
    })
}

fn moved(
    one: &generations::Generation,
    (driver, secure): (&[u8], bool),
    extra: &[Fact],
    own: &dyn Fn(MemoryVolume) -> MemoryVolume,
) -> Vec<String> {
    let mut all = volumes(one);
    let volume = all.pop().unwrap();
    all.push(own(volume));
    let lent = MemoryVolume::new("drivers:0", &[("name", "lent"), ("fs.kind", "iso9660")]).kind("drivers");
    let lent =
        lent.file("/viostor.inf", packages::VIOSTOR).file("/viostor.cat", "c").file("/viostor.sys", driver);
    all.push(lent);
    let tree = MemoryTree::new(all);
    Windows::identify(&tree).unwrap().unwrap();
    let firmware = if one.boot == generations::Boot::Uefi { "uefi" } else { "bios" };
    let mut profile = profiles::virtio(firmware, one.number());
    if secure {
        profile.firmware = "uefi-secure-boot".into();
    }
    let result = Windows::adapt(&tree, &profile, extra).unwrap();
    let own = result.concerns.iter().filter(|concern| concern.id.starts_with("windows.driver."));
    own.map(|concern| {
        format!("{} {}", if concern.severity == Severity::Blocking { "block" } else { "warn" }, concern.id)
    })
    .collect()
}

fn nothing(_: &mut generations::Values) {}

#[test]
fn what_windows_says_to_them() {
    let by = |name: &str, sha2: bool| program::signed(AMD64, "x", &program::signature(name, sha2));
    let says = |release: &str, driver: &[u8], secure: bool| told(release, driver, secure, &[], nothing);
    let none: Vec<String> = Vec::new();
    let unsigned = program::unsigned(AMD64, "x");
    for release in ["2008", "2008r2", "2012r2", "2016", "2025"] {
        assert_eq!(says(release, &unsigned, false), ["block windows.driver.unsigned"], "{release}");
        assert_eq!(says(release, &by("Red Hat test", false), false), ["block windows.driver.test-signed"]);
        assert_eq!(says(release, &by(MICROSOFT, false), true), none);
    }
    assert_eq!(says("2012r2", &by(CROSS, true), false), none);
    assert_eq!(says("2019", &by(CROSS, true), false), ["warn windows.driver.secure-boot"]);
    assert_eq!(says("2019", &by(CROSS, true), true), ["block windows.driver.secure-boot"]);
    assert_eq!(says("2019", &by(MICROSOFT, true), true), none);
    let trusted = [fact("driver-signatures", "trusted")];
    assert_eq!(told("2019", &unsigned, true, &trusted, nothing), ["warn windows.driver.unsigned"]);
    // 32-bit Windows loads what is not signed.
    assert_eq!(says("7", &program::unsigned(program::I386, "x"), false), none);
}

/// 7 and 2008 R2 have a file that tells.
#[test]
fn the_file_of_the_update() {
    let driver = program::signed(AMD64, "x", &program::signature(MICROSOFT, true));
    let says = |revision: u16| {
        let file = crate::media::program("wintrust.dll", [6, 1, 7601, revision], 0);
        moved(find("2008r2"), (&driver, false), &[], &|volume| {
            volume.file("/Windows/System32/wintrust.dll", &file)
        })
    };
    assert_eq!(says(17514), ["block windows.driver.sha2"]);
    assert_eq!(says(22380), ["block windows.driver.sha2"]);
    assert_eq!((says(18741), says(24545)), (Vec::new(), Vec::new()));
}

fn package(values: &mut generations::Values, name: &str, state: u32) {
    let key = format!(
        r"Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages\{name}~31bf3856ad364e35~amd64~~6.1.1.1"
    );
    values.push((key, "CurrentState".into(), Kind::DWORD, data::dword(state)));
}

#[test]
fn windows_that_know_no_sha2() {
    let driver = program::signed(AMD64, "x", &program::signature(MICROSOFT, true));
    let says = |own: fn(&mut generations::Values), extra: &[Fact]| told("2008r2", &driver, false, extra, own);
    let old: fn(&mut generations::Values) = |values| package(values, "Package_for_KB2813347", 0x70);
    assert_eq!(says(nothing, &[]), ["warn windows.driver.sha2"], "nothing is known");
    assert_eq!(says(old, &[]), ["block windows.driver.sha2"]);
    assert_eq!(says(old, &[fact("driver-signatures", "trusted")]), ["warn windows.driver.sha2"]);
    assert_eq!(
        says(|values| package(values, "Package_for_KB3033929", 0x40), &[]),
        ["block windows.driver.sha2"]
    );
    assert_eq!(says(|values| package(values, "Package_for_KB3033929", 0x50), &[]), [""; 0]);
    assert_eq!(says(|values| package(values, "Package_for_KB4474419", 0x70), &[]), [""; 0]);
    assert_eq!(
        says(|values| package(values, "Package_for_RollupFix", 0x70), &[]),
        ["warn windows.driver.sha2"]
    );
    assert_eq!(
        told("2008", &driver, false, &[], |values| package(values, "Package_for_KB4039648", 0x70)),
        [""; 0]
    );
    assert_eq!(told("2012r2", &driver, false, &[], nothing), [""; 0]);
}
