//! Every case of the corpus, in every way.

use vectordb_benches::corpus::{Filters, Queries, directory};

#[test]
fn every_filter_has_the_expected_points_in_every_way() {
    let corpus = Filters::read(&directory()).expect("the files are whole");
    let outcome = corpus.run(&|| {}).expect("the engine can be set up");
    assert!(outcome.failures.is_empty(), "{:#?}", outcome.failures);
    assert!(outcome.cases >= 600 && outcome.questions > outcome.cases * 30, "{} cases, {} questions", outcome.cases, outcome.questions);
}

#[test]
fn every_query_has_the_expected_answer_in_every_way() {
    let corpus = Queries::read(&directory().join("queries")).expect("the files are whole");
    let outcome = corpus.run(&|| {}).expect("the engine can be set up");
    let failures = &outcome.failures[..outcome.failures.len().min(40)];
    assert!(failures.is_empty(), "{} failures, first of them {failures:#?}", outcome.failures.len());
    assert!(outcome.cases >= 600 && outcome.questions > outcome.cases * 30, "{} cases, {} questions", outcome.cases, outcome.questions);
}
