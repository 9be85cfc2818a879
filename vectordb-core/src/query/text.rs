//! Texts of a payload field ranked by the words of a query.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::explain::Recorder;
use super::{Found, Reading};
use crate::error::{Error, Result};
use crate::model::config::FieldSchema;
use crate::model::corpus::CorpusCounts;
use crate::model::explain::SearchPlan;
use crate::model::filter::Filter;
use crate::model::payload::PayloadPath;
use crate::model::point::by_score_then_id;
use crate::model::query::{Budget, SearchParams};
use crate::model::text::{TextQuery, TextQueryScoring};
use crate::payload::tokenizer::Tokenizer;
use crate::segment::{QueryWord, TextCounts, TextLeaf, rank_texts};

/// A ranking of texts.
pub(super) struct TextAsk<'q> {
    pub(super) text: &'q TextQuery,
    /// The payload field.
    pub(super) using: &'q str,
    /// Points wanted.
    pub(super) limit: usize,
    pub(super) threshold: Option<f32>,
    pub(super) filter: Option<&'q Filter>,
    pub(super) params: &'q SearchParams,
    pub(super) budget: &'q Budget,
}

/// The points that hold any word of the query, best first. What is counted is counted over all segments at the reader's lsn.
///
/// # Errors
/// [`Error::InvalidQuery`] for a field that no text index ranks and for parameters out of range, those of the filter, unreadable
/// payloads, and the budget's.
pub(super) fn rank<'a>(reading: &Reading<'a>, ask: &TextAsk<'_>) -> Result<Vec<Found<'a>>> {
    let TextQueryScoring::Bm25(bm25) = ask.text.scoring;
    let (k, b) = bm25.checked()?;
    let key = PayloadPath::parse(ask.using)?;
    let words = words(reading, &ask.text.query, &key)?;
    let filter = reading.compile(ask.filter)?;
    let mut recorder = Recorder::start(reading, || SearchPlan {
        using: ask.using.to_owned(),
        limit: ask.limit,
        filtered: filter.is_some(),
        ..SearchPlan::default()
    });
    let counts = match &ask.params.corpus {
        Some(counts) => Arc::clone(counts),
        None => Arc::new(counted(reading, &key, &words, ask.params, ask.budget)?),
    };
    let holding = |word: &String| counts.terms.get(word).copied().unwrap_or(0);
    let words: Vec<QueryWord> = words.into_iter().map(|word| QueryWord { idf: idf(counts.members, holding(&word)), word }).collect();
    let leaf = TextLeaf {
        key: &key,
        words: &words,
        k,
        b,
        // Of a corpus without texts nothing is known.
        mean: if counts.members == 0 { 1.0 } else { counts.words as f64 / counts.members as f64 },
        limit: ask.limit,
        threshold: ask.threshold,
        filter: filter.as_ref(),
        at: reading.at,
        budget: ask.budget,
    };
    let mut found = Vec::new();
    for &segment in &reading.segments {
        let (hits, trace) = rank_texts(segment, &leaf)?;
        if let Some(recorder) = &mut recorder {
            recorder.add(segment, filter.as_ref(), reading.at, &trace)?;
        }
        found.extend(hits.into_iter().map(|hit| Found { segment, row: hit.row, id: hit.id, score: hit.score, order_value: None }));
    }
    found.sort_unstable_by(|a, b| by_score_then_id((a.score, &a.id), (b.score, &b.id)));
    found.truncate(ask.limit);
    if let Some(recorder) = recorder {
        recorder.finish();
    }
    Ok(found)
}

/// The texts of a field, and those of them that hold each word of a query.
///
/// # Errors
/// As [`rank`].
pub(super) fn corpus_counts(
    reading: &Reading<'_>,
    text: &TextQuery,
    using: &str,
    params: &SearchParams,
    budget: &Budget,
) -> Result<CorpusCounts> {
    let key = PayloadPath::parse(using)?;
    counted(reading, &key, &words(reading, &text.query, &key)?, params, budget)
}

fn counted(reading: &Reading<'_>, key: &PayloadPath, words: &[String], params: &SearchParams, budget: &Budget) -> Result<CorpusCounts> {
    let corpus = reading.compile(params.idf_corpus.as_ref())?;
    let mut counts = TextCounts::default();
    for &segment in &reading.segments {
        budget.check()?;
        counts.add(segment, key, words, corpus.as_ref(), reading.at)?;
    }
    let terms = words.iter().cloned().zip(counts.holding).collect();
    Ok(CorpusCounts { members: counts.texts.count, words: counts.texts.words, terms, ..CorpusCounts::default() })
}

/// The words of a query, each once.
fn words(reading: &Reading<'_>, query: &str, key: &PayloadPath) -> Result<Vec<String>> {
    match reading.config.payload_schema.get(&key.to_string()) {
        Some(FieldSchema::Text(params)) if params.ranks() => {
            let words: BTreeSet<String> = Tokenizer::new(params)?.query_words(query).into_iter().collect();
            Ok(words.into_iter().collect())
        }
        _ => Err(Error::query(format!("ranking the texts of `{key}` needs an index of kind `text` with `scoring` on it"))),
    }
}

/// How much a word weighs that `holding` of `texts` hold.
fn idf(texts: u64, holding: u64) -> f64 {
    let (texts, holding) = (texts as f64, holding as f64);
    ((texts - holding + 0.5) / (holding + 0.5)).max(0.0).ln_1p()
}
