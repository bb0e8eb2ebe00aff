//! Laws that hold for all policies and requests, tried on random ones.

use consign_iam::{Context, Effect, Glob, Policies, Policy, Principal, Request, evaluate, explain};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Tells by trying every way, which is slow and plainly right.
fn naive(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), Some((_, after))) => naive(rest, text) || naive(pattern, after),
        (Some(('*', rest)), None) => naive(rest, text),
        (Some((p, rest)), Some((t, after))) => (*p == '?' || p == t) && naive(rest, after),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn one_of(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(choices).prop_map(str::to_owned)
}

fn condition() -> impl Strategy<Value = Value> {
    let operator = one_of(&[
        "StringEquals",
        "StringNotEquals",
        "StringLike",
        "StringNotLikeIfExists",
        "Bool",
        "BoolIfExists",
        "Null",
        "ForAnyValue:StringEquals",
        "ForAllValues:StringNotLike",
        "ArnLike",
        "ArnNotEquals",
        "NumericLessThan",
        "DateGreaterThan",
        "IpAddress",
        "NotIpAddress",
    ]);
    let key = one_of(&[
        "aws:PrincipalArn",
        "aws:SecureTransport",
        "aws:TagKeys",
        "s3:prefix",
        "aws:SourceIp",
        "aws:n",
    ]);
    let value = one_of(&["true", "false"]);
    let other = one_of(&[
        "true",
        "a",
        "b*",
        "${aws:username}",
        "3",
        "10.0.0.0/8",
        "2026-01-01",
        "arn:aws:iam::*:user/a*",
    ]);
    (operator, key, value, other).prop_map(|(operator, key, value, other)| {
        let values = if operator == "Null" { json!(value) } else { json!([value, other]) };
        json!({ operator: { key: values } })
    })
}

fn statement(with_principal: bool) -> impl Strategy<Value = Value> {
    let action = one_of(&["s3:*", "s3:GetObject", "s3:Put*", "*", "s3:?etObject", "kms:Decrypt"]);
    let resource =
        one_of(&["*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/${aws:username}/?", "arn:aws:s3:::*k"]);
    let principal = one_of(&[
        "*",
        "111111111111",
        "arn:aws:iam::111111111111:user/ann",
        "arn:aws:iam::222222222222:role/r",
    ]);
    let effect = one_of(&["Allow", "Allow", "Deny"]);
    let negations = (any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    (action, resource, principal, effect, prop::option::of(condition()), negations).prop_map(
        move |(action, resource, principal, effect, condition, (_, not_action, not_resource))| {
            let mut statement = json!({ "Effect": effect });
            statement[if not_action { "NotAction" } else { "Action" }] = json!(action);
            statement[if not_resource { "NotResource" } else { "Resource" }] = json!(resource);
            if with_principal {
                statement["Principal"] = json!({ "AWS": principal });
            }
            if let Some(condition) = condition {
                statement["Condition"] = condition;
            }
            statement
        },
    )
}

fn statements(with_principal: bool) -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(statement(with_principal), 1..6)
}

fn policy(statements: &[Value]) -> Policy {
    Policy::parse(&json!({ "Version": "2012-10-17", "Statement": statements }).to_string()).unwrap()
}

fn request() -> impl Strategy<Value = Request> {
    let principal = one_of(&[
        "*",
        "111111111111",
        "arn:aws:iam::111111111111:user/ann",
        "arn:aws:iam::222222222222:user/ann",
        "arn:aws:sts::222222222222:assumed-role/r/s",
        "logs.amazonaws.com",
    ]);
    let action = one_of(&["s3:GetObject", "s3:PutObject", "kms:Decrypt"]);
    let resource = one_of(&["arn:aws:s3:::b/k", "arn:aws:s3:::b/ann/1", "arn:aws:s3:::b"]);
    let values = prop::collection::vec(
        one_of(&["true", "a", "bc", "2", "10.1.2.3", "2026-06-01T00:00:00Z"]),
        0..3,
    );
    let keys =
        one_of(&["aws:SecureTransport", "aws:TagKeys", "s3:prefix", "aws:SourceIp", "aws:n"]);
    let context = prop::collection::vec((keys, values), 0..4);
    (principal, action, resource, context).prop_map(|(principal, action, resource, pairs)| {
        let mut context = Context::new();
        for (key, values) in pairs {
            context.insert_many(&key, values);
        }
        Request::new(
            Principal::parse(&principal).unwrap(),
            &action,
            &resource,
            "111111111111",
            context,
        )
        .unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn globs_agree_with_trying_every_way(pattern in "[ab*?ü]{0,12}", text in "[abü]{0,12}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(Glob::new(&pattern).matches(&text), naive(&chars(&pattern), &chars(&text)));
    }

    #[test]
    fn a_further_deny_never_allows(
        request in request(), resource in statements(true), identity in statements(false),
        mut deny in statement(true), boundary in prop::option::of(statements(false)),
    ) {
        deny["Effect"] = json!("Deny");
        let boundary = boundary.map(|statements| policy(&statements));
        let mut more = resource.clone();
        more.push(deny);
        let decide = |resource: &[Value]| {
            let (resource, identity) = (policy(resource), policy(&identity));
            evaluate(&request, &Policies { resource: &[resource], identity: &[identity], boundary: boundary.as_ref(), ..Policies::default() })
        };
        let (before, after) = (decide(&resource), decide(&more));
        prop_assert!(!after.is_allowed() || before.is_allowed());
        prop_assert!(before.effect != Effect::ExplicitDeny || after.effect == Effect::ExplicitDeny);
    }

    #[test]
    fn a_further_allow_never_denies(
        request in request(), resource in statements(true), identity in statements(false), mut allow in statement(true),
    ) {
        allow["Effect"] = json!("Allow");
        let mut more = resource.clone();
        more.push(allow);
        let decide = |resource: &[Value]| {
            let (resource, identity) = (policy(resource), policy(&identity));
            evaluate(&request, &Policies { resource: &[resource], identity: &[identity], ..Policies::default() })
        };
        prop_assert!(!decide(&resource).is_allowed() || decide(&more).is_allowed());
    }

    #[test]
    fn order_and_division_of_documents_do_not_matter(
        request in request(), resource in statements(true), identity in statements(false), seed in any::<u64>(),
    ) {
        let mut shuffled = resource.clone();
        shuffled.rotate_left(usize::try_from(seed % resource.len() as u64).unwrap());
        shuffled.reverse();
        let one_by_one: Vec<Policy> = shuffled.iter().map(|statement| policy(std::slice::from_ref(statement))).collect();
        let identity = [policy(&identity)];
        let decide = |resource: &[Policy]| evaluate(&request, &Policies { resource, identity: &identity, ..Policies::default() });
        let (whole, reversed, split) = (decide(&[policy(&resource)]), decide(&[policy(&shuffled)]), decide(&one_by_one));
        prop_assert_eq!(whole.effect, reversed.effect);
        prop_assert_eq!(whole.effect, split.effect);
        prop_assert_eq!(whole.decided_by.len(), split.decided_by.len());
    }

    #[test]
    fn a_boundary_or_session_policy_never_adds(
        request in request(), resource in statements(true), identity in statements(false), limit in statements(false),
    ) {
        let (resource, identity, limit) = ([policy(&resource)], [policy(&identity)], [policy(&limit)]);
        let open = Policies { resource: &resource, identity: &identity, ..Policies::default() };
        let bounded = Policies { boundary: limit.first(), ..open };
        let session = Policies { session: &limit, ..open };
        let fenced = limit.to_vec();
        let fenced = [fenced];
        let organised = Policies { scps: &fenced, ..open };
        for narrower in [bounded, session, organised] {
            prop_assert!(!evaluate(&request, &narrower).is_allowed() || evaluate(&request, &open).is_allowed());
        }
    }

    #[test]
    fn the_explanation_agrees_with_the_decision(
        request in request(), resource in statements(true), identity in statements(false),
    ) {
        let (resource, identity) = ([policy(&resource)], [policy(&identity)]);
        let policies = Policies { resource: &resource, identity: &identity, ..Policies::default() };
        let explanation = explain(&request, &policies);
        prop_assert_eq!(&explanation.decision, &evaluate(&request, &policies));
        for statement in explanation.layers.iter().flat_map(|layer| &layer.statements) {
            let all_hold = statement.checks.iter().all(|check| check.holds);
            prop_assert_eq!(statement.applies, all_hold);
            let decided = explanation.decision.decided_by.contains(&statement.reference);
            prop_assert!(statement.applies || !decided);
        }
        prop_assert!(!explanation.to_string().is_empty());
        prop_assert!(serde_json::to_string(&explanation).is_ok());
    }
}
