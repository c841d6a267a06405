//! XML as far as descriptors need it: a bounded tree, elements by their local names. Document type declarations are
//! refused, so that there are no entities to expand.

use roxmltree::{Document, Node, ParsingOptions};
use wherry_sdk::{Error, ErrorKind, Result};

/// Elements, texts and comments; a descriptor of a large appliance has some thousand.
const NODES_MOST: u32 = 200_000;
/// Characters of one value.
const TEXT_MOST: usize = 4096;

/// Parses UTF-8.
pub fn parse(bytes: &[u8]) -> Result<Document<'_>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Error::unsupported(
            "the descriptor is in UTF-16; convert it to UTF-8, and its digest with it",
        ));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Error::corrupt(e.valid_up_to() as u64, "the descriptor is no UTF-8 text"))?;
    let options = ParsingOptions { nodes_limit: NODES_MOST, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|e| {
        let kind = match e {
            roxmltree::Error::NodesLimitReached => ErrorKind::Limit,
            roxmltree::Error::DtdDetected => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        };
        Error::new(kind, format!("the descriptor cannot be read: {e}"))
    })
}

/// Its local name.
pub fn name<'a>(node: Node<'a, '_>) -> &'a str {
    node.tag_name().name()
}

/// Child elements.
pub fn elements<'a, 'b>(node: Node<'a, 'b>) -> impl Iterator<Item = Node<'a, 'b>> {
    node.children().filter(Node::is_element)
}

/// Child elements of this name.
pub fn children<'a, 'b>(node: Node<'a, 'b>, wanted: &'static str) -> impl Iterator<Item = Node<'a, 'b>> {
    elements(node).filter(move |child| name(*child) == wanted)
}

/// The first child element of this name.
pub fn child<'a, 'b>(node: Node<'a, 'b>, wanted: &'static str) -> Option<Node<'a, 'b>> {
    children(node, wanted).next()
}

/// An attribute by its local name, preferably one in the element's own namespace.
pub fn attribute<'a>(node: Node<'a, '_>, wanted: &str) -> Option<&'a str> {
    let named = |own: bool| {
        node.attributes()
            .find(|one| one.name() == wanted && (!own || one.namespace() == node.tag_name().namespace()))
    };
    named(true).or_else(|| named(false)).map(|one| one.value())
}

/// The text within, without blanks around it; none if there is nothing.
pub fn text(node: Node<'_, '_>) -> Option<String> {
    let pieces = node.descendants().filter(Node::is_text).filter_map(|text| text.text());
    let text: String = pieces.flat_map(str::chars).take(TEXT_MOST).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The text of the first child of this name.
pub fn value(node: Node<'_, '_>, wanted: &'static str) -> Option<String> {
    text(child(node, wanted)?)
}
