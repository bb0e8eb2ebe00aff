//! Signatures inside a sealed message: hashed while the content passes, judged at its end.

use digest::DynDigest;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    OnePassSignature, OpsVersionSpecific, Signature, SignatureType, SignatureVersionSpecific,
    SubpacketData,
};
use pgp::types::Fingerprint;

use super::certificate::Certificate;
use super::validity::{Component, date, is_named, is_weak, signature_ended};
use crate::{Error, ErrorKind};

/// How far a signer's clock may be ahead of ours.
const CLOCK_SECONDS: u64 = 3600;

/// What the signatures of a message come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Signed {
    /// The fingerprint of the expected signer's certificate.
    pub(super) by: Option<String>,
    /// When it was signed, in Unix seconds.
    pub(super) at: Option<u64>,
}

/// Who may have signed, for whom, and when it is now.
pub(super) struct Checks<'a> {
    signers: &'a [Certificate],
    /// Fingerprints of our own keys: a signature may say for whom it is.
    ours: Vec<Fingerprint>,
    at: u64,
    allow_weak: bool,
    pending: Vec<Pending>,
}

/// A signature that has been announced or has come, and the hash of the content for it.
struct Pending {
    hasher: Option<Box<dyn DynDigest + Send>>,
    text: Option<LineEnds>,
    one_pass: Option<OnePassSignature>,
    signature: Option<Signature>,
}

impl<'a> Checks<'a> {
    pub(super) fn new(
        signers: &'a [Certificate],
        ours: Vec<Fingerprint>,
        at: u64,
        allow_weak: bool,
    ) -> Checks<'a> {
        Checks { signers, ours, at, allow_weak, pending: Vec::new() }
    }

    /// A signature will follow the content.
    pub(super) fn announce(&mut self, one_pass: OnePassSignature) {
        let salt = match one_pass.version_specific() {
            OpsVersionSpecific::V6 { salt, .. } => salt.as_ref(),
            _ => &[],
        };
        let mut pending = Pending::new(one_pass.hash_algorithm(), one_pass.typ(), salt);
        pending.one_pass = Some(one_pass);
        self.add(pending);
    }

    /// A signature that stands before the content, as old software writes it.
    pub(super) fn precede(&mut self, signature: Signature) {
        let Some(config) = signature.config() else { return };
        let salt = match &config.version_specific {
            SignatureVersionSpecific::V6 { salt } => salt.as_slice(),
            _ => &[],
        };
        let mut pending = Pending::new(config.hash_alg, config.typ, salt);
        pending.signature = Some(signature);
        self.add(pending);
    }

    /// Without expected signers there is nothing to compare with: hashing would be for nothing.
    fn add(&mut self, mut pending: Pending) {
        if self.signers.is_empty() {
            pending.hasher = None;
        }
        self.pending.push(pending);
    }

    /// The signature that belongs to the last announced one without (RFC 9580 §10.3: brackets).
    pub(super) fn follow(&mut self, signature: Signature) -> Result<(), Error> {
        let open = self.pending.iter_mut().rev().find(|pending| pending.signature.is_none());
        let announced = open.filter(|pending| {
            pending.one_pass.as_ref().is_some_and(|announced| announced.matches(&signature))
        });
        let Some(pending) = announced else {
            let context = "a signature in it is not the one that was announced";
            return Err(Error::new(ErrorKind::MalformedSignature, context));
        };
        pending.signature = Some(signature);
        Ok(())
    }

    pub(super) fn update(&mut self, content: &[u8]) {
        for pending in &mut self.pending {
            pending.update(content);
        }
    }

    /// Judges all signatures.
    ///
    /// Signatures by others than those expected say nothing. One by an expected signer that does
    /// not hold is an error, whatever the others say.
    pub(super) fn finish(&mut self) -> Result<Signed, Error> {
        let pending = std::mem::take(&mut self.pending);
        let any = !pending.is_empty();
        let mut signed = Signed::default();
        for pending in pending {
            let (Some(hasher), Some(signature)) = (pending.hasher, pending.signature) else {
                continue;
            };
            if let Some((certificate, component)) = self.signer_of(&signature) {
                self.judge(&signature, hasher, certificate, component)?;
                signed.by = Some(certificate.fingerprint());
                signed.at = signature.created().map(|time| u64::from(time.as_secs()));
            }
        }
        if signed.by.is_none() && !self.signers.is_empty() {
            let names: Vec<String> = self.signers.iter().map(Certificate::fingerprint).collect();
            let what = if any { "is signed by somebody else than" } else { "is not signed by" };
            let context = format!("the message {what} {}", names.join(" or "));
            return Err(Error::new(ErrorKind::WrongSigner, context));
        }
        Ok(signed)
    }

    fn signer_of(&self, signature: &Signature) -> Option<(&'a Certificate, Component<'a>)> {
        let (ids, fingerprints) = (signature.issuer_key_id(), signature.issuer_fingerprint());
        self.signers.iter().find_map(|certificate| {
            let named =
                |component: &Component<'_>| is_named(component.details(), &ids, &fingerprints);
            certificate.components().find(named).map(|component| (certificate, component))
        })
    }

    fn judge(
        &self,
        signature: &Signature,
        mut hasher: Box<dyn DynDigest + Send>,
        certificate: &Certificate,
        component: Component<'_>,
    ) -> Result<(), Error> {
        let bad = |context: String| Error::new(ErrorKind::BadSignature, context);
        let name = certificate.fingerprint();
        let (Some(config), Some(made), Some(start)) =
            (signature.config(), signature.signature(), signature.signed_hash_value())
        else {
            return Err(bad(format!("the signature by {name} cannot be read")));
        };
        if !matches!(config.typ, SignatureType::Binary | SignatureType::Text) {
            return Err(bad(format!("the signature by {name} is not one over a file")));
        }
        let trailer = config
            .hash_signature_data(&mut hasher)
            .and_then(|length| config.trailer(length))
            .map_err(|_| bad(format!("the signature by {name} demands what is not known here")))?;
        hasher.update(&trailer);
        let hash = hasher.finalize();
        let holds =
            hash.first_chunk() == Some(&start) && component.verify(config.hash_alg, &hash, made);
        if !holds {
            return Err(bad(format!("the signature by {name} is not one over this content")));
        }
        if is_weak(signature) && !self.allow_weak {
            let context = format!("{name} signed with {}, which can be forged", config.hash_alg);
            return Err(Error::new(ErrorKind::Weak, context));
        }
        let created = signature.created().map_or(0, |time| u64::from(time.as_secs()));
        if created > self.at.saturating_add(CLOCK_SECONDS) {
            return Err(bad(format!(
                "the signature by {name} is from the future ({})",
                date(created)
            )));
        }
        if signature_ended(signature, self.at) {
            return Err(bad(format!("the signature by {name} has expired")));
        }
        self.check_key(certificate, component, created)?;
        self.check_recipient(signature, &name)
    }

    /// The key must have been allowed to sign when it did. Who prolongs a key with GnuPG replaces
    /// the signature that bound it then: where nothing is left of that time, today decides.
    fn check_key(
        &self,
        certificate: &Certificate,
        component: Component<'_>,
        created: u64,
    ) -> Result<(), Error> {
        let keys = match certificate.signing_keys(created) {
            Err(error) if error.kind() == ErrorKind::BadKey => certificate.signing_keys(self.at)?,
            other => other?,
        };
        let fingerprint = component.details().fingerprint();
        if keys.iter().any(|key| key.details().fingerprint() == fingerprint) {
            return Ok(());
        }
        let name = certificate.fingerprint();
        let context = format!("it is signed with a key of {name} that may not sign");
        Err(Error::new(ErrorKind::BadSignature, context))
    }

    /// A signature that names its recipients is for them: else one of them could seal it again for
    /// somebody who then believes that it was sent to him (RFC 9580 §5.2.3.36).
    fn check_recipient(&self, signature: &Signature, name: &str) -> Result<(), Error> {
        let Some(config) = signature.config() else { return Ok(()) };
        let mut named = config.hashed_subpackets().filter_map(|subpacket| match &subpacket.data {
            SubpacketData::IntendedRecipientFingerprint(fingerprint) => Some(fingerprint),
            _ => None,
        });
        let Some(first) = named.next() else { return Ok(()) };
        if self.ours.contains(first) || named.any(|fingerprint| self.ours.contains(fingerprint)) {
            return Ok(());
        }
        let context = format!("{name} signed this for somebody else, who has sealed it for you");
        Err(Error::new(ErrorKind::WrongContext, context))
    }
}

impl Pending {
    fn new(hash: HashAlgorithm, kind: SignatureType, salt: &[u8]) -> Pending {
        let hasher = hash.new_hasher().ok().map(|mut hasher| {
            hasher.update(salt);
            hasher
        });
        let text = (kind == SignatureType::Text).then_some(LineEnds { after_return: false });
        Pending { hasher, text, one_pass: None, signature: None }
    }

    fn update(&mut self, content: &[u8]) {
        let Some(hasher) = &mut self.hasher else { return };
        match &mut self.text {
            None => hasher.update(content),
            Some(ends) => ends.update(hasher.as_mut(), content),
        }
    }
}

/// Text signatures are over lines that end in CR LF, whatever they end in (RFC 9580 §5.2.1.2).
struct LineEnds {
    after_return: bool,
}

impl LineEnds {
    fn update(&mut self, hasher: &mut (dyn DynDigest + Send), content: &[u8]) {
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(text) => {
                    hasher.update(text);
                    let has_return = text.last().map_or(self.after_return, |byte| *byte == b'\r');
                    hasher.update(if has_return { b"\n" } else { b"\r\n" });
                }
                None => hasher.update(line),
            }
            self.after_return = line.last() == Some(&b'\r');
        }
    }
}
