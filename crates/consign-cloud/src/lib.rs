//! Talks to S3, KMS, IAM, STS and SQS, and says what went wrong in words to act on.
//!
//! Start with [`Cloud::connect`]: it takes [`Settings`] (region, endpoint, profile, CA bundle) and
//! gives one value with five clients, [`S3`], [`Kms`], [`Iam`], [`Sts`] and [`Sqs`]. Their methods are one
//! request each, take and give plain Rust types, and fail with one [`Error`] whose
//! [`kind`](Error::kind) says whose fault it is and whether trying again can help.
//!
//! This is the only crate that imports an `aws-*` crate; nothing of the SDK shows in a signature.
//! Whatever is true of AWS and not of the other S3 servers (path-style addresses, checksums that
//! must be asked for, a private certificate authority) is settled here, once, in `connect.rs`.
//! What this crate is not: it does not retry object data (the transfer engine does, because only
//! it knows which bytes to send again), and it knows neither exchanges nor seals.

mod connect;
pub mod elsewhere;
mod error;
pub mod iam;
pub mod kms;
pub mod s3;
mod settings;
pub mod sqs;
pub mod sts;
mod url;

pub use elsewhere::Elsewhere;
pub use error::{Error, ErrorKind};
pub use iam::Iam;
pub use kms::Kms;
pub use s3::S3;
pub use settings::{Credentials, Settings, Timeouts};
pub use sqs::Sqs;
pub use sts::Sts;
pub use url::MaskedUrl;

/// One identity's view of S3, KMS, IAM, STS and SQS. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Cloud {
    s3: S3,
    kms: Kms,
    iam: Iam,
    sts: Sts,
    sqs: Sqs,
    elsewhere: Elsewhere,
    region: String,
    endpoint: Option<String>,
}

impl Cloud {
    /// Makes the five clients. Reads configuration and credential files, sends nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when no region is known, or when the CA bundle cannot be read
    /// or holds no certificate.
    pub async fn connect(settings: &Settings) -> Result<Cloud, Error> {
        connect::connect(settings).await
    }

    /// Objects and buckets.
    pub fn s3(&self) -> &S3 {
        &self.s3
    }

    /// Keys.
    pub fn kms(&self) -> &Kms {
        &self.kms
    }

    /// Users, roles and their policies.
    pub fn iam(&self) -> &Iam {
        &self.iam
    }

    /// Who am I, and who may I become.
    pub fn sts(&self) -> &Sts {
        &self.sts
    }

    /// Queues and messages.
    pub fn sqs(&self) -> &Sqs {
        &self.sqs
    }

    /// What other services say about buckets: S3 Control, CloudTrail, SQS, Access Analyzer,
    /// GuardDuty.
    pub fn elsewhere(&self) -> &Elsewhere {
        &self.elsewhere
    }

    /// The region requests are signed for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The endpoint set by flag, environment or profile; none means AWS itself.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// True when requests go somewhere else than to AWS.
    pub fn is_custom_endpoint(&self) -> bool {
        self.endpoint.is_some()
    }
}
