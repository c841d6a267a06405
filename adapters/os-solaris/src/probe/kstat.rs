//! `kstat -p`: `module:instance:name:statistic`, a tab, the value; with `-T u` the time comes first.

use super::{Sample, sample};

/// Numbers; texts (class, state, ...) are none.
pub fn parse(text: &str) -> Vec<Sample> {
    let mut at = 0;
    let mut samples = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), value, None) = (words.next(), words.next(), words.next()) else { continue };
        let Some(value) = value else {
            at = name.parse().unwrap_or(at);
            continue;
        };
        let Ok(value) = value.parse::<f64>() else { continue };
        // a name may have colons of its own
        let mut parts = name.splitn(3, ':');
        let (Some(module), Some(instance), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let Some((name, statistic)) = rest.rsplit_once(':') else { continue };
        let link = || if module == "link" { name.to_owned() } else { format!("{module}{instance}") };
        samples.push(match (module, name, statistic) {
            ("cpu_stat", _, "idle") => sample("cpu.idle", instance, "ticks", at, value),
            ("cpu_stat", _, "user") => sample("cpu.user", instance, "ticks", at, value),
            ("cpu_stat", _, "kernel") => sample("cpu.system", instance, "ticks", at, value),
            ("cpu_stat", _, "wait") => sample("cpu.wait", instance, "ticks", at, value),
            ("unix", "system_pages", "freemem") => sample("memory.free", "", "pages", at, value),
            ("unix", "system_pages", "physmem") => sample("memory.total", "", "pages", at, value),
            (_, _, "rbytes64") => sample("network.received", &link(), "bytes", at, value),
            (_, _, "obytes64") => sample("network.sent", &link(), "bytes", at, value),
            _ => sample(&format!("kstat.{module}.{statistic}"), &format!("{instance}:{name}"), "", at, value),
        });
    }
    samples
}
