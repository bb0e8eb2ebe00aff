//! The manifest as it travels: signed, then sealed with its signature, each an object of its own.
//!
//! The signature is made over the exact bytes before they are sealed, and what it is for (this
//! exchange, lane, consignment and these receivers) stands inside, so a receiver cannot pass a
//! manifest on as if it had been addressed to somebody else.

use crate::error::{Error, ErrorKind, Result};
use crate::office::{Keys, Office, manifest_names};
use crate::seals::{Metadata, Opening, Sealing, open_all, sealing};
use consign_model::{
    ConsignmentId, Date, Digest, Exchange, KeyId, Lane, Layout, Limits, Manifest, ManifestObject,
    Party, PartyName,
};
use consign_seal::sshsig::{self, VerifyingKey};
use serde::{Deserialize, Serialize};

/// What a manifest's signature is for.
pub(crate) const NAMESPACE: &str = "consign-manifest@1";

/// A manifest ready to be put: what goes into the two last objects of a consignment.
pub(crate) struct Letter {
    /// The manifest's own bytes, which are signed.
    pub(crate) plain: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    /// What stands beside the two.
    pub(crate) beside: Beside,
    /// The manifest that s3s2 reads, on a lane of shares; in clear.
    pub(crate) share: Option<Vec<u8>>,
}

/// What stands beside the sealed manifest and its signature, in formats that need it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Beside {
    pub(crate) manifest: Metadata,
    pub(crate) signature: Metadata,
}

/// A manifest that has been opened and judged as far as it can be without the chain.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) manifest: Manifest,
    pub(crate) digest: Digest,
    /// Which of the sender's keys signed it.
    pub(crate) signer: KeyId,
}

/// Signs a manifest and seals it and its signature to whom the lane is sealed on this day.
pub(crate) async fn write(office: &Office, lane: &Lane, manifest: &Manifest) -> Result<Letter> {
    write_to(office, lane, manifest, &sealing(office, lane)?.1).await
}

/// The same, sealed to others.
pub(crate) async fn write_to(
    office: &Office,
    lane: &Lane,
    manifest: &Manifest,
    sealing: &Sealing,
) -> Result<Letter> {
    let signer = signing_key(office, lane)?;
    let (manifest_name, signature_name) = manifest_names(lane);
    let id = &manifest.id;
    let plain = manifest.to_bytes();
    let signature = sshsig::sign(signer, NAMESPACE, &plain)?;
    let key = sealing.fresh_key(office, lane, id, &manifest_name).await?;
    let (manifest, beside_manifest) = sealing.seal_all(key, &plain)?;
    let key = sealing.fresh_key(office, lane, id, &signature_name).await?;
    let (signature, beside_signature) = sealing.seal_all(key, signature.as_bytes())?;
    let beside = Beside { manifest: beside_manifest, signature: beside_signature };
    Ok(Letter { manifest, signature, plain, beside, share: None })
}

/// Our signing key, if it is one that the exchange file pins and that is live: what we sign with
/// any other would be refused.
pub(crate) fn signing_key<'a>(office: &'a Office, lane: &Lane) -> Result<&'a sshsig::SigningKey> {
    live_signer(&office.exchange, &lane.from, &office.keys, office.today())
}

/// The key at hand to sign as `me`, if the exchange file pins it and it is live.
pub(crate) fn live_signer<'a>(
    exchange: &Exchange,
    me: &PartyName,
    keys: &'a Keys,
    today: Date,
) -> Result<&'a sshsig::SigningKey> {
    let missing = |message: String| {
        let hint = format!("consign keys new {me}");
        Error::new(ErrorKind::Configuration, message).hinting(hint)
    };
    let signer = keys.signer.as_ref();
    let signer = signer.ok_or_else(|| missing(format!("there is no key to sign as `{me}`")))?;
    let public = signer.verifying_key();
    let party = exchange.party(me);
    let mut live = party.into_iter().flat_map(|party| party.live_signers(today));
    match live.any(|key| VerifyingKey::parse(&key.key).is_ok_and(|key| key == public)) {
        true => Ok(signer),
        false => Err(missing(format!(
            "the key at hand to sign as `{me}` ({}) is not a live signer of `{me}` in the exchange \
             file, so receivers would refuse it",
            public.fingerprint()
        ))),
    }
}

/// Opens a manifest and its signature and judges them: signed by a pinned signer who lived then,
/// well-formed, and addressed to this exchange, lane, consignment, revision and receiver.
pub(crate) fn open(
    office: &Office,
    lane: &Lane,
    (id, revision): (&ConsignmentId, u32),
    manifest: (&[u8], &Opening),
    signature: (&[u8], &Opening),
) -> Result<Opened> {
    let open = |(sealed, opening): (&[u8], &Opening), what: &str| {
        open_all(office, lane, sealed, opening).map_err(|error| error.during(what))
    };
    let what = "the manifest's signature cannot be opened";
    let signature = open(signature, what)?;
    let plain = open(manifest, "the manifest cannot be opened")?;
    let party = office
        .exchange
        .party(&lane.from)
        .ok_or_else(|| Error::new(ErrorKind::Bug, format!("lane `{}` has no sender", lane.name)))?;
    let signer = signed_by(party, NAMESPACE, &plain, &signature, "the manifest")?;
    let manifest = Manifest::parse(&plain, &Limits::default()).map_err(|error| {
        Error::new(ErrorKind::Manifest, "the manifest is refused").because(error)
    })?;
    let made = manifest.revision.as_ref().map_or(manifest.created, |revision| revision.made);
    check_signer_lived(party, &signer, made.date(), "the manifest")?;
    check_address(office, lane, (id, revision), &manifest)?;
    check_seals(lane, &manifest)?;
    Ok(Opened { digest: Digest::of(&plain), manifest, signer })
}

/// Which of a party's pinned keys signed these bytes; `what` they are, for the error.
pub(crate) fn signed_by(
    party: &Party,
    namespace: &str,
    plain: &[u8],
    signature: &[u8],
    what: &str,
) -> Result<KeyId> {
    let refused = |why: &str| Error::new(ErrorKind::Signature, why.to_owned());
    let armored = std::str::from_utf8(signature)
        .map_err(|error| refused("the signature is not one").because(error))?;
    let mut keys = Vec::new();
    for key in &party.signers {
        keys.push(VerifyingKey::parse(&key.key).map_err(|error| {
            let message = format!("the signer `{}` of party `{}` is no key", key.id, party.name);
            Error::new(ErrorKind::Configuration, message).because(error)
        })?);
    }
    let which = sshsig::verify(&keys, namespace, plain, armored).map_err(|error| {
        let message = format!("{what} is not signed by `{}` as pinned here", party.name);
        refused(&message).because(error)
    })?;
    let key = party.signers.get(which).ok_or_else(|| refused("the signer is unknown"))?;
    Ok(key.id.clone())
}

/// That a key had not expired on the day that what it signed names.
pub(crate) fn check_signer_lived(
    party: &Party,
    signer: &KeyId,
    created: Date,
    what: &str,
) -> Result<()> {
    let key = party.signers.iter().find(|key| key.id == *signer);
    match key.filter(|key| !key.is_live(created)).and_then(|key| key.not_after) {
        None => Ok(()),
        Some(last) => Err(Error::new(
            ErrorKind::Signature,
            format!(
                "{what} of {created} is signed by `{signer}` of `{}`, which expired on {last}",
                party.name
            ),
        )),
    }
}

fn check_address(
    office: &Office,
    lane: &Lane,
    (id, revision): (&ConsignmentId, u32),
    manifest: &Manifest,
) -> Result<()> {
    let wrong = |what: &str, found: &dyn std::fmt::Display, expected: &dyn std::fmt::Display| {
        let message = format!("the manifest is of {what} `{found}`, not of `{expected}`");
        Err(Error::new(ErrorKind::Misaddressed, message))
    };
    if manifest.exchange != office.exchange.name {
        return wrong("exchange", &manifest.exchange, &office.exchange.name);
    }
    if manifest.lane != lane.name {
        return wrong("lane", &manifest.lane, &lane.name);
    }
    if manifest.sender != lane.from {
        return wrong("sender", &manifest.sender, &lane.from);
    }
    if manifest.id != *id {
        return wrong("consignment", &manifest.id, id);
    }
    if manifest.revision_number() != revision {
        return wrong("revision", &manifest.revision_number(), &revision);
    }
    match manifest.recipients.iter().any(|addressee| addressee.party == office.me) {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::Misaddressed,
            format!("the manifest is not addressed to `{}`", office.me),
        )),
    }
}

/// A lane takes no object that is sealed otherwise than it seals, and a lane of shares no packs.
fn check_seals(lane: &Lane, manifest: &Manifest) -> Result<()> {
    let wrong = |object: &&ManifestObject| {
        let pack = lane.layout == Layout::S3s2 && object.name.is_pack();
        object.name.seal() != lane.seal || pack
    };
    match manifest.objects.iter().find(wrong) {
        None => Ok(()),
        Some(object) => Err(Error::new(
            ErrorKind::Manifest,
            format!("the object {} is not as lane `{}` seals", object.name, lane.name),
        )),
    }
}
