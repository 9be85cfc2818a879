//! Without the feature `k8s` nothing is asked of anybody.

use std::convert::Infallible;
use std::path::Path;

use serde_json::Value;

use super::{Ask, Trouble};

/// A way that there is not.
#[derive(Debug)]
pub(super) struct Api(Infallible);

impl Api {
    /// # Errors
    /// Always.
    pub(super) async fn open(_: Option<&Path>) -> Result<Self, Trouble> {
        Err(Trouble::Settings("this program was built without the feature `k8s`".to_owned()))
    }

    pub(super) async fn send(&self, _: &str, _: Ask) -> Result<Value, Trouble> {
        match self.0 {}
    }
}
