//! Second names of collections.

use super::Service;
use super::collections::check_name;
use crate::access::{Access, CollectionAccess};
use crate::error::{Fault, Result, ServiceError};

/// One change of a list that is made as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasChange {
    /// Gives a collection one more name, or takes the name from another.
    Create {
        /// The alias.
        alias: String,
        /// The collection.
        collection: String,
    },
    /// Takes an alias away.
    Delete {
        /// The alias.
        alias: String,
    },
    /// Calls an alias by another name.
    Rename {
        /// The alias as it is.
        old: String,
        /// The alias as it will be.
        new: String,
    },
}

impl Service {
    /// Makes changes in order, all of them or none.
    ///
    /// # Errors
    /// [`Fault::NotFound`] for unknown collections and aliases, [`Fault::AlreadyExists`] where a collection has the name.
    pub fn change_aliases(&self, changes: &[AliasChange], access: &Access) -> Result<()> {
        access.check_manage()?;
        let mut catalog = self.catalog.lock();
        let mut entries = catalog.entries.clone();
        let unknown = |alias: &str| ServiceError::new(Fault::NotFound, format!("Alias {alias} does not exists!"));
        for change in changes {
            let (alias, collection) = match change {
                AliasChange::Delete { alias } => {
                    entries.aliases.remove(alias).ok_or_else(|| unknown(alias))?;
                    continue;
                }
                AliasChange::Create { alias, collection } => (alias, collection.clone()),
                AliasChange::Rename { old, new } => (new, entries.aliases.remove(old).ok_or_else(|| unknown(old))?),
            };
            check_name(alias)?;
            if !entries.collections.contains_key(&collection) {
                return Err(ServiceError::no_collection(&collection));
            }
            if entries.collections.contains_key(alias) {
                return Err(ServiceError::new(Fault::AlreadyExists, format!("Collection `{alias}` already exists!")));
            }
            entries.aliases.insert(alias.clone(), collection);
        }
        let aliases = entries.aliases.clone();
        catalog.replace(entries)?;
        *self.aliases.write() = aliases;
        Ok(())
    }

    /// Aliases with their collections that the caller may see, in the order of aliases.
    pub fn aliases(&self, access: &Access) -> Vec<(String, String)> {
        let aliases = self.aliases.read();
        aliases.iter().filter(|(_, collection)| access.sees(collection)).map(|(a, c)| (a.clone(), c.clone())).collect()
    }

    /// The aliases of one collection, in order.
    ///
    /// # Errors
    /// [`Fault::NotFound`].
    pub fn aliases_of(&self, name: &str, access: &Access) -> Result<Vec<(String, String)>> {
        let collection = self.collection(name, access, CollectionAccess::Read)?;
        Ok(self.aliases(access).into_iter().filter(|(_, of)| *of == collection.name).collect())
    }
}
