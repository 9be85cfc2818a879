//! What goes on with snapshots.

/// What goes on with the snapshots of a collection, and what was done since the service was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnapshotActivity {
    /// Snapshots that are being made.
    pub creating: u64,
    /// Recoveries that are under way.
    pub recovering: u64,
    /// Snapshots that were made.
    pub created: u64,
}
