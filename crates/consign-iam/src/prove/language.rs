//! Sets of strings, and whether strings exist that lie in some of them and outside others.
//!
//! The question is answered by a breadth-first search over what all patterns together have read so
//! far. A character matters only if some pattern expects it next; of all the others one stands for
//! all. Lists of plain texts are kept as a tree of characters and count as one pattern, so that a
//! list of thousands costs no more than its length.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::glob::Element;
use crate::pattern::Settled;
use crate::prove::steps::{Step, accepts, lower, smt_pattern};

/// Strings that equal one of some texts or match one of some patterns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Language {
    /// Tells languages apart that were made of different texts and patterns.
    digest: u128,
    exact: HashSet<String>,
    // In the order given, for values that read well.
    listed: Vec<String>,
    shapes: Vec<Vec<Step>>,
    /// Folding was asked for text whose folding this search does not follow.
    inexact: bool,
}

impl Language {
    pub(crate) fn add_text(&mut self, text: &str) {
        if self.exact.insert(text.to_owned()) {
            self.absorb(text);
            self.listed.push(text.to_owned());
        }
    }

    fn absorb(&mut self, what: impl Hash) {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (salt, self.digest, &what).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        self.digest = half(0) << 64 | half(1);
    }

    /// A text of which the case does not matter.
    pub(crate) fn add_folded(&mut self, text: &str) {
        self.inexact |= !text.is_ascii();
        let shape: Vec<Step> =
            text.chars().flat_map(char::to_lowercase).map(Step::Folded).collect();
        self.absorb((self.inexact, &shape));
        self.shapes.push(shape);
    }

    pub(crate) fn add_settled(&mut self, settled: &Settled) {
        match settled {
            Settled::Text(text) => self.add_text(text),
            Settled::Glob(glob) => self.add_elements(glob.elements()),
            Settled::Arn(fields) => self.add_fields(fields.as_ref()),
        }
    }

    /// Characters and wildcards over the whole text.
    pub(crate) fn add_elements(&mut self, elements: Vec<Element>) {
        let steps = elements.into_iter().map(|element| match element {
            Element::Char(c) => Step::Char(c),
            Element::One => Step::One,
            Element::Many => Step::Many,
        });
        self.add_steps(steps.collect());
    }

    /// A pattern of actions, whose case does not matter and is lower in the texts searched.
    pub(crate) fn add_action(&mut self, elements: Vec<Element>) {
        let lowered = elements.into_iter().map(|element| match element {
            Element::Char(c) => Element::Char(c.to_ascii_lowercase()),
            other => other,
        });
        self.add_elements(lowered.collect());
    }

    fn add_fields(&mut self, fields: &[crate::glob::Glob; 6]) {
        let mut steps = Vec::new();
        for (at, field) in fields.iter().enumerate() {
            if at > 0 {
                steps.push(Step::Char(':'));
            }
            steps.extend(field.elements().into_iter().map(|element| match element {
                Element::Char(c) => Step::Char(c),
                Element::One if at < 5 => Step::OneOfField,
                Element::Many if at < 5 => Step::ManyOfField,
                Element::One => Step::One,
                Element::Many => Step::Many,
            }));
        }
        self.add_steps(steps);
    }

    fn add_steps(&mut self, steps: Vec<Step>) {
        let plain: Option<String> = steps
            .iter()
            .map(|step| if let Step::Char(c) = step { Some(*c) } else { None })
            .collect();
        match plain {
            Some(text) => self.add_text(&text),
            None => {
                self.absorb(&steps);
                self.shapes.push(steps);
            }
        }
    }

    pub(crate) fn contains(&self, text: &str) -> bool {
        self.exact.contains(text) || self.shapes.iter().any(|shape| accepts(shape, text))
    }

    /// All its strings, where they are listed one by one.
    pub(crate) fn listed(&self) -> Option<&[String]> {
        self.shapes.is_empty().then_some(&self.listed)
    }

    /// Its plain texts, and each pattern in the notation of SMT-LIB.
    pub(crate) fn in_smt(&self) -> (&[String], Vec<String>) {
        (&self.listed, self.shapes.iter().map(|shape| smt_pattern(shape)).collect())
    }

    /// Strings in it that read like real ones.
    fn examples(&self) -> impl Iterator<Item = String> {
        let shaped = self.shapes.iter().take(16).map(|shape| {
            let last = shape.len().saturating_sub(1);
            let mut text = String::new();
            for (at, step) in shape.iter().enumerate() {
                match step {
                    Step::Char(c) | Step::Folded(c) => text.push(*c),
                    Step::One | Step::OneOfField => text.push('x'),
                    Step::Many if at == last && text.contains(":s3:::") => {
                        text.push_str(if text.ends_with('/') { "report.pdf" } else { "" });
                    }
                    Step::Many | Step::ManyOfField if at == last => text.push_str("other"),
                    Step::Many | Step::ManyOfField => text.push('x'),
                }
            }
            text
        });
        self.listed.iter().take(16).cloned().chain(shaped)
    }
}

/// The answer to a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found<T> {
    /// This one.
    One(T),
    /// There is none.
    None,
    /// Not decided within bounds.
    Unknown,
}

/// States a search may visit. The patterns of real policies need some hundreds.
const STATES_MAX: usize = 60_000;

/// Languages by their digests, and the side of each.
type Question = Vec<(u128, bool)>;

/// Answers kept per thread. Claims about one lane ask the same again and again, and what concerns
/// actions alone is the same for every lane.
const ANSWERS_MAX: usize = 50_000;

thread_local! {
    static ANSWERS: RefCell<HashMap<Question, Found<String>>> = RefCell::new(HashMap::new());
}

/// A string inside every language whose side is `true` and outside every other; hints are tried
/// first.
pub(crate) fn find(sides: &[(&Language, bool)], hints: &[String]) -> Found<String> {
    if !hints.is_empty() {
        return look_for(sides, hints);
    }
    let question: Question = sides.iter().map(|(set, inside)| (set.digest, *inside)).collect();
    if let Some(answer) = ANSWERS.with_borrow(|answers| answers.get(&question).cloned()) {
        return answer;
    }
    let answer = look_for(sides, hints);
    ANSWERS.with_borrow_mut(|answers| {
        if answers.len() >= ANSWERS_MAX {
            answers.clear();
        }
        answers.insert(question, answer.clone());
    });
    answer
}

fn look_for(sides: &[(&Language, bool)], hints: &[String]) -> Found<String> {
    let fits = |text: &String| sides.iter().all(|(set, inside)| set.contains(text) == *inside);
    if let Some(hint) = hints.iter().find(|hint| fits(hint)) {
        return Found::One(hint.clone());
    }
    let inside = || sides.iter().filter(|(_, inside)| *inside).map(|(set, _)| *set);
    if let Some(listed) = inside().filter_map(Language::listed).min_by_key(|texts| texts.len()) {
        return listed
            .iter()
            .find(|text| fits(text))
            .map_or(Found::None, |t| Found::One(t.clone()));
    }
    if let Some(example) = inside().flat_map(Language::examples).find(|text| fits(text)) {
        return Found::One(example);
    }
    let inexact = sides.iter().any(|(set, _)| set.inexact);
    match Search::new(sides).run() {
        Found::None if inexact => Found::Unknown,
        found => found,
    }
}

/// All patterns side by side.
struct Search<'a> {
    sides: &'a [(&'a Language, bool)],
    steps: Vec<Option<Step>>,
    /// Of each step, which side it belongs to.
    owner: Vec<u32>,
    starts: Vec<u32>,
    trees: Vec<Tree>,
}

/// The plain texts of one side, as a tree by characters. Node 0 is the root.
struct Tree {
    owner: usize,
    children: Vec<HashMap<char, u32>>,
    ends: Vec<bool>,
}

const DEAD: u32 = u32::MAX;

impl Tree {
    fn new(owner: usize, texts: &[String]) -> Tree {
        let mut tree = Tree { owner, children: vec![HashMap::new()], ends: vec![false] };
        for text in texts {
            let mut node = 0_usize;
            for c in text.chars() {
                let next = u32::try_from(tree.children.len()).unwrap_or(DEAD);
                let Some(children) = tree.children.get_mut(node) else { break };
                let child = *children.entry(c).or_insert(next);
                if child == next {
                    tree.children.push(HashMap::new());
                    tree.ends.push(false);
                }
                node = child as usize;
            }
            if let Some(end) = tree.ends.get_mut(node) {
                *end = true;
            }
        }
        tree
    }

    fn next(&self, node: u32, c: char) -> u32 {
        let children = self.children.get(node as usize);
        children.and_then(|children| children.get(&c)).copied().unwrap_or(DEAD)
    }
}

/// What every pattern has read: positions in the shapes, then a node of each tree.
type State = Vec<u32>;

impl<'a> Search<'a> {
    fn new(sides: &'a [(&'a Language, bool)]) -> Search<'a> {
        let mut search =
            Search { sides, steps: vec![], owner: vec![], starts: vec![], trees: vec![] };
        for (owner, (set, _)) in sides.iter().enumerate() {
            for shape in &set.shapes {
                search.starts.push(u32::try_from(search.steps.len()).unwrap_or(DEAD));
                search.steps.extend(shape.iter().map(|step| Some(*step)));
                search.steps.push(None);
                search.owner.resize(search.steps.len(), u32::try_from(owner).unwrap_or(DEAD));
            }
            if !set.listed.is_empty() {
                search.trees.push(Tree::new(owner, &set.listed));
            }
        }
        search
    }

    fn run(&self) -> Found<String> {
        let mut start = BTreeSet::new();
        for at in &self.starts {
            self.reach(*at, &mut start);
        }
        let start = self.state(start, vec![0; self.trees.len()]);
        let Some(start) = start else { return Found::None };
        let mut seen: HashSet<State> = HashSet::from([start.clone()]);
        let mut queue: Vec<(State, usize, char)> = vec![(start, 0, ' ')];
        let mut at = 0;
        while let Some((state, ..)) = queue.get(at).cloned() {
            if self.accepts(&state) {
                return Found::One(spell(&queue, at));
            }
            for c in self.alphabet(&state) {
                let Some(next) = self.step(&state, c) else { continue };
                if seen.insert(next.clone()) {
                    if seen.len() > STATES_MAX {
                        return Found::Unknown;
                    }
                    queue.push((next, at, c));
                }
            }
            at += 1;
        }
        Found::None
    }

    fn split<'s>(&self, state: &'s State) -> (&'s [u32], &'s [u32]) {
        state.split_at(state.len() - self.trees.len())
    }

    fn reach(&self, mut at: u32, alive: &mut BTreeSet<u32>) {
        let repeats =
            |at: u32| self.steps.get(at as usize).is_some_and(|s| s.is_some_and(Step::repeats));
        while alive.insert(at) && repeats(at) {
            at += 1;
        }
    }

    fn side_of(&self, at: u32) -> (usize, bool) {
        let owner = self.owner.get(at as usize).map_or(0, |owner| *owner as usize);
        (owner, self.sides.get(owner).is_some_and(|(_, inside)| *inside))
    }

    /// Whether from here on, whatever follows, the pattern matches.
    fn is_final_star(&self, at: u32) -> bool {
        self.steps.get(at as usize) == Some(&Some(Step::Many))
            && self.steps.get(at as usize + 1) == Some(&None)
    }

    /// The state, or nothing where no end can be reached from it: something that must match is
    /// lost, or something that must not match always will.
    fn state(&self, mut alive: BTreeSet<u32>, nodes: Vec<u32>) -> Option<State> {
        let settled: Vec<u32> =
            alive.iter().copied().filter(|at| self.is_final_star(*at)).collect();
        for at in settled {
            let (owner, inside) = self.side_of(at);
            if !inside {
                return None;
            }
            alive.retain(|other| *other == at || self.side_of(*other).0 != owner);
        }
        let mut hopeful = vec![false; self.sides.len()];
        let trees = self.trees.iter().zip(&nodes).filter(|(_, node)| **node != DEAD);
        let owners =
            alive.iter().map(|at| self.side_of(*at).0).chain(trees.map(|(tree, _)| tree.owner));
        for owner in owners {
            if let Some(hopeful) = hopeful.get_mut(owner) {
                *hopeful = true;
            }
        }
        let lost =
            self.sides.iter().zip(&hopeful).any(|((_, inside), hopeful)| *inside && !hopeful);
        (!lost).then(|| alive.into_iter().chain(nodes).collect())
    }

    fn step(&self, state: &State, c: char) -> Option<State> {
        let (alive, nodes) = self.split(state);
        let mut next = BTreeSet::new();
        for at in alive {
            if let Some(Some(step)) =
                self.steps.get(*at as usize).filter(|s| s.is_some_and(|s| s.takes(c)))
            {
                self.reach(if step.repeats() { *at } else { *at + 1 }, &mut next);
            } else if self.is_final_star(*at) {
                next.insert(*at);
            }
        }
        let nodes = self.trees.iter().zip(nodes).map(|(tree, node)| tree.next(*node, c));
        self.state(next, nodes.collect())
    }

    fn accepts(&self, state: &State) -> bool {
        let (alive, nodes) = self.split(state);
        let mut matched = vec![false; self.sides.len()];
        let ends = alive
            .iter()
            .filter(|at| self.is_final_star(**at) || self.steps.get(**at as usize) == Some(&None));
        let trees = self.trees.iter().zip(nodes);
        let ended = trees.filter(|(tree, node)| tree.ends.get(**node as usize) == Some(&true));
        for owner in ends.map(|at| self.side_of(*at).0).chain(ended.map(|(tree, _)| tree.owner)) {
            if let Some(matched) = matched.get_mut(owner) {
                *matched = true;
            }
        }
        self.sides.iter().zip(matched).all(|((_, inside), matched)| *inside == matched)
    }

    /// Every character that something expects next, and one that nothing does.
    fn alphabet(&self, state: &State) -> Vec<char> {
        let (alive, nodes) = self.split(state);
        let mut expected = BTreeSet::new();
        for at in alive {
            match self.steps.get(*at as usize) {
                Some(Some(Step::Char(c))) => {
                    expected.insert(*c);
                }
                Some(Some(Step::Folded(c))) => {
                    expected.insert(*c);
                    expected.extend(c.to_uppercase().filter(|upper| lower(*upper) == Some(*c)));
                    // The Kelvin sign folds to an ordinary letter.
                    if *c == 'k' {
                        expected.insert('\u{212a}');
                    }
                }
                Some(Some(Step::OneOfField | Step::ManyOfField)) => {
                    expected.insert(':');
                }
                _ => {}
            }
        }
        for (tree, node) in self.trees.iter().zip(nodes) {
            expected.extend(tree.children.get(*node as usize).into_iter().flat_map(HashMap::keys));
        }
        let other = "xyz0123456789abcdefghijklmnopqrstuvw-_".chars();
        let mut other = other.chain('A'..='Z').chain('\u{e000}'..='\u{f8ff}');
        let mut alphabet: Vec<char> = other.find(|c| !expected.contains(c)).into_iter().collect();
        alphabet.extend(expected);
        alphabet
    }
}

fn spell(queue: &[(State, usize, char)], mut at: usize) -> String {
    let mut text = Vec::new();
    while at > 0 {
        let Some((_, parent, c)) = queue.get(at) else { break };
        text.push(*c);
        at = *parent;
    }
    text.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glob::Glob;

    fn language(patterns: &[&str]) -> Language {
        let mut language = Language::default();
        for pattern in patterns {
            language.add_elements(Glob::new(pattern).elements());
        }
        language
    }

    fn check(inside: &[&[&str]], outside: &[&[&str]], exists: bool) {
        let inside: Vec<Language> = inside.iter().map(|patterns| language(patterns)).collect();
        let outside: Vec<Language> = outside.iter().map(|patterns| language(patterns)).collect();
        let sides: Vec<(&Language, bool)> = inside
            .iter()
            .map(|set| (set, true))
            .chain(outside.iter().map(|set| (set, false)))
            .collect();
        match find(&sides, &[]) {
            Found::One(text) => {
                assert!(exists, "{text}");
                assert!(sides.iter().all(|(set, side)| set.contains(&text) == *side), "{text}");
            }
            found => assert_eq!((found, exists), (Found::None, false)),
        }
    }

    #[test]
    fn strings_are_found_exactly_where_they_exist() {
        check(&[&["a*"]], &[&["ab*", "ac*"]], true);
        check(&[&["a*"]], &[&["a?*", "b"]], true);
        check(&[&["a*"]], &[&["a?*", "a"]], false);
        check(&[&["*a*", "b"], &["*b*"]], &[&["*ab*", "*ba*"]], true);
        check(&[&["?"], &["*x*"]], &[&["x"]], false);
        check(&[], &[&["*"]], false);
        check(&[], &[], true);
        check(&[&["*a*a*a*b"]], &[&["*b"]], false);
        check(&[&["s3:Get*"], &["*Object"]], &[&["s3:GetObject"]], true);
    }

    #[test]
    fn long_lists_are_searched_in_their_length() {
        let names: Vec<String> =
            (0..10_000).map(|n| format!("arn:aws:iam::111111111111:role/partner-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let started = std::time::Instant::now();
        check(&[&["arn:aws:iam::111111111111:role/*"]], &[&names], true);
        check(&[&["*:role/partner-7?"], &names], &[&["*-77", "*-7*"]], false);
        check(&[&["*:role/partner-7?"]], &[&names, &["*-7x*", "*-7a"]], true);
        check(&[&names], &[&names], false);
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }
}
