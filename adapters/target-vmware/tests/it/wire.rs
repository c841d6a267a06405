//! As much HTTP as the tests need: one request a connection, and the secret in its places.

use crate::vcsim::{PASSWORD, USER};
use std::cell::{Cell, RefCell};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use wherry_sdk::http::{Request, Response};
use wherry_sdk::{Error, ErrorKind, Http, Result};

/// Sends requests for real, and remembers the methods that were called.
#[derive(Default)]
pub struct Wire {
    pub called: RefCell<Vec<String>>,
    /// After so many requests nothing goes through any more.
    pub dies_after: Cell<Option<usize>>,
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Http for Wire {
    fn send(&self, request: &Request) -> Result<Response> {
        let text = String::from_utf8(request.body.clone()).unwrap();
        let method = text.split("Body>").nth(1).and_then(|body| body[1..].split([' ', '>']).next());
        self.called.borrow_mut().push(method.unwrap_or_default().to_owned());
        if self.dies_after.get().is_some_and(|most| self.called.borrow().len() > most) {
            return Err(Error::new(ErrorKind::Io, "the line is dead"));
        }
        let filled = request.secret.as_ref().map(|name| {
            let place = |what: &str| format!("{{{{secret:{name}:{what}}}}}");
            assert!(text.contains(&place("user")) && text.contains(&place("password")));
            text.replace(&place("user"), &escape(USER)).replace(&place("password"), &escape(PASSWORD))
        });
        assert!(filled.is_some() || !text.contains("{{secret"), "{text}");
        let body = filled.unwrap_or(text).into_bytes();
        Ok(exchange(&request.method, &request.url, &request.headers, &body))
    }
}

/// One request and its answer.
pub fn exchange(method: &str, url: &str, headers: &[(String, String)], body: &[u8]) -> Response {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let mut head = format!("{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: Vec<_> = lines.filter_map(header).collect();
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let rest = &answer[end + 4..];
    Response { status, headers, body: if chunked { joined(rest) } else { rest.to_vec() } }
}

fn joined(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
}
