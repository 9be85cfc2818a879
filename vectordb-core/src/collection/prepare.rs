//! From updates to effects.
//!
//! [`resolve`] checks an update and turns its filters into ids; the result is what the log holds. [`Pending::change`] works
//! out what a change does to each point. A batch is prepared completely before anything is logged or applied, so that it
//! happens as a whole or not at all; later operations of a batch see the effects of earlier ones.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::error::{Error, Result};
use crate::filter::check::RowView;
use crate::model::PointId;
use crate::model::config::{CollectionConfig, check_vector_name};
use crate::model::filter::Filter;
use crate::model::payload::{Payload, PayloadPath};
use crate::model::point::Lsn;
use crate::model::update::{Change, Target, Update, UpsertMode};
use crate::model::vector::Vectors;
use crate::payload::path;
use crate::payload::tokenizer::Tokenizer;
use crate::segment::{CompiledFilter, Matcher};

use super::view::View;

/// Deepest nesting of a payload.
const MAX_PAYLOAD_DEPTH: usize = 64;

/// A point's content after the changes of a batch; `None` when it is gone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Content {
    pub(super) vectors: Vectors,
    pub(super) payload: Payload,
}

/// The state a batch is prepared against, and what the batch has done to it so far.
pub(super) struct Pending<'a> {
    view: &'a View,
    at: Lsn,
    pub(super) config: CollectionConfig,
    /// Touched points in the order of their ids.
    pub(super) points: BTreeMap<PointId, Option<Content>>,
    pub(super) configured: bool,
}

impl<'a> Pending<'a> {
    pub(super) fn new(view: &'a View, at: Lsn) -> Self {
        Self { view, at, config: (*view.config).clone(), points: BTreeMap::new(), configured: false }
    }

    /// The content of a point as the batch left it.
    fn content(&self, id: &PointId) -> Result<Option<Content>> {
        if let Some(touched) = self.points.get(id) {
            return Ok(touched.clone());
        }
        for segment in self.view.segments() {
            if let Some(row) = segment.find(id, self.at) {
                let payload = segment.payload(row)?.into_owned();
                return Ok(Some(Content { vectors: segment.vectors(row, &|_| true), payload }));
            }
        }
        Ok(None)
    }

    fn exists(&self, id: &PointId) -> bool {
        match self.points.get(id) {
            Some(touched) => touched.is_some(),
            None => self.view.segments().any(|segment| segment.find(id, self.at).is_some()),
        }
    }

    /// Ids of all points a filter holds for, ascending.
    fn matching(&self, filter: &Filter) -> Result<Vec<PointId>> {
        let filter = CompiledFilter::new(filter, &self.config.payload_schema)?;
        let mut ids = Vec::new();
        for segment in self.view.segments() {
            Matcher::new(segment, Some(&filter), self.at).each(&mut |row| {
                let id = segment.id(row);
                if !self.points.contains_key(&id) {
                    ids.push(id);
                }
                Ok(true)
            })?;
        }
        for (id, content) in &self.points {
            if content.as_ref().is_some_and(|content| filter.matches(&PendingRow { id, content })) {
                ids.push(id.clone());
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// The target's ids: those that exist, without repetition.
    fn ids(&self, target: Target) -> Result<Vec<PointId>> {
        match target {
            Target::Filter(filter) => self.matching(&filter),
            Target::Ids(mut ids) => {
                ids.iter().try_for_each(PointId::validate)?;
                ids.sort_unstable();
                ids.dedup();
                ids.retain(|id| self.exists(id));
                Ok(ids)
            }
        }
    }

    /// Checks an update and resolves its filters; nothing is left to decide afterwards.
    pub(super) fn resolve(&self, update: Update) -> Result<Change> {
        Ok(match update {
            Update::Upsert { points, mode, condition } => Change::Upsert(self.upsertable(points, mode, condition.as_ref())?),
            Update::Delete(target) => Change::Delete(self.ids(target)?),
            Update::UpdateVectors { points, condition } => Change::UpdateVectors(self.updatable(points, condition.as_ref())?),
            Update::DeleteVectors { target, names } => {
                names.iter().try_for_each(|name| self.config.kind_of(name).map(drop))?;
                Change::DeleteVectors { ids: self.ids(target)?, names }
            }
            Update::SetPayload { target, payload, key } => {
                check_payload(&payload)?;
                Change::SetPayload { ids: self.ids(target)?, payload, key }
            }
            Update::OverwritePayload { target, payload, key } => {
                check_payload(&payload)?;
                Change::OverwritePayload { ids: self.ids(target)?, payload, key }
            }
            Update::DeletePayload { target, keys } => Change::DeletePayload { ids: self.ids(target)?, keys },
            Update::ClearPayload(target) => Change::ClearPayload(self.ids(target)?),
            Update::CreateFieldIndex { .. }
            | Update::DropFieldIndex { .. }
            | Update::CreateVector { .. }
            | Update::CreateSparseVector { .. }
            | Update::DropVector { .. } => Change::Configure(Box::new(self.configured_by(update)?)),
        })
    }

    fn upsertable(
        &self,
        mut points: Vec<crate::model::point::Point>,
        mode: UpsertMode,
        condition: Option<&Filter>,
    ) -> Result<Vec<crate::model::point::Point>> {
        for point in &points {
            point.id.validate()?;
            check_payload(&point.payload)?;
            self.check_vectors(&point.id, &point.vectors)?;
        }
        if mode != UpsertMode::Upsert {
            points.retain(|point| self.exists(&point.id) == (mode == UpsertMode::UpdateOnly));
        }
        if let Some(condition) = condition {
            let filter = CompiledFilter::new(condition, &self.config.payload_schema)?;
            let mut failure = None;
            points.retain(|point| match self.content(&point.id) {
                Ok(Some(content)) => filter.matches(&PendingRow { id: &point.id, content: &content }),
                Ok(None) => true,
                Err(error) => {
                    failure.get_or_insert(error);
                    false
                }
            });
            failure.map_or(Ok(()), Err)?;
        }
        Ok(points)
    }

    fn updatable(&self, mut points: Vec<(PointId, Vectors)>, condition: Option<&Filter>) -> Result<Vec<(PointId, Vectors)>> {
        let condition = condition.map(|filter| CompiledFilter::new(filter, &self.config.payload_schema)).transpose()?;
        for (id, vectors) in &points {
            id.validate()?;
            self.check_vectors(id, vectors)?;
            if !self.exists(id) {
                return Err(Error::PointNotFound { id: id.to_string() });
            }
        }
        if let Some(filter) = condition {
            let mut kept = Vec::with_capacity(points.len());
            for (id, vectors) in points {
                if self.content(&id)?.is_some_and(|content| filter.matches(&PendingRow { id: &id, content: &content })) {
                    kept.push((id, vectors));
                }
            }
            points = kept;
        }
        Ok(points)
    }

    fn check_vectors(&self, id: &PointId, vectors: &Vectors) -> Result<()> {
        vectors.iter().try_for_each(|(name, vector)| vector.validate(name, self.config.kind_of(name)?, Some(id)))
    }

    fn configured_by(&self, update: Update) -> Result<CollectionConfig> {
        let mut config = self.config.clone();
        match update {
            Update::CreateFieldIndex { field, schema } => {
                schema.validate()?;
                if let crate::model::config::FieldSchema::Text(params) = &schema {
                    Tokenizer::new(params)?;
                }
                config.payload_schema.insert(field.to_string(), schema);
            }
            Update::DropFieldIndex { field } => drop(config.payload_schema.remove(&field.to_string())),
            Update::CreateVector { name, params } => create(&mut config.vectors, name, params)?,
            Update::CreateSparseVector { name, params } => create(&mut config.sparse_vectors, name, params)?,
            Update::DropVector { name } => {
                let dense = config.vectors.remove(&name).map(drop);
                dense.or_else(|| config.sparse_vectors.remove(&name).map(drop)).ok_or(Error::VectorNotFound { name })?;
            }
            _ => {}
        }
        config.validate()?;
        Ok(config)
    }

    /// Works a change into the pending state. Infallible for what [`Self::resolve`] returned, but for unreadable files.
    pub(super) fn change(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::Upsert(points) => {
                for point in points {
                    let content = Content { vectors: point.vectors.clone(), payload: point.payload.clone() };
                    self.points.insert(point.id.clone(), Some(content));
                }
                Ok(())
            }
            Change::Delete(ids) => {
                self.points.extend(ids.iter().map(|id| (id.clone(), None)));
                Ok(())
            }
            Change::UpdateVectors(points) => points.iter().try_for_each(|(id, vectors)| {
                self.edit(id, |content| vectors.iter().for_each(|(name, vector)| content.vectors.insert(name, vector.clone())))
            }),
            Change::DeleteVectors { ids, names } => self.edit_all(ids, |content| {
                for name in names {
                    content.vectors.remove(name);
                }
            }),
            Change::SetPayload { ids, payload, key } => self.edit_all(ids, |content| set(&mut content.payload, key.as_ref(), payload)),
            Change::OverwritePayload { ids, payload, key } => self.edit_all(ids, |content| match key {
                None => content.payload.clone_from(payload),
                Some(key) => path::overwrite(&mut content.payload, key, payload.clone()),
            }),
            Change::DeletePayload { ids, keys } => self.edit_all(ids, |content| {
                for key in keys {
                    path::delete(&mut content.payload, key);
                }
            }),
            Change::ClearPayload(ids) => self.edit_all(ids, |content| content.payload.clear()),
            Change::Configure(config) => {
                self.configure(config);
                Ok(())
            }
        }
    }

    /// Takes over a configuration; touched points lose the vectors it no longer has.
    fn configure(&mut self, config: &CollectionConfig) {
        for name in self.config.vector_names().filter(|name| !config.has_vector(name)) {
            for content in self.points.values_mut().flatten() {
                content.vectors.remove(name);
            }
        }
        self.config = config.clone();
        self.configured = true;
    }

    fn edit_all(&mut self, ids: &[PointId], edit: impl Fn(&mut Content)) -> Result<()> {
        ids.iter().try_for_each(|id| self.edit(id, &edit))
    }

    fn edit(&mut self, id: &PointId, edit: impl FnOnce(&mut Content)) -> Result<()> {
        if let Some(mut content) = self.content(id)? {
            edit(&mut content);
            // A vector dropped earlier in this batch may still be in the stored row.
            let gone: Vec<String> =
                content.vectors.iter().map(|(name, _)| name.to_owned()).filter(|name| !self.config.has_vector(name)).collect();
            for name in gone {
                content.vectors.remove(&name);
            }
            self.points.insert(id.clone(), Some(content));
        }
        Ok(())
    }
}

/// Adds a vector to a configuration, unless it is there with the same parameters.
fn create<P: PartialEq>(vectors: &mut BTreeMap<String, P>, name: String, params: P) -> Result<()> {
    check_vector_name(&name)?;
    match vectors.entry(name) {
        Entry::Occupied(old) if *old.get() == params => {}
        Entry::Occupied(old) => {
            let reason = "a vector of this name exists with other parameters";
            return Err(Error::InvalidConfig { field: format!("vectors.{}", old.key()), reason: reason.into() });
        }
        Entry::Vacant(slot) => drop(slot.insert(params)),
    }
    Ok(())
}

fn set(payload: &mut Payload, key: Option<&PayloadPath>, new: &Payload) {
    match key {
        None => path::merge(payload, new.clone()),
        Some(key) => path::set(payload, key, new.clone()),
    }
}

fn check_payload(payload: &Payload) -> Result<()> {
    fn depth(value: &serde_json::Value, left: usize) -> bool {
        match value {
            _ if left == 0 => false,
            serde_json::Value::Array(items) => items.iter().all(|item| depth(item, left - 1)),
            serde_json::Value::Object(map) => map.values().all(|item| depth(item, left - 1)),
            _ => true,
        }
    }
    if payload.values().all(|value| depth(value, MAX_PAYLOAD_DEPTH)) {
        return Ok(());
    }
    Err(Error::InvalidPayload { reason: format!("nested deeper than {MAX_PAYLOAD_DEPTH} levels") })
}

/// A point that an earlier operation of the batch touched.
struct PendingRow<'a> {
    id: &'a PointId,
    content: &'a Content,
}

impl RowView for PendingRow<'_> {
    fn id(&self) -> &PointId {
        self.id
    }

    fn payload(&self) -> &Payload {
        &self.content.payload
    }

    fn has_vector(&self, name: &str) -> bool {
        self.content.vectors.get(name).is_some()
    }
}
