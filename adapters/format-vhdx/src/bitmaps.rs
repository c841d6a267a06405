//! Sector bitmaps (2.4): a set bit is the file's, a clear one the parent's; the lowest bit of a byte comes first.

/// Runs of sectors from bit `first` on: first, number, and whether they are stored.
pub(crate) struct Runs<'a> {
    bits: &'a [u8],
    next: u64,
}

impl<'a> Runs<'a> {
    pub(crate) fn new(bits: &'a [u8], first: u64) -> Self {
        Self { bits, next: first }
    }

    fn bit(&self, number: u64) -> Option<bool> {
        self.bits.get((number / 8) as usize).map(|byte| byte >> (number % 8) & 1 == 1)
    }
}

impl Iterator for Runs<'_> {
    type Item = (u64, u64, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.next;
        let stored = self.bit(first)?;
        let whole = if stored { 0xff } else { 0 };
        loop {
            // Whole bytes at once: a bitmap of a block has up to 64 KiB.
            let byte = self.next.is_multiple_of(8).then(|| self.bits.get((self.next / 8) as usize).copied());
            self.next += match byte.flatten() {
                Some(byte) if byte == whole => 8,
                _ if self.bit(self.next) == Some(stored) => 1,
                _ => return Some((first, self.next - first, stored)),
            };
        }
    }
}
