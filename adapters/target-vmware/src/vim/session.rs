//! One session with a server: logged in with the operator's secret, which the host puts into its place.

use crate::vim::soap::{self, Element, Ref};
use wherry_sdk::http::Request;
use wherry_sdk::platform::xml;
use wherry_sdk::target::Machine;
use wherry_sdk::{Error, ErrorKind, Http, Result, find};

/// The version of the API that is spoken; later servers speak it as well.
const ACTION: &str = "urn:vim25/6.5";
/// Longer than the server is ever asked to wait.
const TIMEOUT_MS: u32 = 120_000;
const COOKIE: &str = "vmware_soap_session";

/// The server's own objects.
pub struct Content {
    pub root: Ref,
    pub properties: Ref,
    pub views: Ref,
    pub sessions: Ref,
    pub index: Ref,
}

/// A session. It ends with [`Session::close`]; one that is forgotten, the server ends after half an hour.
pub struct Session<'a> {
    http: &'a dyn Http,
    /// Its origin, such as `https://vcenter:443`.
    pub server: String,
    cookie: String,
    pub content: Content,
}

/// What the operator named: the server's origin, and the secret for its login.
pub struct Access {
    pub server: String,
    pub secret: String,
}

impl Access {
    /// By the machine's facts; the first secret of kind template.
    pub fn of(machine: &Machine) -> Result<Self> {
        let missing = |what: &str| Err(Error::new(ErrorKind::InvalidInput, what));
        let Some(server) = find(&machine.facts, "target.server") else {
            return missing("no server was named: say which with --server https://HOST");
        };
        let secret = machine.facts.iter().find_map(|fact| {
            let name = fact.key.strip_prefix("target.secret.")?;
            (fact.value == "template").then_some(name)
        });
        match secret {
            Some(secret) => Ok(Self { server: server.trim_end_matches('/').into(), secret: secret.into() }),
            None => missing("no secret of kind template was given, which the login needs"),
        }
    }
}

impl<'a> Session<'a> {
    /// Logs in.
    pub fn open(http: &'a dyn Http, access: &Access) -> Result<Self> {
        let mut session = Self::anonymous(http, &access.server)?;
        let place = |what: &str| format!("{{{{secret:{}:{what}}}}}", xml(&access.secret));
        let arguments =
            format!("<userName>{}</userName><password>{}</password>", place("user"), place("password"));
        let sessions = session.content.sessions.clone();
        let (_, cookie) = session.send("Login", &sessions, &arguments, Some(&access.secret))?;
        session.cookie =
            cookie.ok_or_else(|| Error::new(ErrorKind::Io, "Login: the server gave no session"))?;
        Ok(session)
    }

    /// Goes on with a session by its cookie, as [`Session::cookie`] told it.
    pub fn resume(http: &'a dyn Http, server: &str, cookie: &str) -> Result<Self> {
        let mut session = Self::anonymous(http, server)?;
        session.cookie = cookie.to_owned();
        Ok(session)
    }

    fn anonymous(http: &'a dyn Http, server: &str) -> Result<Self> {
        let none = || Ref::new("", "");
        let content =
            Content { root: none(), properties: none(), views: none(), sessions: none(), index: none() };
        let mut session = Self { http, server: server.to_owned(), cookie: String::new(), content };
        let instance = Ref::new("ServiceInstance", "ServiceInstance");
        let answer = session.call("RetrieveServiceContent", &instance, "")?;
        let found = answer.child("returnval").cloned().unwrap_or_default();
        let object = |name: &str| {
            let missing = || Error::new(ErrorKind::Unsupported, format!("the server has no {name}"));
            found.reference(name).ok_or_else(missing)
        };
        session.content = Content {
            root: object("rootFolder")?,
            properties: object("propertyCollector")?,
            views: object("viewManager")?,
            sessions: object("sessionManager")?,
            index: object("searchIndex")?,
        };
        Ok(session)
    }

    /// What [`Session::resume`] needs: as good as the password while the session lasts.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Logs out. What the server thinks of that changes nothing.
    pub fn close(self) {
        let sessions = self.content.sessions.clone();
        let _ = self.call("Logout", &sessions, "");
    }

    /// Calls `method` of `this`.
    pub fn call(&self, method: &str, this: &Ref, arguments: &str) -> Result<Element> {
        self.send(method, this, arguments, None).map(|(answer, _)| answer)
    }

    /// Calls, and waits for the end of the task that the method begins; the task's result.
    pub fn run(&self, method: &str, this: &Ref, arguments: &str) -> Result<Element> {
        let answer = self.call(method, this, arguments)?;
        let task = answer.reference("returnval");
        let task =
            task.ok_or_else(|| Error::new(ErrorKind::Io, format!("{method}: the server began no task")))?;
        self.finished(method, &task)
    }

    fn send(
        &self,
        method: &str,
        this: &Ref,
        arguments: &str,
        secret: Option<&str>,
    ) -> Result<(Element, Option<String>)> {
        let mut headers = vec![
            ("content-type".to_owned(), "text/xml; charset=utf-8".to_owned()),
            ("soapaction".to_owned(), format!("\"{ACTION}\"")),
        ];
        if !self.cookie.is_empty() {
            headers.push(("cookie".to_owned(), self.cookie.clone()));
        }
        let request = Request {
            method: "POST".into(),
            url: format!("{}/sdk", self.server),
            headers,
            body: soap::request(method, this, arguments).into_bytes(),
            secret: secret.map(str::to_owned),
            timeout_ms: TIMEOUT_MS,
        };
        let response = self.http.send(&request)?;
        // Faults come with 500; anything else is not from the API.
        if ![200, 500].contains(&response.status) {
            let message = format!("{method}: the server answered with status {}", response.status);
            return Err(Error::new(ErrorKind::Io, message));
        }
        let cookies = response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        let cookie = cookies.filter_map(|(_, value)| cookie(value)).next();
        Ok((soap::answer(method, &response.body)?, cookie))
    }
}

/// `NAME=VALUE` of the session's cookie, if this sets it (RFC 6265, section 5.2).
fn cookie(header: &str) -> Option<String> {
    let pair = header.split(';').next()?.trim();
    let (name, value) = pair.split_once('=')?;
    let plain = |c: char| c.is_ascii_graphic() && c != ',';
    (name.trim() == COOKIE && !value.is_empty() && value.len() < 512 && value.chars().all(plain))
        .then(|| pair.to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn cookies() {
        let of = super::cookie;
        assert_eq!(of("vmware_soap_session=a-b; HttpOnly").as_deref(), Some("vmware_soap_session=a-b"));
        assert_eq!(of("vmware_soap_session=\"52 a\"; Path=/"), None);
        assert_eq!(of("vmware_soap_session=\"52a\"").as_deref(), Some("vmware_soap_session=\"52a\""));
        for none in
            ["", "other=1", "vmware_soap_session", "vmware_soap_session=", "vmware_soap_session=a\r\nb: c"]
        {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}
