//! A client of HTTP/1.1 (RFC 9110, RFC 9112) for what adapters ask: granted servers only, secrets that adapters do not see, every
//! wait bounded. Redirects are answers; nothing is kept but connections.

use crate::answer::{Answer, TOO_LONG};
use crate::login::Login;
use crate::origin::{Origin, Url};
use crate::secret::{Kind, Secret};
use crate::stream::{Stream, lock};
use crate::tls;
use crate::trust::{Secured, Server, secure};
use crate::watch::{Patient, Watch};
use rustls::ClientConfig;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Bytes of an answer.
const ANSWER_MOST: u64 = 16 << 20;
/// A request never waits longer.
const TIME_MOST: Duration = Duration::from_secs(600);
/// How long one piece of a file may take to leave.
const PIECE_TIME: Duration = Duration::from_secs(60);
const PIECE: usize = 256 << 10;
/// How long a server that breaks off may explain itself.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The kind of error of a file that cannot be read any more.
const UNREADABLE: io::ErrorKind = io::ErrorKind::InvalidInput;
/// Connections kept for later.
const IDLE_MOST: usize = 8;
/// Headers that say where a message ends or whom it is for: the client's own (RFC 9110, section 7.6.1).
const OWN: [&str; 10] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
];

/// What the caller branches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The request makes no sense.
    Invalid,
    /// The server may not be asked, or the secret is missing or was refused.
    Denied,
    /// The server cannot be reached, is not who it should be, or answers nonsense.
    Io,
    /// It takes too long.
    Slow,
    /// The operator has asked to stop.
    Stopped,
    /// It answers too much.
    TooLong,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Failure {
    /// What the caller branches on.
    pub trouble: Trouble,
    /// What, where and what next; without secrets.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What is asked, without its body.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// `GET`, `POST` and the like.
    pub method: &'a str,
    /// Absolute.
    pub url: &'a str,
    /// Names and values, besides those that are the client's own.
    pub headers: &'a [(String, String)],
    /// The name of a secret.
    pub secret: Option<&'a str>,
}

/// Asks the servers that the operator named.
pub struct Client {
    servers: Vec<Server>,
    secrets: HashMap<String, Secret>,
    stop: Arc<AtomicBool>,
    idle: Mutex<Vec<Connection>>,
    configs: Mutex<HashMap<Origin, Arc<ClientConfig>>>,
}

/// A connection, and who has logged in on it.
pub(crate) struct Connection {
    pub origin: Origin,
    pub input: BufReader<Box<dyn Stream>>,
    pub output: Box<dyn Stream>,
    pub watch: Watch,
    pub bindings: Option<[u8; 16]>,
    pub login: Option<Login>,
}

/// A request that may be sent.
pub(crate) struct Checked<'a> {
    pub call: &'a Call<'a>,
    pub url: Url,
    pub server: &'a Server,
    pub secret: Option<(&'a str, &'a Secret)>,
}

pub(crate) fn failure(trouble: Trouble, message: impl Into<String>) -> Failure {
    Failure { trouble, message: message.into() }
}

fn is_token(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.len() <= 256 && text.chars().all(letter)
}

fn check_head(call: &Call<'_>) -> Result<(), Failure> {
    let invalid = |what: String| Err(failure(Trouble::Invalid, what));
    let method = call.method.len() <= 16 && call.method.bytes().all(|byte| byte.is_ascii_uppercase());
    if !method || !is_token(call.method) || ["CONNECT", "TRACE"].contains(&call.method) {
        return invalid(format!("{:?} is no method that may be used", call.method));
    }
    for (name, value) in call.headers {
        let lower = name.to_ascii_lowercase();
        let own = OWN.contains(&lower.as_str()) || (lower == "authorization" && call.secret.is_some());
        if !is_token(name) || own {
            return invalid(format!("a request cannot have the header {name:?} of its own"));
        }
        if value.len() > 16 << 10 || value.chars().any(|c| c.is_control() && c != '\t') {
            return invalid(format!("the header {name:?} has a value that no header can have"));
        }
    }
    Ok(())
}

impl Client {
    /// A client of these servers; secrets are for the first of them alone. `stop` ends every wait.
    pub fn new(servers: Vec<Server>, secrets: HashMap<String, Secret>, stop: Arc<AtomicBool>) -> Self {
        Self { servers, secrets, stop, idle: Mutex::default(), configs: Mutex::default() }
    }

    /// The same servers and secrets, whatever the operator has asked to stop: for what has to be cleared away then.
    pub fn undisturbed(&self) -> Self {
        Self::new(self.servers.clone(), self.secrets.clone(), Arc::default())
    }

    /// Sends a request and waits for the whole answer, at most `time`.
    pub fn send(&self, call: &Call<'_>, body: &[u8], time: Duration) -> Result<Answer, Failure> {
        let checked = self.check(call)?;
        let body = match checked.secret {
            Some((name, secret)) if secret.kind == Kind::Template => {
                let filled = secret.fill(name, body, checked.header("content-type").unwrap_or_default());
                &filled.map_err(|e| failure(Trouble::Invalid, e))?
            }
            _ => body,
        };
        let end = Instant::now() + time.min(TIME_MOST);
        let left = || end.saturating_duration_since(Instant::now());
        let mut old = self.idle(&checked);
        loop {
            let again = old.is_some();
            let mut connection = match old.take() {
                Some(connection) => connection,
                None => self.connect(&checked, left())?,
            };
            connection.watch.allow(left());
            match connection.exchange(&checked, body) {
                // Whoever was let in once may be forgotten in the meantime.
                Ok((answer, _)) if answer.status == 401 && again => {}
                Ok((answer, _)) if answer.status == 401 && checked.is_authenticated() => {
                    return Err(checked.refused());
                }
                Ok((answer, kept)) => {
                    if kept {
                        self.keep(connection);
                    }
                    return Ok(answer);
                }
                // A kept connection may end at any time; what has no effect twice is asked once more.
                Err(e) if again && checked.is_repeatable() && !connection.watch.stopped() => {
                    tracing::debug!(origin = %checked.url.origin, "asked once more: {}", e.message);
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Sends `length` bytes of a file as the body; `done` counts them. Each piece has a minute, the answer ten.
    pub fn upload(
        &self,
        call: &Call<'_>,
        (file, length): (&mut dyn Read, u64),
        done: &AtomicU64,
    ) -> Result<Answer, Failure> {
        let checked = self.check(call)?;
        if checked.secret.is_some_and(|(_, secret)| secret.header().is_none()) {
            return Err(failure(
                Trouble::Invalid,
                "files are sent with secrets of kind basic or bearer only",
            ));
        }
        let mut connection = self.connect(&checked, PIECE_TIME)?;
        connection.watch.allow(PIECE_TIME);
        let sent = connection.pour(&checked, (file, length), done);
        if let Err(e) = &sent {
            let failed = connection.failed(e, PIECE_TIME);
            if failed.trouble != Trouble::Io || e.kind() == UNREADABLE {
                return Err(failed);
            }
            // A server that refuses says why before it hangs up.
            connection.watch.allow(LAST_WORDS);
            let said = Answer::read(&mut connection.input, call.method, ANSWER_MOST);
            return match said {
                Ok((answer, _)) if answer.status >= 300 => Ok(answer),
                _ => Err(failed),
            };
        }
        connection.watch.allow(TIME_MOST);
        let (answer, _) = Answer::read(&mut connection.input, call.method, ANSWER_MOST)
            .map_err(|e| connection.failed(&e, TIME_MOST))?;
        match answer.status == 401 && checked.is_authenticated() {
            true => Err(checked.refused()),
            false => Ok(answer),
        }
    }

    fn check<'a>(&'a self, call: &'a Call<'a>) -> Result<Checked<'a>, Failure> {
        let url = Url::parse(call.url).map_err(|e| failure(Trouble::Invalid, e))?;
        let server = self.servers.iter().find(|server| server.origin.covers(&url.origin));
        let denied = |what: String| failure(Trouble::Denied, what);
        let server = server.ok_or_else(|| {
            denied(format!("{} is no server that you named; name it with --server", url.origin))
        })?;
        check_head(call)?;
        let Some(name) = call.secret else { return Ok(Checked { call, url, server, secret: None }) };
        let (name, secret) = self.secrets.get_key_value(name).ok_or_else(|| {
            denied(format!("there is no secret `{name}`; write it into the file that --credentials names"))
        })?;
        if self.servers.first().is_none_or(|first| first.origin != url.origin) {
            return Err(denied(format!("secrets are for the first server alone, not for {}", url.origin)));
        }
        if !url.origin.tls && secret.kind != Kind::Ntlm && !secret.plain {
            let what = format!("secret `{name}` is not sent to {} without encryption", url.origin);
            return Err(denied(format!("{what}; use https, or say `plain = true` beside it")));
        }
        Ok(Checked { call, url, server, secret: Some((name, secret)) })
    }

    /// A kept connection on which this secret was let in, or nobody.
    fn idle(&self, checked: &Checked<'_>) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        let who = checked.secret.filter(|(_, secret)| secret.kind == Kind::Ntlm).map(|(name, _)| name);
        loop {
            let fits = |one: &Connection| one.origin == checked.url.origin && one.who() == who;
            let at = idle.iter().position(fits)?;
            let one = idle.swap_remove(at);
            if one.input.buffer().is_empty() && one.output.is_quiet() {
                return Some(one);
            }
        }
    }

    fn keep(&self, connection: Connection) {
        let mut idle = lock(&self.idle);
        if idle.len() == IDLE_MOST {
            idle.remove(0);
        }
        idle.push(connection);
    }

    fn config(&self, server: &Server) -> io::Result<Arc<ClientConfig>> {
        let mut configs = lock(&self.configs);
        if let Some(config) = configs.get(&server.origin) {
            return Ok(config.clone());
        }
        let config = tls::trusting(&server.trust)?;
        configs.insert(server.origin.clone(), config.clone());
        Ok(config)
    }

    fn connect(&self, checked: &Checked<'_>, time: Duration) -> Result<Connection, Failure> {
        let origin = &checked.url.origin;
        let watch = Watch::new(self.stop.clone());
        watch.allow(time);
        let open = || {
            let plain = Box::new(Patient::connect(&origin.host, origin.port, &watch)?);
            let secured = match origin.tls {
                false => Secured { stream: plain, bindings: None },
                true => secure(plain, &origin.host, self.config(checked.server)?)?,
            };
            Ok((secured.stream.twin()?, secured))
        };
        let (input, Secured { stream, bindings }) = open().map_err(|e| troubled(origin, &watch, &e, time))?;
        let (origin, input) = (origin.clone(), BufReader::with_capacity(64 << 10, input));
        Ok(Connection { origin, input, output: stream, watch, bindings, login: None })
    }
}

/// An error of a connection in the operator's words.
fn troubled(origin: &Origin, watch: &Watch, e: &io::Error, time: Duration) -> Failure {
    if watch.stopped() {
        return failure(Trouble::Stopped, format!("stopped while {origin} was asked"));
    }
    if watch.is_over() {
        return failure(Trouble::Slow, format!("{origin} took longer than {} ms", time.as_millis()));
    }
    let hint = match e.to_string().contains("certificate") {
        true => "; if it is right, say --ca FILE, or the server with ,fingerprint=SHA256",
        false => "",
    };
    let trouble = if e.kind() == TOO_LONG { Trouble::TooLong } else { Trouble::Io };
    let what = match e.kind() {
        io::ErrorKind::UnexpectedEof => "it ends the connection before its answer is complete".into(),
        _ => e.to_string(),
    };
    failure(trouble, format!("no answer from {origin}: {what}{hint}"))
}

impl Connection {
    /// The secret that was let in.
    fn who(&self) -> Option<&str> {
        self.login.as_ref().map(|login| login.secret.as_str())
    }

    pub(crate) fn failed(&self, e: &io::Error, time: Duration) -> Failure {
        troubled(&self.origin, &self.watch, e, time)
    }

    /// One request and its answer, and whether the connection can be used again.
    fn exchange(&mut self, checked: &Checked<'_>, body: &[u8]) -> Result<(Answer, bool), Failure> {
        match checked.secret {
            Some((name, secret)) if secret.kind == Kind::Ntlm => {
                self.authenticated(checked, (name, secret), body)
            }
            _ => {
                let header = checked.secret.and_then(|(_, secret)| secret.header());
                self.plainly(
                    checked,
                    &header.map(|value| ("authorization", value)).into_iter().collect::<Vec<_>>(),
                    body,
                )
            }
        }
    }

    /// The same with these headers besides the request's, which they replace.
    pub(crate) fn plainly(
        &mut self,
        checked: &Checked<'_>,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Result<(Answer, bool), Failure> {
        let head = checked.head(headers, body.len() as u64);
        let sent = self.output.write_all(&[head.as_bytes(), body].concat());
        let read = Answer::read(&mut self.input, checked.call.method, ANSWER_MOST);
        // Where it could not even be sent, the answer may say why; if there is none, that was the reason.
        match (sent, read) {
            (_, Ok(answered)) => Ok(answered),
            (Err(e), Err(_)) | (Ok(()), Err(e)) => Err(self.failed(&e, TIME_MOST)),
        }
    }

    fn pour(
        &mut self,
        checked: &Checked<'_>,
        (file, length): (&mut dyn Read, u64),
        done: &AtomicU64,
    ) -> io::Result<()> {
        let header = checked.secret.and_then(|(_, secret)| secret.header());
        let headers: Vec<_> = header.map(|value| ("authorization", value)).into_iter().collect();
        self.output.write_all(checked.head(&headers, length).as_bytes())?;
        let mut piece = vec![0; PIECE];
        let mut sent = 0;
        while sent < length {
            let room = (length - sent).min(PIECE as u64) as usize;
            let count =
                file.read(&mut piece[..room]).map_err(|e| io::Error::new(UNREADABLE, e.to_string()))?;
            if count == 0 {
                return Err(io::Error::new(UNREADABLE, "the file became shorter while it was sent"));
            }
            self.watch.allow(PIECE_TIME);
            self.output.write_all(&piece[..count])?;
            sent += count as u64;
            done.store(sent, Relaxed);
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.watch.allow(Duration::from_secs(1));
        self.output.hang_up();
    }
}

impl Checked<'_> {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.call.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn is_authenticated(&self) -> bool {
        self.secret.is_some_and(|(_, secret)| secret.kind != Kind::Template)
    }

    /// RFC 9110, section 9.2.2.
    fn is_repeatable(&self) -> bool {
        ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].contains(&self.call.method)
    }

    pub(crate) fn refused(&self) -> Failure {
        let name = self.secret.map_or("", |(name, _)| name);
        failure(
            Trouble::Denied,
            format!("{} refuses secret `{name}`; look at user and password", self.url.origin),
        )
    }

    fn head(&self, headers: &[(&str, String)], length: u64) -> String {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\n",
            self.call.method,
            self.url.path,
            self.url.origin.authority()
        );
        let mut add = |name: &str, value: &str| head.push_str(&format!("{name}: {value}\r\n"));
        add("user-agent", concat!("wherry/", env!("CARGO_PKG_VERSION")));
        if length > 0 || ["POST", "PUT", "PATCH"].contains(&self.call.method) {
            add("content-length", &length.to_string());
        }
        let replaced = |name: &str| headers.iter().any(|(other, _)| name.eq_ignore_ascii_case(other));
        for (name, value) in self.call.headers.iter().filter(|(name, _)| !replaced(name)) {
            add(name, value);
        }
        headers.iter().for_each(|(name, value)| add(name, value));
        head + "\r\n"
    }
}
