//! Callers in finitely many classes: members of one class match the same `Principal` elements,
//! because everybody whom a document names is in a class of its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::{Named, Principals};
use crate::principal::{Principal, account_of, last_name};
use crate::prove::world::statements;
use crate::prove::{Callers, Claim, Set};

/// A class of callers.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    /// How certificates call it.
    pub(crate) label: String,
    /// A member, by which `Principal` elements are matched.
    pub(crate) member: Principal,
    /// The values of `aws:PrincipalArn`, where it has any.
    pub(crate) arns: Option<Set>,
    /// The values of `aws:PrincipalAccount`, where it has any.
    pub(crate) accounts: Option<Set>,
    /// The names of the services, for services.
    pub(crate) services: Option<Set>,
    /// A role session takes this session's ARN; without one, a fresh one.
    pub(crate) session: Option<String>,
}

impl Class {
    /// The one ARN of its members.
    pub(crate) fn only_arn(&self) -> Option<&str> {
        only(self.arns.as_ref()?)
    }

    pub(crate) fn only_account(&self) -> Option<&str> {
        only(self.accounts.as_ref()?)
    }

    /// The member with this ARN (or service name).
    pub(crate) fn with_arn(&self, value: &str) -> Principal {
        match &self.member {
            Principal::Root { account } => {
                Principal::Root { account: account_of(value).unwrap_or(account).to_owned() }
            }
            Principal::User { .. } => Principal::User { arn: value.to_owned() },
            Principal::RoleSession { session_arn, .. } => Principal::RoleSession {
                role_arn: value.to_owned(),
                session_arn: self.session.clone().or_else(|| {
                    let session = session_arn.as_deref().map_or("session", last_name);
                    Some(session_arn_of(value, session))
                }),
            },
            Principal::FederatedUser { user_arn, .. } => {
                Principal::FederatedUser { arn: value.to_owned(), user_arn: user_arn.clone() }
            }
            Principal::Service { .. } => Principal::Service { name: value.to_owned() },
            other => other.clone(),
        }
    }
}

fn only(set: &Set) -> Option<&str> {
    match set.including.as_slice() {
        [one] if set.except.is_empty() => one.as_exact(),
        _ => None,
    }
}

fn session_arn_of(role_arn: &str, session: &str) -> String {
    let partition = role_arn.split(':').nth(1).unwrap_or("aws");
    let account = account_of(role_arn).unwrap_or("");
    format!("arn:{partition}:sts::{account}:assumed-role/{}/{session}", last_name(role_arn))
}

/// Everybody whom the documents or the claim name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) accounts: BTreeSet<String>,
    users: BTreeSet<String>,
    roles: BTreeSet<String>,
    sessions: BTreeSet<String>,
    federated: BTreeSet<String>,
    services: BTreeSet<String>,
    partition: BTreeMap<String, String>,
}

impl Names {
    pub(crate) fn gather(claim: &Claim<'_>) -> Names {
        let mut names = Names::default();
        for placed in statements(&claim.world) {
            if let Principals::Named(named) | Principals::AllBut(named) =
                &placed.statement.principals
            {
                named.iter().for_each(|named| names.note(named));
            }
        }
        claim.world.grants.iter().for_each(|grant| names.note(grant.grantee()));
        names.accounts.insert(claim.region.resource_account.clone());
        match &claim.region.callers {
            Callers::One(principal) => names.note_principal(principal),
            Callers::Account { account, except } => {
                names.accounts.insert(account.clone());
                except.iter().for_each(|arn| names.note_arn(arn));
            }
            Callers::Strangers { accounts } => names.accounts.extend(accounts.iter().cloned()),
            Callers::Services { except } => names.services.extend(except.iter().cloned()),
            Callers::Anonymous => {}
        }
        names
    }

    fn note(&mut self, named: &Named) {
        match named {
            Named::Account(account) => {
                self.accounts.insert(account.clone());
            }
            Named::Service(name) => {
                self.services.insert(name.clone());
            }
            Named::Arn(arn) => self.note_arn(arn),
            Named::Everyone | Named::AnyService | Named::Federated(_) | Named::Nobody(_) => {}
        }
    }

    fn note_arn(&mut self, arn: &str) {
        if let Ok(principal) = Principal::from_arn(arn) {
            self.note_principal(&principal);
        }
    }

    fn note_principal(&mut self, principal: &Principal) {
        let Some(account) = principal.account() else {
            if let Principal::Service { name } = principal {
                self.services.insert(name.clone());
            }
            return;
        };
        self.accounts.insert(account.to_owned());
        if let Some(partition) = principal.arn().as_deref().and_then(|arn| arn.split(':').nth(1)) {
            self.partition.insert(account.to_owned(), partition.to_owned());
        }
        match principal {
            Principal::User { arn } => {
                self.users.insert(arn.clone());
            }
            Principal::RoleSession { role_arn, session_arn } => match session_arn {
                Some(session) => {
                    self.sessions.insert(session.clone());
                    if role_arn.matches('/').count() > 1 {
                        self.roles.insert(role_arn.clone());
                    }
                }
                None => {
                    self.roles.insert(role_arn.clone());
                }
            },
            Principal::FederatedUser { arn, user_arn } => {
                self.federated.insert(arn.clone());
                self.users.extend(user_arn.clone());
            }
            _ => {}
        }
    }

    fn partition(&self, account: &str) -> &str {
        let known = self.partition.get(account).or_else(|| self.partition.values().next());
        known.map_or("aws", String::as_str)
    }

    fn of<'n>(names: &'n BTreeSet<String>, account: &'n str) -> impl Iterator<Item = &'n String> {
        names.iter().filter(move |arn| account_of(arn) == Some(account))
    }

    /// A name that nobody has.
    fn fresh(&self, stem: &str) -> String {
        let all = [&self.users, &self.roles, &self.sessions, &self.federated, &self.services];
        let taken = |name: &str| {
            all.iter()
                .any(|names| names.iter().any(|arn| arn.split(['/', '.']).any(|part| part == name)))
        };
        let mut name = stem.to_owned();
        while taken(&name) {
            name.push('x');
        }
        name
    }

    /// Roles that a caller known as `named` may be: with the path and, where unknown, without it.
    fn forms(role_arn: &str) -> Vec<String> {
        let pathless = role_arn
            .split_once(":role/")
            .map(|(account, _)| format!("{account}:role/{}", last_name(role_arn)));
        let mut forms = vec![role_arn.to_owned()];
        forms.extend(pathless.filter(|form| form != role_arn));
        forms
    }
}

/// The classes of a claim's callers. Together they cover all of them.
pub(crate) fn classes(callers: &Callers, names: &Names) -> Vec<Class> {
    match callers {
        Callers::One(principal) => one(principal, names),
        Callers::Account { account, except } => of_account(account, except, names),
        Callers::Strangers { accounts } => {
            let named = names.accounts.iter().filter(|account| !accounts.contains(account));
            named
                .flat_map(|account| of_account(account, &[], names))
                .chain(unnamed_account(names))
                .collect()
        }
        Callers::Anonymous => vec![outside(Principal::Anonymous)],
        Callers::Services { except } => services(except, names),
    }
}

fn outside(member: Principal) -> Class {
    let services = match &member {
        Principal::Service { name } => Some(Set::of([name.as_str()])),
        _ => None,
    };
    let label = member.to_string();
    Class { label, member, arns: None, accounts: None, services, session: None }
}

fn services(except: &[String], names: &Names) -> Vec<Class> {
    let named = names.services.iter().filter(|name| !except.contains(name));
    let mut classes: Vec<Class> =
        named.map(|name| outside(Principal::Service { name: name.clone() })).collect();
    let other = format!("{}.amazonaws.com", names.fresh("another-service"));
    let mut class = outside(Principal::Service { name: other });
    class.label = "another service".to_owned();
    class.services =
        Some(Set::of(["?*.amazonaws.com"]).but(names.services.iter().map(String::as_str)));
    classes.push(class);
    classes
}

fn member(label: String, member: Principal) -> Class {
    let arn = member.arn().unwrap_or_default();
    let session = match &member {
        Principal::RoleSession { session_arn, .. } => session_arn.clone(),
        _ => None,
    };
    let accounts = member.account().map(|account| Set::of([account]));
    Class { label, arns: Some(Set::of([arn.as_str()])), accounts, member, services: None, session }
}

fn role(role_arn: &str, session: Option<&str>, names: &Names) -> Class {
    let fresh = names.fresh("session");
    let arn = session.map_or_else(|| session_arn_of(role_arn, &fresh), str::to_owned);
    let principal =
        Principal::RoleSession { role_arn: role_arn.to_owned(), session_arn: Some(arn.clone()) };
    match session {
        Some(session) => member(format!("{role_arn} as {session}"), principal),
        None => {
            Class { session: None, ..member(format!("{role_arn} in any other session"), principal) }
        }
    }
}

fn one(principal: &Principal, names: &Names) -> Vec<Class> {
    match principal {
        Principal::RoleSession { role_arn, session_arn: None } => {
            role_sessions(role_arn, &[], names)
        }
        Principal::RoleSession { role_arn, session_arn: Some(session) } => {
            vec![role(role_arn, Some(session), names)]
        }
        Principal::Anonymous | Principal::Service { .. } | Principal::Federated { .. } => {
            vec![outside(principal.clone())]
        }
        Principal::FederatedUser { arn, user_arn: None } => federated(arn, names),
        _ => vec![member(principal.to_string(), principal.clone())],
    }
}

/// Sessions that are named, and any other.
fn role_sessions(role_arn: &str, except: &[String], names: &Names) -> Vec<Class> {
    let account = account_of(role_arn).unwrap_or("");
    let own = Names::of(&names.sessions, account).filter(|session| {
        session_role(session) == last_name(role_arn) && !except.contains(session)
    });
    own.map(|session| role(role_arn, Some(session), names))
        .chain([role(role_arn, None, names)])
        .collect()
}

fn session_role(session_arn: &str) -> &str {
    session_arn.split('/').nth(1).unwrap_or("")
}

/// A federated user's session may be that of any user.
fn federated(arn: &str, names: &Names) -> Vec<Class> {
    let account = account_of(arn).unwrap_or("");
    let users = Names::of(&names.users, account).map(Some).chain([None]);
    users
        .map(|user| {
            let by = user.map_or(String::new(), |user| format!(" by {user}"));
            let principal =
                Principal::FederatedUser { arn: arn.to_owned(), user_arn: user.cloned() };
            member(format!("{arn}{by}"), principal)
        })
        .collect()
}

fn of_account(account: &str, except: &[String], names: &Names) -> Vec<Class> {
    let partition = names.partition(account);
    let iam = format!("arn:{partition}:iam::{account}");
    let mut classes = Vec::new();
    let root = format!("{iam}:root");
    if !except.iter().any(|arn| *arn == root || arn == account) {
        let principal = Principal::Root { account: account.to_owned() };
        let mut class = member(principal.to_string(), principal);
        class.arns = Some(Set::of([root.as_str()]));
        classes.push(class);
    }
    let users: Vec<&String> = Names::of(&names.users, account).collect();
    for arn in users.iter().filter(|arn| !except.contains(arn)) {
        classes.push(member((*arn).clone(), Principal::User { arn: (*arn).clone() }));
    }
    let roles: Vec<&String> = Names::of(&names.roles, account).collect();
    for arn in roles.iter().filter(|arn| !except.contains(arn)) {
        classes.extend(role_sessions(arn, except, names));
    }
    classes.extend(sessions_elsewhere(&iam, account, except, names));
    let feds: Vec<&String> = Names::of(&names.federated, account).collect();
    for arn in feds.iter().filter(|arn| !except.contains(arn)) {
        classes.extend(federated(arn, names));
    }
    classes.extend(others(&iam, account, names));
    classes
}

/// Sessions that are named while their role is not, wherever its path leads.
fn sessions_elsewhere(iam: &str, account: &str, except: &[String], names: &Names) -> Vec<Class> {
    let sessions = Names::of(&names.sessions, account).filter(|session| !except.contains(session));
    sessions
        .map(|session| {
            let name = session_role(session);
            let path = names.fresh("elsewhere");
            let mut class = role(&format!("{iam}:role/{path}/{name}"), Some(session), names);
            let named = names.roles.iter().flat_map(|role| Names::forms(role)).collect::<Vec<_>>();
            class.label = format!("{iam}:role/…/{name} as {session}");
            class.arns = Some(
                Set::of([
                    format!("{iam}:role/{name}").as_str(),
                    format!("{iam}:role/?*/{name}").as_str(),
                ])
                .but(named.iter().map(String::as_str)),
            );
            class
        })
        .collect()
}

/// Those of an account whom nobody names.
fn others(iam: &str, account: &str, names: &Names) -> Vec<Class> {
    let roles: Vec<String> = names.roles.iter().flat_map(|role| Names::forms(role)).collect();
    let mut classes = Vec::new();
    let mut push = |label: String, principal: Principal, pattern: String, except: Vec<&str>| {
        let mut class = member(label, principal);
        class.arns = Some(Set::of([pattern.as_str()]).but(except));
        class.session = None;
        classes.push(class);
    };
    let user = format!("{iam}:user/{}", names.fresh("another-user"));
    let users: Vec<&str> = names.users.iter().map(String::as_str).collect();
    push(
        format!("another user of {account}"),
        Principal::User { arn: user },
        format!("{iam}:user/?*"),
        users,
    );
    let session = names.fresh("session");
    let plain = format!("{iam}:role/{}", names.fresh("another-role"));
    let linked = format!("{iam}:role/aws-service-role/{}", names.fresh("another-role"));
    let links = format!("{iam}:role/aws-service-role/*");
    let role = |arn: &str| Principal::RoleSession {
        role_arn: arn.to_owned(),
        session_arn: Some(session_arn_of(arn, &session)),
    };
    let named = || roles.iter().map(String::as_str);
    push(
        format!("another role of {account}"),
        role(&plain),
        format!("{iam}:role/?*"),
        named().chain([links.as_str()]).collect(),
    );
    push(
        format!("another service-linked role of {account}"),
        role(&linked),
        format!("{iam}:role/aws-service-role/?*"),
        named().collect(),
    );
    let sts = iam.replace(":iam:", ":sts:");
    let arn = format!("{sts}:federated-user/{}", names.fresh("another"));
    let feds: Vec<&str> = names.federated.iter().map(String::as_str).collect();
    for class in federated(&arn, names) {
        let by = class.label.strip_prefix(&arn).unwrap_or("").to_owned();
        push(
            format!("another federated user of {account}{by}"),
            class.member,
            format!("{sts}:federated-user/?*"),
            feds.clone(),
        );
    }
    classes
}

/// Everybody in accounts that nobody names.
fn unnamed_account(names: &Names) -> Vec<Class> {
    let mut number = 999_999_999_999_u64;
    while names.accounts.contains(&number.to_string()) {
        number -= 1;
    }
    let account = number.to_string();
    let partition = names.partition(&account).to_owned();
    let mut classes = of_account(&account, &[], names);
    for class in &mut classes {
        class.label = class.label.replace(&account, "another account");
        let generalise = |set: &Set| -> Set {
            let text = |glob: &crate::glob::Glob| super::domains::written(glob);
            let including: Vec<String> =
                set.including.iter().map(|g| text(g).replace(&account, "????????????")).collect();
            let named = names.accounts.iter().flat_map(|account| {
                [
                    account.clone(),
                    format!("arn:{partition}:iam::{account}:*"),
                    format!("arn:{partition}:sts::{account}:*"),
                ]
            });
            let except: Vec<String> = set
                .except
                .iter()
                .map(|g| text(g).replace(&account, "????????????"))
                .chain(named)
                .collect();
            Set::of(including.iter().map(String::as_str)).but(except.iter().map(String::as_str))
        };
        class.arns = class.arns.as_ref().map(generalise);
        class.accounts = class.accounts.as_ref().map(generalise);
    }
    classes
}
