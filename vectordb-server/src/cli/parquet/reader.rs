//! Rows of a file as points.

use std::collections::VecDeque;
use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use parquet::basic::{ConvertedType, Repetition};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use serde_json::{Map, Value, json};

use super::super::failure::Failure;
use super::{ID, PAYLOAD, VECTOR};

/// Rows that are read at once.
const ROWS: usize = 1000;
const MICROSECONDS: i64 = 1_000_000;
const SECONDS_OF_A_DAY: i64 = 86_400;

/// A file that is read from its first row to its last.
pub(in super::super) struct Reader {
    file: SerializedFileReader<File>,
    path: PathBuf,
    /// Row groups that were begun.
    groups: usize,
    columns: Vec<Column>,
    /// Rows of the group that are left.
    left: usize,
    ready: VecDeque<String>,
    row: u64,
}

/// A column of a row group.
struct Column {
    name: String,
    reader: ColumnReader,
    /// From this definition level on there are elements, if the column has lists.
    list: Option<i16>,
    present: i16,
    kind: ConvertedType,
}

impl Reader {
    pub(in super::super) fn open(path: &Path) -> Result<Self, Failure> {
        guarded(path, || Self::opened(path))
    }

    fn opened(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
        let file = SerializedFileReader::new(file).map_err(|error| Failure::file(path, &error))?;
        let reader = Self { file, path: path.to_path_buf(), groups: 0, columns: Vec::new(), left: 0, ready: VecDeque::new(), row: 0 };
        let schema = reader.file.metadata().file_metadata().schema_descr_ptr();
        schema.columns().iter().try_for_each(|column| check(column).map_err(|what| Failure::file(path, &what)))?;
        if !schema.columns().iter().any(|column| name_of(column) == ID) {
            return Err(Failure::file(path, &format!("there is no column `{ID}`")));
        }
        Ok(reader)
    }

    /// Rows of the file.
    pub(in super::super) fn rows(&self) -> u64 {
        u64::try_from(self.file.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// The next row, as a point in the JSON form of the API.
    pub(in super::super) fn next(&mut self) -> Result<Option<String>, Failure> {
        while self.ready.is_empty() {
            let path = self.path.clone();
            if self.left > 0 {
                guarded(&path, || self.read())?;
            } else if self.groups < self.file.num_row_groups() {
                guarded(&path, || self.begin().map_err(|error| Failure::file(&path, &error)))?;
            } else {
                return Ok(None);
            }
        }
        Ok(self.ready.pop_front())
    }

    /// Begins the next row group.
    fn begin(&mut self) -> Result<(), ParquetError> {
        let group = self.file.get_row_group(self.groups)?;
        self.groups += 1;
        self.left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        self.columns.clear();
        for (number, column) in group.metadata().schema_descr().columns().iter().enumerate() {
            let is_optional = column.self_type().get_basic_info().repetition() == Repetition::OPTIONAL;
            self.columns.push(Column {
                name: name_of(column).to_owned(),
                reader: group.get_column_reader(number)?,
                list: (column.max_rep_level() > 0).then(|| column.max_def_level() - i16::from(is_optional)),
                present: column.max_def_level(),
                kind: column.converted_type(),
            });
        }
        Ok(())
    }

    /// Reads some rows of the group.
    fn read(&mut self) -> Result<(), Failure> {
        let count = self.left.min(ROWS);
        let mut rows = vec![Map::new(); count];
        for column in &mut self.columns {
            let values = column.read(count).map_err(|what| Failure::file(&self.path, &format!("column `{}`: {what}", column.name)))?;
            if values.len() != count {
                return Err(Failure::file(&self.path, &format!("column `{}` ends early", column.name)));
            }
            for (row, value) in rows.iter_mut().zip(values).filter(|(_, value)| !value.is_null()) {
                row.insert(column.name.clone(), value);
            }
        }
        for row in rows {
            self.row += 1;
            let point = point(row).map_err(|what| Failure::file(&self.path, &format!("row {}: {what}", self.row - 1)))?;
            self.ready.push_back(point.to_string());
        }
        self.left -= count;
        Ok(())
    }
}

/// What reads the format breaks off where it finds some kinds of damage; here that is an error as any other. Nothing is read from a
/// file after that.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Failure::file(path, &"the file is damaged")))
}

fn name_of(column: &ColumnDescriptor) -> &str {
    column.path().parts().first().map_or("", String::as_str)
}

/// Refuses columns that are neither values nor lists of them.
fn check(column: &ColumnDescriptor) -> Result<(), String> {
    let depth = column.path().parts().len();
    if (column.max_rep_level() == 0 && depth == 1) || (column.max_rep_level() == 1 && depth <= 3) {
        return Ok(());
    }
    Err(format!("column `{}` holds neither values nor lists of values", name_of(column)))
}

impl Column {
    fn read(&mut self, count: usize) -> Result<Vec<Value>, String> {
        let (list, present, kind) = (self.list, self.present, self.kind);
        match &mut self.reader {
            ColumnReader::BoolColumnReader(reader) => values(reader, count, list, present, |flag| Ok(json!(*flag))),
            ColumnReader::Int32ColumnReader(reader) => values(reader, count, list, present, |number| whole(i64::from(*number), kind, 32)),
            ColumnReader::Int64ColumnReader(reader) => values(reader, count, list, present, |number| whole(*number, kind, 64)),
            ColumnReader::Int96ColumnReader(_) => Err("times of 96 bits are not read".to_owned()),
            ColumnReader::FloatColumnReader(reader) => values(reader, count, list, present, |number| Ok(json!(*number))),
            ColumnReader::DoubleColumnReader(reader) => values(reader, count, list, present, |number| Ok(json!(*number))),
            ColumnReader::ByteArrayColumnReader(reader) => values(reader, count, list, present, |bytes| text(bytes, kind)),
            ColumnReader::FixedLenByteArrayColumnReader(_) => Err("values of a fixed number of bytes are not read".to_owned()),
        }
    }
}

/// So many values of a column, one for each row; null where there is none.
fn values<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    count: usize,
    list: Option<i16>,
    present: i16,
    value: impl Fn(&T::T) -> Result<Value, String>,
) -> Result<Vec<Value>, String> {
    let (mut levels, mut repeated, mut found) = (Vec::new(), Vec::new(), Vec::new());
    let mut records = 0;
    while records < count {
        let (read, _, _) =
            reader.read_records(count - records, Some(&mut levels), Some(&mut repeated), &mut found).map_err(|error| error.to_string())?;
        if read == 0 {
            break;
        }
        records += read;
    }
    let mut found = found.iter();
    let mut next = || found.next().ok_or_else(|| "values are missing".to_owned()).and_then(&value);
    let Some(list) = list else {
        // Columns that are never null have no levels.
        let is_there = |row: usize| levels.get(row).is_none_or(|level| *level == present);
        return (0..records).map(|row| if is_there(row) { next() } else { Ok(Value::Null) }).collect();
    };
    let mut rows: Vec<Value> = Vec::with_capacity(records);
    for (level, repeats) in levels.iter().zip(&repeated) {
        if *repeats == 0 {
            rows.push(if *level + 1 < list { Value::Null } else { Value::Array(Vec::new()) });
        }
        if *level >= list
            && let Some(Value::Array(elements)) = rows.last_mut()
        {
            elements.push(if *level == present { next()? } else { Value::Null });
        }
    }
    Ok(rows)
}

/// A whole number, or what it stands for.
fn whole(number: i64, kind: ConvertedType, bits: u32) -> Result<Value, String> {
    let moment = |microseconds: Option<i64>| {
        let moment = microseconds.and_then(|number| jiff::Timestamp::from_microsecond(number).ok());
        moment.map(|moment| moment.to_string()).ok_or_else(|| "a time is out of range".to_owned())
    };
    match kind {
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "the bits are those of a number without a sign")]
        ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 if bits == 32 => Ok(json!(number as u32)),
        #[expect(clippy::cast_sign_loss, reason = "the bits are those of a number without a sign")]
        ConvertedType::UINT_64 => Ok(json!(number as u64)),
        ConvertedType::TIMESTAMP_MILLIS => moment(number.checked_mul(1000)).map(Value::String),
        ConvertedType::TIMESTAMP_MICROS => moment(Some(number)).map(Value::String),
        ConvertedType::DATE => {
            let text = moment(number.checked_mul(SECONDS_OF_A_DAY * MICROSECONDS))?;
            Ok(text.split('T').next().unwrap_or_default().into())
        }
        ConvertedType::DECIMAL => Err("decimal numbers are not read".to_owned()),
        _ => Ok(json!(number)),
    }
}

fn text(bytes: &ByteArray, kind: ConvertedType) -> Result<Value, String> {
    if kind == ConvertedType::DECIMAL {
        return Err("decimal numbers are not read".to_owned());
    }
    bytes.as_utf8().map(Value::from).map_err(|error| error.to_string())
}

/// A row as a point: texts that stand for JSON are read, and columns of no meaning are the payload's.
fn point(row: Map<String, Value>) -> Result<Value, String> {
    let (mut point, mut payload, mut vectors) = (Map::new(), Map::new(), Map::new());
    for (name, value) in row {
        if name == ID {
            point.insert(name, id(value));
        } else if name == VECTOR {
            vectors.insert(String::new(), parsed(value)?);
        } else if let Some(vector) = name.strip_prefix("vector.") {
            vectors.insert(vector.to_owned(), parsed(value)?);
        } else if name == PAYLOAD {
            let Value::Object(keys) = parsed(value)? else { return Err("a payload is a JSON object".to_owned()) };
            payload.extend(keys);
        } else {
            payload.insert(name, value);
        }
    }
    if !point.contains_key(ID) {
        return Err("it has no id".to_owned());
    }
    // Alone, the unnamed vector stands for itself; the API wants to be told of none, too.
    let unnamed = if vectors.len() == 1 { vectors.remove("") } else { None };
    point.insert(VECTOR.to_owned(), unnamed.unwrap_or(Value::Object(vectors)));
    if !payload.is_empty() {
        point.insert(PAYLOAD.to_owned(), Value::Object(payload));
    }
    Ok(Value::Object(point))
}

/// Numbers stay what they are also where all ids are texts, because some are.
fn id(value: Value) -> Value {
    let number = value.as_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).and_then(|text| text.parse::<u64>().ok());
    number.map_or(value, Value::from)
}

fn parsed(value: Value) -> Result<Value, String> {
    match value {
        Value::String(text) => serde_json::from_str(&text).map_err(|error| error.to_string()),
        other => Ok(other),
    }
}
