#[path = "../tests/it/checker.rs"]
mod checker;
#[path = "../tests/it/hives.rs"]
mod hives;
use checker::*;
use hives::*;
use wherry_registry::*;
use wherry_sdk::testing::Random;
fn main() {
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).unwrap();
        let logs: Vec<Vec<u8>> = ["LOG1", "LOG2", "log1", "log2"]
            .iter()
            .flat_map(|l| [format!("{path}.{l}"), path.replace("NTUSER.DAT", "ntuser.dat") + "." + l])
            .filter_map(|p| std::fs::read(p).ok())
            .collect();
        let name = path.rsplit('/').next().unwrap().to_string();
        let mut hive = match Hive::open(bytes.clone(), &logs) {
            Ok(h) => h,
            Err(e) => {
                println!("{name}: open: {}", e.message);
                // as hivex: force
                continue;
            }
        };
        let applied = hive.applied();
        let minor = hive.minor();
        let before = match dump(&mut hive) {
            Ok(d) => d,
            Err(e) => {
                println!("{name}: 1.{minor} dump: {}", e.message);
                continue;
            }
        };
        // touch, to have it sealed
        let r = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let t0 = std::time::Instant::now();
            hive.set_time(1 << 60);
            let mut random = Random::new(1);
            let mut keys = vec![String::new()];
            for l in &before {
                if let Some((k, _)) = l.split_once(" class ") {
                    if !k.contains('`') {
                        keys.push(k.to_string())
                    }
                }
            }
            let mut edits = 0;
            let mut touched = std::collections::BTreeSet::new();
            let mut fails = vec![];
            for n in 0..400u32 {
                let key = &keys[random.below(keys.len() as u64) as usize];
                let key = if n % 4 == 0 { format!("{key}\\Wherry {n}") } else { key.clone() };
                touched.insert(key.clone());
                let r = match n % 5 {
                    0 | 1 => hive.set(
                        &key,
                        &format!("Wherry{n}"),
                        Kind::BINARY,
                        &vec![n as u8; random.below(200) as usize],
                    ),
                    2 => hive.make(&format!("{key}\\New{n}")).map(drop),
                    3 => hive.set(&key, &format!("W{n}"), Kind::SZ, &data::sz("Größe")),
                    _ => hive.unset(&key, &format!("Wherry{}", n - 1)).map(drop),
                };
                match r {
                    Ok(()) => edits += 1,
                    Err(e) => fails.push(e.message),
                }
                if fails.len() > 3 {
                    break;
                }
            }
            if !fails.is_empty() {
                return format!("edit failed: {fails:?}");
            }
            let mut removed = vec![];
            for _ in 0..60 {
                let key = &keys[random.below(keys.len() as u64) as usize];
                if key.matches('\\').count() < 3 {
                    continue;
                }
                match hive.remove(key) {
                    Ok(true) => removed.push(key.clone()),
                    Ok(false) => {}
                    Err(e) => return format!("remove failed: {}", e.message),
                }
            }
            let taken = hive.take("X").unwrap();
            let t = t0.elapsed();
            let after_bytes = hive.bytes().unwrap();
            let (c0, _) = std::panic::catch_unwind(|| check(&bytes, Writer::Mixed))
                .unwrap_or((vec!["checker panicked".into()], 0));
            let (c, nkeys) = check(&after_bytes, Writer::Mixed);
            let fresh: Vec<_> = c.iter().filter(|x| !c0.contains(x)).take(4).collect();
            let after = dump(&mut Hive::open(after_bytes.clone(), &[]).unwrap()).unwrap();
            let set: std::collections::BTreeSet<_> = after.iter().collect();
            let up = |x: &str| x.to_uppercase();
            let gone = before.iter().filter(|l| !set.contains(l)).count();
            let lost = before
                .iter()
                .filter(|l| !set.contains(l))
                .filter(|l| {
                    !removed.iter().any(|r| {
                        up(l).starts_with(&format!("{} ", up(r)))
                            || up(l).starts_with(&format!("{}\\", up(r)))
                    })
                })
                .count();
            let leaks =
                |b: &[u8]| check(b, Writer::Ours).0.iter().filter(|c| c.contains("referred to 0")).count();
            let (l0, l1) = (std::panic::catch_unwind(|| leaks(&bytes)).unwrap_or(0), leaks(&after_bytes));
            let (hk, hl) = std::panic::catch_unwind(|| exported(&after_bytes)).unwrap_or((0, vec![]));
            let vals = after.iter().filter(|l| l.contains('`')).count();
            let look = std::panic::catch_unwind(|| looked_up(&after_bytes)).unwrap_or((0, 0));
            let sets: std::collections::BTreeSet<_> = hl.iter().collect();
            let missing: Vec<_> = after
                .iter()
                .filter(|l| l.contains('`') && !sets.contains(l))
                .map(|l| l.chars().take(100).collect::<String>())
                .take(2)
                .collect();
            std::fs::write("/tmp/hx/edited", &after_bytes).unwrap();
            format!(
                "removed {} trees, {gone} lines gone, forgotten cells {l0} {l1}, 1.{minor} applied {applied}, {} bytes, {edits} edits {t:?}, {} patches of {} bytes, {nkeys} keys, complaints before {} after {} new {fresh:?}, lost lines {lost}, hivex keys {hk} values {} of {vals} missing {missing:?}, reglookup {look:?}",
                removed.len(),
                bytes.len(),
                taken.patches.len(),
                taken.patches.iter().map(|p| p.bytes.len()).sum::<usize>(),
                c0.len(),
                c.len(),
                hl.len()
            )
        }));
        println!("{name}: {}", r.unwrap_or_else(|_| "PANIC".into()));
    }
}
