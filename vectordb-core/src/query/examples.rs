//! From vectors and ids of points to what segments are asked.

use std::borrow::Cow;

use super::{Reading, rarity};
use crate::error::{Error, Result};
use crate::model::PointId;
use crate::model::config::{Datatype, Modifier, SparseVectorParams, VectorKind, VectorParams};
use crate::model::query::{SearchParams, Target};
use crate::model::ranking::{ContextPair, FeedbackItem, NaiveFeedback, RecommendStrategy};
use crate::model::vector::{MultiVector, SparseVector, Vector};
use crate::vectors::{Combine, Probe};

/// Turns targets into vectors, and remembers which points were named.
pub(super) struct Examples<'r, 'a> {
    reading: &'r Reading<'a>,
    using: &'r str,
    params: Params,
    /// Points named by id, which are no answers.
    pub(super) mentioned: Vec<PointId>,
}

/// What a vector must be like.
enum Params {
    Stored(VectorParams),
    Sparse(SparseVectorParams),
}

impl<'r, 'a> Examples<'r, 'a> {
    /// # Errors
    /// [`Error::VectorNotFound`].
    pub(super) fn new(reading: &'r Reading<'a>, using: &'r str) -> Result<Self> {
        let params = match reading.config.kind_of(using)? {
            // Any finite number may be asked for, whatever the element type can store.
            VectorKind::Dense(params) | VectorKind::Multi(params) => {
                Params::Stored(VectorParams { datatype: Datatype::Float32, ..params.clone() })
            }
            VectorKind::Sparse(params) => Params::Sparse(params.clone()),
        };
        Ok(Self { reading, using, params, mentioned: Vec::new() })
    }

    fn kind(&self) -> VectorKind<'_> {
        match &self.params {
            Params::Stored(params) if params.multivector_config.is_some() => VectorKind::Multi(params),
            Params::Stored(params) => VectorKind::Dense(params),
            Params::Sparse(params) => VectorKind::Sparse(params),
        }
    }

    pub(super) fn vector<'q>(&mut self, target: &'q Target) -> Result<Cow<'q, Vector>> {
        match target {
            Target::Vector(vector) => {
                // One vector asked of points of several stands for itself alone.
                if let (Vector::Dense(values), VectorKind::Multi(_)) = (vector, self.kind()) {
                    let vector = Vector::Multi(MultiVector::flat(values.len(), values.clone())?);
                    vector.validate(self.using, self.kind(), None)?;
                    return Ok(Cow::Owned(vector));
                }
                vector.validate(self.using, self.kind(), None)?;
                Ok(Cow::Borrowed(vector))
            }
            Target::Document(document) => {
                let vector = Vector::from(document.query_vector()?);
                vector.validate(self.using, self.kind(), None)?;
                Ok(Cow::Owned(vector))
            }
            Target::Id(id) => {
                let (segment, row) = self.reading.find(id).ok_or_else(|| Error::PointNotFound { id: id.to_string() })?;
                let mut vectors = segment.vectors(row, &|name| name == self.using);
                self.mentioned.push(id.clone());
                let missing = || Error::query(format!("point {id} has no vector `{}`", self.using));
                vectors.remove(self.using).map(Cow::Owned).ok_or_else(missing)
            }
        }
    }

    fn vectors<'q>(&mut self, targets: impl IntoIterator<Item = &'q Target>) -> Result<Vec<Cow<'q, Vector>>> {
        targets.into_iter().map(|target| self.vector(target)).collect()
    }

    pub(super) fn recommend<'q>(
        &mut self,
        positive: &'q [Target],
        negative: &'q [Target],
        strategy: RecommendStrategy,
    ) -> Result<Probe<'q>> {
        let combine = match strategy {
            RecommendStrategy::AverageVector if positive.is_empty() => {
                return Err(Error::query("the strategy `average_vector` needs at least one positive example"));
            }
            _ if positive.is_empty() && negative.is_empty() => {
                return Err(Error::query("a recommendation needs at least one example"));
            }
            RecommendStrategy::AverageVector => {
                let (positive, negative) = (self.vectors(positive)?, self.vectors(negative)?);
                return Ok(Probe::one(Cow::Owned(average(self.kind(), &positive, &negative)?)));
            }
            RecommendStrategy::BestScore => Combine::Best { positive: positive.len() },
            RecommendStrategy::SumScores => Combine::Sum { positive: positive.len() },
        };
        Ok(Probe { vectors: self.vectors(positive.iter().chain(negative))?, combine: Some(combine) })
    }

    pub(super) fn discover<'q>(&mut self, target: Option<&'q Target>, context: &'q [ContextPair]) -> Result<Probe<'q>> {
        if target.is_none() && context.is_empty() {
            return Err(Error::query("a context needs at least one pair"));
        }
        let pairs = context.iter().flat_map(|pair| [&pair.positive, &pair.negative]);
        let combine = if target.is_some() { Combine::Discover } else { Combine::Context };
        Ok(Probe { vectors: self.vectors(target.into_iter().chain(pairs))?, combine: Some(combine) })
    }

    pub(super) fn feedback<'q>(&mut self, target: &'q Target, items: &'q [FeedbackItem], weights: NaiveFeedback) -> Result<Probe<'q>> {
        let vectors = self.vectors(std::iter::once(target).chain(items.iter().map(|item| &item.example)))?;
        let mut pairs = Vec::new();
        for (better, liked) in items.iter().enumerate() {
            for (worse, disliked) in items.iter().enumerate() {
                let difference = liked.score - disliked.score;
                if better != worse && difference > 0.0 {
                    pairs.push((better + 1, worse + 1, difference.powf(weights.b) * weights.c));
                }
            }
        }
        Ok(Probe { vectors, combine: Some(Combine::Feedback { target: weights.a, pairs }) })
    }

    /// The probe as segments are asked it: sparse vectors of a field with the modifier are weighted by how rare their dimensions
    /// are.
    pub(super) fn weighted<'q>(&self, probe: Probe<'q>, search: &SearchParams) -> Result<Probe<'q>> {
        match &self.params {
            Params::Sparse(params) if params.modifier == Some(Modifier::Idf) => {
                let corpus = self.reading.compile(search.idf_corpus.as_ref())?;
                let weight = |vector: Cow<'q, Vector>| match vector.as_sparse() {
                    Some(sparse) => {
                        let weights = match &search.corpus {
                            Some(counts) => rarity::weights(counts),
                            None => rarity::weights(&rarity::counts(self.reading, self.using, sparse.indices(), corpus.as_ref())?),
                        };
                        let weight_of = |index| weights.get(&index).copied().unwrap_or(1.0);
                        Ok(Cow::Owned(sparse.mapped(|index, value| value * weight_of(index)).into()))
                    }
                    None => Ok(vector),
                };
                let vectors = probe.vectors.into_iter().map(weight).collect::<Result<_>>()?;
                Ok(Probe { vectors, combine: probe.combine })
            }
            _ => Ok(probe),
        }
    }
}

/// `2 · mean(positive) − mean(negative)`, or `mean(positive)` alone; of multivectors all rows, those of negative ones negated.
fn average(kind: VectorKind<'_>, positive: &[Cow<'_, Vector>], negative: &[Cow<'_, Vector>]) -> Result<Vector> {
    match kind {
        VectorKind::Dense(params) => Ok(Vector::Dense(average_dense(params.size, positive, negative))),
        VectorKind::Multi(params) => {
            let rows = |vectors: &[Cow<'_, Vector>], sign: f32| -> Vec<f32> {
                vectors.iter().filter_map(|vector| vector.as_multi()).flat_map(|vector| vector.values()).map(|value| sign * value).collect()
            };
            MultiVector::flat(params.size, [rows(positive, 1.0), rows(negative, -1.0)].concat()).map(Vector::Multi)
        }
        VectorKind::Sparse(_) => {
            let first = if negative.is_empty() { 1.0 } else { 2.0 };
            let weighted = |vectors: &[Cow<'_, Vector>], weight: f32| -> Vec<(SparseVector, f32)> {
                let each = weight / vectors.len().max(1) as f32;
                vectors.iter().filter_map(|vector| Some((vector.as_sparse()?.clone(), each))).collect()
            };
            let all = [weighted(positive, first), weighted(negative, -1.0)].concat();
            Ok(Vector::Sparse(SparseVector::sum(all.iter().map(|(vector, weight)| (vector, *weight)))))
        }
    }
}

fn average_dense(dim: usize, positive: &[Cow<'_, Vector>], negative: &[Cow<'_, Vector>]) -> Vec<f32> {
    let mean = |vectors: &[Cow<'_, Vector>], at: usize| {
        let values = vectors.iter().filter_map(|vector| vector.as_dense()?.get(at));
        values.map(|&value| f64::from(value)).sum::<f64>() / vectors.len() as f64
    };
    let one = |at: usize| {
        let middle = mean(positive, at);
        if negative.is_empty() { middle } else { 2.0 * middle - mean(negative, at) }
    };
    #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
    (0..dim).map(|at| one(at) as f32).collect()
}
