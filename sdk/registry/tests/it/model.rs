//! Random edits against a model, against hivex and against reglookup (Debian's package of that name).

use crate::checker::{Writer, assert_sound};
use crate::hives::{dump, exported, looked_up, merged};
use std::collections::BTreeMap;
use wherry_registry::{Hive, Kind, Name};
use wherry_sdk::testing::Random;

#[derive(Clone, Default)]
struct Key {
    /// The name as it was first written.
    name: String,
    class: Vec<u8>,
    values: BTreeMap<Name, (String, Kind, Vec<u8>)>,
}

/// What the hive should hold, by names in any case.
#[derive(Clone)]
struct Model(BTreeMap<Vec<Name>, Key>);

fn names(path: &[String]) -> Vec<Name> {
    path.iter().map(|name| Name::from(name.as_str())).collect()
}

impl Model {
    fn new() -> Self {
        Self(BTreeMap::from([(Vec::new(), Key::default())]))
    }

    fn make(&mut self, path: &[String]) -> &mut Key {
        for length in 1..path.len() {
            let key = || Key { name: path[length - 1].clone(), ..Key::default() };
            self.0.entry(names(&path[..length])).or_insert_with(key);
        }
        let key = || Key { name: path.last().cloned().unwrap_or_default(), ..Key::default() };
        self.0.entry(names(path)).or_insert_with(key)
    }

    fn remove(&mut self, path: &[String]) -> bool {
        let path = names(path);
        let before = self.0.len();
        self.0.retain(|key, _| !key.starts_with(&path));
        self.0.len() < before
    }

    /// The path of a key as it is stored.
    fn path(&self, key: &[Name]) -> String {
        (1..=key.len()).map(|length| format!("\\{}", self.0[&key[..length]].name)).collect()
    }

    /// The lines that `dump` makes.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (names, key) in &self.0 {
            let path = self.path(names);
            lines.push(format!("{path} class {:?}", key.class));
            lines.extend(
                key.values.values().map(|(name, kind, data)| format!("{path} `{name}` {kind:?} {data:?}")),
            );
        }
        lines.sort();
        lines
    }
}

const NAMES: [&str; 14] = [
    "Services",
    "SERVICES",
    "ControlSet001",
    "a",
    "B",
    "Größe",
    "GRÖßE",
    "日本語",
    "key with spaces",
    "{4d36e967-e325}",
    "_",
    "Z",
    "ÿþ",
    "x.y",
];

fn name(random: &mut Random) -> String {
    match random.below(10) {
        0 => format!("{}{}", "long ".repeat(random.below(50) as usize), random.below(5)),
        1..=4 => format!("K{}", random.below(40)),
        _ => NAMES[random.below(NAMES.len() as u64) as usize].into(),
    }
}

fn path(random: &mut Random) -> Vec<String> {
    (0..random.below(4)).map(|_| name(random)).collect()
}

fn content(random: &mut Random, minor: u32) -> (Kind, Vec<u8>) {
    let length = match random.below(20) {
        0 => [16_343, 16_344, 16_345, 32_688, 32_689][random.below(5) as usize],
        1 => random.below(if minor < 4 { 20_000 } else { 60_000 }),
        2..=6 => random.below(9),
        _ => random.below(300),
    };
    let kinds = [Kind::NONE, Kind::SZ, Kind::BINARY, Kind::MULTI_SZ, Kind::QWORD, Kind(0x100)];
    match random.below(4) {
        0 => (Kind::DWORD, random.next_u64().to_le_bytes()[..4].to_vec()),
        1 => (Kind::SZ, wherry_registry::data::sz(&name(random))),
        _ => (kinds[random.below(6) as usize], (0..length).map(|_| random.next_u64() as u8).collect()),
    }
}

/// One edit of both; how many it was.
fn edit(hive: &mut Hive<Vec<u8>>, model: &mut Model, random: &mut Random) -> usize {
    let (path, value) = (path(random), name(random));
    let value = if random.below(8) == 0 { String::new() } else { value };
    let joined = path.join("\\");
    match random.below(40) {
        0..=19 => {
            let (kind, data) = content(random, hive.minor());
            hive.set(&joined, &value, kind, &data).unwrap();
            let known = model.make(&path).values.entry(Name::from(value.as_str())).or_insert((
                value,
                kind,
                Vec::new(),
            ));
            (known.1, known.2) = (kind, data);
        }
        20..=25 => {
            let there =
                model.0.get_mut(&names(&path)).and_then(|key| key.values.remove(&Name::from(value.as_str())));
            assert_eq!(hive.unset(&joined, &value).unwrap(), there.is_some());
        }
        26..=31 => {
            hive.make(&joined).unwrap();
            model.make(&path);
        }
        32..=35 if !path.is_empty() => assert_eq!(hive.remove(&joined).unwrap(), model.remove(&path)),
        36 => {
            let class: Vec<u8> = (0..random.below(30)).map(|n| n as u8).collect();
            hive.set_class(&joined, &class).unwrap();
            model.make(&path).class = class;
        }
        37 if random.below(20) == 0 => {
            let count = 400 + random.below(900);
            for number in 0..count {
                let path = [&path[..], &[format!("Many{:04}", number * 7919 % count)]].concat();
                hive.make(&path.join("\\")).unwrap();
                model.make(&path);
            }
            return count as usize;
        }
        // What is there already.
        _ => {
            let Some((path, key)) = model.0.iter().find(|(_, key)| !key.values.is_empty()) else { return 0 };
            let path = model.path(path);
            for (name, kind, data) in key.values.values() {
                hive.set(&path, name, *kind, data).unwrap();
            }
        }
    }
    1
}

/// Fails at the first line that differs.
fn same(lines: &[String], expected: &[String]) {
    let short = |line: &String| line.chars().take(300).collect::<String>();
    for (line, expected) in lines.iter().zip(expected) {
        let at = line.bytes().zip(expected.bytes()).take_while(|(one, two)| one == two).count();
        let lengths = (line.len(), expected.len());
        assert!(
            line == expected,
            "{}\nin place of\n{}\nfrom {at} of {lengths:?}",
            short(line),
            short(expected)
        );
    }
    assert_eq!(lines.len(), expected.len());
}

/// Some edits with all checks after them; how many there were, and what the hive is then.
fn round(file: Vec<u8>, model: &mut Model, random: &mut Random, writer: Writer) -> (usize, Vec<u8>) {
    let mut hive = Hive::open(file.clone(), &[]).unwrap();
    hive.set_time(0x01dc_0000_0000_0000 + random.below(1 << 30));
    let (mut file, mut edits) = (file, 0);
    for _ in 0..5 {
        for _ in 0..25 {
            edits += edit(&mut hive, model, random);
        }
        let taken = hive.take("HKEY_LOCAL_MACHINE").unwrap();
        file.resize(taken.length as usize, 0xa5);
        for patch in taken.patches {
            file[patch.offset as usize..][..patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        assert!(file == hive.bytes().unwrap(), "the patches do not make the hive");
        assert_sound(&file, writer);
    }
    same(&dump(&mut Hive::open(file.clone(), &[]).unwrap()).unwrap(), &model.lines());
    let without_class: Vec<String> =
        model.lines().into_iter().filter(|line| !line.contains(" class [")).collect();
    let (keys, lines) = exported(&file);
    same(&lines, &without_class);
    assert_eq!(keys, model.0.len());
    let values: usize = model.0.values().map(|key| key.values.len()).sum();
    assert_eq!(looked_up(&file), (model.0.len(), values));
    (edits, file)
}

#[test]
fn random_edits_do_what_a_model_does_and_others_read_them() {
    let mut edits = 0;
    for seed in 0..23 {
        let mut random = Random::new(seed);
        let (minor, mut model) = (2 + (seed % 5) as u32, Model::new());
        let file = Hive::empty(minor).unwrap().bytes().unwrap();
        let (done, file) = round(file, &mut model, &mut random, Writer::Ours);
        edits += done;
        // hivex goes on with it, and we after hivex.
        let text = format!(
            "[HKEY_LOCAL_MACHINE\\hivex\\{seed}]\n\"Number\"=dword:{seed:08x}\n[HKEY_LOCAL_MACHINE\\a]\n\"hivex\"=hex:01,02,03,04,05\n"
        );
        let file = merged(&file, &text);
        let number = ("Number".into(), Kind::DWORD, (seed as u32).to_le_bytes().to_vec());
        let path = |path: &[&str]| path.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        model.make(&path(&["hivex", &seed.to_string()])).values.insert(Name::from("Number"), number);
        let values = &mut model.make(&path(&["a"])).values;
        // Where a key is set, hivex sets values in it and keeps the others.
        values.insert(Name::from("hivex"), ("hivex".into(), Kind::BINARY, vec![1, 2, 3, 4, 5]));
        edits += round(file, &mut model, &mut random, Writer::Mixed).0;
    }
    assert!(edits > 5000, "{edits} edits");
    println!("{edits} edits");
}
