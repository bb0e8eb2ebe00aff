//! The joint between lanes and formats of seals: whom a lane seals to, and how its objects are
//! sealed and opened.
//!
//! age is sealed and opened in parts, in any order (`sealed_file.rs`, `opened_file.rs`). The other
//! formats are *sequential* here: from the first byte to the last, by way of a private file that
//! holds the sealed form (`spool.rs`). Such an object is sealed once, under keys that nobody keeps;
//! an interrupted upload goes on with the sealed bytes, so no nonce ever meets two plaintexts.
//!
//! Keys: age recipients stand in the exchange file. OpenPGP certificates are pinned there by their
//! fingerprints and lie in the key folder. For the Amazon S3 Encryption Client's format the parties
//! share a wrapping key (raw AES) that follows from the lane's secret: HKDF-SHA256, salt
//! `consign-s3ec/1`, info `EXCHANGE/LANE`; or with `keyring = "rsa"` the receiver has an RSA key, whose
//! public half stands in the exchange file; or with `keyring = "kms"` KMS makes and opens the key of each
//! object (`sealing_keys.rs`). That is a call, so keys are got before anything is sealed or opened:
//! [`Sealing::fresh_key`], [`Opening`].

use crate::error::{Error, ErrorKind, Result};
use crate::office::Office;
use crate::sealing_keys;
use crate::spool::Bounded;
use crate::survey::Found;
use consign_model::{
    Addressee, ConsignmentId, Keyring, Lane, Layout, Limits, PartyName, PublicKey, Seal,
};
use consign_seal::age::{self, Recipient};
use consign_seal::openpgp::{self, Certificate, OpenOptions, OpenReader, SealOptions, SealWriter};
use consign_seal::s3ec::{
    self, AesKey, CommitmentPolicy, DataKey, ExpectedContext, Header, MetadataRead, OpenPolicy,
    Opener, RsaPublicKey, Suite, WrappedKey,
};
use consign_seal::s3s2;
use consign_seal::shared_secret::SharedSecret;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;

/// What stands beside an object: `x-amz-meta-` headers, without that prefix.
pub(crate) type Metadata = BTreeMap<String, String>;

const S3EC_DERIVATION: &str = "consign-s3ec/1";

/// How a lane's objects are sealed on this day.
#[derive(Clone)]
pub(crate) enum Sealing {
    /// Not at all.
    Plain,
    /// For these recipients.
    Age(Vec<Recipient>),
    /// For these certificates, at this time in Unix seconds.
    Openpgp(Vec<Certificate>, u64),
    /// For these keys, as s3s2 does it.
    S3s2(Vec<s3s2::PublicKey>),
    /// Under this wrapping key, with this description.
    S3ec(Arc<Wrapping>, Metadata),
}

/// What wraps the data key of each object, in the S3 Encryption Client's format.
pub(crate) enum Wrapping {
    /// A key of the lane's parties.
    Aes(AesKey),
    /// The receiver's.
    Rsa(RsaPublicKey),
    /// The lane's, which KMS keeps.
    Kms,
}

/// The key of one object that is to be sealed, where its format has one that is wrapped apart.
pub(crate) struct FreshKey {
    pub(crate) key: DataKey,
    pub(crate) wrapped: WrappedKey,
}

/// What opening one object takes beyond the keys at hand.
#[derive(Default)]
pub(crate) struct Opening {
    /// What stands beside it.
    pub(crate) metadata: Metadata,
    /// Its key, where KMS opened it.
    pub(crate) key: Option<DataKey>,
}

impl Opening {
    /// For the object that is `name` in a consignment, with this beside it.
    pub(crate) async fn of(
        office: &Office,
        lane: &Lane,
        id: &ConsignmentId,
        name: &str,
        metadata: Metadata,
    ) -> Result<Opening> {
        let key = match lane.asks_kms() {
            true => Some(sealing_keys::open(office, lane, id, name, &metadata).await?),
            false => None,
        };
        Ok(Opening { metadata, key })
    }
}

/// Whom a lane is sealed to on this day, and how.
pub(crate) fn sealing(office: &Office, lane: &Lane) -> Result<(Vec<Addressee>, Sealing)> {
    let (mut addressees, mut keys) = (Vec::new(), Vec::new());
    for name in lane.sealed_to() {
        let live = live_keys(office, lane, name);
        let key_ids = live.iter().map(|key| key.id.clone()).collect();
        addressees.push(Addressee { party: name.clone(), key_ids });
        keys.extend(live.into_iter().map(|key| (name, key)));
    }
    let sealing = match lane.seal {
        Seal::None => Sealing::Plain,
        Seal::Age => Sealing::Age(
            keys.iter().map(|(name, key)| recipient(name, key)).collect::<Result<_>>()?,
        ),
        Seal::Openpgp if lane.layout == Layout::S3s2 => {
            let pinned = |(name, key): &(&PartyName, &PublicKey)| s3s2_key(office, name, key);
            Sealing::S3s2(keys.iter().map(pinned).collect::<Result<_>>()?)
        }
        Seal::Openpgp => {
            let pinned = |(name, key): &(&PartyName, &PublicKey)| certificate(office, name, key);
            let certificates = keys.iter().map(pinned).collect::<Result<_>>()?;
            Sealing::Openpgp(certificates, office.now_ms() / 1000)
        }
        Seal::S3ec => {
            let wrapping = match (lane.keyring, keys.first()) {
                (Keyring::Aes, _) => {
                    Wrapping::Aes(wrapping_key(office, lane, office.newest_secret(lane)?)?)
                }
                (Keyring::Kms, _) => Wrapping::Kms,
                (Keyring::Rsa, Some((name, key))) => Wrapping::Rsa(rsa_key(name, key)?),
                (Keyring::Rsa, None) => {
                    let message = format!("lane `{}` has no live RSA key to seal to", lane.name);
                    return Err(Error::new(ErrorKind::Configuration, message));
                }
            };
            let description =
                [("exchange", office.exchange.name.as_str()), ("lane", lane.name.as_str())];
            let description = description.map(|(name, value)| (name.to_owned(), value.to_owned()));
            Sealing::S3ec(Arc::new(wrapping), description.into())
        }
    };
    Ok((addressees, sealing))
}

/// The keys of a party that a lane seals to on this day.
pub(crate) fn live_keys<'a>(
    office: &'a Office,
    lane: &Lane,
    party: &PartyName,
) -> Vec<&'a PublicKey> {
    let party = office.exchange.party(party);
    let live = party.into_iter().flat_map(|party| party.live_recipients(office.today()));
    let live = live.filter(|key| lane.seals_to(key));
    // An object of the S3 Encryption Client has one wrapped key: the first that the file names.
    live.take(if lane.seal == Seal::S3ec { 1 } else { usize::MAX }).collect()
}

/// The age recipient that a party's key is.
pub(crate) fn recipient(party: &PartyName, key: &PublicKey) -> Result<Recipient> {
    Recipient::parse(&key.key).map_err(|error| {
        let message = format!("the recipient `{}` of party `{party}` is no key", key.id);
        Error::new(ErrorKind::Configuration, message).because(error)
    })
}

fn rsa_key(party: &PartyName, key: &PublicKey) -> Result<RsaPublicKey> {
    RsaPublicKey::from_base64(key.rsa_base64().unwrap_or_default()).map_err(|error| {
        let message = format!("the RSA key `{}` of party `{party}` is none", key.id);
        Error::new(ErrorKind::Configuration, message).because(error)
    })
}

fn certificate(office: &Office, party: &PartyName, key: &PublicKey) -> Result<Certificate> {
    let fingerprint = key.openpgp_fingerprint().unwrap_or_default();
    openpgp::pinned(office.keys.openpgp_certificates.clone(), fingerprint).map_err(|error| {
        let message = format!(
            "the OpenPGP certificate {fingerprint} of `{party}`, which the exchange file names, is \
             not here"
        );
        Error::new(ErrorKind::Configuration, message)
            .because(error)
            .hinting(format!("put it into the key folder as {party}.openpgp"))
    })
}

fn s3s2_key(office: &Office, party: &PartyName, key: &PublicKey) -> Result<s3s2::PublicKey> {
    let fingerprint = key.openpgp_fingerprint().unwrap_or_default();
    let mut keys = office.keys.s3s2_public.iter();
    let found = keys.find(|key| key.fingerprint().eq_ignore_ascii_case(fingerprint));
    found.cloned().ok_or_else(|| {
        let message = format!(
            "the key {fingerprint} of `{party}`, which the exchange file names, is not here, or is not \
             one that s3s2 can use (RSA of 2048 bits or more, neither expired nor revoked)"
        );
        Error::new(ErrorKind::Configuration, message)
            .hinting(format!("put the public key of `{party}` into the key folder as {party}.openpgp"))
    })
}

fn wrapping_key(office: &Office, lane: &Lane, secret: &SharedSecret) -> Result<AesKey> {
    let info = format!("{}/{}", office.exchange.name, lane.name);
    Ok(AesKey::from_bytes(&*secret.derive(S3EC_DERIVATION, &info)?))
}

impl Sealing {
    /// Whether objects are sealed from the first byte to the last.
    pub(crate) fn is_sequential(&self) -> bool {
        matches!(self, Sealing::Openpgp(..) | Sealing::S3s2(..) | Sealing::S3ec(..))
    }

    /// A key for the object that is `name` in a consignment, for one use; none in formats that make their
    /// own. Where KMS makes it, it is asked now.
    pub(crate) async fn fresh_key(
        &self,
        office: &Office,
        lane: &Lane,
        id: &ConsignmentId,
        name: &str,
    ) -> Result<Option<FreshKey>> {
        let Sealing::S3ec(wrapping, description) = self else { return Ok(None) };
        let suite = Suite::GcmCommitted;
        let mut description = description.clone();
        description.insert("consignment".to_owned(), id.to_string());
        description.insert("object".to_owned(), name.to_owned());
        let of_ours = |wrap: &dyn Fn(&DataKey) -> std::result::Result<WrappedKey, _>| {
            let key = DataKey::generate()?;
            let wrapped = wrap(&key)?;
            Ok(FreshKey { key, wrapped })
        };
        Ok(Some(match &**wrapping {
            Wrapping::Aes(aes) => of_ours(&|key| aes.wrap(suite, key, &description)),
            Wrapping::Rsa(rsa) => of_ours(&|key| rsa.wrap(suite, key, &description)),
            Wrapping::Kms => sealing_keys::make(office, lane, id, name, suite).await,
        }?))
    }

    /// Seals something that is in memory; gives what stands beside it, too.
    pub(crate) fn seal_all(
        &self,
        key: Option<FreshKey>,
        plain: &[u8],
    ) -> Result<(Vec<u8>, Metadata)> {
        match self {
            Sealing::Plain => Ok((plain.to_vec(), Metadata::new())),
            Sealing::Age(recipients) => Ok((age::seal_all(recipients, plain)?, Metadata::new())),
            _ => {
                let mut sealed = Vec::new();
                let metadata = self.seal_stream(key, plain, &mut sealed)?;
                Ok((sealed, metadata))
            }
        }
    }

    /// Seals a file's content in a sequential format; gives what stands beside the object, too.
    pub(crate) fn seal_file(
        &self,
        key: Option<FreshKey>,
        found: &Found,
        mut plain: impl Read + Send,
        sealed: impl Write,
    ) -> Result<Metadata> {
        match self {
            Sealing::S3s2(keys) => {
                consign_s3s2::seal_file(&mut plain, &found.path, found.executable, keys, sealed)?;
                Ok(Metadata::new())
            }
            _ => self.seal_stream(key, plain, sealed),
        }
    }

    /// Seals a stream in a sequential format; gives what stands beside the object.
    pub(crate) fn seal_stream(
        &self,
        key: Option<FreshKey>,
        mut plain: impl Read,
        sealed: impl Write,
    ) -> Result<Metadata> {
        match self {
            Sealing::Openpgp(certificates, at) => {
                let mut writer = SealWriter::new(sealed, certificates, &SealOptions::at(*at))?;
                std::io::copy(&mut plain, &mut writer).map_err(stream)?;
                writer.finish()?;
                Ok(Metadata::new())
            }
            Sealing::S3s2(keys) => {
                s3s2::seal(plain, sealed, keys)?;
                Ok(Metadata::new())
            }
            Sealing::S3ec(..) => {
                let missing = || Error::new(ErrorKind::Bug, "an object was sealed without a key");
                let FreshKey { key, wrapped } = key.ok_or_else(missing)?;
                let sealer = s3ec::Sealer::new(CommitmentPolicy::default(), &key, wrapped)?;
                sealer.seal_stream(plain, sealed)?;
                Ok(sealer.header().to_metadata()?)
            }
            Sealing::Plain | Sealing::Age(_) => {
                Err(Error::new(ErrorKind::Bug, "a format that is sealed in parts, in one piece"))
            }
        }
    }
}

/// Whether a lane's objects are opened from the first byte to the last.
pub(crate) fn is_sequential(lane: &Lane) -> bool {
    matches!(lane.seal, Seal::Openpgp | Seal::S3ec)
}

/// Opens something that is in memory. Nothing is given unless all of it is authentic.
pub(crate) fn open_all(
    office: &Office,
    lane: &Lane,
    sealed: &[u8],
    opening: &Opening,
) -> Result<Vec<u8>> {
    match lane.seal {
        Seal::None => Ok(sealed.to_vec()),
        Seal::Age => Ok(age::open_all(&office.keys.identities, sealed)?),
        Seal::Openpgp if lane.layout == Layout::S3s2 => {
            // A message may hold compressed data; nothing that is opened whole is larger than a manifest.
            let mut plain = Bounded::new(Vec::new(), Limits::default().manifest_bytes);
            s3s2::open(sealed, &mut plain, &office.keys.s3s2_secret)?;
            Ok(plain.into_inner())
        }
        Seal::Openpgp => {
            let options = OpenOptions::at(office.now_ms() / 1000);
            Ok(openpgp::open_all(&office.keys.openpgp_secret, &[], sealed, &options)?.plain)
        }
        Seal::S3ec => with_opener(office, lane, opening, |opener| opener.open_all(sealed.to_vec())),
    }
}

/// Opens a sequential object from a file of its sealed form. What `out` gets is authentic and in
/// its place; that it is whole is known when this returns.
pub(crate) fn open_stream(
    office: &Office,
    lane: &Lane,
    mut sealed: &File,
    sealed_bytes: u64,
    content_bytes: u64,
    opening: &Opening,
    out: &mut dyn Write,
) -> Result<()> {
    match lane.seal {
        Seal::Openpgp if lane.layout == Layout::S3s2 => {
            let keys = &office.keys.s3s2_secret;
            Ok(consign_s3s2::open_file(sealed, keys, content_bytes, out).map(drop)?)
        }
        Seal::Openpgp => {
            let options = OpenOptions::at(office.now_ms() / 1000);
            let mut reader = OpenReader::new(&office.keys.openpgp_secret, &[], sealed, &options)?;
            std::io::copy(&mut reader, out).map_err(stream)?;
            Ok(())
        }
        Seal::S3ec => with_opener(office, lane, opening, |opener| {
            let verified = opener.verify_stream(&mut sealed, sealed_bytes)?;
            verified.open_stream(&mut sealed, &mut *out)
        }),
        Seal::Age | Seal::None => {
            Err(Error::new(ErrorKind::Bug, "a format that is opened in parts, in one piece"))
        }
    }
}

/// What stands beside an object, read; nothing of it is authenticated yet.
pub(crate) fn header(metadata: &Metadata) -> Result<Header> {
    match s3ec::read_metadata(metadata)? {
        MetadataRead::Header(header) => Ok(header),
        MetadataRead::Pending(pending) => Err(pending.without_instruction_file().into()),
    }
}

/// Opens with the first key at hand that unwraps the data key, of the lane's secrets or our RSA keys; or
/// with the one that KMS opened.
fn with_opener<T>(
    office: &Office,
    lane: &Lane,
    opening: &Opening,
    open: impl FnOnce(&s3ec::Opener) -> std::result::Result<T, consign_seal::Error>,
) -> Result<T> {
    let header = header(&opening.metadata)?;
    // Where KMS opened the key, the context was the expected one.
    let context = match opening.key {
        Some(_) => ExpectedContext::AsStored,
        None => ExpectedContext::default(),
    };
    let policy = OpenPolicy { context, ..OpenPolicy::default() };
    let admitted = header.admit(&policy)?;
    let wanted = admitted.wanted();
    let mut refused = None;
    let mut attempt = |opener: std::result::Result<Opener, consign_seal::Error>| {
        opener.map_err(|error| refused = refused.take().or(Some(error))).ok()
    };
    let mut opener = None;
    match lane.keyring {
        Keyring::Aes => {
            for secret in office.lane_secrets(lane) {
                let key = wrapping_key(office, lane, secret)?;
                let unwrapped = || key.unwrap(&wanted).and_then(|key| admitted.open(&key));
                opener = opener.or_else(|| attempt(unwrapped()));
            }
        }
        Keyring::Kms => {
            opener = opening.key.as_ref().and_then(|key| attempt(admitted.open(key)));
        }
        Keyring::Rsa => {
            for key in &office.keys.rsa_private {
                let unwrapped = || key.unwrap(&wanted).and_then(|key| admitted.open(&key));
                opener = opener.or_else(|| attempt(unwrapped()));
            }
        }
    }
    match (opener, refused) {
        (Some(opener), _) => Ok(open(&opener)?),
        (None, Some(refused)) => Err(refused.into()),
        (None, None) => {
            let message = "there is no secret of the lane and no key of ours to open with";
            Err(Error::new(ErrorKind::Configuration, message))
        }
    }
}

/// What a reader or writer of ours carried, or trouble with the files.
fn stream(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => ours,
        Err(error) => Error::from(consign_seal::Error::from_io(error)),
    }
}
