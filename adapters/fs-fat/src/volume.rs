//! Clusters: reading, writing, taking and giving back.

use crate::boot::Geometry;
use crate::table::{Link, Table};
use wherry_sdk::bytes::{little, put};
use wherry_sdk::{Blob, Error, ErrorKind, READ_MOST, Range, Result};

/// A device that is owned by a mount, or lent to a probe.
pub enum Device<'d> {
    Owned(Box<dyn Blob>),
    Lent(&'d dyn Blob),
}

impl Device<'_> {
    pub fn get(&self) -> &dyn Blob {
        match self {
            Device::Owned(device) => device.as_ref(),
            Device::Lent(device) => *device,
        }
    }
}

/// A volume's clusters and their table.
pub struct Volume<'d> {
    pub device: Device<'d>,
    pub geometry: Geometry,
    table: Table,
    /// Free clusters, once they were counted.
    free: Option<u32>,
    /// Where the search for a free cluster goes on.
    hint: u32,
    changed: bool,
    /// The last place of the last chain that was read: its first cluster, how many lie before, and the cluster.
    cursor: Option<(u32, u32, u32)>,
}

impl<'d> Volume<'d> {
    pub fn new(device: Device<'d>, geometry: Geometry) -> Self {
        let table = Table::new(&geometry);
        Self { device, geometry, table, free: None, hint: 2, changed: false, cursor: None }
    }

    /// Byte of the device where `cluster` starts.
    pub fn offset(&self, cluster: u32) -> Result<u64> {
        if cluster < 2 || cluster - 2 >= self.geometry.clusters {
            let message = format!("cluster {cluster} does not exist");
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        Ok(self.geometry.data + u64::from(cluster - 2) * self.geometry.cluster)
    }

    pub fn link(&mut self, cluster: u32) -> Result<Link> {
        self.offset(cluster)?;
        self.table.get(self.device.get(), cluster)
    }

    /// Whether a cluster holds something; damaged entries count as held, bad clusters hold nothing.
    pub fn is_used(&mut self, cluster: u32) -> Result<bool> {
        let raw = self.table.raw(self.device.get(), cluster)?;
        Ok(raw != 0 && self.table.get(self.device.get(), cluster).ok() != Some(Link::Bad))
    }

    /// The cluster after `cluster`; none at the end of its chain.
    pub fn next(&mut self, cluster: u32) -> Result<Option<u32>> {
        match self.link(cluster)? {
            Link::Next(next) => Ok(Some(next)),
            Link::End => Ok(None),
            Link::Free | Link::Bad => {
                let message = format!("cluster {cluster} is part of a chain, but is marked free or bad");
                Err(Error::new(ErrorKind::Corrupt, message))
            }
        }
    }

    /// The chain from `first`, which must end within `most` clusters.
    pub fn chain(&mut self, first: u32, most: u64) -> Result<Vec<u32>> {
        let mut clusters = Vec::new();
        let mut at = Some(first);
        while let Some(cluster) = at {
            if clusters.len() as u64 >= most {
                let message =
                    format!("the chain from cluster {first} is longer than {most}, or goes in circles");
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
            clusters.push(cluster);
            at = self.next(cluster)?;
        }
        Ok(clusters)
    }

    /// `length` bytes at `offset` of the chain from `first`.
    pub fn read(&mut self, first: u32, offset: u64, length: u32) -> Result<Vec<u8>> {
        let size = self.geometry.cluster;
        let (mut ranges, mut at) = (Vec::<Range>::new(), offset);
        let end = offset.saturating_add(u64::from(length));
        while at < end {
            let cluster = self.seek(first, (at / size) as u32)?;
            let range =
                Range { offset: self.offset(cluster)? + at % size, length: (size - at % size).min(end - at) };
            at += range.length;
            match ranges.last_mut() {
                Some(last) if last.offset + last.length == range.offset => last.length += range.length,
                _ => ranges.push(range),
            }
        }
        self.device.get().read_many(&ranges)
    }

    /// The cluster with `index` others before it.
    fn seek(&mut self, first: u32, index: u32) -> Result<u32> {
        let known = self.cursor.filter(|(chain, passed, _)| *chain == first && *passed <= index);
        let (_, mut passed, mut cluster) = known.unwrap_or((first, 0, first));
        while passed < index {
            let next = self.next(cluster)?;
            cluster = next.ok_or_else(|| {
                let message = format!("the chain from cluster {first} ends after {} clusters", passed + 1);
                Error::new(ErrorKind::Corrupt, message)
            })?;
            passed += 1;
        }
        self.cursor = Some((first, index, cluster));
        Ok(cluster)
    }

    /// How many clusters are free, counted when first asked.
    pub fn free(&mut self) -> Result<u32> {
        if let Some(free) = self.free {
            return Ok(free);
        }
        let mut free = 0;
        for cluster in 2..self.geometry.clusters + 2 {
            free += u32::from(self.table.raw(self.device.get(), cluster)? == 0);
        }
        self.free = Some(free);
        Ok(free)
    }

    /// A new chain of `count` clusters, behind `last` if there is one. Takes all or nothing.
    pub fn take(&mut self, last: Option<u32>, count: u64) -> Result<Vec<u32>> {
        let free = self.free()?;
        if count > u64::from(free) {
            let size = self.geometry.cluster;
            let message = format!("{count} clusters of {size} bytes are needed, {free} are free");
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        let (mut taken, end) = (Vec::with_capacity(count as usize), self.geometry.clusters + 2);
        let mut cluster = if self.hint < end { self.hint.max(2) } else { 2 };
        for _ in 2..end {
            if taken.len() as u64 == count {
                break;
            }
            if self.table.raw(self.device.get(), cluster)? == 0 {
                taken.push(cluster);
            }
            cluster = if cluster + 1 < end { cluster + 1 } else { 2 };
        }
        self.hint = cluster;
        let device = self.device.get();
        let mut before = last;
        for cluster in &taken {
            if let Some(before) = before {
                self.table.set(device, before, Link::Next(*cluster))?;
            }
            self.table.set(device, *cluster, Link::End)?;
            before = Some(*cluster);
        }
        self.free = Some(free - taken.len() as u32);
        self.touch();
        Ok(taken)
    }

    /// Lets the chain that ends with `last` go on with the one from `next`.
    pub fn join(&mut self, last: u32, next: u32) -> Result<()> {
        self.touch();
        self.table.set(self.device.get(), last, Link::Next(next))
    }

    /// Gives back the chain from `first`; one that goes in circles ends where it is free already.
    pub fn give_back(&mut self, first: u32) -> Result<()> {
        let mut free = self.free()?;
        let mut at = Some(first).filter(|first| *first != 0);
        while let Some(cluster) = at {
            at = match self.link(cluster)? {
                Link::Next(next) => Some(next),
                Link::End => None,
                Link::Free | Link::Bad => break,
            };
            self.table.set(self.device.get(), cluster, Link::Free)?;
            free += 1;
        }
        self.free = Some(free);
        self.touch();
        Ok(())
    }

    /// Writes `bytes` at `offset` of these clusters.
    pub fn write(&self, clusters: &[u32], offset: u64, bytes: &[u8]) -> Result<()> {
        let size = self.geometry.cluster;
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let index = (at / size) as usize;
            let run = clusters.get(index..).unwrap_or_default();
            let start =
                *run.first().ok_or_else(|| Error::new(ErrorKind::Failed, "a write beyond its chain"))?;
            let together = (start..).zip(run).take_while(|(expected, cluster)| expected == *cluster).count();
            let room = (together as u64 * size - at % size).min(rest.len() as u64);
            let (now, later) = rest.split_at(room as usize);
            self.device.get().write(self.offset(start)? + at % size, now)?;
            (at, rest) = (at + room, later);
        }
        Ok(())
    }

    /// Writes all of `content` at `offset` of these clusters, and zeroes up to the end of the last one.
    pub fn fill(&self, clusters: &[u32], offset: u64, content: &dyn Blob) -> Result<()> {
        let size = content.size();
        let mut done = 0;
        while done < size {
            let length = (size - done).min(u64::from(READ_MOST));
            self.write(clusters, offset + done, &content.read(done, length as u32)?)?;
            done += length;
        }
        Ok(())
    }

    /// Zeroes the rest of the cluster that a file ends in.
    pub fn pad(&self, clusters: &[u32], end: u64) -> Result<()> {
        let rest = end.next_multiple_of(self.geometry.cluster) - end;
        self.write(clusters, end, &vec![0; rest as usize])
    }

    fn touch(&mut self) {
        self.changed = true;
        self.cursor = None;
    }

    /// Whether the second table entry or the boot sector marks the volume as not properly shut down.
    pub fn is_dirty(&mut self) -> Result<bool> {
        let raw = self.table.raw(self.device.get(), 1)?;
        let clean = Self::clean_bits(self.geometry.bits);
        Ok(self.geometry.dirty || raw & clean != clean)
    }

    /// Takes both marks away.
    pub fn mark_clean(&mut self) -> Result<()> {
        let raw = self.table.raw(self.device.get(), 1)?;
        self.table.set_raw(self.device.get(), 1, raw | Self::clean_bits(self.geometry.bits))?;
        let at = self.geometry.state_at;
        let state = little(&self.device.get().read(at, 1)?, 0, 1) as u8 & !1;
        self.device.get().write(at, &[state])?;
        self.geometry.dirty = false;
        self.changed = true;
        Ok(())
    }

    /// "Shut down properly" and "no read or write has failed" (fatgen103, "FAT Data Structure").
    fn clean_bits(bits: u32) -> u32 {
        match bits {
            12 => 0,
            16 => 0xc000,
            _ => 0x0c00_0000,
        }
    }

    /// Writes back the table and the information sector's two hints.
    pub fn flush(&mut self) -> Result<()> {
        self.table.flush(self.device.get())?;
        let Some(at) = self.geometry.info.filter(|_| self.changed) else { return Ok(()) };
        let mut info = self.device.get().read(at, 512)?;
        if info.starts_with(b"RRaA") && info.get(484..488) == Some(b"rrAa") {
            let free = self.free()?;
            put(&mut info, 488, &free.to_le_bytes());
            put(&mut info, 492, &self.hint.to_le_bytes());
            self.device.get().write(at, &info)?;
        }
        self.changed = false;
        Ok(())
    }
}
