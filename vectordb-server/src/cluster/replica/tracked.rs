//! Which points are written while a feed brings them to new shards.

use vectordb_core::{Collection, Lsn, PointId, Update};
use vectordb_service::{ServiceError, ShardId, Touched, filters, matching, named};

use super::Replica;

/// Points that were written, for as long as this process has been primary without a break.
pub(super) struct Tracked {
    /// For the feed into these new shards.
    attempt: ShardId,
    /// The last batch before that, about which nothing is known.
    since: Lsn,
    touched: Touched,
}

/// Points that a feed has to bring to new shards.
pub(crate) struct Changed {
    pub(crate) ids: Vec<PointId>,
    /// How many more there are.
    pub(crate) left: usize,
    /// Whether readers see everything that was written.
    pub(crate) is_shown: bool,
}

impl Replica {
    /// From now on notes which points are written, as long as it is primary. The last batch before; none when it is no primary, or
    /// notes them for a later attempt already.
    pub(crate) fn track(&self, attempt: ShardId) -> Option<Lsn> {
        let mut inner = self.inner.lock();
        let since = inner.data.log_position().last;
        let primary = inner.primary.as_mut()?;
        if primary.tracked.as_ref().is_some_and(|tracked| tracked.attempt > attempt) {
            return None;
        }
        primary.tracked = Some(Tracked { attempt, since, touched: Touched::default() });
        Some(since)
    }

    /// Points that were written since they were asked for last, as far as readers see that; none when nobody noted them.
    pub(crate) fn changed(&self, attempt: ShardId, most: usize) -> Option<Changed> {
        let mut inner = self.inner.lock();
        let position = inner.data.log_position();
        let tracked = inner.primary.as_mut()?.tracked.as_mut().filter(|tracked| tracked.attempt == attempt)?;
        let ids = tracked.touched.take(most, position.published);
        Some(Changed { ids, left: tracked.touched.len(), is_shown: position.published == position.last })
    }

    /// Notes nothing any more.
    pub(crate) fn untrack(&self, attempt: ShardId) {
        if let Some(primary) = &mut self.inner.lock().primary {
            primary.tracked.take_if(|tracked| tracked.attempt == attempt);
        }
    }

    /// Has points asked for again.
    pub(crate) fn note_again(&self, attempt: ShardId, ids: Vec<PointId>) {
        let mut inner = self.inner.lock();
        let tracked = inner.primary.as_mut().and_then(|primary| primary.tracked.as_mut());
        if let Some(tracked) = tracked.filter(|tracked| tracked.attempt == attempt) {
            tracked.touched.note(ids, Lsn::ZERO);
        }
    }
}

impl Tracked {
    /// The ids that updates may concern; none while that cannot be said. What a filter holds for when they are applied, it holds for
    /// in what readers see, or an update that they do not see yet has written it, and that is noted.
    pub(super) fn concerned(&self, data: &Collection, updates: &[Update]) -> Result<Option<Vec<PointId>>, ServiceError> {
        let mut ids = named(updates);
        let mut by_filter = filters(updates).peekable();
        if by_filter.peek().is_some() {
            let shown = data.log_position().published;
            if shown < self.since {
                return Ok(None);
            }
            ids.extend(self.touched.hidden(shown));
            for filter in by_filter {
                ids.extend(matching(data, filter)?);
            }
        }
        Ok(Some(ids))
    }
    pub(super) fn note(&mut self, ids: Vec<PointId>, lsn: Lsn) {
        self.touched.note(ids, lsn);
    }
}
