//! Conditions: one operator, one key, the values to compare with.
//!
//! A statement's conditions must all hold. Within one, a value of the request need equal only one
//! value of the policy, and for a negated operator it must differ from all of them. What happens to
//! a key that the request does not carry, or carries several times, is the part that published
//! policies get wrong most often; it is decided in [`Condition::holds`] and nowhere else.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::key::Key;
use crate::pattern::{Kind, Match, Pattern};
use crate::request::{Found, Request};
use crate::value::{Decimal, Instant, Network};

/// One condition of a statement.
#[derive(Clone, Debug)]
pub struct Condition {
    /// How to compare.
    pub operator: Operator,
    /// Which key of the request.
    pub key: Key,
    /// With what.
    pub operands: Operands,
}

/// A condition operator, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// What is compared.
    pub test: Test,
    /// `StringNotEquals` and its like.
    pub negated: bool,
    /// `ForAnyValue:` or `ForAllValues:`.
    pub quantifier: Option<Quantifier>,
    /// `…IfExists`.
    pub if_exists: bool,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// Text, exactly.
    StringEquals,
    /// Text, without regard to case.
    StringEqualsIgnoreCase,
    /// Text with wildcards.
    StringLike,
    /// Decimal numbers.
    Numeric(Relation),
    /// Instants.
    Date(Relation),
    /// `true` or `false`.
    Bool,
    /// Bytes, in base64.
    Binary,
    /// An address in a network.
    IpAddress,
    /// ARNs with wildcards field by field. `ArnEquals` is the same.
    Arn,
    /// Whether the key is absent.
    Null,
}

/// An order between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `Equals`
    Equal,
    /// `LessThan`
    Less,
    /// `LessThanEquals`
    LessOrEqual,
    /// `GreaterThan`
    Greater,
    /// `GreaterThanEquals`
    GreaterOrEqual,
}

impl Relation {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Relation::Equal => order.is_eq(),
            Relation::Less => order.is_lt(),
            Relation::LessOrEqual => order.is_le(),
            Relation::Greater => order.is_gt(),
            Relation::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// How several values of one key are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    /// One value of the request suffices; none never does.
    ForAnyValue,
    /// Every value of the request must; none is enough.
    ForAllValues,
}

/// The operators by the name they have without prefix and suffix.
const OPERATORS: &[(&str, Test, bool)] = &[
    ("StringEquals", Test::StringEquals, false),
    ("StringNotEquals", Test::StringEquals, true),
    ("StringEqualsIgnoreCase", Test::StringEqualsIgnoreCase, false),
    ("StringNotEqualsIgnoreCase", Test::StringEqualsIgnoreCase, true),
    ("StringLike", Test::StringLike, false),
    ("StringNotLike", Test::StringLike, true),
    ("NumericEquals", Test::Numeric(Relation::Equal), false),
    ("NumericNotEquals", Test::Numeric(Relation::Equal), true),
    ("NumericLessThan", Test::Numeric(Relation::Less), false),
    ("NumericLessThanEquals", Test::Numeric(Relation::LessOrEqual), false),
    ("NumericGreaterThan", Test::Numeric(Relation::Greater), false),
    ("NumericGreaterThanEquals", Test::Numeric(Relation::GreaterOrEqual), false),
    ("DateEquals", Test::Date(Relation::Equal), false),
    ("DateNotEquals", Test::Date(Relation::Equal), true),
    ("DateLessThan", Test::Date(Relation::Less), false),
    ("DateLessThanEquals", Test::Date(Relation::LessOrEqual), false),
    ("DateGreaterThan", Test::Date(Relation::Greater), false),
    ("DateGreaterThanEquals", Test::Date(Relation::GreaterOrEqual), false),
    ("Bool", Test::Bool, false),
    ("BinaryEquals", Test::Binary, false),
    ("IpAddress", Test::IpAddress, false),
    ("NotIpAddress", Test::IpAddress, true),
    ("ArnEquals", Test::Arn, false),
    ("ArnLike", Test::Arn, false),
    ("ArnNotEquals", Test::Arn, true),
    ("ArnNotLike", Test::Arn, true),
    ("Null", Test::Null, false),
];

impl Operator {
    /// Reads an operator's name; case does not matter.
    pub(crate) fn parse(name: &str) -> Result<Operator, String> {
        let (quantifier, rest) = match name.split_once(':') {
            None => (None, name),
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("ForAnyValue") => {
                (Some(Quantifier::ForAnyValue), rest)
            }
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("ForAllValues") => {
                (Some(Quantifier::ForAllValues), rest)
            }
            Some((prefix, _)) => {
                return Err(format!(
                    "unknown prefix `{prefix}:`; there are `ForAnyValue:` and `ForAllValues:`"
                ));
            }
        };
        let bare = strip_suffix_ignoring_case(rest, "IfExists");
        let if_exists = bare.len() < rest.len();
        let known = OPERATORS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(bare));
        let &(_, test, negated) = known.ok_or_else(|| unknown_operator(name, bare))?;
        if test == Test::Null && (if_exists || quantifier.is_some()) {
            return Err(
                "`Null` asks whether a key exists; it takes neither `IfExists` nor a set prefix"
                    .to_owned(),
            );
        }
        Ok(Operator { test, negated, quantifier, if_exists })
    }

    /// A key that the request does not carry: `IfExists` is content, `ForAllValues` has nothing to
    /// object to, `ForAnyValue` has nothing to find; otherwise nothing equals and so everything
    /// differs.
    pub(crate) fn holds_for_absent(self) -> bool {
        match self.quantifier {
            _ if self.if_exists => true,
            Some(Quantifier::ForAllValues) => true,
            Some(Quantifier::ForAnyValue) => false,
            None => self.negated,
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quantifier {
            Some(Quantifier::ForAnyValue) => f.write_str("ForAnyValue:")?,
            Some(Quantifier::ForAllValues) => f.write_str("ForAllValues:")?,
            None => {}
        }
        // `ArnLike` and `ArnNotLike` are listed after their equals, which say the same.
        let named = OPERATORS
            .iter()
            .rfind(|(_, test, negated)| *test == self.test && *negated == self.negated);
        f.write_str(named.map_or("", |(name, ..)| name))?;
        f.write_str(if self.if_exists { "IfExists" } else { "" })
    }
}

/// The values on the policy's side, read once when the policy is parsed.
#[derive(Clone, Debug)]
pub enum Operands {
    /// Text and ARNs, which may hold variables.
    Patterns(Vec<Pattern>),
    /// Numbers.
    Numbers(Vec<Typed<Decimal<'static>>>),
    /// Instants.
    Instants(Vec<Typed<Instant>>),
    /// `true` and `false`.
    Booleans(Vec<Typed<bool>>),
    /// Decoded bytes.
    Bytes(Vec<Typed<Vec<u8>>>),
    /// Networks.
    Networks(Vec<Typed<Network>>),
}

/// A value as written and as read; `None` where it is not of the operator's type, in which case
/// nothing equals it.
#[derive(Clone, Debug)]
pub struct Typed<T> {
    /// As written.
    pub source: Box<str>,
    /// As read.
    pub value: Option<T>,
}

impl Operands {
    pub(crate) fn parse(
        test: Test,
        values: &[String],
        variables: bool,
    ) -> Result<Operands, String> {
        let patterns = |kind| {
            let parsed: Result<_, _> =
                values.iter().map(|v| Pattern::parse(v, kind, variables)).collect();
            parsed.map(Operands::Patterns)
        };
        Ok(match test {
            Test::StringEquals | Test::StringEqualsIgnoreCase => return patterns(Kind::Text),
            Test::StringLike => return patterns(Kind::Glob),
            Test::Arn => return patterns(Kind::Arn),
            Test::Numeric(_) => {
                Operands::Numbers(typed(values, |v| Decimal::parse(v).map(Decimal::into_owned)))
            }
            Test::Date(_) => Operands::Instants(typed(values, Instant::parse)),
            Test::Bool => Operands::Booleans(typed(values, boolean)),
            Test::Binary => Operands::Bytes(typed(values, |v| BASE64.decode(v).ok())),
            Test::IpAddress => Operands::Networks(typed(values, Network::parse)),
            Test::Null => {
                let wrong = values.iter().find(|value| boolean(value).is_none());
                if let Some(wrong) = wrong {
                    return Err(format!("`Null` compares with true or false, not `{wrong}`"));
                }
                Operands::Booleans(typed(values, boolean))
            }
        })
    }

    /// The values as written.
    pub fn sources(&self) -> Vec<&str> {
        fn of<T>(values: &[Typed<T>]) -> Vec<&str> {
            values.iter().map(|typed| &*typed.source).collect()
        }
        match self {
            Operands::Patterns(patterns) => patterns.iter().map(Pattern::source).collect(),
            Operands::Numbers(values) => of(values),
            Operands::Instants(values) => of(values),
            Operands::Booleans(values) => of(values),
            Operands::Bytes(values) => of(values),
            Operands::Networks(values) => of(values),
        }
    }
}

impl Condition {
    /// Whether the condition is met by a request.
    ///
    /// A key with several values meets only operators with `ForAnyValue` or `ForAllValues`;
    /// any other, negated or not, does not match it. A value that is not of the operator's type
    /// (a date that is none) is neither equal nor different.
    pub fn holds(&self, request: &Request) -> bool {
        let found = request.values(&self.key);
        if self.operator.test == Test::Null {
            return self.null_holds(found == Found::Absent);
        }
        match (found, self.operator.quantifier) {
            (Found::Absent, _) => self.operator.holds_for_absent(),
            (Found::One(value), _) => self.holds_for(value, request),
            (Found::Many(_), None) => false,
            (Found::Many(values), Some(Quantifier::ForAnyValue)) => {
                values.iter().any(|value| self.holds_for(value, request))
            }
            (Found::Many(values), Some(Quantifier::ForAllValues)) => {
                values.iter().all(|value| self.holds_for(value, request))
            }
        }
    }

    fn null_holds(&self, absent: bool) -> bool {
        let Operands::Booleans(values) = &self.operands else { return false };
        values.iter().any(|typed| typed.value == Some(absent))
    }

    fn holds_for(&self, value: &str, request: &Request) -> bool {
        match self.compare(value, request) {
            Match::Yes => !self.operator.negated,
            Match::No => self.operator.negated,
            Match::Undefined => false,
        }
    }

    /// Whether one value, not of text, meets the condition; `None` for tests of text, which may
    /// hold variables.
    pub(crate) fn typed_holds_for(&self, value: &str) -> Option<bool> {
        Some(match self.compare_typed(value)? {
            Match::Yes => !self.operator.negated,
            Match::No => self.operator.negated,
            Match::Undefined => false,
        })
    }

    /// Compares one value of the request with those of the policy: does it equal one of them?
    fn compare(&self, value: &str, request: &Request) -> Match {
        match (&self.operands, self.operator.test) {
            (Operands::Patterns(patterns), Test::StringEqualsIgnoreCase) => {
                any(patterns, |pattern| match pattern.text(request) {
                    Some(text) => Match::from(equal_ignoring_case(&text, value)),
                    None => Match::Undefined,
                })
            }
            (Operands::Patterns(patterns), _) => {
                any(patterns, |pattern| pattern.compare(value, request))
            }
            _ => self.compare_typed(value).unwrap_or(Match::Undefined),
        }
    }

    fn compare_typed(&self, value: &str) -> Option<Match> {
        Some(match (&self.operands, self.operator.test) {
            (Operands::Patterns(_), _) => return None,
            (Operands::Numbers(numbers), Test::Numeric(relation)) => {
                any_typed(numbers, Decimal::parse(value), |ours, theirs| {
                    relation.holds(theirs.order(ours))
                })
            }
            (Operands::Instants(instants), Test::Date(relation)) => {
                any_typed(instants, Instant::parse(value), |ours, theirs| {
                    relation.holds(theirs.cmp(ours))
                })
            }
            (Operands::Booleans(values), _) => {
                any_typed(values, boolean(value), |ours, theirs| ours == theirs)
            }
            (Operands::Bytes(values), _) => {
                any_typed(values, BASE64.decode(value).ok(), |ours, theirs| ours == theirs)
            }
            (Operands::Networks(networks), _) => {
                let address = value.parse::<IpAddr>().ok();
                any_typed(networks, address, |network, address| network.contains(*address))
            }
            // The parser pairs every test with its operands.
            (Operands::Numbers(_) | Operands::Instants(_), _) => Match::Undefined,
        })
    }
}

fn any(patterns: &[Pattern], compare: impl Fn(&Pattern) -> Match) -> Match {
    let mut outcome = Match::No;
    for pattern in patterns {
        match compare(pattern) {
            Match::Yes => return Match::Yes,
            Match::No => {}
            Match::Undefined => outcome = Match::Undefined,
        }
    }
    outcome
}

fn any_typed<P, T>(ours: &[Typed<P>], theirs: Option<T>, same: impl Fn(&P, &T) -> bool) -> Match {
    let Some(theirs) = theirs else { return Match::Undefined };
    Match::from(
        ours.iter().filter_map(|typed| typed.value.as_ref()).any(|value| same(value, &theirs)),
    )
}

fn typed<T>(values: &[String], read: impl Fn(&str) -> Option<T>) -> Vec<Typed<T>> {
    values.iter().map(|v| Typed { source: v.as_str().into(), value: read(v) }).collect()
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        return Some(true);
    }
    text.eq_ignore_ascii_case("false").then_some(false)
}

fn equal_ignoring_case(a: &str, b: &str) -> bool {
    let fold = |text: &str| -> String { text.chars().flat_map(char::to_lowercase).collect() };
    if a.is_ascii() && b.is_ascii() { a.eq_ignore_ascii_case(b) } else { fold(a) == fold(b) }
}

fn strip_suffix_ignoring_case<'a>(text: &'a str, suffix: &str) -> &'a str {
    let at = text.len().saturating_sub(suffix.len());
    match text.split_at_checked(at) {
        Some((rest, end)) if end.eq_ignore_ascii_case(suffix) => rest,
        _ => text,
    }
}

fn unknown_operator(name: &str, bare: &str) -> String {
    let nearest = crate::nearest::nearest(bare, OPERATORS.iter().map(|(known, ..)| *known));
    match nearest {
        Some(known) => format!("unknown condition operator `{name}`; did you mean `{known}`?"),
        None => format!("unknown condition operator `{name}`"),
    }
}
