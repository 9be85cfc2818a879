//! Quotas of the node.

use super::Service;
use crate::access::Access;
use crate::error::Result;
use crate::limits::{Quota, QuotaUsage};
use crate::metrics::{disk, memory};

impl Service {
    /// The quota, and what is taken of what it limits.
    ///
    /// # Errors
    /// [`Fault::Forbidden`](crate::Fault::Forbidden) for who may not read everything.
    pub fn quota(&self, access: &Access) -> Result<(Quota, QuotaUsage)> {
        access.check_global_read()?;
        Ok((self.quota.quota(), self.quota_usage()))
    }

    /// Sets the quota, which is kept.
    ///
    /// # Errors
    /// [`Fault::Forbidden`](crate::Fault::Forbidden), [`Fault::Validation`](crate::Fault::Validation), and those of the disk.
    pub fn set_quota(&self, quota: Quota, access: &Access) -> Result<()> {
        access.check_manage()?;
        quota.check()?;
        let mut catalog = self.catalog.lock();
        let mut entries = catalog.entries.clone();
        entries.quota = quota.clone();
        catalog.replace(entries)?;
        self.quota.replace(quota);
        Ok(())
    }

    /// Refuses additions over the quota.
    ///
    /// # Errors
    /// [`Fault::OutOfSpace`](crate::Fault::OutOfSpace).
    pub(super) fn check_quota(&self) -> Result<()> {
        self.quota.admit(|| self.quota_usage())
    }

    fn quota_usage(&self) -> QuotaUsage {
        let percent = |part: u64, whole: u64| u32::try_from((u128::from(part) * 100).checked_div(whole.into())?).ok();
        QuotaUsage {
            resident_memory_percent: memory().and_then(|(resident, machine)| percent(resident, machine)),
            disk_usage_percent: self.directory().and_then(disk).and_then(|(free, total)| percent(total.saturating_sub(free), total)),
        }
    }
}
