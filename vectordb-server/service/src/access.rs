//! Who may do what.

use std::collections::BTreeMap;

use crate::error::{Fault, Result, ServiceError};

/// What a caller may do, as his key or token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everything, everywhere.
    Manage,
    /// Read everything.
    Read,
    /// What is listed, in the collections that are listed.
    Collections(BTreeMap<String, CollectionAccess>),
}

/// What a caller may do in one collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CollectionAccess {
    /// Read its points and its state.
    Read,
    /// Write points, but not change the collection itself nor its payload indexes.
    WritePoints,
    /// Write points and change its payload indexes and vectors.
    Write,
}

impl Access {
    /// Refuses who may not change the whole database.
    ///
    /// # Errors
    /// [`Fault::Forbidden`].
    pub fn check_manage(&self) -> Result<()> {
        match self {
            Self::Manage => Ok(()),
            Self::Read | Self::Collections(_) => Err(forbidden("Global manage access is required")),
        }
    }

    /// Refuses who may not read the whole database.
    ///
    /// # Errors
    /// [`Fault::Forbidden`].
    pub fn check_global_read(&self) -> Result<()> {
        match self {
            Self::Manage | Self::Read => Ok(()),
            Self::Collections(_) => Err(forbidden("Global access is required")),
        }
    }

    /// Refuses who may not do this in a collection.
    ///
    /// # Errors
    /// [`Fault::Forbidden`].
    pub fn check(&self, collection: &str, wanted: CollectionAccess) -> Result<()> {
        match self {
            Self::Manage => Ok(()),
            Self::Read if wanted == CollectionAccess::Read => Ok(()),
            Self::Read => Err(forbidden("Global manage access is required")),
            Self::Collections(granted) => match granted.get(collection) {
                Some(granted) if *granted >= wanted => Ok(()),
                Some(_) => Err(forbidden(format!("Only read-only access to collection {collection} is granted"))),
                None => Err(forbidden(format!("Access to collection {collection} is required"))),
            },
        }
    }

    /// Whether a collection is shown to the caller at all.
    pub fn sees(&self, collection: &str) -> bool {
        self.check(collection, CollectionAccess::Read).is_ok()
    }
}

fn forbidden(message: impl Into<String>) -> ServiceError {
    ServiceError::new(Fault::Forbidden, message)
}
