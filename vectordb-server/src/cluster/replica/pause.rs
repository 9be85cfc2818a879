//! Letting writes wait for a moment, so that several shards are looked at as they are at the same one.

use std::time::Instant;

use uuid::Uuid;
use vectordb_service::ServiceError;

use super::{Primary, Replica, unavailable};

impl Replica {
    /// Lets writes wait, until they are told to [go on](Self::resume) or for so long. Returns when those before have come to an end.
    ///
    /// # Errors
    /// [`Unavailable`](vectordb_service::Fault::Unavailable) when this is not the primary, and when writes take too long to end.
    pub(crate) fn pause(&self, name: Uuid, until: Instant) -> Result<(), ServiceError> {
        let mut inner = self.inner.lock();
        let epoch = inner.kept.epoch;
        let not_primary = || unavailable("this node is not the primary");
        inner.primary.as_mut().ok_or_else(not_primary)?.pauses.insert(name, until);
        loop {
            let (kept, last) = (inner.kept.epoch, inner.data.log_position().last);
            let primary = inner.primary.as_mut().filter(|_| kept == epoch).ok_or_else(not_primary)?;
            if primary.commit >= last {
                return Ok(());
            }
            if self.moved.wait_until(&mut inner, until).timed_out() {
                inner.primary.as_mut().and_then(|primary| primary.pauses.remove(&name));
                return Err(unavailable("writes that had begun took too long"));
            }
        }
    }

    /// Lets writes go on.
    ///
    /// # Errors
    /// [`Unavailable`](vectordb_service::Fault::Unavailable) when they may have gone on before.
    pub(crate) fn resume(&self, name: Uuid) -> Result<(), ServiceError> {
        let mut inner = self.inner.lock();
        let until = inner.primary.as_mut().and_then(|primary| primary.pauses.remove(&name));
        match until {
            Some(until) if Instant::now() < until => Ok(()),
            _ => Err(unavailable("writes went on before they were told to")),
        }
    }
}

impl Primary {
    pub(super) fn is_paused(&mut self, now: Instant) -> bool {
        self.pauses.retain(|_, until| now < *until);
        !self.pauses.is_empty()
    }
}
