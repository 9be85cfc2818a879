//! Writes, held against the limits.

use vectordb_core::{Datatype, Filter, Target, Update, Vector, Vectors};

use super::filters::Schema;
use super::{StrictMode, refused};
use crate::error::{Fault, Result, ServiceError};

/// What a write by a filter costs of what may be written in a minute, whatever the filter finds.
const FILTER_COST: u64 = 5;

/// How much a collection holds, or gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Size {
    pub(crate) points: u64,
    pub(crate) vector_bytes: u64,
    pub(crate) payload_bytes: u64,
}

/// What updates cost of what may be written in a minute: a point is 1.
pub(super) fn cost(updates: &[Update]) -> u64 {
    let of_target = |target: &Target| match target {
        Target::Ids(ids) => ids.len() as u64,
        Target::Filter(_) => FILTER_COST,
    };
    let of_update = |update: &Update| match update {
        Update::Upsert { points, .. } => points.len() as u64,
        Update::UpdateVectors { points, .. } => points.len() as u64,
        other => target_of(other).map_or(1, of_target),
    };
    updates.iter().map(|update| of_update(update).max(1)).sum()
}

/// The points that an update is about, where it names them apart from what it brings.
pub(crate) fn target_of(update: &Update) -> Option<&Target> {
    match update {
        Update::Delete(target)
        | Update::ClearPayload(target)
        | Update::DeleteVectors { target, .. }
        | Update::SetPayload { target, .. }
        | Update::OverwritePayload { target, .. }
        | Update::DeletePayload { target, .. } => Some(target),
        _ => None,
    }
}

/// The filter of an update: of its points, or of those that it passes over.
fn filter_of(update: &Update) -> Option<&Filter> {
    match (update, target_of(update)) {
        (_, Some(Target::Filter(filter))) => Some(filter),
        (Update::Upsert { condition, .. } | Update::UpdateVectors { condition, .. }, _) => condition.as_ref(),
        _ => None,
    }
}

/// Bytes of a vector whose numbers are stored in this way.
pub(crate) fn vector_bytes(vector: &Vector, datatype: Datatype) -> u64 {
    let width = match datatype {
        Datatype::Float32 => 4,
        Datatype::Float16 => 2,
        Datatype::Uint8 => 1,
    };
    let bytes = match vector {
        Vector::Dense(values) => values.len() * width,
        Vector::Multi(vector) => vector.values().len() * width,
        Vector::Sparse(vector) => vector.indices().len() * 8,
        _ => 0,
    };
    bytes as u64
}

impl StrictMode {
    /// Holds an update against the limits that need no look at the points that there are.
    ///
    /// # Errors
    /// [`Fault::BadRequest`] naming the limit.
    pub(crate) fn check_update(&self, update: &Update, schema: &Schema) -> Result<()> {
        if let Some(filter) = filter_of(update) {
            self.check_filter(filter, self.unindexed_filtering_update == Some(false), schema)?;
        }
        match update {
            Update::Upsert { points, .. } => {
                self.check_count("upsert", points.len())?;
                points.iter().try_for_each(|point| self.check_vectors(&point.vectors))
            }
            Update::UpdateVectors { points, .. } => {
                self.check_count("update", points.len())?;
                points.iter().try_for_each(|(_, vectors)| self.check_vectors(vectors))
            }
            Update::CreateFieldIndex { field, .. } => self.check_indexes(&field.to_string(), schema),
            _ => Ok(()),
        }
    }

    fn check_count(&self, what: &str, count: usize) -> Result<()> {
        match self.upsert_max_batchsize.filter(|&limit| count as u64 > limit) {
            Some(limit) => {
                let reduce = format!("Reduce the \"{what} limit\" to or below {limit}: send fewer points at once");
                Err(refused(format!("Limit exceeded {count} > {limit} for \"{what} limit\""), reduce))
            }
            None => Ok(()),
        }
    }

    fn check_vectors(&self, vectors: &Vectors) -> Result<()> {
        if self.multivector_config.is_empty() && self.sparse_config.is_empty() {
            return Ok(());
        }
        for (name, vector) in vectors.iter() {
            let (found, limit, words) = match vector {
                Vector::Multi(vector) => {
                    let limit = self.multivector_config.get(name).and_then(|limits| limits.max_vectors);
                    (vector.rows().len() as u64, limit, ("Multivector", "vectors"))
                }
                Vector::Sparse(vector) => {
                    let limit = self.sparse_config.get(name).and_then(|limits| limits.max_length);
                    (vector.indices().len() as u64, limit, ("Sparse vector", "indices"))
                }
                _ => continue,
            };
            if let Some(limit) = limit.filter(|&limit| found > limit) {
                let (kind, parts) = words;
                let what = format!("{kind} '{name}' has a limit of {limit} {parts}, but {found} were provided!");
                return Err(ServiceError::request(format!("{what} Help: Reduce the number of {parts}.")));
            }
        }
        Ok(())
    }

    fn check_indexes(&self, field: &str, schema: &Schema) -> Result<()> {
        let count = schema.len() as u64;
        match self.max_payload_index_count.filter(|&limit| count >= limit && !schema.contains_key(field)) {
            Some(limit) => Err(refused(
                format!("Limit of {limit} payload indexes reached, the collection has {count} (max_payload_index_count)"),
                "Delete an index, or raise the limit",
            )),
            None => Ok(()),
        }
    }

    /// Whether the limits need to know how much the collection holds.
    pub(crate) fn limits_size(&self) -> bool {
        [self.max_points_count, self.max_collection_vector_size_bytes, self.max_collection_payload_size_bytes].iter().any(Option::is_some)
    }

    /// Refuses to let a collection grow beyond its limits, or while it is at them.
    ///
    /// # Errors
    /// [`Fault::BadRequest`] naming the limit.
    pub(crate) fn check_size(&self, now: &Size, added: &Size) -> Result<()> {
        let limits = [
            ("points count", "", "max_points_count", self.max_points_count, now.points, added.points),
            (
                "vector storage size",
                " bytes",
                "max_collection_vector_size_bytes",
                self.max_collection_vector_size_bytes,
                now.vector_bytes,
                added.vector_bytes,
            ),
            (
                "payload storage size",
                " bytes",
                "max_collection_payload_size_bytes",
                self.max_collection_payload_size_bytes,
                now.payload_bytes,
                added.payload_bytes,
            ),
        ];
        for (what, unit, name, limit, now, added) in limits {
            if let Some(limit) = limit.filter(|&limit| now >= limit || now.saturating_add(added) > limit) {
                let what = format!("Max {what} limit of {limit}{unit} reached, the collection has {now}{unit}");
                return Err(refused(what, format!("Delete points, or raise {name}")));
            }
        }
        Ok(())
    }

    /// The share of the machine's memory, in percent, above which nothing is to be written.
    pub(crate) fn memory_percent(&self) -> Option<u64> {
        self.max_resident_memory_percent
    }

    /// Refuses writes while the process takes more than its share of the machine's memory.
    ///
    /// # Errors
    /// [`Fault::OutOfSpace`].
    pub(crate) fn check_memory(&self, resident_bytes: u64, machine_bytes: u64) -> Result<()> {
        let share = u128::from(resident_bytes) * 100;
        match self.max_resident_memory_percent.filter(|&percent| share > u128::from(percent) * u128::from(machine_bytes)) {
            Some(percent) => {
                let what = format!("{resident_bytes} bytes of memory are taken of {machine_bytes}, more than {percent}%");
                Err(ServiceError::new(Fault::OutOfSpace, format!("{what} (max_resident_memory_percent)")))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use vectordb_core::{Condition, FieldTest, PayloadPath, Point, PointId};

    use super::*;

    #[test]
    fn a_write_costs_as_much_as_the_points_it_names() {
        let ids = Target::from([1_u64, 2, 3]);
        let key = PayloadPath::parse("a").expect("a path");
        let filter = Filter::must([Condition::Field { key: key.clone(), test: FieldTest::Prefix("x".to_owned()) }]);
        let point = |id: u64| Point { id: PointId::Num(id), vectors: Vectors::default(), payload: Default::default() };
        let all = [
            (Update::Delete(ids), 3),
            (Update::Delete(Target::Filter(filter)), FILTER_COST),
            (Update::upsert([point(1), point(2)]), 2),
            (Update::upsert([]), 1),
            (Update::DropFieldIndex { field: key }, 1),
        ];
        let sum = all.iter().map(|(_, cost)| cost).sum::<u64>();
        for (update, expected) in &all {
            assert_eq!(cost(std::slice::from_ref(update)), *expected, "{update:?}");
        }
        assert_eq!(cost(&all.map(|(update, _)| update)), sum);
    }

    #[test]
    fn a_collection_may_be_filled_to_its_limit_and_no_further() {
        let mode = StrictMode { max_points_count: Some(10), ..StrictMode::default() };
        let size = |points| Size { points, ..Size::default() };
        assert!(mode.check_size(&size(8), &size(2)).is_ok());
        assert!(mode.check_size(&size(8), &size(3)).is_err());
        assert!(mode.check_size(&size(9), &size(0)).is_ok());
        assert!(mode.check_size(&size(10), &size(0)).is_err());
    }

    #[test]
    fn memory_is_held_to_its_percentage() {
        let mode = StrictMode { max_resident_memory_percent: Some(50), ..StrictMode::default() };
        assert!(mode.check_memory(500, 1000).is_ok());
        assert_eq!(mode.check_memory(501, 1000).expect_err("too much").fault, Fault::OutOfSpace);
    }
}
