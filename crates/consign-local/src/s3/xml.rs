//! Small XML, read with suspicion and written by hand.
//!
//! Request documents are read into a tree of [`Node`]s. No document type, no entities beyond XML's
//! five, no processing instructions; depth and size are bounded. Whoever sends anything else gets
//! `MalformedXML`.

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::error::ApiError;

/// S3's deepest request document (lifecycle rules) has seven levels.
const DEPTH_MAX: usize = 16;
/// Its longest (10,000 parts, each with every checksum) has 80,001 elements.
const ELEMENTS_MAX: usize = 100_000;

/// An element: its local name, its children, or its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) children: Vec<Node>,
    pub(super) text: String,
}

pub(super) fn malformed(why: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
    .because(why.to_string())
}

impl Node {
    /// Reads a document whose root element is called `name`.
    pub(super) fn parse(document: &[u8], name: &str) -> Result<Node, ApiError> {
        let text = std::str::from_utf8(document).map_err(malformed)?;
        let root = Node::parse_text(text.trim_start_matches('\u{feff}'))?;
        if root.name != name {
            return Err(malformed(format!("the root is {}, not {name}", root.name)));
        }
        Ok(root)
    }

    fn parse_text(text: &str) -> Result<Node, ApiError> {
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Node> = Vec::new();
        let mut root = None;
        let mut elements = 0;
        loop {
            if elements > ELEMENTS_MAX {
                return Err(malformed("too many elements"));
            }
            match reader.read_event().map_err(malformed)? {
                Event::Start(tag) => {
                    elements += 1;
                    if open.len() == DEPTH_MAX || root.is_some() {
                        return Err(malformed("too deep, or two roots"));
                    }
                    let name = tag.local_name().as_ref().to_owned();
                    open.push(Node { name, ..Node::default() });
                }
                Event::Empty(tag) => {
                    elements += 1;
                    if root.is_some() {
                        return Err(malformed("two roots"));
                    }
                    let name = tag.local_name().as_ref().to_owned();
                    close(Node { name, ..Node::default() }, &mut open, &mut root);
                }
                Event::End(_) => {
                    let node = open.pop().ok_or_else(|| malformed("an end without a start"))?;
                    close(node, &mut open, &mut root);
                }
                Event::Text(text) => append(&mut open, &text)?,
                Event::CData(text) => append(&mut open, &text)?,
                Event::GeneralRef(reference) => {
                    let c = resolve(&reference)?;
                    append(&mut open, c.encode_utf8(&mut [0; 4]))?;
                }
                Event::Comment(_) | Event::Decl(_) => {}
                Event::PI(_) | Event::DocType(_) => return Err(malformed("not plain XML")),
                Event::Eof => break,
            }
        }
        match root {
            Some(root) if open.is_empty() => Ok(root),
            _ => Err(malformed("the document is cut off")),
        }
    }

    /// The first child called `name`.
    pub(super) fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All children called `name`.
    pub(super) fn all<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n Node> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the first child called `name`.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// A child's text as `true` or `false`; absent is `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.text_of(name).map(str::trim) {
            None | Some("false" | "FALSE" | "False") => Ok(false),
            Some("true" | "TRUE" | "True") => Ok(true),
            Some(other) => Err(malformed(format!("{name} is {other}"))),
        }
    }

    /// Refuses children that the schema does not know: a setting misspelt is a setting not made.
    pub(super) fn only(&self, names: &[&str]) -> Result<(), ApiError> {
        match self.children.iter().find(|child| !names.contains(&child.name.as_str())) {
            None => Ok(()),
            Some(child) => Err(malformed(format!("{} in {}", child.name, self.name))),
        }
    }
}

fn close(node: Node, open: &mut [Node], root: &mut Option<Node>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(node),
        None => *root = Some(node),
    }
}

fn append(open: &mut [Node], text: &str) -> Result<(), ApiError> {
    match open.last_mut() {
        Some(node) => node.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(malformed("text outside the root")),
    }
    Ok(())
}

/// A character reference, or one of the five entities that need no declaration.
fn resolve(reference: &str) -> Result<char, ApiError> {
    let code = match reference.strip_prefix('#') {
        Some(number) => match number.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => number.parse().ok(),
        },
        None => match reference {
            "amp" => Some(u32::from('&')),
            "lt" => Some(u32::from('<')),
            "gt" => Some(u32::from('>')),
            "quot" => Some(u32::from('"')),
            "apos" => Some(u32::from('\'')),
            _ => None,
        },
    };
    code.and_then(char::from_u32)
        .filter(|c| *c != '\0')
        .ok_or_else(|| malformed(format!("&{reference};")))
}

/// A response document being written.
pub(super) struct Document {
    text: String,
}

impl Document {
    /// Opens a document with a root in S3's namespace.
    pub(super) fn new(root: &str) -> Document {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
        );
        Document { text }
    }

    pub(super) fn open(&mut self, name: &str) -> &mut Self {
        self.text.push('<');
        self.text.push_str(name);
        self.text.push('>');
        self
    }

    pub(super) fn close(&mut self, name: &str) -> &mut Self {
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push('>');
        self
    }

    /// `<name>value</name>`.
    pub(super) fn element(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        self.open(name);
        escape(&mut self.text, &value.to_string());
        self.close(name)
    }

    /// As [`Document::element`], unless there is no value.
    pub(super) fn optional(
        &mut self,
        name: &str,
        value: Option<impl std::fmt::Display>,
    ) -> &mut Self {
        match value {
            Some(value) => self.element(name, value),
            None => self,
        }
    }

    /// Text within the element that is open.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        escape(&mut self.text, text);
        self
    }

    /// Text that is XML already.
    pub(super) fn raw(&mut self, xml: &str) -> &mut Self {
        self.text.push_str(xml);
        self
    }

    pub(super) fn finish(mut self, root: &str) -> String {
        self.close(root);
        self.text
    }
}

/// Control characters become references, as in S3's answers: XML 1.0 cannot hold them, and clients
/// that must read such keys ask for `encoding-type=url`.
fn escape(xml: &mut String, text: &str) {
    use std::fmt::Write as _;
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                // Writing to a String cannot fail.
                let _ = write!(xml, "&#x{:x};", u32::from(c));
            }
            c => xml.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read() {
        let text = "<?xml version=\"1.0\"?><a xmlns=\"x\"><b> 1 </b><s:c>&lt;&#x41;<![CDATA[&]]></s:c>\
                    <d/></a>";
        let root = Node::parse(text.as_bytes(), "a").expect("parses");
        assert_eq!(root.text_of("b"), Some(" 1 "));
        assert_eq!(root.text_of("c"), Some("<A&"));
        assert!(root.child("d").is_some());
        assert!(root.only(&["b", "c"]).is_err());
    }

    #[test]
    fn hostile_documents_are_refused() {
        let wide = format!("<a>{}</a>", "<b/>".repeat(ELEMENTS_MAX));
        let deep = "<a>".repeat(2000) + &"</a>".repeat(2000);
        for text in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a/><a/>",
            "<a/>tail",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
            "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
            "<?php 1 ?><a/>",
            "<a>&unknown;</a>",
            "<a>&#0;</a>",
            "<a>&#xd800;</a>",
            "<b/>",
            "<a>\u{0}<",
            &deep,
            &wide,
        ] {
            assert!(Node::parse(text.as_bytes(), "a").is_err(), "{text:.40}");
        }
        assert!(Node::parse(b"<a>\xff</a>", "a").is_err());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut document = Document::new("R");
        document.element("K", "a<b>&\"\u{1}\r\n\u{7f}é");
        let root = Node::parse(document.finish("R").as_bytes(), "R").expect("parses");
        assert_eq!(root.text_of("K"), Some("a<b>&\"\u{1}\r\n\u{7f}é"));
    }
}
