//! Wildcards: `*` stands for any run of characters (also none, also `/` and `:`), `?` for exactly
//! one character.
//!
//! Matching never backtracks. A pattern of pieces between stars is matched piece by piece with a
//! linear substring search; a pattern with `?` beside `*` runs as a set of states, 64 of them per
//! machine word, once over the text. A policy author cannot make a decision slow.

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
struct States {
    last: usize,
    stays: Vec<u64>,
    /// States whose next character is `?`.
    takes_any: Vec<u64>,
    /// Sorted by character: states whose next character is this one, or `?`.
    takes: Vec<(char, Vec<u64>)>,
}

impl States {
    fn new(tokens: &[Token<'_>]) -> States {
        let mut stays = Vec::new();
        let mut wanted: Vec<Option<char>> = Vec::new();
        for token in tokens {
            match token {
                Token::Many => stays.push(wanted.len()),
                Token::One => wanted.push(None),
                Token::Text(text) => wanted.extend(text.chars().map(Some)),
            }
        }
        let words = wanted.len() / 64 + 1;
        let set = |states: &mut dyn Iterator<Item = usize>| {
            let mut bits = vec![0_u64; words];
            for state in states {
                if let Some(word) = bits.get_mut(state / 64) {
                    *word |= 1 << (state % 64);
                }
            }
            bits
        };
        let mut alphabet: Vec<char> = wanted.iter().copied().flatten().collect();
        alphabet.sort_unstable();
        alphabet.dedup();
        let accepting = |c: Option<char>| {
            let takes = wanted
                .iter()
                .enumerate()
                .filter(move |(_, w)| w.is_none() || (c.is_some() && **w == c));
            takes.map(|(state, _)| state)
        };
        States {
            last: wanted.len(),
            stays: set(&mut stays.into_iter()),
            takes_any: set(&mut accepting(None)),
            takes: alphabet.iter().map(|&c| (c, set(&mut accepting(Some(c))))).collect(),
        }
    }

    fn accept(&self, text: &str) -> bool {
        let mut alive = vec![0_u64; self.stays.len()];
        if let Some(first) = alive.first_mut() {
            *first = 1;
        }
        for c in text.chars() {
            let takes = match self.takes.binary_search_by_key(&c, |(wanted, _)| *wanted) {
                Ok(at) => self.takes.get(at).map_or(&self.takes_any, |(_, states)| states),
                Err(_) => &self.takes_any,
            };
            let mut carry = 0;
            for ((word, stays), takes) in alive.iter_mut().zip(&self.stays).zip(takes) {
                let moved = *word & takes;
                *word = (*word & stays) | (moved << 1) | carry;
                carry = moved >> 63;
            }
        }
        alive.get(self.last / 64).is_some_and(|word| word >> (self.last % 64) & 1 == 1)
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
    fn a_pattern_cannot_make_matching_slow() {
        let text = "a".repeat(20_000);
        let pieces = "*aaaaaaaaab".repeat(200);
        let states = "*a?a?a?a?b".repeat(200);
        let started = std::time::Instant::now();
        check(&pieces, &text, false);
        check(&states, &text, false);
        assert!(started.elapsed().as_secs() < 2, "took {:?}", started.elapsed());
    }
}
