//! Theorems about the corrected policies of the research folder, and what their mutants let
//! through.

use std::path::PathBuf;

use consign_iam::prove::{
    Atom, Callers, Certificate, Claim, Counterexample, Domain, Expectation, Node, Place, Region,
    Set, Values, Verdict, World, check, prove,
};
use consign_iam::{Constraint, Grant, Policy, PolicyKind, Principal};

const HOST: &str = "111111111111";
const PARTNER: &str = "222222222222";
const OURS: &str = "arn:aws:iam::111111111111:role/xfer/acme-ours";
const SCANNER: &str = "arn:aws:iam::111111111111:role/xfer/malware-scan";
const THEIRS: &str = "arn:aws:iam::222222222222:role/acme-transfer";
const BUCKET_OUT: &str = "arn:aws:s3:::xfer-acme-out-111111111111-eu-west-1-an";
const BUCKET_IN: &str = "arn:aws:s3:::xfer-acme-in-111111111111-eu-west-1-an";
const KEY_OUT: &str = "arn:aws:kms:eu-west-1:111111111111:key/0a0a0a0a-0000-4000-8000-000000000001";
const READS: [&str; 3] = ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"];
const WRITES: [&str; 2] = ["s3:PutObject", "s3:ReplicateObject"];

fn document(name: &str, kind: PolicyKind) -> Option<Policy> {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/research/policies");
    match std::fs::read_to_string(folder.join(name)) {
        Ok(text) => Some(Policy::parse_as(kind, &text).unwrap()),
        Err(_) => {
            eprintln!("SKIPPED prove: {name} is not there");
            None
        }
    }
}

fn without(policy: &str, kind: PolicyKind, sids: &[&str]) -> Option<Policy> {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/research/policies");
    let text = std::fs::read_to_string(folder.join(policy)).ok()?;
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let statements = json["Statement"].as_array_mut().unwrap();
    let before = statements.len();
    statements.retain(|statement| !sids.iter().any(|sid| statement["Sid"] == *sid));
    assert_eq!(statements.len() + sids.len(), before, "{sids:?} of {policy}");
    Some(Policy::parse_as(kind, &json.to_string()).unwrap())
}

/// Everybody but the roles named.
fn everybody_but(except: &[&str]) -> Vec<Callers> {
    let of = |account: &str| Callers::Account {
        account: account.to_owned(),
        except: except.iter().map(|arn| (*arn).to_owned()).collect(),
    };
    vec![
        of(HOST),
        of(PARTNER),
        Callers::Strangers { accounts: vec![HOST.into(), PARTNER.into()] },
        Callers::Anonymous,
        Callers::Services { except: vec![] },
    ]
}

fn one(arn: &str) -> Vec<Callers> {
    vec![Callers::One(Principal::from_arn(arn).unwrap())]
}

struct Case<'a> {
    world: World<'a>,
    actions: &'a [&'a str],
    resources: Vec<String>,
    context: Vec<(&'a str, Domain)>,
    expect: Expectation,
}

impl<'a> Case<'a> {
    fn bucket(policy: &'a Policy, bucket: &str, actions: &'a [&'a str]) -> Case<'a> {
        Case {
            world: World { resource: std::slice::from_ref(policy), ..World::default() },
            actions,
            // Reads are denied on both; what writes is asked of objects only.
            resources: match actions.iter().any(|action| action.contains("Put")) {
                true => vec![format!("{bucket}/*")],
                false => vec![bucket.to_owned(), format!("{bucket}/*")],
            },
            context: vec![],
            expect: Expectation::Never,
        }
    }

    fn key(policy: &'a Policy, key: &str, actions: &'a [&'a str]) -> Case<'a> {
        Case { resources: vec![key.to_owned()], ..Case::bucket(policy, key, actions) }
    }

    fn claim(&self, callers: Callers) -> Claim<'a> {
        Claim {
            world: self.world,
            region: Region {
                callers,
                actions: Set::of(self.actions.iter().copied()),
                resource: Set::of(self.resources.iter().map(String::as_str)),
                resource_account: HOST.into(),
                context: self.context.iter().map(|(k, d)| ((*k).to_owned(), d.clone())).collect(),
            },
            expect: self.expect,
        }
    }

    fn holds(&self, callers: Vec<Callers>) {
        for callers in callers {
            let claim = self.claim(callers);
            match prove(&claim) {
                Verdict::Holds(certificate) => {
                    assert!(!certificate.cases.is_empty());
                    check(&claim, &certificate).unwrap();
                }
                Verdict::Fails(found) => {
                    panic!("{:?}: {:?}\n{}", claim.region.callers, found.request, found.decision)
                }
                Verdict::Undecided(why) => panic!("{:?}: {why}", claim.region.callers),
            }
        }
    }

    fn fails(&self, callers: Vec<Callers>) -> Counterexample {
        for callers in callers {
            match prove(&self.claim(callers)) {
                Verdict::Fails(found) => return *found,
                Verdict::Holds(_) => {}
                Verdict::Undecided(why) => panic!("{why}"),
            }
        }
        panic!("nobody gets through")
    }
}

fn bucket(name: &str) -> Option<Policy> {
    document(name, PolicyKind::Resource)
}

fn key(name: &str) -> Option<Policy> {
    document(name, PolicyKind::Key)
}

#[test]
fn outgoing_nobody_but_the_partner_reads_and_nobody_but_us_writes() {
    let (Some(bucket), Some(key)) = (bucket("bucket-out.json"), key("key-out.json")) else {
        return;
    };
    Case::bucket(&bucket, BUCKET_OUT, &READS).holds(everybody_but(&[THEIRS]));
    Case::bucket(&bucket, BUCKET_OUT, &WRITES).holds(everybody_but(&[OURS]));
    Case::key(&key, KEY_OUT, &["kms:Decrypt", "kms:GenerateDataKey"])
        .holds(everybody_but(&[OURS, THEIRS]));
    Case::key(&key, KEY_OUT, &["kms:GenerateDataKey"]).holds(everybody_but(&[OURS]));
}

#[test]
fn incoming_nobody_but_us_and_the_scanner_reads() {
    let Some(bucket) = bucket("bucket-in.json") else { return };
    Case::bucket(&bucket, BUCKET_IN, &READS).holds(everybody_but(&[OURS, SCANNER]));
    Case::bucket(&bucket, BUCKET_IN, &WRITES).holds(everybody_but(&[THEIRS]));
    let found = Case::bucket(&bucket, BUCKET_IN, &READS).fails(everybody_but(&[OURS]));
    assert_eq!(found.request.principal().arn().unwrap(), SCANNER);
    assert!(found.decision.is_allowed());
}

#[test]
fn incoming_we_read_what_was_found_clean_and_nothing_else() {
    const TAG: &str = "s3:ExistingObjectTag/GuardDutyMalwareScanStatus";
    let Some(bucket) = bucket("bucket-in.json") else { return };
    let mut case = Case::bucket(&bucket, BUCKET_IN, &["s3:GetObject", "s3:GetObjectVersion"]);
    case.resources = vec![format!("{BUCKET_IN}/*")];
    case.context =
        vec![(TAG, Domain::Perhaps(Values::Of(Set::of(["*"]).but(["NO_THREATS_FOUND"]))))];
    case.holds(one(OURS));
    case.context = vec![(TAG, Domain::Any)];
    let found = case.fails(one(OURS));
    assert_eq!(found.request.context().get(TAG).unwrap(), ["NO_THREATS_FOUND"]);
    assert_eq!(found.request.resource(), format!("{BUCKET_IN}/report.pdf"));
    // And that is all it takes.
    case.context = vec![
        (TAG, Domain::Present(Values::text("NO_THREATS_FOUND"))),
        ("aws:SecureTransport", Domain::Present(Values::text("true"))),
        ("s3:TlsVersion", Domain::Present(Values::Numbers { from: Some("1.2".into()), to: None })),
        ("s3:authType", Domain::Present(Values::text("REST-HEADER"))),
    ];
    case.expect = Expectation::Always;
    case.holds(one(OURS));
    // Without the header's kind, an old presigned URL is refused.
    case.context.pop();
    let found = case.fails(one(OURS));
    assert!(found.decision.explain().contains("DenyLongLivedPresignedUrls"), "{}", found.decision);
}

#[test]
fn nothing_passes_without_tls() {
    for (name, bucket_arn) in [("bucket-in.json", BUCKET_IN), ("bucket-out.json", BUCKET_OUT)] {
        let Some(policy) = bucket(name) else { return };
        let mut case = Case::bucket(&policy, bucket_arn, &["s3:*"]);
        case.context = vec![("aws:SecureTransport", Domain::Present(Values::text("false")))];
        let root = format!("arn:aws:iam::{HOST}:root");
        case.holds(everybody_but(&[&root]));
        // AWS lets the owner's root mend the policy whatever it says; and nothing else.
        let found = case.fails(everybody_but(&[]));
        assert!(found.request.action().ends_with("BucketPolicy"), "{}", found.request.action());
        case.actions = &["s3:*Object*", "s3:List*"];
        case.holds(everybody_but(&[]));
        let Some(open) = without(name, PolicyKind::Resource, &["DenyInsecureTransport"]) else {
            return;
        };
        case.world.resource = std::slice::from_ref(&open);
        case.fails(everybody_but(&[]));
    }
}

#[test]
fn either_document_alone_keeps_others_out_and_neither_does_not() {
    let (Some(closed_bucket), Some(closed_key)) = (bucket("bucket-out.json"), key("key-out.json"))
    else {
        return;
    };
    let open_bucket =
        without("bucket-out.json", PolicyKind::Resource, &["DenyReadsByOthers"]).unwrap();
    let default = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::111111111111:root"}, "Action": "kms:*", "Resource": "*"}}"#;
    let open_key = Policy::parse_as(PolicyKind::Key, default).unwrap();
    let reads = ["s3:GetObject"];
    Case::bucket(&closed_bucket, BUCKET_OUT, &reads).holds(everybody_but(&[THEIRS]));
    Case::key(&closed_key, KEY_OUT, &["kms:Decrypt"]).holds(everybody_but(&[THEIRS, OURS]));
    let read = Case::bucket(&open_bucket, BUCKET_OUT, &reads).fails(everybody_but(&[THEIRS, OURS]));
    let decrypt =
        Case::key(&open_key, KEY_OUT, &["kms:Decrypt"]).fails(everybody_but(&[THEIRS, OURS]));
    for found in [read, decrypt] {
        assert_eq!(found.request.principal_account(), Some(HOST));
        assert!(found.decision.is_allowed());
    }
}

#[test]
fn only_administrators_change_the_key_policy() {
    let Some(key) = key("key-out.json") else { return };
    let case = Case::key(&key, KEY_OUT, &["kms:PutKeyPolicy", "kms:CreateGrant"]);
    case.holds(vec![
        Callers::Account { account: PARTNER.into(), except: vec![] },
        Callers::Strangers { accounts: vec![HOST.into()] },
        Callers::Anonymous,
        Callers::Services { except: vec![] },
    ]);
    let found = case.fails(vec![Callers::Account { account: HOST.into(), except: vec![] }]);
    assert_eq!(found.request.action(), "kms:PutKeyPolicy");
}

/// A certificate of one case with splits, contradictions and denials.
fn a_proof(policy: &Policy) -> (Claim<'_>, Certificate) {
    let case = Case::bucket(policy, BUCKET_IN, &["s3:GetObject", "s3:PutObject"]);
    let except = vec![OURS.to_owned(), SCANNER.to_owned()];
    let claim = case.claim(Callers::Account { account: HOST.into(), except });
    let Verdict::Holds(certificate) = prove(&claim) else { panic!("it holds") };
    check(&claim, &certificate).unwrap();
    (claim, certificate)
}

/// Every certificate that differs from this one in one node.
fn damaged(node: &Node) -> Vec<Node> {
    let mut wrong = match node {
        Node::Lacking => vec![Node::Allowed, Node::Impossible { literals: vec![] }],
        Node::Allowed => vec![Node::Lacking],
        Node::Denied(place) => {
            let statement = place.statement + 1;
            vec![Node::Allowed, Node::Denied(Place { statement, ..place.clone() })]
        }
        Node::Impossible { literals } => {
            let flipped = literals.iter().map(|(atom, side)| (*atom, !side)).collect();
            vec![Node::Lacking, Node::Allowed, Node::Impossible { literals: flipped }]
        }
        Node::Split { .. } => vec![],
    };
    if let Node::Split { atom, holds, fails } = node {
        // A branch left out, both exchanged, another atom.
        wrong.extend([(**holds).clone(), (**fails).clone()]);
        let split = |atom: &usize, holds: &Node, fails: &Node| Node::Split {
            atom: *atom,
            holds: Box::new(holds.clone()),
            fails: Box::new(fails.clone()),
        };
        wrong.push(split(atom, fails, holds));
        wrong.extend(damaged(holds).iter().map(|holds| split(atom, holds, fails)));
        wrong.extend(damaged(fails).iter().map(|fails| split(atom, holds, fails)));
    }
    wrong
}

#[test]
fn a_certificate_whose_atoms_are_renamed_is_refused() {
    let Some(policy) = bucket("bucket-in.json") else { return };
    let (claim, certificate) = a_proof(&policy);
    let used = serde_json::to_string(&certificate.cases).unwrap();
    let mut tried = 0;
    for number in 0..certificate.atoms.len() {
        if !used.contains(&format!("\"atom\":{number},")) {
            continue;
        }
        let renames: [fn(&mut Atom); 4] = [
            |atom| atom.on.push('x'),
            |atom| atom.test.push('x'),
            |atom| atom.values.push("x".to_owned()),
            |atom| atom.variables = !atom.variables,
        ];
        for rename in renames {
            let mut copy = certificate.clone();
            rename(&mut copy.atoms[number]);
            assert!(check(&claim, &copy).is_err(), "{:?}", copy.atoms[number]);
            tried += 1;
        }
    }
    assert!(tried >= 4, "{tried}");
}

#[test]
fn a_certificate_is_refused_for_other_documents() {
    let Some(policy) = bucket("bucket-in.json") else { return };
    let Some(other) = bucket("bucket-out.json") else { return };
    let (claim, certificate) = a_proof(&policy);
    let unguarded =
        without("bucket-in.json", PolicyKind::Resource, &["DenyReadsByOthers"]).unwrap();
    let mut lacking = 0;
    for resource in [&[][..], &[other], &[unguarded]] {
        let world = World { resource, ..claim.world };
        let swapped = Claim { world, ..claim.clone() };
        let checked = check(&swapped, &certificate);
        // Other documents may have the property too; what is wrong is to certify one that lacks it.
        if matches!(prove(&swapped), Verdict::Fails(_)) {
            assert!(checked.is_err());
            lacking += 1;
        }
    }
    assert!(lacking >= 2, "{lacking}");
}

#[test]
fn a_damaged_certificate_is_refused() {
    let Some(policy) = bucket("bucket-in.json") else { return };
    let (claim, certificate) = a_proof(&policy);
    let mut tried = 0;
    for (number, case) in certificate.cases.iter().enumerate() {
        for tree in damaged(&case.tree) {
            let mut copy = certificate.clone();
            copy.cases[number].tree = tree.clone();
            assert!(check(&claim, &copy).is_err(), "{tree:?}\ninstead of {:?}", case.tree);
            tried += 1;
        }
        let mut copy = certificate.clone();
        copy.cases.remove(number);
        assert!(check(&claim, &copy).is_err(), "without {}", case.caller);
        let mut copy = certificate.clone();
        copy.cases[number].caller.push('x');
        assert!(check(&claim, &copy).is_err(), "{} under another name", case.caller);
    }
    assert!(tried > 20, "{tried}");
    // It is not about other documents, other claims or another model.
    let open = without("bucket-in.json", PolicyKind::Resource, &["DenyReadsByOthers"]).unwrap();
    let wider = bucket_that_allows_everybody();
    for resource in [std::slice::from_ref(&wider), &[open, wider.clone()]] {
        let world = World { resource, ..World::default() };
        assert!(check(&Claim { world, ..claim.clone() }, &certificate).is_err());
    }
    let opposite = Claim { expect: Expectation::Always, ..claim.clone() };
    assert!(check(&opposite, &certificate).is_err());
    let copy = Certificate { model: 0, ..certificate.clone() };
    assert!(check(&claim, &copy).is_err());
    // A certificate survives being written down.
    let text = serde_json::to_string(&certificate).unwrap();
    let read: Certificate = serde_json::from_str(&text).unwrap();
    check(&claim, &read).unwrap();
}

fn bucket_that_allows_everybody() -> Policy {
    let text = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*",
        "Action": "s3:GetObject", "Resource": "*"}}"#;
    Policy::parse_as(PolicyKind::Resource, text).unwrap()
}

#[test]
fn hostile_and_large_documents_take_moments() {
    let arns: Vec<String> =
        (0..10_000).map(|n| format!("arn:aws:iam::{HOST}:role/partner-{n}")).collect();
    let policy = |value: serde_json::Value| {
        let text = serde_json::json!({"Version": "2012-10-17", "Statement": value}).to_string();
        Policy::parse_as(PolicyKind::Resource, &text).unwrap()
    };
    let started = std::time::Instant::now();
    let many = policy(serde_json::json!([{"Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": "*", "Condition": {"ArnNotEquals": {"aws:PrincipalArn": arns}}}]));
    let objects = Case::bucket(&many, BUCKET_OUT, &["s3:PutObject"]);
    objects.holds(vec![Callers::Account { account: PARTNER.into(), except: vec![] }]);
    let found = objects.fails(vec![Callers::Account { account: HOST.into(), except: vec![] }]);
    assert!(found.request.principal().arn().unwrap().contains(":role/partner-"));
    let stars = ["*a*a*a*b", "*?a?*a*ab*", "*b*a*b*a*", "a*b*a*b*?"];
    let hostile: Vec<_> = (0..40)
        .map(|n| {
            serde_json::json!({"Effect": if n % 2 == 0 { "Deny" } else { "Allow" }, "Principal": "*",
                "Action": "s3:*", "Resource": "*", "Condition": {
                    "StringLike": {"s3:prefix": stars[n % 4]},
                    "StringNotLike": {"s3:delimiter": format!("*{}*", "a*".repeat(n))}}})
        })
        .collect();
    let hostile = policy(serde_json::Value::Array(hostile));
    let case = Case::bucket(&hostile, BUCKET_OUT, &["s3:PutObject"]);
    for callers in [Callers::Anonymous, Callers::Account { account: HOST.into(), except: vec![] }] {
        // Whatever it answers, it answers.
        if let Verdict::Holds(certificate) = prove(&case.claim(callers.clone())) {
            check(&case.claim(callers), &certificate).unwrap();
        }
    }
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn a_grant_opens_the_key_to_its_grantee_in_its_context_only() {
    let Some(key) = key("key-out.json") else { return };
    let closed = without("key-out.json", PolicyKind::Key, &["OnlyThroughS3"]).unwrap_or(key);
    let open = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::111111111111:root"}, "Action": "kms:DescribeKey", "Resource": "*"}}"#;
    let plain = Policy::parse_as(PolicyKind::Key, open).unwrap();
    let pairs = [("aws:s3:arn".to_owned(), BUCKET_OUT.to_owned())].into();
    let constraint = Constraint::EncryptionContextSubset(pairs);
    let grants = [Grant::new(SCANNER, ["Decrypt"], constraint).unwrap()];
    let mut case = Case::key(&plain, KEY_OUT, &["kms:Decrypt"]);
    case.world.grants = &grants;
    case.holds(everybody_but(&[SCANNER]));
    let found = case.fails(one(SCANNER));
    let name = "kms:EncryptionContext:aws:s3:arn";
    assert_eq!(found.request.context().get(name).unwrap(), [BUCKET_OUT]);
    case.context = vec![(name, Domain::Perhaps(Values::Of(Set::of(["*"]).but([BUCKET_OUT]))))];
    case.holds(one(SCANNER));
    // A Deny of the key policy outweighs a grant.
    let mut case = Case::key(&closed, KEY_OUT, &["kms:Decrypt"]);
    case.world.grants = &grants;
    case.holds(one(SCANNER));
}
