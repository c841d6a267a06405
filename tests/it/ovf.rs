//! Machines in OVF packages, in and out, by the built program: digests, containers, kills, and other tools' opinion.

use crate::guest::{SIZE, disk, fsck, tool};
use crate::{program, text};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const DRIVERS: &[&str] =
    &["ahci", "sd_mod", "e1000", "mptspi", "vmw_pvscsi", "vmxnet3", "virtio_pci", "virtio_blk", "virtio_net"];
const VIRTUALBOX: &str = include_str!("../../adapters/definition-ovf/tests/it/packages/virtualbox.ovf");

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        disk(place.0.path(), DRIVERS);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program, in this folder, with a fixed time so that two runs can be compared.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.env("SOURCE_DATE_EPOCH", "1790000000");
        command.args(arguments).current_dir(self.0.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let shown = self.run(&[arguments, &["--output", "json"]].concat());
        assert!(shown.status.success(), "{arguments:?}: {}", text(&shown.stderr));
        serde_json::from_slice(&shown.stdout).unwrap()
    }

    fn shell(&self, script: &str) -> String {
        let output = Command::new("sh").args(["-ec", script]).current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{script}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// A package as VirtualBox exports it, its disk by qemu-img, its manifest by sha256sum, packed by tar.
    fn package(&self) {
        let from = self.path("disk.raw");
        let disk = self.path("mail-disk001.vmdk");
        let names = [from.to_str().unwrap(), disk.to_str().unwrap()];
        tool("qemu-img", &["convert", "-O", "vmdk", "-o", "subformat=streamOptimized", names[0], names[1]]);
        let descriptor = VIRTUALBOX.replace("21474836480", &SIZE.to_string()).replace("\"EFI\"", "\"BIOS\"");
        std::fs::write(self.path("mail.ovf"), descriptor).unwrap();
        self.shell(
            "for f in mail.ovf mail-disk001.vmdk; do echo \"SHA256($f)= $(sha256sum $f | cut -c1-64)\"; done > mail.mf
             tar --format=ustar -cf mail.ova mail.ovf mail.mf mail-disk001.vmdk",
        );
    }
}

fn read(place: &Place, name: &str) -> Vec<u8> {
    std::fs::read(place.path(name)).unwrap()
}

#[test]
fn a_package_by_others_becomes_a_machine() {
    let place = Place::new();
    place.package();
    let found = place.json(&["inspect", "ova:mail.ova"]);
    let definition = &found["definition"];
    assert_eq!((&definition["name"], &definition["cpus"]), (&"mail".into(), &1.into()));
    assert_eq!(definition["nics"][0]["network"], "NAT");
    assert_eq!(definition["disks"][0]["digests"][0], "sha256");
    assert_eq!(found["operating-system"]["hostname"], "small");
    for (word, to) in [("ova:mail.ova", "kvm:one"), ("ovf:mail.ovf", "kvm:two")] {
        let plan = &place.json(&["migrate", word, "--to", to, "--wish", "format=raw"])["plan"];
        assert_eq!(
            (&plan["name"], &plan["cpus"], &plan["memory-mib"]),
            (&"mail".into(), &1.into(), &1024.into())
        );
        assert_eq!(
            (&plan["nics"][0]["mac"], &plan["nics"][0]["network"]),
            (&"08:00:27:dd:e1:85".into(), &Value::Null)
        );
        assert_eq!(plan["profile"]["firmware"], "bios");
    }
    let said = ["--name", "mail", "--cpus", "1", "--memory", "1024", "--nic", "08:00:27:dd:e1:85"];
    let same =
        [&["migrate", "raw:disk.raw", "--to", "kvm:three", "--wish", "format=raw"], &said[..]].concat();
    place.json(&same);
    let made = read(&place, "three/mail.raw");
    assert!(made == read(&place, "one/mail.raw") && made == read(&place, "two/mail.raw"));
    assert_eq!(read(&place, "one/mail.xml").len(), read(&place, "two/mail.xml").len());
    // What the package had besides the machine is in the next package.
    place.json(&["migrate", "ova:mail.ova", "--to", "ovf:four", "--wish", "flavour=virtualbox"]);
    let query = "concat(//*[local-name()='License'],'/',//*[local-name()='Product'],'/',//*[local-name()='OSType'],'/',\
                 //*[local-name()='Connection'])";
    let kept = place.shell(&format!("xmllint --xpath \"{query}\" four/mail.ovf"));
    assert_eq!(kept.trim(), "Do as you like./Mail/Debian_64/NAT");
    let whole = place.run(&["disk", "info", "ova:mail.ova"]);
    assert!(whole.status.code() == Some(2) && text(&whole.stderr).contains("whole machine"));
    assert!(place.run(&["archive", "init", "archive"]).status.success());
    let snapshot = place.json(&["capture", "ova:mail.ova", "--to", "archive"]);
    assert!(snapshot.to_string().contains("mail"), "{snapshot}");
    // Words win over the definition.
    let plan =
        &place.json(&["plan", "ova:mail.ova", "--to", "kvm:x", "--name", "post", "--cpus", "4"])["plan"];
    assert_eq!(
        (&plan["name"], &plan["cpus"], &plan["memory-mib"]),
        (&"post".into(), &4.into(), &1024.into())
    );
}

#[test]
fn a_wrong_digest_stops_everything_and_names_the_file() {
    let place = Place::new();
    place.package();
    let offset = |name: &str| {
        let whole = read(&place, "mail.ova");
        let at = whole.chunks(512).position(|block| block.starts_with(name.as_bytes())).unwrap();
        (at as u64 + 1) * 512
    };
    let flip = |at: u64| {
        let mut bytes = read(&place, "mail.ova");
        bytes[at as usize] ^= 1;
        std::fs::write(place.path("mail.ova"), bytes).unwrap();
    };
    // The padding behind the end of the stream, which no reader looks at.
    let in_disk = offset("mail-disk001.vmdk") + read(&place, "mail-disk001.vmdk").len() as u64 - 1;
    flip(in_disk);
    let refused = place.run(&["migrate", "ova:mail.ova", "--to", "kvm:out"]);
    let message = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(message.contains("mail-disk001.vmdk") && message.contains("its sha256 is"), "{message}");
    assert!(!place.path("out").exists(), "nothing is written before the digests are right");
    assert!(place.run(&["archive", "init", "archive"]).status.success());
    let refused = place.run(&["capture", "ova:mail.ova", "--to", "archive"]);
    assert!(text(&refused.stderr).contains("its sha256 is"), "{}", text(&refused.stderr));
    flip(in_disk);
    let in_descriptor = offset("mail.ovf") + 200;
    flip(in_descriptor);
    for verb in ["inspect", "plan"] {
        let to: &[&str] = if verb == "plan" { &["--to", "kvm:out"] } else { &[] };
        let refused = place.run(&[&[verb, "ova:mail.ova"], to].concat());
        assert!(
            text(&refused.stderr).contains("ova:mail.ova/mail.ovf: its sha256 is"),
            "{}",
            text(&refused.stderr)
        );
    }
    flip(in_descriptor);
    let wrong = String::from_utf8(read(&place, "mail.mf")).unwrap().replace('c', "d");
    std::fs::write(place.path("mail.mf"), wrong).unwrap();
    assert_eq!(place.run(&["inspect", "ovf:mail.ovf"]).status.code(), Some(1));
    let ignored = place.json(&["migrate", "ovf:mail.ovf,manifest=ignore", "--to", "kvm:out"]);
    let concerns = ignored["plan"]["concerns"].as_array().unwrap();
    assert!(concerns.iter().any(|one| one["id"] == "definition.manifest-ignored"), "{concerns:?}");
}

#[test]
fn what_leads_out_of_a_package_is_refused() {
    let place = Place::new();
    place.package();
    std::fs::create_dir(place.path("inner")).unwrap();
    for (hostile, words) in
        [("../disk.raw", "no plain name"), ("/etc/passwd", "no plain name"), ("absent.vmdk", "absent.vmdk")]
    {
        let descriptor = VIRTUALBOX.replace("mail-disk001.vmdk", hostile);
        std::fs::write(place.path("inner/a.ovf"), descriptor).unwrap();
        let refused = place.run(&["inspect", "ovf:inner/a.ovf"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains(words), "{}", text(&refused.stderr));
    }
    place.shell("ln -sf /etc/passwd mail-disk001.vmdk && tar -cf link.ova mail.ovf mail-disk001.vmdk");
    let refused = place.run(&["inspect", "ova:link.ova"]);
    assert!(text(&refused.stderr).contains("is a link"), "{}", text(&refused.stderr));
    let two = place.run(&["inspect", "ova:mail.ova", "raw:disk.raw"]);
    assert!(
        two.status.code() == Some(2) && text(&two.stderr).contains("whole machine"),
        "{}",
        text(&two.stderr)
    );
    let required = VIRTUALBOX.replace("<vbox:Machine", "<NewSection ovf:required=\"true\"/><vbox:Machine");
    std::fs::write(place.path("inner/a.ovf"), required).unwrap();
    assert!(place.run(&["archive", "init", "archive"]).status.success());
    assert_eq!(place.run(&["capture", "ovf:inner/a.ovf", "--to", "archive"]).status.code(), Some(3));
    let blocked = place.run(&["plan", "ovf:inner/a.ovf", "--to", "kvm:out"]);
    let shown = text(&blocked.stdout);
    assert!(
        blocked.status.code() == Some(3) && shown.contains("NewSection"),
        "{shown}{}",
        text(&blocked.stderr)
    );
}

#[test]
fn a_package_of_ours_is_what_others_expect_and_comes_back_the_same() {
    let place = Place::new();
    for (flavour, version) in [("vmware", "1"), ("virtualbox", "2"), ("dmtf", "1")] {
        let out = format!("out-{flavour}");
        let wishes = [format!("flavour={flavour}"), format!("ovf-version={version}")];
        let wishes = ["--wish", &wishes[0], "--wish", &wishes[1]];
        let to = [format!("ova:{out}"), format!("ovf:{out}-again"), format!("ova:{out}/small.ova")];
        let arguments = [&["migrate", "raw:disk.raw", "--to", &to[0]], &wishes[..]].concat();
        let outcome = place.json(&arguments)["outcome"].clone();
        let container = place.path(&out).join("small.ova");
        assert_eq!(outcome["disks"][0]["file"], container.to_str().unwrap());
        assert_eq!(outcome["definitions"][0], "small.ova");
        assert_eq!(
            place.shell(&format!("tar tf {out}/small.ova")),
            "small.ovf\nsmall.mf\nsmall-disk1.vmdk\n"
        );
        assert!(!place.path(&out).join("small-disk1.vmdk").exists(), "what is packed is removed");
        place.shell(&format!(
            "mkdir {out}/x && tar xf {out}/small.ova -C {out}/x && cd {out}/x && sha256sum --strict -c small.mf
             xmllint --noout small.ovf && qemu-img convert -O raw small-disk1.vmdk back.raw"
        ));
        let raw = place.path(&out).join("x/back.raw");
        fsck(place.0.path(), &raw);
        let disks = [format!("raw:{}", raw.display()), format!("vmdk:{out}/x/small-disk1.vmdk")];
        assert!(place.run(&["disk", "compare", &disks[0], &disks[1]]).status.success());
        // In again, and out as a package beside: there is nothing left to edit, so the disk is the same.
        let again = [&["migrate", &to[2], "--to", &to[1]], &wishes[..]].concat();
        let plan = place.json(&again)["plan"].clone();
        assert_eq!((&plan["name"], &plan["cpus"]), (&"small".into(), &2.into()));
        assert_eq!(plan["edits"].as_array().unwrap().len(), 0, "{}", plan["edits"]);
        let copy = format!("vmdk:{out}-again/small-disk1.vmdk");
        assert!(place.run(&["disk", "compare", &disks[0], &copy]).status.success(), "{flavour}");
        place.shell(&format!("cd {out}-again && sha256sum --strict -c small.mf"));
        // The definition knows what it is.
        let definition =
            place.json(&["inspect", &format!("ovf:{out}-again/small.ovf")])["definition"].clone();
        let facts = definition["facts"].as_array().unwrap();
        let fact = |key: &str| facts.iter().find(|one| one["key"] == key).map(|one| one["value"].clone());
        assert_eq!((fact("ovf.flavour"), fact("ovf.version")), (Some(flavour.into()), Some(version.into())));
        // And the same command once more has nothing to do, but to remove what a killed run left.
        std::fs::write(place.path(&out).join("small.mf"), "left behind").unwrap();
        assert_eq!(place.json(&arguments)["outcome"]["already-done"], true);
        assert!(!place.path(&out).join("small.mf").exists());
    }
}

#[test]
fn killed_at_random_moments_a_container_is_the_same_in_the_end() {
    let place = Place::new();
    place.json(&["migrate", "raw:disk.raw", "--to", "ova:calm"]);
    let (mut random, mut killed) = (99u64, 0);
    while killed < 16 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut command =
            place.command(&["migrate", "raw:disk.raw", "--to", "ova:rough", "--checkpoint", "0.05"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(100 + random % 1500));
        let ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
        if ended {
            std::fs::remove_dir_all(place.path("rough")).unwrap();
        }
    }
    place.json(&["migrate", "raw:disk.raw", "--to", "ova:rough"]);
    assert!(read(&place, "calm/small.ova") == read(&place, "rough/small.ova"));
    let names = place.shell("ls -A rough");
    assert_eq!(names, ".small.wherry-job.json\nsmall.ova\nsmall.wherry.json\n");
}
