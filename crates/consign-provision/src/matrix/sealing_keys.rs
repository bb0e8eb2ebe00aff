//! The operations on a lane whose parties ask KMS themselves (`keyring = "kms"`): who may, and the one
//! call that each of them is. What makes such a call the lane's is its encryption context.

use super::{CONTEXT_ARN, Call, Calls, Operation, Rule};
use crate::desired::{CONTEXT_EXCHANGE, CONTEXT_LANE, DesiredLane};

/// What the exchange file declares; nothing where the parties do not ask KMS.
pub(super) fn rule(operation: Operation, lane: &DesiredLane) -> Option<Rule> {
    let rule = match operation {
        Operation::MakeSealingKey => Rule::Writer,
        Operation::OpenSealingKey => Rule::Readers,
        _ => Rule::Nobody,
    };
    lane.asks_kms.then_some(rule)
}

pub(super) fn call(operation: Operation, on: &Calls<'_>) -> Call {
    use Operation as O;
    let (exchange, lane) = (on.lane.exchange.as_ref(), on.lane.name.as_ref());
    let directly = |action: &str, exchange: &str, lane: &str| {
        in_place(on.kms_directly(action), exchange, lane)
    };
    let (makes, opens) = ("kms:GenerateDataKey", "kms:Decrypt");
    match operation {
        O::OpenSealingKey => directly(opens, exchange, lane),
        O::MakeSealingKeyOfOtherLane => directly(makes, exchange, "another-lane"),
        O::OpenSealingKeyOfOtherLane => directly(opens, exchange, "another-lane"),
        O::OpenSealingKeyOfOtherExchange => directly(opens, "another-exchange", lane),
        // Whoever puts with `x-amz-server-side-encryption-context` has S3 name these pairs to KMS.
        O::SealingKeyElsewhere => {
            let elsewhere = on.kms(makes, "").with(CONTEXT_ARN, "arn:aws:s3:::other");
            in_place(elsewhere, exchange, lane)
        }
        _ => directly(makes, exchange, lane),
    }
}

/// In the encryption context of an object of a lane.
fn in_place(call: Call, exchange: &str, lane: &str) -> Call {
    call.with(CONTEXT_EXCHANGE, exchange)
        .with(CONTEXT_LANE, lane)
        .with("kms:EncryptionContext:consign-consignment", "01JD3V5Y7Q8R9SATBVCWDXEYFZ")
        .with("kms:EncryptionContext:consign-object", "000001.s3ec")
}
