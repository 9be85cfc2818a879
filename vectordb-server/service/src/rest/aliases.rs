//! Second names of collections.

use serde::Deserialize;
use serde_json::json;
use vectordb_core::Value;

use super::call::Call;
use super::reply::Reply;
use crate::error::Result;
use crate::service::AliasChange;

/// A change as the wire has it.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the names of the wire")]
enum Action {
    CreateAlias { alias_name: String, collection_name: String },
    DeleteAlias { alias_name: String },
    RenameAlias { old_alias_name: String, new_alias_name: String },
}

impl From<Action> for AliasChange {
    fn from(action: Action) -> Self {
        match action {
            Action::CreateAlias { alias_name, collection_name } => Self::Create { alias: alias_name, collection: collection_name },
            Action::DeleteAlias { alias_name } => Self::Delete { alias: alias_name },
            Action::RenameAlias { old_alias_name, new_alias_name } => Self::Rename { old: old_alias_name, new: new_alias_name },
        }
    }
}

pub(super) fn change(call: &Call<'_>) -> Result<Reply> {
    #[derive(Deserialize)]
    struct Body {
        actions: Vec<Action>,
    }
    let body: Body = call.read()?;
    let changes: Vec<AliasChange> = body.actions.into_iter().map(AliasChange::from).collect();
    call.service.change_aliases(&changes, call.access)?;
    Reply::of(&true)
}

pub(super) fn list(call: &Call<'_>) -> Result<Reply> {
    listed(call.service.aliases(call.access))
}

pub(super) fn of_collection(call: &Call<'_>) -> Result<Reply> {
    listed(call.service.aliases_of(call.collection(), call.access)?)
}

fn listed(aliases: Vec<(String, String)>) -> Result<Reply> {
    let one = |(alias, collection)| json!({"alias_name": alias, "collection_name": collection});
    Reply::of(&json!({"aliases": aliases.into_iter().map(one).collect::<Vec<Value>>()}))
}
