//! Placeholder until the binary can be measured.

use crate::run::{Failure, Outcome};

pub(crate) const HELP: &str = "Measure consign beside other tools (not there yet).\n";

pub(crate) fn command(_: &[String]) -> Outcome {
    Err(Failure::new("there is nothing to measure yet"))
}
