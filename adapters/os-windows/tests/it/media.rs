//! HALs and kernels from an installation CD or service pack that the operator lends. The programs are real ones, made by
//! mingw's windres and ld; the packed files by gcab (cabinets) and mscompress (SZDD).

use crate::generations::{find, volumes};
use crate::packed_exercise::exercise;
use crate::profiles;
use os_windows::Windows;
use os_windows::szdd::unpack;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use wherry_sdk::source::Adaptation;
use wherry_sdk::testing::{MemoryTree, MemoryVolume, Random, damage};
use wherry_sdk::{SourceOs, Tree, fact};

pub fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).current_dir(folder).output();
    let done = done.unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

type Programs = Mutex<BTreeMap<(String, [u16; 4], u32), Vec<u8>>>;
static PROGRAMS: Programs = Mutex::new(BTreeMap::new());

/// A 32-bit DLL with a version resource: name, version, flags of the file. It is made once.
pub fn program(name: &str, version: [u16; 4], flags: u32) -> Vec<u8> {
    let mut programs = PROGRAMS.lock().unwrap();
    let key = (name.to_owned(), version, flags);
    programs.entry(key).or_insert_with(|| link(name, version, flags)).clone()
}

fn link(name: &str, version: [u16; 4], flags: u32) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let version = version.map(|number| number.to_string()).join(",");
    let script = format!(
        "1 VERSIONINFO\nFILEVERSION {version}\nPRODUCTVERSION {version}\nFILEFLAGSMASK 0x3f\nFILEFLAGS {flags}\nFILEOS 0x40004\n\
         FILETYPE 2\nBEGIN\nBLOCK \"StringFileInfo\"\nBEGIN\nBLOCK \"040904b0\"\nBEGIN\n\
         VALUE \"OriginalFilename\", \"{name}\"\nEND\nEND\nEND\n"
    );
    std::fs::write(folder.path().join("v.rc"), script).unwrap();
    let windres = ["--preprocessor=cat", "v.rc", "-O", "coff", "-o", "v.o"];
    run(folder.path(), "i686-w64-mingw32-windres", &windres);
    run(folder.path(), "i686-w64-mingw32-ld", &["-shared", "v.o", "-o", "out.dll"]);
    std::fs::read(folder.path().join("out.dll")).unwrap()
}

/// The same, packed by itself as on a CD.
pub fn packed(name: &str, bytes: &[u8], cabinet: bool) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), bytes).unwrap();
    if cabinet {
        run(folder.path(), "gcab", &["--create", "--zip", "out", name]);
        return std::fs::read(folder.path().join("out")).unwrap();
    }
    run(folder.path(), "mscompress", &[name]);
    std::fs::read(folder.path().join(format!("{name}_"))).unwrap()
}

const SP6: [u16; 4] = [4, 0, 1381, 335];
const NEWER: [u16; 4] = [4, 0, 1381, 7203];

/// NT 4.0 for one processor with a computer maker's HAL for several, and a CD.
fn guest(kernel: [u16; 4], cd: &[(&str, Vec<u8>)]) -> MemoryTree {
    let mut all = volumes(find("nt4"));
    let volume: MemoryVolume = all.pop().unwrap();
    let volume = volume
        .file("/WINNT/System32/hal.dll", program("halsp.dll", [4, 0, 1, 0], 0))
        .file("/WINNT/System32/ntoskrnl.exe", program("ntkrnlmp.exe", kernel, 0));
    all.push(volume);
    let mut lent =
        MemoryVolume::new("drivers:0", &[("name", "nt4.iso"), ("fs.kind", "iso9660")]).kind("drivers");
    for (path, bytes) in cd {
        lent = lent.file(path, bytes);
    }
    all.push(lent);
    MemoryTree::new(all)
}

fn adapt(tree: &MemoryTree) -> Adaptation {
    Windows::identify(tree).unwrap().unwrap();
    Windows::adapt(tree, &profiles::kvm("bios", (4, 0)), &profiles::options()).unwrap()
}

fn hal(tree: &MemoryTree) -> Option<Vec<u8>> {
    tree.read_all("/WINNT/System32/halwhy.dll", 1 << 20).ok()
}

#[test]
fn a_cd_has_the_hal() {
    let (mut wanted, kernel) = (program("halmps.dll", [4, 0, 1381, 133], 0), program("ntoskrnl.exe", SP6, 0));
    // As long as a real one, with matches near and far: what cannot be packed, and texts.
    let mut random = Random::new(4);
    for number in 0..4000_u32 {
        wanted.extend((0..random.below(40)).map(|_| random.below(256) as u8));
        wanted.extend(format!("HalpEntry{} ", number % 97).bytes());
    }
    for (name, cabinet) in [("HALMPS.DL_", false), ("halmps.dl_", true)] {
        let cd = [
            (&*format!("/I386/{name}"), packed("halmps.dll", &wanted, cabinet)),
            ("/I386/NTOSKRNL.EX_", packed("ntoskrnl.exe", &kernel, cabinet)),
            // Beside no kernel of this version.
            ("/ALPHA/HALMPS.DLL", program("halmps.dll", [4, 0, 1381, 1], 0)),
        ];
        let tree = guest(SP6, &cd);
        let result = adapt(&tree);
        assert_eq!(result.concerns, [], "{name}");
        assert_eq!(hal(&tree).as_deref(), Some(&*wanted), "{name}");
        tree.forget();
        adapt(&tree);
        assert_eq!(tree.edits(), [], "{name}: a second run changes something");
    }
}

#[test]
fn cabinets_of_drivers_have_it() {
    let wanted = program("halmps.dll", SP6, 0);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("HALMPS.DLL"), &wanted).unwrap();
    std::fs::write(folder.path().join("other.sys"), "x").unwrap();
    run(folder.path(), "gcab", &["--create", "--zip", "sp6.cab", "other.sys", "HALMPS.DLL"]);
    let tree = guest(SP6, &[("/I386/sp6.cab", std::fs::read(folder.path().join("sp6.cab")).unwrap())]);
    assert_eq!(adapt(&tree).concerns, []);
    assert_eq!(hal(&tree), Some(wanted));
}

/// What does not go with the kernel is told, and not taken.
#[test]
fn a_cd_of_another_service_pack_blocks() {
    let cd = [
        ("/I386/HALMPS.DL_", packed("halmps.dll", &program("halmps.dll", [4, 0, 1381, 133], 0), false)),
        ("/I386/NTOSKRNL.EXE", program("ntoskrnl.exe", SP6, 0)),
        // For debugging, of another processor, and damaged.
        ("/debug/HALMPS.DLL", program("halmps.dll", NEWER, 1)),
        ("/alpha/halmps.dll", b"MZ no program of this processor".to_vec()),
        ("/mips/halmps.dl_", b"KWAJ\x88\xf0\x27\xd1 of another kind".to_vec()),
    ];
    let tree = guest(NEWER, &cd);
    let result = adapt(&tree);
    assert_eq!(hal(&tree), None);
    let concern = result.concerns.iter().find(|concern| concern.id == "windows.hal.missing").unwrap();
    assert!(concern.message.contains("I386/HALMPS.DL_ (4.0.1381.133)"), "{}", concern.message);
    assert!(concern.remedy.as_ref().unwrap().contains("kernel (4.0.1381.7203)"), "{:?}", concern.remedy);
    assert!(!concern.message.contains("alpha") && !concern.message.contains("(4.0.1381.7203)"));
    assert!(
        result.notes.iter().any(|note| note.contains("mips/halmps.dl_ was passed over")),
        "{:?}",
        result.notes
    );
}

/// Of what the guest itself has, the copy of the kernel's version comes first, and what a service pack has replaced is never taken.
#[test]
fn the_guests_own_files_are_chosen_by_version() {
    let (fitting, other) = (program("halmps.dll", SP6, 0), program("halmps.dll", [4, 0, 1381, 4], 0));
    let with = |files: &[(&str, &[u8])]| {
        let mut all = volumes(find("nt4"));
        let mut volume: MemoryVolume = all.pop().unwrap();
        volume = volume
            .file("/WINNT/System32/hal.dll", program("halsp.dll", [4, 0, 1, 0], 0))
            .file("/WINNT/System32/ntoskrnl.exe", program("ntkrnlmp.exe", SP6, 0));
        for (path, bytes) in files {
            volume = volume.file(path, bytes);
        }
        all.push(volume);
        MemoryTree::new(all)
    };
    let (pack, old) =
        ("/WINNT/ServicePackFiles/i386/halmps.dll", "/WINNT/$NtServicePackUninstall$/halmps.dll");
    let tree = with(&[(pack, &other), (old, &fitting)]);
    adapt(&tree);
    assert_eq!(hal(&tree), Some(fitting.clone()));
    let tree = with(&[(pack, &other)]);
    adapt(&tree);
    assert_eq!(hal(&tree), Some(other.clone()), "the service pack's is good even where updates came later");
    let tree = with(&[(old, &other)]);
    let result = adapt(&tree);
    assert_eq!(hal(&tree), None);
    assert!(result.concerns.iter().any(|concern| concern.message.contains("(4.0.1381.4)")), "{result:?}");
}

/// A kernel for one processor is only taken in the installed one's version.
#[test]
fn a_kernel_comes_with_the_hal() {
    let hal = ("/I386/HALAPIC.DLL", program("halapic.dll", SP6, 0));
    let options = [profiles::options(), vec![fact("hal", "mps_up")]].concat();
    for (version, there) in [(SP6, true), (NEWER, false)] {
        let kernel = program("ntoskrnl.exe", version, 0);
        let tree = guest(SP6, &[hal.clone(), ("/I386/NTOSKRNL.EX_", packed("ntoskrnl.exe", &kernel, true))]);
        Windows::identify(&tree).unwrap().unwrap();
        let result = Windows::adapt(&tree, &profiles::kvm("bios", (4, 0)), &options).unwrap();
        let written = tree.read_all("/WINNT/System32/krnlwhy.exe", 1 << 20).ok();
        assert!(written == there.then_some(kernel));
        assert_eq!(result.concerns.is_empty(), there, "{:?}", result.concerns);
        assert_eq!(tree.text("/boot.ini").contains("/HAL=halwhy.dll /KERNEL=krnlwhy.exe"), there);
    }
}

/// NT 4.0 for several processors has other libraries too.
#[test]
fn no_second_processor_for_nt_4() {
    let tree = guest(SP6, &[("/I386/HALMPS.DLL", program("halmps.dll", SP6, 0))]);
    Windows::identify(&tree).unwrap().unwrap();
    tree.write("/WINNT/System32/ntoskrnl.exe", &program("ntoskrnl.exe", SP6, 0), None, "test").unwrap();
    let options = [profiles::options(), vec![fact("hal", "mps_mp")]].concat();
    let result = Windows::adapt(&tree, &profiles::kvm("bios", (4, 0)), &options).unwrap();
    assert!(result.concerns.iter().any(|concern| concern.id == "windows.hal.processors"), "{result:?}");
}

#[test]
fn packed_files_that_lie() {
    let wanted = program("halmps.dll", SP6, 0);
    for cabinet in [false, true] {
        let whole = packed("halmps.dll", &wanted, cabinet);
        for seed in 0..40 {
            let mut bytes = whole.clone();
            let end = if seed % 2 == 0 { 80.min(bytes.len()) } else { bytes.len() };
            damage(&mut bytes, 0, end, seed);
            if seed % 9 == 0 {
                bytes.truncate(bytes.len() / 2);
            }
            let tree = guest(SP6, &[("/I386/HALMPS.DL_", bytes)]);
            let result = adapt(&tree);
            let blocked = result.concerns.iter().any(|concern| concern.id == "windows.hal.missing");
            assert_eq!(hal(&tree).is_none(), blocked, "{seed}");
        }
    }
}

#[test]
fn szdd_that_lies() {
    let whole = packed("halmps.dll", &program("halmps.dll", SP6, 0), false);
    assert_eq!(unpack(&whole, 1 << 20).unwrap(), program("halmps.dll", SP6, 0));
    for seed in 0..500 {
        let mut bytes = whole.clone();
        let end = if seed % 2 == 0 { 30 } else { whole.len() };
        damage(&mut bytes, 0, end, seed);
        bytes.truncate(if seed % 5 == 0 {
            Random::new(seed).below(end as u64) as usize
        } else {
            whole.len()
        });
        exercise(&bytes);
    }
}

/// Drivers of disks come from the CD too, beside the guest's kernel.
#[test]
fn a_cd_has_the_driver_of_the_disks() {
    let (kernel, driver) = ([5, 0, 2195, 6717], program("buslogic.sys", [5, 0, 2195, 1], 0));
    for (version, there) in [(kernel, true), ([5, 0, 2195, 1620], false)] {
        let mut all = volumes(find("2000"));
        let volume: MemoryVolume = all.pop().unwrap();
        all.push(volume.file("/WINNT/System32/ntoskrnl.exe", program("ntoskrnl.exe", kernel, 0)));
        let cd =
            MemoryVolume::new("drivers:0", &[("name", "w2k.iso"), ("fs.kind", "iso9660")]).kind("drivers");
        let cd = cd.file("/I386/BUSLOGIC.SY_", packed("buslogic.sys", &driver, true));
        all.push(
            cd.file("/I386/NTOSKRNL.EX_", packed("ntoskrnl.exe", &program("ntoskrnl.exe", version, 0), true)),
        );
        let tree = MemoryTree::new(all);
        Windows::identify(&tree).unwrap().unwrap();
        let result = Windows::adapt(&tree, &profiles::vmware("bios", (5, 0)), &profiles::options()).unwrap();
        let written = tree.read_all("/WINNT/System32/drivers/buslogic.sys", 1 << 20).ok();
        assert_eq!(written, there.then(|| driver.clone()));
        let missing = result.concerns.iter().find(|concern| concern.id == "windows.storage.driver-missing");
        assert_eq!(missing.is_none(), there, "{missing:?}");
        let told = missing.is_none_or(|missing| missing.message.contains("BUSLOGIC.SY_ (5.0.2195.1)"));
        assert!(told, "{missing:?}");
    }
}
