//! Handing a lane's secret to the other parties of the lane: sealed to them, signed by who made it.
//!
//! The file is an age file. Inside are five lines and a signature (SSHSIG) over exactly those
//! lines, so `age -d` opens it and `ssh-keygen -Y verify -n consign-lane-secret@1` checks it:
//!
//! ```text
//! consign lane secret
//! exchange acme-globex
//! lane to-client
//! from acme
//! consign-lane-secret-1 ID SECRET
//! -----BEGIN SSH SIGNATURE-----
//! …
//! ```
//!
//! Without the signature anybody who knows a party's public key could give it a secret of his own.

use crate::error::{Error, ErrorKind, Result};
use crate::letter::{live_signer, signed_by};
use crate::office::Keys;
use consign_model::{Date, Exchange, Lane, LaneName, PartyName};
use consign_seal::age::{self, Recipient};
use consign_seal::shared_secret::SharedSecret;
use consign_seal::sshsig;
use zeroize::Zeroizing;

const NAMESPACE: &str = "consign-lane-secret@1";
const SIGNATURE: &str = "-----BEGIN SSH SIGNATURE-----";

/// Seals the newest secret of a lane to the lane's other parties, signed by `me`.
///
/// # Errors
/// When there is no such secret, we are not on the lane, our signer is not the one that the
/// exchange file pins, or another party has no age recipient in the file.
pub fn hand_over(
    exchange: &Exchange,
    me: &PartyName,
    keys: &Keys,
    lane: &LaneName,
    today: Date,
) -> Result<Vec<u8>> {
    let lane = party_on(exchange, me, lane)?;
    let secret = keys.lane_secrets.get(&lane.name).and_then(|secrets| secrets.first());
    let secret = secret.ok_or_else(|| {
        let message = format!("there is no secret of lane `{}` to hand over", lane.name);
        Error::new(ErrorKind::Configuration, message)
    })?;
    let signer = live_signer(exchange, me, keys, today)?;
    let recipients = others(exchange, me, lane, today)?;
    let text = Zeroizing::new(statement(exchange, lane, me, &secret.to_text()));
    let signature = sshsig::sign(signer, NAMESPACE, text.as_bytes())?;
    let signed = Zeroizing::new(format!("{}{signature}", *text));
    Ok(age::seal_all(&recipients, signed.as_bytes())?)
}

/// Opens what [`hand_over`] sealed to `me`: who made it, and the secret.
///
/// # Errors
/// When it is not sealed to us, is for another lane, or is not signed by a party of the lane as
/// pinned in the exchange file.
pub fn take_over(
    exchange: &Exchange,
    me: &PartyName,
    keys: &Keys,
    lane: &LaneName,
    sealed: &[u8],
) -> Result<(PartyName, SharedSecret)> {
    let lane = party_on(exchange, me, lane)?;
    let opened = age::open_all(&keys.identities, sealed)
        .map_err(|error| Error::from(error).during("the lane secret cannot be opened"))?;
    let opened = Zeroizing::new(opened);
    let other = |what: &str| Error::new(ErrorKind::Misaddressed, format!("this is {what}"));
    let text = std::str::from_utf8(&opened).map_err(|_| other("no lane secret"))?;
    let (text, signature) = match text.find(SIGNATURE) {
        Some(at) => text.split_at(at),
        None => return Err(other("no lane secret, or one without a signature")),
    };
    let mut lines = text.lines();
    let from = lines.nth(3).and_then(|line| line.strip_prefix("from "));
    let from = from.and_then(|name| PartyName::parse(name).ok());
    let from = from.filter(|from| on(lane, from) && from != me).ok_or_else(|| {
        other(&format!("not the secret of another party of lane `{}`", lane.name))
    })?;
    let party = exchange.party(&from).ok_or_else(|| other("from an unknown party"))?;
    signed_by(party, NAMESPACE, text.as_bytes(), signature.as_bytes(), "the lane secret")?;
    let secret = SharedSecret::parse(lines.next().unwrap_or_default())?;
    match *text == statement(exchange, lane, &from, &secret.to_text()) {
        true => Ok((from, secret)),
        false => Err(other(&format!(
            "the secret of another exchange or lane, not of lane `{}` of `{}`",
            lane.name, exchange.name
        ))),
    }
}

fn statement(exchange: &Exchange, lane: &Lane, from: &PartyName, secret: &str) -> String {
    let (exchange, lane) = (&exchange.name, &lane.name);
    format!("consign lane secret\nexchange {exchange}\nlane {lane}\nfrom {from}\n{secret}\n")
}

fn on(lane: &Lane, party: &PartyName) -> bool {
    lane.from == *party || lane.to.contains(party)
}

fn party_on<'a>(exchange: &'a Exchange, me: &PartyName, lane: &LaneName) -> Result<&'a Lane> {
    let lane = exchange.require_lane(lane)?;
    match on(lane, me) {
        true => Ok(lane),
        false => {
            let message = format!("party `{me}` is not on lane `{}`", lane.name);
            Err(Error::new(ErrorKind::Configuration, message))
        }
    }
}

fn others(exchange: &Exchange, me: &PartyName, lane: &Lane, today: Date) -> Result<Vec<Recipient>> {
    let mut recipients = Vec::new();
    for name in std::iter::once(&lane.from).chain(&lane.to).filter(|name| *name != me) {
        let before = recipients.len();
        let live = exchange.party(name).into_iter().flat_map(|party| party.live_recipients(today));
        for key in live.filter(|key| key.is_age()) {
            recipients.push(Recipient::parse(&key.key)?);
        }
        if recipients.len() == before {
            let message = format!("party `{name}` has no recipient to seal the lane's secret to");
            return Err(Error::new(ErrorKind::Configuration, message)
                .hinting(format!("consign keys new {name}")));
        }
    }
    Ok(recipients)
}

#[cfg(test)]
mod tests {
    use super::*;
    use consign_seal::age::Identity;
    use consign_seal::sshsig::SigningKey;

    struct Side {
        me: PartyName,
        keys: Keys,
    }

    fn side(name: &str) -> Side {
        let keys = Keys {
            identities: vec![Identity::generate().expect("a key")],
            signer: Some(SigningKey::generate().expect("a key")),
            ..Keys::default()
        };
        Side { me: PartyName::parse(name).expect("a name"), keys }
    }

    fn exchange(sides: &[&Side], name: &str) -> Exchange {
        let mut text = format!("version = 1\nexchange = \"{name}\"\nregion = \"eu-west-1\"\n");
        for (n, side) in sides.iter().enumerate() {
            let recipient = side.keys.identities[0].to_recipient();
            let signer = side.keys.signer.as_ref().expect("a signer").public_line("");
            text.push_str(&format!(
                "[party.{}]\naccount = \"{}\"\nprincipal = \"user/a\"\nrecipients = \
                 [\"{recipient}\"]\nsigners = [\"{}\"]\n",
                side.me,
                111_111_111_111_u64 + n as u64,
                signer.trim()
            ));
        }
        for lane in ["to-client", "other"] {
            text.push_str(&format!(
                "[lane.{lane}]\nfrom = \"acme\"\nto = [\"globex\"]\nat_rest = \"sse-c\"\n"
            ));
        }
        Exchange::parse(&text, "exchange.toml", today()).expect("an exchange")
    }

    fn today() -> Date {
        Date::from_unix_ms(1_795_000_000_000)
    }

    #[test]
    fn a_secret_passes_from_one_party_of_a_lane_to_the_other_and_to_nobody_else() {
        let (mut acme, globex, initech) = (side("acme"), side("globex"), side("initech"));
        let exchange_of = |sides: &[&Side]| exchange(sides, "acme-globex");
        let secret = SharedSecret::generate().expect("a secret");
        let lane: LaneName = "to-client".parse().expect("a name");
        acme.keys.lane_secrets.insert(lane.clone(), vec![secret.clone()]);
        let exchange = exchange_of(&[&acme, &globex, &initech]);
        let sealed = hand_over(&exchange, &acme.me, &acme.keys, &lane, today()).expect("sealed");
        let take = |side: &Side, exchange: &Exchange, lane: &str, sealed: &[u8]| {
            let lane = lane.parse().expect("a name");
            take_over(exchange, &side.me, &side.keys, &lane, sealed)
        };
        let (from, taken) = take(&globex, &exchange, "to-client", &sealed).expect("taken");
        assert_eq!((from, taken.to_text()), (acme.me.clone(), secret.to_text()));

        let kind = |result: Result<(PartyName, SharedSecret)>| result.expect_err("refused").kind();
        let other = take(&globex, &exchange, "other", &sealed);
        assert_eq!(kind(other), ErrorKind::Misaddressed);
        assert_eq!(kind(take(&initech, &exchange, "to-client", &sealed)), ErrorKind::Configuration);
        let named_otherwise = super::tests::exchange(&[&acme, &globex, &initech], "other-exchange");
        assert_eq!(
            kind(take(&globex, &named_otherwise, "to-client", &sealed)),
            ErrorKind::Misaddressed
        );
        // Whoever knows globex's public key can seal to it, and cannot sign as acme.
        let mut false_acme = side("acme");
        false_acme.keys.lane_secrets = acme.keys.lane_secrets.clone();
        let theirs = exchange_of(&[&false_acme, &globex, &initech]);
        let forged =
            hand_over(&theirs, &acme.me, &false_acme.keys, &lane, today()).expect("sealed");
        assert_eq!(kind(take(&globex, &exchange, "to-client", &forged)), ErrorKind::Signature);
        let recipient = globex.keys.identities[0].to_recipient();
        for hostile in ["", "consign lane secret\n", SIGNATURE, "\0\n\n\nfrom acme\n\n"] {
            let sealed = age::seal_all(std::slice::from_ref(&recipient), hostile.as_bytes())
                .expect("sealed");
            take(&globex, &exchange, "to-client", &sealed).expect_err("is no secret");
        }
    }
}
