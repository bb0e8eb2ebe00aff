//! The object by one PUT. Small objects are read whole, so that their checksum can go ahead of
//! them in a signed header. Larger ones, for writers that may only encrypt, are read while they
//! are sent, three parts in memory, and their checksum follows as a trailer.

use std::error::Error as StdError;

use bytes::Bytes;
use consign_cloud::s3::{Body, PutDone, PutObject};
use consign_cloud::{Error as CloudError, ErrorKind as CloudKind};
use tokio::sync::mpsc;

use super::driver::{Driver, cloud, read_part};
use super::machine::Event;
use crate::backoff::Backoff;
use crate::error::Error;
use crate::store::Store;

type Piece = Result<Bytes, Box<dyn StdError + Send + Sync>>;

impl<S: Store> Driver<'_, S> {
    pub(super) async fn put(&mut self) -> Result<(), Error> {
        let result = if self.layout.object_bytes() <= self.engine.limits().single_put_bytes_max {
            self.put_small().await?
        } else {
            self.put_large().await?
        };
        match result {
            Ok(done) => {
                self.check_answer(done.checksum_crc64nvme.as_deref())?;
                self.happened(Event::Completed { version_id: done.version_id })
            }
            Err(error) if error.kind() == CloudKind::PreconditionFailed => {
                self.happened(Event::Taken)
            }
            Err(error) => Err(cloud(&self.target.key, error)),
        }
    }

    async fn put_small(&mut self) -> Result<Result<PutDone, CloudError>, Error> {
        let _share = self.engine.admit(self.layout.object_bytes()).await;
        let mut pieces = Vec::new();
        for number in 0..self.layout.parts() {
            pieces.push(self.next_piece(number).await?);
        }
        self.sync().await?;
        let checksum = self.machine.crc64nvme().map(|crc| crc.to_string());
        let put = self
            .engine
            .attempts(self.store, self.progress.as_ref(), || {
                let (sender, receiver) = mpsc::channel(pieces.len().max(1));
                for piece in &pieces {
                    // The channel has room for all of them.
                    let _ = sender.try_send(Ok(piece.clone()));
                }
                self.store.put(self.request(self.body(&pieces, receiver), checksum.clone()))
            })
            .await;
        if put.unclear {
            self.happened(Event::Unclear)?;
        }
        if put.result.is_ok() {
            self.progress.moved(self.layout.object_bytes());
        }
        Ok(put.result)
    }

    /// One piece goes as it is; it needs no channel.
    fn body(&self, pieces: &[Bytes], receiver: mpsc::Receiver<Piece>) -> Body {
        match pieces {
            [piece] => Body::Bytes(piece.clone()),
            _ => Body::Stream { bytes: self.layout.object_bytes(), parts: receiver },
        }
    }

    async fn put_large(&mut self) -> Result<Result<PutDone, CloudError>, Error> {
        // One being read, one waiting, one being sent. Taken at once: taking them one by one while
        // holding others could lock several such uploads against each other.
        let _share = self.engine.admit(3 * self.layout.largest_part_bytes()).await;
        let limits = *self.engine.limits();
        let store = self.store.clone();
        let mut backoff = Backoff::new(limits.attempts_max, limits.seed);
        loop {
            let (sender, receiver) = mpsc::channel(1);
            let body = Body::Stream { bytes: self.layout.object_bytes(), parts: receiver };
            let put = store.put(self.request(body, None));
            let (result, produced) = tokio::join!(put, self.produce(sender));
            // Our own trouble explains S3's.
            produced?;
            let error = match result {
                Ok(done) => {
                    self.progress.moved(self.layout.object_bytes());
                    return Ok(Ok(done));
                }
                Err(error) => error,
            };
            if error.is_ambiguous() {
                self.happened(Event::Unclear)?;
            }
            let repeat = error.is_retryable().then(|| backoff.after(error.kind())).flatten();
            let Some(wait) = repeat else { return Ok(Err(error)) };
            self.progress.retrying(&error, wait);
            self.store.wait(wait).await;
        }
    }

    /// Gives the parts in order, until all are given or nobody takes them any more.
    async fn produce(&mut self, sender: mpsc::Sender<Piece>) -> Result<(), Error> {
        for number in 0..self.layout.parts() {
            let piece = match self.next_piece(number).await {
                Ok(piece) => piece,
                Err(error) => {
                    let _ = sender.send(Err("the source failed".into())).await;
                    return Err(error);
                }
            };
            self.sync().await?;
            if sender.send(Ok(piece)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads a part and has its fingerprint kept before anybody gets its bytes.
    async fn next_piece(&mut self, number: u32) -> Result<Bytes, Error> {
        let source = std::sync::Arc::clone(&self.source);
        let part = read_part(source, number, self.layout.part_len(number)).await?;
        let event =
            Event::Read { part: number, fingerprint: part.fingerprint, crc64nvme: part.crc64nvme };
        self.happened(event)?;
        match self.take_failure() {
            Some(failure) => Err(failure),
            None => Ok(part.bytes),
        }
    }

    fn request(&self, body: Body, checksum: Option<String>) -> PutObject {
        PutObject {
            bucket: self.target.bucket.clone(),
            key: self.target.key.clone(),
            body,
            checksum_crc64nvme: checksum,
            if_none_match: self.target.if_none_match,
            expected_bucket_owner: self.target.expected_bucket_owner.clone(),
            content_type: self.target.content_type.clone(),
            metadata: self.target.metadata.clone(),
            encryption: self.target.encryption.clone(),
            ..PutObject::default()
        }
    }
}
