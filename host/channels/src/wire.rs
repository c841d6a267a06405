//! The specification's numbers, and how its fields are read.

use std::io::{self, Read};

// Handshake.
pub const NBD_MAGIC: u64 = 0x4e42_444d_4147_4943;
pub const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
pub const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
pub const FIXED_NEWSTYLE: u16 = 1;
pub const NO_ZEROES: u16 = 2;

// Options.
pub const EXPORT_NAME: u32 = 1;
pub const ABORT: u32 = 2;
pub const LIST: u32 = 3;
pub const STARTTLS: u32 = 5;
pub const INFO: u32 = 6;
pub const GO: u32 = 7;
pub const STRUCTURED_REPLY: u32 = 8;
pub const LIST_META_CONTEXT: u32 = 9;
pub const SET_META_CONTEXT: u32 = 10;

// Option replies.
pub const REPLY_ACK: u32 = 1;
pub const REPLY_SERVER: u32 = 2;
pub const REPLY_INFO: u32 = 3;
pub const REPLY_META_CONTEXT: u32 = 4;
pub const REPLY_ERROR: u32 = 1 << 31;
pub const REPLY_UNSUPPORTED: u32 = REPLY_ERROR + 1;
pub const REPLY_INVALID: u32 = REPLY_ERROR + 3;
pub const REPLY_TLS_REQUIRED: u32 = REPLY_ERROR + 5;
pub const REPLY_UNKNOWN: u32 = REPLY_ERROR + 6;

// Information about an export.
pub const INFO_EXPORT: u16 = 0;
pub const INFO_BLOCK_SIZE: u16 = 3;

// Transmission flags.
pub const HAS_FLAGS: u16 = 1;
pub const READ_ONLY: u16 = 1 << 1;
pub const SEND_FLUSH: u16 = 1 << 2;
pub const SEND_FUA: u16 = 1 << 3;
pub const SEND_WRITE_ZEROES: u16 = 1 << 6;
pub const SEND_DF: u16 = 1 << 7;
pub const CAN_MULTI_CONN: u16 = 1 << 8;

// Requests.
pub const REQUEST_MAGIC: u32 = 0x2560_9513;
pub const READ: u16 = 0;
pub const WRITE: u16 = 1;
pub const DISCONNECT: u16 = 2;
pub const FLUSH: u16 = 3;
pub const WRITE_ZEROES: u16 = 6;
pub const BLOCK_STATUS: u16 = 7;
pub const FLAG_FUA: u16 = 1;
pub const FLAG_REQUEST_ONE: u16 = 1 << 3;

// Replies.
pub const SIMPLE_MAGIC: u32 = 0x6744_6698;
pub const STRUCTURED_MAGIC: u32 = 0x668e_33ef;
pub const CHUNK_DONE: u16 = 1;
pub const CHUNK_NONE: u16 = 0;
pub const CHUNK_DATA: u16 = 1;
pub const CHUNK_HOLE: u16 = 2;
pub const CHUNK_STATUS: u16 = 5;
pub const CHUNK_ERROR: u16 = 1 << 15;
pub const CHUNK_ERROR_PLAIN: u16 = CHUNK_ERROR + 1;

// The one metadata context that everybody has.
pub const ALLOCATION: &str = "base:allocation";
/// qemu's context of one dirty bitmap (`docs/interop/nbd.txt` of qemu): the bitmap's name follows.
pub const DIRTY_BITMAP: &str = "qemu:dirty-bitmap:";
pub const STATE_DIRTY: u32 = 1;
pub const STATE_HOLE: u32 = 1;
pub const STATE_ZERO: u32 = 2;

// Errors.
pub const EPERM: u32 = 1;
pub const EIO: u32 = 5;
pub const EINVAL: u32 = 22;
pub const ENOSPC: u32 = 28;
pub const ENOTSUP: u32 = 95;

/// Larger payloads need not be taken by either side.
pub const PAYLOAD_MOST: u32 = 32 << 20;
/// Longer options and names are nonsense.
pub const OPTION_MOST: u32 = 64 << 10;

/// Reads big-endian fields.
pub trait Fields: Read {
    fn u16(&mut self) -> io::Result<u16> {
        let mut bytes = [0; 2];
        self.read_exact(&mut bytes)?;
        Ok(u16::from_be_bytes(bytes))
    }
    fn u32(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.read_exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }
    fn u64(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.read_exact(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }
    /// `length` bytes, which are at most `most`.
    fn bytes(&mut self, length: u32, most: u32) -> io::Result<Vec<u8>> {
        if length > most {
            return Err(wrong(format!("{length} bytes where at most {most} make sense")));
        }
        let mut bytes = vec![0; length as usize];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl<R: Read + ?Sized> Fields for R {}

/// The other side broke the protocol.
pub fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}
