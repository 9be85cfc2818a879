//! From vectors and ids of points to what segments are asked.

use std::borrow::Cow;

use super::Reading;
use crate::error::{Error, Result};
use crate::model::PointId;
use crate::model::config::{Datatype, VectorParams};
use crate::model::query::Target;
use crate::model::ranking::{ContextPair, FeedbackItem, NaiveFeedback, RecommendStrategy};
use crate::model::vector::Vector;
use crate::vectors::{Combine, Probe};

/// Turns targets into vectors, and remembers which points were named.
pub(super) struct Examples<'r, 'a> {
    reading: &'r Reading<'a>,
    using: &'r str,
    params: VectorParams,
    /// Points named by id, which are no answers.
    pub(super) mentioned: Vec<PointId>,
}

impl<'r, 'a> Examples<'r, 'a> {
    /// # Errors
    /// [`Error::VectorNotFound`].
    pub(super) fn new(reading: &'r Reading<'a>, using: &'r str) -> Result<Self> {
        // Any finite number may be asked for, whatever the element type can store.
        let params = VectorParams { datatype: Datatype::Float32, ..reading.config.vector(using)?.clone() };
        Ok(Self { reading, using, params, mentioned: Vec::new() })
    }

    pub(super) fn vector<'q>(&mut self, target: &'q Target) -> Result<Cow<'q, [f32]>> {
        match target {
            Target::Vector(vector) => {
                vector.validate(self.using, &self.params, None)?;
                Ok(Cow::Borrowed(vector.as_dense()))
            }
            Target::Id(id) => {
                let (segment, row) = self.reading.find(id).ok_or_else(|| Error::PointNotFound { id: id.to_string() })?;
                let mut vectors = segment.vectors(row, &|name| name == self.using);
                self.mentioned.push(id.clone());
                match vectors.remove(self.using) {
                    Some(Vector::Dense(values)) => Ok(Cow::Owned(values)),
                    None => Err(Error::query(format!("point {id} has no vector `{}`", self.using))),
                }
            }
        }
    }

    fn vectors<'q>(&mut self, targets: impl IntoIterator<Item = &'q Target>) -> Result<Vec<Cow<'q, [f32]>>> {
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
                return Ok(Probe::one(average(&positive, &negative)));
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
}

/// `2 · mean(positive) − mean(negative)`, or `mean(positive)` alone.
fn average(positive: &[Cow<'_, [f32]>], negative: &[Cow<'_, [f32]>]) -> Vec<f32> {
    let mean =
        |vectors: &[Cow<'_, [f32]>], at: usize| vectors.iter().map(|vector| f64::from(vector[at])).sum::<f64>() / vectors.len() as f64;
    let one = |at: usize| {
        let middle = mean(positive, at);
        if negative.is_empty() { middle } else { 2.0 * middle - mean(negative, at) }
    };
    #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
    (0..positive.first().map_or(0, |vector| vector.len())).map(|at| one(at) as f32).collect()
}
