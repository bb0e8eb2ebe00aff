//! Random small policies and claims: what the prover says of all requests is compared with what the
//! evaluator says of every request of a grid.

use std::cell::RefCell;
use std::mem::discriminant;

use consign_iam::prove::{
    Callers, Claim, Domain, Expectation, Identity, Prover, Region, Set, Values, Verdict, World,
    check, prove,
};
use consign_iam::{
    Constraint, Context, Grant, Policies, Policy, PolicyKind, Principal, Request, evaluate,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const A: &str = "111111111111";
const KEY: &str = "arn:aws:kms:eu-west-1:111111111111:key/k";

fn one_of(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(choices).prop_map(str::to_owned)
}

fn condition() -> impl Strategy<Value = (String, String, Vec<String>)> {
    let texts = (
        one_of(&[
            "StringEquals",
            "StringNotEquals",
            "StringLike",
            "StringNotLike",
            "StringEqualsIgnoreCase",
            "StringNotEqualsIfExists",
            "StringLikeIfExists",
        ]),
        one_of(&["s3:prefix", "aws:PrincipalTag/team"]),
        prop::collection::vec(one_of(&["a", "A", "b", "a*", "?", "${aws:username}", "*b"]), 1..3),
    );
    let lists = (
        one_of(&[
            "ForAnyValue:StringEquals",
            "ForAllValues:StringEquals",
            "ForAnyValue:StringNotEquals",
            "ForAllValues:StringNotLike",
            "StringEquals",
            "ForAllValues:StringLikeIfExists",
        ]),
        Just("aws:TagKeys".to_owned()),
        prop::collection::vec(one_of(&["a", "b", "a*"]), 1..3),
    );
    let arns = (
        one_of(&["ArnEquals", "ArnNotEquals", "ArnLike", "StringNotEquals"]),
        Just("aws:PrincipalArn".to_owned()),
        prop::collection::vec(
            one_of(&[
                "arn:aws:iam::111111111111:role/r",
                "arn:aws:iam::111111111111:user/*",
                "arn:aws:iam::*:role/*",
                "arn:aws:iam::222222222222:user/bob",
            ]),
            1..3,
        ),
    );
    let accounts = (
        one_of(&["StringEquals", "StringNotEquals"]),
        one_of(&[
            "aws:PrincipalAccount",
            "aws:PrincipalType",
            "aws:username",
            "s3:ResourceAccount",
        ]),
        prop::collection::vec(one_of(&["111111111111", "222222222222", "User", "ann"]), 1..3),
    );
    let typed = (
        one_of(&["NumericLessThan", "NumericGreaterThanEquals", "NumericNotEquals"]),
        Just("s3:max-keys".to_owned()),
        prop::collection::vec(one_of(&["1", "5", "5.5", "x"]), 1..3),
    );
    let addresses = (
        one_of(&["IpAddress", "NotIpAddress", "NotIpAddressIfExists"]),
        Just("aws:SourceIp".to_owned()),
        prop::collection::vec(one_of(&["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0"]), 1..3),
    );
    let flags = (
        one_of(&["Bool", "BoolIfExists", "Null"]),
        one_of(&["aws:SecureTransport", "s3:max-keys"]),
        prop::collection::vec(one_of(&["true", "false"]), 1..2),
    );
    prop_oneof![texts, lists, arns, accounts, typed, addresses, flags]
}

fn principals() -> impl Strategy<Value = (bool, Vec<String>)> {
    let one = prop::collection::vec(named(), 1..2);
    // A caller escapes when all of its forms are listed.
    let forms = Just(vec![
        A.to_owned(),
        "arn:aws:iam::111111111111:user/ann".to_owned(),
        "arn:aws:iam::111111111111:role/r".to_owned(),
        "arn:aws:sts::111111111111:assumed-role/r/named".to_owned(),
    ]);
    (prop::bool::weighted(0.2), prop_oneof![3 => one, 1 => forms])
}

fn named() -> impl Strategy<Value = String> {
    one_of(&[
        "*",
        "111111111111",
        "arn:aws:iam::111111111111:user/ann",
        "arn:aws:iam::111111111111:role/r",
        "arn:aws:sts::111111111111:assumed-role/r/named",
        "222222222222",
        "arn:aws:iam::222222222222:user/bob",
    ])
}

fn statement(principals: bool) -> impl Strategy<Value = Value> {
    let action = one_of(&["s3:*", "s3:GetObject", "s3:Put*", "*", "kms:Decrypt", "kms:*"]);
    let resource = one_of(&["*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/a*", "arn:aws:s3:::b"]);
    let principal = self::principals();
    let conditions = prop::collection::vec(condition(), 0..3);
    let bits = (prop::bool::weighted(0.4), prop::bool::weighted(0.15), prop::bool::weighted(0.15));
    (action, resource, principal, conditions, bits).prop_map(
        move |(action, resource, principal, conditions, (deny, not_action, not_resource))| {
            let mut statement = json!({ "Effect": if deny { "Deny" } else { "Allow" } });
            statement[if not_action { "NotAction" } else { "Action" }] = json!(action);
            statement[if not_resource { "NotResource" } else { "Resource" }] = json!(resource);
            if principals {
                // Only a Deny may have `NotPrincipal`.
                let element = if deny && principal.0 { "NotPrincipal" } else { "Principal" };
                statement[element] = json!({ "AWS": principal.1 });
            }
            for (operator, key, values) in conditions {
                statement["Condition"][operator.as_str()][key.as_str()] = json!(values);
            }
            statement
        },
    )
}

/// A resource control policy only denies, and everybody.
fn fence() -> impl Strategy<Value = Policy> {
    prop::collection::vec(statement(false), 1..3).prop_map(|mut statements| {
        for statement in &mut statements {
            statement["Effect"] = json!("Deny");
            statement["Principal"] = json!("*");
            if let Some(actions) = statement.as_object_mut().unwrap().remove("NotAction") {
                statement["Action"] = actions;
            }
        }
        let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        Policy::parse_as(PolicyKind::ResourceControl, &text).unwrap()
    })
}

fn grant() -> impl Strategy<Value = Grant> {
    let grantee = one_of(&[
        "arn:aws:iam::111111111111:user/ann",
        "arn:aws:iam::111111111111:role/r",
        "arn:aws:sts::111111111111:assumed-role/r/named",
        "222222222222",
        "arn:aws:iam::222222222222:user/bob",
        "logs.amazonaws.com",
    ]);
    let operations = prop::collection::vec(one_of(&["Decrypt", "Encrypt"]), 1..3);
    let pairs = [("team".to_owned(), "a".to_owned())];
    let constraint = prop::sample::select(vec![
        Constraint::None,
        Constraint::EncryptionContextEquals(pairs.clone().into()),
        Constraint::EncryptionContextSubset(pairs.into()),
    ]);
    (grantee, operations, constraint).prop_map(|(grantee, operations, constraint)| {
        Grant::new(&grantee, operations, constraint).unwrap()
    })
}

fn document(principals: bool) -> impl Strategy<Value = Policy> {
    prop::collection::vec(statement(principals), 1..5).prop_map(move |statements| {
        let kind = if principals { PolicyKind::Resource } else { PolicyKind::Identity };
        let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        Policy::parse_as(kind, &text).unwrap()
    })
}

#[derive(Clone, Debug)]
struct Scene {
    resource: Vec<Policy>,
    identity: Option<Vec<Policy>>,
    boundary: Option<Policy>,
    scps: Vec<Vec<Policy>>,
    outer: Outer,
    restrict: bool,
    callers: usize,
    actions: Vec<&'static str>,
    prefix: usize,
    expect: Expectation,
}

/// What stands around, and the grants of the key.
#[derive(Clone, Debug)]
struct Outer {
    rcps: Vec<Vec<Policy>>,
    endpoint: Vec<Policy>,
    session: Vec<Policy>,
    grants: Vec<Grant>,
}

fn outer() -> impl Strategy<Value = Outer> {
    let rcps = prop::collection::vec(prop::collection::vec(fence(), 1..2), 0..2);
    let endpoint = prop::option::weighted(0.3, document(true));
    let session = prop::option::weighted(0.3, document(false));
    let grants = prop::collection::vec(grant(), 0..3);
    (rcps, endpoint, session, grants).prop_map(|(rcps, endpoint, session, grants)| Outer {
        rcps,
        endpoint: endpoint.into_iter().collect(),
        session: session.into_iter().collect(),
        grants,
    })
}

fn scene() -> impl Strategy<Value = Scene> {
    let resource = prop::collection::vec(document(true), 0..3);
    let identity = prop::option::of(prop::collection::vec(document(false), 1..2));
    let boundary = prop::option::weighted(0.2, document(false));
    let scps = prop::collection::vec(prop::collection::vec(document(false), 1..2), 0..2);
    let actions = prop::sample::select(vec![
        vec!["s3:GetObject"],
        vec!["s3:GetObject", "s3:PutObject"],
        vec!["s3:*"],
        vec!["kms:Decrypt"],
        vec!["*"],
    ]);
    (
        resource,
        identity,
        boundary,
        (scps, outer()),
        prop::bool::weighted(0.2),
        0..6_usize,
        actions,
        0..4_usize,
        any::<bool>(),
    )
        .prop_map(
            |(
                resource,
                identity,
                boundary,
                (scps, outer),
                restrict,
                callers,
                actions,
                prefix,
                never,
            )| {
                Scene {
                    resource,
                    identity,
                    boundary,
                    scps,
                    outer,
                    restrict,
                    callers,
                    actions,
                    prefix,
                    expect: if never { Expectation::Never } else { Expectation::Always },
                }
            },
        )
}

impl Scene {
    fn claim(&self) -> Claim<'_> {
        let callers = match self.callers {
            0 => Callers::Account { account: A.into(), except: vec![] },
            1 => Callers::Account {
                account: A.into(),
                except: vec!["arn:aws:iam::111111111111:role/r".into()],
            },
            2 => Callers::Strangers { accounts: vec![A.into()] },
            3 => Callers::Anonymous,
            4 => Callers::Services { except: vec![] },
            _ => Callers::One(Principal::from_arn("arn:aws:iam::111111111111:role/r").unwrap()),
        };
        let prefix = match self.prefix {
            0 => Domain::Any,
            1 => Domain::Absent,
            2 => Domain::Present(Values::text("ab")),
            _ => Domain::Perhaps(Values::Of(Set::of(["*"]).but(["a"]))),
        };
        Claim {
            world: World {
                identity: self.identity.as_deref().map_or(Identity::Anything, Identity::Given),
                resource: &self.resource,
                boundary: self.boundary.as_ref(),
                scps: &self.scps,
                session: &self.outer.session,
                rcps: &self.outer.rcps,
                endpoint: &self.outer.endpoint,
                grants: &self.outer.grants,
                restrict_public_buckets: self.restrict,
            },
            region: Region {
                callers,
                actions: Set::of(self.actions.iter().copied()),
                resource: Set::of(["arn:aws:s3:::b/*", "arn:aws:s3:::b", KEY]),
                resource_account: A.into(),
                context: vec![("s3:prefix".into(), prefix)],
            },
            expect: self.expect,
        }
    }

    fn callers(&self) -> Vec<Principal> {
        let names: &[&str] = match self.callers {
            0 => &[
                "111111111111",
                "arn:aws:iam::111111111111:user/ann",
                "arn:aws:iam::111111111111:user/zoe",
                "arn:aws:sts::111111111111:assumed-role/r/named",
                "arn:aws:sts::111111111111:assumed-role/r/x",
                "arn:aws:sts::111111111111:assumed-role/q/x",
                "arn:aws:sts::111111111111:federated-user/f",
                "arn:aws:iam::111111111111:role/aws-service-role/s3/l",
            ],
            1 => &[
                "111111111111",
                "arn:aws:iam::111111111111:user/ann",
                "arn:aws:sts::111111111111:assumed-role/q/x",
            ],
            2 => &[
                "222222222222",
                "333333333333",
                "arn:aws:iam::222222222222:user/bob",
                "arn:aws:iam::222222222222:user/cy",
                "arn:aws:sts::333333333333:assumed-role/r/x",
            ],
            3 => &["*"],
            4 => &["logs.amazonaws.com"],
            _ => &[
                "arn:aws:sts::111111111111:assumed-role/r/named",
                "arn:aws:sts::111111111111:assumed-role/r/x",
            ],
        };
        names.iter().map(|name| Principal::parse(name).unwrap()).collect()
    }

    /// Every request of a grid inside the region.
    fn requests(&self) -> Vec<Request> {
        let prefixes: &[Option<&str>] = match self.prefix {
            0 => &[None, Some("a"), Some("b"), Some("zz")],
            1 => &[None],
            2 => &[Some("ab")],
            _ => &[None, Some("b"), Some("A")],
        };
        let actions: Vec<&str> = match self.actions.as_slice() {
            ["s3:*"] => vec!["s3:GetObject", "s3:PutObject", "s3:PutBucketPolicy"],
            ["*"] => vec!["s3:GetObject", "kms:Decrypt", "sts:GetCallerIdentity"],
            exact => exact.to_vec(),
        };
        let none: &[&str] = &[];
        let mut requests = Vec::new();
        for caller in self.callers() {
            for action in &actions {
                for resource in ["arn:aws:s3:::b/a1", "arn:aws:s3:::b", KEY] {
                    for prefix in prefixes {
                        for tags in [none, &["a"], &["c"], &["a", "b"], &["c", "b"]] {
                            for numbers in [None, Some("1"), Some("5"), Some("7"), Some("y")] {
                                let mut context = Context::new();
                                if let Some(prefix) = prefix {
                                    context.insert("s3:prefix", *prefix);
                                }
                                context.insert_many("aws:TagKeys", tags.iter().copied());
                                if let Some(number) = numbers {
                                    context.insert("s3:max-keys", number);
                                    context.insert(
                                        "aws:SecureTransport",
                                        if number == "5" { "true" } else { "false" },
                                    );
                                    if caller.account().is_some() {
                                        context.insert(
                                            "aws:PrincipalTag/team",
                                            if number == "7" { "a" } else { "q" },
                                        );
                                    }
                                    if number != "y" {
                                        context.insert("kms:EncryptionContext:team", "a");
                                    }
                                    if number == "7" {
                                        context.insert("kms:EncryptionContext:more", "b");
                                    }
                                    context.insert(
                                        "aws:SourceIp",
                                        if number == "1" { "10.1.2.3" } else { "9.9.9.9" },
                                    );
                                }
                                requests.push(
                                    Request::new(caller.clone(), action, resource, A, context)
                                        .unwrap(),
                                );
                            }
                        }
                    }
                }
            }
        }
        requests
    }
}

fn anything() -> Vec<Policy> {
    let text = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
    vec![Policy::parse(text).unwrap()]
}

thread_local! {
    static PROVER: RefCell<Prover> = RefCell::default();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_proved_no_request_of_a_grid_contradicts(scene in scene()) {
        let claim = scene.claim();
        let verdict = prove(&claim);
        let anything = anything();
        let policies = Policies {
            identity: scene.identity.as_deref().unwrap_or(&anything),
            resource: &scene.resource,
            boundary: scene.boundary.as_ref(),
            scps: &scene.scps,
            session: &scene.outer.session,
            rcps: &scene.outer.rcps,
            endpoint: &scene.outer.endpoint,
            grants: &scene.outer.grants,
            restrict_public_buckets: scene.restrict,
        };
        let expected = scene.expect == Expectation::Always;
        // Whatever it remembers of other scenes, a prover that has seen many decides as one that has not.
        let again = PROVER.with_borrow_mut(|prover| prover.prove("random", &claim));
        if !matches!(verdict, Verdict::Undecided(_)) {
            prop_assert_eq!(discriminant(&again), discriminant(&verdict));
        }
        let broken = scene.requests().into_iter().find(|r| evaluate(r, &policies).is_allowed() != expected);
        if let Verdict::Holds(certificate) = &again {
            prop_assert!(broken.is_none(), "{:?}", broken);
            prop_assert!(check(&claim, certificate).is_ok());
        }
        match verdict {
            Verdict::Holds(certificate) => {
                prop_assert!(broken.is_none(), "{:?}", broken);
                let checked = check(&claim, &certificate);
                prop_assert!(checked.is_ok(), "{:?}\n{}", checked, json!(certificate));
            }
            Verdict::Fails(found) => {
                prop_assert_eq!(evaluate(&found.request, &policies), found.decision.clone());
                prop_assert!(found.decision.is_allowed() != expected);
            }
            Verdict::Undecided(why) => eprintln!("undecided: {why}"),
        }
    }
}
