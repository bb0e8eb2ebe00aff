//! The documents of a claim, layer by layer, as the evaluator reads them.

use crate::decision::Layer;
use crate::evaluate::Policies;
use crate::policy::{Policy, Statement, Version};
use crate::prove::{Identity, World};

/// The documents of a world, and one more that allows everything where the identity policies do.
pub(crate) struct Documents<'a> {
    pub(crate) world: World<'a>,
    anything: Vec<Policy>,
}

const ANYTHING: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;

/// One statement with its place.
pub(crate) struct Placed<'a> {
    pub(crate) layer: Layer,
    pub(crate) level: usize,
    pub(crate) policy: usize,
    pub(crate) index: usize,
    pub(crate) statement: &'a Statement,
    pub(crate) version: Version,
}

impl<'a> Documents<'a> {
    pub(crate) fn new(world: &World<'a>) -> Documents<'a> {
        let anything = match world.identity {
            Identity::Anything => Policy::parse(ANYTHING).into_iter().collect(),
            Identity::Given(_) => Vec::new(),
        };
        Documents { world: *world, anything }
    }

    pub(crate) fn policies(&self) -> Policies<'_> {
        let world = &self.world;
        Policies {
            identity: match world.identity {
                Identity::Given(given) => given,
                Identity::Anything => &self.anything,
            },
            resource: world.resource,
            boundary: world.boundary,
            session: world.session,
            scps: world.scps,
            rcps: world.rcps,
            endpoint: world.endpoint,
            grants: world.grants,
            restrict_public_buckets: world.restrict_public_buckets,
        }
    }

    /// Every statement but those that merely stand for "everything".
    pub(crate) fn statements(&self) -> Vec<Placed<'a>> {
        statements(&self.world)
    }
}

pub(crate) fn statements<'a>(world: &World<'a>) -> Vec<Placed<'a>> {
    let identity = match world.identity {
        Identity::Given(given) => given,
        Identity::Anything => &[],
    };
    let levels = |layer, levels: &'a [Vec<Policy>]| {
        levels
            .iter()
            .enumerate()
            .map(move |(level, documents)| (layer, level, documents.as_slice()))
    };
    let inner = [
        (Layer::Endpoint, 0, world.endpoint),
        (Layer::Resource, 0, world.resource),
        (Layer::Identity, 0, identity),
        (Layer::Boundary, 0, world.boundary.map_or(&[][..], std::slice::from_ref)),
        (Layer::Session, 0, world.session),
    ];
    let layers = levels(Layer::ResourceControl, world.rcps)
        .chain(levels(Layer::ServiceControl, world.scps))
        .chain(inner);
    let mut placed = Vec::new();
    for (layer, level, documents) in layers {
        for (policy, document) in documents.iter().enumerate() {
            for (index, statement) in document.statements().iter().enumerate() {
                let version = document.version();
                placed.push(Placed { layer, level, policy, index, statement, version });
            }
        }
    }
    placed
}

pub(crate) fn layer_name(layer: Layer) -> &'static str {
    match layer {
        Layer::ResourceControl => "resource-control",
        Layer::ServiceControl => "service-control",
        Layer::Endpoint => "endpoint",
        Layer::BlockPublicAccess => "block-public-access",
        Layer::Resource => "resource",
        Layer::Grant => "grant",
        Layer::Identity => "identity",
        Layer::Service => "service",
        Layer::Boundary => "boundary",
        Layer::Session => "session",
    }
}
