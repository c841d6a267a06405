//! A script that the machine runs once before anybody can log on, if the operator wants one (option `first-boot=yes`): it
//! gives cards the addresses that could not be given offline, and runs the operator's own commands.
//!
//! Windows runs `SYSTEM\Setup\CmdLine` at the start where `SetupType` is 2. The script takes that back before it does
//! anything else, so that nothing it does can make Windows run it for ever; it counts its runs, and asks for at most
//! [`RUNS_MOST`] where the operator's part answers with code 249 ("again, after a restart").

use crate::cards::Card;
use crate::files::bytes;
use crate::hives::Store;
use crate::version::XP;
use crate::work::Work;
use wherry_sdk::Result;

/// Runs at most.
const RUNS_MOST: u32 = 3;
/// Where it lies, below Windows.
const SCRIPT: &str = "wherry/first-boot.cmd";
/// The operator's part, in the option `first-boot-commands`.
const COMMANDS: &str = "wherry/commands.cmd";
/// What keeps the count.
const COUNT: &str = r"HKLM\SOFTWARE\Wherry";

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
    work.write(&work.place.path(SCRIPT), &bytes(&script(addresses, commands.is_some())), reason)?;
    let root = work.hives.text(Store::Software, r"Microsoft\Windows NT\CurrentVersion", "SystemRoot")?;
    let root = root.unwrap_or_else(|| r"C:\Windows".into());
    let command = format!(r"{root}\System32\cmd.exe /c {root}\{}", SCRIPT.replace('/', r"\"));
    work.set_text(Store::System, "Setup", "CmdLine", &command)?;
    work.set_number(Store::System, "Setup", "SetupType", 2)?;
    work.commit(reason)
}

fn lines(text: &str) -> String {
    text.lines().flat_map(|line| [line, "\r\n"]).collect()
}

fn script(addresses: &[Address<'_>], commands: bool) -> String {
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
if not "%ERRORLEVEL%"=="249" goto :eof
if %RUNS% GEQ {RUNS_MOST} goto :eof
reg add HKLM\SYSTEM\Setup /v CmdLine /t REG_SZ /d "%ComSpec% /c %~f0" /f >nul
reg add HKLM\SYSTEM\Setup /v SetupType /t REG_DWORD /d 2 /f >nul
"#
        );
    }
    text += "goto :eof\n";
    if !addresses.is_empty() {
        text += ADDRESS;
    }
    lines(&text)
}

/// Finds a connection by its hardware address, for two minutes, since cards are installed meanwhile.
const ADDRESS: &str = r#"
:address
set LEFT=24
:look
set NAME=
for /f "tokens=1,3 delims=," %%A in ('getmac /v /fo csv /nh') do if /i "%%~B"=="%~1" set NAME=%%~A
if defined NAME goto found
set /a LEFT-=1
if %LEFT%==0 goto missing
ping -n 6 127.0.0.1 >nul
goto look
:missing
echo no card has the address %1 >>"%~dp0first-boot.log"
goto :eof
:found
netsh interface ip set address "%NAME%" static %2 %3 %~4 %~5 >>"%~dp0first-boot.log" 2>&1
goto :eof
"#;

fn call(address: &Address<'_>) -> String {
    let card = address.card;
    let mac = address.mac.replace(':', "-").to_ascii_uppercase();
    let mut text = String::new();
    for (number, (ip, mask)) in
        card.addresses.iter().filter(|(ip, mask)| is_address(ip) && is_address(mask)).enumerate()
    {
        if number == 0 {
            let gateway = card.gateways.first().filter(|gateway| is_address(gateway));
            let gateway = gateway.map_or(String::new(), |gateway| format!(" {gateway} 1"));
            text += &format!("call :address {mac} {ip} {mask}{gateway}\n");
        } else {
            text += &format!("if defined NAME netsh interface ip add address \"%NAME%\" {ip} {mask} >nul\n");
        }
    }
    let servers = card.servers.split([',', ' ']).filter(|server| is_address(server));
    for (number, server) in servers.enumerate() {
        let verb = if number == 0 { "set dns" } else { "add dns" };
        let how = if number == 0 { "static " } else { "" };
        text += &format!("if defined NAME netsh interface ip {verb} \"%NAME%\" {how}{server} >nul\n");
    }
    text
}

/// Only what is an address gets into a command.
fn is_address(text: &str) -> bool {
    text.parse::<core::net::Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let text = script(&[Address { card: &card, mac: "52:54:00:12:34:56" }], true);
        assert!(text.contains("call :address 52-54-00-12-34-56 10.0.0.5 255.0.0.0\r\n"));
        assert!(!text.contains("del *") && !text.contains("& format") && !text.contains("%PATH%"));
        let first = text.find("SetupType /t REG_DWORD /d 0").unwrap();
        assert!(first < text.find("call ").unwrap(), "it is taken back before anything can fail");
    }
}
