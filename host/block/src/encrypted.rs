//! The plain text of an encrypted disk: reading decrypts, writing encrypts.

use crate::aes::SectorCipher;
use crate::{Disk, Error, Result, within};
use std::sync::{Arc, Mutex};

/// Bytes that are taken at once.
const PIECE: usize = 1 << 20;

/// A disk under a cipher. What is written goes encrypted to the disk below.
pub struct Encrypted {
    under: Arc<dyn Disk>,
    cipher: SectorCipher,
    /// What the first sector's vector counts from, in units of 512 bytes.
    first: u64,
    /// Parts of sectors are read, changed and written as one.
    writing: Mutex<()>,
}

impl Encrypted {
    /// The disk's length has to be whole sectors of the cipher; `first` is the first sector's number in units of 512 bytes.
    pub fn new(under: Arc<dyn Disk>, cipher: SectorCipher, first: u64) -> Result<Self> {
        if !under.length().is_multiple_of(cipher.sector() as u64) {
            let message = format!("{} bytes are no whole sectors of {}", under.length(), cipher.sector());
            return Err(Error::new(message));
        }
        Ok(Self { under, cipher, first, writing: Mutex::new(()) })
    }

    /// Calls `each` with pieces of a range: the whole sectors they lie in (start, bytes), and where the piece is in them and in the range.
    fn pieces(&self, offset: u64, length: usize, mut each: impl FnMut(Piece) -> Result<()>) -> Result<()> {
        within(self.under.length(), offset, length)?;
        let sector = self.cipher.sector();
        let mut done = 0;
        while done < length {
            let at = offset + done as u64;
            let lead = (at % sector as u64) as usize;
            let take = (length - done).min(PIECE - lead);
            let whole = (lead + take).next_multiple_of(sector);
            each(Piece { start: at - lead as u64, whole, lead, done, take })?;
            done += take;
        }
        Ok(())
    }

    fn number(&self, start: u64) -> u64 {
        self.first.wrapping_add(start / 512)
    }

    fn plain(&self, start: u64, bytes: &mut [u8]) -> Result<()> {
        self.under.read_at(start, bytes)?;
        self.cipher.decrypt(self.number(start), bytes);
        Ok(())
    }
}

/// A part of a range in the sectors that it lies in.
struct Piece {
    start: u64,
    whole: usize,
    lead: usize,
    done: usize,
    take: usize,
}

impl Disk for Encrypted {
    fn length(&self) -> u64 {
        self.under.length()
    }
    fn sector_size(&self) -> u32 {
        self.under.sector_size().max(self.cipher.sector() as u32)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.pieces(offset, buffer.len(), |piece| {
            let mut bytes = vec![0; piece.whole];
            self.plain(piece.start, &mut bytes)?;
            let taken = &bytes[piece.lead..][..piece.take];
            buffer[piece.done..][..piece.take].copy_from_slice(taken);
            Ok(())
        })
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let _alone = self.writing.lock().map_err(|_| Error::new("a thread panicked while it wrote here"))?;
        self.pieces(offset, bytes.len(), |piece| {
            let mut sectors = vec![0; piece.whole];
            if piece.whole != piece.take {
                self.plain(piece.start, &mut sectors)?;
            }
            sectors[piece.lead..][..piece.take].copy_from_slice(&bytes[piece.done..][..piece.take]);
            self.cipher.encrypt(self.number(piece.start), &mut sectors);
            self.under.write_at(piece.start, &sectors)
        })
    }
    fn flush(&self) -> Result<()> {
        self.under.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDisk;

    #[test]
    fn writes_of_any_size_are_read_again_and_are_not_plain_below() {
        for (name, key, sector) in [
            ("aes-xts-plain64", 64, 512),
            ("aes-xts-plain64", 32, 4096),
            ("aes-cbc-essiv:sha256", 32, 512),
            ("aes-cbc-plain", 16, 512),
        ] {
            let key: Vec<u8> = (0..key).collect();
            let under = Arc::new(MemoryDisk::new(vec![0; 1 << 21]));
            let cipher = SectorCipher::new(name, &key, sector).unwrap();
            let disk = Encrypted::new(under.clone(), cipher, 7).unwrap();
            let mut model = vec![0; 1 << 21];
            disk.write_at(0, &model).unwrap();
            for (offset, length) in
                [(0, 1), (511, 2), (4095, 4098), (1_000_001, 1_048_570), ((1 << 21) - 3, 3)]
            {
                let bytes: Vec<u8> = (0..length).map(|at: usize| (at % 251) as u8 + 1).collect();
                disk.write_at(offset as u64, &bytes).unwrap();
                model[offset..][..length].copy_from_slice(&bytes);
            }
            let mut read = vec![0; 1 << 21];
            disk.read_at(0, &mut read).unwrap();
            assert!(read == model, "{name}");
            let mut below = vec![0; 1 << 21];
            under.read_at(0, &mut below).unwrap();
            assert!(below.chunks(16).zip(model.chunks(16)).all(|(one, other)| one != other), "{name}");
            assert!(disk.read_at(1 << 21, &mut [0]).is_err());
        }
        let odd = Arc::new(MemoryDisk::new(vec![0; 5000]));
        assert!(
            Encrypted::new(odd, SectorCipher::new("aes-xts-plain64", &[0; 64], 512).unwrap(), 0).is_err()
        );
    }
}
