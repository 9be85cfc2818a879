//! Quotas: how much of the node's memory and disk may be taken before additions are refused.
//!
//! A resource that reached its limit stays refused until it has fallen a margin below, so that one that rests at its limit does
//! not let writes through and refuse them in turns.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::error::{Fault, Result, ServiceError};

/// Percentage points below its limit at which a resource is free again, where nothing is said.
const MARGIN_PERCENT: u32 = 2;

/// Limits, each in percent of what there is; what is not said is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Whether the limits hold.
    pub enabled: bool,
    /// Memory of the process, of that of the machine or of its control group, 1 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_resident_memory_percent: Option<u32>,
    /// Of the disk of the data, 1 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_disk_usage_percent: Option<u32>,
    /// Percentage points below a limit at which a resource is free again, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_margin_percent: Option<u32>,
}

impl Quota {
    /// Refuses percentages that are none.
    ///
    /// # Errors
    /// [`Fault::Validation`].
    pub(crate) fn check(&self) -> Result<()> {
        let least_one = [
            ("max_resident_memory_percent", self.max_resident_memory_percent, 1),
            ("max_disk_usage_percent", self.max_disk_usage_percent, 1),
            ("release_margin_percent", self.release_margin_percent, 0),
        ];
        for (field, percent, least) in least_one {
            if let Some(percent) = percent.filter(|percent| !(least..=100).contains(percent)) {
                return Err(ServiceError::validation(field, format!("value {percent} invalid, must be from {least} to 100")));
            }
        }
        Ok(())
    }
}

/// What is taken, in percent; nothing where the operating system does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct QuotaUsage {
    /// Memory of the process.
    pub resident_memory_percent: Option<u32>,
    /// The disk of the data.
    pub disk_usage_percent: Option<u32>,
}

/// The quota and what it refuses now.
#[derive(Debug, Default)]
pub(crate) struct QuotaGate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    quota: Quota,
    memory: bool,
    disk: bool,
}

impl QuotaGate {
    pub(crate) fn new(quota: Quota) -> Self {
        Self(Mutex::new(State { quota, memory: false, disk: false }))
    }

    pub(crate) fn quota(&self) -> Quota {
        self.0.lock().quota.clone()
    }

    /// Another quota, which begins with nothing refused.
    pub(crate) fn replace(&self, quota: Quota) {
        *self.0.lock() = State { quota, memory: false, disk: false };
    }

    /// Refuses additions over the limits; `usage` is looked up only where there are any.
    ///
    /// # Errors
    /// [`Fault::OutOfSpace`] naming the limit.
    pub(crate) fn admit(&self, usage: impl FnOnce() -> QuotaUsage) -> Result<()> {
        let mut state = self.0.lock();
        let Quota { enabled, max_resident_memory_percent, max_disk_usage_percent, release_margin_percent } = state.quota.clone();
        if !enabled {
            return Ok(());
        }
        let usage = usage();
        let margin = release_margin_percent.unwrap_or(MARGIN_PERCENT);
        let over = |was_over: bool, used: Option<u32>, limit: Option<u32>| match (used, limit) {
            (Some(used), Some(limit)) if was_over => used > limit.saturating_sub(margin),
            (Some(used), Some(limit)) => used >= limit,
            _ => false,
        };
        state.memory = over(state.memory, usage.resident_memory_percent, max_resident_memory_percent);
        state.disk = over(state.disk, usage.disk_usage_percent, max_disk_usage_percent);
        let (what, used, limit, name) = match (state.disk, state.memory) {
            (true, _) => ("the disk", usage.disk_usage_percent, max_disk_usage_percent, "max_disk_usage_percent"),
            (_, true) => ("memory", usage.resident_memory_percent, max_resident_memory_percent, "max_resident_memory_percent"),
            (false, false) => return Ok(()),
        };
        let (used, limit) = (used.unwrap_or_default(), limit.unwrap_or_default());
        let message = format!("{used} % of {what} are taken, the quota is {limit} % ({name}); deletions and reads go on");
        Err(ServiceError::new(Fault::OutOfSpace, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reached_its_limit_is_free_again_a_margin_below() {
        let gate = QuotaGate::default();
        let disk = |percent| gate.admit(|| QuotaUsage { disk_usage_percent: Some(percent), ..QuotaUsage::default() });
        assert!(disk(100).is_ok(), "nothing is limited");
        let quota = Quota { max_disk_usage_percent: Some(80), release_margin_percent: Some(5), ..Quota::default() };
        gate.replace(quota.clone());
        assert!(disk(100).is_ok(), "it is not enabled");
        gate.replace(Quota { enabled: true, ..quota });
        let passes: Vec<bool> = [79, 80, 79, 76, 75, 79, 80].into_iter().map(|percent| disk(percent).is_ok()).collect();
        assert_eq!(passes, [true, false, false, false, true, true, false]);
        let error = disk(90).expect_err("it is over");
        assert!(error.fault == Fault::OutOfSpace && error.message.contains("max_disk_usage_percent"), "{error}");
        assert!(gate.admit(QuotaUsage::default).is_ok(), "what cannot be measured refuses nothing");
    }

    #[test]
    fn percentages_are_checked() {
        for percent in [0, 101] {
            let quota = Quota { max_resident_memory_percent: Some(percent), ..Quota::default() };
            assert_eq!(quota.check().expect_err("no percentage").fault, Fault::Validation);
        }
        assert!(Quota { release_margin_percent: Some(0), ..Quota::default() }.check().is_ok());
    }
}
