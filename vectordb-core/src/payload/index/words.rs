//! The words of texts.

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::Candidates;
use super::postings::{Posting, Postings};
use crate::error::Result;
use crate::model::config::TextIndexParams;
use crate::model::filter::FieldTest;
use crate::payload::tokenizer::Tokenizer;
use crate::storage::heap;

/// Word → rows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(try_from = "Saved")]
pub(super) struct Words {
    #[serde(serialize_with = "as_text")]
    params: TextIndexParams,
    rows: Postings<String>,
    #[serde(skip)]
    tokenizer: Tokenizer,
}

/// The saved form; the tokenizer is made anew.
#[derive(Deserialize)]
struct Saved {
    params: String,
    rows: Postings<String>,
}

fn as_text<S: serde::Serializer>(params: &TextIndexParams, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::to_string(params).map_err(serde::ser::Error::custom)?.serialize(serializer)
}

impl TryFrom<Saved> for Words {
    type Error = String;

    fn try_from(saved: Saved) -> Result<Self, String> {
        let params = serde_json::from_str(&saved.params).map_err(|error| error.to_string())?;
        let empty = Self::new(&params).map_err(|error| error.to_string())?;
        Ok(Self { rows: saved.rows, ..empty })
    }
}

impl Words {
    pub(super) fn new(params: &TextIndexParams) -> Result<Self> {
        Ok(Self { params: params.clone(), rows: Postings::default(), tokenizer: Tokenizer::new(params)? })
    }

    pub(super) fn add(&mut self, row: u32, text: &str) {
        self.add_telling(row, text, &mut |_, _| {});
    }

    /// Adds a text and tells each of its words, and whether the row lacked it until then.
    pub(super) fn add_telling(&mut self, row: u32, text: &str, told: &mut dyn FnMut(&str, bool)) {
        let Self { tokenizer, rows, .. } = self;
        tokenizer.document(text, &mut |word| told(word, rows.add(row, word.to_owned())));
    }

    pub(super) fn posting(&self, word: &str) -> Option<&Posting> {
        self.rows.posting(word)
    }

    pub(super) fn candidates(&self, test: &FieldTest) -> Option<Candidates> {
        let rows_of = |text: &str| self.tokenizer.query_words(text).into_iter().map(|word| self.rows.get(&word));
        match test {
            FieldTest::Text(text) => {
                let all = rows_of(text).reduce(|all, rows| all & rows).unwrap_or_default();
                Some(Candidates::exact(all))
            }
            FieldTest::TextAny(text) => Some(Candidates::exact(rows_of(text).fold(RoaringBitmap::new(), |any, rows| any | rows))),
            // Words are indexed without their places, so whether they stand together must be looked up.
            FieldTest::Phrase(text) => {
                let all = rows_of(text).reduce(|all, rows| all & rows).unwrap_or_default();
                Some(Candidates { rows: all, exact: false })
            }
            _ => None,
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.rows.memory_bytes(|word| heap::block(word.capacity()))
    }
}
