//! Replies of an NBD server, from its greeting on. The client is driven as it is, over a socket in the file system: what the
//! server says is there before it is asked.
#![no_main]

use block::Disk;
use channels::{Address, NbdDisk};
use libfuzzer_sys::fuzz_target;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Mutex, OnceLock};

/// So much fits into a socket at once, whether somebody reads or not.
const SAID_MOST: usize = 64 << 10;

/// What the server says to everybody, and its connections: they are kept until the client has ended.
static SERVER: Mutex<(Vec<u8>, Vec<UnixStream>)> = Mutex::new((Vec::new(), Vec::new()));

fn address() -> &'static Address {
    static ADDRESS: OnceLock<Address> = OnceLock::new();
    ADDRESS.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("wherry-fuzz-{}", std::process::id()));
        let _old = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut server = SERVER.lock().unwrap();
                let _said = stream.write_all(&server.0).and_then(|()| stream.shutdown(Shutdown::Write));
                server.1.push(stream);
            }
        });
        Address::parse(&format!("nbd+unix:///?socket={}&bitmap=b", path.display())).unwrap()
    })
}

fuzz_target!(|bytes: &[u8]| {
    let address = address();
    *SERVER.lock().unwrap() = (bytes[..bytes.len().min(SAID_MOST)].to_vec(), Vec::new());
    let Ok(disk) = NbdDisk::open(address) else { return };
    let length = disk.length().min(1 << 20);
    if let Ok(extents) = disk.extents(0, length) {
        assert_eq!(extents.iter().map(|extent| extent.length).sum::<u64>(), length);
        assert!(extents.windows(2).all(|pair| pair[0].offset + pair[0].length == pair[1].offset));
    }
    if let Ok(changed) = disk.changed(0, length) {
        assert!(changed.as_slice().iter().all(|range| range.start < range.end && range.end <= length));
    }
    let mut buffer = vec![0; length.min(5000) as usize];
    let _read = disk.read_at(length - buffer.len() as u64, &mut buffer);
    let _flushed = disk.flush();
});
