//! What time it is.

use std::fmt;
use std::sync::Arc;

use crate::model::payload::DateTime;

/// Tells the time.
///
/// ```
/// use vectordb_core::{Clock, DateTime};
/// let stopped = Clock::new(|| DateTime(0));
/// assert_eq!(stopped.now(), DateTime(0));
/// assert!(Clock::default().now() > DateTime(0));
/// ```
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime + Send + Sync>);

impl Clock {
    /// A clock of one's own, as tests need it.
    pub fn new(now: impl Fn() -> DateTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The moment it shows.
    pub fn now(&self) -> DateTime {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(|| DateTime(jiff::Timestamp::now().as_microsecond()))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}
