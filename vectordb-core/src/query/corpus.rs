//! What weights of rarity are made of, for collections that consist of several of these.

use std::collections::BTreeSet;

use super::examples::Examples;
use super::{Reading, rarity, text};
use crate::error::Result;
use crate::model::config::{Modifier, VectorKind};
use crate::model::corpus::CorpusCounts;
use crate::model::ranking::{Query, QueryRequest};

/// Counts what the query, without its prefetches, would be weighted by; nothing for one that is not weighted.
///
/// # Errors
/// As the query itself.
pub(crate) fn corpus_counts(reading: &Reading<'_>, request: &QueryRequest) -> Result<CorpusCounts> {
    let params = &request.params;
    match &request.query {
        Some(Query::Text(words)) => text::corpus_counts(reading, words, &request.using, params, &request.budget),
        Some(query) if is_weighted(reading, &request.using) => {
            let mut query = query.clone();
            let mut examples = Examples::new(reading, &request.using)?;
            let mut indices = BTreeSet::new();
            for target in query.targets_mut() {
                indices.extend(examples.vector(target)?.as_sparse().into_iter().flat_map(|sparse| sparse.indices()).copied());
            }
            let indices: Vec<u32> = indices.into_iter().collect();
            let corpus = reading.compile(params.idf_corpus.as_ref())?;
            rarity::counts(reading, &request.using, &indices, corpus.as_ref())
        }
        _ => Ok(CorpusCounts::default()),
    }
}

fn is_weighted(reading: &Reading<'_>, using: &str) -> bool {
    matches!(reading.config.kind_of(using), Ok(VectorKind::Sparse(params)) if params.modifier == Some(Modifier::Idf))
}
