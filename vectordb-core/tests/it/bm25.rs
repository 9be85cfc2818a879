//! Texts into sparse vectors, against values computed by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use vectordb_core::{
    Bm25, CollectionConfig, Distance, Document, Error, ErrorKind, MemFs, Modifier, Point, PointId, Prefetch, Query, QueryRequest, Rrf,
    SparseVector, SparseVectorParams, Vector, Vectors,
};

use crate::support::manual;

fn encoder(config: Value) -> Bm25 {
    Bm25::new(&serde_json::from_value(config).expect("good settings")).expect("good settings")
}

/// The weights of some words, by an encoder that does not touch them.
fn weights(vector: &SparseVector, words: &[&str]) -> Vec<Option<f32>> {
    let plain = encoder(json!({"language": "none"}));
    let of = |word: &&str| {
        let dimension = plain.query(word).indices()[0];
        vector.indices().iter().position(|index| *index == dimension).map(|at| vector.values()[at])
    };
    words.iter().map(of).collect()
}

#[test]
fn words_weigh_by_how_often_they_come_and_how_long_the_text_is() {
    // Left of the text: fox, jump, jump, lazi, dog; 1.2 · (0.25 + 0.75 · 5 / 256) = 0.317578125.
    let vector = encoder(json!({})).document("The fox jumps and jumped over the LAZY dog's");
    let one = 2.2 / (1.0 + 0.317_578_13);
    let two = 4.4 / (2.0 + 0.317_578_13);
    let found = weights(&vector, &["fox", "jump", "lazi", "dog", "the", "s", "over"]);
    for (found, wanted) in found.iter().zip([Some(one), Some(two), Some(one), Some(one), None, None, None]) {
        assert_eq!(found.map(|weight| (weight * 1e5_f32).round()), wanted.map(|weight: f32| (weight * 1e5).round()));
    }
    assert_eq!(vector.indices().len(), 4);
    // 2 · (1 − 0.5 + 0.5 · 2 / 4) = 1.5, so 3 / 2.5.
    let vector = encoder(json!({"k": 2, "b": 0.5, "avg_len": 4, "language": "none"})).document("the fox");
    assert_eq!(weights(&vector, &["the", "fox"]), [Some(1.2), Some(1.2)]);
    assert_eq!(encoder(json!({})).document(" the and, of! "), SparseVector::default());
    assert_eq!(encoder(json!({})).document(""), SparseVector::default());
}

#[test]
fn words_of_a_query_weigh_one() {
    let vector = encoder(json!({"k": 7})).query("Foxes and the fox: jump_rope?");
    assert_eq!(weights(&vector, &["fox", "jump_rop"]), [Some(1.0), Some(1.0)]);
    assert_eq!(vector.indices().len(), 2);
}

#[test]
fn settings_say_which_words_there_are() {
    let words = |config: Value, text: &str, words: &[&str]| {
        let vector = encoder(config).query(text);
        assert_eq!(vector.indices().len(), words.len(), "{text}");
        assert!(weights(&vector, words).iter().all(Option::is_some), "{text}");
    };
    words(json!({"language": "german"}), "Die Häuser und Gärten", &["haus", "gart"]);
    words(json!({"language": "none"}), "The houses", &["the", "houses"]);
    words(json!({"stemmer": {"type": "none"}}), "The houses", &["houses"]);
    words(json!({"stopwords": {"custom": ["houses"]}}), "The houses", &["the"]);
    words(json!({"stopwords": {"languages": ["english"], "custom": ["big"]}}), "the big houses", &["hous"]);
    words(json!({"language": "none", "ascii_folding": true}), "Café", &["cafe"]);
    words(json!({"language": "none", "min_token_len": 2, "max_token_len": 3}), "a bb ccc dddd", &["bb", "ccc"]);
    words(json!({"language": "none", "tokenizer": "word"}), "snake_case", &["snake", "case"]);
    words(json!({"language": "none"}), "snake_case _ x", &["snake_case", "x"]);
    words(json!({"language": "danish"}), "husene", &["hus"]);
}

#[test]
fn bad_settings_are_refused() {
    for config in [
        json!({"k": -1}),
        json!({"b": 1.5}),
        json!({"avg_len": 0}),
        json!({"language": "klingon"}),
        json!({"stemmer": "klingon"}),
        json!({"stopwords": "klingon"}),
        json!({"min_token_len": 3, "max_token_len": 2}),
    ] {
        let error = Bm25::new(&serde_json::from_value(config.clone()).expect("well formed")).unwrap_err();
        assert!(matches!(error, Error::InvalidConfig { .. }), "{config}: {error}");
    }
    let document = |options: Value| Document::from_json(&json!({"text": "a", "model": "qdrant/bm25", "options": options}));
    assert!(document(json!({"sharpness": 1})).expect("well formed").query_vector().is_err());
    assert!(document(json!([])).is_err());
    for bad in [json!({"model": "qdrant/bm25"}), json!({"text": 1, "model": "qdrant/bm25"}), json!({"text": "a"}), json!("a")] {
        assert!(Document::from_json(&bad).is_err(), "{bad}");
    }
    assert!(Document::from_json(&json!({"text": "a", "model": "qdrant/bm25", "extra": 1})).is_err());
}

#[test]
fn models_that_are_not_there_are_named() {
    for json in [
        json!({"text": "a", "model": "bert/large"}),
        json!({"image": "a.png", "model": "bert/large"}),
        json!({"object": {}, "model": "bert/large"}),
    ] {
        let error = Vector::stored_from_json(&json).unwrap_err();
        assert!(matches!(&error, Error::UnknownModel { model } if model == "bert/large"), "{error}");
        assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("bert/large"));
        assert!(Vector::query_from_json(&json).is_err() && Vectors::from_json(&json!({"words": json})).is_err());
    }
}

#[test]
fn vectors_in_json_may_be_texts() {
    let text = json!({"text": "a fox, a fox", "model": "Qdrant/BM25", "options": {"avg_len": 2}});
    let encoder = encoder(json!({"avg_len": 2}));
    let (stored, asked) = (encoder.document("a fox, a fox"), encoder.query("a fox, a fox"));
    assert!(stored != asked);
    assert_eq!(Vector::stored_from_json(&text).expect("reads"), stored.clone().into());
    assert_eq!(Vector::query_from_json(&text).expect("reads"), asked.into());
    assert_eq!(Vectors::from_json(&text).expect("reads"), Vectors::unnamed(stored.clone()));
    let named = Vectors::from_json(&json!({"words": text, "model": [1.0], "rows": [[1.0], [2.0]]})).expect("reads");
    assert_eq!((named.len(), named.get("words"), named.get("model")), (3, Some(&stored.into()), Some(&vec![1.0].into())));
    assert_eq!(Vectors::from_json(&json!([0.5])).expect("reads"), Vectors::unnamed(vec![0.5]));
    assert_eq!(
        Vectors::from_json(&json!({"indices": [1], "values": [2.0]}))
            .expect("reads")
            .get("")
            .and_then(Vector::as_sparse)
            .map(SparseVector::indices),
        Some(&[1][..])
    );
    assert!(Vectors::from_json(&json!({"words": "fox"})).is_err() && Vectors::from_json(&json!("fox")).is_err());
}

/// With the modifier and the mean length of the texts, encoded texts rank by BM25.
#[test]
fn encoded_texts_are_found_by_texts() {
    let texts = ["red fox", "red red rose tree", "blue sky", "fox in a box of red wood", "green"];
    let words: Vec<Vec<&str>> =
        texts.iter().map(|text| text.split(' ').filter(|word| !matches!(*word, "in" | "a" | "of")).collect()).collect();
    let mean = words.iter().map(Vec::len).sum::<usize>() as f64 / texts.len() as f64;
    let db = manual(Arc::new(MemFs::default()));
    let mut config = CollectionConfig::unnamed(1, Distance::Dot);
    config.sparse_vectors.insert("words".into(), SparseVectorParams { modifier: Some(Modifier::Idf), ..SparseVectorParams::default() });
    let points = db.collection("points").config(config).create().expect("works");
    for (id, text) in (0u64..).zip(texts) {
        let json = json!({"": [0.0], "words": {"text": text, "model": "qdrant/bm25", "options": {"avg_len": mean}}});
        let vectors = Vectors::from_json(&json).expect("reads");
        let point = vectors.iter().fold(Point::bare(id), |point, (name, vector)| point.vector(name, vector.clone()));
        points.upsert([point]).expect("works");
    }
    let wanted: BTreeMap<u64, f64> = (0u64..)
        .zip(&words)
        .filter_map(|(id, text)| {
            let scores = ["red", "fox"].iter().filter(|word| text.contains(word)).map(|word| {
                let holding = words.iter().filter(|text| text.contains(word)).count() as f64;
                let count = text.iter().filter(|each| each == &word).count() as f64;
                (1.0 + (5.0 - holding + 0.5) / (holding + 0.5)).ln() * count * 2.2
                    / (count + 1.2 * (0.25 + 0.75 * text.len() as f64 / mean))
            });
            let score: f64 = scores.sum();
            (score > 0.0).then_some((id, score))
        })
        .collect();
    let text = json!({"text": "Red foxes", "model": "qdrant/bm25"});
    for query in [json!({"query": text, "using": "words"}), json!({"query": {"nearest": text}, "using": "words"})] {
        let found = points.query_points(&QueryRequest::from_json(&query).expect("reads")).expect("works");
        assert_eq!(found.len(), 3);
        for hit in found {
            let PointId::Num(id) = hit.id else { panic!("numbers only") };
            assert!((f64::from(hit.score) - wanted[&id]).abs() < 1e-5, "{} for {}", hit.score, wanted[&id]);
        }
    }
    let near = |query: Query, using: &str| Prefetch { query: Some(query), using: using.into(), ..Prefetch::default() };
    let document = Document::new("Red foxes", "qdrant/bm25");
    let both = QueryRequest {
        prefetch: vec![near(document.into(), "words"), near([1.0].into(), "")],
        ..QueryRequest::new(Query::Rrf(Rrf::default()))
    };
    assert_eq!(points.query_points(&both).expect("works").len(), 5);
    let wrong = QueryRequest::new(Query::from(Document::new("Red foxes", "qdrant/bm25")));
    assert!(matches!(points.query_points(&wrong), Err(Error::WrongVectorKind { .. })));
    let unknown = QueryRequest { using: "words".into(), ..QueryRequest::new(Query::from(Document::new("a", "clip"))) };
    assert!(matches!(points.query_points(&unknown), Err(Error::UnknownModel { .. })));
}

/// What fastembed 0.9.1 makes of the same texts.
#[test]
fn vectors_are_those_of_fastembed() {
    let encoder = encoder(json!({}));
    let odd = "snake_case _ x __ don't STOP, we've 3.5 été naïve Straße";
    let odd_words =
        [215_691_602, 264_741_300, 756_638_508, 865_297_935, 1_050_319_643, 1_394_226_660, 1_459_505_690, 2_095_602_437, 2_145_877_988];
    let long = "Quick-brown foxes can't be running; they'll have run 42 times (or 43)! happily happiness";
    let long_words =
        [243_905_464, 417_110_197, 741_580_288, 771_291_085, 924_502_968, 1_135_041_482, 1_163_565_236, 1_621_867_415, 2_058_513_491];
    for (text, words, weight) in [(odd, odd_words, 1.652_097_4), (long, long_words, 1.647_747_2)] {
        let (stored, asked) = (encoder.document(text), encoder.query(text));
        assert_eq!((stored.indices(), asked.indices()), (&words[..], &words[..]), "{text}");
        let wanted = |index: u32| if index == 243_905_464 { 1.884_242_2 } else { weight };
        assert!(stored.indices().iter().zip(stored.values()).all(|(index, value)| (value - wanted(*index)).abs() < 1e-6), "{stored:?}");
    }
}
