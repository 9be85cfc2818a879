//! What a reader holds: the segments and the configuration at one moment.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::model::config::CollectionConfig;
use crate::model::point::Lsn;
use crate::query::Reading;
use crate::segment::{Growing, Sealed, Segment};

/// A growing segment that takes no more writes.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    pub(crate) segment: Arc<Growing>,
    /// Last lsn it may hold.
    pub(crate) last: Lsn,
    /// The configuration at that lsn.
    pub(crate) config: Arc<CollectionConfig>,
}

/// The segments of a collection. A view never changes; a job or a schema change makes a new one.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) sealed: Vec<Arc<Sealed>>,
    /// Full growing segments that wait to be sealed, oldest first.
    pub(crate) frozen: Vec<Frozen>,
    pub(crate) growing: Arc<Growing>,
    pub(crate) config: Arc<CollectionConfig>,
    /// Lowest lsn that this view shows completely: rows dead at it may have been dropped.
    pub(crate) floor: Lsn,
}

impl View {
    /// All segments, newest first, so that a look-up by id ends early for fresh points.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &dyn Segment> {
        let growing: &dyn Segment = &*self.growing;
        let frozen = self.frozen.iter().rev().map(|frozen| &*frozen.segment as &dyn Segment);
        let sealed = self.sealed.iter().rev().map(|segment| &**segment as &dyn Segment);
        std::iter::once(growing).chain(frozen).chain(sealed)
    }

    /// The view at an lsn, for the query room.
    pub(crate) fn reading(&self, at: Lsn) -> Reading<'_> {
        Reading { segments: self.segments().collect(), config: &self.config, at, account: None, expired: None, wake: None }
    }
}

/// The current view; loading it takes no lock.
#[derive(Debug)]
pub(super) struct ViewCell(ArcSwap<View>);

impl ViewCell {
    pub(super) fn new(view: View) -> Self {
        Self(ArcSwap::from_pointee(view))
    }

    pub(super) fn load(&self) -> Arc<View> {
        self.0.load_full()
    }

    /// Replaces the view. Only the holder of the writer lock may.
    pub(super) fn store(&self, view: View) {
        self.0.store(Arc::new(view));
    }
}
