//! Parties, exchange files, lanes, relative paths and manifests: values that cannot be wrong.
//!
//! Start with [`Exchange::parse`], which turns the text of an `exchange.toml` into parties and
//! lanes or into one error that names the line, the thing and the remedy; then with
//! [`Manifest::parse`], which does the same for what a sender says it sent. Everything else here is
//! a part of one of the two: names ([`PartyName`], [`LaneName`]), [`Date`] and [`Timestamp`],
//! [`RelativePath`], [`ConsignmentId`], [`Digest`].
//!
//! Parse at the edge, and hand on a value that cannot be wrong: whoever holds a [`RelativePath`]
//! need not ask again whether it climbs out of a folder. This crate does no input or output, reads
//! no clock and no randomness, and knows neither S3 nor cryptography; whether a signature is good
//! is for others to find out.

mod acknowledgement;
mod carry;
mod check;
mod date;
mod delivery;
mod digest;
mod error;
mod exchange;
mod group;
mod id;
mod inbox;
mod layout;
mod manifest;
mod name;
mod object_name;
mod path;
mod principal;
mod public_key;
mod raw;
mod readiness;
mod revision;
mod route;
mod template;

pub use acknowledgement::{
    ACKNOWLEDGEMENT_BYTES_MAX, ACKNOWLEDGEMENT_FORMAT, ACKNOWLEDGEMENT_NAMESPACE, Acknowledgement,
};
pub use carry::{Carry, Labels, METADATA_BYTES_MAX, VERDICT_TAG};
pub use date::{Date, Timestamp};
pub use delivery::{
    ACKNOWLEDGEMENTS, DELIVERIES, DELIVERY_BYTES_MAX, DELIVERY_FORMAT, DELIVERY_NAMESPACE,
    DeliveryId, DeliveryRecord, DeliverySource, DeliveryTarget, SOURCE_TAG, SourceDigest,
};
pub use digest::Digest;
pub use error::{Error, ErrorKind, Place};
pub use exchange::{AtRest, Each, Exchange, Keyring, Lane, Party, Seal, Trust, Writer};
pub use id::{ChainId, ConsignmentId};
pub use inbox::{Inbox, Repository};
pub use layout::Layout;
pub use manifest::{
    Addressee, CustomerKeyOrigin, FORMAT, Limits, Manifest, ManifestFile, ManifestObject,
    PACK_CONTENT_BYTES_MAX, PACK_ENTRIES_MAX, SSE_C_DERIVATION,
};
pub use name::{
    AccountId, BucketName, ExchangeName, InboxName, KeyId, LaneName, PartyName, Region,
    RepositoryName, RouteName,
};
pub use object_name::ObjectName;
pub use path::RelativePath;
pub use principal::{Principal, PrincipalKind};
pub use public_key::PublicKey;
pub use revision::{REVISIONS_MAX, Revision, revised_place, revision_of};
pub use route::{Arrival, Destination, KeyTemplate, Route};
pub use template::{
    Hub, SecureInbox, TemplateParty, TwoWay, hub_template, inbox_template, two_way_template,
};
