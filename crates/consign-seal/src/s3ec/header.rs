//! What a reader knows of an object before it opens it, and what it asks for to do so.

use super::commitment::{
    COMMITMENT_BYTES, DERIVED_IV, MESSAGE_ID_BYTES, content_key, verify_commitment,
};
use super::keyring::{CONTEXT_SUITE, CONTEXT_V1_KEY, DataKey, Wrap, WrappedKey, refuse_reserved};
use super::opener::Opener;
use super::pairs::Pairs;
use super::suite::{COMMITTED_ID, ExpectedContext, Format, OpenPolicy, Suite};
use super::{cbc, does_not_open, gcm};
use crate::{Error, ErrorKind};

/// Everything that lies beside the content. Made by [`read_metadata`](super::read_metadata) or a
/// [`Sealer`](super::Sealer); nothing in it is authenticated until the content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub(super) format: Format,
    pub(super) content: Content,
    pub(super) wrapped: WrappedKey,
}

/// What the content was sealed with, beside the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Cbc { iv: [u8; cbc::IV_BYTES] },
    Gcm { iv: [u8; gcm::IV_BYTES] },
    Committed { message_id: [u8; MESSAGE_ID_BYTES], commitment: [u8; COMMITMENT_BYTES] },
}

impl Content {
    pub(super) fn suite(&self) -> Suite {
        match self {
            Content::Cbc { .. } => Suite::Cbc,
            Content::Gcm { .. } => Suite::Gcm,
            Content::Committed { .. } => Suite::GcmCommitted,
        }
    }
}

/// The key that opens an object, described for whoever can get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRequest<'a> {
    /// KMS `Decrypt` of `ciphertext` under exactly this encryption context. Name the KMS key in the
    /// request where it is known, so that a foreign ciphertext cannot choose one.
    Kms {
        /// The wrapped data key.
        ciphertext: &'a [u8],
        /// The whole encryption context, reserved names included.
        context: &'a Pairs,
    },
    /// [`AesKey::unwrap`](super::AesKey::unwrap).
    Aes {
        /// What the data key is for.
        suite: Suite,
        /// How it is wrapped.
        wrap: Wrap,
        /// The wrapped data key.
        wrapped: &'a [u8],
        /// What its writer says of the wrapping key. Not authenticated.
        description: &'a Pairs,
    },
    /// [`RsaPrivateKey::unwrap`](super::RsaPrivateKey::unwrap).
    Rsa {
        /// What the data key is for.
        suite: Suite,
        /// How it is wrapped.
        wrap: Wrap,
        /// The wrapped data key.
        wrapped: &'a [u8],
        /// What its writer says of the wrapping key. Not authenticated.
        description: &'a Pairs,
    },
}

impl Header {
    /// The format of the metadata.
    pub fn format(&self) -> Format {
        self.format
    }

    /// How the content is sealed.
    pub fn suite(&self) -> Suite {
        self.content.suite()
    }

    /// How the data key is wrapped.
    pub fn wrap(&self) -> Wrap {
        self.wrapped.wrap
    }

    /// With KMS the encryption context, which KMS authenticates; otherwise what the writer says of
    /// the wrapping key. Without the reserved names.
    pub fn context(&self) -> Pairs {
        let mut context = self.wrapped.pairs.clone();
        if self.wrapped.wrap.is_kms() {
            context.remove(CONTEXT_SUITE);
            context.remove(CONTEXT_V1_KEY);
        }
        context
    }

    /// Decides, before any key is asked for, whether this object may be opened.
    ///
    /// # Errors
    /// [`ErrorKind::Weak`] for what the policy's switches leave out, naming the suite or wrap;
    /// [`ErrorKind::WrongContext`] where the encryption context is another than expected.
    pub fn admit<'a>(&'a self, policy: &'a OpenPolicy) -> Result<Admitted<'a>, Error> {
        let suite = self.suite();
        if suite == Suite::Cbc && !policy.legacy_content {
            let text = format!("its content is sealed with {suite}, which nothing authenticates");
            return Err(Error::new(ErrorKind::Weak, text));
        }
        if !policy.commitment.allows_opening(suite) {
            let policy = policy.commitment;
            let text = format!("it is sealed with {suite}, which the policy {policy} refuses");
            return Err(Error::new(ErrorKind::Weak, text));
        }
        if self.wrapped.wrap.is_legacy() && !policy.legacy_wrapping {
            let name = self.wrapped.wrap.v2_name().unwrap_or("a method of V1 objects");
            let text =
                format!("its data key is wrapped with {name}, which is not written any more");
            return Err(Error::new(ErrorKind::Weak, text));
        }
        self.check_context(&policy.context)?;
        Ok(Admitted { header: self, policy })
    }

    /// s3-kms-keyring.md, "KmsV1" and "Kms+Context".
    fn check_context(&self, expected: &ExpectedContext) -> Result<(), Error> {
        if self.wrapped.wrap == Wrap::KmsContext {
            let bound = self.wrapped.pairs.get(CONTEXT_SUITE).map(String::as_str);
            if bound != Some(self.suite().value()) {
                let detail = format!("{CONTEXT_SUITE} in the context names another suite or none");
                return Err(does_not_open(detail));
            }
        }
        let ExpectedContext::Exactly(expected) = expected else { return Ok(()) };
        refuse_reserved(expected)?;
        let fits = match self.wrapped.wrap {
            Wrap::KmsContext => self.context() == *expected,
            // Nobody could give a context to V1, so one that is expected means a downgrade.
            Wrap::Kms => expected.is_empty(),
            _ => true,
        };
        if !fits {
            let text = "it was sealed for another encryption context than the one expected here";
            let detail = format!("the context is {:?}", self.context());
            return Err(Error::new(ErrorKind::WrongContext, text).with_detail(detail));
        }
        Ok(())
    }

    /// The same object for another key: the new header's
    /// [`to_instruction_file`](Header::to_instruction_file) replaces the old instruction file, and the
    /// content stays as it is (client.md, "ReEncryptInstructionFile"). The old key opens the old
    /// instruction file for as long as a version of it exists.
    ///
    /// # Errors
    /// Where `key` is not the one the content commits to, where `wrapped` is for another suite, and
    /// for content that is only read.
    pub fn rewrap(&self, key: &DataKey, wrapped: WrappedKey) -> Result<Header, Error> {
        if let Content::Committed { message_id, commitment } = &self.content {
            verify_commitment(key, message_id, commitment)?;
        }
        super::keyring::refuse_legacy(self.suite())?;
        if wrapped.suite != self.suite() {
            let text =
                format!("a key wrapped for {} cannot be that of {}", wrapped.suite, self.suite());
            return Err(Error::usage(text));
        }
        Ok(Header { wrapped, ..self.clone() })
    }
}

/// A header that a policy lets pass.
#[derive(Clone, Copy, Debug)]
pub struct Admitted<'a> {
    header: &'a Header,
    policy: &'a OpenPolicy,
}

impl<'a> Admitted<'a> {
    /// The header itself.
    pub fn header(&self) -> &'a Header {
        self.header
    }

    /// The key to get.
    pub fn wanted(&self) -> KeyRequest<'a> {
        let WrappedKey { suite, wrap, bytes, pairs } = &self.header.wrapped;
        let (suite, wrap) = (*suite, *wrap);
        match wrap {
            Wrap::KmsContext | Wrap::Kms => KeyRequest::Kms { ciphertext: bytes, context: pairs },
            Wrap::AesGcm | Wrap::AesKeyWrap | Wrap::AesEcb => {
                KeyRequest::Aes { suite, wrap, wrapped: bytes, description: pairs }
            }
            Wrap::RsaOaepSha1 | Wrap::RsaOaepSha256 | Wrap::RsaPkcs1 => {
                KeyRequest::Rsa { suite, wrap, wrapped: bytes, description: pairs }
            }
        }
    }

    /// Opens with the key. In V3, the commitment is compared before any other key is derived
    /// (decryption.md, "Decrypting With Commitment").
    ///
    /// # Errors
    /// [`ErrorKind::Tampered`] where the content commits to another key.
    pub fn open(&self, key: &DataKey) -> Result<Opener, Error> {
        let ranges = self.policy.unauthenticated_ranges;
        match &self.header.content {
            Content::Cbc { iv } => Ok(Opener::cbc(key, *iv)),
            Content::Gcm { iv } => {
                Ok(Opener::gcm(gcm::Gcm::new(key.as_bytes(), *iv, &[])?, ranges))
            }
            Content::Committed { message_id, commitment } => {
                verify_commitment(key, message_id, commitment)?;
                let derived = content_key(key, message_id)?;
                Ok(Opener::gcm(gcm::Gcm::new(&derived, DERIVED_IV, &COMMITTED_ID)?, ranges))
            }
        }
    }
}
