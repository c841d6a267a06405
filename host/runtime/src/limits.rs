//! What one adapter may use up, and the count of what it has used.

/// The sandbox's limits. Each has a reason and an override.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Linear memory in bytes: maps and bitmaps of a 16 TiB disk fit.
    pub memory: usize,
    /// Elements of one table.
    pub tables: usize,
    /// Core instances in one component.
    pub instances: usize,
    /// Wall time of one call, in seconds.
    pub call_seconds: u64,
    /// Bytes one call of `blob.read` may ask for.
    pub read_per_call: u64,
    /// Bytes read in the life of one instance.
    pub read_in_all: u64,
    /// Bytes written into the overlay and the output directory in the life of one instance.
    pub written: u64,
    /// Bytes of log text in the life of one instance.
    pub log: u64,
    /// Bytes of one request's body: a script, a description of a machine.
    pub request: usize,
    /// Requests in the life of one instance: one that asks in circles ends.
    pub requests: u64,
    /// Bytes of strings and lists that an adapter hands over in one call, an initramfs segment included.
    pub handed: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            tables: 100_000,
            instances: 16,
            call_seconds: 60,
            read_per_call: 1 << 20,
            read_in_all: 4 << 30,
            written: 1 << 30,
            log: 1 << 20,
            request: 16 << 20,
            requests: 100_000,
            handed: 64 << 20,
        }
    }
}

/// What one instance has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Bytes read.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
    /// Bytes of log text.
    pub log: u64,
    /// Requests to servers.
    pub requests: u64,
}
