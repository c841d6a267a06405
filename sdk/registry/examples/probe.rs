use std::time::Instant;
use wherry_registry::*;
fn main() {
    let mut a = std::env::args().skip(1);
    let minor = a.next().unwrap().parse().unwrap();
    let n: usize = a.next().unwrap().parse().unwrap();
    let t = Instant::now();
    let mut h = Hive::empty(minor).unwrap();
    h.quiet();
    for p in 0..n {
        for k in 0..40 {
            let path = format!(r"Microsoft\Windows\CurrentVersion\Product{p:05}\Component{k:04}");
            for v in 0..6 {
                h.set(
                    &path,
                    &format!("Value {v}"),
                    Kind::SZ,
                    &data::sz("C:\\Program Files\\Vendor\\Product\\Component\\file.dll"),
                )
                .unwrap();
            }
        }
    }
    let b = h.bytes().unwrap();
    println!("{} MB {:?}", b.len() / 1_000_000, t.elapsed());
    std::fs::write("/tmp/hx/big", &b).unwrap();
    let t = Instant::now();
    let mut h = Hive::open(b, &[]).unwrap();
    h.set_time(1 << 60);
    for s in 0..20 {
        h.set(
            &format!(r"Microsoft\Windows\CurrentVersion\Product{:05}\Component0007", s * n / 20),
            "New",
            Kind::DWORD,
            &data::dword(1),
        )
        .unwrap();
    }
    h.set(r"Microsoft\Windows\CurrentVersion\New\Key", "New", Kind::DWORD, &data::dword(1)).unwrap();
    let taken = h.take("X").unwrap();
    println!(
        "edit {:?} reads {} patches {} bytes {}",
        t.elapsed(),
        h.reads(),
        taken.patches.len(),
        taken.patches.iter().map(|p| p.bytes.len()).sum::<usize>()
    );
}
