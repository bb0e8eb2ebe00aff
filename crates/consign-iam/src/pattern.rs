//! Values of a policy that may hold policy variables: `${aws:username}`, with a default
//! `${aws:PrincipalTag/team, 'none'}`, and the literals `${*}`, `${?}` and `${$}`. Only documents of
//! Version 2012-10-17 have variables; in older ones the same characters are plain text.
//!
//! What is substituted is literal text, never a wildcard: a user who tags a session with `*` gains
//! nothing. A variable without a single value in the request, and without default, leaves its
//! pattern unresolved.

use std::borrow::Cow;

use crate::glob::{Glob, Token, tokens};
use crate::key::Key;
use crate::request::{Found, Request};

/// The outcome of comparing one value of a request with values of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Yes,
    No,
    /// Neither equal nor different: a variable has no value, or the request's value is not of
    /// the operator's type.
    Undefined,
}

impl From<bool> for Match {
    fn from(matched: bool) -> Match {
        if matched { Match::Yes } else { Match::No }
    }
}

/// Something a policy compares with, as it was written.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: Box<str>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// `StringEquals`: equal or not; wildcards are plain characters.
    Text(Box<str>),
    /// `StringLike`, `Resource`.
    Glob(Glob),
    /// `ArnLike`: six fields matched one by one, so that a star cannot reach over a colon (except
    /// in the last field). `None` where the pattern has fewer: it matches nothing.
    Arn(Option<Box<[Glob; 6]>>),
    /// With variables: assembled for each request.
    Variable { parts: Vec<Part>, kind: Kind },
}

/// How a pattern is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Glob,
    Arn,
}

/// A pattern without variables.
pub(crate) enum Settled {
    Text(String),
    Glob(Glob),
    Arn(Box<[Glob; 6]>),
}

#[derive(Clone, Debug)]
enum Part {
    Literal(Box<str>),
    /// Text in which `*` and `?` are wildcards.
    Wild(Box<str>),
    Variable {
        key: Key,
        default: Option<Box<str>>,
    },
}

impl Pattern {
    pub(crate) fn parse(source: &str, kind: Kind, variables: bool) -> Result<Pattern, String> {
        let parts = if variables { split(source)? } else { vec![Part::Wild(source.into())] };
        let form = if parts.iter().any(|part| matches!(part, Part::Variable { .. })) {
            Form::Variable { parts, kind }
        } else {
            match kind {
                Kind::Text => Form::Text(fixed_text(&parts).into()),
                Kind::Glob => Form::Glob(Glob::from_tokens(&fixed_tokens(&parts))),
                Kind::Arn => Form::Arn(arn_globs(&fixed_tokens(&parts))),
            }
        };
        Ok(Pattern { source: source.into(), form })
    }

    /// As written in the policy.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The one text it matches, where it has neither wildcards nor variables.
    pub fn as_fixed(&self) -> Option<Cow<'_, str>> {
        match &self.form {
            Form::Text(text) => Some(Cow::Borrowed(text)),
            Form::Glob(glob) => glob.as_exact().map(Cow::Borrowed),
            Form::Arn(fields) => {
                let fields: Option<Vec<&str>> =
                    fields.as_ref()?.iter().map(Glob::as_exact).collect();
                Some(Cow::Owned(fields?.join(":")))
            }
            Form::Variable { .. } => None,
        }
    }

    /// Whether it holds a policy variable.
    pub fn has_variables(&self) -> bool {
        matches!(self.form, Form::Variable { .. })
    }

    /// The pattern with its variables replaced by what `resolve` knows of them: a value, or that
    /// the request carries none. `Err` where it does not know one; `Ok(None)` where the pattern
    /// then matches nothing.
    pub(crate) fn settled(
        &self,
        kind: Kind,
        resolve: impl Fn(&Key) -> Result<Option<String>, ()>,
    ) -> Result<Option<Settled>, ()> {
        let Form::Variable { parts, .. } = &self.form else {
            return Ok(match &self.form {
                Form::Text(text) => Some(Settled::Text(text.to_string())),
                Form::Glob(glob) => Some(Settled::Glob(glob.clone())),
                Form::Arn(fields) => fields.clone().map(Settled::Arn),
                Form::Variable { .. } => None,
            });
        };
        let mut fixed = Vec::new();
        for part in parts {
            fixed.push(match part {
                Part::Variable { key, default } => {
                    let value = resolve(key)?.map(Into::into).or_else(|| default.clone());
                    let Some(value) = value else { return Ok(None) };
                    Part::Literal(value)
                }
                other => other.clone(),
            });
        }
        Ok(match kind {
            Kind::Text => Some(Settled::Text(fixed_text(&fixed))),
            Kind::Glob => Some(Settled::Glob(Glob::from_tokens(&fixed_tokens(&fixed)))),
            Kind::Arn => arn_globs(&fixed_tokens(&fixed)).map(Settled::Arn),
        })
    }

    pub(crate) fn compare(&self, value: &str, request: &Request) -> Match {
        match &self.form {
            Form::Text(text) => Match::from(**text == *value),
            Form::Glob(glob) => Match::from(glob.matches(value)),
            Form::Arn(fields) => Match::from(arn_matches(fields.as_deref(), value)),
            Form::Variable { parts, kind } => {
                let Some(tokens) = assemble(parts, *kind, request) else { return Match::Undefined };
                Match::from(match kind {
                    Kind::Text => text_of(&tokens) == value,
                    Kind::Glob => Glob::from_tokens(&tokens).matches(value),
                    Kind::Arn => arn_matches(arn_globs(&tokens).as_deref(), value),
                })
            }
        }
    }

    /// The text of a pattern without wildcards, for comparisons other than equality.
    pub(crate) fn text(&self, request: &Request) -> Option<Cow<'_, str>> {
        match &self.form {
            Form::Text(text) => Some(Cow::Borrowed(text)),
            Form::Variable { parts, kind } => {
                Some(Cow::Owned(text_of(&assemble(parts, *kind, request)?)))
            }
            Form::Glob(_) | Form::Arn(_) => Some(Cow::Borrowed(&self.source)),
        }
    }
}

/// Cuts the source at its variables.
fn split(source: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("${") {
        if !before.is_empty() {
            parts.push(Part::Wild(before.into()));
        }
        let (part, after) = variable(after)
            .ok_or_else(|| format!("`{source}` opens a policy variable with `${{` and does not close it well; a plain `$` before `{{` is written `${{$}}`"))?;
        parts.push(part);
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Wild(rest.into()));
    }
    Ok(parts)
}

/// Reads what follows `${`, and returns what follows `}`.
fn variable(text: &str) -> Option<(Part, &str)> {
    for literal in ["*", "?", "$"] {
        if let Some(after) = text.strip_prefix(literal) {
            return Some((Part::Literal(literal.into()), after.strip_prefix('}')?));
        }
    }
    let end = text.find(['}', ','])?;
    let (name, after) = text.split_at(end);
    let name = name.trim();
    if name.is_empty() || name.contains(['$', '{', '\'', '*', '?']) {
        return None;
    }
    let key = Key::new(name);
    if let Some(after) = after.strip_prefix('}') {
        return Some((Part::Variable { key, default: None }, after));
    }
    let quoted = after.strip_prefix(',')?.trim_start().strip_prefix('\'')?;
    let (default, after) = quoted.split_once('\'')?;
    let after = after.trim_start().strip_prefix('}')?;
    Some((Part::Variable { key, default: Some(default.into()) }, after))
}

fn fixed_text(parts: &[Part]) -> String {
    let text = |part: &Part| match part {
        Part::Literal(text) | Part::Wild(text) => text.to_string(),
        Part::Variable { .. } => String::new(),
    };
    parts.iter().map(text).collect()
}

fn fixed_tokens(parts: &[Part]) -> Vec<Token<'_>> {
    let mut fixed = Vec::new();
    for part in parts {
        match part {
            Part::Literal(text) => fixed.push(Token::Text(text)),
            Part::Wild(text) => fixed.extend(tokens(text)),
            Part::Variable { .. } => {}
        }
    }
    fixed
}

/// The tokens with every variable replaced by its value, or `None` where one has none. A key with
/// several values cannot be a variable.
fn assemble<'a>(parts: &'a [Part], kind: Kind, request: &'a Request) -> Option<Vec<Token<'a>>> {
    let mut assembled = Vec::new();
    for part in parts {
        match part {
            Part::Wild(text) if kind != Kind::Text => assembled.extend(tokens(text)),
            Part::Literal(text) | Part::Wild(text) => assembled.push(Token::Text(text)),
            Part::Variable { key, default } => {
                let value = match request.values(key) {
                    Found::One(value) => value,
                    Found::Absent | Found::Many(_) => default.as_deref()?,
                };
                assembled.push(Token::Text(value));
            }
        }
    }
    Some(assembled)
}

fn text_of(tokens: &[Token<'_>]) -> String {
    let text = |token: &Token<'_>| match token {
        Token::Text(text) => (*text).to_owned(),
        Token::One | Token::Many => String::new(),
    };
    tokens.iter().map(text).collect()
}

/// Splits at the first five colons of the literal text.
fn arn_globs(tokens: &[Token<'_>]) -> Option<Box<[Glob; 6]>> {
    let mut fields: Vec<Vec<Token<'_>>> = vec![Vec::new()];
    for token in tokens {
        let Token::Text(mut text) = *token else {
            fields.last_mut()?.push(token.clone());
            continue;
        };
        while fields.len() < 6 {
            let Some((before, after)) = text.split_once(':') else { break };
            fields.last_mut()?.push(Token::Text(before));
            fields.push(Vec::new());
            text = after;
        }
        fields.last_mut()?.push(Token::Text(text));
    }
    let globs: Vec<Glob> = fields.iter().map(|field| Glob::from_tokens(field)).collect();
    globs.try_into().ok().map(Box::new)
}

fn arn_matches(pattern: Option<&[Glob; 6]>, arn: &str) -> bool {
    let Some(pattern) = pattern else { return false };
    let mut fields = arn.splitn(6, ':');
    pattern.iter().all(|glob| fields.next().is_some_and(|field| glob.matches(field)))
}
