//! One PowerShell script on a Windows host, over WS-Management: MS-WSMV, the shell of section 3.1.4.1 (create, command, send,
//! receive, signal, delete), in SOAP 1.2 with the headers of DSP0226. What the host answers is not to be trusted.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use roxmltree::{Document, Node, ParsingOptions};
use std::cell::Cell;
use wherry_sdk::http::Request;
use wherry_sdk::platform::{uuid, xml};
use wherry_sdk::{Error, ErrorKind, Http, Result};

const SHELL: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell";
const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
/// Seconds that the host may let a request wait, and milliseconds that it may take in all.
const WAIT_SECONDS: u32 = 50;
const TIMEOUT_MS: u32 = 90_000;
/// Bytes of an envelope that we take, as a client says it (MS-WSMV, section 3.1.4.1.1: at least 8192); all hosts allow
/// 150 KiB.
const ENVELOPE: u32 = 153_600;
/// Bytes of a script in one message; coded they have to fit into an envelope.
const PIECE: usize = 64 << 10;
/// What a script may print.
const OUTPUT_MOST: usize = 4 << 20;
/// How often the host may say that there is nothing yet: half a day.
const RECEIVES_MOST: u32 = 1000;
const NODES_MOST: u32 = 100_000;
/// `w:TimedOut`, in the numbers of MS-WSMV, appendix B (ERROR_WSMAN_OPERATION_TIMEDOUT).
const TIMED_OUT: &str = "2150858793";

/// The program that reads the script and prints its lines, so that neither code pages nor the length of a command matter.
const READER: &str = "$ErrorActionPreference='Stop';$ProgressPreference='SilentlyContinue'\n\
    function Out-Line($Text){[Console]::Out.WriteLine('wherry:'+[Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($Text)))}\n\
    try{& ([ScriptBlock]::Create([Console]::In.ReadToEnd())) 3>&1|ForEach-Object{\n\
    if($_ -is [Management.Automation.WarningRecord]){Out-Line \"warning=$_\"}else{Out-Line \"$_\"}};Out-Line 'done=';exit 0}\n\
    catch{Out-Line \"error=$_\";exit 1}";

/// Where a host listens, and the secret for it.
pub struct Access {
    /// `https://host:5986/wsman`.
    pub url: String,
    /// Its name.
    pub secret: String,
    /// Of this run: messages are numbered by it.
    pub seed: String,
}

/// A shell on the host; it is removed in the end.
struct Shell<'a> {
    http: &'a dyn Http,
    access: &'a Access,
    id: String,
    count: Cell<u32>,
}

/// Runs `script`; what it printed as `KEY=VALUE`, in order. What it threw is an error.
pub fn run(http: &dyn Http, access: &Access, script: &str) -> Result<Vec<(String, String)>> {
    let mut shell = Shell { http, access, id: String::new(), count: Cell::new(0) };
    shell.create()?;
    let output = shell.script(script);
    // A shell that is forgotten is removed by the host after some time.
    let _removed = shell.delete();
    lines(&output?)
}

/// The lines between all else that the host's programs print.
fn lines(output: &[u8]) -> Result<Vec<(String, String)>> {
    let text = String::from_utf8_lossy(output);
    let mut all = Vec::new();
    for line in text.lines().filter_map(|line| line.trim().strip_prefix("wherry:")) {
        let bytes =
            BASE64_STANDARD.decode(line).map_err(|_| nonsense("a line of the script is not whole"))?;
        let line = String::from_utf8_lossy(&bytes).into_owned();
        let (key, value) = line.split_once('=').unwrap_or((&line, ""));
        if key == "error" {
            return Err(Error::new(ErrorKind::Failed, format!("the host says: {}", plain(value))));
        }
        all.push((key.to_owned(), value.to_owned()));
    }
    match all.pop_if(|(key, _)| key == "done") {
        Some(_) => Ok(all),
        None => {
            let said: String = plain(&text);
            Err(nonsense(&format!("the script did not come to its end; the host said {said:?}")))
        }
    }
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect::<String>().trim().to_owned()
}

fn nonsense(what: &str) -> Error {
    Error::new(ErrorKind::Io, format!("WinRM: {what}"))
}

/// UTF-16, as `-EncodedCommand` takes it.
fn encoded(script: &str) -> String {
    BASE64_STANDARD.encode(script.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>())
}

impl Shell<'_> {
    fn create(&mut self) -> Result<()> {
        let options = "<w:OptionSet><w:Option Name=\"WINRS_NOPROFILE\">TRUE</w:Option>\
                       <w:Option Name=\"WINRS_CODEPAGE\">65001</w:Option></w:OptionSet>";
        let body = "<rsp:Shell><rsp:InputStreams>stdin</rsp:InputStreams>\
                    <rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>";
        let answer = self.ask(&format!("{TRANSFER}/Create"), options, body)?;
        let document = parse(&answer)?;
        let by_selector = |node: &Node<'_, '_>| {
            node.tag_name().name() == "Selector" && node.attribute("Name") == Some("ShellId")
        };
        let found = document.descendants().find(|node| named(node, "ShellId") || by_selector(node));
        self.id = text(found).ok_or_else(|| nonsense("the new shell has no number"))?;
        Ok(())
    }

    fn script(&self, script: &str) -> Result<Vec<u8>> {
        let options = "<w:OptionSet><w:Option Name=\"WINRS_CONSOLEMODE_STDIN\">FALSE</w:Option>\
                       <w:Option Name=\"WINRS_SKIP_CMD_SHELL\">TRUE</w:Option></w:OptionSet>";
        let arguments = format!(
            "-NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -OutputFormat Text -EncodedCommand {}",
            encoded(READER)
        );
        let arguments: Vec<String> =
            arguments.split(' ').map(|one| format!("<rsp:Arguments>{}</rsp:Arguments>", xml(one))).collect();
        let body = format!(
            "<rsp:CommandLine><rsp:Command>powershell.exe</rsp:Command>{}</rsp:CommandLine>",
            arguments.concat()
        );
        let answer = self.ask(&format!("{SHELL}/Command"), options, &body)?;
        let found = parse(&answer)?
            .descendants()
            .find(|node| named(node, "CommandId"))
            .and_then(|node| text(Some(node)));
        let command = found.ok_or_else(|| nonsense("the new command has no number"))?;
        self.feed(&command, script)?;
        let output = self.receive(&command);
        let code = format!("{SHELL}/signal/terminate");
        let body =
            format!("<rsp:Signal CommandId=\"{}\"><rsp:Code>{code}</rsp:Code></rsp:Signal>", xml(&command));
        // It has ended, or nobody waits for it any more.
        let _ended = self.ask(&format!("{SHELL}/Signal"), "", &body);
        output
    }

    fn feed(&self, command: &str, script: &str) -> Result<()> {
        let bytes = script.as_bytes();
        let pieces = bytes.len().div_ceil(PIECE);
        for (number, piece) in bytes.chunks(PIECE).enumerate() {
            let end = if number + 1 == pieces { " End=\"true\"" } else { "" };
            let body = format!(
                "<rsp:Send><rsp:Stream Name=\"stdin\" CommandId=\"{}\"{end}>{}</rsp:Stream></rsp:Send>",
                xml(command),
                BASE64_STANDARD.encode(piece)
            );
            self.ask(&format!("{SHELL}/Send"), "", &body)?;
        }
        Ok(())
    }

    /// What the command prints, until it has ended.
    fn receive(&self, command: &str) -> Result<Vec<u8>> {
        let body = format!(
            "<rsp:Receive><rsp:DesiredStream CommandId=\"{}\">stdout stderr</rsp:DesiredStream></rsp:Receive>",
            xml(command)
        );
        let mut output = Vec::new();
        for _ in 0..RECEIVES_MOST {
            if wherry_sdk::cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "stopped while the host was working"));
            }
            let answer = match self.ask(&format!("{SHELL}/Receive"), "", &body) {
                Err(e) if e.kind == ErrorKind::Busy => continue,
                answer => answer?,
            };
            let document = parse(&answer)?;
            for stream in document.descendants().filter(|node| named(node, "Stream")) {
                let coded: String = stream.text().unwrap_or_default().split_whitespace().collect();
                let bytes = BASE64_STANDARD.decode(coded).map_err(|_| nonsense("its output is not whole"))?;
                if output.len() + bytes.len() > OUTPUT_MOST {
                    return Err(Error::new(ErrorKind::Limit, "WinRM: the script prints too much"));
                }
                output.extend(bytes);
            }
            let state = document.descendants().find(|node| named(node, "CommandState"));
            if state.and_then(|node| node.attribute("State")).is_some_and(|state| state.ends_with("/Done")) {
                return Ok(output);
            }
        }
        Err(Error::new(ErrorKind::Busy, "WinRM: the script does not come to its end"))
    }

    fn delete(&self) -> Result<String> {
        self.ask(&format!("{TRANSFER}/Delete"), "", "")
    }

    /// One request; `busy` where the host says that it has nothing yet.
    fn ask(&self, action: &str, options: &str, body: &str) -> Result<String> {
        self.count.set(self.count.get() + 1);
        let request = Request {
            method: "POST".into(),
            url: self.access.url.clone(),
            headers: vec![("content-type".into(), "application/soap+xml;charset=UTF-8".into())],
            body: self.envelope(action, options, body).into_bytes(),
            secret: Some(self.access.secret.clone()),
            timeout_ms: TIMEOUT_MS,
        };
        let answer = self.http.send(&request)?;
        let text = String::from_utf8(answer.body).map_err(|_| nonsense("the answer is not UTF-8"))?;
        match answer.status {
            200 => Ok(text),
            // A fault has this status (SOAP 1.2, part 2, section 7.4.2).
            400 | 500 if !text.is_empty() => Err(fault(&text)),
            status => Err(nonsense(&format!("{} answers {status}", self.access.url))),
        }
    }

    fn envelope(&self, action: &str, options: &str, body: &str) -> String {
        let message = uuid(&self.access.seed, &format!("message {} {}", self.id, self.count.get()));
        let selector = match self.id.as_str() {
            "" => String::new(),
            id => format!(
                "<w:SelectorSet><w:Selector Name=\"ShellId\">{}</w:Selector></w:SelectorSet>",
                xml(id)
            ),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
             xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
             xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\" \
             xmlns:p=\"http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd\" xmlns:rsp=\"{SHELL}\"><s:Header>\
             <a:To>{}</a:To><a:ReplyTo><a:Address s:mustUnderstand=\"true\">\
             http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo>\
             <w:MaxEnvelopeSize s:mustUnderstand=\"true\">{ENVELOPE}</w:MaxEnvelopeSize>\
             <a:MessageID>uuid:{message}</a:MessageID><w:Locale s:mustUnderstand=\"false\" xml:lang=\"en-US\"/>\
             <p:DataLocale s:mustUnderstand=\"false\" xml:lang=\"en-US\"/>\
             <w:OperationTimeout>PT{WAIT_SECONDS}S</w:OperationTimeout>\
             <w:ResourceURI s:mustUnderstand=\"true\">{SHELL}/cmd</w:ResourceURI>\
             <a:Action s:mustUnderstand=\"true\">{action}</a:Action>{selector}{options}</s:Header>\
             <s:Body>{body}</s:Body></s:Envelope>",
            xml(&self.access.url)
        )
    }
}

fn parse(answer: &str) -> Result<Document<'_>> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MOST, ..ParsingOptions::default() };
    Document::parse_with_options(answer, options)
        .map_err(|e| nonsense(&format!("the answer is no XML: {}", plain(&e.to_string()))))
}

fn named(node: &Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

/// The number of a shell or command: nothing else is there that we send back.
fn text(node: Option<Node<'_, '_>>) -> Option<String> {
    let text = node?.text()?.trim();
    let letter = |c: char| c.is_ascii_alphanumeric() || "-{}:".contains(c);
    (!text.is_empty() && text.len() <= 128 && text.chars().all(letter)).then(|| text.to_owned())
}

/// A fault as an error.
fn fault(answer: &str) -> Error {
    let document = match parse(answer) {
        Ok(document) => document,
        Err(e) => return e,
    };
    let find = |name: &str| document.descendants().find(|node| named(node, name));
    let code = find("WSManFault").and_then(|node| node.attribute("Code")).unwrap_or_default();
    let subcode = find("Subcode").and_then(|node| node.descendants().find(|one| named(one, "Value")));
    let subcode = subcode.and_then(|node| node.text()).unwrap_or_default().trim();
    let words = find("Message").into_iter().chain(find("Text"));
    let words: Vec<String> =
        words.flat_map(|node| node.descendants().filter_map(|one| one.text())).map(plain).collect();
    let words = words.into_iter().find(|words| !words.is_empty()).unwrap_or_default();
    let kind = match subcode.rsplit(':').next().unwrap_or_default() {
        "TimedOut" => ErrorKind::Busy,
        "AccessDenied" => ErrorKind::Denied,
        _ if code == TIMED_OUT => ErrorKind::Busy,
        _ => ErrorKind::Failed,
    };
    Error::new(
        kind,
        format!("WinRM: the host says {words:?} (fault {})", plain(&format!("{subcode} {code}"))),
    )
}
