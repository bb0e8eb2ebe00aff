//! Wildcards: `*` stands for any run of characters (also none, also `/` and `:`), `?` for exactly
//! one character.
//!
//! Matching never backtracks. A pattern of pieces between stars is matched piece by piece with a
//! linear substring search; a pattern with `?` beside `*` runs as a set of states, 64 of them per
//! machine word, once over the text. A policy author cannot make a decision slow.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Any,
    Exact(Box<str>),
    Prefix(Box<str>),
    Pieces { first: Box<str>, middle: Vec<Box<str>>, last: Box<str> },
    States(Box<States>),
}

/// What a pattern is made of. Text is literal, whatever characters it contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Text(&'a str),
    One,
    Many,
}

/// One element of a compiled pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Char(char),
    One,
    Many,
}

impl Glob {
    /// Compiles a pattern in which `*` and `?` are wildcards and everything else is literal.
    pub fn new(pattern: &str) -> Glob {
        Glob::from_tokens(&tokens(pattern))
    }

    pub(crate) fn from_tokens(tokens: &[Token<'_>]) -> Glob {
        if tokens.contains(&Token::One) {
            return Glob(Kind::States(Box::new(States::new(tokens))));
        }
        let mut pieces = vec![String::new()];
        for token in tokens {
            match (token, pieces.last_mut()) {
                (Token::Text(text), Some(piece)) => piece.push_str(text),
                _ => pieces.push(String::new()),
            }
        }
        let boxed = |text: &String| Box::from(text.as_str());
        Glob(match pieces.as_slice() {
            [] => Kind::Exact("".into()),
            [only] => Kind::Exact(boxed(only)),
            [first, rest @ ..] if rest.iter().all(String::is_empty) => match first.is_empty() {
                true => Kind::Any,
                false => Kind::Prefix(boxed(first)),
            },
            [first, middle @ .., last] => Kind::Pieces {
                first: boxed(first),
                middle: middle.iter().filter(|piece| !piece.is_empty()).map(boxed).collect(),
                last: boxed(last),
            },
        })
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Kind::Any => true,
            Kind::Exact(exact) => **exact == *text,
            Kind::Prefix(prefix) => text.starts_with(&**prefix),
            Kind::Pieces { first, middle, last } => pieces_match(first, middle, last, text),
            Kind::States(states) => states.accept(text),
        }
    }

    /// The only text that matches, where the pattern has no wildcard.
    pub fn as_exact(&self) -> Option<&str> {
        match &self.0 {
            Kind::Exact(exact) => Some(exact),
            _ => None,
        }
    }

    /// What comes before the first wildcard.
    pub(crate) fn start(&self) -> Cow<'_, str> {
        match &self.0 {
            Kind::Any => "".into(),
            Kind::Exact(text) | Kind::Prefix(text) => text.as_ref().into(),
            Kind::Pieces { first, .. } => first.as_ref().into(),
            Kind::States(states) => {
                let character = |element| match element {
                    Element::Char(c) => Some(c),
                    Element::One | Element::Many => None,
                };
                states.elements().into_iter().map_while(character).collect()
            }
        }
    }

    /// The pattern character by character, as it was before it was compiled; repeated stars are
    /// one.
    pub(crate) fn elements(&self) -> Vec<Element> {
        let text = |text: &str| text.chars().map(Element::Char).collect::<Vec<_>>();
        match &self.0 {
            Kind::Any => vec![Element::Many],
            Kind::Exact(exact) => text(exact),
            Kind::Prefix(prefix) => [text(prefix), vec![Element::Many]].concat(),
            Kind::Pieces { first, middle, last } => {
                let mut elements = text(first);
                for piece in middle {
                    elements.push(Element::Many);
                    elements.extend(text(piece));
                }
                elements.push(Element::Many);
                elements.extend(text(last));
                elements
            }
            Kind::States(states) => states.elements(),
        }
    }

    /// Whether every text matches.
    pub fn is_any(&self) -> bool {
        self.0 == Kind::Any
    }
}

/// The leftmost place is always a right place for a piece: what follows has the most room left.
fn pieces_match(first: &str, middle: &[Box<str>], last: &str, text: &str) -> bool {
    let Some(mut rest) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    for piece in middle {
        let Some((_, after)) = rest.split_once(&**piece) else { return false };
        rest = after;
    }
    true
}

pub(crate) fn tokens(pattern: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['*', '?']) {
        let (text, after) = rest.split_at(at);
        if !text.is_empty() {
            tokens.push(Token::Text(text));
        }
        let (wildcard, after) = after.split_at(1);
        tokens.push(if wildcard == "*" { Token::Many } else { Token::One });
        rest = after;
    }
    if !rest.is_empty() {
        tokens.push(Token::Text(rest));
    }
    tokens
}

/// A pattern as states: state `i` means that the first `i` characters of the pattern (stars not
/// counted) are matched. A star before character `i` lets state `i` stay.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct States {
    last: usize,
    stays: Vec<u64>,
    /// States whose next character is `?`.
    takes_any: Vec<u64>,
    /// Sorted by character: the states whose next character is this one, as words that are not
    /// zero. Kept sparse, so that a pattern of many different characters stays small.
    takes: Vec<(char, Vec<(usize, u64)>)>,
}

impl States {
    fn new(tokens: &[Token<'_>]) -> States {
        let mut last = 0;
        let mut stays = Vec::new();
        let mut takes_any = Vec::new();
        let mut takes: BTreeMap<char, Vec<(usize, u64)>> = BTreeMap::new();
        for token in tokens {
            match token {
                Token::Many => set(&mut stays, last),
                Token::One => {
                    set(&mut takes_any, last);
                    last += 1;
                }
                Token::Text(text) => {
                    for c in text.chars() {
                        let words = takes.entry(c).or_default();
                        match words.last_mut() {
                            Some((word, bits)) if *word == last / 64 => *bits |= 1 << (last % 64),
                            _ => words.push((last / 64, 1 << (last % 64))),
                        }
                        last += 1;
                    }
                }
            }
        }
        stays.resize(last / 64 + 1, 0);
        takes_any.resize(last / 64 + 1, 0);
        States { last, stays, takes_any, takes: takes.into_iter().collect() }
    }

    fn elements(&self) -> Vec<Element> {
        let bit = |words: &[u64], state: usize| {
            words.get(state / 64).is_some_and(|word| (word >> (state % 64)) & 1 == 1)
        };
        let mut taken = vec![Element::One; self.last];
        for (c, words) in &self.takes {
            for (word, bits) in words {
                for state in (0..64).filter(|at| (bits >> at) & 1 == 1) {
                    if let Some(element) = taken.get_mut(word * 64 + state) {
                        *element = Element::Char(*c);
                    }
                }
            }
        }
        let mut elements = Vec::with_capacity(self.last + 1);
        for state in 0..=self.last {
            if bit(&self.stays, state) {
                elements.push(Element::Many);
            }
            elements.extend(taken.get(state));
        }
        elements
    }

    fn accept(&self, text: &str) -> bool {
        let mut alive = vec![0_u64; self.stays.len()];
        set(&mut alive, 0);
        let mut takes = self.takes_any.clone();
        for c in text.chars() {
            takes.clone_from(&self.takes_any);
            if let Ok(at) = self.takes.binary_search_by_key(&c, |(wanted, _)| *wanted) {
                for (word, bits) in self.takes.get(at).map_or(&[][..], |(_, words)| words) {
                    if let Some(takes) = takes.get_mut(*word) {
                        *takes |= bits;
                    }
                }
            }
            let mut carry = 0;
            for ((word, stays), takes) in alive.iter_mut().zip(&self.stays).zip(&takes) {
                let moved = *word & takes;
                *word = (*word & stays) | (moved << 1) | carry;
                carry = moved >> 63;
            }
        }
        alive.get(self.last / 64).is_some_and(|word| (word >> (self.last % 64)) & 1 == 1)
    }
}

fn set(bits: &mut Vec<u64>, state: usize) {
    if bits.len() <= state / 64 {
        bits.resize(state / 64 + 1, 0);
    }
    if let Some(word) = bits.get_mut(state / 64) {
        *word |= 1 << (state % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} on {text}");
    }

    #[test]
    fn wildcards_mean_what_the_iam_reference_says() {
        check("", "", true);
        check("", "a", false);
        check("*", "", true);
        check("**", "a/b:c\nd", true);
        check("?", "", false);
        check("?", "ü", true);
        check("a*", "a", true);
        check("*a", "ba", true);
        check("a*a", "a", false);
        check("a*a", "aa", true);
        check("a*b*c", "a1b2b3c", true);
        check("a*b*c", "acb", false);
        check("*ab*ab*", "abab", true);
        check("*ab*ab*", "aba", false);
        check("a?c*", "abcd", true);
        check("*?b", "ab", true);
        check("*?b", "b", false);
        check("?*?", "x", false);
        check("?*?", "xy", true);
    }

    #[test]
    fn a_compiled_pattern_still_tells_its_elements() {
        for pattern in ["", "*", "a", "a*", "*a", "a*b*c", "a?*", "?", "*?b*", "??*a"] {
            let written: String = Glob::new(pattern)
                .elements()
                .into_iter()
                .map(|element| match element {
                    Element::Char(c) => c,
                    Element::One => '?',
                    Element::Many => '*',
                })
                .collect();
            assert_eq!(written, pattern);
        }
    }

    #[test]
    fn a_pattern_cannot_make_matching_slow() {
        let text = "a".repeat(20_000);
        let pieces = "*aaaaaaaaab".repeat(200);
        let states = "*a?a?a?a?b".repeat(200);
        let alphabet: String = ('\u{4e00}'..'\u{9e00}').collect();
        let started = std::time::Instant::now();
        check(&format!("?{alphabet}"), &text, false);
        check(&pieces, &text, false);
        check(&states, &text, false);
        assert!(started.elapsed().as_secs() < 2, "took {:?}", started.elapsed());
    }
}
