//! Every public call on bytes of any kind: reading, editing, boot configuration.

use wherry_registry::bcd::{Element, Store, element, object};
use wherry_registry::device::{Device, Partition};
use wherry_registry::{Hive, Key, Kind, data};
use wherry_sdk::Result;

/// Keys that are walked at most, so that circles end.
const KEYS: usize = 3000;

/// Paths of the keys, as far as they can be read.
fn paths(hive: &mut Hive<Vec<u8>>) -> Result<Vec<String>> {
    let mut pending: Vec<(String, Key)> = vec![(String::new(), hive.root()?)];
    let mut paths = Vec::new();
    while let Some((path, key)) = pending.pop() {
        if paths.len() > KEYS || path.len() > 2000 {
            return Err(wherry_sdk::Error::corrupt(0, "too deep, or too much"));
        }
        hive.class(&key)?;
        for value in hive.values(&key)? {
            let _bytes = (hive.data(&value)?, hive.value(&key, &value.name.to_string())?);
        }
        for next in hive.subkeys(&key)? {
            pending.push((format!("{path}\\{}", next.name), next));
        }
        paths.push(path);
    }
    Ok(paths)
}

/// Sets a value; where that goes well it is there.
fn set(hive: &mut Hive<Vec<u8>>, path: &str, bytes: &[u8]) -> Result<()> {
    hive.set(path, "Wherry", Kind::BINARY, bytes)?;
    let root = hive.root()?;
    // Lists that are not sorted hide keys.
    if let Some(key) = hive.find(&root, path)? {
        let value = hive.value(&key, "wherry")?.map(|value| hive.data(&value)).transpose()?;
        assert!(value.is_none_or(|value| value == bytes), "{path}: other bytes");
    }
    Ok(())
}

fn edit(hive: &mut Hive<Vec<u8>>, paths: &[String]) -> Result<()> {
    hive.set_time(0x01dc_0000_0000_0000);
    for path in paths.iter().step_by(paths.len() / 8 + 1) {
        set(hive, path, &[7; 3])?;
        set(hive, path, &[8; 100])?;
        set(hive, path, &vec![9; 40_000])?;
        for number in 0..4 {
            hive.make(&format!("{path}\\New{number}"))?;
        }
        hive.set_class(path, &data::sz("class"))?;
        hive.unset(path, "Wherry")?;
        hive.unset(path, "W")?;
    }
    for path in paths.iter().rev().step_by(paths.len() / 4 + 1) {
        if !path.is_empty() {
            hive.remove(path)?;
        }
    }
    Ok(())
}

fn configure(hive: &mut Hive<Vec<u8>>) -> Result<()> {
    let mut store = Store::open(hive)?;
    for object in store.objects()? {
        for (number, element) in store.elements(&object.id)? {
            if let Element::Device(device) = &element {
                assert_eq!(Device::from_bytes(device.bytes()), *device);
                let _known = (device.kind(), device.options());
            }
            store.set(&object.id, number, &element)?;
        }
    }
    let _known = (store.default_entry()?, store.display_order()?, store.loaders()?);
    let new = Partition::Mbr { signature: 7, offset: 1 << 20 };
    store.move_partitions(|old| (*old != new).then_some(new))?;
    store.set(&object::BOOTMGR, element::TIMEOUT, &Element::Integer(1))?;
    store.unset(&object::BOOTMGR, element::DEFAULT).map(drop)
}

/// Whether all of it could be read, and all of it edited. What is taken lies without a gap, and is a hive again.
pub fn exercise(bytes: &[u8]) -> (bool, bool) {
    let Ok(mut hive) = Hive::open(bytes.to_vec(), &[bytes.to_vec()]) else { return (false, false) };
    let _known = (hive.minor(), hive.applied());
    let read = paths(&mut hive);
    let untouched = hive.take("X");
    assert!(untouched.is_ok_and(|taken| taken.patches.is_empty()), "nothing was edited");
    let outcome = edit(&mut hive, read.as_deref().unwrap_or(&[String::new()]));
    let outcome =
        outcome.and_then(|()| if hive.minor() < 4 { configure(&mut hive).or(Ok(())) } else { Ok(()) });
    let Ok(taken) = hive.take(r"HKEY_LOCAL_MACHINE\SYSTEM") else { return (read.is_ok(), false) };
    let mut file = bytes.to_vec();
    for patch in &taken.patches {
        let (from, to) = (patch.offset as usize, patch.offset as usize + patch.bytes.len());
        assert!(from <= file.len() && to as u64 <= taken.length, "a gap, or behind the end");
        file.resize(file.len().max(to), 0);
        file[from..to].copy_from_slice(&patch.bytes);
    }
    assert_eq!(file.len() as u64, taken.length);
    if !taken.patches.is_empty() {
        assert!(Hive::open(file, &[]).is_ok(), "what was taken is no hive");
    }
    (read.is_ok(), outcome.is_ok())
}
