//! A second reader of UFS1, written for the tests alone, and a checker: every fragment and inode is counted once, and every sum
//! of free ones in groups, summaries and superblock agrees. There is no fsck for Solaris' UFS to be had here.

use std::collections::BTreeMap;

/// The bytes of a file system and their order.
pub struct Raw {
    pub bytes: Vec<u8>,
    pub big: bool,
}

/// A piece of a file or a block of addresses, in fragments.
type Piece = (usize, usize);

impl Raw {
    pub fn u16(&self, at: usize) -> u16 {
        let bytes = self.bytes[at..at + 2].try_into().unwrap();
        if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    pub fn u32(&self, at: usize) -> u32 {
        let bytes = self.bytes[at..at + 4].try_into().unwrap();
        if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    pub fn put16(&mut self, at: usize, value: u16) {
        let bytes = if self.big { value.to_be_bytes() } else { value.to_le_bytes() };
        self.bytes[at..at + 2].copy_from_slice(&bytes);
    }

    pub fn put32(&mut self, at: usize, value: u32) {
        let bytes = if self.big { value.to_be_bytes() } else { value.to_le_bytes() };
        self.bytes[at..at + 4].copy_from_slice(&bytes);
    }

    /// A field of the superblock.
    pub fn sb(&self, at: usize) -> usize {
        self.u32(8192 + at) as usize
    }

    pub fn fragment(&self) -> usize {
        self.sb(52)
    }

    pub fn groups(&self) -> usize {
        self.sb(44)
    }

    fn group_start(&self, group: usize) -> usize {
        self.sb(188) * group + self.sb(24) * (group & !self.sb(28))
    }

    pub fn group_place(&self, group: usize) -> usize {
        (self.group_start(group) + self.sb(12)) * self.fragment()
    }

    pub fn inode_place(&self, number: usize) -> usize {
        let each = self.sb(184);
        (self.group_start(number / each) + self.sb(16)) * self.fragment() + number % each * 128
    }

    pub fn inodes(&self) -> usize {
        self.sb(184) * self.groups()
    }

    pub fn mode(&self, number: usize) -> u16 {
        self.u16(self.inode_place(number))
    }

    pub fn size(&self, number: usize) -> usize {
        let at = self.inode_place(number) + 8;
        let (first, second) = (self.u32(at) as usize, self.u32(at + 4) as usize);
        if self.big { first << 32 | second } else { second << 32 | first }
    }

    fn is_device(&self, number: usize) -> bool {
        matches!(self.mode(number) & 0o170_000, 0o020_000 | 0o060_000)
    }

    /// The pieces with a file's content, in order, holes left out, and the blocks of addresses.
    pub fn pieces(&self, number: usize) -> (Vec<Piece>, Vec<Piece>) {
        let (place, size) = (self.inode_place(number), self.size(number));
        let short = self.mode(number) & 0o170_000 == 0o120_000 && self.u32(place + 104) == 0;
        if short || self.is_device(number) {
            return (Vec::new(), Vec::new());
        }
        let (block, fragment) = (self.sb(48), self.fragment());
        let whole = block / fragment;
        let (mut data, mut tables) = (Vec::new(), Vec::new());
        for slot in 0..12 {
            let address = self.u32(place + 40 + slot * 4) as usize;
            if address == 0 {
                continue;
            }
            let left = size.saturating_sub(slot * block);
            assert!(left > 0, "inode {number} has a block beyond its end");
            data.push((address, if left >= block { whole } else { left.div_ceil(fragment) }));
        }
        for level in 0..3 {
            self.table(self.u32(place + 88 + level * 4) as usize, level, &mut data, &mut tables);
        }
        (data, tables)
    }

    fn table(&self, address: usize, level: usize, data: &mut Vec<Piece>, tables: &mut Vec<Piece>) {
        if address == 0 {
            return;
        }
        let whole = self.sb(48) / self.fragment();
        tables.push((address, whole));
        for slot in 0..self.sb(48) / 4 {
            let next = self.u32(address * self.fragment() + slot * 4) as usize;
            match (next, level) {
                (0, _) => {}
                (next, 0) => data.push((next, whole)),
                (next, _) => self.table(next, level - 1, data, tables),
            }
        }
    }

    /// Where the entries of a directory are: place, inode, length, name.
    pub fn entries(&self, number: usize, sun: bool) -> Vec<(usize, usize, usize, Vec<u8>)> {
        let mut list = Vec::new();
        let mut left = self.size(number);
        assert_eq!(left % 512, 0, "directory {number}");
        for (address, count) in self.pieces(number).0 {
            let start = address * self.fragment();
            let length = (count * self.fragment()).min(left);
            left -= length;
            let mut at = start;
            while at < start + length {
                let entry = usize::from(self.u16(at + 4));
                let name = if sun { usize::from(self.u16(at + 6)) } else { usize::from(self.bytes[at + 7]) };
                assert!(
                    entry >= 8 + name && entry % 4 == 0 && (at - start) % 512 + entry <= 512,
                    "directory {number}"
                );
                let inode = self.u32(at) as usize;
                if inode != 0 {
                    list.push((at, inode, entry, self.bytes[at + 8..at + 8 + name].to_vec()));
                }
                at += entry;
            }
        }
        assert_eq!(left, 0, "directory {number} has a hole");
        list
    }

    /// Checks everything.
    ///
    /// # Panics
    /// With the first thing that is not as it has to be.
    pub fn check(&self) {
        let (fragment, whole, each) = (self.fragment(), self.sb(48) / self.fragment(), self.sb(184));
        let total = self.sb(36);
        let mut used = vec![false; total];
        let mut take = |(address, count): Piece, what: &str| {
            assert!(address + count <= total, "{what}: fragment {address} is beyond the end");
            let before = used[address..address + count].iter().any(|used| *used);
            assert!(!before, "{what}: {count} fragments from {address} are used twice");
            used[address..address + count].fill(true);
        };
        for group in 0..self.groups() {
            let base = self.sb(188) * group;
            let data = self.group_start(group) + self.sb(20);
            let first = if group == 0 { 0 } else { self.group_start(group) + self.sb(8) };
            // What lies before a group's own blocks is for files.
            take((first, data - first), "a group's own");
            assert!(base <= first);
        }
        take((self.sb(152), self.sb(156).div_ceil(fragment)), "the summaries");
        let mut names: BTreeMap<usize, usize> = BTreeMap::new();
        let mut directories = vec![0; self.groups()];
        let mut alive = vec![false; self.inodes()];
        for number in 2..self.inodes() {
            if self.mode(number) == 0 {
                continue;
            }
            alive[number] = true;
            let (data, tables) = self.pieces(number);
            let held: usize = data.iter().chain(&tables).map(|(_, count)| count * fragment / 512).sum();
            assert_eq!(
                self.u32(self.inode_place(number) + 104) as usize,
                held,
                "inode {number}: its sectors"
            );
            data.into_iter().chain(tables).for_each(|piece| take(piece, &format!("inode {number}")));
            if self.mode(number) & 0o170_000 == 0o040_000 {
                directories[number / each] += 1;
                let entries = self.entries(number, true);
                assert!(entries[0].3 == b"." && entries[0].1 == number && entries[1].3 == b"..", "{number}");
                entries.iter().for_each(|(_, inode, ..)| *names.entry(*inode).or_default() += 1);
            }
        }
        for (number, count) in &names {
            let links = usize::from(self.u16(self.inode_place(*number) + 2));
            assert!(alive[*number] && links == *count, "inode {number} has {links} links and {count} names");
        }
        assert_eq!(names.len(), alive.iter().filter(|alive| **alive).count(), "an inode has no name");
        let mut sums = [0usize; 4];
        for (group, directories) in directories.into_iter().enumerate() {
            let own = self.check_group(group, &used, &alive, directories, whole);
            (0..4).for_each(|sum| sums[sum] += own[sum]);
        }
        assert_eq!([192, 196, 200, 204].map(|at| self.sb(at)), sums, "the superblock's sums");
    }

    fn check_group(
        &self,
        group: usize,
        used: &[bool],
        alive: &[bool],
        directories: usize,
        whole: usize,
    ) -> [usize; 4] {
        let at = self.group_place(group);
        assert_eq!((self.u32(at + 4), self.u32(at + 12) as usize), (0x90255, group));
        let (span, each) = (self.sb(188), self.sb(184));
        let count = self.u32(at + 20) as usize;
        let (used_inodes, free_map) = (at + self.u32(at + 92) as usize, at + self.u32(at + 96) as usize);
        let bit = |map: usize, number: usize| self.bytes[map + number / 8] >> (number % 8) & 1 != 0;
        let (mut blocks, mut loose, mut runs) = (0, 0, [0usize; 8]);
        for block in (0..count).step_by(whole) {
            let free: Vec<bool> =
                (block..(block + whole).min(count)).map(|number| bit(free_map, number)).collect();
            for (offset, free) in free.iter().enumerate() {
                let place = group * span + block + offset;
                assert_eq!(*free, !used[place], "group {group}: fragment {place}");
            }
            if free.len() == whole && free.iter().all(|free| *free) {
                blocks += 1;
                continue;
            }
            loose += free.iter().filter(|free| **free).count();
            free.split(|free| !free).filter(|run| !run.is_empty()).for_each(|run| runs[run.len()] += 1);
        }
        let free_inodes = (0..each).filter(|within| {
            let number = group * each + within;
            let expected = number < 2 || alive[number];
            assert_eq!(bit(used_inodes, *within), expected, "inode {number} in its group's map");
            !expected
        });
        let sums = [directories, blocks, free_inodes.count(), loose];
        let told = [24, 28, 32, 36].map(|field| self.u32(at + field) as usize);
        assert_eq!(told, sums, "group {group}: directories, blocks, inodes, fragments");
        let summary = self.sb(152) * self.fragment() + group * 16;
        assert_eq!(
            [0, 4, 8, 12].map(|field| self.u32(summary + field) as usize),
            sums,
            "group {group}'s summary"
        );
        (1..whole).for_each(|run| {
            assert_eq!(
                self.u32(at + 52 + run * 4) as usize,
                runs[run],
                "group {group}: runs of {run} fragments"
            );
        });
        for (place, wide, counted) in self.rotation(group) {
            let told = if wide { self.u32(place) as usize } else { usize::from(self.u16(place)) };
            assert_eq!(told, counted, "group {group}: free blocks by cylinder or position, at byte {place}");
        }
        sums
    }

    /// What the tables of free blocks by cylinder (of 4 bytes) and by position on it (of 2) should say: place, width, number.
    pub fn rotation(&self, group: usize) -> Vec<(usize, bool, usize)> {
        let (at, whole) = (self.group_place(group), self.sb(48) / self.fragment());
        let free_map = at + self.u32(at + 96) as usize;
        let bit = |number: usize| self.bytes[free_map + number / 8] >> (number % 8) & 1 != 0;
        let (mut by_cylinder, mut by_position) = (BTreeMap::new(), BTreeMap::new());
        let (per_cylinder, per_track, positions) = (self.sb(172), self.sb(168), self.sb(1360));
        for block in (0..self.u32(at + 20) as usize).step_by(whole) {
            if per_cylinder == 0 || !(block..block + whole).all(bit) {
                continue;
            }
            let sector = block * self.sb(124);
            let (cylinder, rest) = (sector / per_cylinder, sector % per_cylinder);
            *by_cylinder.entry(cylinder).or_insert(0) += 1;
            *by_position.entry((cylinder, rest % per_track * positions / per_track)).or_insert(0) += 1;
        }
        let [totals, by, end] = [84, 88, 92].map(|field| self.u32(at + field) as usize);
        let mut list = Vec::new();
        for cylinder in 0..(by - totals) / 4 {
            list.push((at + totals + cylinder * 4, true, by_cylinder.get(&cylinder).copied().unwrap_or(0)));
            for position in 0..positions {
                let place = by + (cylinder * positions + position) * 2;
                if place + 2 <= end {
                    let counted = by_position.get(&(cylinder, position)).copied().unwrap_or(0);
                    list.push((at + place, false, counted));
                }
            }
        }
        list
    }
}
