//! Second names of collections.

use std::collections::BTreeMap;

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
        if let Some(cluster) = self.cluster()? {
            let has = |name: &str| self.collections.read().contains_key(name);
            return cluster.set_aliases(changed(self.aliases.read().clone(), has, changes)?);
        }
        let mut catalog = self.catalog.lock();
        let mut entries = catalog.entries.clone();
        entries.aliases = changed(entries.aliases, |name| catalog.entries.collections.contains_key(name), changes)?;
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

/// Aliases after some changes.
fn changed(
    mut aliases: BTreeMap<String, String>,
    exists: impl Fn(&str) -> bool,
    changes: &[AliasChange],
) -> Result<BTreeMap<String, String>> {
    let unknown = |alias: &str| ServiceError::new(Fault::NotFound, format!("Alias {alias} does not exists!"));
    for change in changes {
        let (alias, collection) = match change {
            AliasChange::Delete { alias } => {
                aliases.remove(alias).ok_or_else(|| unknown(alias))?;
                continue;
            }
            AliasChange::Create { alias, collection } => (alias, collection.clone()),
            AliasChange::Rename { old, new } => (new, aliases.remove(old).ok_or_else(|| unknown(old))?),
        };
        check_name(alias)?;
        if !exists(&collection) {
            return Err(ServiceError::no_collection(&collection));
        }
        if exists(alias) {
            return Err(ServiceError::new(Fault::AlreadyExists, format!("Collection `{alias}` already exists!")));
        }
        aliases.insert(alias.clone(), collection);
    }
    Ok(aliases)
}
