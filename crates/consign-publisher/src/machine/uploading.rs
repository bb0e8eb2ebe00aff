//! A copy in parts on its way: what follows from each answer about it.

use super::state::{Found, Phase};
use super::upload::{End, Upload};
use super::{Effect, Handling};
use crate::failure::Failure;

impl Handling {
    pub(super) fn upload_created(
        &mut self,
        found: Found,
        result: Result<String, Failure>,
        effects: &mut Vec<Effect>,
    ) {
        match result {
            Ok(id) => {
                let bytes = found.content.as_ref().map_or(0, |content| content.bytes);
                let upload = Upload::new(id, bytes, self.limits.part_bytes_min);
                self.enter(Phase::Uploading(found, Some(upload)), effects);
            }
            // An upload of which nobody knows is removed by the bucket's lifecycle.
            Err(failure) => self.failed(failure, Phase::Uploading(found, None), effects),
        }
    }

    pub(super) fn part(
        &mut self,
        found: Found,
        mut upload: Upload,
        part: u32,
        result: Result<String, Failure>,
        effects: &mut Vec<Effect>,
    ) {
        match result {
            Ok(etag) => {
                upload.note(part, Some(etag));
                // What moves is not given up: of a thousand parts some fail.
                self.failures = 0;
                self.phase = Phase::Uploading(found, Some(upload));
                if !self.waiting {
                    self.ask(effects);
                }
            }
            Err(failure @ (Failure::Passing | Failure::Throttled)) => {
                upload.note(part, None);
                if self.failures_with_this() >= self.limits.attempts_max {
                    self.abort(&upload, effects);
                }
                self.failed(failure, Phase::Uploading(found, Some(upload)), effects);
            }
            // The upload, the version or the permission is gone: look at everything again.
            Err(failure) => {
                self.abort(&upload, effects);
                let failure = match failure {
                    Failure::Permanent(_) => failure,
                    _ => Failure::Passing,
                };
                self.failed(failure, Phase::LookingAtSource, effects);
            }
        }
    }

    pub(super) fn record_of_upload(
        &mut self,
        found: Found,
        mut upload: Upload,
        result: Result<bool, Failure>,
        effects: &mut Vec<Effect>,
    ) {
        match result {
            Ok(true) => {
                self.abort(&upload, effects);
                self.finish_job(effects);
            }
            Ok(false) => {
                upload.end = End::Completing;
                self.enter(Phase::Uploading(found, Some(upload)), effects);
            }
            Err(failure) => {
                self.abort(&upload, effects);
                self.failed(failure, Phase::LookingAtSource, effects);
            }
        }
    }
}
