//! The servers that a target may ask, and the secrets it may name: what the operator says, as the host's client and as facts.

use crate::{Error, Result};
use channels::{Answer, Call, Client, Failure, Kind, Peer, Secret, Trouble};
use runtime::{Asks, Web, contract, refusal};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

/// A file of secrets is never longer.
const FILE_MOST: u64 = 1 << 20;

/// What the operator says of servers.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    /// `https://HOST[:PORT][,ca=FILE | ,fingerprint=SHA256 | ,verify=no]`: the target's own first, then those that files
    /// may be sent to, `https://*.NAME` for all below NAME.
    pub named: Vec<String>,
    /// Authorities in PEM, instead of the system's.
    pub authority: Option<PathBuf>,
    /// A file of secrets (docs/servers.md).
    pub credentials: Option<PathBuf>,
}

/// A connection to the granted servers.
pub(crate) struct Granted {
    client: Client,
    /// Origins, the target's own first.
    origins: Vec<String>,
    /// Names and kinds.
    kinds: BTreeMap<String, Kind>,
}

/// A secret as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    kind: String,
    #[serde(default)]
    user: String,
    password: Option<String>,
    password_file: Option<PathBuf>,
    password_variable: Option<String>,
    #[serde(default)]
    plain: bool,
}

impl Entry {
    fn secret(self, file: &Path) -> std::result::Result<Secret, String> {
        let kinds = [Kind::Basic, Kind::Bearer, Kind::Ntlm, Kind::Template];
        let kind = kinds.into_iter().find(|kind| kind.name() == self.kind);
        let kind = kind.ok_or("its kind is none of basic, bearer, ntlm, template")?;
        let beside = |path: PathBuf| file.parent().map_or_else(|| path.clone(), |folder| folder.join(&path));
        let password = match (self.password, self.password_file, self.password_variable) {
            (Some(password), None, None) => password,
            (None, Some(path), None) => {
                let text = private(&beside(path))?;
                text.lines().next().unwrap_or_default().to_owned()
            }
            (None, None, Some(name)) => {
                std::env::var(&name).map_err(|_| format!("there is no variable {name}"))?
            }
            _ => return Err("it needs one of password, password-file and password-variable".into()),
        };
        if kind != Kind::Bearer && self.user.is_empty() {
            return Err("it has no user".into());
        }
        // A header is one line (RFC 9110, section 5.5).
        if kind == Kind::Bearer && !password.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("its token has characters that no token has".into());
        }
        Ok(Secret { kind, user: self.user, password, plain: self.plain })
    }
}

/// The text of a file that nobody else may read.
fn private(path: &Path) -> std::result::Result<String, String> {
    use std::os::unix::fs::MetadataExt;
    let shown = path.display();
    let about = std::fs::metadata(path).map_err(|e| format!("{shown}: {e}"))?;
    if about.len() > FILE_MOST {
        return Err(format!("{shown} has {} bytes, more than {FILE_MOST}", about.len()));
    }
    if about.mode() & 0o077 != 0 {
        return Err(format!("others may read {shown}, which has secrets in it; chmod 600 it"));
    }
    std::fs::read_to_string(path).map_err(|e| format!("{shown}: {e}"))
}

fn secrets(file: &Path) -> Result<HashMap<String, Secret>> {
    let shown = file.display();
    let text = private(file).map_err(Error::usage)?;
    // The parser's own message would show the line, and the secret in it.
    let parsed: std::result::Result<BTreeMap<String, Entry>, _> = toml::from_str(&text);
    let entries = parsed.map_err(|e| {
        let line = e.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
        Error::usage(format!("{shown} is no file of secrets, in line {line} or near it: see docs/servers.md"))
    })?;
    let read = |(name, entry): (String, Entry)| {
        let secret =
            entry.secret(file).map_err(|e| Error::usage(format!("secret `{name}` of {shown}: {e}")))?;
        Ok((name, secret))
    };
    entries.into_iter().map(read).collect()
}

impl Granted {
    /// Of what the operator says; none if no server is named. Secrets that the target does not ask for stay out.
    pub(crate) fn new(servers: &Servers, asks: &Asks, stop: Arc<AtomicBool>) -> Result<Option<Arc<Self>>> {
        if servers.named.is_empty() {
            return Ok(None);
        }
        let parse = |text: &String| Peer::parse(text, servers.authority.as_ref()).map_err(Error::usage);
        let peers: Vec<Peer> = servers.named.iter().map(parse).collect::<Result<_>>()?;
        if peers.first().is_some_and(|first| first.origin.host.starts_with('*')) {
            return Err(Error::usage("the first --server is the target's own, one host and no `*`"));
        }
        let mut all = servers.credentials.as_deref().map_or_else(|| Ok(HashMap::new()), secrets)?;
        all.retain(|name, _| asks.secrets.contains(name));
        let kinds = all.iter().map(|(name, secret)| (name.clone(), secret.kind)).collect();
        let origins = peers.iter().map(|peer| peer.origin.to_string()).collect();
        Ok(Some(Arc::new(Self { client: Client::new(peers, all, stop), origins, kinds })))
    }

    /// The same for what has to be cleared away after a wish to stop.
    pub(crate) fn undisturbed(&self) -> Self {
        let (client, origins, kinds) = (self.client.undisturbed(), self.origins.clone(), self.kinds.clone());
        Self { client, origins, kinds }
    }

    /// What of the rights is the operator's to give.
    pub(crate) fn grant(&self) -> Asks {
        Asks { http: self.origins.clone(), secrets: self.kinds.keys().cloned().collect(), ..Asks::default() }
    }

    /// The target's own server.
    pub(crate) fn server(&self) -> &str {
        self.origins.first().map_or("", String::as_str)
    }

    /// What the target's adapter is told.
    pub(crate) fn facts(&self) -> Vec<contract::Fact> {
        let fact = |key: String, value: &str| contract::Fact { key, value: value.into() };
        let secrets =
            self.kinds.iter().map(|(name, kind)| fact(format!("target.secret.{name}"), kind.name()));
        [fact("target.server".into(), self.server())].into_iter().chain(secrets).collect()
    }

    /// Sends a file of `length` bytes; `done` counts them.
    pub(crate) fn upload(
        &self,
        upload: &contract::Upload,
        file: (&mut dyn std::io::Read, u64),
        done: &AtomicU64,
    ) -> std::result::Result<Answer, Failure> {
        let call = Call {
            method: &upload.method,
            url: &upload.url,
            headers: &upload.headers,
            secret: upload.secret.as_deref(),
        };
        self.client.upload(&call, file, done)
    }
}

impl Web for Granted {
    fn send(&self, request: contract::Request) -> runtime::Answer<contract::Response> {
        let call = Call {
            method: &request.method,
            url: &request.url,
            headers: &request.headers,
            secret: request.secret.as_deref(),
        };
        let time = Duration::from_millis(request.timeout_ms.into());
        let answer = self.client.send(&call, &request.body, time).map_err(|e| {
            let kind = match e.trouble {
                Trouble::Invalid => contract::ErrorKind::InvalidInput,
                Trouble::Denied => contract::ErrorKind::Denied,
                Trouble::Io => contract::ErrorKind::Io,
                Trouble::Slow => contract::ErrorKind::Busy,
                Trouble::Stopped => contract::ErrorKind::Cancelled,
                Trouble::TooLong => contract::ErrorKind::Limit,
            };
            refusal(kind, e.message)
        })?;
        Ok(contract::Response { status: answer.status, headers: answer.headers, body: answer.body })
    }
}
