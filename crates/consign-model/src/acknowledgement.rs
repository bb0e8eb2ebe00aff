//! What a consumer says that it has fetched, for the publisher to read.
//!
//! An [`Acknowledgement`] lies in the inbox as `acknowledgements/ID.json`, ID being the delivery's; its
//! signature (SSHSIG over the exact bytes, namespace [`ACKNOWLEDGEMENT_NAMESPACE`]) lies beside it as
//! `acknowledgements/ID.DIGEST.sig`, DIGEST being BLAKE3 of those bytes, and is put first. It names the
//! bytes of the record, so that it says what was fetched and not only that something was. One
//! acknowledgement of a delivery is there at most, by whichever consumer was first.
//!
//! [`Acknowledgement::parse`] judges it by itself; who signed it is the reader's question.

use crate::name::shown;
use crate::{
    ACKNOWLEDGEMENTS, DeliveryId, Digest, Error, ErrorKind, ExchangeName, InboxName, PartyName,
    Timestamp,
};
use serde::{Deserialize, Serialize};

/// The only format of this version.
pub const ACKNOWLEDGEMENT_FORMAT: &str = "consign-acknowledgement/1";

/// The namespace of an acknowledgement's signature.
pub const ACKNOWLEDGEMENT_NAMESPACE: &str = "consign-acknowledgement@1";

/// More than any acknowledgement has: four names and two digests.
pub const ACKNOWLEDGEMENT_BYTES_MAX: usize = 4 << 10;

/// That a delivery was fetched whole, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// [`ACKNOWLEDGEMENT_FORMAT`].
    pub format: String,
    /// The exchange.
    pub exchange: ExchangeName,
    /// The inbox.
    pub inbox: InboxName,
    /// Which delivery.
    pub delivery: DeliveryId,
    /// BLAKE3 of the bytes of its record.
    pub record: Digest,
    /// Who fetched it, and has signed this.
    pub party: PartyName,
    /// When, by that party's clock.
    pub acknowledged: Timestamp,
}

impl Acknowledgement {
    /// The bytes that are signed: JSON in the order of the fields, without spaces, one newline at the
    /// end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("names and numbers always serialise");
        bytes.push(b'\n');
        bytes
    }

    /// Reads an acknowledgement of at most [`ACKNOWLEDGEMENT_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Version`] for a later format, [`ErrorKind::Limit`] for one that is too long,
    /// [`ErrorKind::Syntax`] for what is none.
    pub fn parse(bytes: &[u8]) -> Result<Acknowledgement, Error> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        if bytes.len() > ACKNOWLEDGEMENT_BYTES_MAX {
            let message =
                format!("an acknowledgement has at most {ACKNOWLEDGEMENT_BYTES_MAX} bytes");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        // The format first, so that a later version is not called malformed.
        let head: Head = serde_json::from_slice(bytes).map_err(|e| none(&e))?;
        if head.format != ACKNOWLEDGEMENT_FORMAT {
            let message = format!(
                "the acknowledgement has the format {}; this program reads {ACKNOWLEDGEMENT_FORMAT}",
                shown(&head.format)
            );
            return Err(Error::new(ErrorKind::Version, message));
        }
        serde_json::from_slice(bytes).map_err(|e| none(&e))
    }

    /// The key of the signature of an acknowledgement of exactly these bytes.
    #[must_use]
    pub fn signature_key(delivery: &DeliveryId, prefix: &str, bytes: &[u8]) -> String {
        format!("{prefix}{ACKNOWLEDGEMENTS}{delivery}.{}.sig", Digest::of(bytes))
    }
}

fn none(error: &serde_json::Error) -> Error {
    // The message may quote what a stranger wrote.
    let reason: String =
        error.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Error::new(ErrorKind::Syntax, format!("this is not an acknowledgement: {reason}"))
}
