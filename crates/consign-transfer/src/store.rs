//! The S3 calls that transfers make, as a joint: [`S3`] in earnest, a simulated server in tests.

use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use consign_cloud::s3::{
    CompleteMultipart, GetObject, Head, ListedPart, MultipartTarget, PutDone, PutObject, RangeRead,
    UploadPart,
};
use consign_cloud::{Error, S3};

pub(crate) trait Store: Clone + Send + Sync + 'static {
    /// Lets time pass: here too, so that a simulated server comes with a simulated clock.
    fn wait(&self, time: Duration) -> impl Future<Output = ()> + Send;
    fn put(&self, put: PutObject) -> impl Future<Output = Result<PutDone, Error>> + Send;
    fn create(
        &self,
        target: &MultipartTarget,
    ) -> impl Future<Output = Result<String, Error>> + Send;
    fn send_part(
        &self,
        target: &MultipartTarget,
        upload_id: &str,
        part: UploadPart,
    ) -> impl Future<Output = Result<String, Error>> + Send;
    fn complete(
        &self,
        target: &MultipartTarget,
        upload_id: &str,
        complete: CompleteMultipart,
    ) -> impl Future<Output = Result<PutDone, Error>> + Send;
    fn abort(
        &self,
        target: &MultipartTarget,
        upload_id: &str,
    ) -> impl Future<Output = Result<(), Error>> + Send;
    fn parts(
        &self,
        target: &MultipartTarget,
        upload_id: &str,
    ) -> impl Future<Output = Result<Vec<ListedPart>, Error>> + Send;
    /// Ids of unfinished uploads to exactly this key.
    fn uploads(
        &self,
        target: &MultipartTarget,
    ) -> impl Future<Output = Result<Vec<String>, Error>> + Send;
    fn head(&self, object: &GetObject) -> impl Future<Output = Result<Head, Error>> + Send;
    /// Fills the buffer with the range; an empty buffer asks for an empty object.
    fn fetch(
        &self,
        object: &GetObject,
        range: Range<u64>,
        buffer: &mut [u8],
    ) -> impl Future<Output = Result<RangeRead, Error>> + Send;
}

impl Store for S3 {
    async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn put(&self, put: PutObject) -> Result<PutDone, Error> {
        self.put_object(put).await
    }

    async fn create(&self, target: &MultipartTarget) -> Result<String, Error> {
        self.create_multipart(target).await
    }

    async fn send_part(
        &self,
        target: &MultipartTarget,
        upload_id: &str,
        part: UploadPart,
    ) -> Result<String, Error> {
        self.upload_part(target, upload_id, part).await
    }

    async fn complete(
        &self,
        target: &MultipartTarget,
        upload_id: &str,
        complete: CompleteMultipart,
    ) -> Result<PutDone, Error> {
        self.complete_multipart(target, upload_id, complete).await
    }

    async fn abort(&self, target: &MultipartTarget, upload_id: &str) -> Result<(), Error> {
        self.abort_multipart(target, upload_id).await
    }

    async fn parts(
        &self,
        target: &MultipartTarget,
        upload_id: &str,
    ) -> Result<Vec<ListedPart>, Error> {
        self.list_parts(target, upload_id).await
    }

    async fn uploads(&self, target: &MultipartTarget) -> Result<Vec<String>, Error> {
        let page = self.list_multipart_uploads(&target.bucket, &target.key, None).await?;
        let ours = page.entries.into_iter().filter(|upload| upload.key == target.key);
        Ok(ours.map(|upload| upload.upload_id).collect())
    }

    async fn head(&self, object: &GetObject) -> Result<Head, Error> {
        self.head_object(object).await
    }

    async fn fetch(
        &self,
        object: &GetObject,
        range: Range<u64>,
        buffer: &mut [u8],
    ) -> Result<RangeRead, Error> {
        if buffer.is_empty() {
            return Ok(self.get_object_bytes(object, 0).await?.1);
        }
        self.get_range(object, range, buffer).await
    }
}
