//! Values as bytes. The only file that knows the serializer crate, so that another one can take its place.
//!
//! Only bodies that live in the log go through here; files that are read in place have layouts of their own.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Largest value, in bytes; also what a damaged length field can make a decoder allocate.
const LIMIT: usize = 1 << 30;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<LIMIT>()
}

/// A value as bytes.
///
/// # Errors
/// [`Error::LimitExceeded`] for values of a gigabyte, [`Error::Internal`] for values that serde cannot write.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let bytes = bincode::serde::encode_to_vec(value, config()).map_err(|error| Error::Internal { what: error.to_string() })?;
    if bytes.len() >= LIMIT {
        return Err(Error::LimitExceeded { what: "bytes of a batch", actual: bytes.len() as u64, limit: LIMIT as u64 });
    }
    Ok(bytes)
}

/// A value out of bytes that stood at an offset of a file; all bytes must be used.
///
/// # Errors
/// [`Error::Corrupt`].
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], file: &Path, offset: u64) -> Result<T> {
    match bincode::serde::decode_from_slice(bytes, config()) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        Ok((_, used)) => Err(Error::corrupt(file, offset + used as u64, "bytes behind the end of a record")),
        Err(error) => Err(Error::corrupt(file, offset, error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::point::Point;
    use crate::model::update::Change;

    #[test]
    fn changes_come_back_bit_by_bit() {
        let point = Point::new("a", [1.5f32, -0.0, f32::MIN_POSITIVE]).with("n", 2).with("x", 2.0).with("big", u64::MAX);
        let changes = vec![
            Change::Upsert(vec![point, Point::bare(7)]),
            Change::Delete(vec![uuid::Uuid::from_u128(3).into()]),
            Change::Configure(Box::default()),
        ];
        let bytes = encode(&changes).expect("changes are encodable");
        assert_eq!(decode::<Vec<Change>>(&bytes, Path::new("log"), 0).expect("and decodable"), changes);
        for len in 0..bytes.len() {
            assert!(decode::<Vec<Change>>(&bytes[..len], Path::new("log"), 0).is_err(), "cut to {len}");
        }
    }
}
