//! What the layout of a lane asks of its other fields.

use super::{AT_REST, Check, SEALS};
use crate::name::shown;
use crate::raw::{At, RawLane};
use crate::{AtRest, Error, ErrorKind, Layout, PartyName, Seal};

const LAYOUTS: [(&str, Layout); 2] = [("consign", Layout::Consign), ("s3s2", Layout::S3s2)];

/// The fields that depend on each other.
pub(super) struct LaidOut {
    pub(super) layout: Layout,
    pub(super) prefix: String,
    pub(super) seal: Seal,
    pub(super) at_rest: AtRest,
}

impl Check<'_> {
    pub(super) fn layout(
        &self,
        what: &str,
        raw: &RawLane,
        from: &PartyName,
    ) -> Result<LaidOut, Error> {
        let layout = self.choice(what, "layout", raw.layout.as_ref(), LAYOUTS)?;
        let seal = self.choice(what, "seal", raw.seal.as_ref(), SEALS)?;
        let at_rest = self.choice(what, "at_rest", raw.at_rest.as_ref(), AT_REST)?;
        let prefix = raw.prefix.as_ref().map(|it| self.prefix(it)).transpose();
        let prefix = prefix.map_err(|e| e.inside(what))?;
        if layout == Layout::Consign {
            return Ok(LaidOut { layout, prefix: prefix.unwrap_or_default(), seal, at_rest });
        }
        let wrong = |at: &At<String>, field: &str, why: &str| {
            let message = format!(
                "{what} has `layout = \"s3s2\"`, and `{field}` is {}: {why}",
                shown(&at.value)
            );
            self.source.error(ErrorKind::Conflict, at.offset, message)
        };
        if let Some(at) = raw.seal.as_ref().filter(|_| seal != Seal::Openpgp) {
            return Err(wrong(at, "seal", "s3s2 reads OpenPGP alone; drop `seal`"));
        }
        if let Some(at) = raw.at_rest.as_ref().filter(|_| at_rest == AtRest::SseC) {
            let why = "s3s2 sends no keys to S3; write \"sse-kms\", or drop `at_rest`";
            return Err(wrong(at, "at_rest", why));
        }
        let prefix = match (&raw.prefix, prefix) {
            (Some(at), Some(prefix)) => {
                let first = prefix.split('/').next().unwrap_or_default();
                if first.is_empty() || first != first.to_uppercase() {
                    let why =
                        "s3s2 looks below the organisation's name in capitals, as in \"ACME/\"";
                    return Err(wrong(at, "prefix", why));
                }
                prefix
            }
            _ => format!("{}/", from.as_str().to_uppercase()),
        };
        Ok(LaidOut { layout, prefix, seal: Seal::Openpgp, at_rest })
    }
}
