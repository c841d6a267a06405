//! What of the devices is in use: labels, room for a boot loader, and what the space maps say (OpenZFS'
//! include/sys/space_map.h, module/zfs/space_map.c, metaslab.c, spa_log_spacemap.c). Whatever is in doubt counts as used.

use crate::bytes::bits;
use crate::dnode::Dnode;
use crate::state::State;
use std::rc::Rc;
use wherry_sdk::{Error, ErrorKind, Ranges, Result};
use wherry_zfs::{FRONT, Vdev};

/// Bits for one metaslab: 2 MiB of memory. Larger ones have coarser bits.
const BITS_MOST: u64 = 1 << 24;
/// Bytes of a space map that are read at once, and at most.
const PIECE: u64 = 1 << 17;
const MAP_MOST: u64 = 1 << 30;
/// Metaslabs of one vdev (zfs_vdev_ms_count_limit).
const METASLABS_MOST: u64 = 1 << 17;
/// Allocations in the log that are kept.
const LOG_MOST: usize = 1 << 20;
/// Bytes of the log's units, whatever the devices' are (SPA_MINBLOCKSHIFT).
const LOG_UNIT: u64 = 512;
/// Forms of entries: one word, nothing, two words.
const DEBUG: u64 = 2;
const TWO_WORDS: u64 = 3;

/// An entry of a space map.
struct Change {
    free: bool,
    vdev: Option<u64>,
    /// In the map's units.
    offset: u64,
    count: u64,
}

/// A metaslab, in units of bytes.
#[derive(Debug)]
struct Bitmap {
    words: Vec<u64>,
    /// log2 of what a bit covers.
    shift: u32,
    count: u64,
}

impl Bitmap {
    fn new(size: u64, ashift: u32) -> Self {
        let mut shift = ashift;
        while size >> shift > BITS_MOST {
            shift += 1;
        }
        let count = size.div_ceil(1 << shift);
        Self { words: vec![0; count.div_ceil(64) as usize], shift, count }
    }

    /// Marks bytes: units that are touched as used, units that are covered as free.
    fn mark(&mut self, from: u64, to: u64, free: bool) {
        let unit = 1u64 << self.shift;
        let (first, last) = match free {
            false => (from / unit, to.div_ceil(unit)),
            true => (from.div_ceil(unit), to / unit),
        };
        let mut at = first;
        while at < last.min(self.count) {
            let (word, bit) = ((at / 64) as usize, at % 64);
            let take = (64 - bit).min(last.min(self.count) - at);
            let mask = (u64::MAX >> (64 - take)) << bit;
            if let Some(word) = self.words.get_mut(word) {
                *word = if free { *word & !mask } else { *word | mask };
            }
            at += take;
        }
    }

    /// The first unit from `at` on that is used, or is not.
    fn next(&self, at: u64, used: bool) -> u64 {
        let mut at = at;
        while at < self.count {
            let word = self.words.get((at / 64) as usize).copied().unwrap_or(0);
            let word = (if used { word } else { !word }) >> (at % 64);
            if word != 0 {
                return (at + u64::from(word.trailing_zeros())).min(self.count);
            }
            at = (at / 64 + 1) * 64;
        }
        self.count
    }

    fn bytes(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>() << self.shift
    }
}

/// Allocations: vdev, first byte, end.
type Allocations = Rc<Vec<(u64, u64, u64)>>;

/// What was read of the maps.
#[derive(Default)]
pub struct Maps {
    last: Option<(u64, u64, Rc<Bitmap>)>,
    /// What is in no metaslab's own map yet; none if that is not known. Nothing was read yet: none.
    log: Option<Option<Allocations>>,
    /// Whether all is used: there is an intent log, whose blocks the space maps need not have, or a feature of a later writer.
    all: Option<bool>,
}

/// How a top-level vdev is divided.
struct Area {
    id: u64,
    ashift: u32,
    shift: u32,
    count: u64,
    array: u64,
    /// Children over which its bytes are spread.
    spread: u64,
}

fn area(top: &Vdev) -> Option<Area> {
    let (ashift, shift) = (u32::try_from(top.ashift).ok()?, u32::try_from(top.metaslab_shift).ok()?);
    let known = matches!(top.kind.as_str(), "disk" | "file" | "mirror" | "raidz");
    let few = top.asize.checked_shr(shift).is_some_and(|count| count <= METASLABS_MOST);
    (known && few && (9..=16).contains(&ashift) && (ashift..=56).contains(&shift) && top.metaslab_array != 0)
        .then(|| Area {
            id: top.id,
            ashift,
            shift,
            count: top.asize >> shift,
            array: top.metaslab_array,
            spread: if top.kind == "raidz" { top.children.len().max(1) as u64 } else { 1 },
        })
}

impl Area {
    /// Bytes of the whole vdev as those of one child.
    fn on_child(&self, from: u64, to: u64) -> (u64, u64) {
        let (from, to) = (from >> self.ashift, to.div_ceil(1 << self.ashift));
        ((from / self.spread) << self.ashift, to.div_ceil(self.spread) << self.ashift)
    }
}

impl State<'_> {
    /// Ranges in use from `start` on, at most `most`.
    pub fn used_ranges(&mut self, maps: &mut Maps, start: u64, most: u32) -> Result<Vec<wherry_sdk::Range>> {
        let mut list = Ranges::new(start..self.pool.size(), most);
        let all = match maps.all {
            Some(all) => all,
            None => self.features.later || self.has_log(),
        };
        maps.all = Some(all);
        if all {
            list.push(0, self.pool.size());
            return Ok(list.finish());
        }
        for member in self.pool.members.clone() {
            let end = member.start + member.length;
            if end <= start {
                continue;
            }
            let tops = self.pool.tops.iter();
            let top = tops.clone().find(|top| top.leaves().iter().any(|leaf| leaf.guid == member.guid));
            let data = member.start + FRONT;
            let divided = top.and_then(area);
            let size = top.map_or(0, Vdev::leaf_size);
            let Some(divided) = divided else {
                if !list.push(member.start, end) {
                    return Ok(list.finish());
                }
                continue;
            };
            if !list.push(member.start, data)
                || !self.member(maps, &divided, (data, start), &mut list)?
                || !list.push(data.saturating_add(size).min(end), end)
            {
                return Ok(list.finish());
            }
        }
        Ok(list.finish())
    }

    /// What is used between the labels of a device; false if there is no more room.
    fn member(
        &mut self,
        maps: &mut Maps,
        area: &Area,
        (data, start): (u64, u64),
        list: &mut Ranges,
    ) -> Result<bool> {
        let mut behind = 0;
        for number in 0..area.count {
            let first = number << area.shift;
            let (_, end) = area.on_child(first, first.saturating_add(1 << area.shift));
            if data.saturating_add(end) <= start {
                continue;
            }
            let map = self.metaslab(maps, area, number);
            let mut at = map.next(0, true);
            while at < map.count {
                let to = map.next(at, false);
                let (from, end) = area.on_child(first + (at << map.shift), first + (to << map.shift));
                let from = from.max(behind);
                if from < end && !list.push(data.saturating_add(from), data.saturating_add(end)) {
                    return Ok(false);
                }
                behind = behind.max(end);
                at = map.next(to, true);
            }
        }
        Ok(true)
    }

    /// A metaslab's map; all is used where it cannot be read.
    fn metaslab(&mut self, maps: &mut Maps, area: &Area, number: u64) -> Rc<Bitmap> {
        if let Some((_, _, map)) = maps.last.as_ref().filter(|last| (last.0, last.1) == (area.id, number)) {
            return Rc::clone(map);
        }
        let size = 1u64 << area.shift;
        let mut map = Bitmap::new(size, area.ashift);
        let log = self.log(maps);
        match (self.own_map(area, number, &mut map), log) {
            (Ok(()), Some(log)) => {
                let first = number << area.shift;
                let before = log.partition_point(|one| (one.0, one.1) < (area.id, first));
                let own = |one: &&(u64, u64, u64)| one.0 == area.id && one.2 <= first.saturating_add(size);
                for (_, from, to) in log.iter().skip(before).take_while(own) {
                    map.mark(from - first, to - first, false);
                }
            }
            _ => map.mark(0, size, false),
        }
        let map = Rc::new(map);
        maps.last = Some((area.id, number, Rc::clone(&map)));
        map
    }

    fn own_map(&mut self, area: &Area, number: u64, map: &mut Bitmap) -> Result<()> {
        let bad = || Error::new(ErrorKind::Corrupt, "a space map makes no sense");
        let array = self.pool.object(&self.set, area.array)?;
        let object = self.pool.content(&array, number.saturating_mul(8), 8)?.u64(0);
        if object == 0 {
            return Ok(());
        }
        let object = self.pool.object(&self.set, object)?;
        let size = 1u64 << area.shift;
        let mut wrong = false;
        self.changes(&object, |change| {
            let from = change.offset.checked_mul(1 << area.ashift);
            let to = change
                .count
                .checked_mul(1 << area.ashift)
                .zip(from)
                .and_then(|(size, from)| from.checked_add(size));
            match from.zip(to).filter(|(_, to)| *to <= size) {
                Some((from, to)) => map.mark(from, to, change.free),
                None => wrong = true,
            }
        })?;
        // The map tells how much it has as allocated.
        if wrong || map.shift == area.ashift && map.bytes() != object.bonus.u64(16) {
            return Err(bad());
        }
        Ok(())
    }

    /// What the log of space maps allocates; none where that is not known. What it frees may be used as well.
    fn log(&mut self, maps: &mut Maps) -> Option<Allocations> {
        if maps.log.is_none() {
            maps.log = Some(self.read_log().ok().map(Rc::new));
        }
        maps.log.clone().flatten()
    }

    fn read_log(&mut self) -> Result<Vec<(u64, u64, u64)>> {
        let mut all = Vec::new();
        let shifts: Vec<(u64, u32)> =
            self.pool.tops.iter().filter_map(area).map(|area| (area.id, area.shift)).collect();
        let Some(number) = self.pool.zap_number(&self.directory, "com.delphix:log_spacemap_zap")? else {
            return Ok(all);
        };
        let zap = self.pool.object(&self.set, number)?;
        for entry in self.pool.zap_all(&zap)? {
            let object = self.pool.object(&self.set, entry.number())?;
            let mut wrong = false;
            self.changes(&object, |change| {
                let from = change.offset.checked_mul(LOG_UNIT);
                match (change.vdev, from) {
                    (Some(_), Some(_)) if change.free => {}
                    (Some(vdev), Some(from)) if all.len() < LOG_MOST => {
                        let to = from.saturating_add(change.count * LOG_UNIT);
                        // None goes on in the next metaslab; of vdevs that are not divided all is used.
                        let shift = shifts.iter().find(|one| one.0 == vdev).map(|one| one.1);
                        wrong |= shift.is_some_and(|shift| from >> shift != (to - 1) >> shift);
                        all.push((vdev, from, to));
                    }
                    _ => wrong = true,
                }
            })?;
            if wrong {
                return Err(Error::new(ErrorKind::Limit, "the log of space maps cannot be followed"));
            }
        }
        all.sort_unstable();
        Ok(all)
    }

    fn changes(&mut self, object: &Dnode, mut each: impl FnMut(Change)) -> Result<()> {
        let length = object.bonus.u64(8);
        let bad = || Error::new(ErrorKind::Corrupt, "a space map is cut off");
        if length > MAP_MOST || length > object.size() {
            return Err(bad());
        }
        let (mut at, mut first) = (0, None);
        while at < length {
            let piece = self.pool.content(object, at, (length - at).min(PIECE) as usize)?;
            if piece.len() < 8 {
                return Err(bad());
            }
            for word in (0..piece.len() / 8).map(|index| piece.u64(index * 8)) {
                if let Some(first) = first.take() {
                    each(Change {
                        free: bits(word, 63, 1) != 0,
                        vdev: Some(bits(first, 0, 24)),
                        offset: bits(word, 0, 63),
                        count: bits(first, 24, 36) + 1,
                    });
                    continue;
                }
                match bits(word, 62, 2) {
                    DEBUG => {}
                    TWO_WORDS => first = Some(word),
                    _ => each(Change {
                        free: bits(word, 15, 1) != 0,
                        vdev: None,
                        offset: bits(word, 16, 47),
                        count: bits(word, 0, 15) + 1,
                    }),
                }
            }
            at += piece.len() as u64 / 8 * 8;
        }
        Ok(())
    }
}
