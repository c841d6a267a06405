#[path = "../tests/it/hives.rs"]
mod hives;
use hives::*;
use wherry_registry::*;
fn main() {
    let a: Vec<String> = std::env::args().skip(1).collect();
    let r = |p: &str| std::fs::read(p).unwrap();
    let mut h = Hive::open(r(&a[0]), &[r(&format!("{}.LOG1", a[0])), r(&format!("{}.LOG2", a[0]))]).unwrap();
    let mut g = Hive::open(r(&a[1]), &[]).unwrap();
    println!("{} same {}", h.applied(), dump(&mut h).unwrap() == dump(&mut g).unwrap());
}
