//! Texts into sparse vectors whose dot product is BM25 but for the rarity of words (Robertson & Zaragoza 2009).

use std::collections::BTreeMap;

use super::stopwords;
use super::tokenizer::{Tokenizer, has_stemmer};
use crate::error::{Error, Result};
use crate::model::config::{Stopwords, TextIndexParams};
use crate::model::text::{Bm25Config, DEFAULT_B, DEFAULT_K};
use crate::model::vector::SparseVector;

const DEFAULT_AVG_LEN: f32 = 256.0;
/// The language that means none.
const NO_LANGUAGE: &str = "none";

/// The encoder `qdrant/bm25`: texts into sparse vectors.
///
/// A word's dimension is the absolute value of its 32-bit MurmurHash3 (x86, seed 0). In a document a word that occurs `f` times
/// among `n` weighs `f · (k + 1) / (f + k · (1 − b + b · n / avg_len))`, in a query 1. With the modifier `idf` of the sparse
/// vector the dot product of the two is the BM25 score, for a fixed mean length. Words are cut, left out and stemmed as by
/// fastembed's `Qdrant/bm25` in English, so that its vectors and these can be mixed, but that words of any length count unless
/// `max_token_len` says otherwise (there 40).
///
/// ```
/// use vectordb_core::{Bm25, Bm25Config};
/// let encoder = Bm25::new(&Bm25Config::default())?;
/// let (stored, asked) = (encoder.document("the foxes and the fox"), encoder.query("Fox?"));
/// assert_eq!(stored.indices(), asked.indices());
/// assert_eq!(asked.values(), [1.0]);
/// # Ok::<(), vectordb_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Bm25 {
    tokenizer: Tokenizer,
    k: f64,
    b: f64,
    avg_len: f64,
}

impl Bm25 {
    /// An encoder with these settings.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for numbers outside of their ranges and unknown languages.
    pub fn new(config: &Bm25Config) -> Result<Self> {
        let refuse = |field: &str, reason: &str| Err(Error::config(format!("options.{field}"), reason));
        let (k, b, avg_len) = (config.k.unwrap_or(DEFAULT_K), config.b.unwrap_or(DEFAULT_B), config.avg_len.unwrap_or(DEFAULT_AVG_LEN));
        if !(k.is_finite() && k >= 0.0) {
            return refuse("k", "must be a number from 0 on");
        }
        if !(0.0..=1.0).contains(&b) {
            return refuse("b", "must lie between 0 and 1");
        }
        if !(avg_len.is_finite() && avg_len > 0.0) {
            return refuse("avg_len", "must be greater than 0");
        }
        if matches!((config.min_token_len, config.max_token_len), (Some(min), Some(max)) if min > max) {
            return refuse("min_token_len", "must not exceed max_token_len");
        }
        let tokenizer = Tokenizer::new(&words(config)?).map_err(|error| match error {
            Error::InvalidConfig { field, reason } => Error::config(field.replace("field_schema", "options"), reason),
            other => other,
        })?;
        let tokenizer = if config.tokenizer.is_none() { tokenizer.with_underscores() } else { tokenizer };
        Ok(Self { tokenizer, k: k.into(), b: b.into(), avg_len: avg_len.into() })
    }

    /// The vector of a text to be stored; empty when it has no words.
    pub fn document(&self, text: &str) -> SparseVector {
        let (mut counts, mut length) = (BTreeMap::<u32, u32>::new(), 0u32);
        self.tokenizer.document(text, &mut |word| {
            *counts.entry(dimension(word)).or_default() += 1;
            length += 1;
        });
        let norm = self.k * (1.0 - self.b + self.b * f64::from(length) / self.avg_len);
        #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
        let weight = |count: u32| (f64::from(count) * (self.k + 1.0) / (f64::from(count) + norm)) as f32;
        SparseVector::ascending(counts.into_iter().map(|(dimension, count)| (dimension, weight(count))))
    }

    /// The vector of a text to be asked for: 1 for each of its words.
    pub fn query(&self, text: &str) -> SparseVector {
        let mut words = BTreeMap::new();
        self.tokenizer.query(text, &mut |word| {
            words.insert(dimension(word), 1.0);
        });
        SparseVector::ascending(words)
    }
}

/// How texts are cut into words.
fn words(config: &Bm25Config) -> Result<TextIndexParams> {
    let language = config.language.as_deref().unwrap_or("english").to_lowercase();
    let (stops, stems) = (stopwords::of_language(&language).is_some(), has_stemmer(&language));
    let needed = config.stopwords.is_none() || config.stemmer.is_none();
    if needed && !stops && !stems && language != NO_LANGUAGE {
        return Err(Error::config("options.language", format!("neither stopwords nor a stemmer for the language `{language}`")));
    }
    let stopwords = config.stopwords.clone().or_else(|| stops.then(|| Stopwords::Language(language.clone())));
    Ok(TextIndexParams {
        tokenizer: config.tokenizer.unwrap_or_default(),
        min_token_len: config.min_token_len,
        max_token_len: config.max_token_len,
        lowercase: config.lowercase,
        ascii_folding: config.ascii_folding,
        stopwords,
        stemmer: config.stemmer.clone().or_else(|| stems.then(|| language.into())),
        ..TextIndexParams::default()
    })
}

/// The dimension of a word.
fn dimension(word: &str) -> u32 {
    murmur3(word.as_bytes()).cast_signed().unsigned_abs()
}

/// MurmurHash3 by Austin Appleby, x86, 32 bits, seed 0.
fn murmur3(bytes: &[u8]) -> u32 {
    let mixed = |word: u32| word.wrapping_mul(0xCC9E_2D51).rotate_left(15).wrapping_mul(0x1B87_3593);
    let (words, tail) = bytes.as_chunks::<4>();
    let mut hash = words
        .iter()
        .fold(0u32, |hash, word| (hash ^ mixed(u32::from_le_bytes(*word))).rotate_left(13).wrapping_mul(5).wrapping_add(0xE654_6B64));
    let last = tail.iter().rev().fold(0, |last, &byte| last << 8 | u32::from(byte));
    hash ^= mixed(last);
    // The length counts modulo 2³².
    #[expect(clippy::cast_possible_truncation, reason = "the hash is defined so")]
    let length = bytes.len() as u32;
    hash ^= length;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85EB_CA6B);
    hash = (hash ^ hash >> 13).wrapping_mul(0xC2B2_AE35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_published_function() {
        for (text, hash) in [("", 0), ("a", 0x3C25_69B2), ("abc", 0xB3DD_93FA), ("test", 0xBA6B_D213), ("Hello, world!", 0xC036_3E43)] {
            assert_eq!(murmur3(text.as_bytes()), hash, "{text}");
        }
        assert_eq!(dimension("abc"), 0x4C22_6C06);
    }
}
