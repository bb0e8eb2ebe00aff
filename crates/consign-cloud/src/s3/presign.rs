//! URLs that let whoever holds them do one thing for a while.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use bytes::Bytes;

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

    /// Reads through a presigned URL, as whoever was given it would: call it on an anonymous cloud,
    /// because S3 refuses a request signed twice. At most `bytes_max` bytes.
    ///
    /// # Errors
    /// What S3 answers: [`ErrorKind::AccessDenied`] for a URL past its time.
    pub async fn get_by_url(&self, url: &MaskedUrl, bytes_max: usize) -> Result<Bytes, Error> {
        let call = Call::new("s3:GetObject", url.to_string());
        let uri = url.reveal().to_owned();
        let request = self
            .control
            .get_object()
            .bucket("replaced-below")
            .key("replaced-below")
            .customize()
            .mutate_request(move |request| {
                // INVARIANT: a MaskedUrl is a URL that the SDK made.
                let _ = request.set_uri(uri.as_str());
            });
        let answer = request.send().await.map_err(|error| call.clone().failed(error))?;
        let bytes = answer.content_length.and_then(|bytes| usize::try_from(bytes).ok());
        if bytes.is_none_or(|bytes| bytes > bytes_max) {
            return Err(call.error(ErrorKind::InvalidResponse, "more bytes than expected"));
        }
        let body = answer
            .body
            .collect()
            .await
            .map_err(|error| call.caused(ErrorKind::Network, "the body broke off", error))?;
        Ok(body.into_bytes())
    }
}

fn config(call: &Call, expires: Duration) -> Result<PresigningConfig, Error> {
    PresigningConfig::expires_in(expires).map_err(|error| {
        call.clone().caused(ErrorKind::InvalidRequest, "not a time a URL can live", error)
    })
}
