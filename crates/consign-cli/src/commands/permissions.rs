//! `consign permissions`: the least policy that deploying needs.

use std::collections::{BTreeMap, BTreeSet};

use consign_provision::{Desired, permissions};

use super::world::own_account;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::Terminal;

/// Prints a policy for each account, or for that of `--as`.
pub(crate) fn run(settings: &Settings, terminal: &Terminal) -> Result<(), CommandError> {
    let exchange = settings.exchange()?;
    let desired = Desired::of(&exchange)?;
    let accounts: BTreeSet<_> = match &settings.party {
        Some(party) => BTreeSet::from([own_account(&exchange, party)?]),
        None => exchange.parties.values().map(|party| party.account.clone()).collect(),
    };
    let policies = accounts
        .iter()
        .filter_map(|account| Some((account.to_string(), permissions(&desired, account)?)));
    let policies: BTreeMap<_, _> = policies.collect();
    let text = match policies.len() {
        1 => policies.values().map(consign_provision::Document::to_pretty_json).collect(),
        _ => policies
            .iter()
            .map(|(account, policy)| format!("{account}:\n{}\n", policy.to_pretty_json()))
            .collect::<String>(),
    };
    terminal.result(&policies, &text)
}
