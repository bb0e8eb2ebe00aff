//! What is claimed of what lies in an inbox: what its publisher may learn of it, who acknowledges, who
//! says what a scan has found, and that nothing is read before that.

use super::super::{
    AGE, AUTH, CREATION, Domain, GETS, IF_NONE_MATCH, LISTS, LOOKS, Lane, Party, SSE, SSE_CUSTOMER,
    TLS, TLS_VERSION, Values, WRITES, anything_but, is, numbers,
};
use crate::claims::Stated;
use crate::matrix::Rule;
use crate::stage::SCAN_CLEAN;
use consign_iam::prove::{Callers, Expectation, Identity, Set};

pub(super) const EXISTING_TAG: &str = "s3:ExistingObjectTag/GuardDutyMalwareScanStatus";
pub(super) const VERDICT: &str = "s3:RequestObjectTag/GuardDutyMalwareScanStatus";
const SOURCE: &str = "s3:RequestObjectTag/consign-source";
const PREFIX: &str = "s3:prefix";
/// Ways to give tags, with an object or later.
const GIVES: [&str; 3] = ["s3:PutObject", "s3:PutObjectTagging", "s3:PutObjectVersionTagging"];

impl<'a> Lane<'a> {
    /// Whatever its account allows it, the publisher reads nothing of what it has delivered, although
    /// delivering in parts takes `kms:Decrypt`. It looks at tags, lists records and acknowledgements,
    /// and gets the latter.
    pub(super) fn publisher(&self) -> Vec<Stated<'a>> {
        let rule = Rule::Readers;
        let callers = || self.writer.callers();
        let never = |words, actions: &[&str]| self.never(words, rule, callers(), actions);
        let prefixes = self.lane.listed_by_publisher();
        let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
        let mut back = never("the publisher reads nothing back", &[]);
        back.actions = Set::of([&GETS[..], &LOOKS[..]].concat()).but(["s3:GetObjectTagging"]);
        back.resource = self.delivered();
        let mut looks = never("the publisher gets of acknowledgements the bytes alone", &LOOKS);
        looks.actions = looks.actions.but(["s3:GetObject", "s3:GetObjectTagging"]);
        looks.resource = self.acknowledgements();
        let mut lists = never("the publisher lists nothing delivered", &["s3:ListBucket"]);
        lists.context = vec![(PREFIX, Domain::Perhaps(anything_but(&prefixes)))];
        let mut other = never("the publisher lists in no other way", &[]);
        other.actions = Set::of(LISTS).but(["s3:ListBucket"]);
        let always = |words, action, resource: Set| {
            let claim = self.always(words, Rule::Parties, &self.writer, &[action]);
            Stated { resource, ..claim }
        };
        let bucket = Set::of([self.lane.bucket_arn().as_str()]);
        let mut finds = always("the publisher lists records", "s3:ListBucket", bucket);
        finds.context.push((PREFIX, Domain::Present(Values::Of(Set::of(prefixes)))));
        let words = "the publisher gets acknowledgements";
        let gets = always(words, "s3:GetObject", self.acknowledgements());
        let words = "the publisher looks at tags";
        let knows = always(words, "s3:GetObjectTagging", self.lane_objects());
        let words = "the publisher tags what it delivers";
        let mut tags = always(words, "s3:PutObjectTagging", self.lane_objects());
        tags.context.extend([(SOURCE, Domain::Present(Values::Any)), (VERDICT, Domain::Absent)]);
        vec![back, looks, lists, other, finds, gets, knows, tags]
    }

    /// Consumers say what they have fetched: once each, nowhere else, and so that no key is needed to
    /// read it.
    pub(super) fn acknowledging(&self) -> Vec<Stated<'a>> {
        let consumers = self.lane.consumer_arns();
        let puts = ["s3:PutObject"];
        let on_them = |words, rule, callers, actions: &[&str]| {
            let claim = self.never(words, rule, callers, actions);
            Stated { resource: self.acknowledgements(), ..claim }
        };
        let others = self.accounts(&consumers);
        let parties = self.accounts(&self.lane.party_arns());
        let words = "nobody but the parties gets acknowledgements";
        let mut claims = vec![
            on_them("nobody but the consumers acknowledges", Rule::Consumers, others, &puts),
            on_them(words, Rule::Parties, parties, &GETS),
            on_them(
                "acknowledgements are written in no other way",
                Rule::Nobody,
                self.accounts(&[]),
                &WRITES,
            ),
        ];
        let algorithm = Domain::Perhaps(anything_but(&["AES256"]));
        let customer = (SSE_CUSTOMER, Domain::Present(Values::Any));
        for (words, context) in [
            ("acknowledgements take no key", vec![(SSE, algorithm)]),
            ("acknowledgements take no customer's key", vec![customer, (SSE, Domain::Absent)]),
            (
                "no acknowledgement is overwritten",
                vec![(CREATION, is("true")), (IF_NONE_MATCH, Domain::Absent)],
            ),
        ] {
            let claim = on_them(words, Rule::Nobody, self.accounts(&[]), &puts);
            claims.push(Stated { context, ..claim });
        }
        for party in self.parties().filter(|it| consumers.contains(&it.holder.arn.as_str())) {
            let mut says = self.always("the consumers acknowledge", Rule::Consumers, party, &puts);
            says.resource = self.acknowledgements();
            says.context.extend([
                (CREATION, is("true")),
                (IF_NONE_MATCH, is("*")),
                (SSE, is("AES256")),
                (VERDICT, Domain::Absent),
            ]);
            claims.push(says);
        }
        claims
    }

    /// The tag by which objects are released is the scanner's alone to give, and nobody's where none
    /// is declared: not with the upload either. What is there when a scanner is declared later has not
    /// been released by anybody else.
    pub(super) fn verdicts(&self) -> Vec<Stated<'a>> {
        let rule = match self.lane.scanner() {
            Some(_) => Rule::Scanner,
            None => Rule::Nobody,
        };
        let words = "nobody but the scanner releases";
        let mut forged = self.never(words, rule, self.others(), &GIVES);
        forged.context = vec![(VERDICT, Domain::Present(Values::Any))];
        let words = "nobody but the scanner changes the tags of a version";
        let changes = [
            "s3:PutObjectVersionTagging",
            "s3:DeleteObjectTagging",
            "s3:DeleteObjectVersionTagging",
            "s3:ReplicateTags",
        ];
        let changed = self.never(words, rule, self.others(), &changes);
        let words = "the publisher tags with the source alone";
        let mut unnamed =
            self.never(words, Rule::Nobody, self.writer.callers(), &["s3:PutObjectTagging"]);
        unnamed.context = vec![(SOURCE, Domain::Absent)];
        let objects = |claim: Stated<'a>| Stated { resource: self.objects(), ..claim };
        [forged, changed, unnamed].map(objects).into()
    }

    /// What has not been found clean is the scanner's alone. Records are not scanned.
    pub(super) fn quarantine(&self) -> Vec<Stated<'a>> {
        let Some(scanner) = self.lane.scanner() else { return Vec::new() };
        let (records, acknowledgements) = (self.lane.records(), self.lane.acknowledgements());
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let words = "nobody but the scanner reads what was not released";
        let mut unreleased = self.never(words, Rule::Scanner, self.others(), &GETS);
        unreleased.resource =
            self.objects().but(records.iter().copied().chain([acknowledgements.as_str()]));
        unreleased.context = vec![(EXISTING_TAG, Domain::Perhaps(anything_but(&[SCAN_CLEAN])))];
        let mut claims = vec![unreleased];
        for party in self.parties().filter(|it| !self.is_writer(it)) {
            let words = "the readers get records that nobody has scanned";
            let calls = ["s3:GetObject", "s3:GetObjectVersion"];
            let mut gets = self.always(words, Rule::Readers, party, &calls);
            gets.resource = Set::of(records.iter().copied());
            gets.context.push((EXISTING_TAG, Domain::Absent));
            claims.push(gets);
        }
        for party in self.parties().filter(|it| it.holder.party == scanner.party) {
            let words = "the scanner says what it found";
            let calls = ["s3:PutObjectTagging", "s3:PutObjectVersionTagging"];
            let says = self.always(words, Rule::Scanner, party, &calls);
            claims.push(Stated { resource: self.lane_objects(), ..says });
        }
        claims
    }

    /// Everybody but the scanner.
    fn others(&self) -> Vec<(String, Callers)> {
        let scanner: Vec<&str> =
            self.lane.scanner().map(|it| it.arn.as_str()).into_iter().collect();
        let mut callers = self.accounts(&scanner);
        callers.extend(self.outside());
        callers
    }

    /// A party does this with the identity policy that it has, over TLS with a signed header.
    fn always(
        &self,
        claim: &'static str,
        rule: Rule,
        party: &Party<'a>,
        actions: &[&str],
    ) -> Stated<'a> {
        let mut claim = self.never(claim, rule, party.callers(), actions);
        claim.expect = Expectation::Always;
        claim.world.identity = Identity::Given(party.identity);
        claim.context = vec![
            (TLS, is("true")),
            (TLS_VERSION, numbers(Some("1.2"), Some("1.3"))),
            (AUTH, is("REST-HEADER")),
            (AGE, Domain::Absent),
        ];
        claim
    }

    fn acknowledgements(&self) -> Set {
        Set::of([self.lane.acknowledgements().as_str()])
    }

    fn lane_objects(&self) -> Set {
        Set::of([self.lane.every_lane_object().as_str()])
    }
}
