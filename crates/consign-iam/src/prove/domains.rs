//! What a region and a class of callers say about single condition keys.

use crate::condition::{Condition, Operands, Operator};
use crate::glob::{Element, Glob};
use crate::key::Key;
use crate::principal::Principal;
use crate::prove::classes::Class;
use crate::prove::language::Language;
use crate::prove::theory::Good;
use crate::prove::{Region, Set, Values};

pub(crate) fn set_sides(set: &Set) -> Vec<(Good, bool)> {
    let mut inside = Language::default();
    let mut outside = Language::default();
    set.including.iter().for_each(|glob| inside.add_elements(glob.elements()));
    set.except.iter().for_each(|glob| outside.add_elements(glob.elements()));
    vec![(Good::text(inside), true), (Good::text(outside), false)]
}

pub(crate) fn value_sides(values: &Values) -> Vec<(Good, bool)> {
    match values {
        Values::Any => Vec::new(),
        Values::Of(set) => set_sides(set),
        Values::Fixed(texts) => {
            let mut set = Language::default();
            texts.iter().for_each(|text| set.add_text(text));
            vec![(Good::text(set), true)]
        }
        Values::Numbers { from, to } => {
            let bound = |name: &str, value: &Option<String>| {
                let value = value.as_ref()?;
                let operator = Operator::parse(name).ok()?;
                let operands =
                    Operands::parse(operator.test, std::slice::from_ref(value), false).ok()?;
                let key = Key::new("region:number");
                Some((Good::Typed(Condition { operator, key, operands }), true))
            };
            let from = bound("NumericGreaterThanEquals", from);
            from.into_iter().chain(bound("NumericLessThanEquals", to)).collect()
        }
    }
}

/// What a class of callers says about a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Derived {
    Absent,
    Of(Set),
    Perhaps(Set),
    Anything,
}

pub(crate) fn derived(class: &Class, region: &Region, service: Option<&str>, key: &Key) -> Derived {
    let of = |text: &str| Derived::Of(Set::of([text]));
    let set = |set: &Option<Set>| set.clone().map_or(Derived::Absent, Derived::Of);
    let only_for = |wanted: &str, set: Derived| match (service, set) {
        (_, Derived::Absent) => Derived::Absent,
        (Some(known), set) if known == wanted => set,
        (None, Derived::Of(set)) => Derived::Perhaps(set),
        _ => Derived::Absent,
    };
    let has_account = class.accounts.is_some();
    match key.folded() {
        "aws:principalarn" => set(&class.arns),
        "aws:principalaccount" => set(&class.accounts),
        "aws:principaltype" => class.member.type_name().map_or(Derived::Absent, of),
        "aws:principalisawsservice" => match &class.member {
            Principal::Anonymous | Principal::Federated { .. } => Derived::Absent,
            Principal::Service { .. } => of("true"),
            _ => of("false"),
        },
        "aws:principalservicename" => set(&class.services),
        "aws:username" => match (&class.member, class.only_arn()) {
            (Principal::User { .. }, Some(arn)) => of(crate::principal::last_name(arn)),
            (Principal::User { .. }, None) => Derived::Of(Set::of(["?*"]).but(["*/*"])),
            _ => Derived::Absent,
        },
        "aws:userid" => match (&class.member, class.only_account()) {
            (Principal::Anonymous, _) => of("anonymous"),
            (Principal::Root { .. }, Some(account)) => of(account),
            (Principal::Root { .. }, None) => set(&class.accounts),
            _ => Derived::Anything,
        },
        "aws:resourceaccount" => of(&region.resource_account),
        "s3:resourceaccount" => only_for("s3", of(&region.resource_account)),
        "kms:calleraccount" => only_for("kms", set(&class.accounts)),
        "aws:principalorgid" | "aws:principalorgpaths" if !has_account => Derived::Absent,
        name if name.starts_with("aws:principaltag/") && !has_account => Derived::Absent,
        _ => Derived::Anything,
    }
}

/// Whether [`Request`] answers the key itself.
pub(crate) fn is_answered(key: &str) -> bool {
    const ANSWERED: [&str; 9] = [
        "aws:principalarn",
        "aws:principalaccount",
        "aws:principaltype",
        "aws:principalisawsservice",
        "aws:principalservicename",
        "aws:username",
        "aws:resourceaccount",
        "s3:resourceaccount",
        "kms:calleraccount",
    ];
    ANSWERED.contains(&key.to_ascii_lowercase().as_str())
}

/// Keys that AWS documents as lists (`ArrayOf…` in the service authorization reference). Any other
/// key has at most one value.
pub(crate) fn is_list(folded: &str) -> bool {
    const LISTS: [&str; 30] = [
        "aws:tagkeys",
        "aws:principalorgpaths",
        "aws:principalservicenameslist",
        "aws:calledvia",
        "aws:resourceorgpaths",
        "aws:sourceorgpaths",
        "aws:vpceorgpaths",
        "iam:accountpropertynamespaces",
        "kms:encryptioncontextkeys",
        "kms:grantoperations",
        "kms:resourcealiases",
        "s3:inventoryaccessibleoptionalfields",
        "s3:requestobjecttagkeys",
        "sts:identitytokenaudience",
        "sts:requestcontextproviders",
        "sts:transitivetagkeys",
        "cognito-identity.amazonaws.com:amr",
        "saml:cn",
        "saml:eduorghomepageuri",
        "saml:eduorgidentityauthnpolicyuri",
        "saml:eduorglegalname",
        "saml:eduorgsuperioruri",
        "saml:eduorgwhitepagesuri",
        "saml:edupersonaffiliation",
        "saml:edupersonassurance",
        "saml:edupersonentitlement",
        "saml:edupersonnickname",
        "saml:edupersonorgunitdn",
        "saml:edupersonscopedaffiliation",
        "saml:edupersontargetedid",
    ];
    LISTS.contains(&folded)
}

/// The service that all actions of a set belong to.
pub(crate) fn only_service(actions: &Set) -> Option<String> {
    let mut services = actions.including.iter().map(|glob| {
        let start = glob.start();
        start.split_once(':').map(|(service, _)| service.to_ascii_lowercase())
    });
    let first = services.next()??;
    services.all(|service| service.as_ref() == Some(&first)).then_some(first)
}

/// A pattern as text.
pub(crate) fn written(glob: &Glob) -> String {
    let character = |element: Element| match element {
        Element::Char(c) => c,
        Element::One => '?',
        Element::Many => '*',
    };
    glob.elements().into_iter().map(character).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

    use std::path::Path;

    use serde_json::Value;

    use super::is_list;

    fn lists(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                let is_array = members.get("type").and_then(Value::as_str);
                if let (Some(key), Some(true)) =
                    (members.get("key"), is_array.map(|name| name.starts_with("ArrayOf")))
                {
                    found.push(key.as_str().unwrap().to_ascii_lowercase());
                }
                members.values().for_each(|member| lists(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| lists(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_key_of_the_reference_that_is_a_list_is_one_here() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../../shared/data/service-authorization");
        let Ok(files) = folder.read_dir() else {
            eprintln!("SKIPPED lists: {} is not there", folder.display());
            return;
        };
        let mut found = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            lists(&serde_json::from_str(&text).unwrap(), &mut found);
        }
        assert!(found.len() >= 20, "{found:?}");
        let missing: Vec<&String> = found.iter().filter(|key| !is_list(key)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
