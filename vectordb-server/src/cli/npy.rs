//! Tables of numbers as NumPy writes them (NEP 1): a header as text, then the numbers row after row.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::failure::Failure;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest header that is read, in bytes.
const MAX_HEADER_BYTES: usize = 1 << 16;
/// Where numbers begin: a multiple of this.
const ALIGNMENT: usize = 64;
/// Room for the number of rows, which is known at the end.
const ROWS_WIDTH: usize = 20;

/// What numbers are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    F32,
    F64,
    U32,
    I32,
    U64,
    I64,
}

impl Element {
    fn of(descr: &str) -> Option<Self> {
        Some(match descr {
            "<f4" => Self::F32,
            "<f8" => Self::F64,
            "<u4" => Self::U32,
            "<i4" => Self::I32,
            "<u8" => Self::U64,
            "<i8" => Self::I64,
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::U32 | Self::I32 => 4,
            Self::F64 | Self::U64 | Self::I64 => 8,
        }
    }
}

/// A table that is read row by row.
#[derive(Debug)]
pub(super) struct Table<R> {
    reader: R,
    element: Element,
    /// Rows, and numbers in one; one where the table is a list.
    pub(super) rows: u64,
    pub(super) columns: usize,
}

/// Opens a table.
pub(super) fn open(path: &Path) -> Result<Table<BufReader<File>>, Failure> {
    let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
    Table::read(BufReader::with_capacity(1 << 20, file)).map_err(|what| Failure::file(path, &what))
}

impl<R: Read> Table<R> {
    fn read(mut reader: R) -> Result<Self, String> {
        let mut start = [0; 8];
        reader.read_exact(&mut start).map_err(|error| error.to_string())?;
        if &start[..6] != MAGIC {
            return Err("it is no .npy file".to_owned());
        }
        let length = match start[6] {
            1 => number::<2>(&mut reader).map(|bytes| usize::from(u16::from_le_bytes(bytes)))?,
            _ => number::<4>(&mut reader).map(|bytes| usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX))?,
        };
        if length > MAX_HEADER_BYTES {
            return Err(format!("its header has {length} bytes"));
        }
        let mut header = vec![0; length];
        reader.read_exact(&mut header).map_err(|error| error.to_string())?;
        let header = String::from_utf8_lossy(&header);
        let member = |name: &str| header.split_once(&format!("'{name}':")).map(|(_, rest)| rest.trim_start());
        let descr = member("descr").and_then(|rest| rest.split('\'').nth(1)).unwrap_or_default();
        let element = Element::of(descr).ok_or_else(|| format!("its numbers are `{descr}`: expected one of <f4 <f8 <u4 <i4 <u8 <i8"))?;
        if member("fortran_order").is_none_or(|rest| !rest.starts_with("False")) {
            return Err("it is stored column by column".to_owned());
        }
        let shape = member("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')')).map(|(inside, _)| inside).unwrap_or_default();
        let shape: Vec<u64> = shape.split(',').filter_map(|each| each.trim().parse().ok()).collect();
        let (rows, columns) = match shape[..] {
            [rows] => (rows, 1),
            [rows, columns] => (rows, columns),
            _ => return Err(format!("its shape has {} dimensions", shape.len())),
        };
        let columns = usize::try_from(columns).map_err(|error| error.to_string())?;
        Ok(Self { reader, element, rows, columns })
    }

    fn row(&mut self) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; self.columns * self.element.bytes()];
        self.reader.read_exact(&mut bytes).map_err(|error| Failure::new(format!("the table ends early: {error}")))?;
        Ok(bytes)
    }

    /// The next row as a vector.
    pub(super) fn vector(&mut self) -> Result<Vec<f32>, Failure> {
        let row = self.row()?;
        let wide = |bytes: &[u8]| bytes.try_into().map(f64::from_le_bytes).unwrap_or_default();
        match self.element {
            Element::F32 => Ok(row.chunks_exact(4).map(|bytes| bytes.try_into().map(f32::from_le_bytes).unwrap_or_default()).collect()),
            #[expect(clippy::cast_possible_truncation, reason = "vectors have 32 bits")]
            Element::F64 => Ok(row.chunks_exact(8).map(|bytes| wide(bytes) as f32).collect()),
            Element::U32 | Element::I32 | Element::U64 | Element::I64 => Err(Failure::new("vectors are of <f4 or <f8")),
        }
    }

    /// The next row as the number of a point.
    pub(super) fn id(&mut self) -> Result<u64, Failure> {
        let row = self.row()?;
        let negative = || Failure::new("the number of a point is negative");
        match (self.element, self.columns) {
            (Element::U32, 1) => Ok(u64::from(row.try_into().map(u32::from_le_bytes).unwrap_or_default())),
            (Element::U64, 1) => Ok(row.try_into().map(u64::from_le_bytes).unwrap_or_default()),
            (Element::I32, 1) => u64::try_from(row.try_into().map(i32::from_le_bytes).unwrap_or_default()).map_err(|_| negative()),
            (Element::I64, 1) => u64::try_from(row.try_into().map(i64::from_le_bytes).unwrap_or_default()).map_err(|_| negative()),
            _ => Err(Failure::new("numbers of points are a list of whole numbers")),
        }
    }
}

fn number<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).map(|()| bytes).map_err(|error| error.to_string())
}

/// A table of vectors that is being written.
#[derive(Debug)]
pub(super) struct Writer {
    file: BufWriter<File>,
    columns: Option<usize>,
    rows: u64,
}

impl Writer {
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| Failure::file(path, &error))?;
        Ok(Self { file: BufWriter::with_capacity(1 << 20, file), columns: None, rows: 0 })
    }

    /// Adds a row; all are equally long.
    pub(super) fn push(&mut self, row: &[f32]) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::new(error.to_string());
        match self.columns {
            None => {
                self.columns = Some(row.len());
                self.file.write_all(&header(0, row.len())).map_err(failed)?;
            }
            Some(columns) if columns != row.len() => {
                return Err(Failure::new(format!("vectors of {columns} and of {} dimensions do not fit into one table", row.len())));
            }
            Some(_) => {}
        }
        self.rows += 1;
        row.iter().try_for_each(|value| self.file.write_all(&value.to_le_bytes())).map_err(failed)
    }

    /// Writes how many rows there are, and makes all durable.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::new(error.to_string());
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        self.file.write_all(&header(self.rows, self.columns.unwrap_or(0))).map_err(failed)?;
        let file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)
    }
}

/// As long for every number of rows.
fn header(rows: u64, columns: usize) -> Vec<u8> {
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows:>ROWS_WIDTH$}, {columns}), }}");
    let length = (10 + text.len() + 1).next_multiple_of(ALIGNMENT);
    text.extend(std::iter::repeat_n(' ', length - 11 - text.len()));
    text.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(text.into_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.npy");
        let rows = [[1.0, -0.5, 3.25], [0.0, f32::MAX, 1e-20]];
        let mut writer = Writer::create(&path).expect("a file");
        rows.iter().for_each(|row| writer.push(row).expect("a row"));
        assert!(writer.push(&[1.0]).is_err());
        writer.finish().expect("it is written");
        let mut table = open(&path).expect("a table");
        assert_eq!((table.rows, table.columns), (2, 3));
        assert_eq!([table.vector().expect("a row"), table.vector().expect("a row")], rows.map(Vec::from));
        assert!(table.vector().is_err());
        assert_eq!(header(0, 3).len(), header(u64::MAX, 3).len());
        assert_eq!(header(7, 3).len() % ALIGNMENT, 0);
    }

    #[test]
    fn headers_of_numpy_are_understood_and_others_refused() {
        let table = |header: &str, body: &[u8]| {
            let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
            bytes.extend(u16::try_from(header.len()).expect("short").to_le_bytes());
            bytes.extend(header.as_bytes());
            bytes.extend(body);
            Table::read(std::io::Cursor::new(bytes))
        };
        let ids = [1_i64, 2].map(i64::to_le_bytes).concat();
        let mut list = table("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }\n", &ids).expect("a list");
        assert_eq!((list.id().expect("an id"), list.id().expect("an id"), list.id().is_err()), (1, 2, true));
        let mut wide = table("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1), }", &0.5_f64.to_le_bytes()).expect("a table");
        assert_eq!(wide.vector().expect("a row"), [0.5]);
        let mut negative = table("{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }", &(-1_i32).to_le_bytes()).expect("a list");
        assert!(negative.id().is_err());
        for bad in [
            "{'descr': '>f4', 'fortran_order': False, 'shape': (1, 1), }",
            "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }",
            "",
        ] {
            assert!(table(bad, &[0; 64]).is_err(), "{bad}");
        }
        assert!(Table::read(&b"no table"[..]).is_err());
    }
}
