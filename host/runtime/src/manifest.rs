//! What an adapter says of itself and asks for: the custom section `wherry:manifest`, TOML.

use serde::Deserialize;

/// An adapter's own word. Unknown keys are an error: a misspelt right must not be lost in silence.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Unique name: `format-qcow2`.
    pub id: String,
    /// The adapter's version.
    pub version: String,
    /// The world it exports.
    pub kind: Kind,
    /// The contract it was built against.
    pub contract: String,
    /// One line for people.
    #[serde(default)]
    pub summary: String,
    /// What the operator calls it, where that is not the end of its id (`target-kvm` is called `kvm`).
    #[serde(default)]
    pub names: Vec<String>,
    /// Rights it asks for; it gets their intersection with the operator's grant.
    #[serde(default)]
    pub asks: Asks,
    /// Limits it can live with; an operator's are never exceeded.
    #[serde(default)]
    pub limits: Wishes,
}

/// The six worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// How a disk image is stored.
    DiskFormat,
    /// How disks are divided or joined.
    VolumeMap,
    /// Files in a volume.
    FilesystemDriver,
    /// Machines written down in files.
    MachineDefinition,
    /// The operating system.
    SourceOs,
    /// Where machines go.
    TargetPlatform,
}

impl Manifest {
    /// What the operator may call it: its names, else its id without what its kind begins with.
    pub fn words(&self) -> Vec<&str> {
        let own = self.id.split_once('-').map_or(self.id.as_str(), |(_, word)| word);
        if self.names.is_empty() { vec![own] } else { self.names.iter().map(String::as_str).collect() }
    }
}

impl Kind {
    /// As the manifest spells it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::DiskFormat => "disk-format",
            Kind::VolumeMap => "volume-map",
            Kind::FilesystemDriver => "filesystem-driver",
            Kind::MachineDefinition => "machine-definition",
            Kind::SourceOs => "source-os",
            Kind::TargetPlatform => "target-platform",
        }
    }

    /// The interfaces this world may import, besides `types` and `files`.
    pub fn imports(self) -> &'static [&'static str] {
        match self {
            Kind::DiskFormat | Kind::VolumeMap | Kind::FilesystemDriver | Kind::MachineDefinition => {
                &["log", "job", "storage"]
            }
            Kind::SourceOs => &["log", "job", "tree"],
            Kind::TargetPlatform => &["log", "job", "http", "connection", "output"],
        }
    }
}

/// Rights, deny by default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asks {
    /// Origins, such as `https://host:port`. In a manifest `server`: those that the operator names, whichever they are; in a
    /// grant `https://*.NAME`: every host below NAME.
    #[serde(default)]
    pub http: Vec<String>,
    /// Endpoints, such as `unix:/run/libvirt/libvirt-sock`.
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// Names of secrets.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// The output directory.
    #[serde(default)]
    pub output: bool,
}

impl Asks {
    /// What both the manifest asks for and the operator grants.
    pub fn granted(&self, grant: &Asks) -> Asks {
        let both = |asked: &[String], granted: &[String]| -> Vec<String> {
            asked.iter().filter(|right| granted.contains(right)).cloned().collect()
        };
        let any = self.http.iter().any(|asked| asked == "server");
        Asks {
            http: if any { grant.http.clone() } else { both(&self.http, &grant.http) },
            endpoints: both(&self.endpoints, &grant.endpoints),
            secrets: both(&self.secrets, &grant.secrets),
            output: self.output && grant.output,
        }
    }

    /// Whether a request may go to `origin`.
    pub fn asks_server(&self, origin: &str) -> bool {
        let covers = |grant: &String| match grant.split_once("://*.") {
            None => grant == origin,
            Some((scheme, end)) => {
                let host = origin.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
                let host =
                    host.and_then(|host| host.strip_suffix(end)).and_then(|host| host.strip_suffix('.'));
                host.is_some_and(|host| !host.is_empty() && !host.contains(['@', ':', '/', '?', '#', '\\']))
            }
        };
        self.http.iter().any(covers)
    }
}

/// The origin of a URL as grants are spelled: in lower case, without its scheme's usual port.
pub fn origin(url: &str) -> String {
    let origin = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/").to_ascii_lowercase();
    let usual = if origin.starts_with("https:") { ":443" } else { ":80" };
    origin.strip_suffix(usual).map_or_else(|| origin.clone(), str::to_owned)
}

/// Limits an adapter wishes for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wishes {
    /// Linear memory.
    pub memory_mib: Option<u64>,
    /// Wall time of one call.
    pub call_seconds: Option<u64>,
}
