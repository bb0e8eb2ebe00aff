//! Everything that must fail, and what S3 answers to it.

use std::time::Duration;

use consign::Sent;
use consign_cloud::s3::{CustomerKey, Encryption, GetObject, ListRequest, PutObject};
use consign_cloud::{Cloud, Error, ErrorKind};
use consign_model::LaneName;

use super::stage::{STRANGER_ACCOUNT, Stage};
use crate::error::CommandError;

/// How long the presigned URL of the demo lives.
const URL_LIFETIME: Duration = Duration::from_secs(1);

/// One attempt and its answer.
#[derive(serde::Serialize)]
pub(super) struct Refusal {
    /// What was tried.
    pub(super) attempt: String,
    /// S3's own error code, or what happened instead.
    pub(super) answer: String,
    /// Whether it was refused, for the right reason.
    pub(super) held: bool,
}

/// Tries them all.
pub(super) async fn try_all(
    stage: &Stage,
    to_client: &LaneName,
    from_client: &LaneName,
    sent: &Sent,
) -> Result<Vec<Refusal>, CommandError> {
    let mut tries = Tries::default();
    let acme = stage.as_party("acme").await?;
    let globex = stage.as_party("globex").await?;
    let (there, back) = (stage.bucket(to_client), stage.bucket(from_client));
    let delivered = format!("{}/manifest.json.age", sent.id);

    let url = globex.s3().presign_get(&get(&there, &delivered), URL_LIFETIME).await?;
    let expired = tokio::time::sleep(URL_LIFETIME + Duration::from_millis(1_100));

    tries.crossing("globex", to_client, &globex, &there, &delivered).await;
    let reply = first_key(&acme, &back).await?;
    tries.crossing("acme", from_client, &acme, &back, &reply).await;
    tries.add(
        "acme reads what it sent",
        acme.s3().get_object_bytes(&get(&there, &delivered), 1 << 20).await,
    );
    tries.add("acme lists to-client", acme.s3().list_objects(&list(&there)).await);
    tries.strangers(stage, &there, &delivered).await?;
    tries.wrong_encryption(stage, &acme, &there).await?;
    let overwrite = put(&there, &delivered, None);
    tries.add("acme overwrites a delivered object", acme.s3().put_object(overwrite).await);
    let again = PutObject { if_none_match: true, ..put(&there, &delivered, None) };
    tries.add("acme puts it again, if there is none", acme.s3().put_object(again).await);
    let plain = stage.as_party_without_tls("acme").await?;
    tries.add("acme puts over plain HTTP", plain.s3().put_object(put(&there, "plain", None)).await);
    expired.await;
    let nobody = stage.as_nobody().await?;
    tries.add("a presigned URL after its time", nobody.s3().get_by_url(&url, 1 << 20).await);
    Ok(tries.0)
}

#[derive(Default)]
struct Tries(Vec<Refusal>);

impl Tries {
    /// Notes an attempt: it holds if S3 refused it as not allowed or as already there.
    fn add<T>(&mut self, attempt: impl Into<String>, result: Result<T, Error>) {
        let (answer, held) = match result {
            Ok(_) => ("it was allowed".to_owned(), false),
            Err(error) => {
                let refused = matches!(
                    error.kind(),
                    ErrorKind::AccessDenied
                        | ErrorKind::PreconditionFailed
                        | ErrorKind::ExpiredCredentials
                );
                let status = error.http_status().map(|s| s.to_string()).unwrap_or_default();
                let code = error.code().map_or_else(|| error.to_string(), str::to_owned);
                (format!("{status} {code}"), refused)
            }
        };
        self.0.push(Refusal { attempt: attempt.into(), answer, held });
    }

    /// The reader of a lane writing to it and deleting from it.
    async fn crossing(
        &mut self,
        who: &str,
        lane: &LaneName,
        cloud: &Cloud,
        bucket: &str,
        key: &str,
    ) {
        let written = cloud.s3().put_object(put(bucket, "intruder", None)).await;
        self.add(format!("{who} writes to {lane}"), written);
        let deleted = cloud.s3().delete_object(bucket, key, None).await;
        self.add(format!("{who} deletes from {lane}"), deleted);
    }

    /// Somebody with keys of his own account, and somebody without any.
    async fn strangers(
        &mut self,
        stage: &Stage,
        bucket: &str,
        key: &str,
    ) -> Result<(), CommandError> {
        let stranger = stage.as_administrator(STRANGER_ACCOUNT).await?;
        self.add(
            "a stranger reads",
            stranger.s3().get_object_bytes(&get(bucket, key), 1 << 20).await,
        );
        self.add(
            "a stranger writes",
            stranger.s3().put_object(put(bucket, "stranger", None)).await,
        );
        self.add("a stranger lists", stranger.s3().list_objects(&list(bucket)).await);
        let nobody = stage.as_nobody().await?;
        self.add(
            "an unsigned request reads",
            nobody.s3().get_object_bytes(&get(bucket, key), 1 << 20).await,
        );
        self.add(
            "an unsigned request writes",
            nobody.s3().put_object(put(bucket, "nobody", None)).await,
        );
        Ok(())
    }

    /// The writer asking for another encryption than the lane's.
    async fn wrong_encryption(
        &mut self,
        stage: &Stage,
        acme: &Cloud,
        bucket: &str,
    ) -> Result<(), CommandError> {
        let account = super::stage::PARTIES[0].1;
        let administrator = stage.as_administrator(account).await?;
        let other =
            administrator.kms().describe_key("alias/consign/acme-globex/from-client").await?;
        let other = Encryption::SseKms { key: other.map(|key| key.arn) };
        let attempts = [
            ("acme puts with another KMS key", other),
            ("acme puts with the account's shared key", Encryption::SseKms { key: None }),
            (
                "acme puts with a key of his own (SSE-C)",
                Encryption::SseC(CustomerKey::new([7; 32])),
            ),
            ("acme puts with S3's own keys", Encryption::SseS3),
        ];
        for (attempt, encryption) in attempts {
            let result =
                acme.s3().put_object(put(bucket, "other-encryption", Some(encryption))).await;
            self.add(attempt, result);
        }
        Ok(())
    }
}

async fn first_key(cloud: &Cloud, bucket: &str) -> Result<String, CommandError> {
    let page = cloud.s3().list_objects(&list(bucket)).await?;
    Ok(page.entries.first().map(|entry| entry.key.clone()).unwrap_or_default())
}

fn put(bucket: &str, key: &str, encryption: Option<Encryption>) -> PutObject {
    PutObject {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        body: b"must not be stored".to_vec().into(),
        encryption,
        ..PutObject::default()
    }
}

fn get(bucket: &str, key: &str) -> GetObject {
    GetObject { bucket: bucket.to_owned(), key: key.to_owned(), ..GetObject::default() }
}

fn list(bucket: &str) -> ListRequest {
    ListRequest { bucket: bucket.to_owned(), ..ListRequest::default() }
}
