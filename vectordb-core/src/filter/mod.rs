//! STUB
pub(crate) mod check;
pub(crate) mod estimate;
pub(crate) mod plan;
