//! Names of network interfaces, and the `.link` files that keep them (systemd.link(5)).

/// Interfaces that `/etc/network/interfaces` configures (interfaces(5)).
pub fn ifupdown(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("iface "));
    lines.filter_map(|rest| rest.split_whitespace().next()).map(str::to_owned).collect()
}

/// The value of `key=` in an ifcfg file or a NetworkManager key file.
pub fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty())
}

/// Interfaces in the `ethernets:` section of a netplan file in block style; those with `match:` are left out.
pub fn netplan(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let (mut section, mut level) = (None, None);
    for line in text.lines() {
        let word = line.trim();
        if word.is_empty() || word.starts_with('#') {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        match section {
            _ if word == "ethernets:" => (section, level) = (Some(indent), None),
            Some(at) if indent <= at => section = None,
            Some(_) if *level.get_or_insert(indent) == indent => {
                names.push(word.split(':').next().unwrap_or_default().trim_matches(['"', '\'']).to_owned());
            }
            Some(_) if word == "match:" => {
                names.pop();
            }
            _ => {}
        }
    }
    names
}

/// Whether the name comes from the slot of the old hardware: `enp0s25`, `ens192`, `eno1`, `enx...`.
/// `ethN` is the kernel's own and stays what it was; bridges, bonds and VLANs are made by configuration.
pub fn by_slot(name: &str) -> bool {
    let tail = name.strip_prefix("en").filter(|tail| tail.starts_with(['p', 's', 'o', 'x', 'P']));
    name.len() < 16 && tail.is_some_and(|tail| tail.bytes().all(|c| c.is_ascii_alphanumeric()))
}

/// The kernel's driver for a NIC model of the device profile.
pub fn driver(model: &str) -> Option<&'static str> {
    Some(match model {
        "virtio-net" => "virtio_net",
        "e1000" => "e1000",
        "e1000e" => "e1000e",
        "vmxnet3" => "vmxnet3",
        "hyperv-net" => "hv_netvsc",
        "xen-netfront" => "xen-netfront",
        "rtl8139" => "8139cp",
        _ => return None,
    })
}

/// The text of `10-wherry-<name>.link`; `matched` is such as `MACAddress=52:54:00:12:34:56`.
pub fn link(name: &str, matched: &str) -> String {
    format!(
        "# Written by Wherry: keeps the name that this system's network configuration uses.\n[Match]\n{matched}\n\n[Link]\nName={name}\n"
    )
}

/// Whether this is a hardware address and nothing else.
pub fn is_mac(text: &str) -> bool {
    text.len() == 17
        && text.split(':').all(|part| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        assert_eq!(ifupdown("auto lo\niface lo inet loopback\niface ens192 inet dhcp\n"), ["lo", "ens192"]);
        assert_eq!(value("TYPE=Ethernet\nDEVICE=\"ens3\"\n", "DEVICE").as_deref(), Some("ens3"));
        assert_eq!(value("interface-name = enp1s0\n", "interface-name").as_deref(), Some("enp1s0"));
        let text = "network:\n  version: 2\n  ethernets:\n    ens160:\n      dhcp4: true\n    any:\n      match:\n        name: en*\n  bridges:\n    br0: {}\n";
        assert_eq!(netplan(text), ["ens160"]);
        for (name, expected) in
            [("ens192", true), ("enp0s25", true), ("eth0", false), ("lo", false), ("en/../x", false)]
        {
            assert_eq!(by_slot(name), expected, "{name}");
        }
        assert!(is_mac("52:54:00:12:34:56") && !is_mac("52:54:00:12:34:5\n"));
    }
}
