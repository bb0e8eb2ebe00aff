//! Whether an exchange, correct as it stands, is ready to be used on a day.

use crate::{Date, Error, ErrorKind, Exchange, Keyring, Lane, LaneName, Layout, PartyName, Seal};

impl Exchange {
    /// The lane of this name, or an error that names the lanes there are.
    pub fn require_lane(&self, name: &LaneName) -> Result<&Lane, Error> {
        self.lane(name).ok_or_else(|| {
            let names: Vec<&str> = self.lanes.keys().map(LaneName::as_str).collect();
            let lanes = crate::raw::list(&names);
            let message =
                format!("exchange `{}` has no lane `{name}`; its lanes are {lanes}", self.name);
            Error::new(ErrorKind::Unknown, message)
        })
    }

    /// Whether this lane can be sent on today: the program can do what the lane asks for, and the
    /// keys that sealing and signing need are there and live.
    pub fn check_ready_to_send(&self, lane: &LaneName, today: Date) -> Result<(), Error> {
        let lane = self.require_lane(lane)?;
        supported(lane)?;
        let by_key_of_its_own = lane.seal == Seal::S3ec && lane.keyring != Keyring::Rsa;
        if lane.seal != Seal::None && !by_key_of_its_own {
            for name in lane.sealed_to() {
                self.check_keys(name, "recipient", lane, today)?;
            }
        }
        self.check_keys(&lane.from, "signer", lane, today)
    }

    /// Whether this lane can be received from: the program can do what the lane asks for, and the
    /// sender has pinned a signer. Expired signers will do, for what was signed while they lived. On a
    /// lane of s3s2 a sender may have none: then what it sends is not signed.
    pub fn check_ready_to_receive(&self, lane: &LaneName) -> Result<(), Error> {
        let lane = self.require_lane(lane)?;
        supported(lane)?;
        match self.party(&lane.from) {
            Some(party) if party.signers.is_empty() && lane.layout == Layout::Consign => {
                Err(no_keys(&lane.from, "signer", lane))
            }
            _ => Ok(()),
        }
    }

    fn check_keys(
        &self,
        party: &PartyName,
        kind: &str,
        lane: &Lane,
        today: Date,
    ) -> Result<(), Error> {
        let live = self.party(party).is_some_and(|party| match kind {
            "signer" => party.live_signers(today).next().is_some(),
            _ => party.live_recipients(today).any(|key| lane.seals_to(key)),
        });
        if live { Ok(()) } else { Err(no_keys(party, kind, lane)) }
    }
}

fn no_keys(party: &PartyName, kind: &str, lane: &Lane) -> Error {
    if kind == "recipient" && lane.seal == Seal::Openpgp {
        let message = format!(
            "party `{party}` has no OpenPGP certificate in the exchange file, which lane `{}` needs",
            lane.name
        );
        return Error::new(ErrorKind::NotReady, message).with_hint(format!(
            "add `openpgp:FINGERPRINT` to `recipients` of [party.{party}], as `gpg --fingerprint` \
             shows it"
        ));
    }
    if kind == "recipient" && lane.seal == Seal::S3ec {
        let message = format!(
            "party `{party}` has no RSA key in the exchange file, which lane `{}` needs",
            lane.name
        );
        return Error::new(ErrorKind::NotReady, message).with_hint(format!(
            "add `rsa:…` to `recipients` of [party.{party}]: what `openssl pkey -in KEY -pubout \
             -outform DER | base64 -w0` prints"
        ));
    }
    let message = format!(
        "party `{party}` has no {kind} in the exchange file, which lane `{}` needs; `{party}` \
         makes its keys and adds the public ones to the file",
        lane.name
    );
    Error::new(ErrorKind::NotReady, message).with_hint(format!("consign keys new {party}"))
}

/// Fields that the file may have already and that sending and receiving cannot honour yet are
/// refused here, never passed over in silence.
fn supported(lane: &Lane) -> Result<(), Error> {
    let refuse = |field: &str, value: &str, instead: &str| {
        let message = format!(
            "lane `{}` asks for `{field} = {value}`, which this version of consign cannot send or \
             receive; {instead}",
            lane.name
        );
        Err(Error::new(ErrorKind::NotSupported, message))
    };
    if lane.quarantine {
        return refuse("quarantine", "true", "remove the field");
    }
    Ok(())
}
