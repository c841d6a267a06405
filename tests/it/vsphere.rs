//! A machine made on a vCenter by the built program: govmomi's simulator, over TLS, asked by curl what it has.

use crate::guest::disk;
use crate::vcsim::{PASSWORD, Simulator, USER};
use crate::{program, text};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

struct Place {
    folder: tempfile::TempDir,
    server: Simulator,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), server: Simulator::start(&["-tls"]) };
        disk(place.folder.path(), &["vmw_pvscsi", "vmxnet3", "sd_mod"]);
        let secrets =
            format!("[vsphere]\nkind = \"template\"\nuser = \"{USER}\"\npassword = \"{PASSWORD}\"\n");
        let file = place.folder.path().join("secrets.toml");
        std::fs::write(&file, secrets).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        place
    }

    fn migrate(&self, wishes: &[&str]) -> Command {
        let mut command = program();
        command.env("SOURCE_DATE_EPOCH", "1790000000");
        let server = format!("{},fingerprint={}", self.server.origin, self.server.fingerprint);
        command.args([
            "migrate",
            "raw:disk.raw",
            "--name",
            "web",
            "--to",
            "vsphere:stage",
            "--output",
            "json",
        ]);
        command.args(["--server", &server, "--credentials", "secrets.toml", "--wish", "cluster=DC0_C0"]);
        command.args(wishes.iter().flat_map(|wish| ["--wish", wish])).current_dir(self.folder.path());
        command
    }

    fn done(&self, shown: &Output) -> Value {
        assert!(shown.status.success(), "{}", text(&shown.stderr));
        let words = [text(&shown.stdout), text(&shown.stderr)].concat();
        assert!(!words.contains(PASSWORD) && !words.contains("vmware_soap_session"), "{words}");
        serde_json::from_slice(&shown.stdout).unwrap()
    }

    /// What curl hears from the server.
    fn ask(&self, body: &str) -> String {
        let envelope = format!(
            "<Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><Body>{body}</Body></Envelope>"
        );
        let jar = self.folder.path().join("jar");
        let curl = Command::new("curl")
            .args(["-sk", "-b"])
            .arg(&jar)
            .arg("-c")
            .arg(&jar)
            .args(["-H", "content-type: text/xml", "--data-binary", &envelope])
            .arg(format!("{}/sdk", self.server.origin))
            .output()
            .unwrap();
        text(&curl.stdout)
    }

    /// Power state and key of the machine `web`, in the server's words; empty where there is none.
    fn web(&self) -> String {
        self.ask(
            "<Login xmlns=\"urn:vim25\"><_this type=\"SessionManager\">SessionManager</_this>\
             <userName>an &lt;odd&gt; user</userName><password>pass &amp; word</password></Login>",
        );
        let found = self.ask(
            "<FindByInventoryPath xmlns=\"urn:vim25\"><_this type=\"SearchIndex\">SearchIndex</_this>\
             <inventoryPath>DC0/vm/web</inventoryPath></FindByInventoryPath>",
        );
        let Some((_, rest)) = found.split_once("<returnval type=\"VirtualMachine\">") else {
            return String::new();
        };
        let id = rest.split('<').next().unwrap();
        self.ask(&format!(
            "<RetrievePropertiesEx xmlns=\"urn:vim25\"><_this type=\"PropertyCollector\">propertyCollector</_this>\
             <specSet><propSet><type>VirtualMachine</type><pathSet>config</pathSet>\
             <pathSet>runtime.powerState</pathSet></propSet><objectSet><obj type=\"VirtualMachine\">{id}</obj>\
             </objectSet></specSet><options></options></RetrievePropertiesEx>"
        ))
    }
}

#[test]
fn a_guest_goes_to_a_vcenter() {
    let place = Place::new();
    let answer = place.done(&place.migrate(&["power=on"]).output().unwrap());
    assert_eq!(answer["plan"]["profile"]["disk-bus"], "pvscsi");
    let web = place.web();
    for part in ["<guestId>debian10_64Guest</guestId>", "poweredOn", "wherry.state", "<macAddress>52:54:00:"]
    {
        assert!(web.contains(part), "{part} in {web}");
    }
    // Again: it is there already.
    place.done(&place.migrate(&["power=on"]).output().unwrap());
    // The password is not right.
    let secrets = place.folder.path().join("secrets.toml");
    let wrong = std::fs::read_to_string(&secrets).unwrap().replace(PASSWORD, "wrong");
    std::fs::write(&secrets, wrong).unwrap();
    let refused = place.migrate(&["power=off"]).output().unwrap();
    assert!(!refused.status.success());
    assert!([text(&refused.stdout), text(&refused.stderr)].concat().contains("InvalidLogin"));
}

#[test]
fn a_killed_run_leaves_one_machine_in_the_end() {
    let place = Place::new();
    for turn in 0..6_u64 {
        let mut child = place.migrate(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(60 + 90 * turn));
        let _ = child.kill();
        child.wait().unwrap();
    }
    place.done(&place.migrate(&[]).output().unwrap());
    let web = place.web();
    assert!(web.contains("wherry.state") && web.contains("poweredOff"), "{web}");
}
