//! A server that says what govmomi's simulator says, as far as it is looked at, and whose answer to one call is another.

use std::cell::{Cell, RefCell};
use wherry_sdk::http::{Request, Response};
use wherry_sdk::{Http, Result};

/// Calls of the API, with what is told of objects divided by the objects.
pub const CALLS: [&str; 21] = [
    "RetrieveServiceContent",
    "Login",
    "Logout",
    "CreateContainerView",
    "Datacenter",
    "ComputeResource",
    "DestroyView",
    "FindChild",
    "FindByUuid",
    "ImportVApp",
    "HttpNfcLease",
    "CreateFilter",
    "WaitForUpdatesEx",
    "DestroyPropertyFilter",
    "Task",
    "VirtualMachine",
    "HttpNfcLeaseProgress",
    "HttpNfcLeaseComplete",
    "ReconfigVM_Task",
    "HttpNfcLeaseAbort",
    "Destroy_Task",
];

/// The server.
pub struct Replay<'a> {
    /// The call that is answered otherwise, and how.
    pub other: (&'a str, &'a [u8]),
    pub requests: Cell<usize>,
    /// What the machine was made of.
    pub import: RefCell<String>,
    /// Whether the machine is there.
    made: Cell<bool>,
    lease: RefCell<&'static str>,
}

impl<'a> Replay<'a> {
    pub fn new(call: &'a str, answer: &'a [u8]) -> Self {
        let (requests, made) = (Cell::new(0), Cell::new(false));
        let (import, lease) = (RefCell::default(), RefCell::new("initializing"));
        Self { other: (call, answer), requests, import, made, lease }
    }

    fn answer(&self, method: &str, call: &str) -> String {
        if method == "ImportVApp" || method == "Destroy_Task" {
            self.made.set(method == "ImportVApp");
        }
        let content = match method {
            "FindByUuid" if self.made.get() => "<returnval type=\"VirtualMachine\">vm-1</returnval>".into(),
            "RetrievePropertiesEx" if call == "HttpNfcLease" => {
                let state = self.lease.replace("ready");
                objects(call).replace("STATE", state)
            }
            "RetrievePropertiesEx" => objects(call),
            _ => good(method).into(),
        };
        envelope(method, &content)
    }
}

impl Http for Replay<'_> {
    fn send(&self, request: &Request) -> Result<Response> {
        self.requests.set(self.requests.get() + 1);
        let text = String::from_utf8(request.body.clone()).unwrap();
        let method = text.split("Body>").nth(1).unwrap()[1..].split([' ', '>']).next().unwrap().to_owned();
        let kinds = ["Datacenter", "ComputeResource", "HttpNfcLease", "Task", "VirtualMachine"];
        let of = |kind: &&&str| text.contains(&format!("<propSet><type>{kind}</type>"));
        let call = match method.as_str() {
            "RetrievePropertiesEx" => kinds.iter().find(of).unwrap_or(&"VirtualMachine"),
            other => other,
        };
        if method == "ImportVApp" {
            self.import.replace(text.clone());
        }
        let good = self.answer(&method, call);
        let body = if call == self.other.0 { self.other.1.to_vec() } else { good.into_bytes() };
        let cookie = ("set-cookie".to_owned(), "vmware_soap_session=52-ab; HttpOnly".to_owned());
        Ok(Response { status: 200, headers: vec![cookie], body })
    }
}

fn envelope(method: &str, content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope \
         xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>\
         <{method}Response xmlns=\"urn:vim25\">{content}</{method}Response></soapenv:Body></soapenv:Envelope>"
    )
}

/// What an undisturbed server answers to this call.
pub fn undisturbed(call: &str) -> String {
    let replay = Replay::new("", b"");
    replay.made.set(true);
    let method = match call {
        "Datacenter" | "ComputeResource" | "HttpNfcLease" | "Task" | "VirtualMachine" => {
            "RetrievePropertiesEx"
        }
        other => other,
    };
    replay.lease.replace("ready");
    replay.answer(method, call)
}

fn good(method: &str) -> &'static str {
    match method {
        "RetrieveServiceContent" => {
            "<returnval><rootFolder type=\"Folder\">group-d1</rootFolder>\
             <propertyCollector type=\"PropertyCollector\">propertyCollector</propertyCollector>\
             <viewManager type=\"ViewManager\">ViewManager</viewManager>\
             <about><apiVersion>6.5</apiVersion></about>\
             <sessionManager type=\"SessionManager\">SessionManager</sessionManager>\
             <searchIndex type=\"SearchIndex\">SearchIndex</searchIndex></returnval>"
        }
        "CreateContainerView" => "<returnval type=\"ContainerView\">session[52]view</returnval>",
        "ImportVApp" => "<returnval type=\"HttpNfcLease\">session[52]lease</returnval>",
        "CreateFilter" => "<returnval type=\"PropertyFilter\">session[52]filter</returnval>",
        // A list that was not at its end never ends.
        "ContinueRetrievePropertiesEx" => "<returnval><token>more</token></returnval>",
        "WaitForUpdatesEx" => "<returnval><version>1</version></returnval>",
        "ReconfigVM_Task" | "Destroy_Task" | "PowerOffVM_Task" | "PowerOnVM_Task" | "CreateSnapshot_Task" => {
            "<returnval type=\"Task\">task-1</returnval>"
        }
        _ => "",
    }
}

/// An object with its properties: names and values.
fn object(kind: &str, id: &str, properties: &[(&str, &str)]) -> String {
    let property = |(name, value): &(&str, &str)| {
        if let Some(reference) = value.strip_prefix('@') {
            let (kind, id) = reference.split_once(' ').unwrap();
            let val = format!("<val xsi:type=\"ManagedObjectReference\" type=\"{kind}\">{id}</val>");
            return format!("<propSet><name>{name}</name>{val}</propSet>");
        }
        format!("<propSet><name>{name}</name><val>{value}</val></propSet>")
    };
    let properties: String = properties.iter().map(property).collect();
    format!("<objects><obj type=\"{kind}\">{id}</obj>{properties}</objects>")
}

fn objects(kind: &str) -> String {
    let all = match kind {
        "Datacenter" => object(kind, "datacenter-1", &[("name", "DC0"), ("vmFolder", "@Folder group-v1")]),
        "ComputeResource" => cluster(),
        "HttpNfcLease" => object(kind, "session[52]lease", &[("state", "STATE"), ("info", &urls())]),
        "Task" => object(kind, "task-1", &[("info", "<state>success</state><result>done</result>")]),
        _ => {
            let setting = "<OptionValue><key>wherry.key</key><value>key</value></OptionValue>";
            object(kind, "vm-1", &[("config.extraConfig", setting), ("runtime.powerState", "poweredOff")])
        }
    };
    format!("<returnval>{all}</returnval>")
}

fn cluster() -> String {
    let stores = "<ManagedObjectReference type=\"Datastore\">datastore-1</ManagedObjectReference>";
    let networks = "<ManagedObjectReference type=\"Network\">network-1</ManagedObjectReference>\
                    <ManagedObjectReference type=\"DistributedVirtualPortgroup\">dvportgroup-1</ManagedObjectReference>";
    let of_cluster: [(&str, &str); 4] = [
        ("name", "DC0_C0"),
        ("resourcePool", "@ResourcePool resgroup-1"),
        ("datastore", stores),
        ("network", networks),
    ];
    let group = [
        ("name", "DC0_DVPG0"),
        ("key", "dvportgroup-1"),
        ("config.distributedVirtualSwitch", "@DistributedVirtualSwitch dvs-1"),
    ];
    let store = [("name", "LocalDS_0"), ("summary.accessible", "true"), ("summary.freeSpace", "99999999999")];
    [
        object("ClusterComputeResource", "domain-c1", &of_cluster),
        object(
            "ResourcePool",
            "resgroup-1",
            &[("name", "Resources"), ("owner", "@ClusterComputeResource domain-c1")],
        ),
        object("Datastore", "datastore-1", &store),
        object("Network", "network-1", &[("name", "VM Network")]),
        object("DistributedVirtualPortgroup", "dvportgroup-1", &group),
        object("DistributedVirtualSwitch", "dvs-1", &[("name", "DVS0"), ("uuid", "50 2c")]),
    ]
    .concat()
}

/// As an ESXi host names them, and not in the order of the disks.
fn urls() -> String {
    let url = |unit: usize| {
        format!(
            "<deviceUrl><key>/vm-1/k</key><importKey>/web-a.1/ParaVirtualSCSIController0:{unit}</importKey>\
             <url>https://*/nfc/52/disk-{unit}.vmdk</url><sslThumbprint></sslThumbprint><disk>true</disk></deviceUrl>"
        )
    };
    let other = "<deviceUrl><importKey>/web-a.1/nvram</importKey><url>https://*/nfc/52/nvram</url><disk>false</disk></deviceUrl>";
    let all: String = [2, 0, 1].map(url).concat();
    format!("<entity type=\"VirtualMachine\">vm-1</entity>{other}{all}<leaseTimeout>300</leaseTimeout>")
}
