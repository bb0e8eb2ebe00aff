//! Keys in accounts that we cannot look into, as their owners told us (`--key LANE=ARN`).

use crate::desired::{Desired, DesiredLane, Keys};
use crate::error::{Error, ErrorKind};

/// What the ARN of a lane's key begins with.
pub(crate) fn key_arn_prefix(lane: &DesiredLane) -> String {
    format!("arn:aws:kms:{}:{}:key/", lane.region, lane.key_owner)
}

/// Whether each told key can be the key of its lane: its account, its Region, a plain key id.
///
/// # Errors
/// [`ErrorKind::Exchange`] names the lane and what its key's ARN looks like.
pub fn check_told(desired: &Desired, told: &Keys) -> Result<(), Error> {
    for (name, arn) in told {
        let Some(lane) = desired.lanes.get(name).filter(|lane| lane.has_key()) else {
            let message = format!("a key is given for lane `{name}`, which has none");
            return Err(Error::new(ErrorKind::Exchange, message)
                .with_hint(format!("leave out --key {name}=…, or correct the lane's name")));
        };
        let id = arn.as_str().strip_prefix(&key_arn_prefix(lane));
        let plain =
            |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !id.is_some_and(plain) {
            let message = format!("{arn} cannot be the key of lane `{name}`");
            return Err(Error::new(ErrorKind::Exchange, message)
                .with_hint(format!("--key {name}={}KEY-ID", key_arn_prefix(lane))));
        }
    }
    Ok(())
}
