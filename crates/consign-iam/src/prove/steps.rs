//! A pattern as steps, one per character: matching a text, and the same for solvers.

use std::collections::BTreeSet;

/// One step of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Char(char),
    /// This letter in either case, as Unicode folds it. Given in lower case.
    Folded(char),
    /// One character; one that is not a colon.
    One,
    OneOfField,
    /// Any run; a run without colons.
    Many,
    ManyOfField,
}

impl Step {
    pub(super) fn takes(self, c: char) -> bool {
        match self {
            Step::Char(wanted) => wanted == c,
            Step::Folded(wanted) => lower(c) == Some(wanted),
            Step::One | Step::Many => true,
            Step::OneOfField | Step::ManyOfField => c != ':',
        }
    }

    pub(super) fn repeats(self) -> bool {
        matches!(self, Step::Many | Step::ManyOfField)
    }
}

pub(super) fn lower(c: char) -> Option<char> {
    let mut folded = c.to_lowercase();
    let first = folded.next();
    first.filter(|_| folded.next().is_none())
}

pub(super) fn accepts(shape: &[Step], text: &str) -> bool {
    let (mut alive, mut next) = (Vec::new(), Vec::new());
    reach(shape, 0, &mut alive);
    for c in text.chars() {
        for at in alive.drain(..) {
            let Some(step) = shape.get(at).filter(|step| step.takes(c)) else { continue };
            reach(shape, if step.repeats() { at } else { at + 1 }, &mut next);
        }
        if next.is_empty() {
            return false;
        }
        std::mem::swap(&mut alive, &mut next);
    }
    alive.last() == Some(&shape.len())
}

/// A position, and those after stars that may stand for nothing.
// INVARIANT: `alive` ascends, and what was reached last reaches up to its end without a gap; so with
// positions given in order, whatever is not beyond the end is in it.
fn reach(shape: &[Step], mut at: usize, alive: &mut Vec<usize>) {
    if alive.last().is_some_and(|last| *last >= at) {
        return;
    }
    alive.push(at);
    while shape.get(at).is_some_and(|step| step.repeats()) {
        at += 1;
        alive.push(at);
    }
}

pub(super) fn smt_pattern(shape: &[Step]) -> String {
    const NO_COLON: &str = r#"(re.union (re.range "\u{0}" "9") (re.range ";" "\u{2ffff}"))"#;
    let mut parts: Vec<String> = Vec::new();
    let mut text = String::new();
    for step in shape {
        if let Step::Char(c) = step {
            text.push(*c);
            continue;
        }
        if !text.is_empty() {
            parts.push(format!("(str.to_re {})", smt_text(&std::mem::take(&mut text))));
        }
        parts.push(match step {
            Step::Folded(c) => {
                let cases: BTreeSet<char> = [*c].into_iter().chain(c.to_uppercase()).collect();
                let kelvin = (*c == 'k').then_some('\u{212a}');
                let cases = cases.into_iter().chain(kelvin);
                let cases: Vec<String> =
                    cases.map(|c| format!("(str.to_re {})", smt_text(&c.to_string()))).collect();
                match cases.as_slice() {
                    [one] => one.clone(),
                    several => format!("(re.union {})", several.join(" ")),
                }
            }
            Step::OneOfField => NO_COLON.to_owned(),
            Step::ManyOfField => format!("(re.* {NO_COLON})"),
            Step::Many => "re.all".to_owned(),
            Step::One | Step::Char(_) => "re.allchar".to_owned(),
        });
    }
    if !text.is_empty() {
        parts.push(format!("(str.to_re {})", smt_text(&text)));
    }
    match parts.as_slice() {
        [one] => one.clone(),
        several => format!("(re.++ {})", several.join(" ")),
    }
}

/// A text as SMT-LIB writes it.
pub(crate) fn smt_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\"\""),
            ' '..='~' if c != '\\' => quoted.push(c),
            other => quoted.push_str(&format!("\\u{{{:x}}}", u32::from(other))),
        }
    }
    quoted.push('"');
    quoted
}
