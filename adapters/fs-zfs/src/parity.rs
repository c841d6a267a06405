//! raidz: where the columns of a block are, and what is lost of them (OpenZFS' module/zfs/vdev_raidz.c). Parity rows are the sum
//! of the data columns, each times a power of 1, 2 and 4 in GF(2^8) over x^8 + x^4 + x^3 + x^2 + 1.

use wherry_sdk::{Error, ErrorKind, Result};

/// The polynomial without its highest bit.
const POLYNOMIAL: u8 = 0x1d;
/// Guesses which columns are wrong, at most, and bytes that are computed for them.
const GUESSES_MOST: usize = 4096;
const WORK_MOST: usize = 1 << 30;

/// One column of a block: what one child has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub child: usize,
    /// Bytes from where the child's allocatable bytes begin.
    pub offset: u64,
    pub length: usize,
}

/// What a raidz vdev is.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub children: usize,
    pub parity: usize,
    pub ashift: u32,
}

impl Shape {
    /// The columns of `length` bytes at `offset`, parity first.
    pub fn columns(&self, offset: u64, length: usize) -> Result<Vec<Column>> {
        let children = self.children as u64;
        if self.parity == 0 || self.parity > 3 || self.children <= self.parity || self.ashift > 16 {
            return Err(Error::new(ErrorKind::Corrupt, "a raidz of this shape makes no sense"));
        }
        let sectors = (length as u64).div_ceil(1 << self.ashift);
        let data = children - self.parity as u64;
        let (first, row) = ((offset >> self.ashift) % children, (offset >> self.ashift) / children);
        let (whole, rest) = (sectors / data, sectors % data);
        let longer = if rest == 0 { 0 } else { rest + self.parity as u64 };
        let count = if whole == 0 { longer } else { children };
        let mut columns: Vec<Column> = (0..count)
            .map(|number| {
                let place = first + number;
                let row = row + u64::from(place >= children);
                let length = ((whole + u64::from(number < longer)) as usize) << self.ashift;
                Column { child: (place % children) as usize, offset: row << self.ashift, length }
            })
            .collect();
        // The parity of raidz1 changes places every MiB, so that one child has not all of it.
        if self.parity == 1
            && offset >> 20 & 1 == 1
            && let [one, two, ..] = columns.as_mut_slice()
        {
            std::mem::swap(&mut one.child, &mut two.child);
            std::mem::swap(&mut one.offset, &mut two.offset);
        }
        Ok(columns)
    }
}

fn times(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        a = a << 1 ^ if a & 0x80 != 0 { POLYNOMIAL } else { 0 };
        b >>= 1;
    }
    product
}

fn power(base: u8, exponent: usize) -> u8 {
    (0..exponent % 255).fold(1, |product, _| times(product, base))
}

/// The inverse: a^254.
fn inverse(a: u8) -> u8 {
    power(a, 254)
}

/// What a row of parity multiplies data column `index` of `count` with.
fn factor(row: usize, index: usize, count: usize) -> u8 {
    power(1 << row, count - 1 - index)
}

fn add_times(to: &mut [u8], from: &[u8], factor: u8) {
    let table: [u8; 256] = std::array::from_fn(|value| times(value as u8, factor));
    for (to, from) in to.iter_mut().zip(from) {
        *to ^= table.get(usize::from(*from)).copied().unwrap_or(0);
    }
}

/// Solves for the data columns `lost` by the parity `rows`, which are as many. `columns` are parity first, none where one is
/// missing; `length` is that of the longest.
fn solve(
    columns: &[Option<Vec<u8>>],
    (parity, lost, rows): (usize, &[usize], &[usize]),
    length: usize,
) -> Option<Vec<Vec<u8>>> {
    let count = columns.len() - parity;
    let mut sums: Vec<Vec<u8>> = Vec::new();
    let mut matrix: Vec<Vec<u8>> = Vec::new();
    for row in rows {
        let mut sum = columns.get(*row)?.clone()?;
        sum.resize(length, 0);
        for index in (0..count).filter(|index| !lost.contains(index)) {
            add_times(&mut sum, columns.get(parity + index)?.as_deref()?, factor(*row, index, count));
        }
        sums.push(sum);
        matrix.push(lost.iter().map(|index| factor(*row, *index, count)).collect());
    }
    for pivot in 0..lost.len() {
        let from = (pivot..lost.len()).find(|row| matrix[*row][pivot] != 0)?;
        matrix.swap(pivot, from);
        sums.swap(pivot, from);
        let scale = inverse(matrix[pivot][pivot]);
        matrix[pivot].iter_mut().for_each(|cell| *cell = times(*cell, scale));
        let mut scaled = vec![0; length];
        add_times(&mut scaled, &sums[pivot], scale);
        sums[pivot] = scaled;
        for row in (0..lost.len()).filter(|row| *row != pivot) {
            let factor = matrix[row][pivot];
            let (own_row, own_sum) = (matrix[pivot].clone(), sums[pivot].clone());
            add_times(&mut matrix[row], &own_row, factor);
            add_times(&mut sums[row], &own_sum, factor);
        }
    }
    Some(sums)
}

/// All sets of `size` of the numbers, as far as they are not too many.
fn sets(numbers: &[usize], size: usize) -> Vec<Vec<usize>> {
    let mut sets = vec![vec![]];
    for _ in 0..size {
        sets = sets
            .into_iter()
            .flat_map(|set: Vec<usize>| {
                let later = set.last().map_or(0, |last| last + 1);
                numbers
                    .iter()
                    .filter(move |number| **number >= later)
                    .map(move |number| [set.as_slice(), &[*number]].concat())
            })
            .take(GUESSES_MOST)
            .collect();
    }
    sets
}

/// The bytes of a block from its columns, parity first, none where one is missing. Columns that are there may still be wrong:
/// more and more of them are taken to be, until `good` says yes.
pub fn assemble(
    columns: &[Option<Vec<u8>>],
    lengths: &[usize],
    parity: usize,
    good: &dyn Fn(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let count = columns.len().checked_sub(parity)?;
    let length = lengths.iter().copied().max().unwrap_or(0);
    let missing: Vec<usize> =
        (0..count).filter(|index| columns.get(parity + index).is_none_or(Option::is_none)).collect();
    let rows: Vec<usize> = (0..parity).filter(|row| columns.get(*row).is_some_and(Option::is_some)).collect();
    let others: Vec<usize> = (0..count).filter(|index| !missing.contains(index)).collect();
    let work = lengths.iter().sum::<usize>().max(1);
    let most = (WORK_MOST / work).clamp(16, GUESSES_MOST);
    let mut guesses = 0;
    for more in 0..=rows.len().checked_sub(missing.len())? {
        for set in sets(&others, more) {
            let mut lost = [missing.as_slice(), &set].concat();
            lost.sort_unstable();
            for chosen in sets(&rows, lost.len()) {
                guesses += 1;
                if guesses > most {
                    return None;
                }
                let Some(solved) = solve(columns, (parity, &lost, &chosen), length) else { continue };
                let mut bytes = Vec::new();
                for index in 0..count {
                    let own = lengths.get(parity + index).copied().unwrap_or(0);
                    let column = match lost.iter().position(|number| *number == index) {
                        Some(place) => solved.get(place)?,
                        None => columns.get(parity + index)?.as_ref()?,
                    };
                    bytes.extend_from_slice(crate::bytes::part(column, 0, own));
                }
                if good(&bytes) {
                    return Some(bytes);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use wherry_sdk::testing::noise;

    /// Every set of lost columns that parity can make up for, also where nobody says which are wrong.
    #[test]
    fn lost_columns_come_back() {
        for parity in 1..=3 {
            let shape = Shape { children: 6, parity, ashift: 9 };
            let columns = shape.columns(512 * 7, 512 * 8).unwrap();
            let data = noise(parity as u64, 512 * 8);
            let lengths: Vec<usize> = columns.iter().map(|column| column.length).collect();
            let mut all: Vec<Vec<u8>> = lengths.iter().take(parity).map(|length| vec![0; *length]).collect();
            let mut at = 0;
            for length in lengths.iter().skip(parity) {
                all.push(data[at..at + length].to_vec());
                at += length;
            }
            let count = all.len() - parity;
            for row in 0..parity {
                for index in 0..count {
                    let column = all[parity + index].clone();
                    add_times(&mut all[row], &column, factor(row, index, count));
                }
            }
            let numbers: Vec<usize> = (0..all.len()).collect();
            for lost in (0..=parity).flat_map(|size| sets(&numbers, size)) {
                let held: Vec<Option<Vec<u8>>> =
                    all.iter().enumerate().map(|(n, c)| (!lost.contains(&n)).then(|| c.clone())).collect();
                assert_eq!(assemble(&held, &lengths, parity, &|_| true), Some(data.clone()), "{lost:?}");
                let mut wrong: Vec<Option<Vec<u8>>> = all.iter().cloned().map(Some).collect();
                for number in &lost {
                    wrong[*number].as_mut().unwrap()[3] ^= 0x55;
                }
                let right = |bytes: &[u8]| bytes == data;
                assert_eq!(assemble(&wrong, &lengths, parity, &right), Some(data.clone()), "{lost:?}");
            }
        }
    }
}
