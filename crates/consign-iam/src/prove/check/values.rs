//! Contradictions: whether no value of one variable is as some atoms say.
//!
//! Text is searched in [`super::text`]. Numbers, instants and addresses are cut into cells between
//! the constants, in each of which all tests are constant ([`super::cells`]). What this cannot decide
//! is not a contradiction.

use std::cmp::Ordering;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::cells::{no_address, no_bytes, no_date, no_number};
use super::text::{Text, Tok, no_text, wild};
use crate::glob::Glob;
use crate::key::Key;
use crate::prove::classes::Class;
use crate::prove::domains::{Derived, derived, is_list, written};
use crate::prove::{Atom, Domain, Region, Set, Values};
use crate::value::{Decimal, Instant, Network};

/// What requests of a region and class of callers carry.
pub(super) struct Domains<'d> {
    pub(super) class: &'d Class,
    pub(super) region: &'d Region,
    pub(super) service: Option<&'d str>,
}

/// What a claim and a class of callers say of one variable, in their own words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Known {
    Actions(Set),
    Resources(Set),
    /// What follows from the caller for a condition key, and what the region says of it.
    Key {
        follows: Derived,
        list: bool,
        given: Vec<Domain>,
    },
}

/// What is known of one variable before any atom.
struct Variable {
    may_lack: bool,
    may_be_one: bool,
    may_be_many: bool,
    limits: Vec<(Probe, bool)>,
}

/// A property of one value.
#[derive(Clone)]
pub(super) enum Probe {
    Text(Text),
    /// How a number compares with one of these; negated for `NotEquals`. What is no number has
    /// the property in no case.
    Number {
        holds: fn(Ordering) -> bool,
        negated: bool,
        constants: Vec<Decimal<'static>>,
    },
    Date {
        holds: fn(Ordering) -> bool,
        negated: bool,
        constants: Vec<Instant>,
    },
    Address {
        negated: bool,
        networks: Vec<Network>,
    },
    Bytes {
        constants: Vec<Vec<u8>>,
    },
    Never,
}

/// One test as the atom says it: of an absent key, of one value, of several.
struct Test {
    on_absent: bool,
    on_present: Option<bool>,
    /// `Some(true)` for `ForAnyValue`, `Some(false)` for `ForAllValues`.
    any: Option<bool>,
    /// Nothing where it is not understood; then it excludes nothing.
    good: Option<Probe>,
}

impl Domains<'_> {
    /// Whether no request carries for a variable what the atoms, all on it, and their sides say.
    /// Where no atom holds policy variables, nothing but `known` and the atoms decides.
    pub(super) fn contradict(&self, known: &Known, atoms: &[(&Atom, bool)]) -> bool {
        if atoms.iter().any(|(atom, _)| atom.test == "NothingBut") {
            return false;
        }
        let variable = Variable::of(known);
        let tests: Vec<(Test, bool)> =
            atoms.iter().map(|(atom, side)| (self.test(atom), *side)).collect();
        let lack = variable.may_lack && tests.iter().all(|(test, side)| test.on_absent == *side);
        let present = |test: &Test, side: bool| test.on_present.is_none_or(|holds| holds == side);
        let presence = tests.iter().all(|(test, side)| present(test, *side));
        if lack || !presence {
            return !lack;
        }
        let goods =
            || tests.iter().filter_map(|(test, side)| Some((test, test.good.as_ref()?, *side)));
        let base =
            || variable.limits.iter().map(|(probe, side)| (probe, *side)).collect::<Vec<_>>();
        if variable.may_be_one {
            let mut sides = base();
            sides.extend(goods().map(|(_, good, side)| (good, side)));
            if !is_empty(&sides) {
                return false;
            }
        }
        !variable.may_be_many || {
            let plain = goods().any(|(test, _, side)| test.any.is_none() && side);
            let mut all = base();
            let mut some = Vec::new();
            for (test, good, side) in goods() {
                match test.any {
                    Some(any) if any == side => some.push((good, side)),
                    Some(_) => all.push((good, side)),
                    None => {}
                }
            }
            plain
                || is_empty(&all)
                || some.into_iter().any(|one| is_empty(&[all.as_slice(), &[one]].concat()))
        }
    }

    /// Whether an unresolved variable in a `NotResource` voids its statement.
    pub(super) fn is_void(&self, atom: &Atom) -> bool {
        let patterns = atom.values.iter().map(|text| self.tokens(text, true, atom.variables));
        let patterns: Vec<_> = patterns.collect();
        atom.on == "resource" && patterns.contains(&Ok(None))
    }

    /// What is known of a variable before any atom, as the claim and the class say it.
    pub(super) fn known(&self, on: &str) -> Known {
        match on {
            "action" => return Known::Actions(self.region.actions.clone()),
            "resource" => return Known::Resources(self.region.resource.clone()),
            _ => {}
        }
        let key = Key::new(on);
        let given = self.region.context.iter().filter(|(name, _)| Key::new(name) == key);
        Known::Key {
            follows: derived(self.class, self.region, self.service, &key),
            list: is_list(key.folded()),
            given: given.map(|(_, domain)| domain.clone()).collect(),
        }
    }

    fn variable(&self, on: &str) -> Variable {
        Variable::of(&self.known(on))
    }

    fn test(&self, atom: &Atom) -> Test {
        let (any, name) = match atom.test.split_once(':') {
            Some(("ForAnyValue", name)) => (Some(true), name),
            Some((_, name)) => (Some(false), name),
            None => (None, atom.test.as_str()),
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(bare) => (bare, true),
            None => (name, false),
        };
        if name == "Null" {
            let says = |wanted: &str| atom.values.iter().any(|v| v.eq_ignore_ascii_case(wanted));
            return Test {
                on_absent: says("true"),
                on_present: Some(says("false")),
                any: None,
                good: None,
            };
        }
        let negated = name.contains("Not");
        let on_absent = if_exists || any.map_or(negated, |any| !any);
        Test { on_absent, on_present: None, any, good: self.probe(name, negated, atom) }
    }

    fn probe(&self, name: &str, negated: bool, atom: &Atom) -> Option<Probe> {
        let relation = |name: &str| -> fn(Ordering) -> bool {
            match name {
                name if name.ends_with("LessThanEquals") => Ordering::is_le,
                name if name.ends_with("LessThan") => Ordering::is_lt,
                name if name.ends_with("GreaterThanEquals") => Ordering::is_ge,
                name if name.ends_with("GreaterThan") => Ordering::is_gt,
                _ => Ordering::is_eq,
            }
        };
        let values = &atom.values;
        if name.starts_with("Numeric") {
            let constants =
                values.iter().filter_map(|v| Decimal::parse(v).map(Decimal::into_owned));
            return Some(Probe::Number {
                holds: relation(name),
                negated,
                constants: constants.collect(),
            });
        }
        if name.starts_with("Date") {
            let constants = values.iter().filter_map(|v| Instant::parse(v)).collect();
            return Some(Probe::Date { holds: relation(name), negated, constants });
        }
        match name {
            "IpAddress" | "NotIpAddress" => {
                let networks = values.iter().filter_map(|v| Network::parse(v)).collect();
                return Some(Probe::Address { negated, networks });
            }
            "BinaryEquals" => {
                let constants = values.iter().filter_map(|v| BASE64.decode(v).ok()).collect();
                return Some(Probe::Bytes { constants });
            }
            "Bool" => {
                let mut text = Text::default();
                let known = ["true", "false"];
                for value in values.iter().map(|v| v.to_ascii_lowercase()) {
                    if known.contains(&value.as_str()) {
                        text.shapes.push(value.chars().map(Tok::Folded).collect());
                    }
                }
                return Some(Probe::Text(text));
            }
            _ => {}
        }
        self.text(name, negated, atom)
    }

    fn text(&self, name: &str, negated: bool, atom: &Atom) -> Option<Probe> {
        let mut text = Text { negated, ..Text::default() };
        let fold = name.ends_with("IgnoreCase");
        let arn = name.starts_with("Arn");
        let is_wild = arn || name.ends_with("Like") || name == "Among";
        for value in &atom.values {
            let lowered = value.to_ascii_lowercase();
            let value = if atom.on == "action" { &lowered } else { value };
            let tokens = self.tokens(value, is_wild, atom.variables).ok()?;
            let Some(mut tokens) = tokens else {
                // Neither equal nor different.
                if negated {
                    return Some(Probe::Never);
                }
                continue;
            };
            if fold {
                if !value.is_ascii() {
                    return None;
                }
                for token in &mut tokens {
                    if let Tok::Char(c) = token {
                        *token = Tok::Folded(c.to_ascii_lowercase());
                    }
                }
            }
            if arn {
                let mut colons = 0;
                for token in &mut tokens {
                    match token {
                        Tok::Char(':') => colons += 1,
                        Tok::One(colon) | Tok::Many(colon) => *colon = colons >= 5,
                        _ => {}
                    }
                }
                if colons < 5 {
                    continue;
                }
            }
            text.add(tokens);
        }
        Some(Probe::Text(text))
    }

    /// A value of a policy: `Err` where a variable in it is not known, `Ok(None)` where one has no
    /// value.
    fn tokens(&self, text: &str, is_wild: bool, variables: bool) -> Result<Option<Vec<Tok>>, ()> {
        let plain = |text: &str| text.chars().map(Tok::Char).collect::<Vec<_>>();
        let mut tokens = Vec::new();
        let mut rest = text;
        while variables && let Some((before, after)) = rest.split_once("${") {
            tokens.extend(if is_wild { wild(before) } else { plain(before) });
            let (inner, after) = after.split_once('}').ok_or(())?;
            rest = after;
            if matches!(inner, "*" | "?" | "$") {
                tokens.extend(plain(inner));
                continue;
            }
            let (name, default) = match inner.split_once(',') {
                Some((name, default)) => {
                    let quoted = default.trim().strip_prefix('\'').ok_or(())?;
                    (name, Some(quoted.strip_suffix('\'').ok_or(())?))
                }
                None => (inner, None),
            };
            let value = self.only_value(name.trim())?;
            let Some(value) = value.or_else(|| default.map(str::to_owned)) else { return Ok(None) };
            tokens.extend(plain(&value));
        }
        tokens.extend(if is_wild { wild(rest) } else { plain(rest) });
        Ok(Some(tokens))
    }

    /// The one value of a key, or that it has none; `Err` where neither is certain.
    fn only_value(&self, key: &str) -> Result<Option<String>, ()> {
        let variable = self.variable(key);
        if !variable.may_be_one && !variable.may_be_many {
            return Ok(None);
        }
        if variable.may_lack || variable.may_be_many {
            return Err(());
        }
        let exact = variable.limits.iter().filter_map(|(probe, side)| match probe {
            Probe::Text(text) if *side && text.shapes.is_empty() => Some(&text.texts),
            _ => None,
        });
        let texts = exact.min_by_key(|texts| texts.len()).ok_or(())?;
        let sides: Vec<(&Probe, bool)> = variable.limits.iter().map(|(p, s)| (p, *s)).collect();
        let mut fitting = texts.iter().filter(|text| holds_all(&sides, text));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(Some(only.clone())),
            _ => Err(()),
        }
    }
}

impl Variable {
    /// Nothing but what is known decides what a variable may be: answers are kept by it.
    fn of(known: &Known) -> Variable {
        let mut variable =
            Variable { may_lack: false, may_be_one: true, may_be_many: false, limits: Vec::new() };
        match known {
            Known::Actions(set) => {
                variable.limits = inside(set, true);
                let mut named = Text::default();
                named.add(wild("?*:?*"));
                variable.limits.push((Probe::Text(named), true));
            }
            Known::Resources(set) => variable.limits = inside(set, false),
            Known::Key { follows, list, given } => {
                match follows {
                    Derived::Absent => (variable.may_lack, variable.may_be_one) = (true, false),
                    Derived::Of(set) => variable.limits = inside(set, false),
                    Derived::Perhaps(set) => {
                        variable.may_lack = true;
                        variable.limits = inside(set, false);
                    }
                    Derived::Anything => (variable.may_lack, variable.may_be_many) = (true, *list),
                }
                given.iter().for_each(|domain| variable.narrow(domain));
            }
        }
        variable
    }

    /// What the region says of a key.
    fn narrow(&mut self, domain: &Domain) {
        let values = match domain {
            Domain::Any => return,
            Domain::Absent => {
                (self.may_be_one, self.may_be_many) = (false, false);
                return;
            }
            Domain::Present(values) => {
                self.may_lack = false;
                values
            }
            Domain::Perhaps(values) => values,
        };
        match values {
            Values::Any => {}
            Values::Of(set) => self.limits.extend(inside(set, false)),
            Values::Fixed(texts) => {
                let texts = texts.iter().cloned().collect();
                self.limits.push((Probe::Text(Text { texts, ..Text::default() }), true));
            }
            Values::Numbers { from, to } => {
                let mut bound = |holds: fn(Ordering) -> bool, text: &Option<String>| {
                    let number = text.as_deref().and_then(Decimal::parse);
                    let constants = number.into_iter().map(Decimal::into_owned).collect();
                    if text.is_some() {
                        let probe = Probe::Number { holds, negated: false, constants };
                        self.limits.push((probe, true));
                    }
                };
                bound(Ordering::is_ge, from);
                bound(Ordering::is_le, to);
            }
        }
    }
}

/// What lies in a set, as limits.
fn inside(set: &Set, lower: bool) -> Vec<(Probe, bool)> {
    let side = |globs: &[Glob]| {
        let mut text = Text::default();
        for glob in globs {
            let pattern = written(glob);
            let pattern = if lower { pattern.to_ascii_lowercase() } else { pattern };
            text.add(wild(&pattern));
        }
        Probe::Text(text)
    };
    vec![(side(&set.including), true), (side(&set.except), false)]
}

fn holds_all(sides: &[(&Probe, bool)], value: &str) -> bool {
    sides.iter().all(|(probe, side)| holds(probe, value) == *side)
}

fn holds(probe: &Probe, value: &str) -> bool {
    match probe {
        Probe::Text(text) => text.holds(value),
        Probe::Number { holds, negated, constants } => {
            Decimal::parse(value).is_some_and(|number| {
                constants.iter().any(|constant| holds(number.order(constant))) != *negated
            })
        }
        Probe::Date { holds, negated, constants } => Instant::parse(value).is_some_and(|instant| {
            constants.iter().any(|constant| holds(instant.cmp(constant))) != *negated
        }),
        Probe::Address { negated, networks } => value.parse().is_ok_and(|address: IpAddr| {
            networks.iter().any(|network| network.contains(address)) != *negated
        }),
        Probe::Bytes { constants } => {
            BASE64.decode(value).is_ok_and(|bytes| constants.contains(&bytes))
        }
        Probe::Never => false,
    }
}

/// Whether certainly no value is on all these sides.
fn is_empty(sides: &[(&Probe, bool)]) -> bool {
    if sides.iter().any(|(probe, side)| *side && matches!(probe, Probe::Never)) {
        return true;
    }
    let texts: Vec<(&Text, bool)> = sides
        .iter()
        .filter_map(|(probe, side)| match probe {
            Probe::Text(text) => Some((text, *side != text.negated)),
            _ => None,
        })
        .collect();
    // A list of texts decides whatever the other tests are of.
    if let Some((list, _)) = texts.iter().find(|(text, inside)| *inside && text.shapes.is_empty()) {
        return !list.texts.iter().any(|text| holds_all(sides, text));
    }
    no_text(&texts) || no_number(sides) || no_date(sides) || no_address(sides) || no_bytes(sides)
}
