//! A message that was put aside: what it said, and why nothing came of it.
//!
//! [`Aside`] is what lies in the queue for dead letters, as JSON. The queue's own redrive policy puts
//! messages there as they came, without a reason: [`Aside::read`] takes both.

use std::collections::BTreeSet;

use consign_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event;
use crate::record::{Cause, Reason};
use crate::routing::{Routing, Told};

/// The only format of this version.
const FORMAT: &str = "consign-aside/1";

/// SQS takes 1 MiB; JSON in JSON may take twice its length, and the reasons take some.
const BODY_BYTES_MAX: usize = 256 << 10;

/// A message in the queue for dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    format: String,
    /// When it was put aside.
    pub at: Option<Timestamp>,
    /// Why, at least one.
    pub reasons: Vec<Reason>,
    /// What it said; none if that is longer than any event of S3.
    pub body: Option<String>,
}

impl Aside {
    /// To be sent.
    pub fn new(at: Timestamp, reasons: Vec<Reason>, body: Option<&str>) -> Aside {
        let body = body.filter(|body| body.len() <= BODY_BYTES_MAX).map(str::to_owned);
        Aside { format: FORMAT.to_owned(), at: Some(at), reasons, body }
    }

    /// Reads what lies in the queue: ours, or a message that SQS moved there by itself after it was
    /// received too often.
    pub fn read(text: &str, receives: u32) -> Aside {
        let ours = serde_json::from_str::<Aside>(text).ok().filter(|aside| aside.format == FORMAT);
        ours.unwrap_or_else(|| Aside {
            format: FORMAT.to_owned(),
            at: None,
            reasons: vec![Reason::of_message(Cause::GivenUp { receives })],
            body: Some(text.to_owned()),
        })
    }

    /// Whether one of its causes is among these; none asked for is all.
    pub fn has_cause_of(&self, only: &BTreeSet<String>) -> bool {
        only.is_empty() || self.reasons.iter().any(|reason| only.contains(reason.cause.word()))
    }

    /// As JSON.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("names and texts always serialise")
    }

    /// Handles it as if it had come now: what it said, or else the objects that the reasons name.
    /// Only names of this repository count, whoever wrote them.
    pub fn told(&self, routing: &Routing) -> Told {
        if let Some(body) = &self.body {
            return routing.told(event::parse(body));
        }
        let mut told = Told::default();
        for reason in &self.reasons {
            match &reason.source {
                Some(source) => {
                    let source = routing.source(&source.key, source.version_id.as_deref());
                    if !told.objects.contains(&source) {
                        told.objects.push(source);
                    }
                }
                None => told.refused.push(reason.clone()),
            }
        }
        told
    }
}
