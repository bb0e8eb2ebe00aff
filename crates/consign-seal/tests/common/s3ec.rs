//! What the tests of the S3 Encryption Client formats share.

use consign_seal::s3ec::{
    self, AesKey, CommitmentPolicy, DataKey, ExpectedContext, Header, MetadataRead, OpenPolicy,
    Opener, Pairs, RsaPrivateKey, Sealer, Suite,
};
use consign_seal::{Error, ErrorKind};

/// The suites that are written.
pub(crate) const WRITTEN: [Suite; 2] = [Suite::Gcm, Suite::GcmCommitted];

/// The policy that seals with this suite.
pub(crate) fn policy_for(suite: Suite) -> CommitmentPolicy {
    match suite {
        Suite::GcmCommitted => CommitmentPolicy::RequireEncryptRequireDecrypt,
        _ => CommitmentPolicy::ForbidEncryptAllowDecrypt,
    }
}

/// Everything is let through.
pub(crate) fn anything() -> OpenPolicy {
    OpenPolicy {
        commitment: CommitmentPolicy::RequireEncryptAllowDecrypt,
        legacy_wrapping: true,
        legacy_content: true,
        unauthenticated_ranges: true,
        context: ExpectedContext::AsStored,
    }
}

pub(crate) fn pairs(of: &[(&str, &str)]) -> Pairs {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A sealer under an AES wrapping key.
pub(crate) fn sealer(suite: Suite, wrapping: &AesKey) -> Sealer {
    let key = DataKey::generate().unwrap();
    let wrapped = wrapping.wrap(suite, &key, &Pairs::new()).unwrap();
    Sealer::new(policy_for(suite), &key, wrapped).unwrap()
}

pub(crate) fn header(metadata: &Pairs) -> Result<Header, Error> {
    match s3ec::read_metadata(metadata)? {
        MetadataRead::Header(header) => Ok(header),
        MetadataRead::Pending(pending) => Err(pending.without_instruction_file()),
    }
}

pub(crate) fn opener(header: &Header, wrapping: &AesKey) -> Result<Opener, Error> {
    let policy = anything();
    let admitted = header.admit(&policy)?;
    admitted.open(&wrapping.unwrap(&admitted.wanted())?)
}

/// What any change to an object must come to: one kind, one sentence, and a line for the log.
pub(crate) fn assert_does_not_open<T>(result: Result<T, Error>, what: &str) {
    let Err(error) = result else { panic!("{what}: accepted") };
    assert_eq!(error.kind(), ErrorKind::Tampered, "{what}: {error:?}");
    assert_eq!(
        error.to_string(),
        "the object does not open: it or its encryption metadata was changed, or it was sealed \
         with another key",
        "{what}"
    );
    assert!(error.detail().is_some_and(|detail| !detail.is_empty()), "{what}: {error:?}");
}

/// A key made by `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`, for tests only.
pub(crate) fn rsa() -> RsaPrivateKey {
    RsaPrivateKey::from_pem(include_str!("../../testdata/s3ec/rsa-2048.pem")).unwrap()
}
