//! A script that an image runs when the root file system is mounted and before its first program starts.

use super::family::{Family, Files};
use super::rootfs::Rootfs;
use super::{GuestImage, Segment, canonical, extension, stream};
use wherry_sdk::{Error, Result, Tree};

/// The script, which gets the root's mount point as its argument; files beside it are found under `/wherry/`.
const SCRIPT: &str = "wherry/first-start";
/// initramfs-tools(7): what run-init's last scripts are called by.
const ORDER: &str = "scripts/init-bottom/ORDER";
/// dracut.modules(7): where the last hooks before the root is switched to are sourced from, by version.
const DRACUT_HOOKS: [&str; 4] =
    ["lib/dracut/hooks", "usr/lib/dracut/hooks", "var/lib/dracut/hooks", "etc/dracut/hooks"];
/// The same in version 004.
const DRACUT_4_HOOKS: &str = "pre-pivot";

/// What to append to the image so that it runs `script` once the root is mounted; `files` lie in `/wherry/` then.
/// `unsupported` where its maker has no place for such a script that is known here.
pub fn add(guest: &dyn Tree, image: &str, script: &str, files: &[(String, Vec<u8>)]) -> Result<Segment> {
    let size = guest.stat(&guest.canonical(image)?)?.size;
    let mut base = Rootfs::new();
    let ending = stream::unpack(&GuestImage { guest, path: image, size }, &mut base)?;
    let family = Family::of(&base);
    let mut added: Files =
        files.iter().map(|(name, bytes)| (format!("wherry/{name}"), bytes.clone())).collect();
    added.insert(SCRIPT.into(), script.as_bytes().to_vec());
    let (path, content) = caller(family, &base)?;
    added.insert(path, content);
    let added = canonical(&base, added)?;
    let made = extension(&base, &ending, &added)?;
    if let Some((path, _)) = added.iter().find(|(path, content)| made.merged.content(path) != Some(content)) {
        return Err(Error::unsupported(format!(
            "the extension was checked and refused: /{path} is not in it"
        )));
    }
    let replaced = added.keys().filter(|path| base.exists(path)).cloned().collect();
    let (bytes, glued, family) = (made.bytes, made.glued, family.name());
    Ok(Segment { bytes, glued, family, drivers: true, added: Vec::new(), replaced, notes: Vec::new() })
}

/// The file that calls the script.
fn caller(family: Family, base: &Rootfs) -> Result<(String, Vec<u8>)> {
    match family {
        Family::InitramfsTools => {
            let mut order = String::from_utf8_lossy(base.content(ORDER).unwrap_or_default()).into_owned();
            if base.exists(ORDER) && order.is_empty() {
                return Err(Error::unsupported(format!("/{ORDER} in it cannot be read")));
            }
            if !order.is_empty() && !order.ends_with('\n') {
                order.push('\n');
            }
            order.push_str(&format!("sh /{SCRIPT} \"${{rootmnt}}\"\n"));
            Ok((ORDER.into(), order.into_bytes()))
        }
        Family::Dracut => {
            let call = format!("sh /{SCRIPT} \"$NEWROOT\"\n");
            let hooks =
                DRACUT_HOOKS.iter().find(|path| base.exists(path)).map(|hooks| format!("{hooks}/pre-pivot"));
            let hooks = hooks.or_else(|| base.exists(DRACUT_4_HOOKS).then(|| DRACUT_4_HOOKS.to_owned()));
            let hooks = hooks.unwrap_or_else(|| format!("{}/pre-pivot", DRACUT_HOOKS[0]));
            Ok((format!("{hooks}/00-wherry.sh"), call.into_bytes()))
        }
        other => Err(Error::unsupported(format!(
            "it was made by {}, and no place for a script in it is known here",
            other.name()
        ))),
    }
}
