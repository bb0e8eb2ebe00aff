//! Who the callers of a claim are, and what concerns each, kept for the claims about the same callers
//! and documents.

use std::collections::HashMap;
use std::rc::Rc;

use super::rules::{Library, Rule};
use crate::policy::Policy;
use crate::prove::classes::{Class, Names, classes};
use crate::prove::domains::only_service;
use crate::prove::{Callers, Claim, Identity, World};

/// The classes of a claim's callers, each with what concerns it.
pub(crate) struct Scene {
    pub(super) classes: Vec<(Class, Vec<Rule>)>,
}

impl Scene {
    /// How certificates call the classes.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().map(|(class, _)| class.label.as_str())
    }
}

/// Everything that a scene depends on.
#[derive(PartialEq, Eq, Hash)]
struct Ground {
    documents: Vec<Mark>,
    callers: Callers,
    resource_account: String,
}

#[derive(PartialEq, Eq, Hash)]
enum Mark {
    /// The documents of this layer or level follow.
    Layer(u8),
    /// [`Policy::identity`]; the library, which is forgotten together with the scenes, keeps the
    /// policy, so no other comes to have the same.
    Document(usize),
}

#[derive(Default)]
pub(super) struct Scenes {
    known: HashMap<Ground, Rc<Scene>>,
}

impl Scenes {
    /// # Errors
    /// Policies whose text was not kept.
    pub(super) fn of(
        &mut self,
        claim: &Claim<'_>,
        library: &mut Library,
    ) -> Result<Rc<Scene>, String> {
        // Which grants matter depends on the actions, too; they are rare.
        if !claim.world.grants.is_empty() {
            return scene(claim, library).map(Rc::new);
        }
        let ground = Ground {
            documents: marks(&claim.world),
            callers: claim.region.callers.clone(),
            resource_account: claim.region.resource_account.clone(),
        };
        if let Some(scene) = self.known.get(&ground) {
            return Ok(Rc::clone(scene));
        }
        let scene = Rc::new(scene(claim, library)?);
        self.known.insert(ground, Rc::clone(&scene));
        Ok(scene)
    }
}

fn scene(claim: &Claim<'_>, library: &mut Library) -> Result<Scene, String> {
    let service = only_service(&claim.region.actions);
    let classes = classes(&claim.region.callers, &Names::gather(claim)).into_iter();
    let with_rules = classes.map(|class| {
        let rules = library.rules(claim, &class, service.as_deref())?;
        Ok((class, rules))
    });
    Ok(Scene { classes: with_rules.collect::<Result<_, String>>()? })
}

fn marks(world: &World<'_>) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut layer = |number: u8, documents: &[Policy]| {
        marks.push(Mark::Layer(number));
        marks.extend(documents.iter().map(|document| Mark::Document(document.identity())));
    };
    world.rcps.iter().for_each(|level| layer(0, level));
    world.scps.iter().for_each(|level| layer(1, level));
    layer(2, world.endpoint);
    layer(3, world.resource);
    match world.identity {
        Identity::Given(given) => layer(4, given),
        Identity::Anything => layer(5, &[]),
    }
    layer(6, world.boundary.map_or(&[], std::slice::from_ref));
    layer(7, world.session);
    marks
}
