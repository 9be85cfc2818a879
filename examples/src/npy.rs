//! Reads the one kind of numpy file the sample data needs: a C-ordered matrix of float16 or float32.

use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use half::f16;

/// Rows of numbers, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Numbers in a row.
    pub dim: usize,
    /// All rows, one after another.
    pub values: Vec<f32>,
}

impl Matrix {
    /// One row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dim..(index + 1) * self.dim]
    }

    /// All rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dim)
    }

    /// Scales every row to length 1; rows of zeros stay as they are.
    pub fn normalise(&mut self) {
        for row in self.values.chunks_exact_mut(self.dim) {
            let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
            if length > 0.0 {
                row.iter_mut().for_each(|value| *value /= length);
            }
        }
    }
}

/// Reads a file.
///
/// # Errors
/// What the file system says, and `InvalidData` for a file of another kind.
pub fn read(path: &Path) -> Result<Matrix> {
    parse(&std::fs::read(path)?).ok_or_else(|| {
        Error::new(ErrorKind::InvalidData, format!("{}: not a C-ordered float16 or float32 matrix of numpy", path.display()))
    })
}

/// What stands before the numbers of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Element type as numpy writes it: `<f4`, `<f2`, `<i4`.
    pub kind: String,
    /// Rows.
    pub rows: usize,
    /// Numbers in a row; 1 for a list of numbers.
    pub dim: usize,
    /// Where the numbers begin.
    pub start: usize,
}

/// Reads the header: magic, version, length of the header, header (a Python dict as text), numbers.
pub fn header(bytes: &[u8]) -> Option<Header> {
    let (version, rest) = bytes.strip_prefix(b"\x93NUMPY")?.split_at_checked(2)?;
    let (len, before): (usize, usize) = match version[0] {
        1 => (usize::from(u16::from_le_bytes(rest.get(..2)?.try_into().ok()?)), 10),
        2 | 3 => (usize::try_from(u32::from_le_bytes(rest.get(..4)?.try_into().ok()?)).ok()?, 12),
        _ => return None,
    };
    let header = std::str::from_utf8(bytes.get(before..before.checked_add(len)?)?).ok()?;
    if !header.contains("'fortran_order': False") {
        return None;
    }
    let (_, kind) = header.split_once("'descr': '")?;
    let (_, shape) = header.split_once("'shape': (")?;
    let (rows, dim) = shape.split_once(')')?.0.split_once(',')?;
    let dim = if dim.trim().is_empty() { 1 } else { dim.trim().parse().ok()? };
    let kind = kind.split_once('\'')?.0.to_owned();
    (dim > 0).then_some(Header { kind, rows: rows.trim().parse().ok()?, dim, start: before + len })
}

fn parse(bytes: &[u8]) -> Option<Matrix> {
    let Header { kind, rows, dim, start } = header(bytes)?;
    let numbers = bytes.get(start..)?;
    let values: Vec<f32> = match kind.as_str() {
        "<f2" => numbers.as_chunks::<2>().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
        "<f4" => numbers.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        _ => return None,
    };
    (rows.checked_mul(dim) == Some(values.len())).then_some(Matrix { dim, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(kind: &str, order: &str, numbers: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': (2, 3), }}\n");
        let len = u16::try_from(header.len()).expect("a short header");
        [b"\x93NUMPY\x01\x00", &len.to_le_bytes()[..], header.as_bytes(), numbers].concat()
    }

    #[test]
    fn both_widths_are_read() {
        let values = [1.0, -2.0, 0.5, 3.0, 0.0, -4.0];
        let wide: Vec<u8> = values.iter().flat_map(|value: &f32| value.to_le_bytes()).collect();
        let narrow: Vec<u8> = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
        let matrix = parse(&file("<f4", "False", &wide)).expect("float32");
        assert_eq!((matrix.dim, matrix.row(1)), (3, &values[3..]));
        assert_eq!(parse(&file("<f2", "False", &narrow)), Some(matrix));
    }

    #[test]
    fn other_files_are_refused() {
        for bytes in [file("<f4", "True", &[0; 24]), file("<f8", "False", &[0; 48]), file("<f4", "False", &[0; 20]), b"PK".to_vec()] {
            assert_eq!(parse(&bytes), None);
        }
    }

    #[test]
    fn normalised_rows_have_length_one() {
        let mut matrix = Matrix { dim: 2, values: vec![3.0, 4.0, 0.0, 0.0] };
        matrix.normalise();
        assert_eq!(matrix.values, [0.6, 0.8, 0.0, 0.0]);
    }
}
