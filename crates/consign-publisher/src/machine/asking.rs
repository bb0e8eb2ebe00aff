//! What each phase asks for. What comes of the answer is decided beside this, in the machine itself.

use super::Handling;
use super::effect::Effect;
use super::state::{Job, Phase};

impl Handling {
    /// What the phase asks for.
    pub(super) fn ask(&mut self, effects: &mut Vec<Effect>) {
        let end = match &self.phase {
            Phase::PuttingAside => Some(Effect::PutAside(self.reasons.clone())),
            Phase::Deleting => Some(Effect::Delete),
            Phase::Recording(delivery) => Some(Effect::Record(delivery.clone())),
            _ => None,
        };
        if let (Phase::Looking, Some(job)) = (&self.phase, self.jobs.front()) {
            return effects.push(Effect::Look(job.source().clone()));
        }
        let (Some(Job::Deliver(task, _)), None) = (self.jobs.front(), &end) else {
            effects.extend(end);
            return;
        };
        let (source, target) = (task.source.clone(), task.target.clone());
        let route = task.route.clone();
        match &mut self.phase {
            Phase::LookingAtSource => effects.push(Effect::HeadSource(source)),
            Phase::LookingForRecord(found) => {
                effects.push(Effect::FindRecord { of: found.of.clone(), target });
            }
            Phase::AskingTarget(..) => effects.push(Effect::AskTarget(target)),
            Phase::Copying(found) => {
                let (of, content) = (found.of.clone(), found.content.clone().unwrap_or_default());
                effects.push(Effect::Copy { source, content, route, of, target });
            }
            Phase::Uploading(found, None) => {
                let (of, content) = (found.of.clone(), found.content.clone().unwrap_or_default());
                effects.push(Effect::CreateUpload { of, content, route, target });
            }
            Phase::Uploading(found, Some(upload)) => {
                if let Some(content) = &found.content {
                    let at_once = self.limits.parts_at_once;
                    upload.ask(at_once, &found.of, content, &source, &target, effects);
                }
            }
            Phase::Looking
            | Phase::Recording(_)
            | Phase::PuttingAside
            | Phase::Deleting
            | Phase::Done => {}
        }
    }
}
