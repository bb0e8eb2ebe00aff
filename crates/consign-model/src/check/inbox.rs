//! Judgements about repositories, inboxes and the routes between them.

use super::{Check, WRITERS};
use crate::carry::{TAG_VALUE_CHARS_MAX, fits_a_tag, is_tag_name};
use crate::name::shown;
use crate::raw::{At, RawCarry, RawExchange, RawInbox, RawRepository, RawRoute, list, nearest};
use crate::{
    ACKNOWLEDGEMENTS, BucketName, Carry, DELIVERIES, Error, ErrorKind, Exchange, Inbox, InboxName,
    KeyTemplate, Party, PartyName, Repository, RepositoryName, Route, RouteName,
};
use std::collections::{BTreeMap, BTreeSet};

/// S3's limit on an object's tags.
const TAGS_MAX: usize = 10;
const KEY_BYTES_MAX: usize = 1024;
/// Each pair of routes into one inbox is compared.
const ROUTES_MAX: usize = 500;

/// What has been given away already: names and buckets, each with what holds it.
#[derive(Default)]
struct Taken {
    names: BTreeMap<String, String>,
    buckets: BTreeMap<BucketName, String>,
}

impl Check<'_> {
    /// Adds repositories, inboxes and routes to an exchange that has its parties and lanes.
    pub(super) fn inboxes(&self, raw: &RawExchange, to: &mut Exchange) -> Result<(), Error> {
        let mut taken = Taken::default();
        for lane in to.lanes.values() {
            let what = format!("lane `{}`", lane.name);
            taken.buckets.insert(lane.bucket.clone(), what.clone());
            taken.names.insert(lane.name.to_string(), what);
        }
        for raw in &raw.repositories {
            let repository = self.repository(raw, to)?;
            let what = format!("repository `{}`", repository.name);
            self.take(&mut taken, &raw.name, raw.bucket.as_ref(), &repository.bucket, &what)?;
            to.repositories.insert(repository.name.clone(), repository);
        }
        for raw in &raw.inboxes {
            let inbox = self.inbox(raw, to)?;
            let what = format!("inbox `{}`", inbox.name);
            self.take(&mut taken, &raw.name, raw.bucket.as_ref(), &inbox.bucket, &what)?;
            to.inboxes.insert(inbox.name.clone(), inbox);
        }
        self.routes(&raw.routes, to)?;
        self.publishers(raw, to)
    }

    /// A name is the name of one thing, and so is a bucket: `--key NAME=ARN` and an alias say no more.
    fn take(
        &self,
        taken: &mut Taken,
        name: &At<String>,
        bucket_at: Option<&At<String>>,
        bucket: &BucketName,
        what: &str,
    ) -> Result<(), Error> {
        if let Some(other) = taken.names.insert(name.value.clone(), what.to_owned()) {
            let message = format!("{what} has the name of {other}; rename one of them");
            return Err(self.source.error(ErrorKind::Conflict, name.offset, message));
        }
        if let Some(other) = taken.buckets.insert(bucket.clone(), what.to_owned()) {
            let message = format!(
                "{other} and {what} are in one bucket, `{bucket}`; what one party may read another \
                 could write. Give each its own `bucket`, or drop the field"
            );
            let offset = bucket_at.map_or(name.offset, |bucket| bucket.offset);
            return Err(self.source.error(ErrorKind::Conflict, offset, message));
        }
        Ok(())
    }

    fn repository(&self, raw: &RawRepository, of: &Exchange) -> Result<Repository, Error> {
        let name = self.parsed(&raw.name, RepositoryName::parse)?;
        let what = format!("repository `{name}`");
        let owner = self.known_party(&what, &raw.owner, &of.parties)?;
        let generator = self.known_party(&what, &raw.generator, &of.parties)?;
        let publisher = self.known_party(&what, &raw.publisher, &of.parties)?;
        if generator.name == publisher.name {
            let message = format!(
                "{what} has `{}` as generator and as publisher, and the one must not read what the \
                 other reads; name two parties, each with its own principal",
                generator.name
            );
            return Err(self.source.error(ErrorKind::Conflict, raw.publisher.offset, message));
        }
        if publisher.account != owner.account {
            let message = format!(
                "{what} is in account {} and its publisher `{}` in {}; the queue of what arrives is \
                 for the owner's account alone: name a party of account {0}",
                owner.account, publisher.name, publisher.account
            );
            return Err(self.source.error(ErrorKind::Conflict, raw.publisher.offset, message));
        }
        Ok(Repository {
            owner: owner.name.clone(),
            generator: generator.name.clone(),
            publisher: publisher.name.clone(),
            key: self.known_party(&what, &raw.key, &of.parties)?.name.clone(),
            bucket: self.inbox_bucket(&what, &raw.name, raw.bucket.as_ref(), owner, of)?,
            expire_days: self.expire_days(&what, raw.expire_days.as_ref())?,
            name,
        })
    }

    fn inbox(&self, raw: &RawInbox, of: &Exchange) -> Result<Inbox, Error> {
        let name = self.parsed(&raw.name, InboxName::parse)?;
        let what = format!("inbox `{name}`");
        let owner = self.known_party(&what, &raw.owner, &of.parties)?;
        let consumers = self.consumers(&what, &raw.consumers, of)?;
        let prefix = raw.prefix.as_ref().map_or(Ok(String::new()), |it| self.prefix(it));
        let quarantine = match &raw.quarantine {
            None => None,
            Some(scanner) => Some(self.scanner(&what, scanner, &consumers, of)?),
        };
        Ok(Inbox {
            owner: owner.name.clone(),
            // Found out from the routes, once they are read.
            publisher: owner.name.clone(),
            bucket: self.inbox_bucket(&what, &raw.name, raw.bucket.as_ref(), owner, of)?,
            prefix: prefix.map_err(|e| e.inside(&what))?,
            writer: self.choice(&what, "writer", raw.writer.as_ref(), WRITERS)?,
            expire_days: self.expire_days(&what, raw.expire_days.as_ref())?,
            consumers,
            quarantine,
            name,
        })
    }

    fn consumers(
        &self,
        what: &str,
        raw: &At<Vec<At<String>>>,
        of: &Exchange,
    ) -> Result<Vec<PartyName>, Error> {
        let mut consumers = Vec::new();
        for item in &raw.value {
            let party = self.known_party(what, item, &of.parties)?;
            if consumers.contains(&party.name) {
                let message =
                    format!("{what} names `{}` twice in `consumers`; remove one", party.name);
                return Err(self.source.error(ErrorKind::Conflict, item.offset, message));
            }
            consumers.push(party.name.clone());
        }
        if consumers.is_empty() {
            let message = format!("{what} is read by nobody; name a party in `consumers`");
            return Err(self.source.error(ErrorKind::MissingField, raw.offset, message));
        }
        Ok(consumers)
    }

    /// Whoever reads must not be the one who says what may be read.
    fn scanner(
        &self,
        what: &str,
        raw: &At<String>,
        consumers: &[PartyName],
        of: &Exchange,
    ) -> Result<PartyName, Error> {
        let scanner = &self.known_party(what, raw, &of.parties)?.name;
        if consumers.contains(scanner) {
            let message = format!(
                "{what} names `{scanner}` as consumer and in `quarantine`, so it could release what \
                 it reads; name another party, with its own principal"
            );
            return Err(self.source.error(ErrorKind::Conflict, raw.offset, message));
        }
        Ok(scanner.clone())
    }

    fn inbox_bucket(
        &self,
        what: &str,
        name: &At<String>,
        declared: Option<&At<String>>,
        owner: &Party,
        of: &Exchange,
    ) -> Result<BucketName, Error> {
        let (exchange, region) = (&of.name, &of.region);
        let default = format!("{exchange}-{}-{}-{region}-an", name.value, owner.account);
        let remedy = "write `bucket = \"…\"`, or shorten the exchange's name";
        self.bucket(what, declared, &default, remedy, name.offset)
    }

    fn routes(&self, raw: &[RawRoute], to: &mut Exchange) -> Result<(), Error> {
        if let Some(route) = raw.get(ROUTES_MAX) {
            let message =
                format!("{} routes are more than {ROUTES_MAX}; split the exchange", raw.len());
            return Err(self.source.error(ErrorKind::Limit, route.name.offset, message));
        }
        for raw in raw {
            let route = self.route(raw, to)?;
            for other in to.routes.values() {
                let shared = other.to.iter().find(|inbox| route.to.contains(inbox));
                if let Some(inbox) = shared.filter(|_| route.may_meet(other)) {
                    let message = format!(
                        "routes `{}` and `{}` could bring two objects to one key of inbox `{inbox}`, \
                         and the second would never arrive; give each a `key` that begins \
                         differently, as in \"{0}/{{key}}\"",
                        other.name, route.name
                    );
                    let offset = raw.key.as_ref().map_or(raw.name.offset, |key| key.offset);
                    return Err(self.source.error(ErrorKind::Conflict, offset, message));
                }
            }
            to.routes.insert(route.name.clone(), route);
        }
        Ok(())
    }

    fn route(&self, raw: &RawRoute, of: &Exchange) -> Result<Route, Error> {
        let name = self.parsed(&raw.name, RouteName::parse)?;
        let what = format!("route `{name}`");
        let from =
            self.declared(&what, "repository", "repositories", &raw.from, &of.repositories)?;
        let mut to: Vec<InboxName> = Vec::new();
        for item in &raw.to.value {
            let inbox = self.declared(&what, "inbox", "inboxes", item, &of.inboxes)?;
            if to.contains(&inbox.name) {
                let message = format!("{what} names `{}` twice in `to`; remove one", inbox.name);
                return Err(self.source.error(ErrorKind::Conflict, item.offset, message));
            }
            to.push(inbox.name.clone());
        }
        if to.is_empty() {
            let message = format!("{what} leads nowhere; name an inbox in `to`");
            return Err(self.source.error(ErrorKind::MissingField, raw.to.offset, message));
        }
        let key = match &raw.key {
            None => KeyTemplate::unchanged(),
            Some(key) => self.parsed(key, KeyTemplate::parse).map_err(|e| e.inside(&what))?,
        };
        let route = Route {
            from: from.name.clone(),
            to,
            prefix: self.affix(&what, "prefix", raw.prefix.as_ref())?,
            suffix: self.affix(&what, "suffix", raw.suffix.as_ref())?,
            tags: self.tags(&what, raw)?,
            carry: self.carry(&what, &raw.carry)?,
            key,
            name,
        };
        if route.leads_among_records() {
            let message = format!(
                "{what} leads to `{DELIVERIES}` or `{ACKNOWLEDGEMENTS}`, where an inbox has the records \
                 of its deliveries; give it a `key` that begins otherwise, as in \"from/{{key}}\""
            );
            let offset = raw.key.as_ref().map_or(raw.name.offset, |key| key.offset);
            return Err(self.source.error(ErrorKind::Conflict, offset, message));
        }
        Ok(route)
    }

    /// A table that another names.
    fn declared<'m, N: Ord + AsRef<str> + std::str::FromStr, T>(
        &self,
        what: &str,
        kind: &str,
        kinds: &str,
        raw: &At<String>,
        known: &'m BTreeMap<N, T>,
    ) -> Result<&'m T, Error> {
        let found = raw.value.parse::<N>().ok().and_then(|name| known.get(&name));
        found.ok_or_else(|| {
            let names: Vec<&str> = known.keys().map(AsRef::as_ref).collect();
            let remedy = match nearest(&raw.value, &names) {
                Some(name) => format!("did you mean `{name}`?"),
                None if names.is_empty() => format!("add a table [{kind}.NAME]"),
                None => format!("the {kinds} are {}", list(&names)),
            };
            let message = format!("unknown {kind} {} in {what}; {remedy}", shown(&raw.value));
            self.source.error(ErrorKind::Unknown, raw.offset, message)
        })
    }

    fn affix(&self, what: &str, field: &str, raw: Option<&At<String>>) -> Result<String, Error> {
        let Some(raw) = raw else { return Ok(String::new()) };
        if raw.value.len() <= KEY_BYTES_MAX && !raw.value.contains(char::is_control) {
            return Ok(raw.value.clone());
        }
        let message = format!(
            "`{field}` in {what} is {}; it has 1024 bytes at most and no control characters",
            shown(&raw.value)
        );
        Err(self.source.error(ErrorKind::BadValue, raw.offset, message))
    }

    fn tags(&self, what: &str, raw: &RawRoute) -> Result<BTreeMap<String, String>, Error> {
        for tag in &raw.tags {
            let (name, value) = (&tag.name.value, &tag.value.value);
            if !is_tag_name(name) || !fits_a_tag(value, TAG_VALUE_CHARS_MAX) {
                let message = format!(
                    "{what} looks for the tag {} = {}, which no object has: names have 1 to 128 \
                     characters and do not begin with `aws:`, values 256 at most, of letters, digits, \
                     spaces and +-=._:/@",
                    shown(name),
                    shown(value)
                );
                return Err(self.source.error(ErrorKind::BadValue, tag.name.offset, message));
            }
        }
        if let Some(tag) = raw.tags.get(TAGS_MAX) {
            let message =
                format!("{what} looks for {} tags; objects have 10 at most", raw.tags.len());
            return Err(self.source.error(ErrorKind::BadValue, tag.name.offset, message));
        }
        let tags = raw.tags.iter();
        Ok(tags.map(|tag| (tag.name.value.clone(), tag.value.value.clone())).collect())
    }

    fn carry(&self, what: &str, raw: &RawCarry) -> Result<Carry, Error> {
        let mut carry = Carry::default();
        let refused = |kind: &str, name: &At<String>, reason: &str| {
            let message =
                format!("{what} cannot carry the {kind} {}: {reason}", shown(&name.value));
            self.source.error(ErrorKind::BadValue, name.offset, message)
        };
        for name in &raw.metadata {
            carry.allow_metadata(&name.value).map_err(|why| refused("metadata", name, why))?;
        }
        for name in &raw.tags {
            carry.allow_tag(&name.value).map_err(|why| refused("tag", name, why))?;
        }
        Ok(carry)
    }

    /// Who delivers to each inbox, and that everything declared has a use.
    fn publishers(&self, raw: &RawExchange, to: &mut Exchange) -> Result<(), Error> {
        for repository in &raw.repositories {
            let name = self.parsed(&repository.name, RepositoryName::parse)?;
            if to.routes_from(&name).next().is_none() {
                let message = format!(
                    "no route leaves repository `{name}`; add a table [route.NAME] with \
                     `from = \"{name}\"`"
                );
                return Err(self.source.error(
                    ErrorKind::MissingField,
                    repository.name.offset,
                    message,
                ));
            }
        }
        for inbox in &raw.inboxes {
            let name = self.parsed(&inbox.name, InboxName::parse)?;
            let publisher = self.publisher(inbox, &name, to)?;
            if let Some(inbox) = to.inboxes.get_mut(&name) {
                inbox.publisher = publisher;
            }
        }
        Ok(())
    }

    fn publisher(
        &self,
        raw: &RawInbox,
        name: &InboxName,
        of: &Exchange,
    ) -> Result<PartyName, Error> {
        let offset = raw.name.offset;
        let leading = of.routes.values().filter(|route| route.to.contains(name));
        let sources: BTreeSet<&RepositoryName> = leading.map(|route| &route.from).collect();
        let sources: Vec<&Repository> =
            sources.into_iter().filter_map(|name| of.repositories.get(name)).collect();
        let Some((first, others)) = sources.split_first() else {
            let message = format!(
                "no route leads to inbox `{name}`; add a table [route.NAME] with `to = [\"{name}\"]`"
            );
            return Err(self.source.error(ErrorKind::MissingField, offset, message));
        };
        if let Some(other) = others.iter().find(|other| other.publisher != first.publisher) {
            let message = format!(
                "inbox `{name}` is filled from repository `{}` by `{}` and from `{}` by `{}`; one \
                 publisher writes to an inbox: name one, or use two inboxes",
                first.name, first.publisher, other.name, other.publisher
            );
            return Err(self.source.error(ErrorKind::Conflict, offset, message));
        }
        let inbox = of.inboxes.get(name);
        let reads = |party: &PartyName| {
            inbox.is_some_and(|it| {
                it.consumers.contains(party) || it.quarantine.as_ref() == Some(party)
            })
        };
        let writers = sources.iter().flat_map(|it| [&it.generator, &it.publisher]);
        if let Some(both) = writers.into_iter().find(|party| reads(party)) {
            let message = format!(
                "`{both}` fills inbox `{name}` and reads it; whoever delivers must not read what was \
                 delivered: name another party, with its own principal"
            );
            return Err(self.source.error(ErrorKind::Conflict, raw.consumers.offset, message));
        }
        Ok(first.publisher.clone())
    }
}
