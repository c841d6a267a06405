//! A running adapter that misbehaves: its call ends alone, the error names adapter, call and limit, the host goes on.

use crate::components;
use block::{Disk, ExtentMap, MapExtent, MappedDisk, MemoryDisk};
use runtime::contract::{Codec, DeviceProfile, Extent, Fact, Machine, NicNeed, Place, Unit};
use runtime::{
    Adapters, Asks, Definition, Error, ErrorKind, FileSystem, FormatReader, FormatWriter, Lent, Limits,
    Output, Result, Target, Volumes,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use tempfile::TempDir;

const SIZE: u64 = 2 << 20;

fn limits() -> Limits {
    Limits {
        memory: 64 << 20,
        call_seconds: 2,
        read_in_all: 8 << 20,
        written: 1 << 20,
        log: 256 << 10,
        handed: 4 << 20,
        ..Limits::default()
    }
}

/// A good adapter among the hostile ones, and a code cache for all tests of this process.
fn lab() -> &'static Path {
    static LAB: OnceLock<TempDir> = OnceLock::new();
    let make = || {
        let lab = tempfile::tempdir().unwrap();
        std::fs::create_dir(lab.path().join("adapters")).unwrap();
        let copy = |from: PathBuf| {
            let to = lab.path().join("adapters").join(from.file_name().unwrap());
            std::fs::copy(&from, to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
        };
        copy(components().join("format-raw.wasm"));
        let hostile = std::fs::read_dir(components().with_file_name("hostile")).unwrap();
        hostile.for_each(|entry| copy(entry.unwrap().path()));
        lab
    };
    LAB.get_or_init(make).path()
}

/// Where compiled code is kept meanwhile.
pub fn cache() -> PathBuf {
    lab().join("cache")
}

fn adapters(limits: &Limits) -> Adapters {
    let adapters = Adapters::load(&[lab().join("adapters")], Some(&cache()), limits).unwrap();
    assert!(adapters.refused.is_empty(), "{:?}", adapters.refused);
    adapters
}

/// A disk whose first byte says how its adapter misbehaves.
fn disk(how: u8) -> Arc<dyn Disk> {
    let mut bytes = vec![0; SIZE as usize];
    bytes[0] = how;
    Arc::new(MemoryDisk::new(bytes))
}

fn bytes(disk: &dyn Disk) -> Vec<u8> {
    let mut bytes = vec![0; disk.length() as usize];
    disk.read_at(0, &mut bytes).unwrap();
    bytes
}

/// The error that a misbehaviour ends with, after which a good adapter still answers.
fn ends<T>(adapters: &Adapters, adapter: &str, call: &str, answer: Result<T>) -> Error {
    let error = answer.err().expect("misbehaviour must be an error");
    assert_eq!((error.adapter.as_str(), error.call), (adapter, call), "{error}");
    assert!(error.to_string().len() < 1000, "a long message: {} bytes", error.to_string().len());
    let raw = adapters.get("format-raw").unwrap();
    assert_eq!(FormatReader::open(raw, vec![disk(0)]).unwrap().facts().unwrap().virtual_size, SIZE);
    error
}

fn scan(limits: &Limits, how: u8) -> Error {
    let adapters = adapters(limits);
    let disk = disk(how);
    let before = bytes(disk.as_ref());
    let mut volumes = Volumes::open(adapters.get("hostile-volume").unwrap()).unwrap();
    let answer = volumes.scan(std::slice::from_ref(&disk));
    assert_eq!(bytes(disk.as_ref()), before, "the device is as it was");
    ends(&adapters, "hostile-volume", "volume.scan", answer)
}

#[test]
fn an_adapter_that_behaves_is_heard() {
    let adapters = adapters(&limits());
    let mut volumes = Volumes::open(adapters.get("hostile-volume").unwrap()).unwrap();
    assert!(volumes.scan(&[disk(0)]).unwrap().parts.is_empty());
}

#[test]
fn a_definition_that_leads_elsewhere_is_not_believed() {
    let adapters = adapters(&limits());
    let open = || Definition::open(adapters.get("hostile-definition").unwrap()).unwrap();
    let read = |how: u8| open().read("a", &[("a".into(), disk(how))], &[]);
    let good = read(0).unwrap();
    assert_eq!((good.members.len(), good.disks.len()), (2, 2));
    let cases = [
        (b'a', "no name of a file"),
        (b'A', "no name of a file"),
        (b'b', "outside the file"),
        (b'B', "outside the file"),
        (b'd', "which there is not"),
        (b'D', "two disks"),
        (b'h', "no digest \"md5\""),
        (b'H', "no digest by sha256"),
        (b'm', "5000 files"),
    ];
    for (how, words) in cases {
        let error = ends(&adapters, "hostile-definition", "definition.read", read(how));
        assert!(error.kind == ErrorKind::Answer && error.to_string().contains(words), "{error}");
    }
    let large = ends(&adapters, "hostile-definition", "definition.read", read(b't'));
    assert_eq!(large.kind, ErrorKind::Limit, "{large}");
    for (word, words) in [("away", "no name of a file"), ("many", "1000 companions")] {
        let answer = open().companions(word, "a");
        let error = ends(&adapters, "hostile-definition", "definition.companions", answer);
        assert!(error.kind == ErrorKind::Answer && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn an_endless_loop_meets_its_deadline() {
    let error = scan(&limits(), b'l');
    assert_eq!(error.kind, ErrorKind::Deadline);
    assert!(error.to_string().contains("limit of 2 s"), "{error}");
}

#[test]
fn a_memory_bomb_meets_its_limit() {
    let error = scan(&limits(), b'm');
    assert_eq!(error.kind, ErrorKind::Limit, "{error}");
    assert!(error.to_string().contains("67108864 bytes of memory"), "{error}");
}

#[test]
fn a_panic_tells_its_message_and_a_recursion_that_it_was_one() {
    let error = scan(&limits(), b'p');
    assert_eq!(error.kind, ErrorKind::Trap);
    assert!(error.is_fault() && error.to_string().contains("a bug in the adapter"), "{error}");
    let error = scan(&limits(), b'S');
    assert_eq!(error.kind, ErrorKind::Trap);
    assert!(error.is_fault() && error.to_string().contains("call stack exhausted"), "{error}");
}

#[test]
fn a_trapped_instance_is_gone() {
    let adapters = adapters(&limits());
    let mut volumes = Volumes::open(adapters.get("hostile-volume").unwrap()).unwrap();
    assert!(volumes.scan(&[disk(b'p')]).is_err());
    let again = volumes.scan(&[]).unwrap_err();
    assert!(again.to_string().contains("this instance is gone"), "{again}");
}

#[test]
fn reads_and_writes_stay_inside_what_was_lent() {
    let error = scan(&limits(), b'r');
    assert!(error.to_string().contains("beyond the end at 2097152"), "{error}");
    let error = scan(&limits(), b'R');
    assert_eq!(error.kind, ErrorKind::Limit);
    assert!(error.to_string().contains("4294967295 bytes in one read"), "{error}");
    let error = scan(&limits(), b'w');
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.to_string().contains("read-only"), "{error}");
}

#[test]
fn the_sum_of_reads_the_log_and_progress_are_limited() {
    let error = scan(&limits(), b'a');
    assert_eq!(error.kind, ErrorKind::Limit);
    assert!(error.to_string().contains("8388608 bytes read in all"), "{error}");
    for how in [b'g', b'G'] {
        let error = scan(&limits(), how);
        assert_eq!(error.kind, ErrorKind::Limit, "{error}");
        assert!(error.to_string().contains("262144 bytes of log"), "{error}");
    }
}

#[test]
fn parts_that_cannot_be_are_not_believed() {
    for (how, words) in [
        (b's', "outside its device"),
        (b'd', "outside its device"),
        (b'n', "outside its device"),
        (b'o', "gap"),
        (b'h', "gap"),
        (b'z', "empty"),
        (b'D', "twice"),
    ] {
        let error = scan(&limits(), how);
        assert_eq!(error.kind, ErrorKind::Answer, "{}: {error}", how as char);
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

#[test]
fn giant_strings_and_lists_are_not_even_copied() {
    for how in [b't', b'T', b'H'] {
        let error = scan(&Limits { memory: 512 << 20, call_seconds: 20, ..limits() }, how);
        assert_eq!(error.kind, ErrorKind::Limit, "{}: {error}", how as char);
        assert!(error.to_string().contains("4194304 bytes in one call"), "{error}");
    }
}

// File systems, on a device that may be written.

fn mount(how: u8) -> (Adapters, Arc<dyn Disk>, Result<FileSystem>) {
    let adapters = adapters(&limits());
    let disk = disk(how);
    let mut files = FileSystem::open(adapters.get("hostile-files").unwrap()).unwrap();
    let mounted = files.mount(disk.clone(), true).map(|()| files);
    (adapters, disk, mounted)
}

#[test]
fn writes_past_the_end_and_without_end_are_refused() {
    for (how, kind, words) in [
        (b'w', ErrorKind::Refused, "range 2097151+2 lies beyond the end at 2097152"),
        (b'x', ErrorKind::Refused, "range 18446744073709551615+1 lies beyond"),
        (b'W', ErrorKind::Limit, "1048576 bytes written"),
    ] {
        let (adapters, disk, mounted) = mount(how);
        let error = ends(&adapters, "hostile-files", "mounted.mount", mounted);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        let after = bytes(disk.as_ref());
        assert_eq!((after.len() as u64, after[0], after[SIZE as usize - 1]), (SIZE, how, 0));
    }
    let (adapters, disk, _) = mount(0);
    let mut files = FileSystem::open(adapters.get("hostile-files").unwrap()).unwrap();
    let error = ends(&adapters, "hostile-files", "filesystem.probe", files.probe(&disk));
    assert_eq!(error.kind, ErrorKind::Denied, "a probe writes nothing: {error}");
}

#[test]
fn answers_about_files_that_cannot_be_are_not_believed() {
    let refuses = |how: u8, call: &str, words: &str, ask: &dyn Fn(&mut FileSystem) -> Option<Error>| {
        let (adapters, _, mounted) = mount(how);
        let error = ask(&mut mounted.unwrap());
        let answer = error.map_or(Ok(()), Err);
        let error = ends(&adapters, "hostile-files", call, answer);
        assert!(matches!(error.kind, ErrorKind::Answer | ErrorKind::Limit), "{}: {error}", how as char);
        assert!(error.to_string().contains(words), "{words}: {error}");
    };
    for (how, words) in
        [(b'u', "outside"), (b'U', "outside"), (b'o', "order"), (b'O', "order"), (b'e', "empty")]
    {
        refuses(how, "mounted.used", words, &|files| files.used(0, 100).err());
    }
    refuses(b'b', "mounted.used", "before", &|files| files.used(4096, 100).err());
    refuses(b'c', "mounted.entries", "cursor", &|files| files.entries("/", 5, 10).err());
    refuses(b'n', "mounted.entries", "name", &|files| files.entries("/", 0, 10).err());
    refuses(b'p', "mounted.entries", "11 ", &|files| files.entries("/", 0, 10).err());
    refuses(0, "mounted.read", "101 bytes", &|files| files.read("/x", 0, 100).err());
    refuses(0, "mounted.read-link", "4194304 bytes in one call", &|files| files.read_link("/x").err());
}

// Disk formats, behind the disk that the host makes of their map.

/// The map of a reader, as the host reads it.
struct Map(Mutex<FormatReader>);

impl ExtentMap for Map {
    fn length(&self) -> u64 {
        self.0.lock().unwrap().facts().unwrap().virtual_size
    }
    fn extents(&self, start: u64, most: u32) -> block::Result<Vec<MapExtent>> {
        let extents = self.0.lock().unwrap().extents(start, most);
        let place = |at| match at {
            Place::Zero => block::Place::Zero,
            Place::Stored(offset) => block::Place::Stored { part: 0, offset },
            Place::StoredIn((part, offset)) => block::Place::Stored { part, offset },
            Place::Compressed((codec, offset, length)) => {
                let codec = if codec == Codec::Zstd { block::Codec::Zstd } else { block::Codec::Deflate };
                block::Place::Compressed { codec, offset, length }
            }
        };
        let map = |one: Extent| MapExtent { logical: one.logical, length: one.length, at: place(one.at) };
        let extents = extents.map_err(|e| block::Error::new(e.to_string()))?;
        Ok(extents.into_iter().map(map).collect())
    }
}

fn image(adapters: &Adapters, how: u8) -> FormatReader {
    FormatReader::open(adapters.get("hostile-format").unwrap(), vec![disk(how)]).unwrap()
}

#[test]
fn maps_that_cannot_be_end_in_an_error() {
    let adapters = adapters(&limits());
    for how in *b"oglzenbpcCm" {
        let mut reader = image(&adapters, how);
        let facts = reader.facts().unwrap();
        let mapped = MappedDisk::new(Box::new(Map(Mutex::new(reader))), vec![disk(how)], facts.unit).unwrap();
        let mut piece = vec![0; 64 << 10];
        let read = (0..16).try_for_each(|number| mapped.read_at(number << 16, &mut piece));
        let message = read.expect_err(&format!("{}: the whole disk was read", how as char)).to_string();
        assert!(!message.is_empty() && message.len() < 1000, "{message}");
    }
    let sound = Map(Mutex::new(image(&adapters, 0)));
    let mapped = MappedDisk::new(Box::new(sound), vec![disk(9)], 512).unwrap();
    let mut first = [0];
    mapped.read_at(0, &mut first).unwrap();
    assert_eq!(first, [9]);

    let no_unit = Map(Mutex::new(image(&adapters, b'u')));
    assert!(MappedDisk::new(Box::new(no_unit), vec![disk(0)], 0).is_err());
    let endless = Map(Mutex::new(image(&adapters, b'V')));
    if let Ok(mapped) = MappedDisk::new(Box::new(endless), vec![disk(0)], 512) {
        assert!(mapped.read_at(u64::MAX - 100, &mut [0; 100]).is_err());
        assert!(mapped.read_at(u64::MAX, &mut [0; 100]).is_err());
    }
}

#[test]
fn placements_that_cannot_be_are_not_believed() {
    let adapters = adapters(&limits());
    let hostile = adapters.get("hostile-format").unwrap();
    let how = |how: &str| {
        let option = Fact { key: "how".into(), value: how.into() };
        FormatWriter::create(hostile, SIZE, &[option]).unwrap()
    };
    let units = [Unit { index: 0, stored: 65536, codec: Codec::None }; 2];
    let error = ends(&adapters, "hostile-format", "writer.place", how("few").place(&units));
    assert!(
        error.kind == ErrorKind::Answer && error.to_string().contains("0 offsets for 2 units"),
        "{error}"
    );
    let error = ends(&adapters, "hostile-format", "writer.place", how("far").place(&units));
    assert!(error.kind == ErrorKind::Answer && error.to_string().contains("18446744073709551615"), "{error}");
    for what in ["unit", "align"] {
        let error = ends(&adapters, "hostile-format", "writer.shape", how(what).shape());
        assert_eq!(error.kind, ErrorKind::Answer, "{what}: {error}");
    }
    for what in ["patch", "length"] {
        let error = ends(&adapters, "hostile-format", "writer.finish", how(what).finish(0));
        assert_eq!(error.kind, ErrorKind::Answer, "{what}: {error}");
    }
    for what in ["outside", "stranger", "itself", "twice", "unordered", "sets"] {
        let error = ends(&adapters, "hostile-format", "writer.parts", how(what).parts("disk.vmdk"));
        assert_eq!(error.kind, ErrorKind::Answer, "{what}: {error}");
    }
    for what in ["long", "none"] {
        let error = ends(&adapters, "hostile-format", "writer.lengths", how(what).lengths(1));
        assert_eq!(error.kind, ErrorKind::Answer, "{what}: {error}");
    }
}

// Targets, with more asked for than granted.

fn granted() -> Asks {
    Asks {
        http: vec!["https://granted.example".into(), "https://unasked.example".into()],
        endpoints: vec!["unix:/run/granted".into()],
        secrets: Vec::new(),
        output: true,
    }
}

/// What the host says when the target does this.
fn prepare(adapters: &Adapters, grant: &Asks, directory: Option<&Path>, what: &str) -> Error {
    let output = directory.map(|path| Output {
        dir: cap_std::fs::Dir::open_ambient_dir(path, cap_std::ambient_authority()).unwrap(),
        path: path.into(),
    });
    let lent = Lent { output, web: None };
    let mut target = Target::open(adapters.get("hostile-target").unwrap(), grant, lent).unwrap();
    prepared(adapters, &mut target, what)
}

/// The same of a target that is there.
fn prepared(adapters: &Adapters, target: &mut Target, what: &str) -> Error {
    let nic = NicNeed { mac: None, network: None };
    let machine =
        Machine { name: what.into(), cpus: 1, memory_mib: 1, disks: vec![], nics: vec![nic], facts: vec![] };
    let text = String::new;
    let profile = DeviceProfile {
        firmware: text(),
        disk_bus: text(),
        nic_model: text(),
        architecture: text(),
        machine: text(),
        facts: Vec::new(),
    };
    ends(adapters, "hostile-target", "target.prepare", target.prepare("key", &machine, &profile))
}

#[test]
fn origins_and_endpoints_need_to_be_asked_for_and_granted() {
    let adapters = adapters(&limits());
    let ask = |grant: &Asks, what: &str| prepare(&adapters, grant, None, what);
    let denied = |grant: &Asks, what: &str, right: &str| {
        let error = ask(grant, what);
        assert_eq!(error.kind, ErrorKind::Denied, "{what}: {error}");
        assert!(error.to_string().contains(right), "{what}: {error}");
    };
    // Asked for, but not granted; granted, but not asked for; neither; and look-alikes.
    denied(&Asks::default(), "http https://granted.example/a", "`http` to https://granted.example");
    denied(&granted(), "http https://unasked.example/a", "`http` to https://unasked.example");
    for url in [
        "https://other.example/",
        "http://granted.example/",
        "https://granted.example:8443/",
        "https://granted.example@other.example/",
        "https://granted.example.other.example/",
        "https:granted.example",
        "file:///etc/shadow",
        "",
    ] {
        denied(&granted(), &format!("http {url}"), "`http`");
    }
    denied(&Asks::default(), "open unix:/run/granted", "`endpoints` to unix:/run/granted");
    for endpoint in ["unix:/run/other", "unix:/run/granted/../other", "tcp:localhost:22", ""] {
        denied(&granted(), &format!("open {endpoint}"), "`endpoints`");
    }
    // With both, it is not the right that is missing.
    for (what, says) in [
        ("http https://granted.example/a", "granted.example was not asked: there is no connection"),
        ("http HTTPS://Granted.Example:443/a", "granted.example was not asked"),
        ("open unix:/run/granted", "granted was not opened: this host opens no connections yet"),
    ] {
        let error = ask(&granted(), what);
        assert_eq!(error.code, Some("unsupported"), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let both = Asks { secrets: vec!["asked".into(), "unasked".into()], ..granted() };
    denied(&granted(), "secret asked", "the secret `asked`");
    denied(&both, "secret unasked", "the secret `unasked`");
    assert_eq!(ask(&both, "secret asked").code, Some("unsupported"));
}

#[test]
fn the_operators_servers_are_granted_as_they_are_named() {
    let asks =
        |http: &[&str]| Asks { http: http.iter().map(|one| (*one).into()).collect(), ..Asks::default() };
    let grant = asks(&["https://hv1.example:5986", "https://*.lab.example"]);
    let rights = asks(&["server"]).granted(&grant);
    for url in
        ["https://hv1.example:5986/wsman", "https://HV1.example:5986", "https://esx1.lab.example:443/nfc"]
    {
        assert!(rights.asks_server(&runtime::origin(url)), "{url}");
    }
    for url in [
        "https://hv1.example/wsman",
        "http://hv1.example:5986/wsman",
        "https://lab.example/",
        "https://.lab.example/",
        "https://esx1.lab.example:8443/",
        "https://esx1@lab.example/",
        "https://other.example#.lab.example/",
        "https://other.example/.lab.example",
        "https://other.example\\.lab.example/",
    ] {
        assert!(!rights.asks_server(&runtime::origin(url)), "{url}");
    }
    assert!(asks(&["https://fixed.example"]).granted(&grant).http.is_empty());
    assert!(asks(&[]).granted(&grant).http.is_empty());
}

/// Answers nothing, after longer than an adapter has.
#[derive(Default)]
struct Slow(std::sync::atomic::AtomicU32);

impl runtime::Web for Slow {
    fn send(&self, _: runtime::contract::Request) -> runtime::Answer<runtime::contract::Response> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        std::thread::sleep(std::time::Duration::from_millis(1300));
        Err(runtime::refusal(runtime::contract::ErrorKind::Busy, "slow"))
    }
}

#[test]
fn waiting_for_a_server_is_not_the_adapters_time_and_circles_end() {
    let adapters = adapters(&Limits { requests: 2, call_seconds: 1, ..limits() });
    let slow = Arc::new(Slow::default());
    let lent = Lent { output: None, web: Some(slow.clone()) };
    let adapter = adapters.get("hostile-target").unwrap();
    let mut target = Target::open(adapter, &granted(), lent).unwrap();
    // It waits twice for more than its second, and then asks in circles until that is over.
    let error = prepared(&adapters, &mut target, "circles");
    assert_eq!(error.kind, ErrorKind::Deadline, "{error}");
    assert_eq!(slow.0.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[test]
fn the_output_directory_is_all_there_is() {
    let adapters = adapters(&limits());
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("output");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(place.path().join("secret"), "untouched").unwrap();
    std::os::unix::fs::symlink("../secret", directory.join("link")).unwrap();
    let names = || {
        let entries = std::fs::read_dir(&directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };

    for grant in [Asks::default(), Asks { output: false, ..granted() }] {
        let error = prepare(&adapters, &grant, Some(&directory), "write a");
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("`output`"), "{error}");
    }
    let error = prepare(&adapters, &granted(), None, "write a");
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");

    for verb in ["write", "read", "remove"] {
        for name in ["../secret", "/etc/passwd", "..", ".", "", "a/b", "a\\b"] {
            let error = prepare(&adapters, &granted(), Some(&directory), &format!("{verb} {name}"));
            assert_eq!(error.code, Some("invalid-input"), "{verb} {name}: {error}");
        }
    }
    assert!(prepare(&adapters, &granted(), Some(&directory), "read link").kind != ErrorKind::Answer);
    assert_eq!(names(), ["link"]);
    assert_eq!(std::fs::read_to_string(place.path().join("secret")).unwrap(), "untouched");

    let error = prepare(&adapters, &granted(), Some(&directory), "flood");
    assert_eq!(error.kind, ErrorKind::Limit, "{error}");
    assert_eq!(std::fs::read_to_string(place.path().join("secret")).unwrap(), "untouched");
}

#[test]
fn sinks_for_no_disk_and_giant_capabilities_are_not_believed() {
    let adapters = adapters(&limits());
    let error = prepare(&adapters, &granted(), None, "sink");
    assert_eq!(error.kind, ErrorKind::Answer, "{error}");
    let mut target =
        Target::open(adapters.get("hostile-target").unwrap(), &granted(), Lent::default()).unwrap();
    let error = ends(&adapters, "hostile-target", "target.capabilities", target.capabilities());
    assert_eq!(error.kind, ErrorKind::Limit, "{error}");
}
