//! The layout of a frame.
//!
//! ```text
//! 0   u32 body bytes | u32 crc32 of (salt, 0..4, 8..end of body) | u64 lsn | u64 epoch | u64 durable | body | zeros to a multiple of 8
//! ```
//!
//! `durable` is the lsn that was known to be durable when the frame was written. It tells damage from a torn write: frames
//! of one group may reach the disk in any order, so behind a torn frame there may be whole ones, but none that was written
//! after the torn one had become durable.

use crate::error::{Error, Result};
use crate::model::point::Lsn;

pub(super) const FRAME_HEADER_BYTES: usize = 32;
/// Largest body.
const MAX_BODY_BYTES: usize = 1 << 30;

/// A frame of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) lsn: Lsn,
    pub(crate) epoch: u64,
    pub(crate) body: Vec<u8>,
}

/// A frame where it lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawFrame<'a> {
    pub(super) lsn: Lsn,
    pub(super) epoch: u64,
    pub(super) durable: Lsn,
    pub(super) body: &'a [u8],
    /// Bytes of the frame, padding included.
    pub(super) len: usize,
}

/// Appends a frame that is still to be sealed.
pub(super) fn append(buffer: &mut Vec<u8>, lsn: Lsn, epoch: u64, body: &[u8]) -> Result<()> {
    let len = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_BODY_BYTES);
    let Some(len) = len else {
        return Err(Error::LimitExceeded { what: "bytes of a batch", actual: body.len() as u64, limit: MAX_BODY_BYTES as u64 });
    };
    buffer.extend_from_slice(&len.to_le_bytes());
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&lsn.0.to_le_bytes());
    buffer.extend_from_slice(&epoch.to_le_bytes());
    buffer.extend_from_slice(&[0; 8]);
    buffer.extend_from_slice(body);
    buffer.resize(buffer.len().next_multiple_of(8), 0);
    Ok(())
}

/// Completes the frame that begins the bytes, when its group is written.
pub(super) fn seal(bytes: &mut [u8], salt: u64, durable: Lsn) {
    let Some(body_bytes) = bytes.first_chunk().map(|len| u32::from_le_bytes(*len) as usize) else { return };
    bytes[24..32].copy_from_slice(&durable.0.to_le_bytes());
    let crc = checksum(&bytes[..FRAME_HEADER_BYTES + body_bytes], salt);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(frame: &[u8], salt: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&frame[..4]);
    hasher.update(&frame[8..]);
    hasher.finalize()
}

/// The frame that begins the bytes, if a whole one does.
pub(super) fn read(bytes: &[u8], salt: u64) -> Option<RawFrame<'_>> {
    let header: &[u8; FRAME_HEADER_BYTES] = bytes.first_chunk()?;
    let (numbers, _) = header.as_chunks::<8>();
    let u64_at = |index: usize| u64::from_le_bytes(numbers[index]);
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a u64")]
    let (body_bytes, crc) = ((u64_at(0) as u32) as usize, (u64_at(0) >> 32) as u32);
    let body = bytes.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES.checked_add(body_bytes)?)?;
    let len = (FRAME_HEADER_BYTES + body_bytes).next_multiple_of(8);
    let padding = bytes.get(FRAME_HEADER_BYTES + body_bytes..len)?;
    // Lsns begin with 1, so a stretch of zeros is no frame.
    if u64_at(1) == 0 || padding.iter().any(|&byte| byte != 0) || checksum(&bytes[..FRAME_HEADER_BYTES + body_bytes], salt) != crc {
        return None;
    }
    Some(RawFrame { lsn: Lsn(u64_at(1)), epoch: u64_at(2), durable: Lsn(u64_at(3)), body, len })
}

/// Whether the bytes behind a torn place hold a frame that proves `missing` to have been durable.
pub(super) fn proves_durable(bytes: &[u8], salt: u64, missing: Lsn) -> bool {
    (0..bytes.len().saturating_sub(FRAME_HEADER_BYTES)).step_by(8).any(|at| {
        // The lsn is looked at first: checksumming at every place would be quadratic.
        let lsn = bytes[at + 8..].first_chunk().map(|lsn| u64::from_le_bytes(*lsn));
        let likely = lsn.is_some_and(|lsn| lsn > missing.0 && lsn - missing.0 < 1 << 32);
        likely && read(&bytes[at..], salt).is_some_and(|frame| frame.durable >= missing)
    })
}
