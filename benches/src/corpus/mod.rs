//! The corpus: cases in data files, each asked in every way the engine has, over segments in every state.
//!
//! The expected answers were computed by the in-memory mode of the stock Python client of Qdrant, which is the reference for the
//! wire's semantics; those of `words.toml`, for whose filters it has no indexes, by hand.
//!
//! Files: `filters` (conditions and the points they hold for), `queries` (queries of all kinds), `answer` (what a query should find,
//! and whether it did), `places` (collections for queries in every state), `state` (what both need to get there).

mod answer;
mod filters;
mod places;
mod queries;
mod state;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vectordb_core::PointId;

pub use filters::Filters;
pub use queries::Queries;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// What running a corpus came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Cases in the files.
    pub cases: usize,
    /// Ways of asking, each with its state of the segments.
    pub runners: BTreeSet<String>,
    /// Questions asked.
    pub questions: usize,
    /// Wrong answers.
    pub failures: Vec<String>,
}

impl Outcome {
    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.cases += other.cases;
        self.questions += other.questions;
        self.runners.extend(other.runners);
        self.failures.extend(other.failures);
        self
    }

    /// Counts one question, and what was wrong with its answer.
    fn asked(&mut self, case: &str, runner: String, wrong: Option<String>) {
        self.questions += 1;
        if let Some(wrong) = wrong {
            self.failures.push(format!("{case}, {runner}: {wrong}"));
        }
        self.runners.insert(runner);
    }
}

/// Where the files are in a checkout; those of the queries are in `queries` inside.
pub fn directory() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.join("../vectordb-core/testdata/corpus")
}

/// The cases of all files of a directory but `points.toml`, each with the name of its file.
fn read_cases<T: serde::de::DeserializeOwned>(directory: &Path) -> Result<Vec<(String, T)>> {
    #[derive(Deserialize)]
    struct CaseFile<T> {
        case: Vec<T>,
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let mut cases = Vec::new();
    for file in files.iter().filter(|file| !file.ends_with("points.toml") && file.extension().is_some_and(|end| end == "toml")) {
        let group = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let found: CaseFile<T> = toml::from_str(&std::fs::read_to_string(file)?).map_err(|error| format!("{group}.toml: {error}"))?;
        cases.extend(found.case.into_iter().map(|case| (group.clone(), case)));
    }
    Ok(cases)
}

/// The id of a point in a data file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

impl Id {
    fn point_id(&self) -> Result<PointId> {
        Ok(match self {
            Self::Number(number) => (*number).into(),
            Self::Text(text) => PointId::parse(text)?,
        })
    }
}
