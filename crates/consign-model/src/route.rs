//! What of a repository goes to which inbox, and under which key: pure functions of an object's key,
//! tags and day.
//!
//! Start with [`Exchange::destinations`], which a publisher asks once per object. A [`Route`] takes
//! the objects that its `prefix`, `suffix` and `tags` match; its [`KeyTemplate`] makes the key in the
//! inbox. Source keys are foreign bytes: whatever they hold, a destination stays below the inbox's
//! prefix, has no part that climbs or hides, and is refused rather than repaired, because a repaired
//! key could be another object's. The same object always has the same destination, so that delivering
//! twice is delivering once; that is why `{date}` is the object's day and never today's.

use crate::name::shown;
use crate::path::is_invisible;
use crate::{ACKNOWLEDGEMENTS, DELIVERIES};
use crate::{Carry, Date, Error, ErrorKind, Exchange, Inbox, InboxName, RepositoryName, RouteName};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// S3's limit on a key.
const KEY_BYTES_MAX: usize = 1024;

/// A rule of an exchange file: what matches is delivered to every inbox named.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Route {
    /// Its name in this exchange.
    pub name: RouteName,
    /// Where from.
    pub from: RepositoryName,
    /// Where to: at least one inbox, none twice.
    pub to: Vec<InboxName>,
    /// What a matching key begins with; often empty.
    pub prefix: String,
    /// What it ends with; often empty.
    pub suffix: String,
    /// Tags that the object carries, each with this value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The key in the inbox, below the inbox's prefix.
    pub key: KeyTemplate,
    /// Which of the object's metadata and tags go along.
    #[serde(skip_serializing_if = "Carry::is_empty")]
    pub carry: Carry,
}

/// What a publisher knows of an object that has arrived in a repository.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Its key, decoded.
    pub key: &'a str,
    /// Its version; `None` in a bucket without versions.
    pub version: Option<&'a str>,
    /// Its tags.
    pub tags: &'a BTreeMap<String, String>,
    /// The day of its `Last-Modified`, in UTC. Not the day on which it is delivered.
    pub day: Date,
}

/// Where an object goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// By which route.
    pub route: RouteName,
    /// Into which inbox.
    pub inbox: InboxName,
    /// Under which key, the inbox's prefix included.
    pub key: String,
}

impl Exchange {
    /// Where an object of `repository` goes: once for each inbox of each route that matches, in the
    /// order of the routes' names. Nothing for an object that no route matches.
    ///
    /// # Errors
    /// Each one by itself: [`ErrorKind::Path`] if the key that the object would have in that inbox is
    /// refused. Trying again will not help.
    pub fn destinations<'a>(
        &'a self,
        repository: &'a RepositoryName,
        arrival: &'a Arrival<'a>,
    ) -> impl Iterator<Item = Result<Destination, Error>> + 'a {
        let matching = self.routes_from(repository).filter(|route| route.matches(arrival));
        matching.flat_map(move |route| {
            let inboxes = route.to.iter().filter_map(|name| self.inboxes.get(name));
            inboxes.map(move |inbox| route.destination_in(inbox, arrival))
        })
    }

    /// Whether some route of `repository` chooses by tags, so that without them nobody knows where an
    /// object goes.
    #[must_use]
    pub fn routes_by_tags(&self, repository: &RepositoryName) -> bool {
        self.routes_from(repository).any(|route| !route.tags.is_empty())
    }

    /// Whether some route of `repository` carries tags along.
    #[must_use]
    pub fn carries_tags(&self, repository: &RepositoryName) -> bool {
        self.routes_from(repository).any(|route| route.carry.wants_tags())
    }
}

impl Route {
    /// Whether the route takes this object.
    #[must_use]
    pub fn matches(&self, arrival: &Arrival<'_>) -> bool {
        arrival.key.starts_with(&self.prefix)
            && arrival.key.ends_with(&self.suffix)
            && self.tags.iter().all(|(name, value)| arrival.tags.get(name) == Some(value))
    }

    /// The object's key in `inbox`, or `None` if the route does not take it.
    ///
    /// # Errors
    /// [`ErrorKind::Path`] for a key that could be harmful or ambiguous somewhere.
    pub fn destination(
        &self,
        inbox: &Inbox,
        arrival: &Arrival<'_>,
    ) -> Result<Option<String>, Error> {
        if !self.matches(arrival) {
            return Ok(None);
        }
        Ok(Some(self.destination_in(inbox, arrival)?.key))
    }

    fn destination_in(&self, inbox: &Inbox, arrival: &Arrival<'_>) -> Result<Destination, Error> {
        let refused = |reason: &str| {
            let message = format!(
                "route `{}` cannot deliver {} to inbox `{}`: {reason}",
                self.name,
                shown(arrival.key),
                inbox.name
            );
            Error::new(ErrorKind::Path, message)
        };
        let below = self.key.fill(&self.prefix, arrival).map_err(refused)?;
        check_key(&below).map_err(refused)?;
        if is_reserved(&below) {
            return Err(refused(
                "its key there would lie among the records of deliveries or their \
                 acknowledgements; give the route a `key` that begins otherwise, as in \
                 \"from/{key}\"",
            ));
        }
        let key = format!("{}{below}", inbox.prefix);
        if key.len() > KEY_BYTES_MAX {
            return Err(refused("its key there would have more than 1024 bytes"));
        }
        Ok(Destination { route: self.name.clone(), inbox: inbox.name.clone(), key })
    }

    /// Whether two objects, or one by two routes, could come to one key of an inbox that both routes
    /// lead to. Errs on the side of yes.
    pub(crate) fn may_meet(&self, other: &Route) -> bool {
        let (a, b) = (self.beginning(), other.beginning());
        let (x, y) = (self.ending(), other.ending());
        let apart =
            !(a.starts_with(&b) || b.starts_with(&a)) || !(x.ends_with(&y) || y.ends_with(&x));
        !apart && !self.takes_others_than(other)
    }

    /// Both name objects alike, and none is taken by both.
    fn takes_others_than(&self, other: &Route) -> bool {
        let named_alike = self.from == other.from
            && self.key == other.key
            && (self.key.has(Variable::Key) || self.prefix == other.prefix);
        let other_value = |(name, value)| other.tags.get(name).is_some_and(|it| it != value);
        named_alike && self.tags.iter().any(other_value)
    }

    /// Whether every object would come to where records or acknowledgements lie.
    pub(crate) fn leads_among_records(&self) -> bool {
        is_reserved(&self.beginning())
    }

    /// What every key that the template makes begins with.
    fn beginning(&self) -> String {
        let mut beginning = String::new();
        for part in &self.key.parts {
            match part {
                Part::Text(text) => beginning += text,
                Part::Variable(Variable::Key) => return beginning + &self.prefix,
                Part::Variable(Variable::Prefix) => {
                    let folders = self.prefix.rfind('/').map_or(0, |at| at + 1);
                    return beginning + self.prefix.get(..folders).unwrap_or_default();
                }
                Part::Variable(_) => break,
            }
        }
        beginning
    }

    /// What every key that the template makes ends with.
    fn ending(&self) -> String {
        let mut ending = String::new();
        for part in self.key.parts.iter().rev() {
            match part {
                Part::Text(text) => ending.insert_str(0, text),
                Part::Variable(Variable::Key | Variable::Name) => {
                    // Of a name, only what follows the last slash is known.
                    let known = self.suffix.rsplit('/').next().unwrap_or_default();
                    return known.to_owned() + &ending;
                }
                Part::Variable(_) => break,
            }
        }
        ending
    }
}

/// The key of a delivered object, as the exchange file writes it: text and variables in braces.
///
/// `{key}` is the object's key, `{rest}` what follows the route's prefix, `{name}` what follows the
/// last slash, `{prefix}` what comes before that (empty, or with its slash), `{version}` the object's
/// version and `{date}` its day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate {
    // INVARIANT: the variables tell objects apart, and no text can climb by itself.
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Key,
    Rest,
    Name,
    Prefix,
    Version,
    Date,
}

const VARIABLES: [(&str, Variable); 6] = [
    ("key", Variable::Key),
    ("rest", Variable::Rest),
    ("name", Variable::Name),
    ("prefix", Variable::Prefix),
    ("version", Variable::Version),
    ("date", Variable::Date),
];

impl KeyTemplate {
    /// `{key}`: as in the repository.
    pub(crate) fn unchanged() -> KeyTemplate {
        KeyTemplate { parts: vec![Part::Variable(Variable::Key)] }
    }

    /// Reads a template, or says what is wrong with it.
    ///
    /// # Errors
    /// [`ErrorKind::BadValue`] for an unknown variable, text that no key should hold, or variables that
    /// do not tell objects apart.
    pub fn parse(text: &str) -> Result<KeyTemplate, Error> {
        let bad = |reason: String| {
            let message = format!("{} is not a key's template: {reason}", shown(text));
            Error::new(ErrorKind::BadValue, message)
        };
        if text.len() > KEY_BYTES_MAX {
            return Err(bad("it has more than 1024 bytes".to_owned()));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let at = rest.find(['{', '}']).unwrap_or(rest.len());
            let (plain, marked) = rest.split_at(at);
            if !plain.is_empty() {
                parts.push(Part::Text(plain.to_owned()));
            }
            if marked.is_empty() {
                break;
            }
            let named = marked.strip_prefix('{').and_then(|it| it.split_once('}'));
            let (name, after) = named.ok_or_else(|| bad("a brace stands alone".to_owned()))?;
            parts.push(Part::Variable(variable(name).map_err(bad)?));
            rest = after;
        }
        let template = KeyTemplate { parts };
        template.check().map_err(|reason| bad(reason.to_owned()))?;
        Ok(template)
    }

    fn check(&self) -> Result<(), &'static str> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./+=@ ".contains(&b);
        let texts = || {
            self.parts.iter().filter_map(|part| match part {
                Part::Text(text) => Some(text),
                Part::Variable(_) => None,
            })
        };
        if !texts().all(|text| text.bytes().all(plain)) {
            return Err("its text consists of letters, digits, spaces and -_./+=@");
        }
        // With an ordinary name in each place, what is wrong is the template's own doing.
        let ordinary = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Variable(Variable::Prefix) => "",
            Part::Variable(_) => "x",
        });
        check_key(&ordinary.collect::<String>())?;
        let tells_apart = self.has(Variable::Key)
            || self.has(Variable::Rest)
            || self.has(Variable::Version)
            || (self.has(Variable::Prefix) && self.has(Variable::Name));
        match tells_apart {
            true => Ok(()),
            false => Err("objects of different folders would come to one key; use {key}, {rest}, \
                 {prefix}{name} or {version}"),
        }
    }

    fn has(&self, variable: Variable) -> bool {
        self.parts.contains(&Part::Variable(variable))
    }

    fn fill(&self, route_prefix: &str, arrival: &Arrival<'_>) -> Result<String, &'static str> {
        let slash = arrival.key.rfind('/').map_or(0, |at| at + 1);
        let (prefix, name) = arrival.key.split_at(slash);
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled += text,
                Part::Variable(Variable::Key) => filled += arrival.key,
                Part::Variable(Variable::Rest) => {
                    filled += arrival.key.strip_prefix(route_prefix).unwrap_or(arrival.key);
                }
                Part::Variable(Variable::Name) => filled += name,
                Part::Variable(Variable::Prefix) => filled += prefix,
                Part::Variable(Variable::Version) => {
                    filled += arrival.version.ok_or("it has no version, and the key names one")?;
                }
                Part::Variable(Variable::Date) => filled += &arrival.day.to_string(),
            }
        }
        Ok(filled)
    }
}

fn variable(name: &str) -> Result<Variable, String> {
    let found = VARIABLES.iter().find(|(word, _)| *word == name);
    found.map(|(_, variable)| *variable).ok_or_else(|| {
        let words = VARIABLES.map(|(word, _)| word);
        let remedy = match crate::raw::nearest(name, &words) {
            Some(word) => format!("did you mean {{{word}}}?"),
            None => format!("it may have {}", crate::raw::list(&words)),
        };
        format!("it knows no variable {}; {remedy}", shown(name))
    })
}

/// A key that means the same wherever it is written down, a folder on a disk included.
fn check_key(key: &str) -> Result<(), &'static str> {
    if key.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err("its key there would hold characters that cannot be seen");
    }
    if key.contains('\\') {
        return Err("its key there would hold a backslash");
    }
    for part in key.split('/') {
        match part {
            "" => {
                return Err("its key there would begin or end with a slash, or hold two in a row");
            }
            "." | ".." => return Err("its key there would climb with a part `.` or `..`"),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a key, below the inbox's prefix, lies in a folder that no delivered object may lie in: what
/// is there may be read by others, or unscanned.
fn is_reserved(below: &str) -> bool {
    below.starts_with(DELIVERIES) || below.starts_with(ACKNOWLEDGEMENTS)
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Variable(variable) => {
                    let word = VARIABLES.iter().find(|(_, it)| it == variable);
                    write!(f, "{{{}}}", word.map_or("", |(word, _)| word))?;
                }
            }
        }
        Ok(())
    }
}

impl Serialize for KeyTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
