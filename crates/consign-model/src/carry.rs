//! Which labels of a source go along with its copy: metadata and tags that a route names, and no other.
//!
//! A label may mean something where it arrives: a policy can let a tag decide who reads. So nothing is
//! carried that the exchange file does not name, and names by which an inbox works cannot be named:
//! [`Carry::allow_metadata`] and [`Carry::allow_tag`] refuse them. Then [`Carry::choose`] is a pure
//! filter: it adds nothing, and changes no value.

use crate::SOURCE_TAG;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The tag that says what a scan has found, as GuardDuty writes it. A scanner's alone.
pub const VERDICT_TAG: &str = "GuardDutyMalwareScanStatus";

/// S3 keeps 10 tags: these, [`SOURCE_TAG`], and a place for [`VERDICT_TAG`].
const TAGS_MAX: usize = 8;

/// S3's limit on user metadata, names and values of an object together, is 2 KiB.
pub const METADATA_BYTES_MAX: usize = 2 << 10;

/// S3's limits on an object's tags.
pub(crate) const TAG_NAME_CHARS_MAX: usize = 128;
pub(crate) const TAG_VALUE_CHARS_MAX: usize = 256;

/// What of a source's labels a route carries along. Empty unless the exchange file says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Carry {
    // INVARIANT: in lower case, as S3 tells them, and without the publisher's own.
    /// Names of user metadata, without `x-amz-meta-`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    metadata: BTreeSet<String>,
    // INVARIANT: at most TAGS_MAX, without the publisher's own and the verdict in whatever case.
    /// Names of tags.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    tags: BTreeSet<String>,
}

/// What an object says of itself beside its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// User metadata: names in lower case without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

impl Carry {
    /// Nothing goes along but the content type.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.metadata.is_empty() && self.tags.is_empty()
    }

    /// Whether the source's tags have to be asked for.
    #[must_use]
    pub fn wants_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    /// Those of the source's labels that are named. What is named and not there is left out.
    #[must_use]
    pub fn choose(&self, source: &Labels) -> Labels {
        let named = |names: &BTreeSet<String>, from: &BTreeMap<String, String>| {
            let found = names.iter().filter_map(|name| from.get_key_value(name));
            found.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        Labels {
            metadata: named(&self.metadata, &source.metadata),
            tags: named(&self.tags, &source.tags),
        }
    }

    /// Lets metadata of this name go along, or says why it cannot.
    pub(crate) fn allow_metadata(&mut self, name: &str) -> Result<(), &'static str> {
        let name = name.to_ascii_lowercase();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.is_empty() || name.len() > TAG_NAME_CHARS_MAX || !name.bytes().all(plain) {
            return Err("names of metadata have 1 to 128 letters, digits and -_.");
        }
        if name.starts_with("x-amz-") {
            return Err("write the name without `x-amz-meta-`");
        }
        if name == SOURCE_TAG {
            return Err("the publisher writes it itself; take it out");
        }
        match self.metadata.insert(name) {
            true => Ok(()),
            false => {
                Err("it is named twice, as S3 does not look at the case of metadata; remove one")
            }
        }
    }

    /// Lets the tag of this name go along, or says why it cannot.
    pub(crate) fn allow_tag(&mut self, name: &str) -> Result<(), &'static str> {
        if !is_tag_name(name) {
            return Err(
                "names of tags have 1 to 128 letters, digits, spaces and +-=._:/@, and do \
                 not begin with `aws:`",
            );
        }
        // IAM does not look at the case of a tag's name in a condition.
        if name.eq_ignore_ascii_case(SOURCE_TAG) {
            return Err("the publisher writes it itself; take it out");
        }
        if name.eq_ignore_ascii_case(VERDICT_TAG) {
            return Err(
                "it says what a scan has found, and nobody but the inbox's scanner gives it; take it out",
            );
        }
        if !self.tags.insert(name.to_owned()) {
            return Err("it is named twice; remove one");
        }
        match self.tags.len() <= TAGS_MAX {
            true => Ok(()),
            false => Err("objects have 10 tags at most, two of them are the publisher's and the \
                 scanner's: name 8 at most"),
        }
    }
}

/// Whether an object can have a tag of this name.
pub(crate) fn is_tag_name(name: &str) -> bool {
    !name.is_empty() && fits_a_tag(name, TAG_NAME_CHARS_MAX) && !name.starts_with("aws:")
}

/// Whether S3 takes this as a tag's name or value.
pub(crate) fn fits_a_tag(text: &str, chars_max: usize) -> bool {
    let plain = |c: char| c.is_alphanumeric() || " +-=._:/@".contains(c);
    text.chars().count() <= chars_max && text.chars().all(plain)
}
