//! SeaweedFS (4.48) answers requests under a customer's key with the digest of that key twice. One
//! header line more than expected makes the SDK refuse the whole answer, so of lines that say the
//! same all but one are taken out; lines that differ stay, and are refused.

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;

const REPEATED: &str = "x-amz-server-side-encryption-customer-key-md5";

#[derive(Debug)]
pub(crate) struct SaidTwice;

impl Intercept for SaidTwice {
    fn name(&self) -> &'static str {
        "SaidTwice"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response_mut().headers_mut();
        let mut values = headers.get_all(REPEATED);
        let Some(first) = values.next().map(str::to_owned) else { return Ok(()) };
        let rest: Vec<&str> = values.collect();
        if !rest.is_empty() && rest.iter().all(|value| *value == first) {
            headers.insert(REPEATED, first);
        }
        Ok(())
    }
}
