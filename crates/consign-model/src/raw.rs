//! The exchange file as it stands, every value with its place; nothing is judged here but the
//! shape: which fields there may be, which must be, and of what type.
//!
//! Written by hand over TOML's tree, because a derived reader can neither say which field was
//! meant nor where the value stood once the text is read.

mod inbox;

use crate::name::shown;
use crate::{Date, Error, ErrorKind, Place};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// More text than this is not an exchange file.
const FILE_BYTES_MAX: usize = 16 << 20;

/// A value and where it began in the text, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) offset: usize,
}

/// The whole file.
pub(crate) struct RawExchange {
    pub(crate) name: At<String>,
    pub(crate) region: At<String>,
    pub(crate) parties: Vec<RawParty>,
    pub(crate) groups: Vec<RawGroup>,
    pub(crate) lanes: Vec<RawLane>,
    pub(crate) repositories: Vec<RawRepository>,
    pub(crate) inboxes: Vec<RawInbox>,
    pub(crate) routes: Vec<RawRoute>,
}

/// A `[party.NAME]` table.
pub(crate) struct RawParty {
    pub(crate) name: At<String>,
    pub(crate) account: At<String>,
    pub(crate) principal: At<String>,
    pub(crate) trust: Option<At<String>>,
    pub(crate) external_id: Option<At<String>>,
    pub(crate) recipients: Vec<RawKey>,
    pub(crate) signers: Vec<RawKey>,
}

/// A `[group.NAME]` table.
pub(crate) struct RawGroup {
    pub(crate) name: At<String>,
    pub(crate) members: At<Vec<At<String>>>,
}

/// An entry of `recipients` or `signers`: a text or a table.
pub(crate) struct RawKey {
    pub(crate) key: At<String>,
    /// Whether `key` says where the key is, and not what it is.
    pub(crate) is_source: bool,
    pub(crate) id: Option<At<String>>,
    pub(crate) not_after: Option<At<Date>>,
}

/// A `[lane.NAME]` table: one lane, or with `each` one for every member of a group.
#[derive(Clone)]
pub(crate) struct RawLane {
    pub(crate) name: At<String>,
    pub(crate) each: Option<At<String>>,
    pub(crate) from: Option<At<String>>,
    pub(crate) to: Option<At<Vec<At<String>>>>,
    pub(crate) owner: Option<At<String>>,
    pub(crate) bucket: Option<At<String>>,
    pub(crate) prefix: Option<At<String>>,
    pub(crate) at_rest: Option<At<String>>,
    pub(crate) seal: Option<At<String>>,
    pub(crate) layout: Option<At<String>>,
    pub(crate) keyring: Option<At<String>>,
    pub(crate) seal_to_sender: Option<At<bool>>,
    pub(crate) writer: Option<At<String>>,
    pub(crate) expire_days: Option<At<i64>>,
    pub(crate) write_once: Option<At<bool>>,
    pub(crate) quarantine: Option<At<bool>>,
}

/// A `[repository.NAME]` table.
pub(crate) struct RawRepository {
    pub(crate) name: At<String>,
    pub(crate) owner: At<String>,
    pub(crate) generator: At<String>,
    pub(crate) publisher: At<String>,
    pub(crate) key: At<String>,
    pub(crate) bucket: Option<At<String>>,
    pub(crate) expire_days: Option<At<i64>>,
}

/// An `[inbox.NAME]` table.
pub(crate) struct RawInbox {
    pub(crate) name: At<String>,
    pub(crate) owner: At<String>,
    pub(crate) consumers: At<Vec<At<String>>>,
    pub(crate) bucket: Option<At<String>>,
    pub(crate) prefix: Option<At<String>>,
    pub(crate) writer: Option<At<String>>,
    pub(crate) expire_days: Option<At<i64>>,
    pub(crate) quarantine: Option<At<String>>,
}

/// A `[route.NAME]` table.
pub(crate) struct RawRoute {
    pub(crate) name: At<String>,
    pub(crate) from: At<String>,
    pub(crate) to: At<Vec<At<String>>>,
    pub(crate) prefix: Option<At<String>>,
    pub(crate) suffix: Option<At<String>>,
    pub(crate) tags: Vec<RawTag>,
    pub(crate) key: Option<At<String>>,
    pub(crate) carry: RawCarry,
}

/// A route's `carry`: names of metadata and of tags.
#[derive(Default)]
pub(crate) struct RawCarry {
    pub(crate) metadata: Vec<At<String>>,
    pub(crate) tags: Vec<At<String>>,
}

/// One entry of a route's `tags`.
pub(crate) struct RawTag {
    pub(crate) name: At<String>,
    pub(crate) value: At<String>,
}

/// Reads the text into its raw form.
pub(crate) fn read(text: &str, file: &str) -> Result<RawExchange, Error> {
    let source = Source { text, file };
    if text.len() > FILE_BYTES_MAX {
        let message =
            format!("this file has {} bytes; an exchange file has 16 MiB at most", text.len());
        return Err(source.error(ErrorKind::Limit, 0, message));
    }
    let document = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let reason = error.message().trim().replace('\n', ", ");
        source.error(ErrorKind::Syntax, offset, format!("this is not TOML: {reason}"))
    })?;
    read_exchange(&Table::new(&source, "the exchange file", 0, document.get_ref()))
}

fn read_exchange(table: &Table) -> Result<RawExchange, Error> {
    // First of all, so that a file of a later version is not blamed for its fields.
    let version = table.required("version", Table::integer)?;
    if version.value != 1 {
        let message = format!(
            "this is version {} of the exchange file; this program reads version 1. Upgrade \
             consign, or write `version = 1`",
            version.value
        );
        return Err(table.source.error(ErrorKind::Version, version.offset, message));
    }
    table.knows(&[
        "version",
        "exchange",
        "region",
        "party",
        "group",
        "lane",
        "repository",
        "inbox",
        "route",
    ])?;
    Ok(RawExchange {
        name: table.required("exchange", Table::string)?,
        region: table.required("region", Table::string)?,
        parties: table.tables("party", read_party)?,
        groups: table.tables("group", read_group)?,
        lanes: table.tables("lane", read_lane)?,
        repositories: table.tables("repository", inbox::repository)?,
        inboxes: table.tables("inbox", inbox::inbox)?,
        routes: table.tables("route", inbox::route)?,
    })
}

fn read_party(name: At<String>, table: &Table) -> Result<RawParty, Error> {
    table.knows(&["account", "principal", "trust", "external_id", "recipients", "signers"])?;
    Ok(RawParty {
        name,
        account: table.required("account", Table::string)?,
        principal: table.required("principal", Table::string)?,
        trust: table.optional("trust", Table::string)?,
        external_id: table.optional("external_id", Table::string)?,
        recipients: table.keys("recipients")?,
        signers: table.keys("signers")?,
    })
}

fn read_group(name: At<String>, table: &Table) -> Result<RawGroup, Error> {
    table.knows(&["members"])?;
    Ok(RawGroup { name, members: table.required("members", Table::strings)? })
}

fn read_lane(name: At<String>, table: &Table) -> Result<RawLane, Error> {
    table.knows(&[
        "each",
        "from",
        "to",
        "owner",
        "bucket",
        "prefix",
        "at_rest",
        "seal",
        "layout",
        "keyring",
        "seal_to_sender",
        "writer",
        "expire_days",
        "write_once",
        "quarantine",
    ])?;
    // A lane for each member of a group says one end; the other is the member.
    let each = table.optional("each", Table::string)?;
    let (from, to) = match each {
        Some(_) => (table.optional("from", Table::string)?, table.optional("to", Table::strings)?),
        None => (
            Some(table.required("from", Table::string)?),
            Some(table.required("to", Table::strings)?),
        ),
    };
    Ok(RawLane {
        name,
        each,
        from,
        to,
        owner: table.optional("owner", Table::string)?,
        bucket: table.optional("bucket", Table::string)?,
        prefix: table.optional("prefix", Table::string)?,
        at_rest: table.optional("at_rest", Table::string)?,
        seal: table.optional("seal", Table::string)?,
        layout: table.optional("layout", Table::string)?,
        keyring: table.optional("keyring", Table::string)?,
        seal_to_sender: table.optional("seal_to_sender", Table::boolean)?,
        writer: table.optional("writer", Table::string)?,
        expire_days: table.optional("expire_days", Table::integer)?,
        write_once: table.optional("write_once", Table::boolean)?,
        quarantine: table.optional("quarantine", Table::boolean)?,
    })
}

/// The text and what it is called, to turn a byte offset into a place.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    pub(crate) file: &'a str,
}

impl Source<'_> {
    pub(crate) fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let column = before.get(line_start..).map_or(0, |line| line.chars().count());
        Place {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: column + 1,
        }
    }

    pub(crate) fn error(
        &self,
        kind: ErrorKind,
        offset: usize,
        message: impl Into<String>,
    ) -> Error {
        Error::new(kind, message).at(self.place(offset))
    }
}

type Value<'a, 'i> = &'a Spanned<DeValue<'i>>;

/// A table being read: knows what to call itself in messages.
struct Table<'a, 'i> {
    source: &'a Source<'a>,
    what: String,
    offset: usize,
    entries: &'a DeTable<'i>,
}

impl<'a, 'i> Table<'a, 'i> {
    fn new(
        source: &'a Source<'a>,
        what: impl Into<String>,
        offset: usize,
        entries: &'a DeTable<'i>,
    ) -> Table<'a, 'i> {
        Table { source, what: what.into(), offset, entries }
    }

    /// The entries in the order of the file.
    fn in_order(&self) -> Vec<(Range<usize>, &'a str, Value<'a, 'i>)> {
        let entry = |(key, value): (&'a Spanned<DeString<'i>>, _)| {
            (key.span(), key.get_ref().as_ref(), value)
        };
        let mut entries: Vec<_> = self.entries.iter().map(entry).collect();
        entries.sort_by_key(|(span, _, _)| span.start);
        entries
    }

    /// Refuses every field that is not one of these.
    fn knows(&self, fields: &[&str]) -> Result<(), Error> {
        for (span, key, _) in self.in_order() {
            if fields.contains(&key) {
                continue;
            }
            let remedy = match nearest(key, fields) {
                Some(field) => format!("did you mean `{field}`?"),
                None => format!("it may have {}", list(fields)),
            };
            let message = format!("unknown field {} in {}; {remedy}", shown(key), self.what);
            return Err(self.source.error(ErrorKind::UnknownField, span.start, message));
        }
        Ok(())
    }

    fn required<T>(
        &self,
        field: &str,
        read: impl Fn(&Self, &str, Value<'a, 'i>) -> Result<T, Error>,
    ) -> Result<At<T>, Error> {
        self.optional(field, read)?.ok_or_else(|| {
            let message = format!("{} has no `{field}`; add it", self.what);
            self.source.error(ErrorKind::MissingField, self.offset, message)
        })
    }

    fn optional<T>(
        &self,
        field: &str,
        read: impl Fn(&Self, &str, Value<'a, 'i>) -> Result<T, Error>,
    ) -> Result<Option<At<T>>, Error> {
        let Some(value) = self.entries.get(field) else { return Ok(None) };
        Ok(Some(At { value: read(self, field, value)?, offset: value.span().start }))
    }

    fn string(&self, field: &str, value: Value) -> Result<String, Error> {
        let text = value.get_ref().as_str().map(str::to_owned);
        text.ok_or_else(|| self.wrong_type(field, value, "a text in quotes"))
    }

    fn boolean(&self, field: &str, value: Value) -> Result<bool, Error> {
        value.get_ref().as_bool().ok_or_else(|| self.wrong_type(field, value, "true or false"))
    }

    fn integer(&self, field: &str, value: Value) -> Result<i64, Error> {
        let number = value.get_ref().as_integer();
        let number = number.and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
        number.ok_or_else(|| self.wrong_type(field, value, "a whole number of reasonable size"))
    }

    fn date(&self, field: &str, value: Value) -> Result<Date, Error> {
        let wrong = || self.wrong_type(field, value, "a date such as 2027-12-31");
        match value.get_ref() {
            DeValue::String(text) => Date::parse(text).map_err(|_| wrong()),
            DeValue::Datetime(moment) => match (moment.date, moment.time) {
                (Some(d), None) => Date::from_parts(d.year, d.month, d.day).ok_or_else(wrong),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }

    fn strings(&self, field: &str, value: Value) -> Result<Vec<At<String>>, Error> {
        let Some(items) = value.get_ref().as_array() else {
            return Err(self.wrong_type(field, value, "a list of texts: [\"…\"]"));
        };
        let read =
            |item: Value| Ok(At { value: self.string(field, item)?, offset: item.span().start });
        items.iter().map(read).collect()
    }

    fn keys(&self, field: &str) -> Result<Vec<RawKey>, Error> {
        let Some(value) = self.entries.get(field) else { return Ok(Vec::new()) };
        let Some(items) = value.get_ref().as_array() else {
            return Err(self.wrong_type(field, value, "a list of public keys: [\"…\"]"));
        };
        items.iter().map(|item| self.key(field, item)).collect()
    }

    fn key(&self, field: &str, item: Value) -> Result<RawKey, Error> {
        let offset = item.span().start;
        let Some(entries) = item.get_ref().as_table() else {
            let key = At { value: self.string(field, item)?, offset };
            return Ok(RawKey { key, is_source: false, id: None, not_after: None });
        };
        let what = format!("a key of `{field}` in {}", self.what);
        let table = Table::new(self.source, what, offset, entries);
        table.knows(&["key", "source", "id", "not_after"])?;
        let source = table.optional("source", Table::string)?;
        if let (Some(source), true) = (&source, entries.contains_key("key")) {
            let what = &table.what;
            let message = format!("{what} has both `key` and `source`; drop one of them");
            return Err(self.source.error(ErrorKind::Conflict, source.offset, message));
        }
        let is_source = source.is_some();
        Ok(RawKey {
            key: source.map_or_else(|| table.required("key", Table::string), Ok)?,
            is_source,
            id: table.optional("id", Table::string)?,
            not_after: table.optional("not_after", Table::date)?,
        })
    }

    /// Reads the tables `[KIND.NAME]` in the order of the file.
    fn tables<T>(
        &self,
        kind: &str,
        read: impl Fn(At<String>, &Table) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let Some(value) = self.entries.get(kind) else { return Ok(Vec::new()) };
        let wrong = |value: Value| {
            self.wrong_type(kind, value, &format!("written as tables [{kind}.NAME]"))
        };
        let named = value.get_ref().as_table().ok_or_else(|| wrong(value))?;
        let named = Table::new(self.source, kind, value.span().start, named);
        let one = |(span, name, value): (Range<usize>, &str, Value<'a, 'i>)| {
            let entries = value.get_ref().as_table().ok_or_else(|| wrong(value))?;
            let what = format!("{kind} {}", shown(name));
            let name = At { value: name.to_owned(), offset: span.start };
            read(name, &Table::new(self.source, what, span.start, entries))
        };
        named.in_order().into_iter().map(one).collect()
    }

    fn wrong_type(&self, field: &str, value: Value, wanted: &str) -> Error {
        let found = value.get_ref().type_str();
        let message = format!("`{field}` in {} must be {wanted}, not this {found}", self.what);
        self.source.error(ErrorKind::BadValue, value.span().start, message)
    }
}

/// `a`, `b` and `c`.
pub(crate) fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// The word that was most likely meant, if one is near enough.
pub(crate) fn nearest<'a>(word: &str, words: &[&'a str]) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    let with_distance = words.iter().map(|w| (distance(word, w), *w));
    with_distance.filter(|(d, _)| *d <= allowed).min_by_key(|(d, _)| *d).map(|(_, w)| w)
}

/// How many letters must be changed, added, dropped or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let at = |row: &[usize], i: usize| row.get(i).copied().unwrap_or(usize::MAX / 2);
    let mut older: Vec<usize> = Vec::new();
    let mut old: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let changed = at(&old, j) + usize::from(x != y);
            let mut best = changed.min(at(&old, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&older, j - 1) + 1);
            }
            row.push(best);
        }
        older = std::mem::replace(&mut old, row);
    }
    at(&old, b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_field_is_found() {
        let fields = ["from", "to", "owner", "expire_days", "write_once"];
        for (word, meant) in [
            ("form", Some("from")),
            ("owners", Some("owner")),
            ("expire-days", Some("expire_days")),
            ("expires_days", Some("expire_days")),
            ("color", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &fields), meant, "{word}");
        }
    }

    #[test]
    fn columns_count_characters() {
        let source = Source { text: "a = 1\nä = \"ü\" x", file: "f" };
        assert_eq!(source.place(source.text.len() - 1).to_string(), "f:2:9");
        assert_eq!(source.place(0).to_string(), "f:1:1");
    }
}
