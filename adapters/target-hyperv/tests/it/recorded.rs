//! What real Windows hosts have answered: exchanges that pypsrp's tests recorded (PyPI, MIT license), taken from its source
//! package. Scripts of ours are not among them, so that each run ends with "the script did not come to its end", and says
//! what the host printed.

use crate::winrm::envelope;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use roxmltree::{Document, Node};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use target_hyperv::wsman::{Access, run};
use wherry_sdk::http::{Request, Response};
use wherry_sdk::{Http, Result};

const PACKAGE: &str = "pypsrp==0.9.1";

fn tool(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The folder with the recordings; fetched once.
fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.work");
    let place = root.join(PACKAGE.replace("==", "-"));
    std::fs::create_dir_all(&place).unwrap();
    let lock = std::fs::File::create(place.join("lock")).unwrap();
    lock.lock().unwrap();
    let name = PACKAGE.replace("==", "-");
    if !place.join("complete").exists() {
        tool(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(place.join("venv")));
        let mut download = Command::new(place.join("venv/bin/pip"));
        download.args(["download", "-q", "--no-deps", "--no-binary", ":all:", PACKAGE, "-d"]);
        tool(download.arg(&place));
        let archive = place.join(format!("{name}.tar.gz"));
        tool(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&place));
        std::fs::write(place.join("complete"), PACKAGE).unwrap();
    }
    place.join(name).join("tests/tests_pypsrp/responses")
}

/// One request of theirs and its answer.
struct Exchange {
    request: String,
    status: u16,
    answer: String,
}

/// The exchanges of a file: YAML with a message a line.
fn exchanges(name: &str) -> Vec<Exchange> {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    let mut all: Vec<Exchange> = Vec::new();
    for line in text.lines() {
        if let Some(request) = line.strip_prefix("- request: ") {
            all.push(Exchange { request: request.into(), status: 200, answer: String::new() });
        } else if let Some(answer) = line.strip_prefix("  response: ") {
            all.last_mut().unwrap().answer = answer.into();
        } else if let Some(code) = line.trim().strip_prefix("code: ") {
            all.last_mut().unwrap().status = code.parse().unwrap();
        }
    }
    all
}

fn find<'a>(document: &'a Document<'_>, name: &str) -> Option<Node<'a, 'a>> {
    document.descendants().find(|node| node.tag_name().name() == name)
}

fn text(message: &str, name: &str) -> Option<String> {
    let document = Document::parse(message).unwrap();
    Some(find(&document, name)?.text()?.to_owned())
}

/// The last part of a message's action.
fn action(message: &str) -> String {
    text(message, "Action").unwrap().rsplit('/').next().unwrap().to_owned()
}

/// A header's elements with what does not differ from message to message.
fn header(message: &str) -> BTreeMap<String, (Option<String>, Option<String>)> {
    let document = Document::parse(message).unwrap();
    let header = find(&document, "Header").unwrap();
    let fixed = ["Action", "MaxEnvelopeSize", "ResourceURI"];
    header
        .children()
        .filter(|node| node.is_element())
        .map(|node| {
            let name = node.tag_name().name();
            let must = node.attributes().find(|one| one.name() == "mustUnderstand");
            let value = fixed.contains(&name).then(|| node.text().unwrap_or_default().to_owned());
            let key = format!("{{{}}}{name}", node.tag_name().namespace().unwrap_or_default());
            (key, (must.map(|one| one.value().to_owned()), value))
        })
        .collect()
}

/// A host that answers as the recorded one did.
struct Host {
    exchanges: RefCell<Vec<Exchange>>,
    shell: String,
    command: Option<String>,
}

impl Host {
    fn new(exchanges: Vec<Exchange>) -> Self {
        let answer = |wanted: &str, element: &str| {
            let one = exchanges.iter().find(|one| action(&one.request) == wanted)?;
            text(&one.answer, element)
        };
        let (shell, command) = (answer("Create", "ShellId").unwrap(), answer("Command", "CommandId"));
        Self { exchanges: RefCell::new(exchanges), shell, command }
    }

    fn compare(&self, ours: &str, theirs: &str) {
        let (own, other) = (header(ours), header(theirs));
        // Options are those of a command, and a client need not have sessions.
        let is_free = |name: &str| ["}OptionSet", "}SessionId"].iter().any(|end| name.ends_with(end));
        for (name, theirs) in other.iter().filter(|(name, _)| !is_free(name)) {
            let ours = own.get(name).unwrap_or_else(|| panic!("{name} is missing in {ours}"));
            assert!(ours == theirs, "{name}: {ours:?} is not {theirs:?}");
        }
    }
}

impl Http for Host {
    fn send(&self, request: &Request) -> Result<Response> {
        let ours = std::str::from_utf8(&request.body).unwrap();
        let asked = action(ours);
        if asked != "Create" {
            assert!(text(ours, "Selector") == Some(self.shell.clone()), "the shell's number: {ours}");
        }
        if ["Receive", "Signal", "Send"].contains(&asked.as_str()) {
            assert!(ours.contains(&format!("CommandId=\"{}\"", self.command.as_ref().unwrap())), "{ours}");
        }
        let mut exchanges = self.exchanges.borrow_mut();
        let (status, body) = match exchanges.iter().position(|one| action(&one.request) == asked) {
            Some(at) => {
                let one = exchanges.remove(at);
                self.compare(ours, &one.request);
                (one.status, one.answer)
            }
            // Their commands had no input.
            None if asked == "Send" => (200, envelope("<rsp:SendResponse/>")),
            None => panic!("{asked} was not recorded once more"),
        };
        Ok(Response { status, headers: Vec::new(), body: body.into_bytes() })
    }
}

/// What the recorded command printed.
fn printed(exchanges: &[Exchange]) -> String {
    let mut all = Vec::new();
    for one in exchanges.iter().filter(|one| action(&one.request) == "Receive") {
        let document = Document::parse(&one.answer).unwrap();
        for stream in document.descendants().filter(|node| node.tag_name().name() == "Stream") {
            all.extend(BASE64_STANDARD.decode(stream.text().unwrap_or_default().trim()).unwrap());
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn outcome(name: &str) -> (String, String) {
    let exchanges = exchanges(name);
    let printed = printed(&exchanges);
    let access =
        Access { url: "https://server:5986/wsman".into(), secret: "winrm".into(), seed: "seed".into() };
    let error = run(&Host::new(exchanges), &access, "'a script'").unwrap_err();
    (printed, error.message)
}

#[test]
fn what_windows_printed_is_read() {
    for name in [
        "test_winrs_standard.yml",
        "test_winrs_send.yml",
        "test_winrs_stderr_rc.yml",
        "test_winrs_unicode.yml",
        "test_winrs_operation_timeout.yml",
        "test_client_execute_cmd.yml",
    ] {
        let (printed, message) = outcome(name);
        let start: String = printed.split_whitespace().next().unwrap_or_default().chars().take(20).collect();
        assert!(!start.is_empty(), "{name} printed nothing");
        assert!(message.contains("did not come to its end") && message.contains(&start), "{name}: {message}");
    }
}

#[test]
fn what_windows_refused_is_told() {
    let (_, message) = outcome("test_winrs_bad_cmd_id.yml");
    assert!(
        message.starts_with("WinRM: the host says \"The Windows Remote Shell received a request"),
        "{message}"
    );
    assert!(message.ends_with("(fault w:InvalidSelectors 2150858843)"), "{message}");
}
