//! Answers of real commands, as they stand in public documents and in other projects' tests, and what is read in them: psrinfo's own
//! description, reports of a Sun Fire X4140, a T2 and an Opteron, kstat's of a machine with Solaris 10, sar's of Solaris 11.1.

use os_solaris::probe::{Sample, parse, probes};
use wherry_sdk::find;
use wherry_sdk::testing::damage;

const PRTDIAG: &str = "System Configuration: Sun Microsystems     Sun Fire X4140\nBIOS Configuration: American Megatrends Inc. 080014  10/15/2008\nBMC Configuration: IPMI 2.0 (KCS: Keyboard Controller Style)\n\n==== Processor Sockets ====================================\n\nVersion                          Location Tag\n-------------------------------- --------------------------\nQuad-Core AMD Opteron(tm) Processor 2384 CPU 1\nQuad-Core AMD Opteron(tm) Processor 2384 CPU 2\n\n==== Memory Device Sockets ================================\n\nType    Status Set Device Locator      Bank Locator\n------- ------ --- ------------------- --------------------\nunknown empty  0   DIMM0               BANK0\nDDR2    in use 0   DIMM2               BANK2\nDDR2    in use 0   DIMM3               BANK3\n\n==== On-Board Devices =====================================\n Gigabit Ethernet #1\n\n==== Upgradeable Slots ====================================\n\nID  Status    Type             Description\n--- --------- ---------------- ----------------------------\n0   in use    PCI Express      PCIExp SLOT0\n";
const PRTDIAG_SPARC: &str = "System Configuration:  Sun Microsystems  sun4u Sun Fire V240\nSystem clock frequency: 160 MHZ\nMemory size: 2GB\n";
const PRTCONF: &str = "System Configuration:  Sun Microsystems  i86pc\nMemory size: 73728 Megabytes\nSystem Peripherals (Software Nodes):\n\ni86pc\n    scsi_vhci, instance #0\n        disk, instance #5\n";
const PSRINFO: &str = "The physical processor has 4 cores and 8 virtual processors (1 3 5 7 9 11 13 15)\n    The core has 2 virtual processors (1 9)\n    The core has 2 virtual processors (3 11)\n    The core has 2 virtual processors (5 13)\n    The core has 2 virtual processors (7 15)\n  x86 (GenuineIntel 106A5 family 6 model 26 step 5 clock 2267 MHz)\n      Intel(r) Xeon(r) CPU           E5520  @ 2.27GHz\nThe physical processor has 4 cores and 8 virtual processors (0 2 4 6 8 10 12 14)\n  x86 (GenuineIntel 106A5 family 6 model 26 step 5 clock 2267 MHz)\n      Intel(r) Xeon(r) CPU           E5520  @ 2.27GHz\n";
const PSRINFO_SINGLE: &str = "The physical processor has 1 virtual processor (0)\n  x86 (GenuineIntel family 6 model 15 step 8 clock 2400 MHz)\n        Intel(r) Xeon(r) CPU           E7340  @ 2.40GHz\nThe physical processor has 1 virtual processor (1)\n  x86 (GenuineIntel family 6 model 15 step 8 clock 2400 MHz)\n        Intel(r) Xeon(r) CPU           E7340  @ 2.40GHz\n";
const PSRINFO_SPARC: &str = "The physical processor has 64 virtual processors (0-63)\n  UltraSPARC-T2+ (cpuid 0 clock 1165 MHz)\nThe physical processor has 64 virtual processors (64-127)\n  UltraSPARC-T2+ (cpuid 64 clock 1165 MHz)\n";
const KSTAT: &str = "1400704866\ncpu_stat:0:cpu_stat0:idle\t2325343762\ncpu_stat:0:cpu_stat0:kernel\t89137335\ncpu_stat:0:cpu_stat0:user\t64919001\ncpu_stat:1:cpu_stat1:idle\t2322767706\nunix:0:system_pages:class\tpages\nunix:0:system_pages:freemem\t121234\nunix:0:system_pages:physmem\t523156\nunix:0:system_pages:pp_kernel\t61234\nlink:0:net0:rbytes64\t9135\ne1000g:1:mac:obytes64\t77\n";
const IOSTAT: &str = "1400704800\n                    extended device statistics              \n    r/s    w/s   kr/s   kw/s wait actv wsvc_t asvc_t  %w  %b device\n    0.4    0.5   10.0    3.0  0.0  0.0    0.0    5.0   0   0 c1t0d0\n1400704860\n                    extended device statistics              \n    r/s    w/s   kr/s   kw/s wait actv wsvc_t asvc_t  %w  %b device\n    1.4   20.5   32.0  170.3  0.1  0.2    0.3   12.7   1  15 c1t0d0\n    0.0    0.0    0.0    0.0  0.0  0.0    0.0    0.0   0   0 nas:/export/home (mounted)\n";
const DF: &str = "Filesystem            kbytes    used   avail capacity  Mounted on\n/dev/dsk/c1t0d0s0    8068883 5211214 2776981    66%    /\n/proc                      0       0       0     0%    /proc\n/dev/dsk/c0t600A0B80001111550000123456789ABCd0s6\n                     51642807 4410 51121969     1%    /export/my data\n";
const SAR: &str = "\nSunOS solaris11-1 5.11 11.1 i86pc    05/21/2014\n\n20:39:05    %usr    %sys    %wio   %idle\n20:39:06       3       5       0      92\n20:39:07       2       2       0      96\n\nAverage        3       3       0      94\n";
const SAR_ALL: &str = "\nSunOS cspdb1 5.11 11.1 sun4v    07/24/2018\n\n11:42:23    %usr    %sys    %wio   %idle\n           device        %busy   avque   r+w/s  blks/s  avwait  avserv\n         runq-sz %runocc swpq-sz %swpocc\n         proc-sz    ov  inod-sz    ov  file-sz    ov   lock-sz\n         pgout/s ppgout/s pgfree/s pgscan/s %ufs_ipf\n         freemem freeswap\n\n11:42:24       9       4       0      87\n           fp2              99     2.8    1050  117269     0.0     2.6\n           sd5,a             0     0.0       0       0     0.0     0.0\n             2.0     100     0.0       0\n         218/30000    0 83463/128248    0 3763/3763    0    0/0\n            0.00     0.00     0.00     7.00     0.00\n          912345 40123456\n\n11:42:25       1       1       0      98\n           fp2              98     2.2    1132   32001     0.0     2.0\n         218/30000    0 83463/128248    0 3763/3763    0    0/0\n            0.00     0.00     0.00     9.00     0.00\n          912000 40120000\n\nAverage        5       2       0      93\n           fp2              98     2.5    1091   74635     0.0     2.3\n";

fn value(samples: &[Sample], metric: &str, instance: &str) -> Option<(f64, String, u64)> {
    let found = samples.iter().find(|one| one.metric == metric && one.instance == instance)?;
    Some((found.value, found.unit.clone(), found.at_unix))
}

fn samples(id: &str, answer: &str) -> Vec<Sample> {
    parse(id, answer.as_bytes()).unwrap().1
}

#[test]
fn what_the_machine_is() {
    let expect = |id: &str, answer: &str, expected: &[(&str, Option<&str>)]| {
        let (facts, samples) = parse(id, answer.as_bytes()).unwrap();
        assert!(samples.is_empty());
        for (key, value) in expected {
            assert_eq!(find(&facts, key), *value, "{id} {key}");
        }
    };
    let x86 = [
        ("hardware.system", Some("Sun Microsystems Sun Fire X4140")),
        ("hardware.bios", Some("American Megatrends Inc. 080014 10/15/2008")),
        ("cpu.sockets", Some("2")),
        ("hardware.memory-sockets", Some("3")),
        ("hardware.memory-used", Some("2")),
    ];
    expect("hardware", PRTDIAG, &x86);
    let sparc = [
        ("hardware.system", Some("Sun Microsystems sun4u Sun Fire V240")),
        ("memory.bytes", Some("2147483648")),
    ];
    expect("hardware", PRTDIAG_SPARC, &sparc);
    expect(
        "configuration",
        PRTCONF,
        &[("hardware.platform", Some("i86pc")), ("memory.bytes", Some("77309411328"))],
    );
    let cpu = |sockets, cores, threads, model, mhz| {
        [
            ("cpu.sockets", Some(sockets)),
            ("cpu.cores", cores),
            ("cpu.threads", Some(threads)),
            ("cpu.model", Some(model)),
            ("cpu.mhz", Some(mhz)),
        ]
    };
    expect("processors", PSRINFO, &cpu("2", Some("8"), "16", "Intel(r) Xeon(r) CPU E5520 @ 2.27GHz", "2267"));
    let single = cpu("2", Some("2"), "2", "Intel(r) Xeon(r) CPU E7340 @ 2.40GHz", "2400");
    expect("processors", PSRINFO_SINGLE, &single);
    expect("processors", PSRINFO_SPARC, &cpu("2", None, "128", "UltraSPARC-T2+", "1165"));
}

#[test]
fn what_the_kernel_counts() {
    let found = samples("kernel", KSTAT);
    let at = 1_400_704_866;
    for (metric, instance, number, unit) in [
        ("cpu.idle", "0", 2_325_343_762.0, "ticks"),
        ("cpu.system", "0", 89_137_335.0, "ticks"),
        ("cpu.user", "0", 64_919_001.0, "ticks"),
        ("cpu.idle", "1", 2_322_767_706.0, "ticks"),
        ("memory.free", "", 121_234.0, "pages"),
        ("memory.total", "", 523_156.0, "pages"),
        ("kstat.unix.pp_kernel", "0:system_pages", 61_234.0, ""),
        ("network.received", "net0", 9_135.0, "bytes"),
        ("network.sent", "e1000g1", 77.0, "bytes"),
    ] {
        assert_eq!(value(&found, metric, instance), Some((number, unit.into(), at)), "{metric} {instance}");
    }
    assert_eq!(found.len(), 9);
}

#[test]
fn disks_and_file_systems() {
    let found = samples("disks", IOSTAT);
    let at = 1_400_704_860;
    assert_eq!(value(&found, "disk.writes", "c1t0d0"), Some((20.5, "1/s".into(), at)));
    assert_eq!(value(&found, "disk.read", "c1t0d0"), Some((32.0, "KiB/s".into(), at)));
    assert_eq!(value(&found, "disk.service-time", "c1t0d0"), Some((12.7, "ms".into(), at)));
    assert_eq!(value(&found, "disk.busy", "c1t0d0"), Some((15.0, "%".into(), at)));
    assert_eq!(value(&found, "disk.busy", "nas:/export/home (mounted)"), Some((0.0, "%".into(), at)));
    assert_eq!(found.len(), 20, "the report since the start is left out");
    let found = samples("filesystems", DF);
    assert_eq!(value(&found, "filesystem.size", "/"), Some((8_068_883.0, "KiB".into(), 0)));
    assert_eq!(value(&found, "filesystem.used", "/export/my data"), Some((4_410.0, "KiB".into(), 0)));
    assert_eq!(found.len(), 9);
}

#[test]
fn a_day_of_sar() {
    let found = samples("history", SAR);
    // 21 May 2014, 20:39:06
    assert_eq!(value(&found, "cpu.system", ""), Some((5.0, "%".into(), 1_400_704_746)));
    assert_eq!(found.len(), 8, "the average is no sample");
    let found = samples("history", SAR_ALL);
    let at = found[0].at_unix;
    assert_eq!(at % 86400, 11 * 3600 + 42 * 60 + 24);
    assert_eq!(at / 86400, 17_736);
    assert_eq!(value(&found, "disk.busy", "fp2"), Some((99.0, "%".into(), at)));
    assert_eq!(value(&found, "disk.blocks", "fp2"), Some((117_269.0, "512B/s".into(), at)));
    assert_eq!(value(&found, "cpu.run-queue", ""), Some((2.0, "threads".into(), at)));
    assert_eq!(value(&found, "memory.scanned", ""), Some((7.0, "1/s".into(), at)));
    assert_eq!(value(&found, "memory.free", ""), Some((912_345.0, "pages".into(), at)));
    assert_eq!(value(&found, "sar.ppgout/s", ""), Some((0.0, "1/s".into(), at)));
    // a queue that was left blank: which of the other lines is which is not certain
    let later: Vec<&Sample> = found.iter().filter(|one| one.at_unix == at + 1).collect();
    assert_eq!(later.len(), 4 + 6, "{later:?}");
    assert!(later.iter().any(|one| one.metric == "cpu.idle" && (one.value - 98.0).abs() < 1e-9));
}

#[test]
fn answers_of_other_commands_are_refused() {
    for probe in probes() {
        for answer in ["", "sh: command not found\n", "\0\0", "prtdiag: not supported"] {
            let error = parse(probe.id, answer.as_bytes()).unwrap_err();
            assert_eq!(error.kind, wherry_sdk::ErrorKind::InvalidInput, "{} {answer:?}", probe.id);
        }
        assert!(probe.every_s >= 60 && probe.kind == "command" && probe.text.contains("LC_ALL=C "));
    }
    assert!(parse("other", b"x").is_err());
    assert!(parse("history", &vec![b' '; 17 << 20]).is_err());
}

#[test]
fn damaged_answers() {
    let answers = [
        ("hardware", PRTDIAG),
        ("configuration", PRTCONF),
        ("processors", PSRINFO),
        ("kernel", KSTAT),
        ("disks", IOSTAT),
        ("filesystems", DF),
        ("history", SAR_ALL),
    ];
    for (id, answer) in answers {
        for seed in 0..500 {
            let mut bytes = answer.as_bytes().to_vec();
            damage(&mut bytes, 0, answer.len(), seed);
            bytes.truncate(bytes.len() - seed as usize % 50);
            if let Ok((facts, samples)) = parse(id, &bytes) {
                assert!(facts.len() < 32 && samples.len() < 200);
                assert!(samples.iter().all(|sample| sample.value.is_finite()));
            }
        }
        // any answer in place of any other
        for (other, _) in answers {
            drop(parse(other, answer.as_bytes()));
        }
    }
    let many =
        "11:42:23    %usr    %sys    %wio   %idle\n".to_owned() + &"11:42:24 1 2 3 4\n".repeat(100_000);
    assert_eq!(samples("history", &many).len(), os_solaris::probe::SAMPLES_MOST);
}
