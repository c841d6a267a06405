//! Parts that are handed on verbatim, each as an XML element that declares its namespaces itself.

use crate::xml::{attribute, name};
use roxmltree::Node;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Bytes of one part, and levels of elements in it.
const PART_MOST: usize = 64 << 10;
const LEVELS_MOST: usize = 32;

/// Namespaces by their URI.
type Prefixes<'a> = BTreeMap<&'a str, String>;

/// The element as text; none if it is too long or too deep.
pub fn verbatim(node: Node<'_, '_>) -> Option<String> {
    let mut prefixes = Prefixes::new();
    for element in node.descendants().filter(Node::is_element) {
        let attributes = element.attributes();
        let used = attributes.filter_map(|one| one.namespace()).chain(element.tag_name().namespace());
        for uri in used.filter(|uri| *uri != roxmltree::NS_XML_URI) {
            let number = prefixes.len();
            prefixes.entry(uri).or_insert_with(|| format!("n{number}"));
        }
    }
    let mut text = String::new();
    write(node, &prefixes, 0, &mut text)?;
    Some(text)
}

fn write(node: Node<'_, '_>, prefixes: &Prefixes<'_>, level: usize, text: &mut String) -> Option<()> {
    if level > LEVELS_MOST || text.len() > PART_MOST {
        return None;
    }
    if let Some(piece) = node.text().filter(|_| node.is_text()) {
        escape(piece, text);
        return Some(());
    }
    if !node.is_element() {
        return Some(());
    }
    let tag = qualified(node.tag_name().namespace(), name(node), prefixes);
    write!(text, "<{tag}").ok()?;
    if level == 0 {
        // Elements without a namespace must not fall into one where this is put.
        write!(text, " xmlns=\"\"").ok()?;
        for (uri, prefix) in prefixes {
            write!(text, " xmlns:{prefix}=\"").ok()?;
            escape(uri, text);
            text.push('"');
        }
    }
    // What is kept is shown and stored; a password is neither.
    let secret = matches!(attribute(node, "password"), Some("true" | "1"));
    for attribute in node.attributes().filter(|one| !(secret && one.name() == "value")) {
        write!(text, " {}=\"", qualified(attribute.namespace(), attribute.name(), prefixes)).ok()?;
        escape(attribute.value(), text);
        text.push('"');
    }
    text.push('>');
    node.children().try_for_each(|child| write(child, prefixes, level + 1, text))?;
    write!(text, "</{tag}>").ok()?;
    (text.len() <= PART_MOST).then_some(())
}

fn qualified(uri: Option<&str>, name: &str, prefixes: &Prefixes<'_>) -> String {
    match uri {
        Some(roxmltree::NS_XML_URI) => format!("xml:{name}"),
        Some(uri) => format!("{}:{name}", prefixes.get(uri).map_or("", String::as_str)),
        None => name.to_owned(),
    }
}

fn escape(value: &str, text: &mut String) {
    for c in value.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\n' | '\t' | '\r' => {
                let _ = write!(text, "&#{};", c as u32);
            }
            c => text.push(c),
        }
    }
}
