//! What XPRESS and LZX have in common: bits in 16-bit words, prefix codes, and copies of what was unpacked before.

/// Bits of the longest code.
const LENGTH_MOST: usize = 16;
/// Bits that the first table resolves; longer codes take one more look.
const FIRST: usize = 10;
/// Entries of a further table.
const FURTHER: usize = 1 << (LENGTH_MOST - FIRST);
/// In place of a length: the entry is the number of a further table.
const LINK: u16 = 31;

/// Bits from little-endian words of 16 bits, each from its top; zero behind the end.
pub struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, from the top.
    buffer: u64,
    count: u32,
    /// Bits that were made up behind the end.
    missing: u32,
}

impl<'a> Bits<'a> {
    /// All bits of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, buffer: 0, count: 0, missing: 0 }
    }

    #[inline]
    fn word(&mut self) {
        let word = match self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            Some(word) => u16::from_le_bytes(*word),
            None => {
                self.missing = self.missing.saturating_add(16);
                0
            }
        };
        self.buffer |= u64::from(word) << (48 - self.count);
        self.count += 16;
        self.at += 2;
    }

    /// At least 16 bits are there, and no word is read too early.
    #[inline]
    pub fn need(&mut self) {
        if self.count < 16 {
            self.word();
        }
    }

    /// At least 49 bits are there.
    #[inline]
    pub fn fill(&mut self) {
        while self.count <= 48 {
            self.word();
        }
    }

    /// The next 16 bits, of which [`Bits::need`] made sure.
    #[inline]
    fn peek(&self) -> usize {
        (self.buffer >> 48) as usize
    }

    #[inline]
    fn skip(&mut self, count: u32) {
        self.buffer <<= count;
        self.count = self.count.saturating_sub(count);
    }

    /// The next `count` bits, at most 16, which are there.
    #[inline]
    pub fn take(&mut self, count: u32) -> u32 {
        let bits = (self.buffer >> 32) as u32;
        self.skip(count);
        bits.checked_shr(32 - count).unwrap_or(0)
    }

    /// The next `count` bits, at most 16.
    pub fn read(&mut self, count: u32) -> u32 {
        self.need();
        self.take(count)
    }

    /// The next symbol of `code`, whose bits are there; none where there is no such code.
    #[inline]
    pub fn symbol(&mut self, code: &Code) -> Option<usize> {
        let (symbol, length) = code.find(self.peek());
        self.skip(length);
        (length > 0).then_some(symbol)
    }

    /// `length` whole bytes behind the words that were read.
    #[inline]
    pub fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(bytes)
    }

    /// Goes on at the next word, which never is the present one ([MS-PATCH] 2.3.2.1); bytes can be read then.
    pub fn align(&mut self) {
        self.need();
        let whole = (self.count / 16) as usize - usize::from(self.count.is_multiple_of(16));
        self.at = self.at.saturating_sub(whole * 2);
        (self.buffer, self.count, self.missing) = (0, 0, 0);
    }

    /// Whether more bits were taken than there are.
    pub fn overrun(&self) -> bool {
        self.count < self.missing
    }
}

/// A canonical prefix code: shorter codes come first, codes of the same length by their symbols.
pub struct Code {
    /// Length in 5 bits, symbol above.
    table: Vec<u16>,
}

impl Code {
    /// A code without symbols.
    pub fn new() -> Self {
        Self { table: vec![0; 1 << FIRST] }
    }

    /// Takes a code of at most 512 symbols from their lengths, at most 16 each; 0: no code. False: more codes than there
    /// can be. A code may lack some.
    #[must_use]
    pub fn assign(&mut self, lengths: &[u8]) -> bool {
        let mut counts = [0u32; LENGTH_MOST + 1];
        for length in lengths {
            let Some(count) = counts.get_mut(usize::from(*length)) else { return false };
            *count += 1;
        }
        // Codes have 16 bits here, with zeroes behind them.
        let (mut next, mut start) = ([0u32; LENGTH_MOST + 1], 0);
        for ((next, count), length) in next.iter_mut().zip(counts).zip(0..).skip(1) {
            *next = start;
            start += count << (LENGTH_MOST - length);
        }
        if start > 1 << LENGTH_MOST {
            return false;
        }
        self.table.clear();
        self.table.resize(1 << FIRST, 0);
        for (length, symbol) in lengths.iter().zip(0u16..).filter(|(length, _)| **length > 0) {
            let length = usize::from(*length);
            let Some(next) = next.get_mut(length) else { return false };
            let code = *next as usize;
            *next += 1 << (LENGTH_MOST - length);
            self.enter(code, length, symbol << 5 | length as u16);
        }
        true
    }

    fn enter(&mut self, code: usize, length: usize, entry: u16) {
        let (prefix, rest) = (code / FURTHER, code % FURTHER);
        let (start, count) = match FIRST.checked_sub(length) {
            Some(free) => (prefix, 1 << free),
            None => (self.further(prefix) + rest, 1 << (LENGTH_MOST - length)),
        };
        if let Some(place) = self.table.get_mut(start..start + count) {
            place.fill(entry);
        }
    }

    /// Where the further table of a prefix starts; it is made when it is first asked for.
    fn further(&mut self, prefix: usize) -> usize {
        let end = self.table.len();
        let number = (end - (1 << FIRST)) / FURTHER;
        match self.table.get_mut(prefix) {
            Some(entry) if *entry & LINK == LINK => (1 << FIRST) + usize::from(*entry >> 5) * FURTHER,
            Some(entry) => {
                *entry = (number as u16) << 5 | LINK;
                self.table.resize(end + FURTHER, 0);
                end
            }
            None => end,
        }
    }

    /// The symbol at the top of 16 bits, and its length, which is 0 where there is none.
    #[inline]
    fn find(&self, bits: usize) -> (usize, u32) {
        let entry = |at: usize| self.table.get(at).copied().unwrap_or(0);
        let mut found = entry(bits / FURTHER);
        if found & LINK == LINK {
            found = entry((1 << FIRST) + usize::from(found >> 5) * FURTHER + bits % FURTHER);
        }
        (usize::from(found >> 5), u32::from(found & LINK))
    }
}

/// Copies `length` bytes from `offset` bytes before `at` to `at`; what is copied may overlap. None where that leaves `out`.
#[inline]
pub fn copy(out: &mut [u8], at: usize, offset: usize, length: usize) -> Option<()> {
    let (done, room) = out.split_at_mut_checked(at)?;
    let source = done.get(at.checked_sub(offset)?..)?;
    let target = room.get_mut(..length)?;
    match source.get(..length) {
        Some(source) => target.copy_from_slice(source),
        None if source.is_empty() => return None,
        None => {
            for piece in target.chunks_mut(source.len()) {
                piece.copy_from_slice(source.get(..piece.len())?);
            }
        }
    }
    Some(())
}
