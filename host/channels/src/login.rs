//! NTLM over HTTP, as WinRM wants it: MS-NTHT, and for connections that are not encrypted MS-WSMV, section 2.2.9.1. Who is
//! let in is let in for the connection.

use crate::answer::Answer;
use crate::http::{Checked, Connection, Failure, Trouble, failure};
use crate::ntlm::{self, Account, Chance};
use crate::sealed::Session;
use crate::secret::Secret;
use crate::tls::random;
use base64::{Engine, prelude::BASE64_STANDARD};
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds from 1601 to 1970.
const EPOCH: u64 = 11_644_473_600;
/// What WinRM takes messages for; what is in an envelope has this type.
const SOAP: &str = "application/soap+xml;charset=UTF-8";

/// Who was let in, and the keys for what follows.
pub(crate) struct Login {
    /// Its name.
    pub secret: String,
    session: Session,
}

/// What the server says to a first message.
enum Said {
    Challenge {
        /// The scheme that it knows.
        scheme: &'static str,
        /// Our first message.
        first: Vec<u8>,
        /// Its own.
        bytes: Vec<u8>,
    },
    /// Something else, such as that there is nothing at this path.
    Other(Answer),
}

/// 100 ns since 1601.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs() + EPOCH) * 10_000_000 + u64::from(since.subsec_nanos() / 100)
}

impl Connection {
    /// A request that NTLM vouches for.
    pub(crate) fn authenticated(
        &mut self,
        checked: &Checked<'_>,
        (name, secret): (&str, &Secret),
        body: &[u8],
    ) -> Result<(Answer, bool), Failure> {
        let known = self.login.as_ref().is_some_and(|login| login.secret == name);
        if !known {
            let (scheme, first, challenge) = match self.challenge(checked)? {
                Said::Challenge { scheme, first, bytes } => (scheme, first, bytes),
                Said::Other(answer) => return Ok((answer, false)),
            };
            let proof = self.prove(checked, secret, &first, &challenge)?;
            self.login = Some(Login { secret: name.into(), session: proof.session });
            let header = [("authorization", format!("{scheme} {}", BASE64_STANDARD.encode(&proof.message)))];
            if checked.url.origin.tls {
                return self.plainly(checked, &header, body);
            }
            // Nothing is sent in clear: the proof goes without the request.
            let (answer, kept) = self.plainly(checked, &header, &[])?;
            if answer.status == 401 || !kept {
                return Ok((Answer { status: 401, ..answer }, false));
            }
        }
        match checked.url.origin.tls {
            true => self.plainly(checked, &[], body),
            false => self.sealed(checked, body),
        }
    }

    /// Asks for a challenge.
    fn challenge(&mut self, checked: &Checked<'_>) -> Result<Said, Failure> {
        let denied = |what: String| failure(Trouble::Denied, format!("{} {what}", checked.url.origin));
        let first = ntlm::negotiate();
        let mut offered = Vec::new();
        // `Negotiate` with a bare NTLM message is what Windows takes; `NTLM` is what others may have.
        for scheme in ["Negotiate", "NTLM"] {
            let header = [("authorization", format!("{scheme} {}", BASE64_STANDARD.encode(&first)))];
            let (answer, kept) = self.plainly(checked, &header, &[])?;
            if answer.status != 401 {
                return match answer.status {
                    200..300 => {
                        Err(denied("does not ask who wants to be let in; NTLM is not used there".into()))
                    }
                    _ => Ok(Said::Other(answer)),
                };
            }
            let words = |value: &str| {
                value.split_once(' ').map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()))
            };
            let token = answer
                .all("www-authenticate")
                .filter_map(words)
                .find(|(word, _)| word.eq_ignore_ascii_case(scheme));
            if !kept {
                return Err(denied("ends the connection, on which NTLM depends".into()));
            }
            if let Some((_, token)) = token {
                let bytes = BASE64_STANDARD
                    .decode(token)
                    .map_err(|_| denied("sends an NTLM challenge that is none".into()))?;
                return Ok(Said::Challenge { scheme, first, bytes });
            }
            let word = |value: &str| value.split([' ', ',']).next().unwrap_or_default().to_owned();
            offered = answer.all("www-authenticate").map(word).collect();
        }
        Err(denied(format!("does not know NTLM; it offers {}", offered.join(", "))))
    }

    fn prove(
        &self,
        checked: &Checked<'_>,
        secret: &Secret,
        first: &[u8],
        challenge: &[u8],
    ) -> Result<ntlm::Proof, Failure> {
        let chance = random()
            .and_then(|challenge| Ok(Chance { challenge, key: random()?, time: now() }))
            .map_err(|e| failure(Trouble::Io, e.to_string()))?;
        let (domain, user) = secret.account();
        let service = format!("HTTP/{}", checked.url.origin.host);
        let account =
            Account { domain, user, password: &secret.password, service: &service, bindings: self.bindings };
        ntlm::authenticate(&account, first, challenge, &chance)
            .map_err(|e| failure(Trouble::Denied, format!("{}: {e}", checked.url.origin)))
    }

    fn sealed(&mut self, checked: &Checked<'_>, body: &[u8]) -> Result<(Answer, bool), Failure> {
        let unsealed = || {
            let what = format!("{} answers without sealing what it says", checked.url.origin);
            failure(Trouble::Io, format!("{what}: somebody may be in between, or it is no WinRM; use https"))
        };
        let Some(login) = &mut self.login else { return Err(unsealed()) };
        let (envelope, kind) = login.session.wrap(body, checked.header("content-type").unwrap_or(SOAP));
        let (mut answer, kept) = self.plainly(checked, &[("content-type", kind)], &envelope)?;
        if answer.body.is_empty() {
            return Ok((answer, kept));
        }
        let login = self.login.as_mut().ok_or_else(unsealed)?;
        answer.body = login.session.unwrap(&answer.body).ok_or_else(unsealed)?;
        answer.headers.retain(|(name, _)| name != "content-type");
        answer.headers.push(("content-type".into(), SOAP.into()));
        Ok((answer, kept))
    }
}
