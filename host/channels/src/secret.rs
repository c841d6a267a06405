//! What an operator lets the host say in an adapter's name: the adapter only names it.

use std::fmt;

/// How a secret is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RFC 7617; over encrypted connections.
    Basic,
    /// RFC 6750: the password is the token; over encrypted connections.
    Bearer,
    /// MS-NLMP; what is sent over a connection that is not encrypted is sealed, which WinRM understands.
    Ntlm,
    /// In the body of a request, where the adapter has left a place for it; over encrypted connections.
    Template,
}

/// One secret. Shown nowhere, `Debug` included.
#[derive(Clone)]
pub struct Secret {
    /// How it is used.
    pub kind: Kind,
    /// `NAME`, and for NTLM `DOMAIN\NAME`.
    pub user: String,
    /// Or a token.
    pub password: String,
    /// Whether it may be sent over a connection that is not encrypted.
    pub plain: bool,
}

impl Kind {
    /// As operators and adapters spell it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Basic => "basic",
            Kind::Bearer => "bearer",
            Kind::Ntlm => "ntlm",
            Kind::Template => "template",
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a secret of kind {}", self.kind.name())
    }
}

impl Secret {
    /// NTLM's domain and user.
    pub(crate) fn account(&self) -> (&str, &str) {
        self.user.split_once('\\').unwrap_or(("", &self.user))
    }

    /// The header `authorization` of the kinds that have a fixed one.
    pub(crate) fn header(&self) -> Option<String> {
        use base64::{Engine, prelude::BASE64_STANDARD};
        match self.kind {
            Kind::Basic => {
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", self.user, self.password))))
            }
            Kind::Bearer => Some(format!("Bearer {}", self.password)),
            Kind::Ntlm | Kind::Template => None,
        }
    }

    /// `body` with the secret in its places, escaped as text of this content type.
    pub(crate) fn fill(&self, name: &str, body: &[u8], content_type: &str) -> Result<Vec<u8>, String> {
        let escape: fn(&str) -> String = match content_type.to_ascii_lowercase() {
            kind if kind.contains("xml") => xml,
            kind if kind.contains("json") => json,
            kind => return Err(format!("secrets are put into XML and JSON, not into {kind:?}")),
        };
        let text = std::str::from_utf8(body).map_err(|_| "a body with a secret has to be UTF-8")?;
        let place = |what: &str| format!("{{{{secret:{name}:{what}}}}}");
        let (user, password) = (place("user"), place("password"));
        if !text.contains(&password) {
            return Err(format!("secret `{name}` is of kind template, and the body has no place {password}"));
        }
        // In one pass: a password that looks like a place is none.
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("{{secret:") {
            let (before, here) = rest.split_at(at);
            filled.push_str(before);
            let (what, length) = match here {
                here if here.starts_with(&user) => (escape(&self.user), user.len()),
                here if here.starts_with(&password) => (escape(&self.password), password.len()),
                _ => return Err(format!("the body has a place for something else than secret `{name}`")),
            };
            filled.push_str(&what);
            rest = &here[length..];
        }
        filled.push_str(rest);
        Ok(filled.into_bytes())
    }
}

/// Text of an element or attribute (XML 1.0, section 2.4).
fn xml(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The inside of a string (RFC 8259, section 7).
fn json(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{Kind, Secret};

    fn secret(password: &str) -> Secret {
        Secret { kind: Kind::Template, user: "D\\<u>".into(), password: password.into(), plain: false }
    }

    #[test]
    fn places_are_filled_once_and_escaped() {
        let body = b"<u>{{secret:a:user}}</u><p>{{secret:a:password}}</p>";
        let filled = secret("{{secret:a:user}}&\"'").fill("a", body, "text/xml").unwrap();
        let text = String::from_utf8(filled).unwrap();
        assert_eq!(text, "<u>D\\&lt;u&gt;</u><p>{{secret:a:user}}&amp;&quot;&apos;</p>");
        let body = br#"["{{secret:a:user}}","{{secret:a:password}}"]"#;
        let filled = secret("a\"\\\n").fill("a", body, "application/json").unwrap();
        assert_eq!(String::from_utf8(filled).unwrap(), r#"["D\\<u>","a\"\\\u000a"]"#);
    }

    #[test]
    fn what_cannot_be_filled_is_an_error_that_tells_nothing() {
        let secret = secret("hunter2");
        let place = b"{{secret:a:password}}".as_slice();
        let bad: [(&[u8], &str); 5] = [
            (b"<p/>", "text/xml"),
            (place, "text/plain"),
            (place, ""),
            (b"{{secret:a:password}}{{secret:b:password}}", "text/xml"),
            (b"\xff{{secret:a:password}}", "text/xml"),
        ];
        for (body, kind) in bad {
            let error = secret.fill("a", body, kind).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert_eq!(format!("{secret:?}"), "a secret of kind template");
    }
}
