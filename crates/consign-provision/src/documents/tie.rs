//! What belongs together: the key of a bucket, the policy of a key, the principal of an identity
//! policy. Told by the person first, then by what the documents say of each other, then by file
//! names, then because nothing else is left; what remains open is asked, all at once.

use super::findings::grants_data;
use super::read::{File, Kind};
use super::readings::used_together;
use super::written::{account_of, bucket_of, is_account, is_key_arn, last_name};
use super::{Bucket, Folder, Hints, Key};
use crate::desired::{DesiredLane, DesiredParty, Holder, KeyArn};
use crate::error::{Error, ErrorKind};
use crate::stage::Stage;
use consign_iam::{Policy, PolicyKind};
use consign_model::{AccountId, AtRest, BucketName, ExchangeName, LaneName, PartyName, Region};
use std::collections::{BTreeMap, BTreeSet};

const SSE_KEY: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
const SSE_CUSTOMER: &str = "s3:x-amz-server-side-encryption-customer-algorithm";
const CONTEXT_ARN: &str = "kms:EncryptionContext:aws:s3:arn";
const NO_KEY: &str = "none";

/// Ties the files of a folder together, or asks for what cannot be told.
pub(super) fn tie(files: Vec<File>, hints: &Hints) -> Result<Folder, Error> {
    check(&files, hints)?;
    let mut open = Vec::new();
    let names = bucket_names(&files, hints);
    let keys = KeyTies::of(&files, &names, hints, &mut open);
    let holders = holders(&files, hints, &mut open);
    let mut buckets = Vec::new();
    for name in &names {
        let key = keys.of_bucket.get(name.as_str());
        match owner(name, key, &files, hints, &holders) {
            Some(account) => buckets.push((name, account)),
            None => open.push(Open {
                what: format!("which account owns the bucket {name}"),
                tell: format!("--bucket {name}=ACCOUNT"),
            }),
        }
    }
    if !open.is_empty() {
        return Err(asked(&open));
    }
    let mut notes = keys.notes.clone();
    let keys_made = keys.keys(&files, &mut notes)?;
    let buckets = buckets
        .into_iter()
        .map(|(name, account)| {
            let policy = files.iter().position(|file| file.kind == Kind::Bucket(name.clone()));
            let arn = keys.of_bucket.get(name.as_str());
            let key = arn.and_then(|arn| keys_made.iter().position(|key| key.arn.as_str() == arn));
            let region = region(arn, &files);
            Ok(Bucket {
                lane: lane(
                    name,
                    &account,
                    &region,
                    &prefix(name, &files),
                    at_rest(policy, key.is_some(), &files),
                )?,
                policy,
                key,
            })
        })
        .collect::<Result<_, Error>>()?;
    let unknown = holders.iter().filter(|(_, files)| files.is_empty()).map(|(arn, _)| arn.as_str());
    let unknown: Vec<&str> = unknown.collect();
    if !unknown.is_empty() {
        let given = if files.iter().any(|file| file.kind == Kind::Identity) {
            "none, because the folder has identity policies of others"
        } else {
            "ones that allow everything, because the folder has none at all"
        };
        notes.push(format!("identity policies of {}: taken to be {given}", unknown.join(", ")));
    }
    Ok(Folder { files, buckets, keys: keys_made, holders, notes })
}

/// Something the documents leave open, and how to tell it.
struct Open {
    what: String,
    tell: String,
}

fn asked(open: &[Open]) -> Error {
    let what: Vec<&str> = open.iter().map(|it| it.what.as_str()).collect();
    let tell: Vec<&str> = open.iter().map(|it| it.tell.as_str()).collect();
    Error::new(ErrorKind::Question, format!("the documents do not say {}", what.join("; nor ")))
        .with_hint(format!("tell it: {} (or in world.toml beside them)", tell.join(" ")))
}

fn check(files: &[File], hints: &Hints) -> Result<(), Error> {
    let wrong =
        |what: String, hint: &str| Err(Error::new(ErrorKind::Question, what).with_hint(hint));
    for (name, owner) in &hints.whose {
        let Some(file) = files.iter().find(|file| file.name == *name) else {
            let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
            return wrong(
                format!("--whose names {name}, which is not in the folder"),
                &format!("its documents are {}", names.join(", ")),
            );
        };
        let is_holder = owner.starts_with("arn:aws:iam::")
            && (owner.contains(":user/") || owner.contains(":role/"));
        let (fits, hint) = match file.kind {
            Kind::Key => (is_key_arn(owner), "a key policy belongs to the ARN of a key"),
            Kind::Identity => {
                (is_holder, "an identity policy belongs to the ARN of a user or role")
            }
            Kind::Bucket(_) => (is_account(owner), "of a bucket policy, tell the account"),
            _ => (false, "only bucket, key and identity policies have an owner to tell"),
        };
        if !fits {
            return wrong(format!("--whose {name}={owner} does not fit"), hint);
        }
    }
    for (bucket, key) in &hints.buckets {
        if !is_key_arn(key) && !is_account(key) && key != NO_KEY {
            return wrong(
                format!("--bucket {bucket}={key} is neither a key nor an account"),
                "--bucket NAME=arn:aws:kms:REGION:ACCOUNT:key/ID, NAME=ACCOUNT or NAME=none",
            );
        }
    }
    Ok(())
}

fn bucket_names(files: &[File], hints: &Hints) -> BTreeSet<String> {
    let own = files.iter().filter_map(|file| match &file.kind {
        Kind::Bucket(name) => Some(name.clone()),
        _ => None,
    });
    let named = files.iter().flat_map(|file| match file.kind {
        Kind::Identity => file
            .statements()
            .iter()
            .flat_map(|it| it.resources())
            .filter_map(bucket_of)
            .map(str::to_owned)
            .collect(),
        Kind::Key => context_buckets(file),
        _ => BTreeSet::new(),
    });
    own.chain(named).chain(hints.buckets.keys().cloned()).collect()
}

/// The buckets whose objects a key policy speaks of.
fn context_buckets(file: &File) -> BTreeSet<String> {
    let statements = file.statements();
    let arns = statements.iter().flat_map(|it| it.compared_with(CONTEXT_ARN));
    arns.filter_map(bucket_of).map(str::to_owned).collect()
}

/// Which key each bucket has, and which policy each key.
struct KeyTies {
    /// ARN by bucket name.
    of_bucket: BTreeMap<String, String>,
    /// File by ARN.
    files: BTreeMap<String, usize>,
    notes: Vec<String>,
}

impl KeyTies {
    fn of(
        files: &[File],
        names: &BTreeSet<String>,
        hints: &Hints,
        open: &mut Vec<Open>,
    ) -> KeyTies {
        let mut arns = file_arns(files, names, hints, open);
        let mut of_bucket: BTreeMap<String, String> = BTreeMap::new();
        let mut notes = Vec::new();
        for name in names {
            let told = hints.buckets.get(name).filter(|key| is_key_arn(key)).cloned();
            let arn = told.or_else(|| declared_key(name, files)).or_else(|| {
                let tied = arns.iter().filter(|(at, _)| {
                    files.get(**at).is_some_and(|file| speaks_of(file, name, files))
                });
                only(tied.map(|(_, arn)| arn.clone()))
            });
            let used = || {
                used_together(name, files).map(|(arn, file)| {
                    notes.push(format!(
                        "the bucket {name} is taken to be encrypted with {arn}, because {file} uses \
                         them together; --bucket {name}=KEY-ARN says otherwise"
                    ));
                    arn
                })
            };
            let none = hints.buckets.get(name).is_some_and(|told| told == NO_KEY);
            let arn = if none { None } else { arn.or_else(used) };
            of_bucket.extend(arn.map(|arn| (name.clone(), arn)));
        }
        let mut ties = KeyTies { of_bucket, files: BTreeMap::new(), notes };
        for (at, arn) in std::mem::take(&mut arns) {
            ties.files.insert(arn, at);
        }
        ties.settle(files, names, hints, open);
        ties
    }

    /// Ties what is left: one bucket and one key, or a bucket where no key is left.
    fn settle(
        &mut self,
        files: &[File],
        names: &BTreeSet<String>,
        hints: &Hints,
        open: &mut Vec<Open>,
    ) {
        let untold = |name: &&String| {
            !self.of_bucket.contains_key(*name)
                && hints.buckets.get(*name).is_none_or(|told| told != NO_KEY)
        };
        let untied: Vec<String> = names.iter().filter(untold).cloned().collect();
        let mut every: BTreeSet<String> = mentioned_keys(files);
        every.extend(self.files.keys().cloned());
        let used: BTreeSet<&String> = self.of_bucket.values().collect();
        let left: Vec<String> = every.iter().filter(|arn| !used.contains(arn)).cloned().collect();
        let without_arn = files.iter().filter(|it| it.kind == Kind::Key).count() > self.files.len();
        match (untied.as_slice(), left.as_slice()) {
            ([], _) => {}
            _ if without_arn || (left.len() > 1 || (left.len() == 1 && untied.len() > 1)) => {
                open.extend(untied.iter().map(|name| Open {
                    what: format!("which key encrypts the bucket {name}"),
                    tell: format!("--bucket {name}=KEY-ARN"),
                }));
            }
            ([name], [arn]) => {
                self.of_bucket.insert(name.clone(), arn.clone());
            }
            (many, _) => self.notes.push(format!(
                "no document ties a KMS key to {}: taken to be encrypted with S3's own keys",
                many.join(", ")
            )),
        }
    }

    fn keys(&self, files: &[File], notes: &mut Vec<String>) -> Result<Vec<Key>, Error> {
        let mut arns: BTreeSet<&String> = self.files.keys().collect();
        arns.extend(self.of_bucket.values());
        let key = |arn: &String| {
            let file = self.files.get(arn).copied();
            let policy = match file.and_then(|at| files.get(at)) {
                Some(file) => file.policies(),
                None => {
                    notes.push(format!(
                        "no policy of the key {arn}: taken to be KMS's default, which leaves everything to the identity policies of its account"
                    ));
                    vec![default_key_policy(arn)?]
                }
            };
            Ok(Key { arn: KeyArn::new(arn.clone()), file, policy })
        };
        arns.into_iter().map(key).collect()
    }
}

/// The ARN that each key policy belongs to.
fn file_arns(
    files: &[File],
    names: &BTreeSet<String>,
    hints: &Hints,
    open: &mut Vec<Open>,
) -> BTreeMap<usize, String> {
    let mut arns = BTreeMap::new();
    let keys = || files.iter().enumerate().filter(|(_, file)| file.kind == Kind::Key);
    for (at, file) in keys() {
        let buckets = names.iter().filter(|name| speaks_of(file, name, files));
        let of_buckets = buckets.filter_map(|name| {
            let told = hints.buckets.get(name).filter(|key| is_key_arn(key)).cloned();
            told.or_else(|| declared_key(name, files))
        });
        let told = hints.whose.get(&file.name).cloned();
        if let Some(arn) = told.or_else(|| only(of_buckets)) {
            arns.insert(at, arn);
        }
    }
    let mut mentioned = mentioned_keys(files);
    mentioned.extend(hints.buckets.values().filter(|key| is_key_arn(key)).cloned());
    let taken: BTreeSet<&String> = arns.values().collect();
    let left: Vec<String> = mentioned.into_iter().filter(|arn| !taken.contains(arn)).collect();
    let untied: Vec<(usize, &File)> = keys().filter(|(at, _)| !arns.contains_key(at)).collect();
    match (untied.as_slice(), left.as_slice()) {
        ([], _) => {}
        ([(at, _)], [arn]) => {
            arns.insert(*at, arn.clone());
        }
        // No document names the key: any id will do, for nothing compares it.
        (untied, []) => arns.extend(untied.iter().map(|(at, file)| (*at, stand_in(file)))),
        (untied, _) => open.extend(untied.iter().map(|(_, file)| Open {
            what: format!("which key {} is the policy of", file.name),
            tell: format!("--whose {}=KEY-ARN", file.name),
        })),
    }
    arns
}

/// Whether a key policy is about a bucket, by what it says or by its name.
fn speaks_of(file: &File, bucket: &str, files: &[File]) -> bool {
    if file.kind != Kind::Key {
        return false;
    }
    let about = context_buckets(file);
    if !about.is_empty() {
        return about.contains(bucket);
    }
    let policies = files.iter().filter(|it| it.kind == Kind::Bucket(bucket.to_owned()));
    let mut names = policies.map(File::of_what).chain([bucket]);
    names.any(|name| name == file.of_what())
}

/// The one key that a bucket's own policy insists on.
fn declared_key(bucket: &str, files: &[File]) -> Option<String> {
    let file = files.iter().find(|file| file.kind == Kind::Bucket(bucket.to_owned()))?;
    let statements = file.statements();
    let keys = statements.iter().flat_map(|it| it.compared_with(SSE_KEY));
    only(keys.filter(|key| is_key_arn(key)).map(str::to_owned))
}

pub(super) fn mentioned_keys(files: &[File]) -> BTreeSet<String> {
    let identities = files.iter().filter(|file| file.kind == Kind::Identity);
    let in_identities = identities.flat_map(|file| file.statements());
    let resources = in_identities.flat_map(|it| it.resources()).filter(|arn| is_key_arn(arn));
    let buckets = files.iter().filter(|file| matches!(file.kind, Kind::Bucket(_)));
    let in_buckets = buckets.flat_map(|file| file.statements());
    let conditions =
        in_buckets.flat_map(|it| it.compared_with(SSE_KEY)).filter(|it| is_key_arn(it));
    resources.chain(conditions).map(str::to_owned).collect()
}

fn only<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: BTreeSet<T> = values.collect();
    if values.len() == 1 { values.pop_first() } else { None }
}

fn stand_in(file: &File) -> String {
    let statements = file.statements();
    let principals = statements.iter().flat_map(|it| it.principals());
    let root = principals.clone().find(|it| it.ends_with(":root")).and_then(account_of);
    let account = root.or_else(|| principals.clone().find_map(account_of));
    let account = account.unwrap_or("000000000000");
    format!("arn:aws:kms:{}:{account}:key/of-{}", service_region(file), file.of_what())
}

fn service_region(file: &File) -> String {
    let statements = file.statements();
    let mut services = statements.iter().flat_map(|it| it.compared_with("kms:ViaService"));
    let region = services.find_map(|it| it.strip_prefix("s3.")?.strip_suffix(".amazonaws.com"));
    region.unwrap_or("us-east-1").to_owned()
}

fn region(key: Option<&String>, files: &[File]) -> String {
    let of_key = key.and_then(|arn| arn.split(':').nth(3)).map(str::to_owned);
    of_key.unwrap_or_else(|| {
        let mut keys = files.iter().filter(|file| file.kind != Kind::Queue).map(service_region);
        keys.find(|region| region != "us-east-1").unwrap_or_else(|| "us-east-1".to_owned())
    })
}

fn default_key_policy(arn: &str) -> Result<Policy, Error> {
    let account = account_of(arn).unwrap_or("000000000000");
    let text = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "EnableIamUserPermissions", "Effect": "Allow", "Action": "kms:*", "Resource": "*",
            "Principal": {"AWS": format!("arn:aws:iam::{account}:root")},
        }],
    });
    Policy::parse_as(PolicyKind::Key, &text.to_string()).map_err(|refusal| {
        Error::new(ErrorKind::Question, format!("{arn} is no key")).with_source(refusal)
    })
}

fn owner(
    bucket: &str,
    key: Option<&String>,
    files: &[File],
    hints: &Hints,
    holders: &BTreeMap<String, Vec<usize>>,
) -> Option<String> {
    let told = hints.buckets.get(bucket).filter(|it| is_account(it)).cloned();
    let of_file = || {
        let file = files.iter().find(|file| file.kind == Kind::Bucket(bucket.to_owned()))?;
        hints.whose.get(&file.name).cloned()
    };
    // Account-regional names carry their account: name-ACCOUNT-REGION-an.
    let in_name = || bucket.split('-').find(|part| is_account(part)).map(str::to_owned);
    let of_key = || key.and_then(|arn| account_of(arn)).map(str::to_owned);
    let of_all = || only(holders.keys().filter_map(|arn| account_of(arn)).map(str::to_owned));
    told.or_else(of_file).or_else(in_name).or_else(of_key).or_else(of_all)
}

/// Everybody that the documents name, with the identity policies that are theirs.
fn holders(files: &[File], hints: &Hints, open: &mut Vec<Open>) -> BTreeMap<String, Vec<usize>> {
    let mut holders: BTreeMap<String, Vec<usize>> =
        named_holders(files).into_iter().map(|arn| (arn, Vec::new())).collect();
    let identities = || files.iter().enumerate().filter(|(_, file)| file.kind == Kind::Identity);
    let mut untied = Vec::new();
    for (at, file) in identities() {
        let candidates: Vec<&String> = holders.keys().collect();
        let told = hints.whose.get(&file.name).cloned();
        let found = || by_name_or_content(file, files, &candidates);
        match told.or_else(found) {
            Some(arn) => holders.entry(arn).or_default().push(at),
            None => untied.push(at),
        }
    }
    let left: Vec<String> =
        holders.iter().filter(|(_, files)| files.is_empty()).map(|(arn, _)| arn.clone()).collect();
    match (untied.as_slice(), left.as_slice()) {
        ([at], [arn]) => holders.entry(arn.clone()).or_default().push(*at),
        (untied, _) => {
            for file in untied.iter().filter_map(|at| files.get(*at)) {
                let candidates = if left.is_empty() {
                    String::new()
                } else {
                    format!(" (perhaps {})", left.join(" or "))
                };
                open.push(Open {
                    what: format!("who has the policy {}{candidates}", file.name),
                    tell: format!("--whose {}=arn:aws:iam::ACCOUNT:user/NAME", file.name),
                });
            }
        }
    }
    holders
}

/// The users and roles that resource policies name.
fn named_holders(files: &[File]) -> BTreeSet<String> {
    let resource = files.iter().filter(|file| {
        matches!(file.kind, Kind::Bucket(_) | Kind::Key | Kind::Queue | Kind::Trust)
    });
    let statements = resource.flat_map(|file| file.statements());
    let names = statements.flat_map(|statement| {
        let in_conditions = statement.compared_with("aws:PrincipalArn");
        statement.principals().into_iter().chain(in_conditions)
    });
    names
        .filter(|name| name.starts_with("arn:aws:iam::") && !name.contains(['*', '?', '$']))
        .filter(|name| name.contains(":user/") || name.contains(":role/"))
        .map(str::to_owned)
        .collect()
}

/// The holder that a file is called after (by the whole of his name, or by a word that is one), or
/// whom the bucket policies allow what the file allows, or whose name shares a word with the file's.
fn by_name_or_content(file: &File, files: &[File], holders: &[&String]) -> Option<String> {
    let what = file.of_what();
    let words: Vec<&str> = what.split(['-', '_', '.']).collect();
    let whole = || holders.iter().filter(|arn| last_name(arn) == what);
    let word = || holders.iter().filter(|arn| words.contains(&last_name(arn)));
    let allowed = data_allowed(file, None);
    let buckets = || files.iter().filter(|file| matches!(file.kind, Kind::Bucket(_)));
    let content = || {
        holders.iter().filter(|arn| {
            let by_buckets: BTreeSet<_> =
                buckets().flat_map(|file| data_allowed(file, Some(arn.as_str()))).collect();
            !allowed.is_empty() && by_buckets == allowed
        })
    };
    let part = || {
        holders
            .iter()
            .filter(|arn| last_name(arn).split(['-', '_', '.']).any(|it| words.contains(&it)))
    };
    only(whole())
        .or_else(|| only(word()))
        .or_else(|| only(content()))
        .or_else(|| only(part()))
        .map(|arn| (*arn).clone())
}

/// Which buckets a document allows to put to and to get from; of a bucket policy, to this holder.
fn data_allowed(file: &File, holder: Option<&str>) -> BTreeSet<(String, &'static str)> {
    let mut allowed = BTreeSet::new();
    for statement in file.statements() {
        let is_meant = holder.is_none_or(|arn| statement.principals().contains(&arn));
        if !statement.allows() || !is_meant {
            continue;
        }
        for bucket in statement.resources().into_iter().filter_map(bucket_of) {
            for action in ["s3:PutObject", "s3:GetObject"] {
                if statement.names_action(action) {
                    allowed.insert((bucket.to_owned(), action));
                }
            }
        }
    }
    allowed
}

/// How a bucket encrypts: with its key; with the customer's where its policy insists on that.
fn at_rest(policy: Option<usize>, has_key: bool, files: &[File]) -> AtRest {
    let statements = policy.and_then(|at| files.get(at)).map(File::statements).unwrap_or_default();
    let insists = statements
        .iter()
        .any(|it| !it.allows() && it.requires_absent(SSE_CUSTOMER) && it.conditions().len() == 1);
    match (has_key, insists) {
        (true, _) => AtRest::SseKms,
        (false, true) => AtRest::SseC,
        (false, false) => AtRest::SseS3,
    }
}

/// What every object that the documents allow to be put or got begins with, where that is one thing.
fn prefix(bucket: &str, files: &[File]) -> String {
    let statements = files.iter().filter(|file| grants_data(&file.kind)).flat_map(File::statements);
    let data = statements.filter(|it| {
        it.allows() && (it.names_action("s3:PutObject") || it.names_action("s3:GetObject"))
    });
    let start = format!("arn:aws:s3:::{bucket}/");
    let prefixes = data.flat_map(|it| it.resources()).filter_map(|arn| arn.strip_prefix(&start));
    let prefixes = prefixes.map(|rest| rest.strip_suffix('*').unwrap_or(rest));
    let prefixes: BTreeSet<&str> = prefixes.filter(|it| !it.contains(['*', '?', '$'])).collect();
    // Some may be allowed more narrowly, as in a folder of it.
    let widest =
        prefixes.first().filter(|widest| prefixes.iter().all(|it| it.starts_with(**widest)));
    widest.copied().unwrap_or_default().to_owned()
}

fn lane(
    name: &str,
    account: &str,
    region: &str,
    prefix: &str,
    at_rest: AtRest,
) -> Result<DesiredLane, Error> {
    let fault = |e: consign_model::Error| {
        Error::new(ErrorKind::Question, format!("the bucket {name} cannot be")).with_source(e)
    };
    let party = PartyName::parse("nobody").map_err(fault)?;
    let owner = AccountId::parse(account).map_err(fault)?;
    Ok(DesiredLane {
        exchange: ExchangeName::parse("folder").map_err(fault)?,
        name: LaneName::parse("folder").map_err(fault)?,
        region: Region::parse(region).map_err(fault)?,
        owner: owner.clone(),
        owner_party: party.clone(),
        key_owner: owner.clone(),
        key_owner_party: party.clone(),
        bucket: BucketName::parse(name).map_err(fault)?,
        prefix: prefix.to_owned(),
        at_rest,
        asks_kms: false,
        multipart: true,
        write_once: false,
        expire_days: 0,
        each: None,
        writer: Holder { party, account: owner, arn: String::new() },
        readers: Vec::new(),
        key_alias: String::new(),
        stage: Stage::Direct,
    })
}

/// The files that belong to a lane of an exchange.
#[derive(Debug, Default)]
pub(super) struct LaneFiles {
    pub(super) bucket: Option<usize>,
    pub(super) key: Option<usize>,
    pub(super) key_arn: Option<KeyArn>,
}

pub(super) fn lane_files(lane: &DesiredLane, files: &[File], hints: &Hints) -> LaneFiles {
    let (bucket_name, lane_name) = (lane.bucket.as_ref(), lane.name.as_ref());
    let of = |kind: &dyn Fn(&Kind) -> bool, fits: &dyn Fn(&File) -> bool| {
        files.iter().position(|file| kind(&file.kind) && fits(file))
    };
    let is_bucket = |kind: &Kind| matches!(kind, Kind::Bucket(_));
    let bucket = of(&|kind| *kind == Kind::Bucket(bucket_name.to_owned()), &|_| true)
        .or_else(|| of(&is_bucket, &|file| file.of_what() == lane_name));
    let told = hints.buckets.get(bucket_name).filter(|key| is_key_arn(key)).cloned();
    let is_key = |kind: &Kind| *kind == Kind::Key;
    let key = of(&is_key, &|file| told.is_some() && hints.whose.get(&file.name) == told.as_ref())
        .or_else(|| of(&is_key, &|file| file.of_what() == lane_name))
        .or_else(|| of(&is_key, &|file| context_buckets(file).contains(bucket_name)));
    let of_file = key.and_then(|at| files.get(at)).and_then(|file| hints.whose.get(&file.name));
    let arn = told.or_else(|| of_file.cloned()).or_else(|| declared_key(bucket_name, files));
    LaneFiles { bucket, key, key_arn: arn.map(KeyArn::new) }
}

/// The identity policies of a party of an exchange.
pub(super) fn party_files(party: &DesiredParty, files: &[File], hints: &Hints) -> Vec<usize> {
    let identities = files.iter().enumerate().filter(|(_, file)| file.kind == Kind::Identity);
    let mine = identities.filter(|(_, file)| match hints.whose.get(&file.name) {
        Some(arn) => *arn == party.arn,
        None => {
            let what = file.of_what();
            what == party.name.as_ref() || what == last_name(&party.arn)
        }
    });
    mine.map(|(at, _)| at).collect()
}
