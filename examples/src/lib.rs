//! What the examples share: the sample data and the exact answers to compare with.
//!
//! Nothing here uses the engine, so its answers can be held against it.

pub mod data;
pub mod exact;
pub mod npy;

/// The code in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[derive(Debug)]
pub struct Readme;

#[cfg(test)]
mod tests {
    #[test]
    fn the_readme_shows_the_minimal_example() {
        let readme = include_str!("../../README.md");
        let (_, block) = readme.split_once("```rust,no_run\n").expect("a block of code");
        let (block, _) = block.split_once("```").expect("its end");
        let (_, example) = include_str!("../minimal.rs").split_once("\n\n").expect("a first line of documentation");
        assert_eq!(block, example);
    }
}
