//! What the documents *do* that an exchange should not: asked of the evaluator, never of the text.

use super::access::{Access, Actor, Reach};
use super::{Bucket, Folder, Kind};
use crate::error::Error;
use crate::matrix::Operation as O;
use consign_iam::{Decision, Layer, Principal};
use serde::Serialize;
use std::collections::BTreeSet;

/// Something wrong with a folder's documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable name, such as `no-bucket-policy`.
    pub id: &'static str,
    /// How grave it is.
    pub weight: Weight,
    /// The file, where one is to blame.
    pub document: Option<String>,
    /// The statement, where one is to blame.
    pub statement: Option<String>,
    /// What is wrong and why.
    pub words: String,
    /// What to do.
    pub fix: String,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Something that is meant to work does not.
    Broken,
    /// Somebody can do what nobody should.
    Open,
    /// It works and is closed, and could be better.
    Advice,
}

impl Finding {
    pub(super) fn new(id: &'static str, weight: Weight, words: String, fix: String) -> Finding {
        Finding { id, weight, document: None, statement: None, words, fix }
    }

    pub(super) fn in_document(mut self, file: &str) -> Finding {
        self.document = Some(file.to_owned());
        self
    }

    pub(super) fn at(mut self, statement: String) -> Finding {
        self.statement = Some(statement);
        self
    }

    fn blaming(mut self, blame: Blame) -> Finding {
        (self.document, self.statement) = blame;
        self
    }
}

/// A file and a statement of it.
type Blame = (Option<String>, Option<String>);

/// Every finding about what the documents do.
pub(super) fn of(folder: &Folder, access: &Access<'_>) -> Result<Vec<Finding>, Error> {
    let mut findings = refused(folder);
    let diagnosis = Diagnosis { folder, access };
    findings.extend(diagnosis.nothing());
    for (bucket, actor, row) in access.each() {
        if actor.is_named() {
            findings.extend(diagnosis.two_sides(bucket, actor)?);
            findings.extend(diagnosis.direction(bucket, actor)?);
            findings.extend(no_multipart(bucket, actor, row));
        }
    }
    for bucket in &folder.buckets {
        findings.extend(diagnosis.one_sided(bucket));
        findings.extend(diagnosis.bucket(bucket)?);
        findings.extend(diagnosis.key(bucket)?);
        findings.extend(diagnosis.outsiders(bucket));
    }
    findings.extend(users(access));
    Ok(findings)
}

fn refused(folder: &Folder) -> Vec<Finding> {
    let refused = folder.files.iter().filter_map(|file| {
        let why = file.policy.as_ref().err()?;
        let words = format!("AWS would not accept it: {why}; it is taken as not there");
        let fix = "correct it; until then nothing that it says holds".to_owned();
        Some(Finding::new("not-accepted", Weight::Broken, words, fix).in_document(&file.name))
    });
    refused.collect()
}

struct Diagnosis<'a> {
    folder: &'a Folder,
    access: &'a Access<'a>,
}

impl Diagnosis<'_> {
    fn named(&self) -> impl Iterator<Item = (&Bucket, &Actor, &Reach)> {
        self.access.each().filter(|(_, actor, _)| actor.is_named())
    }

    /// Nobody can put or get anything anywhere.
    fn nothing(&self) -> Option<Finding> {
        let works = self.named().any(|(_, _, row)| row.puts() || row.can(O::Get));
        if works || self.folder.buckets.is_empty() {
            return None;
        }
        let buckets: Vec<&str> = self.folder.buckets.iter().map(Bucket::name).collect();
        let who: BTreeSet<&str> = self.named().map(|(_, actor, _)| actor.name.as_str()).collect();
        let who: Vec<&str> = who.into_iter().collect();
        Some(Finding::new(
            "authorises-nothing",
            Weight::Broken,
            format!(
                "together these policies authorise nothing: none of {} can put or get an object in {}. Every request needs S3's side and the key's side at once",
                who.join(", "),
                buckets.join(", ")
            ),
            "let the same principal have, for the same bucket, s3:PutObject with kms:GenerateDataKey (and kms:Decrypt for uploads in parts), or s3:GetObject with kms:Decrypt".to_owned(),
        ))
    }

    /// S3 allows what the key does not, or the other way round.
    fn two_sides(&self, bucket: &Bucket, actor: &Actor) -> Result<Vec<Finding>, Error> {
        if bucket.key.is_none() {
            return Ok(Vec::new());
        }
        let mut findings = Vec::new();
        let ways = [
            (O::Put, "put", "kms:GenerateDataKey", "no-data-key"),
            (O::Get, "get", "kms:Decrypt", "no-decrypt"),
        ];
        for (operation, verb, kms, id) in ways {
            let s3 = self.s3_allows(actor, bucket, operation)?;
            let refusal = self.access.refusal(actor, bucket, operation, true)?;
            match (s3, refusal) {
                (Some(blame), Some((_, decision))) => {
                    let other = self.crossed(actor, bucket, operation)?;
                    findings.push(self.lacking_key(
                        actor,
                        bucket,
                        (verb, kms, id),
                        &decision,
                        other,
                        blame,
                    ));
                }
                (None, None) if operation == O::Put && !self.is_crossed_at_all(actor)? => {
                    findings.push(self.lacking_s3(actor, bucket));
                }
                _ => {}
            }
        }
        Ok(findings)
    }

    fn lacking_key(
        &self,
        actor: &Actor,
        bucket: &Bucket,
        (verb, kms, id): (&str, &str, &'static str),
        decision: &Decision,
        other: Option<String>,
        blame: Blame,
    ) -> Finding {
        let (who, name) = (&actor.name, bucket.name());
        let key = self.key_name(bucket);
        let reason = decision.explain();
        let reason = reason.strip_prefix("denied: ").unwrap_or(&reason);
        match other {
            Some(other) => Finding::new(
                "crossed-directions",
                Weight::Broken,
                format!("{who} may {verb} objects of {name} as far as S3 is asked, but {kms} on the key of {name} ({key}) is denied: {reason}. The key that lets it do so is that of {other}, where S3 does not: the directions of buckets and keys are crossed, so the request fails"),
                format!("give {who} both sides of the same lane: either {verb} on {other}, or {kms} on the key of {name}"),
            ),
            None => Finding::new(
                id,
                Weight::Broken,
                format!("{who} may {verb} objects of {name} as far as S3 is asked, but S3 then asks the bucket's key ({key}) for {kms} in its name, and that is denied: {reason}"),
                format!("allow {who} {kms} in the key policy, and across accounts in its identity policy too; kms:Encrypt does not help, S3 never calls it"),
            ),
        }
        .blaming(blame)
    }

    fn lacking_s3(&self, actor: &Actor, bucket: &Bucket) -> Finding {
        let (who, name) = (&actor.name, bucket.name());
        let finding = Finding::new(
            "no-s3",
            Weight::Broken,
            format!(
                "the key of {name} lets {who} make data keys, but no policy lets it put objects into {name}"
            ),
            format!(
                "allow {who} s3:PutObject on arn:aws:s3:::{name}/* (bucket policy, or its identity policy within one account), or take the key from it"
            ),
        );
        finding.blaming((self.key_file(bucket), None))
    }

    /// The other bucket for whose key the actor has what it lacks here, and where S3 refuses it.
    fn crossed(&self, actor: &Actor, here: &Bucket, op: O) -> Result<Option<String>, Error> {
        for other in &self.folder.buckets {
            let other_key = other.key.is_some() && other.key != here.key;
            if other_key
                && self.access.refusal(actor, other, op, true)?.is_none()
                && self.s3_allows(actor, other, op)?.is_none()
            {
                return Ok(Some(other.name().to_owned()));
            }
        }
        Ok(None)
    }

    fn is_crossed_at_all(&self, actor: &Actor) -> Result<bool, Error> {
        for bucket in self.folder.buckets.iter().filter(|bucket| bucket.key.is_some()) {
            let s3 = self.s3_allows(actor, bucket, O::Put)?.is_some();
            if s3 && self.access.refusal(actor, bucket, O::Put, true)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The statement by which S3's side allows an operation; `None` if it does not.
    fn s3_allows(&self, actor: &Actor, bucket: &Bucket, op: O) -> Result<Option<Blame>, Error> {
        let ways: &[O] = if op == O::Put { &[O::Put, O::PutConsignment] } else { &[op] };
        for way in ways {
            if self.access.refusal(actor, bucket, *way, false)?.is_none() {
                let calls = self.access.calls(bucket, *way, false);
                let Some(call) = calls.first() else { continue };
                let decision = self.access.decide(actor, bucket, call)?;
                return Ok(Some(self.blame(actor, bucket, false, &decision)));
            }
        }
        Ok(None)
    }

    /// The file and statement that decided.
    fn blame(&self, actor: &Actor, bucket: &Bucket, kms: bool, decision: &Decision) -> Blame {
        let Some(statement) = decision.decided_by.first() else { return (None, None) };
        let own = actor.arn.as_ref().and_then(|arn| self.folder.holders.get(arn));
        let accepted =
            |at: &&usize| self.folder.files.get(**at).is_some_and(|it| it.policy.is_ok());
        let file = match statement.layer {
            Layer::Identity => {
                own.and_then(|files| files.iter().filter(accepted).nth(statement.policy)).copied()
            }
            Layer::Resource if kms => {
                bucket.key.and_then(|at| self.folder.keys.get(at)).and_then(|key| key.file)
            }
            Layer::Resource => bucket.policy,
            _ => None,
        };
        let file = file.and_then(|at| self.folder.files.get(at));
        let written = file.and_then(|file| {
            file.statements().into_iter().find(|it| it.index == statement.statement)
        });
        (file.map(|file| file.name.clone()), written.map(|it| it.name()))
    }

    /// A bucket named after its direction that S3's side opens the other way round.
    fn direction(&self, bucket: &Bucket, actor: &Actor) -> Result<Option<Finding>, Error> {
        let name = bucket.name();
        let Some(arn) = &actor.arn else { return Ok(None) };
        let who = super::written::last_name(arn);
        let is =
            |way: &str| name == format!("{way}-{who}") || name.contains(&format!("-{way}-{who}-"));
        let (wrong, right, verb) = match (is("to"), is("from")) {
            (true, false) => (O::Put, O::Get, "receives"),
            (false, true) => (O::Get, O::Put, "sends"),
            _ => return Ok(None),
        };
        let (blame, right) =
            (self.s3_allows(actor, bucket, wrong)?, self.s3_allows(actor, bucket, right)?);
        let Some(blame) = blame.filter(|_| right.is_none()) else { return Ok(None) };
        Ok(Some(
            Finding::new(
                "direction-reversed",
                Weight::Broken,
                format!("by its name, {name} is where {who} {verb}; {} is allowed the opposite there", actor.name),
                "exchange the two buckets (and the two keys) in this document: put where it sends, get and list where it receives".to_owned(),
            )
            .blaming(blame),
        ))
    }

    /// A bucket that can only be written or only be read.
    fn one_sided(&self, bucket: &Bucket) -> Option<Finding> {
        let rows = || self.named().filter(|(it, _, _)| it.name() == bucket.name());
        let puts = rows().any(|(_, _, row)| row.puts());
        let gets = rows().any(|(_, _, row)| row.can(O::Get));
        let name = bucket.name();
        let (what, fix) = match (puts, gets) {
            (true, false) => ("can be put, and nobody can get it", "name the reader"),
            (false, true) => ("can be got, and nobody can put any", "name the writer"),
            _ => return None,
        };
        (!self.is_for_a_service(bucket)).then(|| {
            let words = format!("in {name} an object {what}");
            let fix = format!("{fix} in the bucket policy, the key policy and its identity policy");
            Finding::new("one-sided", Weight::Broken, words, fix)
        })
    }

    /// What a bucket policy should forbid to everybody.
    fn bucket(&self, bucket: &Bucket) -> Result<Vec<Finding>, Error> {
        let name = bucket.name();
        let Some(file) = bucket.policy.and_then(|at| self.folder.files.get(at)) else {
            return Ok(vec![Finding::new(
                "no-bucket-policy",
                Weight::Open,
                format!(
                    "{name} has no bucket policy: requests over plain HTTP are served, every writer may override the default encryption (AES256, another key, `aws:kms` without a key id, SSE-C), and whoever has an identity policy in its account that allows it gets in"
                ),
                format!(
                    "write one for {name}: deny plain HTTP, other encryption, overwriting, and everybody but its writer and readers; `consign init` and `consign plan` make such a pair"
                ),
            )]);
        };
        let mut findings = Vec::new();
        let mut add = |id, weight, words: String, fix: &str| {
            let finding = Finding::new(id, weight, words, fix.to_owned());
            findings.push(finding.in_document(&file.name));
        };
        let http = self.lets([O::GetPlainHttp, O::PutPlainHttp, O::List], bucket, true)?;
        if !http.is_empty() {
            add(
                "plain-http",
                Weight::Open,
                format!("{name} serves requests over plain HTTP: {}", http.join("; ")),
                "deny s3:* to everybody on the bucket and on its objects where aws:SecureTransport is \"false\" (Bool, one condition, nothing beside it)",
            );
        }
        if bucket.key.is_some() {
            let ways =
                [O::PutOtherEncryption, O::PutKmsWithoutKeyId, O::PutOtherKey, O::PutCustomerKey];
            let others = self.lets(ways, bucket, false)?;
            if !others.is_empty() {
                add(
                    "encryption-overridable",
                    Weight::Open,
                    format!(
                        "a request to {name} may override its default encryption: {}",
                        others.join("; ")
                    ),
                    "deny s3:PutObject where the encryption header is present and is not aws:kms, where a key id is present and is not the bucket's, where aws:kms comes without a key id, and where a customer's key is sent (StringNotEquals together with Null \"false\", not …IfExists)",
                );
            }
        }
        let named = self.named().filter(|(it, _, row)| it.name() == name && row.can(O::Overwrite));
        let writers: Vec<&str> = named.map(|(_, actor, _)| actor.name.as_str()).collect();
        if !writers.is_empty() {
            add(
                "overwrite",
                Weight::Advice,
                format!("{} can overwrite what was delivered in {name}", writers.join(", ")),
                "deny s3:PutObject where s3:if-none-match is absent and s3:ObjectCreationOperation is \"true\"; keep versions",
            );
        }
        Ok(findings)
    }

    /// Who gets what S3's side should deny to everybody; with `http` over plain HTTP.
    fn lets<const N: usize>(
        &self,
        operations: [O; N],
        bucket: &Bucket,
        http: bool,
    ) -> Result<Vec<String>, Error> {
        let mut lets = Vec::new();
        for operation in operations {
            for actor in &self.access.actors {
                let calls = self.access.calls(bucket, operation, false);
                let mut allowed = !calls.is_empty();
                for call in calls {
                    let call = if http { call.plain_http() } else { call };
                    allowed &= self.access.decide(actor, bucket, &call)?.is_allowed();
                }
                if allowed {
                    let what = if http && operation == O::List {
                        "list over plain HTTP".to_owned()
                    } else {
                        operation.to_string()
                    };
                    lets.push(format!("{} can {what}", actor.name));
                    break;
                }
            }
        }
        Ok(lets)
    }

    /// What a key policy should not leave open, and should not close.
    fn key(&self, bucket: &Bucket) -> Result<Vec<Finding>, Error> {
        let Some(key) = bucket.key.and_then(|at| self.folder.keys.get(at)) else {
            return Ok(Vec::new());
        };
        // A key of several buckets is looked at once.
        if self.folder.buckets.iter().find(|it| it.key == bucket.key).map(Bucket::name)
            != Some(bucket.name())
        {
            return Ok(Vec::new());
        }
        let arn = &key.arn;
        let file = self.key_file(bucket);
        let mut findings = Vec::new();
        let mut add = |id, weight, words: String, fix: &str, blame: Blame| {
            findings.push(Finding::new(id, weight, words, fix.to_owned()).blaming(blame));
        };
        if self.who(bucket, O::ChangeKeyPolicy)?.is_none() {
            add(
                "unmanageable-key",
                Weight::Broken,
                format!(
                    "nobody, not even the account's root, may ever change the policy of {arn}, disable it or delete it: a key trusts its account only where its policy says so"
                ),
                "add a statement that allows arn:aws:iam::ACCOUNT:root the administrative actions (kms:PutKeyPolicy, kms:DescribeKey, kms:ScheduleKeyDeletion, …), but not kms:Decrypt",
                (file.clone(), None),
            );
        }
        let direct = self.who(bucket, O::DecryptDirectly)?.map(|it| (it, "kms:Decrypt"));
        let direct = match direct {
            Some(direct) => Some(direct),
            None => self.who(bucket, O::MakeDataKeyDirectly)?.map(|it| (it, "kms:GenerateDataKey")),
        };
        if let Some(((who, blame), action)) = direct {
            add(
                "direct-key-use",
                Weight::Open,
                format!("{who} can call {action} on {arn} directly, not only through S3"),
                "add the condition StringEquals kms:ViaService s3.REGION.amazonaws.com to each Allow, and a Deny with StringNotEquals for everybody",
                blame,
            );
        }
        if let Some((who, blame)) = self.who(bucket, O::UseKeyElsewhere)? {
            add(
                "key-for-any-bucket",
                Weight::Open,
                format!(
                    "{who} can have {arn} decrypt for any bucket: nothing ties the key to its own"
                ),
                "add the condition StringLike kms:EncryptionContext:aws:s3:arn with the bucket's ARN and the ARN of its objects (bucket keys use the one, other objects the other)",
                blame,
            );
        }
        Ok(findings)
    }

    /// The first who can do something with the key of a bucket, and the statement that lets him.
    fn who(&self, bucket: &Bucket, op: O) -> Result<Option<(String, Blame)>, Error> {
        for actor in &self.access.actors {
            let calls = self.access.calls(bucket, op, true);
            let Some(call) = calls.first() else { continue };
            let decision = self.access.decide(actor, bucket, call)?;
            if decision.is_allowed() {
                let mut blame = self.blame(actor, bucket, true, &decision);
                blame.0 = blame.0.or_else(|| self.key_file(bucket));
                return Ok(Some((actor.name.clone(), blame)));
            }
        }
        Ok(None)
    }

    /// Administrators, strangers and everybody, on data.
    fn outsiders(&self, bucket: &Bucket) -> Vec<Finding> {
        let mut strangers = Vec::new();
        let mut administrators = Vec::new();
        for (it, actor, row) in self.access.each() {
            if it.name() != bucket.name() || actor.is_named() {
                continue;
            }
            let mut can = Vec::new();
            can.extend(row.puts().then_some("put"));
            can.extend(row.can(O::Get).then_some("get"));
            can.extend(row.can(O::List).then_some("list"));
            if can.is_empty() {
                continue;
            }
            let is_foreign = match &actor.principal {
                Principal::Anonymous => true,
                principal => principal.account() == Some(crate::matrix::STRANGER),
            };
            let list = if is_foreign { &mut strangers } else { &mut administrators };
            list.push(format!("{} can {}", actor.name, can.join(", ")));
        }
        let file = bucket.policy.and_then(|at| self.folder.files.get(at));
        let finding = |id, weight, who: Vec<String>, fix: &str| {
            (!who.is_empty()).then(|| {
                let words = format!("in {}: {}", bucket.name(), who.join("; "));
                Finding::new(id, weight, words, fix.to_owned())
                    .blaming((file.map(|file| file.name.clone()), None))
            })
        };
        // Logs and the like are there for their account to read.
        let weight = if self.is_for_a_service(bucket) { Weight::Advice } else { Weight::Open };
        let public = finding(
            "public",
            Weight::Open,
            strangers,
            "name principals instead of everybody, and block public access",
        );
        let within = finding(
            "administrators-in",
            weight,
            administrators,
            "deny data to everybody whose aws:PrincipalArn is not a party of the lane, in the bucket policy and in the key policy",
        );
        public.into_iter().chain(within).collect()
    }

    /// Whether its policy lets a service write, as that of a bucket for logs does.
    fn is_for_a_service(&self, bucket: &Bucket) -> bool {
        let policy = bucket.policy.and_then(|at| self.folder.files.get(at));
        policy.is_some_and(|file| {
            let statements = file.statements();
            let mut named = statements.iter().flat_map(|it| it.principals());
            named.any(|name| name.ends_with(".amazonaws.com"))
        })
    }

    fn key_file(&self, bucket: &Bucket) -> Option<String> {
        let key = bucket.key.and_then(|at| self.folder.keys.get(at))?;
        key.file.and_then(|at| self.folder.files.get(at)).map(|file| file.name.clone())
    }

    fn key_name(&self, bucket: &Bucket) -> String {
        let arn = bucket.key.and_then(|at| self.folder.keys.get(at)).map(|key| key.arn.to_string());
        self.key_file(bucket).or(arn).unwrap_or_default()
    }
}

fn no_multipart(bucket: &Bucket, actor: &Actor, row: &Reach) -> Option<Finding> {
    (bucket.key.is_some() && row.puts() && !row.puts_in_parts()).then(|| {
        Finding::new(
            "no-multipart",
            Weight::Advice,
            format!("{} can put single objects into {}, but no upload in parts: each part needs kms:Decrypt on the bucket's key. The AWS CLI uploads in parts from 8 MiB on", actor.name, bucket.name()),
            "allow the writer kms:Decrypt too, held to S3 and to this bucket by conditions; or keep it so, and send at most 5 GiB in one put".to_owned(),
        )
    })
}

fn users(access: &Access<'_>) -> Option<Finding> {
    let users = access
        .actors
        .iter()
        .filter(|actor| actor.arn.as_ref().is_some_and(|arn| arn.contains(":user/")));
    let users: Vec<&str> = users.map(|actor| actor.name.as_str()).collect();
    (!users.is_empty()).then(|| {
        Finding::new(
            "iam-users",
            Weight::Advice,
            format!(
                "{}: users have access keys that live until somebody remembers them",
                users.join(", ")
            ),
            "let each organisation use a role in an account of its own".to_owned(),
        )
    })
}

/// The kinds of document that hold an Allow for data.
pub(super) fn grants_data(kind: &Kind) -> bool {
    matches!(kind, Kind::Bucket(_) | Kind::Key | Kind::Identity)
}
