//! A plan as a value: an ordered list of calls, and what is left to others.
//!
//! [`crate::plan()`] makes one; [`crate::apply()`] carries it out and has no choices left. A
//! [`Step`] is exactly one call, each safe to repeat, so stopping between any two of them and
//! planning again goes on where it stopped. A plan carries a fingerprint of what it saw. It can
//! be saved as JSON; `apply` refuses it when the world has moved.

use crate::desired::KeyArn;
use crate::effects::Effect;
use crate::observed::{Encryption, Lifecycle, Observed};
use consign_model::{AccountId, LaneName, PartyName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// An ordered list of calls, and what is left to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The plan format.
    pub version: u32,
    /// To build or to remove.
    pub purpose: Purpose,
    /// The exchange.
    pub exchange: String,
    /// The digest of the exchange file it was made from, in hex.
    pub exchange_digest: String,
    /// What was seen, as a digest in hex.
    pub fingerprint: String,
    /// The calls, in order.
    pub steps: Vec<Step>,
    /// What is as it should be, in words.
    pub kept: Vec<String>,
    /// What somebody else has to do.
    pub left: Vec<Left>,
    /// Who gains and who loses what.
    pub effects: Vec<Effect>,
    /// What somebody should look at before anything else, in words.
    pub alarms: Vec<String>,
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Bring the exchange about.
    Apply,
    /// Take it down.
    Destroy,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The account in which it is made.
    pub account: AccountId,
    /// Whether it makes, changes or removes.
    pub change: Change,
    /// What it does, in words.
    pub words: String,
    /// The call.
    pub action: Action,
}

/// Whether a step makes, changes or removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Something new.
    Create,
    /// Something that is there.
    Change,
    /// Takes away.
    Remove,
}

/// A call with its arguments. Where a document names a key that does not exist yet, it holds
/// the stand-in of [`KeyArn::planned`], which `apply` replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are the arguments of the call of that name")]
pub enum Action {
    CreateUser {
        path: String,
        name: String,
        tags: BTreeMap<String, String>,
    },
    CreateRole {
        path: String,
        name: String,
        trust: String,
        tags: BTreeMap<String, String>,
    },
    PutTrust {
        role: String,
        trust: String,
    },
    CreateKey {
        lane: LaneName,
        stand_in: KeyArn,
        policy: String,
        description: String,
        tags: BTreeMap<String, String>,
    },
    CreateAlias {
        alias: String,
        key: KeyArn,
    },
    EnableRotation {
        key: KeyArn,
    },
    CancelKeyDeletion {
        key: KeyArn,
    },
    EnableKey {
        key: KeyArn,
    },
    PutKeyPolicy {
        key: KeyArn,
        policy: String,
    },
    TagKey {
        key: KeyArn,
        tags: BTreeMap<String, String>,
    },
    CreateBucket {
        bucket: String,
        account_regional: bool,
    },
    TagBucket {
        bucket: String,
        tags: BTreeMap<String, String>,
    },
    BlockPublicAccess {
        bucket: String,
    },
    EnforceOwner {
        bucket: String,
    },
    PutEncryption {
        bucket: String,
        encryption: Encryption,
    },
    EnableVersioning {
        bucket: String,
    },
    PutLifecycle {
        bucket: String,
        lifecycle: Lifecycle,
    },
    PutBucketPolicy {
        bucket: String,
        policy: String,
    },
    PutIdentityPolicy {
        user: bool,
        principal: String,
        name: String,
        policy: String,
    },
    DeleteIdentityPolicy {
        user: bool,
        principal: String,
        name: String,
    },
    CreateQueue {
        queue: String,
        attributes: BTreeMap<String, String>,
    },
    TagQueue {
        queue: String,
        tags: BTreeMap<String, String>,
    },
    SetQueueAttributes {
        queue: String,
        attributes: BTreeMap<String, String>,
    },
    DeleteQueue {
        queue: String,
    },
    PutNotification {
        bucket: String,
        id: String,
        queue_arn: String,
    },
    RemoveNotification {
        bucket: String,
        id: String,
    },
    CheckEmpty {
        bucket: String,
    },
    DeleteBucket {
        bucket: String,
    },
    DeleteAlias {
        alias: String,
    },
    ScheduleKeyDeletion {
        key: KeyArn,
        days: u8,
    },
    DeleteUser {
        name: String,
    },
    DeleteRole {
        name: String,
    },
}

/// Something that has to be done elsewhere, by somebody with other credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Whose business it is.
    pub party: PartyName,
    /// In which account.
    pub account: AccountId,
    /// What, in words.
    pub words: String,
    /// The documents it takes, by file name.
    pub documents: BTreeMap<String, String>,
}

impl Plan {
    /// Whether there is nothing to do here.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether somebody gains something on a lane that was open already, or may become a party's
    /// role who could not before. Opening a lane that is new, or was closed, to its declared
    /// parties is what applying means.
    pub fn widens(&self) -> bool {
        let gains = self.effects.iter().any(|it| it.was_open && !it.gains.is_empty());
        gains || self.steps.iter().any(|it| matches!(it.action, Action::PutTrust { .. }))
    }
}

impl Step {
    /// Whether it writes a policy.
    pub(crate) fn changes_access(&self) -> bool {
        use Action::{
            CreateKey, CreateQueue, PutBucketPolicy, PutIdentityPolicy, PutKeyPolicy,
            SetQueueAttributes,
        };
        matches!(
            self.action,
            CreateKey { .. }
                | CreateQueue { .. }
                | SetQueueAttributes { .. }
                | PutBucketPolicy { .. }
                | PutIdentityPolicy { .. }
                | PutKeyPolicy { .. }
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.change {
            Change::Create => '+',
            Change::Change => '~',
            Change::Remove => '-',
        };
        write!(f, "{sign} {}", self.words)
    }
}

pub(crate) const PLAN_VERSION: u32 = 3;

/// The digest of what was seen.
pub(crate) fn fingerprint(observed: &Observed) -> String {
    let bytes = serde_json::to_vec(observed).expect("an observation is plain data");
    blake3::hash(&bytes).to_hex().to_string()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
