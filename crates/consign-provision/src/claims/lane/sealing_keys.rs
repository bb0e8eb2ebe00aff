//! What is claimed of a lane whose parties ask KMS themselves (`keyring = "kms"`), where other lanes
//! claim that the key is used through S3 alone. A key that seals is made by the writer and opened by the
//! readers, in the lane's own encryption context; and what KMS does for S3 and what it does for them
//! never meet, because the context of the one names a bucket and that of the other must not.

use super::{CONTEXT_ARN, Domain, KEY_USES, Lane, Party, SERVICE, TLS, Values, anything_but, is};
use crate::claims::Stated;
use crate::desired::{CONTEXT_EXCHANGE, CONTEXT_LANE};
use crate::matrix::Rule;
use consign_iam::prove::{Expectation, Identity, Set};

impl<'a> Lane<'a> {
    /// In which circumstances no party uses the key.
    pub(super) fn fences(&self, party: &Party<'a>) -> Vec<Stated<'a>> {
        let service = self.lane.s3_service();
        let contexts = [self.lane.bucket_arn(), self.lane.every_object()];
        let contexts: Vec<&str> = contexts.iter().map(String::as_str).collect();
        let elsewhere = (CONTEXT_ARN, Domain::Perhaps(anything_but(&contexts)));
        let never = |claim, context| {
            let callers = party.callers();
            Stated { context, ..self.on_key(claim, Rule::Nobody, callers, &KEY_USES) }
        };
        if !self.lane.asks_kms {
            let others = (SERVICE, Domain::Perhaps(anything_but(&[&service])));
            return vec![
                never("the key is used through S3 alone", vec![others]),
                never("the key is used for this bucket alone", vec![elsewhere]),
            ];
        }
        let directly = || (SERVICE, Domain::Absent);
        let through_any = || (SERVICE, Domain::Present(Values::Any));
        let others = (SERVICE, Domain::Present(anything_but(&[&service])));
        let not = |key, value: &str| (key, Domain::Perhaps(anything_but(&[value])));
        let exchange = not(CONTEXT_EXCHANGE, self.lane.exchange.as_ref());
        let lane = not(CONTEXT_LANE, self.lane.name.as_ref());
        let bucket = (CONTEXT_ARN, Domain::Present(Values::Any));
        vec![
            never("no service but S3 uses the key", vec![others]),
            never(
                "through S3 the key is used for this bucket alone",
                vec![through_any(), elsewhere],
            ),
            never("directly the key is used for this exchange alone", vec![directly(), exchange]),
            never("directly the key is used for this lane alone", vec![directly(), lane]),
            never("nobody opens directly what S3 encrypts", vec![directly(), bucket]),
            self.no_other_direct_use(party),
        ]
    }

    /// The writer does not open what it sealed, even if it may decrypt through S3; a reader makes no
    /// keys.
    fn no_other_direct_use(&self, party: &Party<'a>) -> Stated<'a> {
        let rule = if self.is_writer(party) { Rule::Readers } else { Rule::Writer };
        let words = "the writer alone makes the keys that seal, the readers alone open them";
        let mut claim = self.on_key(words, rule, party.callers(), &[]);
        claim.actions = Set::of(KEY_USES).but(self.direct_calls_of(party));
        claim.context = vec![(SERVICE, Domain::Absent)];
        claim
    }

    /// What the parties ask of KMS themselves is given to them.
    pub(super) fn sealing_keys(&self) -> Vec<Stated<'a>> {
        if !self.lane.asks_kms {
            return Vec::new();
        }
        let one = |party: &Party<'a>| {
            let rule = if self.is_writer(party) { Rule::Writer } else { Rule::Readers };
            let calls = self.direct_calls_of(party);
            let words = "the writer makes the keys that seal, the readers open them";
            let mut claim = self.on_key(words, rule, party.callers(), &calls);
            claim.expect = Expectation::Always;
            claim.world.identity = Identity::Given(party.identity);
            claim.context = vec![
                (TLS, is("true")),
                (SERVICE, Domain::Absent),
                (CONTEXT_ARN, Domain::Absent),
                (CONTEXT_EXCHANGE, is(self.lane.exchange.as_ref())),
                (CONTEXT_LANE, is(self.lane.name.as_ref())),
            ];
            claim
        };
        self.parties().map(one).collect()
    }

    fn direct_calls_of(&self, party: &Party<'_>) -> Vec<&'static str> {
        let makes = self.is_writer(party).then_some("kms:GenerateDataKey");
        let opens = self.is_reader(party).then_some("kms:Decrypt");
        makes.into_iter().chain(opens).collect()
    }
}
