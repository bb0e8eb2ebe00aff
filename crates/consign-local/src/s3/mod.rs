//! S3: buckets and objects.

use std::path::Path;
use std::sync::Arc;

use http::Response;

use crate::call::Verified;
use crate::error::{ApiError, ResponseBody};
use crate::state::State;

/// All buckets and objects under one root.
pub struct Store {}

impl Store {
    /// Opens or makes the store under `root`.
    pub fn open(root: &Path) -> std::io::Result<Store> {
        let _ = root;
        Ok(Store {})
    }
}

/// Answers one verified request.
pub async fn handle(
    state: Arc<State>,
    verified: Verified,
) -> Result<Response<ResponseBody>, ApiError> {
    let _ = (state, verified);
    Err(ApiError::not_implemented("S3"))
}
