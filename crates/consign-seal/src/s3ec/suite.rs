//! Algorithm suites, and what a caller allows of them.

use std::fmt;

use super::pairs::Pairs;

/// How the content is sealed (content-metadata.md, "Algorithm Suite and Message Format Version
/// Compatibility").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// AES-256-CBC with PKCS #7 padding: not authenticated, never written.
    Cbc,
    /// AES-256-GCM under the data key itself: V2.
    Gcm,
    /// AES-256-GCM under a key derived from the data key, with a commitment to it: V3.
    GcmCommitted,
}

/// The identifier of the committing suite, as AAD and in what HKDF is told (key-derivation.md).
pub(super) const COMMITTED_ID: [u8; 2] = [0x00, 0x73];

impl Suite {
    /// The value of `x-amz-cek-alg` and `x-amz-c`, which keyrings bind to the wrapped key too.
    pub(super) fn value(self) -> &'static str {
        match self {
            Suite::Cbc => "AES/CBC/PKCS5Padding",
            Suite::Gcm => "AES/GCM/NoPadding",
            Suite::GcmCommitted => "115",
        }
    }

    /// Whether the sealed content opens with one data key only.
    pub fn commits_to_its_key(self) -> bool {
        self == Suite::GcmCommitted
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Suite::Cbc => "ALG_AES_256_CBC_IV16_NO_KDF",
            Suite::Gcm => "ALG_AES_256_GCM_IV12_TAG16_NO_KDF",
            Suite::GcmCommitted => "ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY",
        })
    }
}

/// The format of the metadata (content-metadata.md, "Format Versions").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `x-amz-key`: AES-CBC.
    V1,
    /// `x-amz-key-v2`.
    V2,
    /// `x-amz-c` and its short companions.
    V3,
}

/// Which suites may seal and which may open: three steps for a fleet of readers and writers to
/// move to commitment without a day on which one cannot read the other (key-commitment.md).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CommitmentPolicy {
    /// Seals without commitment only; opens both.
    ForbidEncryptAllowDecrypt,
    /// Seals with commitment only; opens both.
    RequireEncryptAllowDecrypt,
    /// Seals and opens with commitment only.
    #[default]
    RequireEncryptRequireDecrypt,
}

impl CommitmentPolicy {
    pub(super) fn allows_sealing(self, suite: Suite) -> bool {
        let commits = suite.commits_to_its_key();
        match self {
            CommitmentPolicy::ForbidEncryptAllowDecrypt => !commits,
            CommitmentPolicy::RequireEncryptAllowDecrypt
            | CommitmentPolicy::RequireEncryptRequireDecrypt => commits,
        }
    }

    pub(super) fn allows_opening(self, suite: Suite) -> bool {
        suite.commits_to_its_key() || self != CommitmentPolicy::RequireEncryptRequireDecrypt
    }
}

impl fmt::Display for CommitmentPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CommitmentPolicy::ForbidEncryptAllowDecrypt => "FORBID_ENCRYPT_ALLOW_DECRYPT",
            CommitmentPolicy::RequireEncryptAllowDecrypt => "REQUIRE_ENCRYPT_ALLOW_DECRYPT",
            CommitmentPolicy::RequireEncryptRequireDecrypt => "REQUIRE_ENCRYPT_REQUIRE_DECRYPT",
        })
    }
}

/// What a reader accepts. The default is the safest of everything: key commitment required, nothing
/// legacy, nothing unauthenticated, no encryption context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenPolicy {
    /// Which suites open.
    pub commitment: CommitmentPolicy,
    /// Open data keys wrapped in ways that are not written any more (client.md, "Enable Legacy
    /// Wrapping Algorithms"): KMS without a bound algorithm, AES key wrap, RSA PKCS #1.
    pub legacy_wrapping: bool,
    /// Open content that is not authenticated (client.md, "Enable Legacy Unauthenticated Modes"):
    /// AES-CBC.
    pub legacy_content: bool,
    /// Open ranges without the rest of the object, hence unauthenticated (client.md, "Enable
    /// Delayed Authentication"): whoever can write to the bucket can flip any bit of them.
    pub unauthenticated_ranges: bool,
    /// What the object must have been sealed for.
    pub context: ExpectedContext,
}

/// The encryption context an object must carry, KMS keys only: KMS authenticates it. What raw keys
/// carry instead is a description that anybody with access to the bucket can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedContext {
    /// These pairs and no others, beside the reserved ones (s3-kms-keyring.md, "Kms+Context").
    Exactly(Pairs),
    /// Whatever the object says: for looking at an object of which nothing else is known. Then an
    /// object that was moved or renamed opens too.
    AsStored,
}

impl Default for ExpectedContext {
    fn default() -> ExpectedContext {
        ExpectedContext::Exactly(Pairs::new())
    }
}
