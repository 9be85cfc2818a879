//! How rare dimensions and words are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many members a corpus has, and how many of them hold each dimension or word that a query names. The counts of several
/// corpora without common members add up to those of all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CorpusCounts {
    /// Points that have the sparse vector, or the texts of the field.
    pub members: u64,
    /// Words of all texts.
    pub words: u64,
    /// Members that hold a dimension of the sparse vector.
    pub dimensions: BTreeMap<u32, u64>,
    /// Texts that hold a word.
    pub terms: BTreeMap<String, u64>,
}

impl CorpusCounts {
    /// Adds those of another corpus.
    ///
    /// ```
    /// use vectordb_core::CorpusCounts;
    /// let mut all = CorpusCounts { members: 3, dimensions: [(7, 1)].into(), ..CorpusCounts::default() };
    /// all.add(&CorpusCounts { members: 2, dimensions: [(7, 2), (9, 1)].into(), ..CorpusCounts::default() });
    /// assert_eq!((all.members, all.dimensions[&7], all.dimensions[&9]), (5, 3, 1));
    /// ```
    pub fn add(&mut self, other: &Self) {
        self.members += other.members;
        self.words += other.words;
        for (dimension, count) in &other.dimensions {
            *self.dimensions.entry(*dimension).or_default() += count;
        }
        for (term, count) in &other.terms {
            *self.terms.entry(term.clone()).or_default() += count;
        }
    }
}
