//! All tests of this crate in one program: linking one for each file takes longer than running them.

mod acknowledgements;
mod deliveries;
mod exchange_files;
mod manifests;
mod routes;
