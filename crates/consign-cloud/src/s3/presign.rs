//! URLs that let whoever holds them do one thing for a while.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;

use super::{GetObject, S3};
use crate::error::{Call, Error, ErrorKind};
use crate::url::MaskedUrl;

impl S3 {
    /// A URL that reads this object until `expires` has passed (S3 allows 7 days at most).
    pub async fn presign_get(
        &self,
        object: &GetObject,
        expires: Duration,
    ) -> Result<MaskedUrl, Error> {
        let call = Call::object("s3:GetObject", &object.bucket, &object.key);
        let request = self
            .control
            .get_object()
            .bucket(&object.bucket)
            .key(&object.key)
            .set_version_id(object.version_id.clone())
            .presigned(config(&call, expires)?)
            .await
            .map_err(|error| call.failed(error))?;
        Ok(MaskedUrl::new(request.uri()))
    }

    /// A URL that puts one object under this key until `expires` has passed. What is put is up to
    /// the holder.
    pub async fn presign_put(
        &self,
        bucket: &str,
        key: &str,
        expires: Duration,
    ) -> Result<MaskedUrl, Error> {
        let call = Call::object("s3:PutObject", bucket, key);
        let request = self
            .control
            .put_object()
            .bucket(bucket)
            .key(key)
            .presigned(config(&call, expires)?)
            .await
            .map_err(|error| call.failed(error))?;
        Ok(MaskedUrl::new(request.uri()))
    }
}

fn config(call: &Call, expires: Duration) -> Result<PresigningConfig, Error> {
    PresigningConfig::expires_in(expires).map_err(|error| {
        call.clone().caused(ErrorKind::InvalidRequest, "not a time a URL can live", error)
    })
}
