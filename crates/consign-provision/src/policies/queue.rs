//! The policies of a repository's queues.
//!
//! A message on the queue makes the publisher copy something, so whoever can send decides what is
//! copied; and whoever can take a message away decides what is not. Both are denied by the queue itself,
//! because within one account SQS needs no more than an identity policy. `aws:SourceArn` comes from the
//! service that calls and not from the caller, and is absent when somebody calls for himself, which
//! makes the negated operator true. SQS refuses a statement with more than seven actions.

use crate::document::{Document, Statement};
use crate::stage::DesiredQueue;

/// What the publisher may call on either queue.
pub(crate) const TAKES: &[&str] = &[
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
];

/// What takes messages away, out of sight, or elsewhere.
const TAKING: &[&str] = &[
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:StartMessageMoveTask",
];

/// The queue: S3 sends for this bucket, the publisher receives.
pub fn policy(queue: &DesiredQueue) -> Document {
    let arn = queue.arn();
    let sends = Statement::allow("S3Announces", &["sqs:SendMessage"])
        .service("s3.amazonaws.com")
        .on(&[&arn])
        .when("ArnEquals", "aws:SourceArn", &[&queue.bucket_arn])
        .when("StringEquals", "aws:SourceAccount", &[queue.account.as_ref()]);
    let others = Statement::deny("DenySendsByOthers", &["sqs:SendMessage"])
        .everybody()
        .on(&[&arn])
        .when("ArnNotEquals", "aws:SourceArn", &[&queue.bucket_arn]);
    let mut statements = vec![transport(&arn), others];
    statements.extend(taken_by_the_publisher(queue, &arn));
    statements.push(sends);
    Document::new(statements)
}

/// The queue for what is set aside: SQS moves it there by itself, and the publisher says why.
pub fn dead_letters_policy(queue: &DesiredQueue) -> Document {
    let arn = queue.dead_letters_arn();
    let others = Statement::deny("DenySendsByOthers", &["sqs:SendMessage"])
        .everybody()
        .on(&[&arn])
        .when("ArnNotEquals", "aws:PrincipalArn", &[&queue.publisher.arn]);
    let mut statements = vec![transport(&arn), others];
    statements.extend(taken_by_the_publisher(queue, &arn));
    Document::new(statements)
}

fn transport(arn: &str) -> Statement {
    Statement::deny("DenyInsecureTransport", &["sqs:*"]).everybody().on(&[arn]).when(
        "Bool",
        "aws:SecureTransport",
        &["false"],
    )
}

fn taken_by_the_publisher(queue: &DesiredQueue, arn: &str) -> [Statement; 2] {
    [
        Statement::deny("DenyTakingByOthers", TAKING).everybody().on(&[arn]).when(
            "ArnNotEquals",
            "aws:PrincipalArn",
            &[&queue.publisher.arn],
        ),
        Statement::deny("DenyPurges", &["sqs:PurgeQueue"]).everybody().on(&[arn]),
    ]
}
