use super::*;
use crate::model::config::{Distance, VectorParams};
use crate::model::vector::Vector;
use crate::storage::mmap::Mmap;
use crate::storage::placed::Placed;
use crate::vectors::{Originals, RowScorer, Rows, Scorer, Space};

struct Data {
    space: Space,
    bytes: Mmap,
    rows: u32,
}

fn random(state: &mut u64) -> f32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
}

fn data(rows: u32, dim: usize, distance: Distance) -> Data {
    let space = Space::of(&VectorParams::new(dim, distance));
    let mut state = 42;
    let bytes: Vec<u8> = (0..rows).flat_map(|_| space.encode(&(0..dim).map(|_| random(&mut state)).collect::<Vec<_>>())).collect();
    Data { space, bytes: Mmap::from(bytes), rows }
}

impl Data {
    fn rows(&self) -> Rows<'_> {
        Rows::Flat { bytes: &self.bytes, stride: self.space.stride() }
    }

    fn graph(&self, m: u32, present: &[u32]) -> Graph {
        self.graph_of(m, present, Extent::Whole(self.rows))
    }

    fn graph_of(&self, m: u32, present: &[u32], extent: Extent<'_>) -> Graph {
        let mut file = Vec::new();
        let control = BuildControl::default();
        let params = GraphParams { m, ef_construct: 100 };
        let set = Originals { space: self.space, rows: self.rows(), groups: None };
        let plan = BuildPlan { params, set: &set, present, extent, seed: 7, reused: None };
        build(plan, &control, &rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads"), &mut |bytes| {
            file.extend_from_slice(bytes);
            Ok(())
        })
        .expect("a build without cancel succeeds");
        Graph::new(Links::open(Placed::from(Mmap::from(file))).expect("what was written opens"))
    }

    fn exact(&self, query: &[f32], keep: impl Fn(u32) -> bool, k: usize) -> Vec<u32> {
        let asked = Vector::from(query);
        let scorer = RowScorer::new(self.space, &asked, self.rows(), None);
        let mut all: Vec<Scored> = (0..self.rows).filter(|&row| keep(row)).map(|row| Scored { score: scorer.score(row), row }).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.into_iter().take(k).map(|hit| hit.row).collect()
    }
}

fn overlap(found: &[Scored], exact: &[u32]) -> usize {
    found.iter().take(exact.len()).filter(|hit| exact.contains(&hit.row)).count()
}

#[test]
fn recall_is_high_for_every_distance() {
    for distance in [Distance::Cosine, Distance::Dot, Distance::Euclid, Distance::Manhattan] {
        let data = data(3000, 16, distance);
        let graph = data.graph(16, &(0..3000).collect::<Vec<_>>());
        let mut state = 9;
        let found: usize = (0..50)
            .map(|_| {
                let query: Vec<f32> = (0..16).map(|_| random(&mut state)).collect();
                overlap(
                    &graph
                        .whole()
                        .expect("one graph")
                        .nearest(&RowScorer::new(data.space, &Vector::from(query.clone()), data.rows(), None), 100, 100, None)
                        .hits,
                    &data.exact(&query, |_| true, 10),
                )
            })
            .sum();
        assert!(found >= 490, "{distance:?}: recall {}", found as f32 / 500.0);
    }
}

#[test]
fn filtered_walks_keep_only_accepted_rows() {
    let data = data(3000, 16, Distance::Euclid);
    let graph = data.graph(16, &(0..3000).collect::<Vec<_>>());
    let mut state = 5;
    for (two_hops, share) in [(true, 5), (true, 2), (false, 2), (false, 20)] {
        let mut found = 0;
        for _ in 0..50 {
            let query: Vec<f32> = (0..16).map(|_| random(&mut state)).collect();
            let asked = Vector::from(query.clone());
            let scorer = RowScorer::new(data.space, &asked, data.rows(), None);
            let filtered = Filtered { accept: &mut |row| row % share == 0, two_hops, most_scored: usize::MAX };
            let outcome = graph.whole().expect("one graph").nearest_accepted(&scorer, 100, filtered);
            assert!(outcome.hits.iter().all(|hit| hit.row % share == 0));
            found += overlap(&outcome.hits, &data.exact(&query, |row| row % share == 0, 10));
        }
        assert!(found >= 470, "two hops {two_hops}, every {share}th: recall {}", found as f32 / 500.0);
    }
}

#[test]
fn a_costly_walk_gives_up() {
    let data = data(2000, 8, Distance::Euclid);
    let graph = data.graph(8, &(0..2000).collect::<Vec<_>>());
    let asked = Vector::from([0.0; 8]);
    let scorer = RowScorer::new(data.space, &asked, data.rows(), None);
    let filtered = Filtered { accept: &mut |_| false, two_hops: false, most_scored: 100 };
    assert!(graph.whole().expect("one graph").nearest_accepted(&scorer, 10, filtered).gave_up);
}

#[test]
fn absent_rows_and_tiny_graphs_work() {
    let data = data(10, 8, Distance::Cosine);
    for present in [vec![], vec![3], vec![2, 9], vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9]] {
        let graph = data.graph(4, &present);
        let asked = Vector::from([0.1; 8]);
        let scorer = RowScorer::new(data.space, &asked, data.rows(), None);
        let mut found: Vec<u32> = graph.whole().expect("one graph").nearest(&scorer, 20, 20, None).hits.iter().map(|hit| hit.row).collect();
        found.sort_unstable();
        assert_eq!(found, present);
    }
}

#[test]
fn a_thousand_equal_vectors_are_all_reachable_enough() {
    let mut data = data(1000, 4, Distance::Euclid);
    data.bytes = Mmap::from(vec![0; data.bytes.len()]);
    let graph = data.graph(16, &(0..1000).collect::<Vec<_>>());
    let asked = Vector::from([1.0; 4]);
    let scorer = RowScorer::new(data.space, &asked, data.rows(), None);
    assert!(graph.whole().expect("one graph").nearest(&scorer, 64, 64, None).hits.len() >= 10);
}

#[test]
fn damaged_layouts_are_refused_or_harmless() {
    assert!(Links::open(Placed::from(Mmap::from(Vec::new()))).is_none());
    assert!(Links::open(Placed::from(Mmap::from(vec![0; 64]))).is_none());
    assert!(Links::open(Placed::from(Mmap::from(vec![0xFF; 4096]))).is_none());
}

#[test]
fn parts_lead_to_their_own_rows_alone() {
    let data = data(3000, 16, Distance::Euclid);
    let parts = [0..1000, 1000..1900, 2000..2001, 2001..2600];
    let graph = data.graph_of(16, &(0..3000).filter(|row| row % 7 != 3).collect::<Vec<_>>(), Extent::Parts(&parts));
    assert!(graph.is_divided() && graph.whole().is_none());
    assert_eq!((graph.rows(), graph.parts().collect::<Vec<_>>()), (2600, parts.to_vec()));
    assert!(graph.part(&(500..1001)).is_none() && graph.part(&(1900..2000)).is_none() && graph.part(&(2600..2601)).is_none());
    for part in parts {
        let walked = graph.part(&part).expect("a part");
        let mut state = 11;
        let found: usize = (0..20)
            .map(|_| {
                let query: Vec<f32> = (0..16).map(|_| random(&mut state)).collect();
                let asked = Vector::from(query.clone());
                let scorer = RowScorer::new(data.space, &asked, data.rows(), None);
                let hits = walked.nearest(&scorer, 100, 100, None).hits;
                assert!(hits.iter().all(|hit| part.contains(&hit.row) && hit.row % 7 != 3));
                let exact = data.exact(&query, |row| part.contains(&row) && row % 7 != 3, 10);
                10 - exact.len() + overlap(&hits, &exact)
            })
            .sum();
        assert!(found >= 196, "{part:?}: recall {}", found as f32 / 200.0);
    }
}
