//! SOAP 1.1 envelopes, written and read. What a server answers is not to be trusted: sizes and depths are bounded.

use roxmltree::{Document, Node, ParsingOptions};
use wherry_sdk::platform::xml;
use wherry_sdk::{Error, ErrorKind, Result};

/// Elements, attributes and texts of one answer.
const NODES_MOST: u32 = 400_000;
const DEPTH_MOST: usize = 64;
const NAMESPACE: &str = "urn:vim25";
const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// A managed object: its type and its number on the server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ref {
    pub kind: String,
    pub id: String,
}

impl Ref {
    pub fn new(kind: &str, id: &str) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }

    /// As an element of this name.
    pub fn xml(&self, name: &str) -> String {
        format!("<{name} type=\"{}\">{}</{name}>", xml(&self.kind), xml(&self.id))
    }
}

/// One element of an answer.
#[derive(Clone, Debug, Default)]
pub struct Element {
    pub name: String,
    /// `type` of a reference, else `xsi:type` without its prefix.
    pub kind: String,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The children of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the first child of this name; empty where there is none.
    pub fn text(&self, name: &str) -> &str {
        self.child(name).map(|child| child.text.as_str()).unwrap_or_default()
    }

    /// The object that the first child of this name refers to.
    pub fn reference(&self, name: &str) -> Option<Ref> {
        self.child(name).and_then(Self::as_ref)
    }

    /// The object that this element refers to.
    pub fn as_ref(&self) -> Option<Ref> {
        (!self.text.is_empty()).then(|| Ref::new(&self.kind, &self.text))
    }
}

/// The request that calls `method` of `this`.
pub fn request(method: &str, this: &Ref, arguments: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"{INSTANCE}\"><soapenv:Body>\
         <{method} xmlns=\"{NAMESPACE}\">{}{arguments}</{method}></soapenv:Body></soapenv:Envelope>",
        this.xml("_this")
    )
}

/// `METHODResponse` of the answer, or the fault as an error.
pub fn answer(method: &str, bytes: &[u8]) -> Result<Element> {
    let nonsense = |what: &str| Error::new(ErrorKind::Io, format!("{method}: the server's answer {what}"));
    let text = std::str::from_utf8(bytes).map_err(|_| nonsense("is not UTF-8"))?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MOST, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|e| nonsense(&format!("is not the XML that was expected: {e}")))?;
    let named = |node: Node<'_, '_>, name: &str| {
        node.children().find(|child| child.is_element() && child.tag_name().name() == name).map(|n| n.id())
    };
    let root = document.root_element();
    let body = named(root, "Body").and_then(|id| document.get_node(id));
    let body = body.ok_or_else(|| nonsense("has no body"))?;
    if let Some(fault) = named(body, "Fault").and_then(|id| document.get_node(id)) {
        return Err(fault_error(method, &element(fault, 0).ok_or_else(|| nonsense("is too deep"))?));
    }
    let response = named(body, &format!("{method}Response")).and_then(|id| document.get_node(id));
    let response = response.ok_or_else(|| nonsense("is one to something else"))?;
    element(response, 0).ok_or_else(|| nonsense("is too deep"))
}

/// None: deeper than anything that is expected.
fn element(node: Node<'_, '_>, depth: usize) -> Option<Element> {
    if depth > DEPTH_MOST {
        return None;
    }
    // A reference within a property has both.
    let named = |namespace: Option<&str>| {
        let mut all = node.attributes();
        all.find(|one| one.name() == "type" && one.namespace() == namespace).map(|one| one.value())
    };
    let kind = named(None).or_else(|| named(Some(INSTANCE))).unwrap_or_default();
    let kind = kind.rsplit_once(':').map_or(kind, |(_, name)| name);
    let children = node.children().filter(Node::is_element);
    Some(Element {
        name: node.tag_name().name().to_owned(),
        kind: kind.to_owned(),
        text: node.text().unwrap_or_default().trim().to_owned(),
        children: children.map(|child| element(child, depth + 1)).collect::<Option<_>>()?,
    })
}

/// The detail's first element is called after the fault's type, and has the type itself as `xsi:type`.
fn fault_error(method: &str, fault: &Element) -> Error {
    let detail = fault.child("detail").and_then(|detail| detail.children.first());
    let name = detail.map_or("", |detail| match detail.kind.as_str() {
        "" => detail.name.trim_end_matches("Fault"),
        kind => kind,
    });
    method_fault(method, name, fault.text("faultstring"))
}

/// The error for a fault of this type, be it an answer or the end of a task.
pub fn method_fault(method: &str, name: &str, words: &str) -> Error {
    let kind = match name {
        "InvalidLogin" | "NotAuthenticated" | "NoPermission" => ErrorKind::Denied,
        "DuplicateName" | "AlreadyExists" => ErrorKind::Exists,
        "ManagedObjectNotFound" | "NotFound" => ErrorKind::NotFound,
        "NoDiskSpace" | "InsufficientStorageSpace" => ErrorKind::NoSpace,
        "NotSupported" | "NotImplemented" | "MethodNotFound" => ErrorKind::Unsupported,
        "TaskInProgress" | "ResourceInUse" => ErrorKind::Busy,
        _ => ErrorKind::Failed,
    };
    let words: String = words.chars().filter(|c| !c.is_control()).take(300).collect();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).take(80).collect();
    Error::new(kind, format!("{method}: the server says {words:?} ({name})"))
}
