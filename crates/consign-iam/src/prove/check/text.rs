//! Text: whether one exists that some patterns match and others do not. Every pattern is spelled out,
//! character by character, and all are read side by side.

use std::collections::HashSet;

/// Texts that equal one of some or have one of some shapes.
#[derive(Clone, Default)]
pub(super) struct Text {
    pub(super) negated: bool,
    pub(super) texts: HashSet<String>,
    pub(super) shapes: Vec<Vec<Tok>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tok {
    Char(char),
    Folded(char),
    /// One character or any run; `false` where a colon is not among them.
    One(bool),
    Many(bool),
}

pub(super) fn wild(pattern: &str) -> Vec<Tok> {
    let token = |c| match c {
        '*' => Tok::Many(true),
        '?' => Tok::One(true),
        c => Tok::Char(c),
    };
    pattern.chars().map(token).collect()
}

fn takes(token: Tok, c: char) -> bool {
    match token {
        Tok::Char(wanted) => wanted == c,
        Tok::Folded(wanted) => c.to_lowercase().eq([wanted]),
        Tok::One(colon) | Tok::Many(colon) => colon || c != ':',
    }
}

impl Text {
    pub(super) fn add(&mut self, tokens: Vec<Tok>) {
        let plain: Option<String> =
            tokens.iter().map(|t| if let Tok::Char(c) = t { Some(*c) } else { None }).collect();
        match plain {
            Some(text) => {
                self.texts.insert(text);
            }
            None => self.shapes.push(tokens),
        }
    }

    pub(super) fn holds(&self, value: &str) -> bool {
        (self.texts.contains(value) || self.shapes.iter().any(|shape| fits(shape, value)))
            != self.negated
    }
}

/// Whether a shape fits a text, place by place.
fn fits(shape: &[Tok], text: &str) -> bool {
    let mut at = Vec::new();
    arrive(shape, 0, &mut at);
    let mut next = Vec::new();
    for c in text.chars() {
        advance(shape, &at, c, &mut next);
        std::mem::swap(&mut at, &mut next);
        if at.is_empty() {
            return false;
        }
    }
    at.contains(&shape.len())
}

/// Adds a place, and those behind it that are reached without reading.
fn arrive(shape: &[Tok], mut place: usize, at: &mut Vec<usize>) {
    at.push(place);
    while matches!(shape.get(place), Some(Tok::Many(_))) {
        place += 1;
        at.push(place);
    }
}

/// The places reached from some by reading a character; in order, none twice.
fn advance(shape: &[Tok], at: &[usize], c: char, next: &mut Vec<usize>) {
    next.clear();
    for place in at {
        match shape.get(*place) {
            Some(token @ Tok::Many(_)) if takes(*token, c) => arrive(shape, *place, next),
            Some(token) if takes(*token, c) => arrive(shape, place + 1, next),
            _ => {}
        }
    }
    next.sort_unstable();
    next.dedup();
}

/// States after which the search is given up.
const STATES_MAX: usize = 60_000;

/// A shape, and the side that it belongs to.
struct Shape {
    side: usize,
    inside: bool,
    tokens: Vec<Tok>,
}

/// Shapes, and places where each may be; in order.
type State = Vec<(usize, usize)>;

/// Whether certainly no text is on all these sides.
pub(super) fn no_text(sides: &[(&Text, bool)]) -> bool {
    let mut shapes = Vec::new();
    for (side, (text, inside)) in sides.iter().enumerate() {
        let listed = text.texts.iter().map(|text| text.chars().map(Tok::Char).collect());
        let all = text.shapes.iter().cloned().chain(listed);
        shapes.extend(all.map(|tokens| Shape { side, inside: *inside, tokens }));
    }
    let mut start = State::new();
    let mut places = Vec::new();
    for (number, shape) in shapes.iter().enumerate() {
        places.clear();
        arrive(&shape.tokens, 0, &mut places);
        start.extend(places.iter().map(|place| (number, *place)));
    }
    let mut seen = HashSet::from([start.clone()]);
    let mut waiting = vec![start];
    let mut alive = vec![false; sides.len()];
    let mut matched = vec![false; sides.len()];
    while let Some(state) = waiting.pop() {
        alive.fill(false);
        matched.fill(false);
        for (number, place) in &state {
            let Some(shape) = shapes.get(*number) else { continue };
            if let (Some(alive), Some(matched)) =
                (alive.get_mut(shape.side), matched.get_mut(shape.side))
            {
                *alive = true;
                *matched |= *place == shape.tokens.len();
            }
        }
        if sides.iter().zip(&matched).all(|((_, inside), matched)| matched == inside) {
            return false;
        }
        if sides.iter().zip(&alive).any(|((_, inside), alive)| *inside && !alive) {
            continue;
        }
        for c in characters(&shapes, &state) {
            let Some(next) = read(&shapes, &state, c) else { continue };
            if !seen.contains(&next) {
                seen.insert(next.clone());
                waiting.push(next);
            }
        }
        if seen.len() > STATES_MAX {
            return false;
        }
    }
    true
}

/// Where all shapes are after a character; nothing where one that must not fit does whatever follows.
fn read(shapes: &[Shape], state: &State, c: char) -> Option<State> {
    let mut next = State::with_capacity(state.len() + 1);
    let mut places = Vec::new();
    for (number, place) in state {
        let shape = shapes.get(*number)?;
        places.clear();
        match shape.tokens.get(*place) {
            Some(token @ Tok::Many(_)) if takes(*token, c) => {
                arrive(&shape.tokens, *place, &mut places);
            }
            Some(token) if takes(*token, c) => arrive(&shape.tokens, place + 1, &mut places),
            _ => {}
        }
        let ever = shape.tokens.last() == Some(&Tok::Many(true));
        if !shape.inside && ever && places.contains(&(shape.tokens.len() - 1)) {
            return None;
        }
        next.extend(places.iter().map(|place| (*number, *place)));
    }
    next.sort_unstable();
    next.dedup();
    Some(next)
}

/// Every character that some pattern tells from others here, and one that none does.
fn characters(shapes: &[Shape], state: &State) -> Vec<char> {
    let mut characters = vec![':'];
    for (shape, place) in state {
        match shapes.get(*shape).and_then(|shape| shape.tokens.get(*place)) {
            Some(Tok::Char(c)) => characters.push(*c),
            Some(Tok::Folded(c)) => {
                characters.extend([*c, c.to_ascii_uppercase()]);
                if *c == 'k' {
                    characters.push('\u{212a}');
                }
            }
            _ => {}
        }
    }
    characters.sort_unstable();
    characters.dedup();
    let other = ('\u{f0000}'..='\u{ffffd}').find(|c| characters.binary_search(c).is_err());
    characters.extend(other);
    characters
}
