//! What is wrong with how documents are written, whatever they come to together: statement by
//! statement, with its name.

use super::Folder;
use super::findings::{Finding, Weight, grants_data};
use super::read::{File, Kind};
use super::written::{Written, bucket_of};
use consign_iam::Version;
use std::collections::BTreeSet;

pub(super) fn of(folder: &Folder) -> Vec<Finding> {
    folder.files.iter().flat_map(of_file).collect()
}

fn of_file(file: &File) -> Vec<Finding> {
    let mut findings = sids(file);
    findings.extend(old_version(file));
    for statement in file.statements() {
        let found = match file.kind {
            Kind::Queue => vec![queue(statement)],
            Kind::Trust => vec![trust(statement)],
            _ => vec![
                unused_encrypt(file, statement),
                no_decrypt_for_parts(file, statement),
                data_key_wildcard(statement),
                wrong_resource(file, statement),
                acl(statement),
                not_principal(statement),
                if_exists(statement),
                for_all_values(statement),
            ],
        };
        let found = found.into_iter().flatten();
        findings.extend(found.map(|it| it.in_document(&file.name).at(statement.name())));
    }
    findings
}

fn advice(id: &'static str, words: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding::new(id, Weight::Advice, words.into(), fix.into())
}

fn sids(file: &File) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for statement in file.statements() {
        let Some(sid) = statement.sid() else { continue };
        let mut add = |finding: Finding| {
            findings.push(finding.in_document(&file.name).at(statement.name()));
        };
        if !seen.insert(sid) {
            add(advice(
                "duplicate-sid",
                format!(
                    "the Sid \"{sid}\" stands twice: S3 and IAM refuse that, and a report cannot say which statement it means"
                ),
                "give each statement a Sid of its own",
            ));
        }
        if !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            add(advice(
                "sid-form",
                format!(
                    "the Sid \"{sid}\" holds more than letters and digits: KMS tolerates it, IAM refuses it"
                ),
                "letters and digits alone",
            ));
        }
    }
    findings
}

fn old_version(file: &File) -> Option<Finding> {
    let old = file.policy.as_ref().is_ok_and(|policy| policy.version() == Version::V2008);
    old.then(|| {
        advice(
            "old-version",
            "it is written in the language of 2008, in which ${…} is plain text",
            "\"Version\": \"2012-10-17\"",
        )
        .in_document(&file.name)
    })
}

fn unused_encrypt(file: &File, statement: Written<'_>) -> Option<Finding> {
    if !statement.allows() || !statement.names_action("kms:Encrypt") || !grants_data(&file.kind) {
        return None;
    }
    let makes_data_keys = file.statements().iter().any(|it| {
        it.allows()
            && it.actions().iter().any(|action| {
                let action = action.to_ascii_lowercase();
                action.starts_with("kms:generatedatakey") || action == "kms:*" || action == "*"
            })
    });
    let (id, words) = match (&file.kind, makes_data_keys) {
        (Kind::Identity, false) => (
            "encrypt-for-data-key",
            "kms:Encrypt is allowed where kms:GenerateDataKey is needed: S3 asks KMS for a data key when it writes, and never calls Encrypt. Within one account a key policy that names the user may make up for it; across accounts every put fails",
        ),
        _ => (
            "unused-encrypt",
            "kms:Encrypt is allowed, which S3 never calls; it lets the holder encrypt up to 4 KiB outside S3",
        ),
    };
    Some(advice(
        id,
        words,
        "replace kms:Encrypt by kms:GenerateDataKey, or drop it where that is allowed already",
    ))
}

fn no_decrypt_for_parts(file: &File, statement: Written<'_>) -> Option<Finding> {
    let writes = |it: &Written<'_>| {
        it.actions().iter().any(|action| {
            let action = action.to_ascii_lowercase();
            action == "kms:generatedatakey" || action == "kms:generatedatakey*"
        })
    };
    if file.kind != Kind::Key || !statement.allows() || !writes(&statement) {
        return None;
    }
    let decrypts = |who: &str| {
        file.statements().iter().any(|it| {
            it.allows()
                && it.principals().contains(&who)
                && (it.names_action("kms:Decrypt") || it.names_action("kms:*"))
        })
    };
    let without: Vec<&str> =
        statement.principals().into_iter().filter(|who| !decrypts(who)).collect();
    (!without.is_empty()).then(|| {
        advice(
            "no-decrypt-for-parts",
            format!("{} may make data keys and not decrypt: every upload in parts is denied (S3 opens the data key again for each part), and the AWS CLI uploads in parts from 8 MiB on", without.join(", ")),
            "add kms:Decrypt, held to S3 and the bucket by conditions; or keep the writer encrypt-only and send single puts of at most 5 GiB",
        )
    })
}

fn data_key_wildcard(statement: Written<'_>) -> Option<Finding> {
    (statement.allows() && statement.names_action("kms:GenerateDataKey*")).then(|| {
        advice(
            "data-key-wildcard",
            "kms:GenerateDataKey* also allows key pairs and data keys without plaintext, which S3 never asks for",
            "kms:GenerateDataKey, without the star",
        )
    })
}

fn wrong_resource(file: &File, statement: Written<'_>) -> Option<Finding> {
    if !statement.allows() || !matches!(file.kind, Kind::Identity | Kind::Bucket(_)) {
        return None;
    }
    let s3: Vec<&str> =
        statement.resources().into_iter().filter(|it| bucket_of(it).is_some()).collect();
    let objects: Vec<&&str> = s3.iter().filter(|arn| arn.contains('/')).collect();
    let buckets: Vec<&&str> = s3.iter().filter(|arn| !arn.contains('/')).collect();
    let about = |starts: &[&str]| {
        let actions = statement.actions().into_iter();
        let mut found = actions.filter(|action| {
            let action = action.to_ascii_lowercase();
            !action.contains('*') && starts.iter().any(|start| action.starts_with(start))
        });
        found.next()
    };
    let on_objects =
        about(&["s3:getobject", "s3:putobject", "s3:deleteobject", "s3:restoreobject"]);
    let on_buckets = about(&["s3:listbucket", "s3:getbucket", "s3:putbucket"]);
    if let (Some(action), Some(arn)) = (on_buckets, objects.first()) {
        let id = if action.eq_ignore_ascii_case("s3:ListBucket") {
            "list-on-objects"
        } else {
            "bucket-action-on-objects"
        };
        return Some(advice(
            id,
            format!("{action} is about the bucket; on {arn} it means nothing"),
            "a statement for the bucket (s3:ListBucket on its ARN), and one for its objects",
        ));
    }
    match (on_objects, buckets.first()) {
        (Some(action), Some(arn)) => Some(advice(
            "object-action-on-bucket",
            format!("{action} is about objects; on the bucket's own ARN {arn} it means nothing"),
            format!("{arn}/* alone"),
        )),
        _ => None,
    }
}

fn acl(statement: Written<'_>) -> Option<Finding> {
    (statement.allows() && statement.names_action("s3:PutObjectAcl")).then(|| {
        advice(
            "object-acl",
            "s3:PutObjectAcl is allowed: with ACLs disabled (BucketOwnerEnforced, the default since April 2023) it is of no use, and without that it lets the writer give objects to anybody",
            "drop it, and keep BucketOwnerEnforced",
        )
    })
}

fn not_principal(statement: Written<'_>) -> Option<Finding> {
    statement.has_not_principal().then(|| {
        advice(
            "not-principal",
            "NotPrincipal exempts a caller only where session, role and account are all listed, and nobody who has a permissions boundary",
            "Principal \"*\" with the condition ArnNotEquals aws:PrincipalArn",
        )
    })
}

fn if_exists(statement: Written<'_>) -> Option<Finding> {
    if statement.allows() {
        return None;
    }
    let conditions = statement.conditions();
    let (operator, key, _) = conditions
        .iter()
        .filter(|(operator, _, _)| operator.contains("Not") && operator.ends_with("IfExists"))
        .find(|(_, key, _)| !statement.requires_present(key))?;
    Some(advice(
        "if-exists-in-deny",
        format!("{operator} in a Deny also denies where {key} is absent"),
        format!(
            "{} together with Null {{\"{key}\": \"false\"}}, if only a wrong value is to be denied",
            operator.trim_end_matches("IfExists")
        ),
    ))
}

fn for_all_values(statement: Written<'_>) -> Option<Finding> {
    let conditions = statement.conditions();
    let (_, key, _) =
        conditions.iter().find(|(operator, _, _)| operator.starts_with("ForAllValues:"))?;
    statement.allows().then(|| {
        Finding::new(
            "for-all-values-in-allow",
            Weight::Open,
            format!("ForAllValues holds where {key} is absent, so the Allow does not depend on it"),
            format!(
                "add Null {{\"{key}\": \"false\"}}, or a plain operator where the key has one value"
            ),
        )
    })
}

fn queue(statement: Written<'_>) -> Option<Finding> {
    let service = statement.principals().iter().any(|it| it.ends_with(".amazonaws.com"));
    let everybody = statement.principals().contains(&"*");
    let bound = !statement.compared_with("aws:SourceArn").is_empty()
        || !statement.compared_with("aws:SourceAccount").is_empty();
    (statement.allows() && (service || everybody) && !bound).then(|| {
        Finding::new(
            "confused-deputy",
            Weight::Open,
            "anybody's bucket can make the service send here: nothing ties it to yours".to_owned(),
            "conditions ArnEquals aws:SourceArn (the bucket) and StringEquals aws:SourceAccount"
                .to_owned(),
        )
    })
}

fn trust(statement: Written<'_>) -> Option<Finding> {
    let anybody = statement.principals().contains(&"*");
    (statement.allows() && anybody && statement.conditions().is_empty()).then(|| {
        Finding::new(
            "trusts-anybody",
            Weight::Open,
            "everybody may assume the role".to_owned(),
            "name the role of the other party, with sts:ExternalId for a third party".to_owned(),
        )
    })
}
