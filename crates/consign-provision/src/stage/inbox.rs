//! The two folders of an inbox that hold no deliveries, and who may do what in them.
//!
//! Below `deliveries/` the publisher leaves the signed record of each delivery, below
//! `acknowledgements/` the consumers say what they have fetched (`consign_model::delivery`).
//! Acknowledgements are the one thing in an inbox that its publisher reads. They are encrypted by S3
//! itself, not under the inbox's key, so that nothing has to be decrypted for it.

use crate::desired::{DesiredLane, Holder};
use consign_model::{ACKNOWLEDGEMENTS, DELIVERIES};

impl DesiredLane {
    /// `arn:aws:s3:::bucket/PREFIXacknowledgements/*`, of an inbox.
    pub fn acknowledgements(&self) -> String {
        format!("{}/{}*", self.bucket_arn(), self.acknowledgements_prefix())
    }

    /// Records and their signatures, and nothing else that lies beside them: what may be read of an
    /// inbox before a scanner has looked at it.
    pub fn records(&self) -> [String; 2] {
        let below = format!("{}/{}", self.bucket_arn(), self.deliveries_prefix());
        [format!("{below}*.json"), format!("{below}*.sig")]
    }

    /// What the key of every record begins with.
    pub fn deliveries_prefix(&self) -> String {
        format!("{}{DELIVERIES}", self.prefix)
    }

    /// What the key of every acknowledgement begins with.
    pub fn acknowledgements_prefix(&self) -> String {
        format!("{}{ACKNOWLEDGEMENTS}", self.prefix)
    }

    /// What a publisher may list: each pattern of `s3:prefix`.
    pub fn listed_by_publisher(&self) -> [String; 2] {
        [self.deliveries_prefix() + "*", self.acknowledgements_prefix() + "*"]
    }

    /// Whoever fetches, and says so: the readers without the scanner.
    pub fn consumers(&self) -> impl Iterator<Item = &Holder> {
        let scanner = self.scanner().map(|it| &it.party);
        self.readers.iter().filter(move |it| Some(&it.party) != scanner)
    }

    /// The consumers' ARNs.
    pub fn consumer_arns(&self) -> Vec<&str> {
        self.consumers().map(|it| it.arn.as_str()).collect()
    }
}
