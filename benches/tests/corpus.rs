//! Every case of the corpus, in every way.

use vectordb_benches::corpus::Corpus;

#[test]
fn every_case_has_the_expected_points_in_every_way() {
    let corpus = Corpus::read(&Corpus::directory()).expect("the files are whole");
    let outcome = corpus.run(&|| {}).expect("the engine can be set up");
    assert!(outcome.failures.is_empty(), "{:#?}", outcome.failures);
    assert!(outcome.cases >= 300 && outcome.questions > outcome.cases * 30, "{} cases, {} questions", outcome.cases, outcome.questions);
}
