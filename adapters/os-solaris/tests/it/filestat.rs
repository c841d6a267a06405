//! Lists of an archive's states, packed here after the description in nvpair.c, and what is found in them.

use os_solaris::filestat::{State, find};

/// A number of 4 bytes as XDR has it.
fn word(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// The pair of a name and numbers: its length here, in memory (a structure of 16 bytes and the name, then the numbers, each
/// rounded up to 8), the name with its length, the type, how many numbers, and these with their number.
pub fn pair(name: &str, kind: u32, numbers: &[u64]) -> Vec<u8> {
    let mut rest = word(name.len() as u32);
    rest.extend(name.bytes());
    while !rest.len().is_multiple_of(4) {
        rest.push(0);
    }
    rest.extend(word(kind));
    rest.extend(word(numbers.len() as u32));
    rest.extend(word(numbers.len() as u32));
    numbers.iter().for_each(|number| rest.extend(number.to_be_bytes()));
    let memory = (16 + name.len() + 1).div_ceil(8) * 8 + numbers.len() * 8;
    [word(rest.len() as u32 + 8), word(memory as u32), rest].concat()
}

/// A list of pairs: encoding 1, of a machine with the least significant byte first, version 0, names that are unique.
pub fn pack(pairs: &[Vec<u8>]) -> Vec<u8> {
    let mut list = vec![1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    pairs.iter().for_each(|pair| list.extend(pair));
    list.extend([0; 8]);
    list
}

/// A list of names, sizes and times as bootadm writes it.
pub fn list(files: &[(&str, u64, i64)]) -> Vec<u8> {
    let pairs: Vec<Vec<u8>> =
        files.iter().map(|(name, size, time)| pair(name, 16, &[*size, time.cast_unsigned()])).collect();
    pack(&pairs)
}

const FILES: &[(&str, u64, i64)] = &[
    ("boot/solaris/bootenv.rc", 1000, 1_136_073_600),
    ("etc/driver_aliases", 12_345, 1_136_073_601),
    ("etc/system", u64::MAX, -1),
    ("kernel", 512, 0),
];

#[test]
fn every_file_is_found_where_it_is() {
    let bytes = list(FILES);
    for (name, size, mtime) in FILES {
        let found = find(&bytes, name).unwrap().unwrap();
        assert_eq!((found.size, found.mtime), (*size, *mtime), "{name}");
        assert_eq!(bytes[found.at..found.at + 8], size.to_be_bytes());
    }
    assert_eq!(find(&bytes, "etc/driver").unwrap(), None);
    assert_eq!(find(&pack(&[]), "etc/system").unwrap(), None);
    // the whole, byte by byte
    let one = list(&[("abc", 0x0102, 0x0304)]);
    let expected = [
        1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // head, version, flags
        0, 0, 0, 44, 0, 0, 0, 40, // lengths
        0, 0, 0, 3, b'a', b'b', b'c', 0, // name
        0, 0, 0, 16, 0, 0, 0, 2, 0, 0, 0, 2, // type, elements, elements again
        0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 3, 4, // size, time
        0, 0, 0, 0, 0, 0, 0, 0, // end
    ];
    assert_eq!(one, expected);
    assert_eq!(find(&one, "abc").unwrap(), Some(State { at: 40, size: 0x0102, mtime: 0x0304 }));
}

#[test]
fn a_new_size_is_the_size_of_a_new_list() {
    let mut bytes = list(&[("a", 1, 2), ("etc/driver_aliases", 3, 4), ("z", 5, 6)]);
    let at = find(&bytes, "etc/driver_aliases").unwrap().unwrap().at;
    bytes[at..at + 8].copy_from_slice(&99_u64.to_be_bytes());
    assert_eq!(bytes, list(&[("a", 1, 2), ("etc/driver_aliases", 99, 4), ("z", 5, 6)]));
}

#[test]
fn lists_that_bootadm_does_not_write_are_refused() {
    let good = list(FILES);
    let changed = |at: usize, bytes: &[u8]| {
        let mut list = good.clone();
        list[at..at + bytes.len()].copy_from_slice(bytes);
        list
    };
    for (bytes, why) in [
        (changed(0, &[0]), "is not packed as XDR"),
        (changed(7, &[1]), "is of another version than 0"),
        (list(&[("etc/system", 1, 1), ("etc/system", 1, 1)]), "names etc/system twice"),
        (pack(&[pair("etc/system", 16, &[1])]), "another length"),
        (pack(&[pair("etc/system", 16, &[1, 2, 3])]), "another length"),
        (pack(&[pair("etc/system", 15, &[1, 2])]), "not a size and a time"),
        // a length of nothing, of less, of a little more, and of everything
        (changed(12, &word(0)), "another length"),
        (changed(12, &word(4)), "another length"),
        (changed(12, &word(68)), "another length"),
        (changed(12, &word(u32::MAX)), "another length"),
        (changed(16, &word(0)), "another length"),
        // names
        (changed(20, &word(u32::MAX)), "another length"),
        (changed(20, &word(0)), "another length"),
        // numbers of elements
        (changed(52, &word(u32::MAX)), "not a size and a time"),
        (changed(56, &word(u32::MAX)), "not a size and a time"),
    ] {
        let error = find(&bytes, "etc/system").unwrap_err();
        assert!(error.message.contains(why), "{} is not {why}", error.message);
    }
    for length in 0..good.len() {
        assert!(find(&good[..length], "etc/driver_aliases").is_err(), "{length}");
    }
}
