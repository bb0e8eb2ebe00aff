//! The exchange file of a secure inbox to begin with.

use super::TemplateParty;
use crate::{ExchangeName, Region};

/// What the inbox template is filled with.
#[derive(Clone, Debug)]
pub struct SecureInbox {
    /// The exchange's name.
    pub exchange: ExchangeName,
    /// Where buckets and keys will be.
    pub region: Region,
    /// Writes to the repository and cannot decrypt.
    pub generator: TemplateParty,
    /// Copies from the repository to the inbox; the repository is in its account.
    pub publisher: TemplateParty,
    /// Reads the inbox, which is in its account, under its key.
    pub consumer: TemplateParty,
}

/// An exchange file for a secure inbox: a repository `reports` in the publisher's account, an inbox
/// `reports-in` in the consumer's, and a route for everything.
#[must_use]
pub fn inbox_template(template: &SecureInbox) -> String {
    let SecureInbox { exchange, region, generator, publisher, consumer } = template;
    let party = |party: &TemplateParty, what: &str| {
        let TemplateParty { name, account, principal } = party;
        format!(
            "# {what}\n[party.{name}]\naccount = \"{account}\"\nprincipal = \"{principal}\"\n\n"
        )
    };
    let parties = [
        party(generator, "Makes the work products: writes to the repository, and reads nothing."),
        party(publisher, "Has S3 copy each of them to where it belongs (`consign publish`)."),
        party(consumer, "Finds them in its own account, under its own key, as their owner."),
    ]
    .concat();
    let (generator, publisher, consumer) = (&generator.name, &publisher.name, &consumer.name);
    format!(
        r#"# A secure inbox. This file holds no secret: give it to every party, and keep it where changes are
# reviewed. `consign plan --as {publisher}` and `consign plan --as {consumer}` show each side's half.
version = 1
exchange = "{exchange}"
region = "{region}"

{parties}# The bucket is in the account of `owner`; what lies in it is encrypted under a KMS key of `key`, so
# it is the receiver's before it is delivered. Only `generator` puts, without kms:Decrypt (single
# requests, up to 5 GiB); only `publisher` reads. What arrives is announced on a queue.
[repository.reports]
owner = "{publisher}"
generator = "{generator}"
publisher = "{publisher}"
key = "{consumer}"
# expire_days = 30        # when an object is deleted

# Bucket and key belong to `owner`. Only the publisher puts, and nothing is overwritten; only
# `consumers` read.
[inbox.reports-in]
owner = "{consumer}"
consumers = ["{consumer}"]
# writer = "multipart"    # encrypt-only: copies up to 5 GiB, the publisher has no kms:Decrypt here
# expire_days = 30
# quarantine = "scanner"  # a party; unreadable until it has tagged an object as clean

# What goes where. Without prefix, suffix and tags a route takes everything.
[route.reports]
from = "reports"
to = ["reports-in"]
# prefix = "final/"       # only keys that begin so
# suffix = ".pdf"         # only keys that end so
# tags = {{ kind = "report" }}
# key = "{{key}}"           # there; also {{rest}}, {{prefix}}, {{name}}, {{version}}, {{date}} and plain text
# carry = {{ metadata = ["patient-class"], tags = ["kind"] }}  # beside the content type
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arrival, Date, Exchange};
    use std::collections::BTreeMap;

    #[test]
    fn the_inbox_template_reads_back() {
        let party = |name: &str, account: &str| TemplateParty::new(name, account).expect("a party");
        let text = inbox_template(&SecureInbox {
            exchange: ExchangeName::parse("acme-globex").expect("a name"),
            region: Region::parse("eu-west-1").expect("a region"),
            generator: party("acme-lab", "111111111111"),
            publisher: party("acme", "111111111111"),
            consumer: party("globex", "222222222222"),
        });
        let day = Date::parse("2026-11-21").expect("a day");
        let exchange = Exchange::parse(&text, "exchange.toml", day).expect("the template");
        let name = "reports".parse().expect("a name");
        let repository = exchange.repository(&name).expect("the repository");
        assert_eq!(repository.bucket.as_str(), "acme-globex-reports-111111111111-eu-west-1-an");
        let inbox = exchange.inbox(&"reports-in".parse().expect("a name")).expect("the inbox");
        assert_eq!(inbox.publisher.as_str(), "acme");
        let tags = BTreeMap::new();
        let arrival = Arrival { key: "a/b.pdf", version: None, tags: &tags, day };
        let there: Vec<_> = exchange.destinations(&name, &arrival).flatten().collect();
        assert_eq!(there.len(), 1);
        assert_eq!(there[0].key, "a/b.pdf");
    }
}
