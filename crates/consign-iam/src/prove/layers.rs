//! The bits that the rule of composition asks for, from the values of atoms.

use crate::compose::{Bits, Caller, Truth};
use crate::decision::Layer;
use crate::policy::Closeness;
use crate::prove::atoms::{Fact, Model, Rule};
use crate::prove::{Identity, World};

/// The rules of a model under some valuation of its atoms.
pub(crate) struct Layers<'l, V> {
    pub(crate) world: &'l World<'l>,
    pub(crate) model: &'l Model,
    pub(crate) value: V,
}

impl<T: Truth, V: Fn(usize) -> T> Layers<'_, V> {
    fn fact(&self, fact: Fact) -> T {
        match fact {
            Fact::Known(known) => T::known(known),
            Fact::Atom(atom) => (self.value)(atom),
        }
    }

    pub(crate) fn applies(&self, rule: &Rule) -> T {
        let literals = rule.literals.iter().map(|(atom, side)| {
            let value = (self.value)(*atom);
            if *side { value } else { value.negated() }
        });
        literals.reduce(Truth::both).unwrap_or(T::known(true))
    }

    fn any(&self, wanted: impl Fn(&Rule) -> bool) -> T {
        let rules = self.model.rules.iter().filter(|rule| wanted(rule));
        rules.map(|rule| self.applies(rule)).reduce(Truth::either).unwrap_or(T::known(false))
    }

    pub(crate) fn bits(&self) -> Bits<T> {
        let facts = &self.model.facts;
        let allow = |layer: Layer| self.any(|rule| !rule.deny && rule.reference.layer == layer);
        let named = |closeness: Closeness| {
            self.any(|rule| {
                !rule.deny
                    && matches!(rule.reference.layer, Layer::Resource | Layer::Grant)
                    && rule.closeness == closeness
            })
        };
        let denies = self.model.rules.iter().filter(|rule| rule.deny);
        let denied = denies.map(|rule| self.applies(rule).both(self.counts(rule)));
        let key = self.fact(facts.kms).both(self.fact(facts.key));
        let withheld_by_kms = key.clone().both(self.fact(facts.kms_offered).negated());
        let withheld_by_s3 = self.fact(facts.s3).both(self.fact(facts.bucket_policy));
        Bits {
            free: self.fact(facts.caller_identity),
            denied: denied.reduce(Truth::either).unwrap_or(T::known(false)),
            fenced_in: self.fenced_in(),
            restricted: self.fact(facts.s3).both(T::known(self.model.restricted)),
            trusts_nobody: key.either(self.fact(facts.role_trust)),
            offered: withheld_by_kms.either(withheld_by_s3).negated(),
            direct: named(Closeness::Direct),
            role: named(Closeness::Role),
            account: named(Closeness::Account),
            identity: match self.world.identity {
                Identity::Anything => T::known(true),
                Identity::Given(_) => allow(Layer::Identity),
            },
            boundary: self.world.boundary.map_or(T::known(true), |_| allow(Layer::Boundary)),
            session: match self.world.session.is_empty() {
                true => T::known(true),
                false => allow(Layer::Session),
            },
        }
    }

    /// Whether a Deny has a say: RCPs only about some services, SCPs only to some callers, and no
    /// bucket policy keeps the owner's root from mending it.
    pub(crate) fn counts(&self, rule: &Rule) -> T {
        let owner = self.model.caller == (Caller::Root { same_account: true });
        match rule.reference.layer {
            Layer::ResourceControl if self.model.linked => T::known(false),
            Layer::ResourceControl => self.fact(self.model.facts.rcp_service),
            Layer::ServiceControl => T::known(self.model.scp_levels > 0),
            Layer::Resource if owner => self.fact(self.model.facts.bucket_policy).negated(),
            _ => T::known(true),
        }
    }

    fn fenced_in(&self) -> T {
        let level_allows = |layer: Layer, level: usize| {
            self.any(|rule| {
                !rule.deny && rule.reference.layer == layer && rule.reference.level == level
            })
        };
        let mut all = T::known(true);
        for level in 0..self.model.scp_levels {
            all = all.both(level_allows(Layer::ServiceControl, level));
        }
        for (level, must) in self.model.rcp_levels.iter().enumerate() {
            if *must {
                let spared = self.fact(self.model.facts.rcp_service).negated();
                all = all.both(level_allows(Layer::ResourceControl, level).either(spared));
            }
        }
        if !self.world.endpoint.is_empty() {
            all = all.both(level_allows(Layer::Endpoint, 0));
        }
        all
    }
}
