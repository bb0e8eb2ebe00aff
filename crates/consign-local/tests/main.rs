//! All tests of this crate in one program: linking one for each file takes longer than running them.

mod chunked;
mod control_judges;
mod forms;
mod gate;
mod life;
mod s3_crash;
mod s3_exchange;
mod s3_judges;
mod s3_wire;
mod services;
mod sqs;
mod sqs_judges;
mod support;
