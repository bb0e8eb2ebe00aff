//! The tables of a secure inbox: `[repository.NAME]`, `[inbox.NAME]` and `[route.NAME]`.

use super::{At, RawCarry, RawRoute, RawTag, Table};
use super::{RawInbox, RawRepository};
use crate::Error;

pub(super) fn repository(name: At<String>, table: &Table) -> Result<RawRepository, Error> {
    table.knows(&["owner", "generator", "publisher", "key", "bucket", "expire_days"])?;
    Ok(RawRepository {
        name,
        owner: table.required("owner", Table::string)?,
        generator: table.required("generator", Table::string)?,
        publisher: table.required("publisher", Table::string)?,
        key: table.required("key", Table::string)?,
        bucket: table.optional("bucket", Table::string)?,
        expire_days: table.optional("expire_days", Table::integer)?,
    })
}

pub(super) fn inbox(name: At<String>, table: &Table) -> Result<RawInbox, Error> {
    table.knows(&[
        "owner",
        "consumers",
        "bucket",
        "prefix",
        "writer",
        "expire_days",
        "quarantine",
    ])?;
    Ok(RawInbox {
        name,
        owner: table.required("owner", Table::string)?,
        consumers: table.required("consumers", Table::strings)?,
        bucket: table.optional("bucket", Table::string)?,
        prefix: table.optional("prefix", Table::string)?,
        writer: table.optional("writer", Table::string)?,
        expire_days: table.optional("expire_days", Table::integer)?,
        quarantine: table.optional("quarantine", Table::string)?,
    })
}

pub(super) fn route(name: At<String>, table: &Table) -> Result<RawRoute, Error> {
    table.knows(&["from", "to", "prefix", "suffix", "tags", "key", "carry"])?;
    Ok(RawRoute {
        name,
        from: table.required("from", Table::string)?,
        to: table.required("to", Table::strings)?,
        prefix: table.optional("prefix", Table::string)?,
        suffix: table.optional("suffix", Table::string)?,
        tags: tags(table)?,
        key: table.optional("key", Table::string)?,
        carry: carry(table)?,
    })
}

/// `carry = { metadata = ["patient-class"], tags = ["kind"] }`: what goes along with a copy.
fn carry(table: &Table) -> Result<RawCarry, Error> {
    let Some(value) = table.entries.get("carry") else { return Ok(RawCarry::default()) };
    let Some(entries) = value.get_ref().as_table() else {
        let wanted = "a table: { metadata = [\"NAME\"], tags = [\"NAME\"] }";
        return Err(table.wrong_type("carry", value, wanted));
    };
    let what = format!("`carry` of {}", table.what);
    let inner = Table::new(table.source, what, value.span().start, entries);
    inner.knows(&["metadata", "tags"])?;
    let names = |field: &str| {
        let list = inner.optional(field, Table::strings)?;
        Ok(list.map(|list| list.value).unwrap_or_default())
    };
    Ok(RawCarry { metadata: names("metadata")?, tags: names("tags")? })
}

/// `tags = { kind = "report" }`: names that the file chooses, so none is unknown.
fn tags(table: &Table) -> Result<Vec<RawTag>, Error> {
    let Some(value) = table.entries.get("tags") else { return Ok(Vec::new()) };
    let Some(entries) = value.get_ref().as_table() else {
        return Err(table.wrong_type("tags", value, "a table: { NAME = \"VALUE\" }"));
    };
    let what = format!("`tags` of {}", table.what);
    let inner = Table::new(table.source, what, value.span().start, entries);
    let one = |(span, name, value): (std::ops::Range<usize>, &str, _)| {
        let name_at = At { value: name.to_owned(), offset: span.start };
        let value = At { value: inner.string(name, value)?, offset: span.start };
        Ok(RawTag { name: name_at, value })
    };
    inner.in_order().into_iter().map(one).collect()
}
