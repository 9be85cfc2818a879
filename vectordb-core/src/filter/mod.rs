//! Filters over rows: the truth of one row, what the indexes know of all of them, and which way a search should take.
//!
//! Files: `check` (one row; the oracle of everything else), `estimate` (candidates from the payload indexes), `plan` (scan,
//! walk over matching rows, or walk over all).

pub(crate) mod check;
pub(crate) mod estimate;
pub(crate) mod plan;
mod sip;
