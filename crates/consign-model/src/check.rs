//! From the raw file to the real [`Exchange`]: every judgement about an exchange is made here.

mod inbox;
mod layout;

use crate::group::{self, Expanded};
use crate::name::shown;
use crate::raw::{At, RawExchange, RawKey, RawLane, RawParty, Source, list, nearest};
use crate::{
    AccountId, AtRest, BucketName, Date, Error, ErrorKind, Exchange, ExchangeName, KeyId, Keyring,
    Lane, LaneName, Party, PartyName, Principal, PrincipalKind, PublicKey, Region, Seal, Trust,
    Writer,
};
use std::collections::{BTreeMap, BTreeSet};

/// More parties or lanes than this are a mistake. Ten thousand partners with a lane each way fit.
const ENTRIES_MAX: usize = 25_000;

/// Judges the raw file and builds the real exchange, or says the first thing that is wrong.
pub(crate) fn exchange(
    raw: &RawExchange,
    file: &str,
    text: &str,
    today: Date,
) -> Result<Exchange, Error> {
    let check = Check { source: Source { text, file }, today };
    let name = check.parsed(&raw.name, ExchangeName::parse)?;
    let region = check.parsed(&raw.region, Region::parse)?;
    let parties = check.parties(&raw.parties)?;
    let lanes = group::expanded(&check, raw, &parties)?;
    if lanes.is_empty() && raw.repositories.is_empty() && raw.inboxes.is_empty() {
        let message = "an exchange has one lane at least; add a table [lane.NAME]";
        return Err(check.source.error(ErrorKind::MissingField, 0, message));
    }
    let lanes = check.lanes(&lanes, &name, &region, &parties)?;
    let mut exchange = Exchange {
        name,
        region,
        parties,
        lanes,
        repositories: BTreeMap::new(),
        inboxes: BTreeMap::new(),
        routes: BTreeMap::new(),
    };
    check.inboxes(raw, &mut exchange)?;
    Ok(exchange)
}

/// More names than this do not help in a message.
const NAMES_SHOWN_MAX: usize = 20;

/// What earlier parties are known by.
#[derive(Default)]
struct Known {
    principals: BTreeMap<String, PartyName>,
    signers: BTreeMap<String, PartyName>,
}

const AT_REST: [(&str, AtRest); 4] = [
    ("sse-kms", AtRest::SseKms),
    ("dsse-kms", AtRest::DsseKms),
    ("sse-s3", AtRest::SseS3),
    ("sse-c", AtRest::SseC),
];
const SEALS: [(&str, Seal); 4] =
    [("age", Seal::Age), ("openpgp", Seal::Openpgp), ("s3ec", Seal::S3ec), ("none", Seal::None)];
const KEYRINGS: [(&str, Keyring); 3] =
    [("aes", Keyring::Aes), ("rsa", Keyring::Rsa), ("kms", Keyring::Kms)];
const WRITERS: [(&str, Writer); 2] =
    [("multipart", Writer::Multipart), ("encrypt-only", Writer::EncryptOnly)];

pub(crate) struct Check<'a> {
    pub(crate) source: Source<'a>,
    today: Date,
}

impl Check<'_> {
    fn parties(&self, raw: &[RawParty]) -> Result<BTreeMap<PartyName, Party>, Error> {
        if raw.len() < 2 {
            let offset = raw.first().map_or(0, |party| party.name.offset);
            let message = "an exchange has two parties at least; add a table [party.NAME]";
            return Err(self.source.error(ErrorKind::MissingField, offset, message));
        }
        self.few("parties", raw.len(), raw.last().map_or(0, |party| party.name.offset))?;
        let mut parties: BTreeMap<PartyName, Party> = BTreeMap::new();
        let mut known = Known::default();
        for raw in raw {
            let party = self.party(raw)?;
            self.tell_apart(raw, &party, &mut known)?;
            parties.insert(party.name.clone(), party);
        }
        Ok(parties)
    }

    fn party(&self, raw: &RawParty) -> Result<Party, Error> {
        let what = format!("party {}", shown(&raw.name.value));
        let name = self.parsed(&raw.name, PartyName::parse)?;
        let account = self.parsed(&raw.account, AccountId::parse);
        let account = account.map_err(|e| e.inside(&what))?;
        let principal = self.parsed(&raw.principal, |text| Principal::parse(text, &account));
        let principal = principal.map_err(|e| e.inside(&what))?;
        let trust = self.trust(raw, &principal)?;
        let recipients = self.keys(&name, &raw.recipients, "recipient", PublicKey::recipient)?;
        let signers = self.keys(&name, &raw.signers, "signer", PublicKey::signer)?;
        Ok(Party { name, account, principal, trust, recipients, signers })
    }

    fn keys(
        &self,
        party: &PartyName,
        raw: &[RawKey],
        kind: &str,
        parse: impl Fn(&str, Option<KeyId>, Option<Date>) -> Result<PublicKey, Error>,
    ) -> Result<Vec<PublicKey>, Error> {
        let what = format!("party `{party}`");
        let mut keys: Vec<PublicKey> = Vec::new();
        for raw in raw {
            let id = raw.id.as_ref().map(|id| self.parsed(id, KeyId::parse)).transpose();
            let id = id.map_err(|e| e.inside(&what))?;
            let not_after = raw.not_after.as_ref().map(|day| day.value);
            let key = self.parsed(&raw.key, |text| match (raw.is_source, kind) {
                (false, _) => parse(text, id.clone(), not_after),
                (true, "recipient") => PublicKey::at_source(text, id.clone(), not_after),
                (true, _) => {
                    let message = format!("a {kind} stands in the file itself; write `key`");
                    Err(Error::new(ErrorKind::BadValue, message))
                }
            });
            let key = key.map_err(|e| e.inside(&what))?;
            if keys.iter().any(|other| other.key == key.key || other.id == key.id) {
                let message =
                    format!("party `{party}` lists the {kind} `{}` twice; remove one", key.id);
                return Err(self.source.error(ErrorKind::Conflict, raw.key.offset, message));
            }
            keys.push(key);
        }
        let live = keys.iter().any(|key| key.is_live(self.today));
        match (raw.last(), keys.last()) {
            (Some(raw), Some(key)) if !live => Err(self.expired(party, kind, raw, key)),
            _ => Ok(keys),
        }
    }

    fn expired(&self, party: &PartyName, kind: &str, raw: &RawKey, key: &PublicKey) -> Error {
        let offset = raw.not_after.as_ref().map_or(raw.key.offset, |day| day.offset);
        let last = key.not_after.map(|day| format!(" (`{}` on {day})", key.id)).unwrap_or_default();
        let message = format!(
            "every {kind} of party `{party}` has expired{last}; ask `{party}` for a new {kind} \
             and add it"
        );
        self.source
            .error(ErrorKind::Expired, offset, message)
            .with_hint(format!("consign keys new {party}"))
    }

    /// Two parties must differ in what S3 and a signature know them by.
    fn tell_apart(&self, raw: &RawParty, party: &Party, known: &mut Known) -> Result<(), Error> {
        let b = &party.name;
        if let Some(a) = known.principals.insert(party.principal_arn(), b.clone()) {
            let message = format!(
                "parties `{a}` and `{b}` have the same principal {}, so S3 cannot tell them \
                 apart; give each its own user or role",
                party.principal_arn()
            );
            return Err(self.source.error(ErrorKind::Conflict, raw.principal.offset, message));
        }
        for (raw, key) in raw.signers.iter().zip(&party.signers) {
            if let Some(a) = known.signers.insert(key.key.clone(), b.clone()) {
                let message = format!(
                    "parties `{a}` and `{b}` have the same signer `{}`, so either could sign for \
                     the other; remove it from one",
                    key.id
                );
                return Err(self.source.error(ErrorKind::Conflict, raw.key.offset, message));
            }
        }
        Ok(())
    }

    /// Who may assume the role, if that is said.
    fn trust(&self, raw: &RawParty, principal: &Principal) -> Result<Option<Trust>, Error> {
        let what = format!("party {}", shown(&raw.name.value));
        let Some(trust) = &raw.trust else {
            return match &raw.external_id {
                None => Ok(None),
                Some(id) => {
                    let message = format!(
                        "{what} has an `external_id` and no `trust`; say who may assume its role: \
                         `trust = \"account\"`, or an ARN"
                    );
                    Err(self.source.error(ErrorKind::MissingField, id.offset, message))
                }
            };
        };
        if principal.kind() != PrincipalKind::Role {
            let message = format!(
                "{what} is {principal}, and nobody assumes a user; drop `trust`, or write \
                 `principal = \"role/…\"`"
            );
            return Err(self.source.error(ErrorKind::Conflict, trust.offset, message));
        }
        let account = self.parsed(&raw.account, AccountId::parse)?;
        let arn = self.parsed(trust, |text| Trust::arn(text, &account));
        let principal_arn = arn.map_err(|e| e.inside(&what))?;
        let external_id = raw.external_id.as_ref();
        let external_id = external_id.map(|id| self.parsed(id, Trust::external_id)).transpose();
        Ok(Some(Trust { principal_arn, external_id: external_id.map_err(|e| e.inside(&what))? }))
    }

    fn lanes(
        &self,
        raw: &[Expanded],
        exchange: &ExchangeName,
        region: &Region,
        parties: &BTreeMap<PartyName, Party>,
    ) -> Result<BTreeMap<LaneName, Lane>, Error> {
        self.few("lanes", raw.len(), raw.last().map_or(0, |lane| lane.raw.name.offset))?;
        let mut lanes: BTreeMap<LaneName, Lane> = BTreeMap::new();
        let mut buckets: BTreeMap<BucketName, LaneName> = BTreeMap::new();
        for Expanded { raw, each } in raw {
            let lane = Lane { each: each.clone(), ..self.lane(raw, exchange, region, parties)? };
            if let Some(other) = lanes.get(&lane.name) {
                return Err(self.one_name(raw, &lane, other));
            }
            if let Some(other) = buckets.insert(lane.bucket.clone(), lane.name.clone())
                && let Some(other) = lanes.get(&other)
            {
                return Err(self.one_bucket(raw, &lane, other));
            }
            lanes.insert(lane.name.clone(), lane);
        }
        Ok(lanes)
    }

    /// Two tables that stand for a lane each can come to the same name.
    fn one_name(&self, raw: &RawLane, lane: &Lane, other: &Lane) -> Error {
        let table = |lane: &Lane| match &lane.each {
            Some(each) => format!("`{}` for `{}`", each.lane, each.member),
            None => format!("`{}`", lane.name),
        };
        let message = format!(
            "lanes {} and {} are both called `{}`; rename one of the tables",
            table(other),
            table(lane),
            lane.name
        );
        self.source.error(ErrorKind::Conflict, raw.name.offset, message)
    }

    fn one_bucket(&self, raw: &RawLane, lane: &Lane, other: &Lane) -> Error {
        let overlap = match lane.prefix.starts_with(&other.prefix)
            || other.prefix.starts_with(&lane.prefix)
        {
            true => ", and their prefixes overlap",
            false => "",
        };
        let offset = raw.bucket.as_ref().map_or(raw.name.offset, |bucket| bucket.offset);
        let message = format!(
            "lanes `{}` and `{}` are in one bucket, `{}`{overlap}; what one party may read \
             another could write. Give each lane its own `bucket`, or drop the field",
            other.name, lane.name, lane.bucket
        );
        self.source.error(ErrorKind::Conflict, offset, message)
    }

    fn lane(
        &self,
        raw: &RawLane,
        exchange: &ExchangeName,
        region: &Region,
        parties: &BTreeMap<PartyName, Party>,
    ) -> Result<Lane, Error> {
        let name = self.parsed(&raw.name, LaneName::parse)?;
        let (Some(from), Some(to)) = (&raw.from, &raw.to) else {
            let message = format!("lane `{name}` lacks `from` or `to`; add it");
            return Err(self.source.error(ErrorKind::MissingField, raw.name.offset, message));
        };
        let what = format!("lane `{name}`");
        let from = self.known_party(&what, from, parties)?;
        let to = self.receivers(&name, to, from, parties)?;
        let owner = match &raw.owner {
            Some(owner) => self.known_party(&what, owner, parties)?,
            None => from,
        };
        let layout = self.layout(&what, raw, &from.name)?;
        let default = format!("{exchange}-{name}-{}-{region}-an", owner.account);
        let remedy = match &raw.each {
            Some(_) => "shorten the exchange's, the lane's or the member's name",
            None => "write `bucket = \"…\"`, or shorten the exchange's name",
        };
        let (bucket, offset) = (raw.bucket.as_ref(), raw.name.offset);
        Ok(Lane {
            bucket: self.bucket(&what, bucket, &default, remedy, offset)?,
            prefix: layout.prefix,
            at_rest: layout.at_rest,
            seal: layout.seal,
            layout: layout.layout,
            keyring: self.keyring(&what, raw, &to)?,
            seal_to_sender: self.seal_to_sender(&what, raw)?,
            writer: self.choice(&what, "writer", raw.writer.as_ref(), WRITERS)?,
            expire_days: self.expire_days(&what, raw.expire_days.as_ref())?,
            write_once: raw.write_once.as_ref().is_none_or(|flag| flag.value),
            quarantine: raw.quarantine.as_ref().is_some_and(|flag| flag.value),
            each: None,
            from: from.name.clone(),
            owner: owner.name.clone(),
            to,
            name,
        })
    }

    /// The party that a field of `what` names.
    pub(crate) fn known_party<'p>(
        &self,
        what: &str,
        raw: &At<String>,
        parties: &'p BTreeMap<PartyName, Party>,
    ) -> Result<&'p Party, Error> {
        let found = PartyName::parse(&raw.value).ok().and_then(|name| parties.get(&name));
        found.ok_or_else(|| {
            let names: Vec<&str> = parties.keys().map(PartyName::as_str).collect();
            let remedy = match nearest(&raw.value, &names) {
                Some(name) => format!("did you mean `{name}`?"),
                None if names.len() > NAMES_SHOWN_MAX => {
                    "add a table [party.NAME] for it".to_owned()
                }
                None => format!("the parties are {}", list(&names)),
            };
            let message = format!("unknown party {} in {what}; {remedy}", shown(&raw.value));
            self.source.error(ErrorKind::Unknown, raw.offset, message)
        })
    }

    fn receivers(
        &self,
        lane: &LaneName,
        raw: &At<Vec<At<String>>>,
        from: &Party,
        parties: &BTreeMap<PartyName, Party>,
    ) -> Result<Vec<PartyName>, Error> {
        let mut to: Vec<PartyName> = Vec::new();
        let mut known = BTreeSet::new();
        for item in &raw.value {
            let party = &self.known_party(&format!("lane `{lane}`"), item, parties)?.name;
            if *party == from.name {
                let message = format!(
                    "lane `{lane}` leads from `{party}` to itself; name another party in `to`"
                );
                return Err(self.source.error(ErrorKind::Conflict, item.offset, message));
            }
            if !known.insert(party) {
                let message = format!("lane `{lane}` names `{party}` twice in `to`; remove one");
                return Err(self.source.error(ErrorKind::Conflict, item.offset, message));
            }
            to.push(party.clone());
        }
        if to.is_empty() {
            let message = format!("lane `{lane}` leads to nobody; name a party in `to`");
            return Err(self.source.error(ErrorKind::MissingField, raw.offset, message));
        }
        Ok(to)
    }

    /// The bucket that is declared, or the default: a name that ends so belongs to one account and
    /// region, and nobody else can take it first.
    fn bucket(
        &self,
        what: &str,
        declared: Option<&At<String>>,
        default: &str,
        remedy: &str,
        offset: usize,
    ) -> Result<BucketName, Error> {
        if let Some(bucket) = declared {
            return self.parsed(bucket, BucketName::parse).map_err(|e| e.inside(what));
        }
        BucketName::parse(default).map_err(|_| {
            let message = format!(
                "{what} has no `bucket`, and the default name `{default}` has {} characters of 63 that \
                 S3 allows; {remedy}",
                default.len()
            );
            self.source.error(ErrorKind::BadValue, offset, message)
        })
    }

    fn prefix(&self, raw: &At<String>) -> Result<String, Error> {
        let text = &raw.value;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let part =
            |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain);
        let inner = text.strip_suffix('/');
        if text.is_empty() || (text.len() <= 256 && inner.is_some_and(|p| p.split('/').all(part))) {
            return Ok(text.clone());
        }
        let message = format!(
            "{} is not a prefix; it is empty, or parts of letters, digits and -_. that each end \
             with `/`, as in \"partners/globex/\"",
            shown(text)
        );
        Err(self.source.error(ErrorKind::BadValue, raw.offset, message))
    }

    /// An object of the S3 Encryption Client has one wrapped key, so one RSA key opens it; and KMS wraps
    /// with the lane's own key, where the lane has one.
    fn keyring(&self, what: &str, raw: &RawLane, to: &[PartyName]) -> Result<Keyring, Error> {
        let keyring = self.choice(what, "keyring", raw.keyring.as_ref(), KEYRINGS)?;
        let Some(at) = &raw.keyring else { return Ok(keyring) };
        let seal = self.choice(what, "seal", raw.seal.as_ref(), SEALS)?;
        let at_rest = self.choice(what, "at_rest", raw.at_rest.as_ref(), AT_REST)?;
        let message = if seal != Seal::S3ec && keyring != Keyring::default() {
            format!("`keyring` in {what} is for `seal = \"s3ec\"` alone; drop it")
        } else if keyring == Keyring::Rsa && to.len() > 1 {
            format!(
                "{what} has {} receivers, and with `keyring = \"rsa\"` one key opens it; make a lane \
                 for each, or write `keyring = \"aes\"`",
                to.len()
            )
        } else if keyring == Keyring::Kms && !at_rest.has_key() {
            format!(
                "{what} has `at_rest = \"{}\"` and so no KMS key, which `keyring = \"kms\"` wraps with; \
                 write `at_rest = \"sse-kms\"`, or another keyring",
                at_rest.as_str()
            )
        } else {
            return Ok(keyring);
        };
        Err(self.source.error(ErrorKind::Conflict, at.offset, message))
    }

    /// Only where a seal has recipients can the sender be one.
    fn seal_to_sender(&self, what: &str, raw: &RawLane) -> Result<bool, Error> {
        let Some(flag) = raw.seal_to_sender.as_ref().filter(|flag| flag.value) else {
            return Ok(false);
        };
        match self.choice(what, "seal", raw.seal.as_ref(), SEALS)? {
            Seal::Age | Seal::Openpgp => Ok(true),
            seal => {
                let message = format!(
                    "`seal_to_sender` in {what} needs a seal with recipients, and `seal = \"{}\"` \
                     has none; drop it, or write `seal = \"age\"`",
                    seal.as_str()
                );
                Err(self.source.error(ErrorKind::Conflict, flag.offset, message))
            }
        }
    }

    /// A field that takes one of a few words, the first of which is the default.
    fn choice<T: Copy, const N: usize>(
        &self,
        what: &str,
        field: &str,
        raw: Option<&At<String>>,
        choices: [(&str, T); N],
    ) -> Result<T, Error> {
        let default = choices.first().map(|(_, value)| *value);
        let Some(raw) = raw else { return Ok(default.expect("every field has a choice")) };
        let chosen = choices.iter().find(|(word, _)| *word == raw.value);
        chosen.map(|(_, value)| *value).ok_or_else(|| {
            let words = choices.map(|(word, _)| word);
            let remedy = match nearest(&raw.value, &words) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("it may be {}", list(&words).replace(" and ", " or ")),
            };
            let message = format!("`{field}` in {what} is {}; {remedy}", shown(&raw.value));
            self.source.error(ErrorKind::BadValue, raw.offset, message)
        })
    }

    fn expire_days(&self, what: &str, raw: Option<&At<i64>>) -> Result<u32, Error> {
        const DEFAULT: u32 = 30;
        const MAX: u32 = 3650;
        let Some(raw) = raw else { return Ok(DEFAULT) };
        match u32::try_from(raw.value) {
            Ok(days) if (1..=MAX).contains(&days) => Ok(days),
            _ => {
                let message =
                    format!("`expire_days` in {what} is {}; it is 1 to {MAX} days", raw.value);
                Err(self.source.error(ErrorKind::BadValue, raw.offset, message))
            }
        }
    }

    fn few(&self, what: &str, count: usize, offset: usize) -> Result<(), Error> {
        if count <= ENTRIES_MAX {
            return Ok(());
        }
        let message = format!("{count} {what} are more than {ENTRIES_MAX}; split the exchange");
        Err(self.source.error(ErrorKind::Limit, offset, message))
    }

    /// Reads a value and says where it stood if it is wrong.
    pub(crate) fn parsed<T>(
        &self,
        raw: &At<String>,
        parse: impl FnOnce(&str) -> Result<T, Error>,
    ) -> Result<T, Error> {
        parse(&raw.value).map_err(|error| error.at(self.source.place(raw.offset)))
    }
}
