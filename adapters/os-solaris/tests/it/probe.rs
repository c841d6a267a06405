//! Answers to Recon's probes: as the manuals and public reports show them, and spoiled ones.

use os_solaris::probe::{PROBES, Sample, parse};
use wherry_sdk::find;
use wherry_sdk::testing::Random;

/// prtconf(8), prtdiag of a Sun Fire X4200, psrinfo(8), cpu_info as Solaris 10 prints it.
const X86: &str = "\
== uname -a
SunOS db1 5.10 Generic_147148-26 i86pc i386 i86pc
== prtconf
System Configuration:  Sun Microsystems  i86pc
Memory size: 8192 Megabytes
System Peripherals (Software Nodes):
== prtdiag -v
System Configuration: Sun Microsystems Sun Fire X4200 Server
BIOS Configuration: American Megatrends Inc. 080010 08/10/2005
BMC Configuration: IPMI 1.5 (KCS: Keyboard Controller Style)

==== Processor Sockets ====================================

Version                          Location Tag
-------------------------------- --------------------------
AMD Opteron(tm) Processor 252    H0
AMD Opteron(tm) Processor 252    H1
== psrinfo -pv
The physical processor has 1 virtual processor (0)
  x86 (AuthenticAMD family 15 model 37 step 1 clock 2600 MHz)
\tAMD Opteron(tm) Processor 252
== kstat -p -m cpu_info
cpu_info:0:cpu_info0:brand\tAMD Opteron(tm) Processor 252
cpu_info:0:cpu_info0:chip_id\t0
cpu_info:0:cpu_info0:class\tmisc
cpu_info:0:cpu_info0:clock_MHz\t2600
cpu_info:0:cpu_info0:core_id\t0
cpu_info:0:cpu_info0:state\ton-line
cpu_info:1:cpu_info1:brand\tAMD Opteron(tm) Processor 252
cpu_info:1:cpu_info1:chip_id\t1
cpu_info:1:cpu_info1:clock_MHz\t2600
cpu_info:1:cpu_info1:core_id\t1
cpu_info:1:cpu_info1:state\ton-line
";

const SPARC: &str = "\
== uname -a
SunOS old 5.8 Generic_117350-05 sun4u sparc SUNW,Sun-Fire-V240
== prtdiag -v
System Configuration:  Sun Microsystems  sun4u Sun Fire V240
System clock frequency: 160 MHZ
Memory size: 4GB
== kstat -p -m cpu_info
cpu_info:0:cpu_info0:cpu_type\tsparcv9
cpu_info:0:cpu_info0:clock_MHz\t1503
cpu_info:0:cpu_info0:state\ton-line
";

const COUNTERS: &str = "\
pagesize 4096
unix:0:system_misc:boot_time\t1382000000
unix:0:system_misc:snaptime\t3600.25
cpu:0:sys:cpu_nsec_idle\t3500000000000
cpu:0:sys:cpu_nsec_kernel\t40000000000
cpu:0:sys:cpu_nsec_user\t60000000000
cpu_stat:0:cpu_stat0:user\t6000
cpu_stat:0:cpu_stat0:wait\t0
unix:0:system_pages:freemem\t100000
unix:0:system_pages:physmem\t2097152
sd:0:sd0:class\tdisk
sd:0:sd0:nread\t1048576
sd:0:sd0:nwritten\t2097152
sd:0:sd0:reads\t17
sd:0:sd0:rtime\t12.5
e1000g:0:mac:obytes64\t5000
e1000g:0:mac:rbytes64\t7000
lo:0:lo0:rbytes64\t99
== df
Filesystem            kbytes    used   avail capacity  Mounted on
/dev/dsk/c0d0s0      10086988 4217310 5768809    43%    /
/proc                      0       0       0     0%    /proc
/dev/dsk/c0t600A0B80001111550000123456789ABCd0s6
                     51642807 4410 51121969     1%    /export/my data
";

/// System Administration Guide: Advanced Administration (817-0403), \"Monitoring System Activities\", with a day's end between.
const HISTORY: &str = "\
pagesize 8192

SunOS balmyday 5.10 s10_51 sun4u    03/18/2004

00:00:00    %usr    %sys    %wio   %idle
01:00:00       5       2       0      93
02:00:00\tunix restarts
23:00:00      10       3       1      86

Average        8       3       1      89

SunOS balmyday 5.10 s10_51 sun4u    03/18/2004

22:00:00   device        %busy   avque   r+w/s  blks/s  avwait  avserv

23:00:00   sd1,a           0     0.0       0       0     0.0     0.0
           sd3             2     0.1       4      80     1.0    12.5
00:00:01   sd1,a           1     0.0       1       8     0.0     5.0
           sd3             0     0.0       0       0     0.0     0.0

SunOS balmyday 5.10 s10_51 sun4u    03/18/2004

00:00:00 freemem freeswap
01:00:00   44717  1715062
";

fn value(samples: &[Sample], metric: &str, instance: &str) -> (f64, &'static str, u64) {
    let same = |sample: &&Sample| sample.metric == metric && sample.instance == instance;
    let found =
        samples.iter().find(same).unwrap_or_else(|| panic!("{metric} of {instance:?} in {samples:?}"));
    (found.value, found.unit, found.at)
}

#[test]
fn an_inventory_of_x86_and_of_sparc() {
    let facts = parse("inventory", X86.as_bytes()).unwrap().facts;
    for (key, value) in [
        ("hostname", "db1"),
        ("os.release", "5.10"),
        ("kernel.patch", "Generic_147148-26"),
        ("machine.model", "Sun Microsystems Sun Fire X4200 Server"),
        ("machine.firmware", "American Megatrends Inc. 080010 08/10/2005"),
        ("memory.mib", "8192"),
        ("cpu.model", "AMD Opteron(tm) Processor 252"),
        ("cpu.mhz", "2600"),
        ("cpu.sockets", "2"),
        ("cpu.cores", "2"),
        ("cpu.threads", "2"),
    ] {
        assert_eq!(find(&facts, key), Some(value), "{key}");
    }
    let facts = parse("inventory", SPARC.as_bytes()).unwrap().facts;
    let told = ["architecture", "machine.model", "memory.mib", "cpu.model", "cpu.threads", "cpu.cores"];
    let told = told.map(|key| find(&facts, key));
    let model = Some("Sun Microsystems sun4u Sun Fire V240");
    assert_eq!(told, [Some("sparc"), model, Some("4096"), Some("sparcv9"), Some("1"), None]);
}

#[test]
fn counters_of_solaris_10_and_11() {
    let at = 1_382_003_600;
    let samples = parse("counters", COUNTERS.as_bytes()).unwrap().samples;
    assert_eq!(value(&samples, "cpu.user", "0"), (60.0, "s", at));
    assert_eq!(value(&samples, "cpu.idle", "0"), (3500.0, "s", at));
    assert_eq!(value(&samples, "memory.total", ""), (8_589_934_592.0, "B", at));
    assert_eq!(value(&samples, "disk.read", "sd0"), (1_048_576.0, "B", at));
    assert_eq!(value(&samples, "disk.busy", "sd0"), (12.5, "s", at));
    assert_eq!(value(&samples, "net.in", "e1000g0"), (7000.0, "B", at));
    assert_eq!(samples.iter().filter(|sample| sample.metric == "cpu.user").count(), 1, "time, not ticks");
    assert!(!samples.iter().any(|sample| sample.instance == "lo0"));
    assert_eq!(value(&samples, "filesystem.used", "/"), (4_217_310.0 * 1024.0, "B", at));
    assert_eq!(value(&samples, "filesystem.size", "/export/my data").0, 51_642_807.0 * 1024.0);
    assert!(!samples.iter().any(|sample| sample.instance == "/proc"));
    // A link that has a name of its own is not counted by its card's as well.
    let linked = COUNTERS.replace("lo:0:lo0", "link:0:net0");
    let samples = parse("counters", linked.as_bytes()).unwrap().samples;
    let links = samples.iter().filter(|sample| sample.metric == "net.in");
    assert_eq!(links.map(|sample| sample.instance.as_str()).collect::<Vec<_>>(), ["net0"]);
    // Solaris 8 has ticks only; without a time nothing is known.
    let ticks: String =
        COUNTERS.lines().filter(|line| !line.starts_with("cpu:")).map(|line| format!("{line}\n")).collect();
    let samples = parse("counters", ticks.as_bytes()).unwrap().samples;
    assert_eq!(value(&samples, "cpu.user", "0"), (60.0, "s", at));
    let timeless = COUNTERS.replace("boot_time", "bood_time");
    assert!(parse("counters", timeless.as_bytes()).unwrap().samples.is_empty());
}

#[test]
fn a_history_that_sar_tells() {
    let samples = parse("history", HISTORY.as_bytes()).unwrap().samples;
    let day = 12_495 * 86_400;
    assert_eq!(value(&samples, "cpu.user", ""), (5.0, "%", day + 3600));
    assert_eq!(value(&samples, "disk.busy", "sd1,a"), (0.0, "%", day + 23 * 3600));
    assert_eq!(value(&samples, "disk.transferred", "sd3"), (40_960.0, "B/s", day + 23 * 3600));
    let last =
        samples.iter().rfind(|sample| sample.metric == "disk.busy" && sample.instance == "sd1,a").unwrap();
    assert_eq!((last.value, last.at), (1.0, day + 86_400 + 1), "after midnight");
    assert_eq!(value(&samples, "memory.free", ""), (44_717.0 * 8192.0, "B", day + 3600));
    assert_eq!(value(&samples, "swap.free", ""), (1_715_062.0 * 512.0, "B", day + 3600));
    let users = samples.iter().filter(|sample| sample.metric == "cpu.user").map(|sample| sample.value);
    assert_eq!(users.collect::<Vec<_>>(), [5.0, 10.0], "neither a restart nor an average is one");
}

#[test]
fn spoiled_answers_are_no_panic_and_no_nonsense() {
    let mut random = Random::new(5);
    for (probe, good) in [("inventory", X86), ("counters", COUNTERS), ("history", HISTORY)] {
        for _ in 0..500 {
            let mut bytes = good.as_bytes().to_vec();
            for _ in 0..1 + random.below(8) {
                let at = random.below(bytes.len() as u64) as usize;
                match random.below(3) {
                    0 => bytes[at] = random.below(256) as u8,
                    1 => bytes.truncate(at.max(1)),
                    _ => drop(bytes.splice(at..at, b"99999999999999999999e99\t".iter().copied())),
                }
            }
            let answer = parse(probe, &bytes).unwrap();
            assert!(answer.samples.iter().all(|sample| sample.value.is_finite() && sample.value >= 0.0));
        }
    }
    assert!(parse("nothing", b"").is_err());
    assert!(parse("history", &vec![b'0'; 33 << 20]).is_err());
}

/// The commands are for a POSIX shell.
#[test]
fn the_commands_are_a_shell_s() {
    for probe in PROBES {
        let checked = std::process::Command::new("sh").args(["-n", "-c", probe.text]).output().unwrap();
        assert!(checked.status.success(), "{}: {}", probe.id, String::from_utf8_lossy(&checked.stderr));
    }
}
