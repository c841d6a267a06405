//! A script that the machine runs once before anybody can log on, if the operator wants one (option `first-boot=yes`): it
//! gives cards the addresses that could not be given offline, and runs the operator's own commands.
//!
//! Windows runs `SYSTEM\Setup\CmdLine` at the start where `SetupType` is 2. The script takes that back before it does
//! anything else, so that nothing it does can make Windows run it for ever; it counts its runs, and asks for at most
//! [`RUNS_MOST`] where the operator's part answers with code 249 ("again, after a restart").

use crate::cards::Card;
use crate::files::{bytes, text};
use crate::hives::Store;
use crate::version::{VISTA, Version, W2003, XP};
use crate::work::Work;
use wherry_sdk::Result;

/// Runs at most.
const RUNS_MOST: u32 = 3;
/// Where it lies, below Windows.
const SCRIPT: &str = "wherry/first-boot.cmd";
/// The longest one.
const SCRIPT_MOST: u64 = 1 << 20;
/// The operator's part, in the option `first-boot-commands`.
const COMMANDS: &str = "wherry/commands.cmd";
/// What keeps the count.
const COUNT: &str = r"HKLM\SOFTWARE\Wherry";

/// What keeps Windows from showing its wizard for new hardware (Microsoft KB 938596): hive, key, value. In Server 2003 it needs
/// that update, and XP has it from service pack 3 on; others do not look.
fn silence(version: Version) -> Option<(Store, &'static str, &'static str)> {
    if version < XP || version >= VISTA {
        None
    } else if version < W2003 {
        Some((Store::Software, r"Policies\Microsoft\Windows\DeviceInstall\Settings", "SuppressNewHWUI"))
    } else {
        Some((Store::System, r"Services\PlugPlay\Parameters", "SuppressUI"))
    }
}

/// A card that is to get an address, and the hardware address by which it is found.
pub struct Address<'a> {
    /// What it had.
    pub card: &'a Card,
    /// `52:54:00:12:34:56`.
    pub mac: &'a str,
}

/// Whether the operator wants it.
pub fn is_wanted(work: &Work<'_>) -> bool {
    work.option("first-boot") == Some("yes") || work.option("first-boot-commands").is_some()
}

/// Writes the script and has Windows run it.
pub fn adapt(work: &mut Work<'_>, addresses: &[Address<'_>]) -> Result<()> {
    if !is_wanted(work) {
        return Ok(());
    }
    if work.system.version < XP {
        work.warn(
            "windows.first-boot",
            format!(
                "Windows {} has no reg.exe, which the script needs",
                work.system.version.family(work.system.server)
            ),
            "set the addresses by hand on the first start",
        );
        return Ok(());
    }
    let commands = work.option("first-boot-commands");
    let reason = "the operator wants it to run once before the first logon";
    if let Some(commands) = commands {
        work.write(&work.place.path(COMMANDS), &bytes(&lines(commands)), reason)?;
    }
    let root = work.hives.text(Store::Software, r"Microsoft\Windows NT\CurrentVersion", "SystemRoot")?;
    let root = root.unwrap_or_else(|| r"C:\Windows".into());
    let command = format!(r"{root}\System32\cmd.exe /c {root}\{}", SCRIPT.replace('/', r"\"));
    let end = keep_silent(work, &command)?;
    work.write(&work.place.path(SCRIPT), &bytes(&script(addresses, commands.is_some(), &end)), reason)?;
    work.set_text(Store::System, "Setup", "CmdLine", &command)?;
    work.set_number(Store::System, "Setup", "SetupType", 2)?;
    if work.hives.value(Store::Software, "Wherry", "Runs")?.is_some() {
        // Count and cards of a move before this one.
        work.remove(Store::Software, "Wherry")?;
    }
    work.commit(reason)
}

/// No wizard while the script runs; what the script has to do at its end. A guest's own setting is left as it is.
fn keep_silent(work: &mut Work<'_>, command: &str) -> Result<String> {
    let Some((store, below, name)) = silence(work.system.version) else { return Ok(String::new()) };
    let set = work.system.current.clone();
    let key = if store == Store::System { format!(r"{set}\{below}") } else { below.to_owned() };
    let there = if store == Store::System { r"SYSTEM\CurrentControlSet" } else { "SOFTWARE" };
    let end = format!("reg delete HKLM\\{there}\\{below} /v {name} /f >nul 2>&1\n");
    // It is ours where a script waits that takes it back.
    let waits = work.hives.text(Store::System, "Setup", "CmdLine")?.as_deref() == Some(command);
    let script = text(work.guest, &work.place.path(SCRIPT), SCRIPT_MOST).unwrap_or_default();
    if work.hives.value(store, &key, name)?.is_some() && !(waits && script.contains(end.trim_end())) {
        return Ok(String::new());
    }
    work.set_number(store, &key, name, 1)?;
    work.commit("no wizard for new hardware comes up until the first-boot script has run (KB 938596)")?;
    Ok(end)
}

fn lines(text: &str) -> String {
    text.lines().flat_map(|line| [line, "\r\n"]).collect()
}

/// The script; `end` is done after its last run.
fn script(addresses: &[Address<'_>], commands: bool, end: &str) -> String {
    let mut text = format!(
        r#"@echo off
rem Written by Wherry. Runs once, at most {RUNS_MOST} times; the log is beside it.
reg add HKLM\SYSTEM\Setup /v SetupType /t REG_DWORD /d 0 /f >nul
reg add HKLM\SYSTEM\Setup /v CmdLine /t REG_SZ /d "" /f >nul
set RUNS=0
for /f "tokens=3" %%R in ('reg query {COUNT} /v Runs 2^>nul ^| find "Runs"') do set /a RUNS=%%R
set /a RUNS+=1
reg add {COUNT} /v Runs /t REG_DWORD /d %RUNS% /f >nul
echo run %RUNS% >>"%~dp0first-boot.log"
"#
    );
    for address in addresses {
        text += &call(address);
    }
    if commands {
        // In an interpreter of its own: `exit` ends only the operator's part.
        text += &format!(
            r#"%ComSpec% /c "%~dp0commands.cmd" >>"%~dp0first-boot.log" 2>&1
if not "%ERRORLEVEL%"=="249" goto done
if %RUNS% GEQ {RUNS_MOST} goto done
reg add HKLM\SYSTEM\Setup /v CmdLine /t REG_SZ /d "%ComSpec% /c %~f0" /f >nul
reg add HKLM\SYSTEM\Setup /v SetupType /t REG_DWORD /d 2 /f >nul
goto :eof
:done
"#
        );
    }
    text += end;
    text += "goto :eof\n";
    if !addresses.is_empty() {
        text += FIND;
    }
    lines(&text)
}

/// Finds a connection by its hardware address, for two minutes, since cards are installed meanwhile.
const FIND: &str = r#"
:find
set LEFT=24
:look
set NAME=
for /f "tokens=1,3 delims=," %%A in ('getmac /v /fo csv /nh') do if /i "%%~B"=="%~1" set NAME=%%~A
if defined NAME goto :eof
set /a LEFT-=1
if %LEFT%==0 goto missing
ping -n 6 127.0.0.1 >nul
goto look
:missing
echo no card has the address %1 >>"%~dp0first-boot.log"
goto :eof
"#;

/// What gives a connection its addresses: netsh, whose words for IPv6 are those of Vista and later.
fn call(address: &Address<'_>) -> String {
    let mac = address.mac.replace(':', "-").to_ascii_uppercase();
    let mut text = format!("call :find {mac}\n");
    for command in ipv4(address.card).into_iter().chain(ipv6(address.card)) {
        text += &format!("if defined NAME netsh interface {command} >>\"%~dp0first-boot.log\" 2>&1\n");
    }
    text
}

fn ipv4(card: &Card) -> Vec<String> {
    let mut all = Vec::new();
    for (ip, mask) in card.addresses.iter().filter(|(ip, mask)| is_address(ip) && is_address(mask)) {
        if !all.is_empty() {
            all.push(format!(r#"ip add address "%NAME%" {ip} {mask}"#));
            continue;
        }
        let gateway = card.gateways.first().filter(|gateway| is_address(gateway));
        let gateway = gateway.map_or(String::new(), |gateway| format!(" {gateway} 1"));
        all.push(format!(r#"ip set address "%NAME%" static {ip} {mask}{gateway}"#));
    }
    let servers = card.servers.split([',', ' ']).filter(|server| is_address(server));
    for (number, server) in servers.enumerate() {
        let (verb, how) = if number == 0 { ("set", "static ") } else { ("add", "") };
        all.push(format!(r#"ip {verb} dns "%NAME%" {how}{server}"#));
    }
    all
}

fn ipv6(card: &Card) -> Vec<String> {
    let addresses = card.ipv6.addresses.iter();
    let addresses = addresses.map(|(ip, length)| format!(r#"ipv6 add address "%NAME%" {ip}/{length}"#));
    let routes =
        card.ipv6.gateways.iter().map(|gateway| format!(r#"ipv6 add route ::/0 "%NAME%" {gateway}"#));
    let servers = card.ipv6.servers.iter().map(|server| format!(r#"ipv6 add dnsserver "%NAME%" {server}"#));
    addresses.chain(routes).chain(servers).collect()
}

/// Only what is an address gets into a command.
fn is_address(text: &str) -> bool {
    text.parse::<core::net::Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nsi::Ipv6;

    #[test]
    fn a_guest_cannot_put_commands_into_the_script() {
        let card = Card {
            addresses: vec![
                ("10.0.0.5".into(), "255.0.0.0".into()),
                ("1.2.3.4 & del *".into(), "255.0.0.0".into()),
            ],
            gateways: vec!["& format".into()],
            servers: "10.0.0.2,%PATH%".into(),
            ..Card::default()
        };
        let text = script(&[Address { card: &card, mac: "52:54:00:12:34:56" }], true, "");
        assert!(text.contains("call :find 52-54-00-12-34-56\r\n"));
        assert!(text.contains(r#"netsh interface ip set address "%NAME%" static 10.0.0.5 255.0.0.0 >>"#));
        assert!(!text.contains("del *") && !text.contains("& format") && !text.contains("%PATH%"));
        let commands = text.lines().filter(|line| line.starts_with("if defined NAME netsh"));
        assert_eq!(commands.count(), 2, "one address, one name server: {text}");
        let first = text.find("SetupType /t REG_DWORD /d 0").unwrap();
        assert!(first < text.find("call ").unwrap(), "it is taken back before anything can fail");
    }

    #[test]
    fn addresses_of_both_kinds() {
        let card = Card {
            addresses: vec![("10.0.0.5".into(), "255.0.0.0".into()), ("10.0.0.6".into(), "255.0.0.0".into())],
            gateways: vec!["10.0.0.1".into()],
            servers: "10.0.0.2 10.0.0.3".into(),
            ipv6: Ipv6 {
                addresses: vec![("2001:db8::5".parse().unwrap(), 64)],
                gateways: vec!["fe80::1".parse().unwrap()],
                servers: vec!["2001:db8::53".parse().unwrap()],
            },
            ..Card::default()
        };
        let commands = [ipv4(&card), ipv6(&card)].concat();
        let expected = [
            r#"ip set address "%NAME%" static 10.0.0.5 255.0.0.0 10.0.0.1 1"#,
            r#"ip add address "%NAME%" 10.0.0.6 255.0.0.0"#,
            r#"ip set dns "%NAME%" static 10.0.0.2"#,
            r#"ip add dns "%NAME%" 10.0.0.3"#,
            r#"ipv6 add address "%NAME%" 2001:db8::5/64"#,
            r#"ipv6 add route ::/0 "%NAME%" fe80::1"#,
            r#"ipv6 add dnsserver "%NAME%" 2001:db8::53"#,
        ];
        assert_eq!(commands, expected);
    }
}
