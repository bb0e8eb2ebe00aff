//! What is refused, where, and why.

use std::fmt;

/// Why a policy (or a request) is not accepted: where in the document, and the reason. A policy
/// that is refused takes no part in any decision; there is no lenient reading of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    path: String,
    line: usize,
    column: usize,
    reason: String,
}

impl Refusal {
    pub(crate) fn new(path: impl Into<String>, reason: impl Into<String>) -> Refusal {
        Refusal { path: path.into(), line: 0, column: 0, reason: reason.into() }
    }

    pub(crate) fn at(mut self, text: &str, offset: usize) -> Refusal {
        let before = text.get(..offset).unwrap_or(text);
        self.line = before.matches('\n').count() + 1;
        self.column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        self
    }

    /// The same refusal of a document that stands within another.
    pub(crate) fn inside(mut self, outer: &str) -> Refusal {
        self.path =
            if self.path.is_empty() { outer.to_owned() } else { format!("{outer}.{}", self.path) };
        self
    }

    /// Where: the path of the element, such as `Statement[2].Condition.StringEquals`, with line
    /// and column where the refusal concerns a text.
    pub fn place(&self) -> String {
        let path = if self.path.is_empty() { "document" } else { &self.path };
        match self.line {
            0 => path.to_owned(),
            line => format!("{path} (line {line}, column {})", self.column),
        }
    }

    /// The path of the element alone; empty for the whole document.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.reason)
    }
}

impl std::error::Error for Refusal {}
