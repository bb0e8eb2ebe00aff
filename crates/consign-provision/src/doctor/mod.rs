//! Why is this denied? Looks from the outside in and stops at the first layer that explains it.
//!
//! Start with [`Complaint::of`], which turns the words of a failed command into the requests that
//! it makes, and hand it to [`examine`]: endpoint and certificate, clock, credentials, who they
//! belong to, the bucket, its key, and then every policy that can be seen, evaluated by
//! `consign-iam`, including the KMS call that S3 makes in the caller's name. Nothing is changed, and
//! the failed request is not sent again.
//!
//! What cannot be seen from here (service and resource control policies of an organisation, the
//! policy of a VPC endpoint) is said to be unseen when nothing else explains the refusal.

mod complaint;
mod layers;
mod policies;

pub use complaint::{Asked, Complaint};

use crate::desired::Desired;
use crate::hands::Hands;
use consign_cloud::Cloud;
use serde::Serialize;

/// Who complains, and what can be looked at on his behalf.
pub struct Patient<'a> {
    /// Signs as whoever was denied.
    pub cloud: &'a Cloud,
    /// Where his credentials come from, for people: `profile globex`, `AWS_ACCESS_KEY_ID`.
    pub source: &'a str,
    /// The party he acts for, if he said so.
    pub party: Option<&'a str>,
    /// Administrators' credentials, to read policies with; his own are tried where there are none.
    pub hands: &'a Hands,
    /// The exchange, if there is a file.
    pub desired: Option<&'a Desired>,
    /// This machine's clock, in milliseconds since 1970.
    pub now_ms: i64,
}

/// The layers, from the outside in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Address, connection, certificate.
    Endpoint,
    /// This machine's clock against the service's.
    Clock,
    /// Whether there are credentials, and whether they are good.
    Credentials,
    /// Whose they are.
    Identity,
    /// Whether the bucket is there, and whose it is.
    Bucket,
    /// Whether its key is there and can be used.
    Key,
    /// What the policies say.
    Policies,
}

/// What was seen at a layer that does not explain the refusal.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// Where.
    pub layer: Layer,
    /// What, as a sentence.
    pub what: String,
}

/// What explains the refusal.
#[derive(Clone, Debug, Serialize)]
pub struct Cause {
    /// Where.
    pub layer: Layer,
    /// A short name that stays the same: `expired-credentials`, `key-pending-deletion`.
    pub name: &'static str,
    /// What is wrong, as a sentence.
    pub what: String,
    /// The command that helps.
    pub remedy: String,
}

/// What [`examine`] found.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// What was looked at before the cause was found, in order.
    pub seen: Vec<Seen>,
    /// The cause; none when all that can be seen allows the requests.
    pub cause: Option<Cause>,
}

impl Diagnosis {
    fn see(&mut self, layer: Layer, what: impl Into<String>) {
        self.seen.push(Seen { layer, what: what.into() });
    }
}

/// Stops an examination with what it was looking for.
type Found<T> = Result<T, Box<Cause>>;

fn cause<T>(
    layer: Layer,
    name: &'static str,
    what: impl Into<String>,
    remedy: impl Into<String>,
) -> Found<T> {
    Err(Box::new(Cause { layer, name, what: what.into(), remedy: remedy.into() }))
}

/// Examines a complaint. Dropping it leaves nothing behind.
pub async fn examine(complaint: &Complaint, patient: &Patient<'_>) -> Diagnosis {
    let mut diagnosis = Diagnosis { seen: Vec::new(), cause: None };
    if let Err(cause) = look(complaint, patient, &mut diagnosis).await {
        diagnosis.cause = Some(*cause);
    }
    diagnosis
}

async fn look(
    complaint: &Complaint,
    patient: &Patient<'_>,
    diagnosis: &mut Diagnosis,
) -> Found<()> {
    layers::endpoint(patient, diagnosis).await?;
    layers::credentials(patient, diagnosis).await?;
    let caller = layers::identity(patient, diagnosis).await?;
    for asked in &complaint.asked {
        let bucket = layers::bucket(asked, patient, diagnosis).await?;
        let key = layers::key(asked, &bucket, patient, diagnosis).await?;
        policies::decide(asked, &caller, &bucket, key, patient, diagnosis).await?;
    }
    diagnosis.see(
        Layer::Policies,
        "everything that can be seen from here allows it. Not visible: service and resource control \
         policies of an organisation, policies of VPC endpoints. Their administrators can look: \
         aws organizations list-policies-for-target --target-id ACCOUNT --filter \
         SERVICE_CONTROL_POLICY",
    );
    Ok(())
}
