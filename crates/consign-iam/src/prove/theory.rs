//! Values of one variable: whether one exists that meets some tests and fails others.
//!
//! Tests of text go to [`language::find`]. Numbers, instants, networks and bytes are tried at every
//! constant, and just beside each, which leaves out no combination of such tests. Where text and
//! other tests meet on one key, a value that is found is one, and that none is found proves
//! nothing unless either kind alone has none.

use crate::condition::{Condition, Operands, Quantifier, Test as Compared};
use crate::prove::language::{Found, Language, find};
use crate::value::Network;

/// A property of a single value.
#[derive(Clone, Debug)]
pub(crate) enum Good {
    /// Membership, or for negated operators its absence.
    Text { set: Language, negated: bool },
    /// A test of numbers, instants, networks or bytes.
    Typed(Condition),
}

impl Good {
    pub(crate) fn text(set: Language) -> Good {
        Good::Text { set, negated: false }
    }

    fn holds(&self, value: &str) -> bool {
        match self {
            Good::Text { set, negated } => set.contains(value) != *negated,
            Good::Typed(condition) => condition.typed_holds_for(value) == Some(true),
        }
    }
}

/// A test of what the request carries for a key.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    /// `Null`
    Presence { absent: bool, present: bool },
    /// Any other operator.
    Value { quantifier: Option<Quantifier>, on_absent: bool, good: Good },
    /// Nothing is known of it.
    Free,
}

impl Test {
    pub(crate) fn plain(good: Good) -> Test {
        Test::Value { quantifier: None, on_absent: false, good }
    }
}

/// Something that a request carries, or not.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    /// `action`, `resource`, or the key as written.
    pub(crate) name: String,
    pub(crate) may_lack: bool,
    pub(crate) may_be_one: bool,
    pub(crate) may_be_many: bool,
    /// What holds of every value.
    pub(crate) limits: Vec<(Good, bool)>,
}

impl Variable {
    pub(crate) fn required(name: &str, limits: Vec<(Good, bool)>) -> Variable {
        let name = name.to_owned();
        Variable { name, may_lack: false, may_be_one: true, may_be_many: false, limits }
    }

    pub(crate) fn absent(name: &str) -> Variable {
        let mut variable = Variable::required(name, Vec::new());
        variable.may_lack = true;
        variable.may_be_one = false;
        variable
    }

    pub(crate) fn anything(name: &str, list: bool) -> Variable {
        let mut variable = Variable::required(name, Vec::new());
        variable.may_lack = true;
        variable.may_be_many = list;
        variable
    }

    /// The value, where it is one fixed text.
    pub(crate) fn only_value(&self) -> Option<String> {
        let listed = self.limits.iter().filter_map(|(good, side)| match good {
            Good::Text { set, negated: false } if *side => set.listed(),
            _ => None,
        });
        let shortest = listed.min_by_key(|texts| texts.len())?;
        let fits =
            |text: &&String| self.limits.iter().all(|(good, side)| good.holds(text) == *side);
        let mut fitting = shortest.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Some(only.clone()),
            _ => None,
        }
    }
}

/// What a request carries for a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    Absent,
    One(String),
    Many(Vec<String>),
}

/// A value of the variable for which every test is as its side says.
pub(crate) fn solve(
    variable: &Variable,
    tests: &[(&Test, bool)],
    hints: &[String],
) -> Found<Chosen> {
    let mut unknown = false;
    if variable.may_lack && tests.iter().all(|(test, side)| for_absent(test) == Some(*side)) {
        return Found::One(Chosen::Absent);
    }
    if variable.may_be_one {
        match one(variable, tests, hints) {
            Found::One(value) => return Found::One(Chosen::One(value)),
            Found::Unknown => unknown = true,
            Found::None => {}
        }
    }
    if variable.may_be_many {
        match many(variable, tests) {
            Found::One(values) => return Found::One(Chosen::Many(values)),
            Found::Unknown => unknown = true,
            Found::None => {}
        }
    }
    if unknown { Found::Unknown } else { Found::None }
}

fn for_absent(test: &Test) -> Option<bool> {
    match test {
        Test::Presence { absent, .. } => Some(*absent),
        Test::Value { on_absent, .. } => Some(*on_absent),
        Test::Free => None,
    }
}

fn limits(variable: &Variable) -> Vec<(&Good, bool)> {
    variable.limits.iter().map(|(good, side)| (good, *side)).collect()
}

fn one(variable: &Variable, tests: &[(&Test, bool)], hints: &[String]) -> Found<String> {
    let mut sides = limits(variable);
    for (test, side) in tests {
        match test {
            Test::Presence { present, .. } if present != side => return Found::None,
            Test::Value { good, .. } => sides.push((good, *side)),
            Test::Presence { .. } | Test::Free => {}
        }
    }
    value(&sides, hints)
}

/// Several values: what must hold of all of them, and what each of some must.
fn many(variable: &Variable, tests: &[(&Test, bool)]) -> Found<Vec<String>> {
    let mut all = limits(variable);
    let mut some: Vec<(&Good, bool)> = Vec::new();
    for (test, side) in tests {
        match test {
            Test::Presence { present, .. } if present != side => return Found::None,
            // An operator without quantifier never reads a list.
            Test::Value { quantifier: None, .. } if *side => return Found::None,
            Test::Value { quantifier: Some(quantifier), good, .. } => {
                let each = (*quantifier == Quantifier::ForAllValues) == *side;
                if each { all.push((good, *side)) } else { some.push((good, *side)) }
            }
            _ => {}
        }
    }
    let mut values = Vec::new();
    let needs: Vec<Option<(&Good, bool)>> = some.into_iter().map(Some).chain([None]).collect();
    for need in needs {
        let sides: Vec<(&Good, bool)> = all.iter().copied().chain(need).collect();
        match value(&sides, &[]) {
            Found::One(value) => values.push(value),
            Found::None => return Found::None,
            Found::Unknown => return Found::Unknown,
        }
    }
    if values.len() < 2 {
        values.extend(values.clone());
    }
    Found::One(values)
}

/// One value with all these properties, or the lack of them.
pub(crate) fn value(sides: &[(&Good, bool)], hints: &[String]) -> Found<String> {
    let mut texts: Vec<(&Language, bool)> = Vec::new();
    let mut typed: Vec<(&Condition, bool)> = Vec::new();
    for (good, side) in sides {
        match good {
            Good::Text { set, negated } => texts.push((set, side != negated)),
            Good::Typed(condition) => typed.push((condition, *side)),
        }
    }
    let found = find(&texts, hints);
    if typed.is_empty() || found == Found::None {
        return found;
    }
    let candidates = candidates(&typed);
    for kind in typed.iter().map(|(condition, _)| kind(condition)) {
        let alone = |value: &String| {
            let mut same = typed.iter().filter(|(condition, _)| self::kind(condition) == kind);
            same.all(|(condition, side)| condition.typed_holds_for(value) == Some(*side))
        };
        if is_complete(kind, &typed) && !candidates.iter().any(alone) {
            return Found::None;
        }
    }
    let fits = |value: &String| sides.iter().all(|(good, side)| good.holds(value) == *side);
    let listed = texts.iter().filter(|(_, inside)| *inside).filter_map(|(set, _)| set.listed());
    let finite = listed.min_by_key(|texts| texts.len());
    let from_text = match found {
        Found::One(text) => vec![text],
        _ => Vec::new(),
    };
    let listed = finite.unwrap_or_default();
    let all = hints.iter().chain(&from_text).chain(listed).chain(&candidates);
    match all.into_iter().find(|text| fits(text)) {
        Some(found) => Found::One(found.clone()),
        None if finite.is_some() => Found::None,
        None if only_one_kind(&typed) && texts.iter().all(|(set, side)| is_trivial(set, *side)) => {
            Found::None
        }
        None => Found::Unknown,
    }
}

/// A side that every text is on.
fn is_trivial(set: &Language, inside: bool) -> bool {
    !inside && set.listed().is_some_and(<[String]>::is_empty)
}

fn only_one_kind(typed: &[(&Condition, bool)]) -> bool {
    typed.iter().all(|(condition, _)| {
        typed.first().is_some_and(|(first, _)| kind(first) == kind(condition))
    }) && typed.first().is_some_and(|(first, _)| is_complete(kind(first), typed))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Date,
    Network,
    Bytes,
}

fn kind(condition: &Condition) -> Kind {
    match condition.operator.test {
        Compared::Numeric(_) => Kind::Number,
        Compared::Date(_) => Kind::Date,
        Compared::IpAddress => Kind::Network,
        _ => Kind::Bytes,
    }
}

/// Whether the candidates of a kind leave no combination out. Instants before 1970 cannot be
/// written as seconds, and so not be approached from both sides.
fn is_complete(kind: Kind, typed: &[(&Condition, bool)]) -> bool {
    kind != Kind::Date
        || typed.iter().all(|(condition, _)| match &condition.operands {
            Operands::Instants(values) => {
                values.iter().filter_map(|typed| typed.value).all(|instant| instant.nanos() > 0)
            }
            _ => true,
        })
}

/// Values at every constant and beside it, those that read best first.
fn candidates(typed: &[(&Condition, bool)]) -> Vec<String> {
    let mut values = Vec::new();
    for (condition, _) in typed {
        values.extend(condition.operands.sources().into_iter().map(str::to_owned));
    }
    for (condition, _) in typed {
        match &condition.operands {
            Operands::Numbers(numbers) => {
                let longest = numbers_longest(typed);
                for number in numbers.iter().filter_map(|typed| typed.value.as_ref()) {
                    values.extend(number.neighbours(longest));
                }
                let tiny = format!("0.{}1", "0".repeat(longest));
                values.extend(["0".to_owned(), "-1".to_owned(), format!("-{tiny}"), tiny]);
            }
            Operands::Instants(instants) => {
                for instant in instants.iter().filter_map(|typed| typed.value) {
                    values.extend(instant.neighbours());
                }
            }
            Operands::Networks(networks) => {
                for network in networks.iter().filter_map(|typed| typed.value) {
                    values.extend(edges(network));
                }
                values.extend(["0.0.0.0".to_owned(), "::".to_owned()]);
            }
            Operands::Bytes(bytes) => {
                // One byte longer than any constant, which therefore equals none.
                let longest = bytes.iter().filter_map(|b| b.value.as_ref().map(Vec::len)).max();
                values.push("AAAA".repeat(longest.unwrap_or(0) + 1));
            }
            Operands::Booleans(_) | Operands::Patterns(_) => {}
        }
    }
    values.push("x".to_owned());
    values
}

fn numbers_longest(typed: &[(&Condition, bool)]) -> usize {
    let sources = typed.iter().flat_map(|(condition, _)| match &condition.operands {
        Operands::Numbers(numbers) => numbers
            .iter()
            .filter_map(|typed| typed.value.as_ref())
            .map(|n| n.fraction_digits())
            .collect(),
        _ => Vec::new(),
    });
    sources.max().unwrap_or(0)
}

/// The first address of a network, and the first behind it: between such addresses nothing changes.
fn edges(network: Network) -> Vec<String> {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let (address, prefix_bits) = network.parts();
    match address {
        IpAddr::V4(address) => {
            let host = u32::MAX.checked_shr(u32::from(prefix_bits)).unwrap_or(0);
            let first = u32::from(address) & !host;
            let behind = (first | host).checked_add(1);
            [Some(first), behind]
                .into_iter()
                .flatten()
                .map(|a| Ipv4Addr::from(a).to_string())
                .collect()
        }
        IpAddr::V6(address) => {
            let host = u128::MAX.checked_shr(u32::from(prefix_bits)).unwrap_or(0);
            let first = u128::from(address) & !host;
            let behind = (first | host).checked_add(1);
            [Some(first), behind]
                .into_iter()
                .flatten()
                .map(|a| Ipv6Addr::from(a).to_string())
                .collect()
        }
    }
}
