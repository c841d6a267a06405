//! The lease under which the disks of a new machine are sent (HttpNfcLease).

use crate::machine::Plan;
use crate::vim::inventory::Place;
use crate::vim::session::Session;
use crate::vim::soap::{Element, Ref, method_fault};
use wherry_sdk::target::Upload;
use wherry_sdk::{Error, ErrorKind, Result};

/// What the server calls the streamOptimized VMDK that it is sent.
const CONTENT_TYPE: &str = "application/x-vnd.vmware-streamVmdk";

/// Where the server wants one disk.
struct DeviceUrl {
    /// `/NAME/ParaVirtualSCSIController0:1`: its place in the specification.
    import_key: String,
    url: String,
}

impl Session<'_> {
    /// Makes the machine of this specification in `place`; the lease for its disks.
    pub fn import(&self, place: &Place, spec: &str) -> Result<Ref> {
        let arguments = format!("{spec}{}", place.folder.xml("folder"));
        let answer = self.call("ImportVApp", &place.pool, &arguments)?;
        answer
            .reference("returnval")
            .ok_or_else(|| Error::new(ErrorKind::Io, "ImportVApp: the server gave no lease"))
    }

    /// What is to be sent for the disks of `plan`, once the server is ready.
    pub fn uploads(&self, lease: &Ref, plan: &Plan) -> Result<Vec<Upload>> {
        let info = self.wait(lease, &["state", "info", "error"], &|lease| match lease.text("state") {
            "ready" => Ok(Some(lease.get("info").cloned().unwrap_or_default())),
            "error" => {
                let error = lease.get("error").cloned().unwrap_or_default();
                let name = error.child("fault").map(|fault| fault.kind.as_str()).unwrap_or_default();
                Err(method_fault("ImportVApp", name, error.text("localizedMessage")))
            }
            "aborted" | "done" => Err(Error::new(ErrorKind::Failed, "the server ended the lease at once")),
            _ => Ok(None),
        })?;
        let device = |url: &Element| DeviceUrl {
            import_key: url.text("importKey").to_owned(),
            url: self.reachable(url.text("url")),
        };
        let disks = info.all("deviceUrl").filter(|url| url.text("disk") == "true");
        let urls: Vec<DeviceUrl> = disks.map(device).collect();
        if urls.len() != plan.disks.len() {
            let message =
                format!("the server wants {} disks, where the machine has {}", urls.len(), plan.disks.len());
            return Err(Error::new(ErrorKind::Failed, message));
        }
        Ok(plan.disks.iter().enumerate().map(|(turn, _)| upload(plan, turn, &urls)).collect())
    }

    /// A host that speaks for itself calls itself `*`.
    fn reachable(&self, url: &str) -> String {
        let rest = ["https://*", "http://*"].iter().find_map(|start| url.strip_prefix(start));
        rest.map_or_else(
            || url.to_owned(),
            |rest| format!("{}{}", self.server, rest.trim_start_matches(":443")),
        )
    }

    /// Tells the server how far it is; the lease lives on.
    pub fn progress(&self, lease: &Ref, percent: u64) -> Result<()> {
        let arguments = format!("<percent>{}</percent>", percent.min(100));
        self.call("HttpNfcLeaseProgress", lease, &arguments).map(|_| ())
    }

    /// All disks are there.
    pub fn complete(&self, lease: &Ref) -> Result<()> {
        self.progress(lease, 100)?;
        self.call("HttpNfcLeaseComplete", lease, "").map(|_| ())
    }

    /// Gives the lease back, and with it the machine.
    pub fn abort(&self, lease: &Ref) -> Result<()> {
        self.call("HttpNfcLeaseAbort", lease, "").map(|_| ())
    }
}

/// By the place that the key ends with; where the server's keys have none, by the order of the specification.
fn upload(plan: &Plan, turn: usize, urls: &[DeviceUrl]) -> Upload {
    let place =
        plan.disks.get(turn).map(|disk| format!("{}:{}", disk.controller, disk.unit)).unwrap_or_default();
    let at = |url: &&DeviceUrl| {
        let last = url.import_key.rsplit('/').next().unwrap_or_default();
        let number = last.find(|c: char| c.is_ascii_digit()).and_then(|start| last.get(start..));
        last.contains("Controller") && number == Some(&place)
    };
    let url = urls.iter().find(at).or_else(|| urls.get(turn)).map(|url| url.url.clone());
    Upload {
        name: plan.disks.get(turn).map(|disk| disk.file.clone()).unwrap_or_default(),
        method: "POST".into(),
        url: url.unwrap_or_default(),
        headers: vec![("content-type".into(), CONTENT_TYPE.into())],
        secret: None,
    }
}
