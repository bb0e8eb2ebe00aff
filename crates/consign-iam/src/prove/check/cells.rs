//! Numbers, instants, addresses and bytes, cut into cells in each of which every test is constant.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::net::IpAddr;

use super::values::Probe;
use crate::value::{Decimal, Instant, Network};

/// Whether in no cell all tests come out as their sides say. A cell is a constant (odd) or the gap
/// before the next (even); the last is for what is not of the kind at all.
fn no_cell(constants: usize, tests: &[Box<dyn Fn(Option<usize>) -> bool + '_>]) -> bool {
    let cells = (0..=2 * constants).map(Some).chain([None]);
    !tests.is_empty() && !cells.into_iter().any(|cell| tests.iter().all(|test| test(cell)))
}

pub(super) fn no_number(sides: &[(&Probe, bool)]) -> bool {
    let all = sides.iter().filter_map(|(probe, _)| match probe {
        Probe::Number { constants, .. } => Some(constants),
        _ => None,
    });
    let mut sorted: Vec<&Decimal<'_>> = all.flatten().collect();
    sorted.sort_by(|a, b| a.order(b));
    sorted.dedup_by(|a, b| a.order(b).is_eq());
    let place = |number: &Decimal<'_>| sorted.iter().position(|c| c.order(number).is_eq());
    let tests = sides.iter().filter_map(|(probe, side)| match probe {
        Probe::Number { holds, negated, constants } => {
            let places: Vec<usize> = constants.iter().filter_map(place).collect();
            Some(in_cell(*holds, *negated, places, *side))
        }
        _ => None,
    });
    no_cell(sorted.len(), &tests.collect::<Vec<_>>())
}

pub(super) fn no_date(sides: &[(&Probe, bool)]) -> bool {
    let all = sides.iter().filter_map(|(probe, _)| match probe {
        Probe::Date { constants, .. } => Some(constants),
        _ => None,
    });
    let sorted: Vec<Instant> =
        all.flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let tests = sides.iter().filter_map(|(probe, side)| match probe {
        Probe::Date { holds, negated, constants } => {
            let places = constants.iter().filter_map(|c| sorted.binary_search(c).ok()).collect();
            Some(in_cell(*holds, *negated, places, *side))
        }
        _ => None,
    });
    no_cell(sorted.len(), &tests.collect::<Vec<_>>())
}

fn in_cell(
    holds: fn(Ordering) -> bool,
    negated: bool,
    places: Vec<usize>,
    side: bool,
) -> Box<dyn Fn(Option<usize>) -> bool> {
    Box::new(move |cell| {
        let good = cell.is_some_and(|cell| {
            places.iter().any(|place| holds(cell.cmp(&(2 * place + 1)))) != negated
        });
        good == side
    })
}

/// Between the starts of networks, and what follows their ends, nothing changes.
pub(super) fn no_address(sides: &[(&Probe, bool)]) -> bool {
    let mut edges: BTreeSet<IpAddr> =
        ["0.0.0.0", "::"].iter().filter_map(|a| a.parse().ok()).collect();
    let mut tests = Vec::new();
    for (probe, side) in sides {
        let Probe::Address { negated, networks } = probe else { continue };
        for (address, prefix_bits) in networks.iter().map(Network::parts) {
            match address {
                IpAddr::V4(address) => {
                    let size = 1_u64 << (32 - u64::from(prefix_bits));
                    let start = u64::from(u32::from(address)) / size * size;
                    let ends = [start, start + size];
                    edges.extend(
                        ends.into_iter()
                            .filter_map(|e| u32::try_from(e).ok())
                            .map(|e| IpAddr::from(e.to_be_bytes())),
                    );
                }
                IpAddr::V6(address) => {
                    let free = 128 - u32::from(prefix_bits);
                    let high = u128::from(address).checked_shr(free).unwrap_or(0);
                    let ends = [Some(high), high.checked_add(1)];
                    let ends = ends.into_iter().flatten().filter_map(|high| {
                        let end = high.checked_shl(free).unwrap_or(0);
                        (end.checked_shr(free).unwrap_or(0) == high).then_some(end)
                    });
                    edges.extend(ends.map(|e| IpAddr::from(e.to_be_bytes())));
                }
            }
        }
        tests.push((*negated, networks, *side));
    }
    let fits = |address: Option<IpAddr>| {
        tests.iter().all(|(negated, networks, side)| {
            let good = address.is_some_and(|address| {
                networks.iter().any(|network| network.contains(address)) != *negated
            });
            good == *side
        })
    };
    !tests.is_empty() && !edges.into_iter().map(Some).chain([None]).any(fits)
}

pub(super) fn no_bytes(sides: &[(&Probe, bool)]) -> bool {
    let tests: Vec<(&Vec<Vec<u8>>, bool)> = sides
        .iter()
        .filter_map(|(probe, side)| match probe {
            Probe::Bytes { constants } => Some((constants, *side)),
            _ => None,
        })
        .collect();
    let values = tests.iter().flat_map(|(constants, _)| constants.iter()).map(Some).chain([None]);
    // `None` stands for bytes that no test names.
    !tests.is_empty()
        && !values.into_iter().any(|value| {
            tests
                .iter()
                .all(|(constants, side)| value.is_some_and(|v| constants.contains(v)) == *side)
        })
}
