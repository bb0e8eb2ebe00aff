//! The claim as a question to any solver of SMT-LIB 2.6: `sat` exactly if some request of the region
//! is decided otherwise than claimed.
//!
//! Classes of callers become alternatives of one disjunction. A key is a presence bit, a length, and
//! as many strings as tests of lists can tell apart. Numbers, instants and addresses are read off a
//! string where the string is a constant of the claim, and otherwise stand beside it. Where one key
//! has tests of text and of another kind, `sat` may therefore mean nothing; `unsat` always does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use crate::compose::{self, Truth};
use crate::condition::{Condition, Operands, Quantifier, Relation, Test as Compared};
use crate::prove::atoms::{Book, Model};
use crate::prove::classes::{Names, classes};
use crate::prove::language::Language;
use crate::prove::layers::Layers;
use crate::prove::steps::smt_text;
use crate::prove::theory::{Good, Test, Variable};
use crate::prove::world::Documents;
use crate::prove::{Claim, Expectation};
use crate::value::{Decimal, Instant, Network};

/// Writes the claim for a solver. It answers `unsat` where the claim holds.
pub fn smt2(claim: &Claim<'_>) -> String {
    let documents = Documents::new(&claim.world);
    let names = Names::gather(claim);
    let mut book = Book::default();
    let models: Vec<Model> = classes(&claim.region.callers, &names)
        .iter()
        .map(|class| Model::new(claim, &documents, class, &mut book))
        .collect();
    let mut script = Script::default();
    models.iter().for_each(|model| script.note(model));
    script.text.push_str("(set-logic ALL)\n");
    script.declare();
    let cases: Vec<String> = models
        .iter()
        .enumerate()
        .map(|(number, model)| script.case(claim, number, model))
        .collect();
    let _ = writeln!(script.text, "(assert {})", join("or", &cases));
    script.text.push_str("(check-sat)\n");
    script.text
}

/// A formula as text.
#[derive(Clone)]
struct Formula(String);

impl Truth for Formula {
    fn known(truth: bool) -> Formula {
        Formula(truth.to_string())
    }

    fn both(self, other: Formula) -> Formula {
        match (self.0.as_str(), other.0.as_str()) {
            ("false", _) | (_, "true") => self,
            ("true", _) | (_, "false") => other,
            _ => Formula(format!("(and {} {})", self.0, other.0)),
        }
    }

    fn either(self, other: Formula) -> Formula {
        match (self.0.as_str(), other.0.as_str()) {
            ("true", _) | (_, "false") => self,
            ("false", _) | (_, "true") => other,
            _ => Formula(format!("(or {} {})", self.0, other.0)),
        }
    }

    fn negated(self) -> Formula {
        match self.0.as_str() {
            "true" => Formula("false".to_owned()),
            "false" => Formula("true".to_owned()),
            _ => Formula(format!("(not {})", self.0)),
        }
    }
}

fn join(operator: &str, parts: &[String]) -> String {
    match parts {
        [] => (operator == "and").to_string(),
        [one] => one.clone(),
        several => format!("({operator} {})", several.join(" ")),
    }
}

/// What all classes together say about a key.
#[derive(Default)]
struct Declared {
    number: usize,
    name: String,
    quantified: usize,
    texts: BTreeSet<String>,
    bytes: BTreeSet<Vec<u8>>,
    typed: bool,
}

#[derive(Default)]
struct Script {
    text: String,
    keys: BTreeMap<String, Declared>,
    free: BTreeSet<usize>,
}

impl Script {
    fn note(&mut self, model: &Model) {
        for variable in &model.variables {
            let number = self.keys.len();
            let key = self.keys.entry(variable.name.to_ascii_lowercase()).or_insert_with(|| {
                Declared { number, name: variable.name.clone(), ..Declared::default() }
            });
            variable.limits.iter().for_each(|(good, _)| key.note(good));
        }
        for atom in &model.atoms {
            let variable = atom.variable.and_then(|at| model.variables.get(at));
            let key = variable.and_then(|v| self.keys.get_mut(&v.name.to_ascii_lowercase()));
            match (&atom.test, key) {
                (Test::Value { quantifier, good, .. }, Some(key)) => {
                    key.quantified += usize::from(quantifier.is_some());
                    key.note(good);
                }
                (Test::Free, _) => {
                    self.free.insert(atom.number);
                }
                _ => {}
            }
        }
    }

    fn declare(&mut self) {
        for number in &self.free {
            let _ = writeln!(self.text, "(declare-const free{number} Bool)");
        }
        for key in self.keys.values() {
            let _ =
                writeln!(self.text, "; k{} is {}", key.number, key.name.replace(['\n', '\r'], " "));
            let _ = writeln!(self.text, "(declare-const k{}_has Bool)", key.number);
            let _ = writeln!(self.text, "(declare-const k{}_len Int)", key.number);
            let _ =
                writeln!(self.text, "(assert (<= 1 k{n}_len {}))", key.places(), n = key.number);
            for place in 0..key.places() {
                key.declare(&format!("k{}_{place}", key.number), &mut self.text);
            }
        }
    }

    /// The requests of one class that go against the claim.
    fn case(&mut self, claim: &Claim<'_>, number: usize, model: &Model) -> String {
        for (at, atom) in model.atoms.iter().enumerate() {
            let variable = atom.variable.and_then(|at| model.variables.get(at));
            let key = variable.and_then(|v| self.keys.get(&v.name.to_ascii_lowercase()));
            let formula = match key {
                Some(key) => key.test(&atom.test),
                None => format!("free{}", atom.number),
            };
            let _ = writeln!(self.text, "(define-fun c{number}_a{at} () Bool {formula})");
        }
        let value = |atom: usize| Formula(format!("c{number}_a{atom}"));
        let layers = Layers { world: &claim.world, model, value };
        let allowed = compose::allowed(model.caller, layers.bits());
        let against = match claim.expect {
            Expectation::Never => allowed,
            Expectation::Always => allowed.negated(),
        };
        let mut parts = vec![against.0];
        for (at, variable) in model.variables.iter().enumerate() {
            let key = self.keys.get(&variable.name.to_ascii_lowercase());
            // What a class says of a key that nothing tests can always be met.
            let given = claim.region.context.iter();
            let given = given.map(|(name, _)| name).any(|n| n.eq_ignore_ascii_case(&variable.name));
            let tested = model.atoms.iter().any(|atom| atom.variable == Some(at));
            if at < 2 || given || tested {
                parts.extend(key.map(|key| key.domain(variable)));
            }
        }
        let label = model.class.label.replace(['\n', '\r'], " ");
        let _ = writeln!(self.text, "; {label}");
        let _ = writeln!(self.text, "(define-fun c{number} () Bool {})", join("and", &parts));
        format!("c{number}")
    }
}

impl Declared {
    /// Values that a list of this key may have; more would not satisfy anything that these cannot.
    fn places(&self) -> usize {
        self.quantified.max(1) + usize::from(self.quantified > 0)
    }

    fn note(&mut self, good: &Good) {
        match good {
            Good::Text { set, .. } => self.texts.extend(set.in_smt().0.iter().cloned()),
            Good::Typed(condition) => {
                self.typed = true;
                if let Operands::Bytes(values) = &condition.operands {
                    self.bytes.extend(values.iter().filter_map(|typed| typed.value.clone()));
                }
            }
        }
    }

    fn declare(&self, value: &str, text: &mut String) {
        let _ = writeln!(text, "(declare-const {value} String)");
        if !self.typed {
            return;
        }
        for (suffix, kind) in [
            ("is_number", "Bool"),
            ("number", "Real"),
            ("is_date", "Bool"),
            ("date", "Int"),
            ("family", "Int"),
            ("address", "Int"),
            ("bytes", "Int"),
        ] {
            let _ = writeln!(text, "(declare-const {value}_{suffix} {kind})");
        }
        let _ = writeln!(
            text,
            "(assert (or (= {value}_family 0) (and (= {value}_family 4) (<= 0 {value}_address {})) (and (= {value}_family 6) (<= 0 {value}_address {}))))",
            u32::MAX,
            u128::MAX
        );
        for constant in &self.texts {
            let _ = writeln!(
                text,
                "(assert (=> (= {value} {}) {}))",
                smt_text(constant),
                self.reading(value, constant)
            );
        }
    }

    /// What a text is as number, date and so on.
    fn reading(&self, value: &str, text: &str) -> String {
        let mut parts = Vec::new();
        match Decimal::parse(text) {
            Some(number) => {
                parts.push(format!("{value}_is_number"));
                parts.push(format!("(= {value}_number {})", number.in_smt()));
            }
            None => parts.push(format!("(not {value}_is_number)")),
        }
        match Instant::parse(text) {
            Some(instant) => {
                parts.push(format!("{value}_is_date"));
                parts.push(format!("(= {value}_date {})", integer(instant.nanos())));
            }
            None => parts.push(format!("(not {value}_is_date)")),
        }
        match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => {
                parts.push(format!("(= {value}_family 4)"));
                parts.push(format!("(= {value}_address {})", u32::from(address)));
            }
            Ok(IpAddr::V6(address)) => {
                parts.push(format!("(= {value}_family 6)"));
                parts.push(format!("(= {value}_address {})", u128::from(address)));
            }
            Err(_) => parts.push(format!("(= {value}_family 0)")),
        }
        join("and", &parts)
    }

    fn domain(&self, variable: &Variable) -> String {
        let (has, len) = (format!("k{}_has", self.number), format!("k{}_len", self.number));
        let mut parts = Vec::new();
        if !variable.may_lack {
            parts.push(has.clone());
        }
        match (variable.may_be_one, variable.may_be_many) {
            (false, false) => parts.push(format!("(not {has})")),
            (true, false) => parts.push(format!("(= {len} 1)")),
            (false, true) => parts.push(format!("(< 1 {len})")),
            (true, true) => {}
        }
        for (good, side) in &variable.limits {
            let places = (0..self.places()).map(|place| {
                let good = self.good(good, place);
                let good = if *side { good } else { format!("(not {good})") };
                format!("(or (<= {len} {place}) {good})")
            });
            let places: Vec<String> = places.collect();
            parts.push(format!("(or (not {has}) {})", join("and", &places)));
        }
        join("and", &parts)
    }

    fn test(&self, test: &Test) -> String {
        let (has, len) = (format!("k{}_has", self.number), format!("k{}_len", self.number));
        match test {
            Test::Free => "false".to_owned(),
            Test::Presence { absent, present } => format!("(ite {has} {present} {absent})"),
            Test::Value { quantifier, on_absent, good } => {
                let places: Vec<String> = (0..self.places())
                    .map(|place| {
                        let good = self.good(good, place);
                        match quantifier {
                            Some(Quantifier::ForAnyValue) => {
                                format!("(and (< {place} {len}) {good})")
                            }
                            _ => format!("(or (<= {len} {place}) {good})"),
                        }
                    })
                    .collect();
                let values = match quantifier {
                    None => format!("(and (= {len} 1) {})", self.good(good, 0)),
                    Some(Quantifier::ForAnyValue) => join("or", &places),
                    Some(Quantifier::ForAllValues) => join("and", &places),
                };
                format!("(ite {has} {values} {on_absent})")
            }
        }
    }

    fn good(&self, good: &Good, place: usize) -> String {
        let value = format!("k{}_{place}", self.number);
        match good {
            Good::Text { set, negated: false } => member(set, &value),
            Good::Text { set, negated: true } => format!("(not {})", member(set, &value)),
            Good::Typed(condition) => self.typed(condition, &value),
        }
    }

    fn typed(&self, condition: &Condition, value: &str) -> String {
        let compare = |relation: Relation, left: &str, right: &str| {
            let operator = match relation {
                Relation::Equal => "=",
                Relation::Less => "<",
                Relation::LessOrEqual => "<=",
                Relation::Greater => ">",
                Relation::GreaterOrEqual => ">=",
            };
            format!("({operator} {left} {right})")
        };
        let (is_one, any): (String, Vec<String>) =
            match (&condition.operands, condition.operator.test) {
                (Operands::Numbers(numbers), Compared::Numeric(relation)) => {
                    let numbers = numbers.iter().filter_map(|typed| typed.value.as_ref());
                    let left = format!("{value}_number");
                    let tests = numbers.map(|n| compare(relation, &left, &n.in_smt()));
                    (format!("{value}_is_number"), tests.collect())
                }
                (Operands::Instants(instants), Compared::Date(relation)) => {
                    let instants = instants.iter().filter_map(|typed| typed.value);
                    let left = format!("{value}_date");
                    let tests = instants.map(|i| compare(relation, &left, &integer(i.nanos())));
                    (format!("{value}_is_date"), tests.collect())
                }
                (Operands::Networks(networks), _) => {
                    let networks = networks.iter().filter_map(|typed| typed.value);
                    let tests = networks.map(|network| within(network, value));
                    (format!("(not (= {value}_family 0))"), tests.collect())
                }
                (Operands::Bytes(bytes), _) => {
                    let numbers = bytes
                        .iter()
                        .filter_map(|typed| typed.value.as_ref())
                        .filter_map(|b| self.bytes.iter().position(|known| known == b));
                    ("true".to_owned(), numbers.map(|n| format!("(= {value}_bytes {n})")).collect())
                }
                _ => ("false".to_owned(), Vec::new()),
            };
        let any = join("or", &any);
        let any = if condition.operator.negated { format!("(not {any})") } else { any };
        format!("(and {is_one} {any})")
    }
}

fn member(set: &Language, value: &str) -> String {
    let (texts, patterns) = set.in_smt();
    let texts = texts.iter().map(|text| format!("(= {value} {})", smt_text(text)));
    let patterns = patterns.into_iter().map(|pattern| format!("(str.in_re {value} {pattern})"));
    join("or", &texts.chain(patterns).collect::<Vec<_>>())
}

fn within(network: Network, value: &str) -> String {
    let (address, prefix_bits) = network.parts();
    let (family, first, last) = match address {
        IpAddr::V4(address) => {
            let host = u32::MAX.checked_shr(u32::from(prefix_bits)).unwrap_or(0);
            let first = u32::from(address) & !host;
            (4, u128::from(first), u128::from(first | host))
        }
        IpAddr::V6(address) => {
            let host = u128::MAX.checked_shr(u32::from(prefix_bits)).unwrap_or(0);
            let first = u128::from(address) & !host;
            (6, first, first | host)
        }
    };
    format!("(and (= {value}_family {family}) (<= {first} {value}_address {last}))")
}

fn integer(number: i128) -> String {
    if number < 0 { format!("(- {})", number.unsigned_abs()) } else { number.to_string() }
}
