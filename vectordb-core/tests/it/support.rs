//! What the tests share.

use vectordb_core::{Background, CollectionConfig, Database, Distance, FsRef, Options};

/// A small random number generator, so that a failing test can be repeated from its seed.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A number from -1 to 1.
    pub(crate) fn float(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub(crate) fn vector(&mut self, dim: usize) -> Vec<f32> {
        (0..dim).map(|_| self.float()).collect()
    }
}

/// A database without background work.
pub(crate) fn manual(fs: FsRef) -> Database {
    Database::open_with("db", Options::default().fs(fs).background(Background::Manual).threads(2)).expect("the database opens")
}

/// Settings under which a few hundred points already get a graph.
pub(crate) fn small_segments(dim: usize, distance: Distance) -> CollectionConfig {
    let mut config = CollectionConfig::unnamed(dim, distance);
    config.optimizers_config.indexing_threshold = Some(1);
    config.optimizers_config.vacuum_min_vector_number = 100;
    config.hnsw_config.full_scan_threshold = 0;
    config.hnsw_config.m = 8;
    config.hnsw_config.ef_construct = 32;
    config
}
