//! Passages of documentation, their embeddings, and questions about them.

use std::fs::File;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::npy::{self, Matrix};

/// A piece of text and where it comes from; what is stored as payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    /// Documentation package.
    pub source: String,
    /// Heading above the text.
    pub section: String,
    /// Title of the page.
    pub title: String,
    /// Number of words.
    pub words: i64,
    /// The text.
    pub text: String,
}

/// The text of a query.
#[derive(Debug, Clone, Deserialize)]
pub struct Query {
    /// What was asked.
    pub text: String,
}

/// A data set: row *i* of `vectors` belongs to passage *i*, row *i* of `questions` to query *i*.
#[derive(Debug, Clone)]
pub struct Data {
    /// The texts.
    pub passages: Vec<Passage>,
    /// Their embeddings, of length 1.
    pub vectors: Matrix,
    /// Texts of the queries.
    pub queries: Vec<Query>,
    /// Embeddings of the queries, of length 1.
    pub questions: Matrix,
}

/// The data set that comes with the repository.
pub fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

impl Data {
    /// Reads `vectors.npy`, `passages.jsonl` or `passages.jsonl.gz`, `queries.npy` and `queries.jsonl`.
    ///
    /// # Errors
    /// What the file system says, and `InvalidData` when a file is malformed or the files do not belong together.
    pub fn load(dir: &Path) -> Result<Self> {
        let plain = dir.join("passages.jsonl");
        let passages = if plain.exists() { plain } else { dir.join("passages.jsonl.gz") };
        let mut data = Self {
            passages: read_lines(&passages)?,
            vectors: npy::read(&dir.join("vectors.npy"))?,
            queries: read_lines(&dir.join("queries.jsonl"))?,
            questions: npy::read(&dir.join("queries.npy"))?,
        };
        let same_rows = data.passages.len() == data.vectors.rows().len() && data.queries.len() == data.questions.rows().len();
        if !same_rows || data.vectors.dim != data.questions.dim || data.passages.is_empty() {
            return Err(Error::new(ErrorKind::InvalidData, format!("{}: texts and vectors do not belong together", dir.display())));
        }
        data.vectors.normalise();
        data.questions.normalise();
        Ok(data)
    }
}

/// Reads a file of one JSON value a line, compressed when its name says so.
fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let named = |error: Error| Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(named)?;
    let reader: Box<dyn Read> =
        if path.extension().is_some_and(|end| end == "gz") { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    BufReader::new(reader).lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect::<Result<_>>().map_err(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_whole() {
        let data = Data::load(&sample()).expect("the sample");
        assert_eq!((data.passages.len(), data.queries.len(), data.vectors.dim), (1000, 50, 384));
        assert!(data.passages.iter().all(|passage| passage.words > 0 && !passage.text.is_empty()));
        for row in data.vectors.rows().chain(data.questions.rows()) {
            let length = row.iter().map(|value| value * value).sum::<f32>();
            assert!((length - 1.0).abs() < 1e-4, "squared length {length}");
        }
    }
}
