//! Texts into words, the same way for what is stored and for what is asked.

use rust_stemmers::{Algorithm, Stemmer};
use rustc_hash::FxHashSet;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

use super::stopwords;
use crate::error::{Error, Result};
use crate::model::config::{self, Stopwords, TextIndexParams};

/// Longest prefix that the prefix tokenizer indexes when no limit is set.
const LONGEST_PREFIX: usize = 20;

/// Cuts texts into words and normalises them.
pub(crate) struct Tokenizer {
    kind: config::Tokenizer,
    lowercase: bool,
    folding: bool,
    min: usize,
    max: usize,
    stopwords: FxHashSet<String>,
    stemmer: Option<Stemmer>,
    /// An underscore is part of a word.
    underscores: bool,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({:?})", self.kind)
    }
}

impl Tokenizer {
    /// # Errors
    /// [`Error::InvalidConfig`] for an unknown language.
    pub(crate) fn new(params: &TextIndexParams) -> Result<Self> {
        Ok(Self {
            kind: params.tokenizer,
            lowercase: params.lowercase.unwrap_or(true),
            folding: params.ascii_folding.unwrap_or(false),
            min: params.min_token_len.unwrap_or(0),
            max: params.max_token_len.unwrap_or(usize::MAX),
            stopwords: params.stopwords.as_ref().map_or_else(|| Ok(FxHashSet::default()), stopword_set)?,
            stemmer: params.stemmer.as_ref().map_or(Ok(None), stemmer)?,
            underscores: false,
        })
    }

    /// The same, but words are cut as by the regular expression `\w+`: with underscores.
    pub(crate) fn with_underscores(self) -> Self {
        Self { underscores: true, ..self }
    }

    /// The words a stored text is found by, in order.
    pub(crate) fn document(&self, text: &str, found: &mut dyn FnMut(&str)) {
        self.words(text, &mut |word| {
            if self.kind != config::Tokenizer::Prefix {
                return found(word);
            }
            let longest = self.max.min(LONGEST_PREFIX);
            for (count, (at, char)) in word.char_indices().enumerate().map(|(n, c)| (n + 1, c)) {
                if count >= self.min.max(1) && count <= longest {
                    found(&word[..at + char.len_utf8()]);
                }
            }
        });
    }

    /// The words a text is asked for by, in order. With the prefix tokenizer a word asks for itself, as a prefix.
    pub(crate) fn query(&self, text: &str, found: &mut dyn FnMut(&str)) {
        self.words(text, &mut |word| {
            let longest = self.max.min(LONGEST_PREFIX);
            match word.char_indices().nth(longest) {
                Some((end, _)) if self.kind == config::Tokenizer::Prefix => found(&word[..end]),
                _ => found(word),
            }
        });
    }

    /// The words of a query as a list.
    pub(crate) fn query_words(&self, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        self.query(text, &mut |word| words.push(word.to_owned()));
        words
    }

    /// The words of a document as a list.
    pub(crate) fn document_words(&self, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        self.document(text, &mut |word| words.push(word.to_owned()));
        words
    }

    fn words(&self, text: &str, found: &mut dyn FnMut(&str)) {
        let mut normalised = |word: &str| {
            if let Some(word) = self.normalise(word) {
                found(&word);
            }
        };
        match self.kind {
            config::Tokenizer::Whitespace => text.split_whitespace().for_each(&mut normalised),
            config::Tokenizer::Multilingual => text.unicode_words().for_each(&mut normalised),
            config::Tokenizer::Word | config::Tokenizer::Prefix => {
                let inside = |char: char| char.is_alphanumeric() || (self.underscores && char == '_');
                text.split(|char| !inside(char)).filter(|word| !matches!(*word, "" | "_")).for_each(&mut normalised);
            }
        }
    }

    /// A word as it is indexed; nothing for one that is left out.
    fn normalise(&self, word: &str) -> Option<String> {
        let mut word = if self.lowercase { word.to_lowercase() } else { word.to_owned() };
        if self.folding {
            word = word.nfd().filter(|&char| !is_combining_mark(char)).collect::<String>();
        }
        if self.stopwords.contains(&word) {
            return None;
        }
        if let Some(stemmer) = &self.stemmer {
            word = stemmer.stem(&word).into_owned();
        }
        let chars = word.chars().count();
        // The prefix tokenizer cuts long words instead of leaving them out.
        let fits = chars >= self.min && (chars <= self.max || self.kind == config::Tokenizer::Prefix);
        (fits && chars > 0).then_some(word)
    }
}

fn stopword_set(stopwords: &Stopwords) -> Result<FxHashSet<String>> {
    let mut set = FxHashSet::default();
    let mut add = |language: &str| -> Result<()> {
        let words = stopwords::of_language(&language.to_lowercase());
        let words = words.ok_or_else(|| Error::config("field_schema.stopwords", format!("no stopwords for the language `{language}`")))?;
        set.extend(words.split_whitespace().map(str::to_owned));
        Ok(())
    };
    match stopwords {
        Stopwords::Language(language) => add(language)?,
        Stopwords::Set { languages, custom } => {
            languages.iter().try_for_each(|language| add(language))?;
            set.extend(custom.iter().map(|word| word.to_lowercase()));
        }
    }
    Ok(set)
}

/// The stemmer of a setting, or none where it says so.
fn stemmer(setting: &serde_json::Value) -> Result<Option<Stemmer>> {
    if setting.get("type").and_then(serde_json::Value::as_str) == Some("none") {
        return Ok(None);
    }
    let language = setting.as_str().or_else(|| setting.get("language").and_then(serde_json::Value::as_str)).unwrap_or_default();
    match algorithm(&language.to_lowercase()) {
        Some(algorithm) => Ok(Some(Stemmer::create(algorithm))),
        None => Err(Error::config("field_schema.stemmer", format!("no stemmer for the language `{language}`"))),
    }
}

/// Whether words of a language, by its lower-case English name, can be reduced to their stems.
pub(super) fn has_stemmer(language: &str) -> bool {
    algorithm(language).is_some()
}

fn algorithm(language: &str) -> Option<Algorithm> {
    Some(match language {
        "arabic" => Algorithm::Arabic,
        "danish" => Algorithm::Danish,
        "dutch" => Algorithm::Dutch,
        "english" => Algorithm::English,
        "finnish" => Algorithm::Finnish,
        "french" => Algorithm::French,
        "german" => Algorithm::German,
        "greek" => Algorithm::Greek,
        "hungarian" => Algorithm::Hungarian,
        "italian" => Algorithm::Italian,
        "norwegian" => Algorithm::Norwegian,
        "portuguese" => Algorithm::Portuguese,
        "romanian" => Algorithm::Romanian,
        "russian" => Algorithm::Russian,
        "spanish" => Algorithm::Spanish,
        "swedish" => Algorithm::Swedish,
        "tamil" => Algorithm::Tamil,
        "turkish" => Algorithm::Turkish,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(params: TextIndexParams, text: &str) -> Vec<String> {
        Tokenizer::new(&params).expect("good settings").document_words(text)
    }

    #[test]
    fn tokenizers_cut_their_own_way() {
        let of = |tokenizer| TextIndexParams { tokenizer, ..TextIndexParams::default() };
        assert_eq!(words(of(config::Tokenizer::Word), "Hello, don't-stop 3.5"), ["hello", "don", "t", "stop", "3", "5"]);
        assert_eq!(words(of(config::Tokenizer::Whitespace), "Hello, don't-stop"), ["hello,", "don't-stop"]);
        assert_eq!(words(of(config::Tokenizer::Prefix), "abc d"), ["a", "ab", "abc", "d"]);
        assert_eq!(words(of(config::Tokenizer::Multilingual), "你好 don't"), ["你", "好", "don't"]);
    }

    #[test]
    fn words_are_normalised() {
        let folding = TextIndexParams { ascii_folding: Some(true), ..TextIndexParams::default() };
        assert_eq!(words(folding, "Café ÜBER"), ["cafe", "uber"]);
        let case = TextIndexParams { lowercase: Some(false), ..TextIndexParams::default() };
        assert_eq!(words(case, "Big small"), ["Big", "small"]);
        let stems = TextIndexParams { stemmer: Some("english".into()), ..TextIndexParams::default() };
        assert_eq!(words(stems, "running runs"), ["run", "run"]);
        let none = TextIndexParams { stemmer: Some(serde_json::json!({"type": "none"})), ..TextIndexParams::default() };
        assert_eq!(words(none, "running runs"), ["running", "runs"]);
        let stopped = TextIndexParams { stopwords: Some(Stopwords::Language("english".into())), ..TextIndexParams::default() };
        assert_eq!(words(stopped, "the cat and the dog"), ["cat", "dog"]);
        let lengths = TextIndexParams { min_token_len: Some(2), max_token_len: Some(3), ..TextIndexParams::default() };
        assert_eq!(words(lengths, "a bb ccc dddd"), ["bb", "ccc"]);
    }

    #[test]
    fn unknown_languages_are_refused() {
        let stems = TextIndexParams { stemmer: Some("klingon".into()), ..TextIndexParams::default() };
        assert!(Tokenizer::new(&stems).is_err());
        let stopped = TextIndexParams { stopwords: Some(Stopwords::Language("klingon".into())), ..TextIndexParams::default() };
        assert!(Tokenizer::new(&stopped).is_err());
    }
}
