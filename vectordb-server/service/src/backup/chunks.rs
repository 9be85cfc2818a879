//! Where files are cut: at places that their content shows, so that bytes put in or taken out move no cut but those near them.
//!
//! The gear hash of FastCDC (Xia et al. 2016): each byte shifts the hash and adds a number of its own, so the upper bits depend
//! on the last 64 bytes. A cut is where some of them are zero: more of them before the usual size is reached, fewer behind.

use std::io::{ErrorKind, Read};

/// Least, usual and largest bytes of a chunk; the last of a file may be smaller.
const MIN: usize = 256 << 10;
const USUAL: usize = 1 << 20;
const MAX: usize = 4 << 20;
/// Upper bits that are zero at a cut, before the usual size and behind it.
const EARLY: u64 = u64::MAX << (64 - 22);
const LATE: u64 = u64::MAX << (64 - 18);

/// A number for each byte, by splitmix64 (Steele et al. 2014). Another table would cut elsewhere, and old chunks were not found again.
const GEAR: [u64; 256] = {
    let mut table = [0; 256];
    let (mut state, mut at) = (0x7665_6374_6f72_6462_u64, 0);
    while at < table.len() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        table[at] = mixed ^ (mixed >> 31);
        at += 1;
    }
    table
};

/// The length of the chunk that these bytes begin with; they are all that is left, or at least [`MAX`].
fn cut(bytes: &[u8]) -> usize {
    let end = bytes.len().min(MAX);
    let mut hash = 0_u64;
    for (at, byte) in bytes[..end].iter().enumerate().skip(MIN) {
        hash = (hash << 1).wrapping_add(GEAR[usize::from(*byte)]);
        if hash & (if at < USUAL { EARLY } else { LATE }) == 0 {
            return at + 1;
        }
    }
    end
}

/// The chunks of what a reader reads, one after the other; an empty file has none.
#[derive(Debug)]
pub(super) struct Chunks<R> {
    reader: R,
    buffer: Vec<u8>,
    ended: bool,
}

impl<R: Read> Chunks<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), ended: false }
    }
}

impl<R: Read> Iterator for Chunks<R> {
    type Item = std::io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended && self.buffer.len() < MAX {
            let want = (MAX - self.buffer.len()) as u64;
            match self.reader.by_ref().take(want).read_to_end(&mut self.buffer) {
                Ok(read) => self.ended = (read as u64) < want,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Some(Err(error)),
            }
        }
        let rest = self.buffer.split_off(cut(&self.buffer));
        let chunk = std::mem::replace(&mut self.buffer, rest);
        (!chunk.is_empty()).then_some(Ok(chunk))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Bytes that look random and are the same each time.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        std::iter::repeat_with(next).flatten().take(length).collect()
    }

    fn chunks(bytes: &[u8]) -> Vec<Vec<u8>> {
        Chunks::new(bytes).collect::<std::io::Result<_>>().expect("nothing fails")
    }

    #[test]
    fn chunks_are_of_bounded_size_and_make_up_the_whole() {
        for length in [0, 1, MIN, MIN + 1, MAX, MAX + 1, 9 << 20] {
            let bytes = noise(length);
            let cut = chunks(&bytes);
            assert_eq!(cut.concat(), bytes, "{length}");
            assert!(cut.iter().rev().skip(1).all(|chunk| (MIN..=MAX).contains(&chunk.len())), "{length}");
            assert!(cut.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= MAX), "{length}");
        }
        // What never shows a cut is cut all the same.
        let zeros = chunks(&vec![0; MAX * 2 + 5]);
        assert_eq!(zeros.iter().map(Vec::len).sum::<usize>(), MAX * 2 + 5);
    }

    #[test]
    fn a_byte_put_in_changes_the_chunks_near_it_alone() {
        let bytes = noise(24 << 20);
        let known: HashSet<Vec<u8>> = chunks(&bytes).into_iter().collect();
        assert!(known.len() > 8, "{} chunks", known.len());
        let mut changed = bytes;
        changed.insert(10 << 20, 7);
        let new: Vec<_> = chunks(&changed).into_iter().filter(|chunk| !known.contains(chunk)).collect();
        assert!((1..=3).contains(&new.len()), "{} of {} chunks are new", new.len(), known.len());
    }
}
