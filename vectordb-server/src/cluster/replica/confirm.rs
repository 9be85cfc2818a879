//! Being sure that nobody else is primary.
//!
//! The next primary is one of those that writes wait for, and has refused the old epoch before it takes its first write. So whoever has
//! heard from all of them, in answer to something sent after the question, was the only primary when the question came; what readers see
//! here holds every write that was acknowledged before it.

use std::time::Instant;

use vectordb_service::ServiceError;

use super::{Replica, not_primary, unavailable};

impl Replica {
    /// Returns once it is certain that no other replica had taken a write before this was called.
    ///
    /// # Errors
    /// [`Unavailable`](vectordb_service::Fault::Unavailable) when this is not the primary, when fewer replicas than `least` are in sync, and
    /// when one of them stays silent.
    pub(crate) fn confirm(&self, least: usize, deadline: Instant) -> Result<(), ServiceError> {
        let mut inner = self.inner.lock();
        let primary = inner.primary.as_mut().ok_or_else(not_primary)?;
        primary.questions += 1;
        let question = primary.questions;
        self.tell();
        let is_certain = self.wait_as_primary(&mut inner, deadline, |primary, _| {
            let copies = primary.needed.len() + 1;
            if copies < least {
                return Err(unavailable(format!("{copies} replicas are in sync, and consistency asks for {least}")));
            }
            let heard = primary.counting().all(|member| primary.matched.get(member).is_some_and(|known| known.question >= question));
            Ok(heard && primary.commit >= primary.floor)
        })?;
        let late = || unavailable("not every in-sync replica has said that this node is still the primary");
        if is_certain { Ok(()) } else { Err(late()) }
    }
}
