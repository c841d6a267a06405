//! GRUB's menus (`grub.cfg`, `menu.lst`) and its environment block. GRUB manual 2.12, "Commands" and
//! "The GRUB environment block"; GRUB legacy manual 0.97, "Commands".

use std::collections::BTreeMap;

/// Entries of one menu that are looked at.
const ENTRIES: usize = 256;
/// Length of an environment block in bytes.
const BLOCK: usize = 1024;
const BLOCK_HEAD: &str = "# GRUB Environment Block\n";

/// One entry of a boot menu, as it is written there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Raw {
    /// What the menu shows.
    pub title: String,
    /// `gnulinux-simple-...`, or the file's name for BLS entries.
    pub id: String,
    /// Position from 0, `1>0` inside a submenu.
    pub position: String,
    /// The kernel's path as the boot loader knows it.
    pub kernel: Option<String>,
    /// Paths of initramfs images, in order.
    pub initrds: Vec<String>,
    /// The kernel's command line.
    pub arguments: String,
    /// The kernel is a module of another program, Xen, which starts before it.
    pub hypervisor: bool,
}

/// Variables of GRUB scripts and of the environment block.
pub type Variables = BTreeMap<String, String>;

/// A menu.
#[derive(Debug, Default)]
pub struct Menu {
    /// In order, those without a kernel too.
    pub entries: Vec<Raw>,
    /// Position, title or id of the entry that starts by itself.
    pub default: Option<String>,
    /// Whether BLS entries are part of it.
    pub bls: bool,
}

impl Menu {
    /// The entry that starts by itself: the named one, or else the first with a kernel.
    pub fn default_entry(&self) -> Option<usize> {
        let named = self.default.as_deref().and_then(|name| {
            let last = name.rsplit('>').next().unwrap_or(name);
            self.entries
                .iter()
                .position(|entry| entry.position == name || entry.title == last || entry.id == last)
        });
        named.or_else(|| self.entries.iter().position(|entry| entry.kernel.is_some()))
    }
}

/// The words of a command: quotes and backslashes as in a shell, variables expanded, unknown ones to nothing.
fn words(line: &str, variables: &Variables) -> Vec<String> {
    let (mut words, mut word, mut quote, mut started) = (Vec::new(), String::new(), None, false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('#', None) if !started => break,
            ('\'' | '"', None) => (quote, started) = (Some(c), true),
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.extend(chars.next()),
            ('$', None | Some('"')) => {
                let braced = chars.next_if_eq(&'{').is_some();
                let mut name = String::new();
                while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                }
                if braced {
                    chars.next_if_eq(&'}');
                }
                word.push_str(variables.get(&name).map_or("", String::as_str));
                started = !word.is_empty() || quote.is_some();
            }
            (c, None) if c.is_whitespace() => {
                if started {
                    words.push(std::mem::take(&mut word));
                }
                started = false;
            }
            (c, _) => {
                word.push(c);
                started = true;
            }
        }
    }
    if started {
        words.push(word);
    }
    words
}

#[derive(Clone, Copy, PartialEq)]
enum Block {
    Submenu,
    Other,
}

#[derive(Default)]
struct Parser {
    menu: Menu,
    blocks: Vec<Block>,
    /// how many entries each open submenu has so far; the menu itself first
    counters: Vec<usize>,
    modules: usize,
}

/// The menu in `text`, GRUB 2 or legacy; `variables` come from the environment block.
pub fn menu(text: &str, variables: &Variables) -> Menu {
    let mut parser = Parser { counters: vec![0], ..Parser::default() };
    let mut variables = variables.clone();
    for line in text.lines() {
        parser.line(line.trim(), &mut variables);
        if parser.menu.entries.len() >= ENTRIES {
            break;
        }
    }
    parser.menu
}

impl Parser {
    fn position(&mut self) -> String {
        let above = self.counters.len() - 1;
        let position = self.counters.iter().enumerate();
        let text: Vec<String> =
            position.map(|(n, count)| if n < above { count - 1 } else { *count }.to_string()).collect();
        if let Some(last) = self.counters.last_mut() {
            *last += 1;
        }
        text.join(">")
    }

    fn line(&mut self, line: &str, variables: &mut Variables) {
        let command = line.split([' ', '\t', '=']).next().unwrap_or_default();
        let rest = line.get(command.len()..).unwrap_or_default();
        match command {
            "menuentry" => self.entry(words(line, variables)),
            "title" => {
                let (title, position) = (rest.trim().to_owned(), self.position());
                self.start(Raw { title, position, ..Raw::default() });
            }
            "submenu" => {
                self.position();
                if self.counters.len() < 8 {
                    self.blocks.push(Block::Submenu);
                    self.counters.push(0);
                }
                return;
            }
            "set" => self.set(&words(rest, variables), variables),
            "default" => self.menu.default = Some(rest.trim_matches(['=', ' ', '\t']).to_owned()),
            "blscfg" => self.menu.bls = true,
            "}" => {
                if self.blocks.pop() == Some(Block::Submenu) {
                    self.counters.pop();
                }
            }
            _ => self.command(line, command, variables),
        }
        if line.ends_with('{') && self.blocks.len() < ENTRIES {
            self.blocks.push(Block::Other);
        }
    }

    fn start(&mut self, entry: Raw) {
        self.modules = 0;
        self.menu.entries.push(entry);
    }

    fn entry(&mut self, words: Vec<String>) {
        let option = words.iter().position(|word| word == "--id");
        let id = option.and_then(|at| words.get(at + 1)).cloned().unwrap_or_default();
        // an unset $menuentry_id_option leaves the id as the last word before the brace
        let bare =
            words.iter().rev().find(|word| word.starts_with("gnulinux") || word.starts_with("osprober"));
        let id = if id.is_empty() { bare.cloned().unwrap_or_default() } else { id };
        let (title, position) = (words.get(1).cloned().unwrap_or_default(), self.position());
        self.start(Raw { title, id, position, ..Raw::default() });
    }

    fn set(&mut self, words: &[String], variables: &mut Variables) {
        let Some((name, value)) = words.first().and_then(|word| word.split_once('=')) else { return };
        match name {
            // the branches for one boot only and for a saved entry that is not set name nothing
            "default" if !value.is_empty() => self.menu.default = Some(value.to_owned()),
            "next_entry" | "default" => {}
            _ if variables.len() < ENTRIES => {
                variables.insert(name.to_owned(), value.to_owned());
            }
            _ => {}
        }
    }

    fn command(&mut self, line: &str, command: &str, variables: &Variables) {
        let Some(entry) = self.menu.entries.last_mut() else { return };
        let named = |name: &str| {
            command
                .strip_prefix(name)
                .is_some_and(|rest| ["", "16", "efi"].contains(&rest) || rest.starts_with('$'))
        };
        let mut words = words(line, variables).into_iter().skip(1).filter(|word| !word.starts_with("--"));
        let kernel =
            named("linux") || command == "kernel" || (command.starts_with("module") && self.modules == 0);
        if kernel {
            entry.kernel = words.next();
            entry.hypervisor = command.starts_with("module");
            entry.arguments = words.collect::<Vec<_>>().join(" ");
        } else if named("initrd") || command.starts_with("module") {
            entry.initrds.extend(words.take(16));
        }
        self.modules += usize::from(command.starts_with("module"));
    }
}

/// The variables in an environment block.
pub fn environment(block: &str) -> Variables {
    let lines = block.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('=')).take(ENTRIES);
    pairs.map(|(name, value)| (name.to_owned(), value.replace('\\', ""))).collect()
}

/// The block with the value of one variable mapped, of the same length; none if it does not fit.
pub fn rewrite_environment(block: &str, name: &str, map: impl FnOnce(&str) -> String) -> Option<String> {
    let start = block.find(&format!("\n{name}="))? + name.len() + 2;
    let end = start + block.get(start..)?.find('\n')?;
    let value = block.get(start..end)?;
    let new = format!("{}{}{}", block.get(..start)?, map(value), block.get(end..)?.trim_end_matches('#'));
    if !block.starts_with(BLOCK_HEAD) || block.len() != BLOCK || new.len() > BLOCK {
        return None;
    }
    Some(format!("{new}{}", "#".repeat(BLOCK - new.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = r#"
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
else
   set default="1>0"
fi
function load_video {
  insmod all_video
}
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-u' {
	set root='hd0,msdos1'
	linux	/boot/vmlinuz-6.1.0-28-amd64 root=/dev/sda1 ro  quiet
	initrd	/boot/initrd.img-6.1.0-28-amd64
}
submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-u' {
	menuentry 'Debian "old"'\''s kernel' --id old {
		linux16 ($root)/boot/vmlinuz-5.10 root=UUID=u ro $extra
		initrd16 /boot/ucode.img /boot/initrd.img-5.10
	}
}
menuentry 'Windows' {
	chainloader +1
}
"#;

    #[test]
    fn a_menu_of_debian() {
        let variables = Variables::from([("extra".to_owned(), "nosmt".to_owned())]);
        let menu = menu(DEBIAN, &variables);
        let shown: Vec<_> =
            menu.entries.iter().map(|e| (e.position.as_str(), e.id.as_str(), e.initrds.len())).collect();
        assert_eq!(shown, [("0", "gnulinux-simple-u", 1), ("1>0", "old", 2), ("2", "", 0)]);
        assert_eq!(menu.entries[0].kernel.as_deref(), Some("/boot/vmlinuz-6.1.0-28-amd64"));
        assert_eq!(menu.entries[0].arguments, "root=/dev/sda1 ro quiet");
        assert_eq!(menu.entries[1].kernel.as_deref(), Some("(hd0,msdos1)/boot/vmlinuz-5.10"));
        assert_eq!(menu.entries[1].arguments, "root=UUID=u ro nosmt");
        assert_eq!(menu.default_entry(), Some(1));
    }

    #[test]
    fn a_legacy_menu_with_xen() {
        let text = "default=1\ntitle CentOS (2.6.32)\n\troot (hd0,0)\n\tkernel /vmlinuz-2.6.32 ro root=/dev/sda2\n\tinitrd /initramfs-2.6.32.img\ntitle Xen\n\tkernel /xen.gz\n\tmodule /vmlinuz-xen ro\n\tmodule /initrd-xen\n";
        let menu = menu(text, &Variables::new());
        assert_eq!(menu.default_entry(), Some(1));
        assert_eq!(menu.entries[0].title, "CentOS (2.6.32)");
        assert_eq!(menu.entries[1].kernel.as_deref(), Some("/vmlinuz-xen"));
        assert_eq!(menu.entries[1].initrds, ["/initrd-xen"]);
    }

    #[test]
    fn the_environment_block_keeps_its_length() {
        let text = format!("{BLOCK_HEAD}saved_entry=abc-6.1\nkernelopts=root=/dev/sda1 ro\n");
        let block = format!("{text}{}", "#".repeat(BLOCK - text.len()));
        assert_eq!(environment(&block).get("saved_entry").map(String::as_str), Some("abc-6.1"));
        let new = rewrite_environment(&block, "kernelopts", |old| old.replace("/dev/sda1", "UUID=u-1"))
            .expect("fits");
        assert_eq!(new.len(), BLOCK);
        assert!(new.contains("\nkernelopts=root=UUID=u-1 ro\n###") && new.ends_with('#'));
        assert_eq!(rewrite_environment(&block, "kernelopts", |_| "x".repeat(BLOCK)), None);
        assert_eq!(rewrite_environment(&block, "other", |_| String::new()), None);
    }
}
