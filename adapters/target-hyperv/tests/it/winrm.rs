//! A Windows host in a few lines: the shell of WS-Management with answers after the examples of MS-WSMV, section 4.1. It runs
//! no script; it prints what it was told to.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use std::cell::{Cell, RefCell};
use wherry_sdk::http::{Request, Response};
use wherry_sdk::{Http, Result};

const SHELL: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell";

/// One that prints these lines for every script.
#[derive(Default)]
pub struct Winrm {
    pub prints: Vec<&'static str>,
    /// The last part of each action.
    pub asked: RefCell<Vec<String>>,
    pub scripts: RefCell<Vec<String>>,
    /// The program that reads scripts.
    pub reader: RefCell<String>,
    /// The number of the answer that is replaced, and by what.
    pub replaced: RefCell<Option<(usize, u16, Vec<u8>)>>,
    waits: Cell<bool>,
}

pub fn envelope(body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" xmlns:rsp=\"{SHELL}\" \
         xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\"><s:Header/><s:Body>{body}</s:Body></s:Envelope>"
    )
}

pub fn fault(subcode: &str, code: &str, words: &str) -> String {
    envelope(&format!(
        "<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>w:{subcode}</s:Value></s:Subcode></s:Code>\
         <s:Reason><s:Text xml:lang=\"en-US\">{words}</s:Text></s:Reason><s:Detail><f:WSManFault Code=\"{code}\" \
         xmlns:f=\"http://schemas.microsoft.com/wbem/wsman/1/wsmanfault\"><f:Message>{words}</f:Message>\
         </f:WSManFault></s:Detail></s:Fault>"
    ))
}

impl Winrm {
    pub fn printing(prints: &[&'static str]) -> Self {
        Self { prints: prints.to_vec(), ..Self::default() }
    }

    fn received(&self) -> (u16, String) {
        // Nothing for a minute, then all of it in two pieces.
        if !self.waits.replace(true) {
            return (500, fault("TimedOut", "2150858793", "nothing yet"));
        }
        let lines = self.prints.iter().chain(&["done="]);
        let text: String = lines.map(|line| format!("wherry:{}\r\n", BASE64_STANDARD.encode(line))).collect();
        let (one, other) = text.split_at(text.len() / 3);
        let stream = |text: &str| {
            format!(
                "<rsp:Stream Name=\"stdout\" CommandId=\"C-1\">{}</rsp:Stream>",
                BASE64_STANDARD.encode(text)
            )
        };
        let state = format!("<rsp:CommandState CommandId=\"C-1\" State=\"{SHELL}/CommandState/Done\"/>");
        let streams = stream("noise\r\n") + &stream(one) + &stream(other);
        (200, envelope(&format!("<rsp:ReceiveResponse>{streams}{state}</rsp:ReceiveResponse>")))
    }
}

impl Http for Winrm {
    fn send(&self, request: &Request) -> Result<Response> {
        assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://hv1:5986/wsman"));
        assert_eq!(request.secret.as_deref(), Some("winrm"));
        let text = std::str::from_utf8(&request.body).unwrap();
        let part = |start: &str, end: &str| Some(text.split_once(start)?.1.split_once(end)?.0.to_owned());
        let action = part("<a:Action s:mustUnderstand=\"true\">", "</a:Action>").unwrap();
        let name = action.rsplit('/').next().unwrap().to_owned();
        let selector = text.contains("<w:Selector Name=\"ShellId\">S-1</w:Selector>");
        assert_eq!(selector, name != "Create", "{text}");
        self.asked.borrow_mut().push(name.clone());
        let (status, body) = match name.as_str() {
            "Create" => (200, envelope("<rsp:Shell><rsp:ShellId>S-1</rsp:ShellId></rsp:Shell>")),
            "Command" => {
                self.scripts.borrow_mut().push(String::new());
                self.waits.set(false);
                let last = text.rsplit("<rsp:Arguments>").next().unwrap().split('<').next().unwrap();
                let bytes = BASE64_STANDARD.decode(last).unwrap();
                let units = bytes.chunks(2).map(|two| u16::from_le_bytes([two[0], two[1]]));
                *self.reader.borrow_mut() = String::from_utf16(&units.collect::<Vec<_>>()).unwrap();
                (
                    200,
                    envelope("<rsp:CommandResponse><rsp:CommandId>C-1</rsp:CommandId></rsp:CommandResponse>"),
                )
            }
            "Send" => {
                let coded = part("\">", "</rsp:Stream>").unwrap();
                let coded = coded.rsplit('>').next().unwrap().to_owned();
                let piece = String::from_utf8(BASE64_STANDARD.decode(coded).unwrap()).unwrap();
                self.scripts.borrow_mut().last_mut().unwrap().push_str(&piece);
                (200, envelope("<rsp:SendResponse/>"))
            }
            "Receive" => self.received(),
            _ => (200, envelope("")),
        };
        let number = self.asked.borrow().len();
        let replaced = self.replaced.borrow();
        let (status, body) = match &*replaced {
            Some((at, status, other)) if *at == number => (*status, other.clone()),
            _ => (status, body.into_bytes()),
        };
        Ok(Response { status, headers: Vec::new(), body })
    }
}
