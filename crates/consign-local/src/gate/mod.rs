//! The gate: who is asking, and is this the request they signed?
pub mod body;

pub use body::Body;
