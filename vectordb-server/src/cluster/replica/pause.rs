//! Letting writes wait for a moment, so that several shards are looked at as they are at the same one.

use std::time::Instant;

use uuid::Uuid;
use vectordb_service::ServiceError;

use super::{Primary, Replica, not_primary, unavailable};

impl Replica {
    /// Lets writes wait, until they are told to [go on](Self::resume) or for so long. Returns when those before have come to an end.
    ///
    /// # Errors
    /// [`Unavailable`](vectordb_service::Fault::Unavailable) when this is not the primary, and when writes take too long to end.
    pub(crate) fn pause(&self, name: Uuid, until: Instant) -> Result<(), ServiceError> {
        let mut inner = self.inner.lock();
        inner.primary.as_mut().ok_or_else(not_primary)?.pauses.insert(name, until);
        if self.wait_as_primary(&mut inner, until, |primary, last| Ok(primary.commit >= last))? {
            return Ok(());
        }
        inner.primary.as_mut().and_then(|primary| primary.pauses.remove(&name));
        Err(unavailable("writes that had begun took too long"))
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
