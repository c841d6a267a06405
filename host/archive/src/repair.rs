//! Brings an archive that has lost something into a state without loose ends: the index is made again from the packs, whole
//! chunks of damaged packs are stored again, and what is lost for good is listed, so that the next capture that meets the same
//! bytes brings them back.

use crate::archive::Archive;
use crate::chunk::{Kind, Packer, Unpacker, kind_of, plain_length};
use crate::chunks::Chunks;
use crate::index::{Index, Pending, table};
use crate::marks::{self, LOST, Names};
use crate::pack::{self, Entry};
use crate::reach::{Affected, Reach};
use crate::seal::Cipher;
use crate::segment;
use crate::snapshot::{self, Roots};
use crate::verify::{Damage, TellBytes, VerifyOptions};
use crate::writer::session_with;
use crate::{ErrorKind, Result};
use serde::Serialize;
use std::sync::atomic::AtomicBool;

/// What a repair found and did.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Repaired {
    /// What was damaged.
    pub damage: Vec<Damage>,
    /// Segments of the index that were made again.
    pub segments: u64,
    /// Packs whose chunks were put into the index again.
    pub indexed: u64,
    /// Chunks of damaged packs that were whole and lists that were there only once: they are stored again.
    pub saved: u64,
    /// Chunks that are lost.
    pub lost: u64,
    /// What cannot be read because of that, until a capture brings it back.
    pub affected: Vec<Affected>,
}

impl Archive {
    /// Repairs the archive, which nobody else should write meanwhile. Killed anywhere, the same call goes on.
    pub fn repair(&self, cancel: &AtomicBool, tell: TellBytes<'_>) -> Result<Repaired> {
        let mut repaired = Repaired { segments: self.drop_damaged_segments()?, ..Repaired::default() };
        repaired.indexed = self.index_orphans()?;
        let options = VerifyOptions { deep: true, ..VerifyOptions::default() };
        let (verified, chunks, packs, bad) = self.examine(&options, cancel, tell)?;
        repaired.damage = verified.damage;
        repaired.affected = verified.affected;
        repaired.lost = bad.len() as u64;
        self.put_aside()?;
        let mut replaced: Names = packs.bad.keys().copied().collect();
        if !bad.is_empty() {
            marks::write(self, LOST, &bad.iter().map(|id| id.0).collect())?;
        }
        let roots = self.roots()?;
        replaced.append(&mut self.alone(&chunks, &roots, &replaced)?);
        if replaced.is_empty() {
            return Ok(repaired);
        }
        repaired.saved = self.save(&replaced)?;
        self.take_away(replaced, &self.roots()?)?;
        Ok(repaired)
    }

    /// Packs that hold the only copy of a list which has not gone with `damaged`: stored again, it is there twice.
    fn alone(&self, chunks: &Chunks, roots: &Roots, damaged: &Names) -> Result<Names> {
        let mut alone = Names::new();
        Reach::new(self, chunks)?.mark(roots, &mut |id, kind| {
            if kind == Kind::Data {
                return Ok(());
            }
            let mut places = Vec::new();
            chunks.index.places(id, &mut |found| {
                places.push(found);
                true
            })?;
            let names = places.iter().map(|found| chunks.index.pack_name(found).map(|pack| pack.name));
            let whole: Names = names
                .filter(|name| !name.as_ref().is_ok_and(|name| damaged.contains(name)))
                .collect::<Result<_>>()?;
            if whole.len() == 1 {
                alone.extend(whole);
            }
            Ok(())
        })?;
        Ok(alone)
    }

    /// Snapshots that cannot be read are kept under another name, so that they are in nobody's way.
    fn put_aside(&self) -> Result<()> {
        for id in self.snapshot_ids()? {
            if self.snapshot(&id).is_err_and(|e| e.kind == ErrorKind::Corrupt) {
                let bytes = self.store.get(&snapshot::key(&id))?;
                self.store.put_new(&format!("damaged/{id}"), &bytes)?;
                self.remove(&id)?;
            }
        }
        Ok(())
    }

    fn drop_damaged_segments(&self) -> Result<u64> {
        let (_, damaged) = Index::open_sound(&self.keys, self.store.as_ref())?;
        for (key, _) in &damaged {
            self.store.delete(key)?;
        }
        Ok(damaged.len() as u64)
    }

    /// Packs that no segment names are put into the index by their own tables.
    fn index_orphans(&self) -> Result<u64> {
        let (index, _) = Index::open_sound(&self.keys, self.store.as_ref())?;
        let mut orphans = Names::new();
        self.store.list("packs/", &mut |object| orphans.extend(pack::name_of(&object.key)))?;
        for segment in &index.segments {
            segment.each_pack(&mut |_, pack| {
                orphans.remove(&pack.name);
            })?;
        }
        let (mut pending, mut count) = (Pending::default(), 0);
        for name in &orphans {
            match table(&self.keys, self.store.as_ref(), name) {
                Ok((pack, entries)) => {
                    pending.add(pack, &entries);
                    count += 1;
                }
                Err(e) if e.kind == ErrorKind::Corrupt => {}
                Err(e) => return Err(e),
            }
            if pending.records.len() >= segment::RECORDS_MOST / 2 {
                pending.write(&self.keys, self.store.as_ref())?;
                pending = Pending::default();
            }
        }
        pending.write(&self.keys, self.store.as_ref())?;
        Ok(count)
    }

    /// Stores whole chunks of packs that are going again; lists twice, as always.
    fn save(&self, going: &Names) -> Result<u64> {
        let mut index = Index::open(&self.keys, self.store.as_ref())?;
        index.forget(going)?;
        let made = session_with(self, index, |writer| {
            let (mut packer, mut unpacker) = (Packer::new(1)?, Unpacker::new()?);
            let mut saved = 0;
            for name in going {
                let bytes = match self.store.get(&pack::key(name)) {
                    Err(e) if e.kind == ErrorKind::Missing => continue,
                    bytes => bytes?,
                };
                let Some((pack, entries)) = self.entries_of(name, &bytes)? else { continue };
                let cipher = Cipher::new(&self.keys, &pack.salt);
                for Entry { id, offset, stored, .. } in entries {
                    let stored = bytes.get(offset as usize..).and_then(|rest| rest.get(..stored as usize));
                    let mut stored = stored.unwrap_or_default().to_vec();
                    let mut plain = vec![0; plain_length(&stored).unwrap_or(0)];
                    let kind = kind_of(&stored);
                    if unpacker.unpack(&self.keys, &cipher, &mut stored, &id, &mut plain).is_ok()
                        && !writer.knows(&id)?
                    {
                        writer.put(&mut packer, kind, &plain, &id)?;
                        saved += 1;
                    }
                }
            }
            Ok(saved)
        })?;
        Ok(made.what)
    }
}

impl Repaired {
    /// Whether everything can be read now.
    pub fn is_whole(&self) -> bool {
        self.affected.is_empty()
    }
}
