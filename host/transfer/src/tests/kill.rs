//! Real processes, killed at random moments.

use super::*;
use block::FileDisk;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const KILLS: u32 = 24;
const LENGTH: usize = (24 << 20) + 777;
const WHAT: &str = "WHERRY_TRANSFER_VICTIM";

/// How the victim is told what to do: source, target, layout, workers.
fn victim(source: &Path, target: &Path, layout: &str, threads: u64) -> Child {
    let what = format!("{}\n{}\n{layout}\n{threads}", source.display(), target.display());
    let arguments = ["--exact", "tests::kill::a_process_to_be_killed", "--ignored"];
    let program = std::env::current_exe().unwrap();
    Command::new(program)
        .args(arguments)
        .env(WHAT, what)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn layout_of(name: &str) -> Box<dyn Layout> {
    match name {
        "raw" => Box::new(Raw { length: LENGTH as u64 }),
        "parts" => parts::Split::boxed(LENGTH),
        "plain" => Append::boxed(64 << 10, Codec::None, 4096),
        _ => Append::boxed(64 << 10, Codec::Zstd, 1),
    }
}

#[test]
#[ignore = "the other half of `killed_at_random_moments`, in a process of its own"]
fn a_process_to_be_killed() {
    let what = std::env::var(WHAT).unwrap();
    let mut what = what.lines();
    let mut next = || what.next().unwrap();
    let source = FileDisk::open_read(next()).unwrap();
    let (target, layout, threads) = (PathBuf::from(next()), next().to_string(), next().parse().unwrap());
    let options =
        Options { limit_rate: Some(40 << 20), checkpoint: Duration::from_millis(20), ..options(threads) };
    run(&source, &target, layout_of(&layout), &options, &|_| ()).unwrap();
}

#[test]
fn killed_at_random_moments() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    std::fs::write(&source, content(41, LENGTH)).unwrap();
    let mut random = Random::new(41);
    let (mut killed, mut complete, mut resumed) = (0, 0, 0u64);
    for round in 0.. {
        let layout = ["raw", "parts", "plain", "packed"][round % 4];
        let place = |name: &str| {
            let folder = folder.path().join(format!("{name}-{round}"));
            std::fs::create_dir(&folder).unwrap();
            folder.join("out")
        };
        let (calm, target) = (place("calm"), place("killed"));
        let disk = FileDisk::open_read(&source).unwrap();
        run(&disk, &calm, layout_of(layout), &options(2), &|_| ()).unwrap();
        loop {
            let mut child = victim(&source, &target, layout, 1 + random.below(6));
            std::thread::sleep(Duration::from_millis(5 + random.below(250)));
            let alive = child.try_wait().unwrap().is_none();
            if alive && killed < KILLS {
                child.kill().unwrap();
                killed += 1;
            }
            let checkpoint = target.with_file_name(".out.wherry-checkpoint");
            // Complete may also be what was killed on its way out.
            if child.wait().unwrap().success() || (target.exists() && !checkpoint.exists()) {
                break;
            }
            assert!(child.wait().unwrap().signal() == Some(9), "a run failed that was not killed");
            resumed += checkpoint.metadata().map_or(0, |meta| u64::from(meta.len() > 1000));
        }
        let expected = names(calm.parent().unwrap());
        assert_eq!(names(target.parent().unwrap()), expected, "nothing else is left");
        for name in expected {
            let read = |one: &Path| std::fs::read(one.with_file_name(&name)).unwrap();
            assert!(read(&target) == read(&calm), "{layout}: {name}");
        }
        complete += 1;
        if killed == KILLS && complete >= 4 {
            break;
        }
    }
    assert!(resumed > 5, "only {resumed} of {killed} killed runs had made a checkpoint");
}
