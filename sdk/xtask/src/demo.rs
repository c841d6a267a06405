//! The whole story: a real disk that boots at home only becomes a machine that boots on a hypervisor.

use crate::boot::{self, Answers, End};
use crate::console::Show;
use crate::disk::file_systems;
use crate::image::KINDS;
use crate::progress::Bar;
use crate::story::{Cut, Story};
use crate::{adapters, cargo, image, matrix, packages, root, run, shown};
use anyhow::{Result, bail};
use std::fs;
use std::path::Path;

/// Lines of a console that are shown of a boot.
const LINES: usize = 7;
const NAME: &str = "demo";
/// Where the migrated machine goes, seen from the checkout.
const TARGET: &str = ".work/demo";

/// Tells it; with `record` as a picture for the README, too.
pub fn run_demo(record: bool) -> Result<()> {
    packages::install(packages::BOOT)?;
    run(cargo().args(["build", "--release", "--workspace"]))?;
    adapters::build()?;
    let kind = &KINDS[0];
    let disk = image::build(kind)?;
    let source = format!("raw:{}", shown(&disk));

    let mut story = Story::default();
    story.heading("A disk from another machine");
    story.say("Debian 12 on ext4; its initramfs has drivers for AHCI and IDE only, and it names its disk /dev/sda1.");
    away(&mut story, &disk)?;

    story.heading("What Wherry sees and what it would do");
    story.wherry(&["inspect", &source], Cut { first: 12, last: 0 })?;
    let to = format!("kvm:{TARGET}");
    story.wherry(&["plan", &source, "--to", &to, "--name", NAME], Cut { first: 22, last: 5 })?;

    story.heading("The move");
    let folder = root().join(TARGET);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    story.wherry(&["migrate", &source, "--to", &to, "--name", NAME], Cut { first: 0, last: 7 })?;
    matrix::check(&folder.join(format!("{NAME}.qcow2")), &file_systems(kind))?;
    story.say("qemu-img check and e2fsck -fn find nothing to mend in the new disk.");

    story.heading("The new machine, on virtio-blk and virtio-net");
    let show = Show::Bar(Bar::new("boot of the migrated machine"));
    let mut guest = matrix::started(&folder, NAME, show)?;
    let end = guest.end()?;
    story.guest(guest.tail(LINES));
    if end != End::Login {
        bail!("the migrated machine did not reach its login: {end:?}");
    }
    story.say("Logged in and asked over the serial console:");
    let answers = Answers::of(&mut guest)?.to_string();
    story.guest(&answers.lines().map(str::to_owned).collect::<Vec<_>>());
    story.heading("What next");
    story.say(&format!(
        "{TARGET}/{NAME}.sh -nographic    starts it here: root, no password; Ctrl-A X ends it"
    ));
    story.say(
        "wherry plan FORMAT:DISK --to kvm:DIRECTORY    says the same of your own disk, and writes nothing",
    );
    if record {
        story.record(&root().join("docs/demo.svg"))?;
    }
    Ok(())
}

/// The unconverted disk on virtio: booted once, its last lines kept for the next time.
fn away(story: &mut Story, disk: &Path) -> Result<()> {
    let kept = disk.with_extension("away");
    let newer = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    if newer(&kept) <= newer(disk) {
        let show = Show::Bar(Bar::new("boot of the unconverted disk on virtio-blk"));
        let mut guest = boot::start(disk, "virtio-blk", show)?;
        let end = guest.end()?;
        if end != End::Lost {
            bail!("the source disk should lose its root on virtio-blk, and ended as {end:?}");
        }
        fs::write(&kept, guest.tail(LINES).join("\n"))?;
    } else {
        println!("(kept from the last run: {})", shown(&kept));
    }
    story.say("As it is, on virtio-blk:");
    let lines: Vec<String> = fs::read_to_string(&kept)?.lines().map(str::to_owned).collect();
    story.guest(&lines);
    Ok(())
}
