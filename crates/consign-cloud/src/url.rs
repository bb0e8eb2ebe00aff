//! A URL that grants access to whoever holds it prints without the part that grants.

use std::fmt;

use zeroize::Zeroizing;

/// A presigned URL. `Display` and `Debug` hide its signature and token; [`reveal`](Self::reveal)
/// gives it whole, to hand to the one who is to use it.
#[derive(Clone)]
pub struct MaskedUrl(Zeroizing<String>);

impl MaskedUrl {
    pub(crate) fn new(url: &str) -> MaskedUrl {
        MaskedUrl(Zeroizing::new(url.to_owned()))
    }

    /// The URL with everything that grants access. Do not log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Query parameters whose values grant or identify; compared without case.
const HIDDEN: [&str; 5] =
    ["x-amz-signature", "x-amz-security-token", "x-amz-credential", "signature", "awsaccesskeyid"];

impl fmt::Display for MaskedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((path, query)) = self.0.split_once('?') else {
            return f.write_str(&self.0);
        };
        f.write_str(path)?;
        for (index, pair) in query.split('&').enumerate() {
            f.write_str(if index == 0 { "?" } else { "&" })?;
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            if HIDDEN.contains(&name.to_ascii_lowercase().as_str()) {
                write!(f, "{name}=****")?;
            } else {
                f.write_str(pair)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for MaskedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MaskedUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_no_signature_token_or_credential() {
        let url = MaskedUrl::new(
            "https://b.example/k%20v?X-Amz-Expires=60&X-Amz-Credential=AKID%2Fx&\
             X-Amz-Security-Token=abc&X-Amz-Signature=deadbeef&partNumber=1",
        );
        let masked = "https://b.example/k%20v?X-Amz-Expires=60&X-Amz-Credential=****&\
                      X-Amz-Security-Token=****&X-Amz-Signature=****&partNumber=1";
        assert_eq!(url.to_string(), masked);
        assert_eq!(format!("{url:?}"), format!("MaskedUrl({masked})"));
        assert!(url.reveal().ends_with("deadbeef&partNumber=1"));
    }
}
