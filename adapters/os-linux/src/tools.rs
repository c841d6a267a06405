//! Programs of hypervisors and clouds that are installed in the guest.

use crate::files::exists;
use wherry_sdk::Tree;

/// Path, name, and what becomes of it elsewhere.
const TOOLS: [(&str, &str, &str); 20] = [
    ("/usr/bin/vmtoolsd", "open-vm-tools", VMWARE),
    ("/usr/sbin/vmtoolsd", "vmware-tools", VMWARE),
    ("/usr/sbin/qemu-ga", "qemu-guest-agent", QEMU),
    ("/usr/bin/qemu-ga", "qemu-guest-agent", QEMU),
    ("/usr/sbin/VBoxService", "virtualbox-guest", "it does nothing outside VirtualBox and may be removed"),
    ("/usr/sbin/hv_kvp_daemon", "hyperv-daemons", HYPERV),
    ("/usr/lib/hyperv-daemons/hv_kvp_daemon", "hyperv-daemons", HYPERV),
    // Red Hat's and SUSE's names of it
    ("/usr/sbin/hypervkvpd", "hyperv-daemons", HYPERV),
    ("/usr/lib/hyper-v/bin/hv_kvp_daemon", "hyperv-daemons", HYPERV),
    ("/usr/sbin/xe-daemon", "xe-guest-utilities", "it does nothing outside XenServer and may be removed"),
    ("/usr/bin/prltoolsd", "parallels-tools", "it does nothing outside Parallels and may be removed"),
    ("/usr/bin/spice-vdagentd", "spice-vdagent", "it works where the new machine has a SPICE channel"),
    ("/usr/bin/cloud-init", "cloud-init", CLOUD),
    ("/usr/sbin/waagent", "azure-agent", "it does nothing outside Azure and may be removed"),
    (
        "/usr/bin/google_guest_agent",
        "google-guest-agent",
        "it does nothing outside Google Cloud and may be removed",
    ),
    ("/usr/bin/amazon-ssm-agent", "amazon-ssm-agent", "it has to be registered again outside EC2"),
    ("/etc/sysconfig/network-scripts/ec2net-functions", "ec2-net-utils", EC2_NET),
    ("/usr/bin/setup-policy-routes", "amazon-ec2-net-utils", EC2_NET),
    ("/etc/multipath.conf", "multipath", "its names of disks belong to the old storage"),
    ("/usr/sbin/biosdevname", "biosdevname", "it gives network interfaces other names on other hardware"),
];
const VMWARE: &str = "it does nothing outside VMware and may be removed";
const QEMU: &str = "it works where the new machine has a channel org.qemu.guest_agent.0";
const HYPERV: &str = "they do nothing outside Hyper-V and may be removed";
const EC2_NET: &str =
    "it asks for the network's settings at an address that only EC2 has, and may be removed";
const CLOUD: &str = "it may take the new machine for a new instance, and then make SSH host keys and network \
                     configuration anew; /etc/cloud/cloud-init.disabled prevents that";

/// Name, and what becomes of it elsewhere.
pub fn installed(guest: &dyn Tree) -> Vec<(&'static str, &'static str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for (path, name, note) in TOOLS {
        if exists(guest, path) && !found.iter().any(|(known, _)| *known == name) {
            found.push((name, note));
        }
    }
    found
}
