//! Where on the server a machine can go: datacenter, cluster, pool, folder, datastore, networks.

use crate::vim::property::Object;
use crate::vim::session::Session;
use crate::vim::soap::Ref;
use wherry_sdk::platform::xml;
use wherry_sdk::target::Machine;
use wherry_sdk::{Error, ErrorKind, Result, find};

/// Names that are told where one has to be chosen.
const NAMES_MOST: usize = 10;

/// What a card is connected to.
#[derive(Clone, Debug, PartialEq)]
pub enum Network {
    /// Of a host, by its name.
    Standard(String),
    /// A port group of a distributed switch: the switch's identifier and the group's key.
    Distributed(String, String),
}

/// Where a machine goes.
#[derive(Debug)]
pub struct Place {
    pub folder: Ref,
    pub pool: Ref,
    pub datastore: String,
    /// bytes
    pub free: u64,
    /// For people: datacenter, cluster, datastore.
    pub words: String,
    networks: Vec<(String, Network)>,
}

impl Place {
    /// The network of this name.
    pub fn network(&self, name: &str) -> Option<&Network> {
        self.networks.iter().find(|(known, _)| known == name).map(|(_, network)| network)
    }

    /// Names of all networks that the cluster has.
    pub fn networks(&self) -> String {
        names(self.networks.iter().map(|(name, _)| name.as_str()))
    }
}

fn names<'n>(all: impl Iterator<Item = &'n str>) -> String {
    let mut names: Vec<&str> = all.take(NAMES_MOST).collect();
    names.sort_unstable();
    names.join(", ")
}

/// The object that was wished for, or else the only one.
fn choose<'o>(objects: &[&'o Object], what: &str, wish: Option<&str>) -> Result<&'o Object> {
    let known = || names(objects.iter().map(|object| object.text("name")));
    let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
    match (wish, objects) {
        (Some(wish), _) => match objects.iter().find(|object| object.text("name") == wish) {
            Some(found) => Ok(found),
            None => invalid(format!("the server has no {what} `{wish}`; it has {}", known())),
        },
        (None, [one]) => Ok(one),
        (None, []) => invalid(format!("the server has no {what}")),
        (None, _) => invalid(format!("wish for a {what}, {what}=NAME; the server has {}", known())),
    }
}

impl Session<'_> {
    /// Where `machine` goes by its wishes `datacenter`, `cluster`, `resource-pool`, `datastore` and `folder`.
    pub fn place(&self, machine: &Machine) -> Result<Place> {
        let wish = |key: &str| find(&machine.facts, &format!("wish.{key}"));
        let datacenters = self.all(&self.content.root, &[("Datacenter", &["name", "vmFolder"])])?;
        let datacenter = choose(&all(&datacenters), "datacenter", wish("datacenter"))?;
        let found = self.all(
            &datacenter.this,
            &[
                ("ComputeResource", &["name", "resourcePool", "datastore", "network"]),
                ("ResourcePool", &["name", "owner"]),
                ("Datastore", &["name", "summary.accessible", "summary.freeSpace"]),
                ("Network", &["name"]),
                ("DistributedVirtualPortgroup", &["name", "key", "config.distributedVirtualSwitch"]),
                ("DistributedVirtualSwitch", &["name", "uuid"]),
            ],
        )?;
        let of = |kind: &str| -> Vec<&Object> {
            found.iter().filter(|object| object.this.kind.ends_with(kind)).collect()
        };
        let cluster = choose(&of("ComputeResource"), "cluster", wish("cluster"))?;
        let datastore = datastore(&of("Datastore"), cluster, wish("datastore"))?;
        let missing = |what: &str| Error::new(ErrorKind::Io, format!("the server tells no {what}"));
        let reference = |object: &Object, name: &str| object.get(name).and_then(|value| value.as_ref());
        let root = reference(datacenter, "vmFolder").ok_or_else(|| missing("folder of a datacenter"))?;
        let words = [datacenter, cluster, datastore].map(|object| object.text("name"));
        Ok(Place {
            folder: self.folder(&root, wish("folder"))?,
            pool: match wish("resource-pool") {
                None => reference(cluster, "resourcePool").ok_or_else(|| missing("pool of a cluster"))?,
                Some(wish) => {
                    let mut pools = of("ResourcePool");
                    pools.retain(|pool| reference(pool, "owner").as_ref() == Some(&cluster.this));
                    choose(&pools, "resource-pool", Some(wish))?.this.clone()
                }
            },
            datastore: datastore.text("name").to_owned(),
            free: datastore.text("summary.freeSpace").parse().unwrap_or(0),
            words: words.join(", "),
            networks: networks(&found, &cluster.references("network")),
        })
    }

    /// The folder of this path below a datacenter's own folder for machines.
    fn folder(&self, root: &Ref, wish: Option<&str>) -> Result<Ref> {
        let mut folder = root.clone();
        for name in wish.unwrap_or_default().split('/').filter(|name| !name.is_empty()) {
            let missing =
                || Error::new(ErrorKind::InvalidInput, format!("the server has no folder `{name}`"));
            folder = self.child(&folder, name)?.filter(|one| one.kind == "Folder").ok_or_else(missing)?;
        }
        Ok(folder)
    }

    /// What has this name in a folder.
    pub fn child(&self, folder: &Ref, name: &str) -> Result<Option<Ref>> {
        let arguments = format!("{}<name>{}</name>", folder.xml("entity"), xml(name));
        Ok(self.call("FindChild", &self.content.index, &arguments)?.reference("returnval"))
    }
}

fn all(objects: &[Object]) -> Vec<&Object> {
    objects.iter().collect()
}

/// The one that was wished for, else that with the most room, of those that the cluster reaches.
fn datastore<'o>(stores: &[&'o Object], cluster: &Object, wish: Option<&str>) -> Result<&'o Object> {
    let reached = cluster.references("datastore");
    let usable =
        |store: &&Object| reached.contains(&store.this) && store.text("summary.accessible") != "false";
    let mut usable: Vec<&Object> = stores.iter().copied().filter(usable).collect();
    if wish.is_none() && usable.len() > 1 {
        usable.sort_by_key(|store| store.text("summary.freeSpace").parse::<u64>().unwrap_or(0));
        usable.drain(..usable.len() - 1);
    }
    choose(&usable, "datastore", wish)
}

fn networks(found: &[Object], reached: &[Ref]) -> Vec<(String, Network)> {
    let network = |object: &Object| {
        let name = object.text("name").to_owned();
        let standard = Network::Standard(name.clone());
        let Some(switch) = object.get("config.distributedVirtualSwitch").and_then(|value| value.as_ref())
        else {
            return Some((name, standard));
        };
        let switch = found.iter().find(|one| one.this == switch)?;
        Some((name, Network::Distributed(switch.text("uuid").into(), object.text("key").into())))
    };
    found.iter().filter(|object| reached.contains(&object.this)).filter_map(network).collect()
}
