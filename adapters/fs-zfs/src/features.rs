//! Features of pools of version 5000, and versions before (OpenZFS' module/zcommon/zfeature_common.c).

use crate::dnode::ObjectSet;
use crate::pool::Pool;
use wherry_sdk::{Error, Result};

/// The last version before features, and the one that says that there are some.
const VERSION_MOST: u64 = 28;
pub const FEATURES: u64 = 5000;

/// Features that change how a pool is read, of which this adapter knows how. The others only concern who writes.
const KNOWN: &[&str] = &[
    "org.illumos:lz4_compress",
    "com.joyent:multi_vdev_crash_dump",
    "com.delphix:hole_birth",
    "com.delphix:extensible_dataset",
    "com.delphix:embedded_data",
    "org.open-zfs:large_blocks",
    "org.zfsonlinux:large_dnode",
    "org.illumos:sha512",
    "org.illumos:skein",
    "org.illumos:edonr",
    "org.freebsd:zstd_compress",
    "org.openzfs:blake3",
    "com.datto:encryption",
    "com.datto:bookmark_v2",
    "com.delphix:head_errlog",
    "com.delphix:redaction_bookmarks",
    "com.delphix:redacted_datasets",
    "com.delphix:bookmark_written",
    "com.klarasystems:vdev_zaps_v2",
    "org.zfsonlinux:longname",
];
/// Features that only concern who writes, of which this adapter knows what they do to the space maps.
const KNOWN_TO_WRITE: &[&str] = &[
    "com.delphix:async_destroy",
    "com.delphix:empty_bpobj",
    "com.delphix:spacemap_histogram",
    "com.delphix:enabled_txg",
    "com.delphix:bookmarks",
    "com.delphix:obsolete_counts",
    "com.delphix:zpool_checkpoint",
    "com.delphix:spacemap_v2",
    "com.delphix:log_spacemap",
    "com.delphix:livelist",
    "com.delphix:redaction_list_spill",
    "com.joyent:filesystem_limits",
    "com.datto:resilver_defer",
    "com.fudosecurity:block_cloning",
    "com.truenas:block_cloning_endian",
    "com.klarasystems:fast_dedup",
    "org.zfsonlinux:allocation_classes",
    "org.zfsonlinux:userobj_accounting",
    "org.zfsonlinux:project_quota",
    "org.openzfs:device_rebuild",
    "org.openzfs:zilsaxattr",
];
/// Checksums that are not computed here: blocks that have them are read as they are.
const NOT_VERIFIED: &[&str] = &["org.illumos:skein", "org.illumos:edonr"];

/// Which features are in use.
#[derive(Clone, Debug, Default)]
pub struct Features {
    pub active: Vec<String>,
    /// Of those, algorithms of checksums that are not verified.
    pub not_verified: Vec<String>,
    /// One that only concerns who writes is not known: what the space maps say may be not all.
    pub later: bool,
}

/// Refuses versions that are not known.
pub fn check_version(version: u64, name: &str) -> Result<()> {
    if version == FEATURES || (1..=VERSION_MOST).contains(&version) {
        return Ok(());
    }
    let message = format!(
        "the pool {name} has version {version}: known are 1 to {VERSION_MOST} and {FEATURES}; send its datasets into a pool of another version (Oracle Solaris: zpool create -o version=28)"
    );
    Err(Error::unsupported(message))
}

fn check(name: &str) -> Result<()> {
    if KNOWN.contains(&name) {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "the pool uses the feature {name}, which is not known here, and reading needs it: its disks can be copied, its files not adapted"
    )))
}

impl Pool<'_> {
    /// The features in use; those that reading needs and that are not known are refused.
    pub fn features(&mut self, set: &ObjectSet, directory: &crate::dnode::Dnode) -> Result<Features> {
        let mut features = Features::default();
        for (list, needed) in [("features_for_read", true), ("features_for_write", false)] {
            let Some(number) = self.zap_number(directory, list)? else { continue };
            let object = self.object(set, number)?;
            for entry in self.zap_all(&object)? {
                let name = String::from_utf8_lossy(&entry.name).into_owned();
                if entry.number() == 0 {
                    continue;
                }
                if needed {
                    check(&name)?;
                } else {
                    features.later |= ![KNOWN, KNOWN_TO_WRITE].concat().contains(&name.as_str());
                }
                if NOT_VERIFIED.contains(&name.as_str()) {
                    features.not_verified.push(name.rsplit(':').next().unwrap_or_default().to_owned());
                }
                features.active.push(name);
            }
        }
        features.active.sort();
        features.not_verified.sort();
        Ok(features)
    }

    /// What the label says that reading needs, before anything else is read.
    pub fn check_label(&self) -> Result<()> {
        check_version(self.label.version, &self.label.name)?;
        self.label.features.iter().try_for_each(|name| check(name))
    }
}
