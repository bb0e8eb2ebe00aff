//! Exchange files to begin with, commented for the person who edits them.

mod inbox;

pub use inbox::{SecureInbox, inbox_template};

use crate::{AccountId, ExchangeName, PartyName, Principal, Region};

/// What the two-way template is filled with.
#[derive(Clone, Debug)]
pub struct TwoWay {
    /// The exchange's name.
    pub exchange: ExchangeName,
    /// Where buckets and keys will be.
    pub region: Region,
    /// The two parties; the first owns both lanes' buckets and keys.
    pub parties: [TemplateParty; 2],
}

/// One party of a template.
#[derive(Clone, Debug)]
pub struct TemplateParty {
    /// Its name.
    pub name: PartyName,
    /// Its account.
    pub account: AccountId,
    /// What it acts as.
    pub principal: Principal,
}

impl TemplateParty {
    /// A party that acts as `user/consign/NAME`.
    pub fn new(name: &str, account: &str) -> Result<TemplateParty, crate::Error> {
        let name = PartyName::parse(name)?;
        let account = AccountId::parse(account)?;
        let principal = Principal::parse(&format!("user/consign/{name}"), &account)?;
        Ok(TemplateParty { name, account, principal })
    }
}

/// An exchange file for two parties and a lane each way: `to-client` leads from the first to the
/// second, `from-client` back. It has no keys yet.
#[must_use]
pub fn two_way_template(two_way: &TwoWay) -> String {
    let TwoWay { exchange, region, parties: [first, second] } = two_way;
    format!(
        r#"# Who exchanges files with whom, and how. This file holds no secret: give it to every party,
# and keep it where changes are reviewed.
version = 1
exchange = "{exchange}"
region = "{region}"

# A party acts in its AWS account as one user or role. Its public keys are added below by
#     consign keys new NAME
# recipients open what is sent to it, signers check what it sends. A key is a text, or a table with
# an id and a last day: {{ key = "age1…", id = "2026-a", not_after = 2027-12-31 }}
[party.{a}]
account = "{a_account}"
principal = "{a_principal}"
recipients = []
signers = []

[party.{b}]
account = "{b_account}"
principal = "{b_principal}"
recipients = []
signers = []

# A lane leads one way. Its bucket and its KMS key belong to `owner`; only `from` can put, only `to`
# can get, and what is sent is sealed to the receivers before S3 sees it.
[lane.to-client]
from = "{a}"
to = ["{b}"]
owner = "{a}"
# What follows may be left out; these are the defaults.
# at_rest = "sse-kms"     # how S3 encrypts: sse-kms, dsse-kms, sse-s3, sse-c
# seal = "age"            # how the sender encrypts: age, openpgp, s3ec, none
# layout = "consign"      # s3s2: as shares that s3s2 reads and writes, sealed with OpenPGP
# keyring = "aes"         # with s3ec: aes (the lane's secret), rsa (the one receiver's key) or kms
# seal_to_sender = false  # seal to the sender, too: its readers can then be changed (consign rewrap)
# writer = "multipart"    # encrypt-only: single requests, the writer has no kms:Decrypt
# expire_days = 30        # when what was sent is deleted
# write_once = true       # a delivered object cannot be overwritten
# quarantine = false      # hold back what arrives until it is released

[lane.from-client]
from = "{b}"
to = ["{a}"]
owner = "{a}"
"#,
        a = first.name,
        a_account = first.account,
        a_principal = first.principal,
        b = second.name,
        b_account = second.account,
        b_principal = second.principal,
    )
}

/// What the hub template is filled with.
#[derive(Clone, Debug)]
pub struct Hub {
    /// The exchange's name.
    pub exchange: ExchangeName,
    /// Where buckets and keys will be.
    pub region: Region,
    /// The party in the middle, which owns all buckets and keys.
    pub hub: TemplateParty,
    /// Its partners.
    pub partners: Vec<TemplateParty>,
}

/// An exchange file for a hub and its partners: `results-PARTNER` leads from the hub to each,
/// `orders-PARTNER` back. It has no keys yet.
#[must_use]
pub fn hub_template(template: &Hub) -> String {
    let Hub { exchange, region, hub, partners } = template;
    let party = |party: &TemplateParty| {
        let TemplateParty { name, account, principal } = party;
        format!(
            r#"[party.{name}]
account = "{account}"
principal = "{principal}"
recipients = []
signers = []

"#
        )
    };
    let all: String = std::iter::once(hub).chain(partners).map(party).collect();
    let members: String =
        partners.iter().map(|partner| format!("    \"{}\",\n", partner.name)).collect();
    let hub = &hub.name;
    format!(
        r#"# A hub and its partners. This file holds no secret: give it to every party, and keep it where
# changes are reviewed. A new partner is a table [party.NAME] and a line in the group; then `consign
# plan` shows that it gains its own lanes and nobody else gains anything.
version = 1
exchange = "{exchange}"
region = "{region}"

# A party acts in its AWS account as one user or role. Its public keys are added below by
#     consign keys new NAME
{all}# Every partner has its own lanes, each with its own bucket and its own KMS key: partners never
# share a policy, a key or a listing, and none can see who else there is.
[group.partners]
members = [
{members}]

# Stands for a lane results-PARTNER to each of them.
[lane.results]
each = "partners"
from = "{hub}"

# Stands for a lane orders-PARTNER from each of them.
[lane.orders]
each = "partners"
to = ["{hub}"]
# What follows may be left out; these are the defaults.
# owner = "{hub}"
# at_rest = "sse-kms"     # how S3 encrypts: sse-kms, dsse-kms, sse-s3, sse-c
# seal = "age"            # how the sender encrypts: age, openpgp, s3ec, none
# layout = "consign"      # s3s2: as shares that s3s2 reads and writes, sealed with OpenPGP
# keyring = "aes"         # with s3ec: aes (the lane's secret), rsa (the one receiver's key) or kms
# seal_to_sender = false  # seal to the sender, too: its readers can then be changed (consign rewrap)
# writer = "multipart"    # encrypt-only: single requests, the writer has no kms:Decrypt
# expire_days = 30        # when what was sent is deleted
# write_once = true       # a delivered object cannot be overwritten
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Date, Exchange, LaneName};

    #[test]
    fn the_template_reads_back() {
        let two_way = TwoWay {
            exchange: ExchangeName::parse("acme-globex").expect("a name"),
            region: Region::parse("eu-west-1").expect("a region"),
            parties: [
                TemplateParty::new("acme", "111111111111").expect("a party"),
                TemplateParty::new("globex", "222222222222").expect("a party"),
            ],
        };
        let text = two_way_template(&two_way);
        let today = Date::parse("2026-11-21").expect("a day");
        let plain = Exchange::parse(&text, "exchange.toml", today).expect("the template");
        assert_eq!(
            plain.party(&two_way.parties[0].name).expect("acme").principal_arn(),
            "arn:aws:iam::111111111111:user/consign/acme"
        );
        let lane = LaneName::parse("from-client").expect("a name");
        assert_eq!(
            plain.lane(&lane).expect("the lane").bucket.as_str(),
            "acme-globex-from-client-111111111111-eu-west-1-an"
        );

        // The defaults that the comments show are the defaults.
        let shown: String = text
            .lines()
            .map(|line| match line.strip_prefix("# ").map(|rest| (rest, rest.split_once(" = "))) {
                Some((rest, Some((field, _)))) if !field.contains(' ') => rest,
                _ => line,
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        assert_ne!(shown, text);
        let explicit = Exchange::parse(&shown, "exchange.toml", today).expect("with the defaults");
        assert_eq!(plain.digest(), explicit.digest());

        let error = plain.check_ready_to_send(&lane, today).expect_err("no keys yet");
        assert_eq!(error.hint().as_deref(), Some("consign keys new acme"));
    }

    #[test]
    fn the_hub_template_reads_back() {
        let party = |name: &str, account: &str| TemplateParty::new(name, account).expect("a party");
        let text = hub_template(&Hub {
            exchange: ExchangeName::parse("acme").expect("a name"),
            region: Region::parse("eu-west-1").expect("a region"),
            hub: party("lab", "111111111111"),
            partners: vec![party("clinic-a", "222222222222"), party("clinic-b", "333333333333")],
        });
        let today = Date::parse("2026-11-21").expect("a day");
        let exchange = Exchange::parse(&text, "exchange.toml", today).expect("the template");
        let lanes: Vec<String> = exchange
            .lanes
            .values()
            .map(|lane| format!("{} {}>{} {}", lane.name, lane.from, lane.to[0], lane.owner))
            .collect();
        assert_eq!(
            lanes,
            [
                "orders-clinic-a clinic-a>lab lab",
                "orders-clinic-b clinic-b>lab lab",
                "results-clinic-a lab>clinic-a lab",
                "results-clinic-b lab>clinic-b lab",
            ]
        );
    }
}
