//! Points as rows of a file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};
use serde::Deserialize;
use serde_json::Value;

use super::super::failure::Failure;
use super::{ID, PAYLOAD, VECTOR};

/// Rows of a row group.
const ROWS: usize = 10_000;
/// Definition levels of a list of floats: there is none, or here is an element. Between them is the empty list, which no vector is.
const NO_LIST: i16 = 0;
const ELEMENT: i16 = 2;

/// What a column of vectors holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// Lists of floats.
    Dense,
    /// JSON: sparse vectors, and several vectors of one point.
    Json,
}

/// Values of a column, of one row group.
#[derive(Default)]
struct Column<T> {
    values: Vec<T>,
    levels: Vec<i16>,
    /// 0 where a row begins.
    repeated: Vec<i16>,
}

enum Vectors {
    Dense(Column<f32>),
    Json(Column<ByteArray>),
}

/// A file that is being written.
pub(in super::super) struct Writer {
    file: SerializedFileWriter<File>,
    path: PathBuf,
    ids: Vec<ByteArray>,
    /// By the names of vectors; the unnamed one has none.
    vectors: Vec<(String, Vectors)>,
    payloads: Column<ByteArray>,
}

impl Writer {
    /// Begins a file for points that have these vectors.
    pub(in super::super) fn create(path: &Path, kinds: &[(String, Kind)]) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| Failure::file(path, &error))?;
        let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
        let writer = schema(kinds).and_then(|schema| SerializedFileWriter::new(file, schema, properties));
        let empty = |kind: &Kind| match kind {
            Kind::Dense => Vectors::Dense(Column::default()),
            Kind::Json => Vectors::Json(Column::default()),
        };
        Ok(Self {
            file: writer.map_err(|error| Failure::file(path, &error))?,
            path: path.to_path_buf(),
            ids: Vec::new(),
            vectors: kinds.iter().map(|(name, kind)| (name.clone(), empty(kind))).collect(),
            payloads: Column::default(),
        })
    }

    /// Adds a point as the API has it.
    pub(in super::super) fn push(&mut self, point: &Value) -> Result<(), Failure> {
        let id = match &point[ID] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => return Err(Failure::new(format!("{other} is no id of a point"))),
        };
        // All of them before any is taken, so that columns stay equally long.
        let vector = |name: &str| if name.is_empty() && !point[VECTOR].is_object() { &point[VECTOR] } else { &point[VECTOR][name] };
        let dense = |(name, column): &(String, Vectors)| match column {
            Vectors::Dense(_) => {
                Option::<Vec<f32>>::deserialize(vector(name)).map_err(|error| Failure::new(format!("the point {id}: {error}")))
            }
            Vectors::Json(_) => Ok(None),
        };
        let dense = self.vectors.iter().map(dense).collect::<Result<Vec<_>, _>>()?;
        for ((name, column), dense) in self.vectors.iter_mut().zip(dense) {
            match column {
                Vectors::Dense(column) => column.push_list(dense),
                Vectors::Json(column) => column.push_json(vector(name)),
            }
        }
        self.payloads.push_json(&point[PAYLOAD]);
        self.ids.push(id.as_str().into());
        if self.ids.len() == ROWS { self.write().map_err(|error| Failure::file(&self.path, &error)) } else { Ok(()) }
    }

    /// Writes a row group.
    fn write(&mut self) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        let ids = std::mem::take(&mut self.ids);
        put::<ByteArrayType>(&mut group, &Column { values: ids, ..Column::default() })?;
        for (_, column) in &mut self.vectors {
            match column {
                Vectors::Dense(column) => put::<FloatType>(&mut group, &std::mem::take(column))?,
                Vectors::Json(column) => put::<ByteArrayType>(&mut group, &std::mem::take(column))?,
            }
        }
        put::<ByteArrayType>(&mut group, &std::mem::take(&mut self.payloads))?;
        group.close().map(drop)
    }

    /// Writes what is left, and makes all durable.
    pub(in super::super) fn finish(mut self) -> Result<(), Failure> {
        let path = self.path.clone();
        if !self.ids.is_empty() {
            self.write().map_err(|error| Failure::file(&path, &error))?;
        }
        let file = self.file.into_inner().map_err(|error| Failure::file(&path, &error))?;
        file.sync_all().map_err(|error| Failure::file(&path, &error))
    }
}

impl Column<f32> {
    fn push_list(&mut self, list: Option<Vec<f32>>) {
        let Some(list) = list.filter(|list| !list.is_empty()) else {
            self.levels.push(NO_LIST);
            self.repeated.push(0);
            return;
        };
        self.levels.extend(list.iter().map(|_| ELEMENT));
        self.repeated.extend((0..list.len()).map(|at| i16::from(at > 0)));
        self.values.extend(list);
    }
}

impl Column<ByteArray> {
    fn push_json(&mut self, value: &Value) {
        let is_there = !value.is_null();
        self.levels.push(i16::from(is_there));
        if is_there {
            self.values.push(value.to_string().as_str().into());
        }
    }
}

/// Writes the next column of a row group.
fn put<T: DataType>(group: &mut SerializedRowGroupWriter<'_, File>, column: &Column<T::T>) -> Result<(), ParquetError> {
    let Some(mut writer) = group.next_column()? else { return Err(ParquetError::General("a column is missing".to_owned())) };
    let some = |levels: &'_ Vec<i16>| (!levels.is_empty()).then_some(levels.clone());
    let (levels, repeated) = (some(&column.levels), some(&column.repeated));
    writer.typed::<T>().write_batch(&column.values, levels.as_deref(), repeated.as_deref())?;
    writer.close()
}

fn schema(kinds: &[(String, Kind)]) -> Result<TypePtr, ParquetError> {
    let bytes = |name: &str, repetition, kind| {
        Type::primitive_type_builder(name, Physical::BYTE_ARRAY).with_repetition(repetition).with_converted_type(kind).build().map(Arc::new)
    };
    let mut fields = vec![bytes(ID, Repetition::REQUIRED, ConvertedType::UTF8)?];
    for (name, kind) in kinds {
        let name = if name.is_empty() { VECTOR.to_owned() } else { format!("{VECTOR}.{name}") };
        fields.push(match kind {
            Kind::Dense => list(&name)?,
            Kind::Json => bytes(&name, Repetition::OPTIONAL, ConvertedType::JSON)?,
        });
    }
    fields.push(bytes(PAYLOAD, Repetition::OPTIONAL, ConvertedType::JSON)?);
    Type::group_type_builder("points").with_fields(fields).build().map(Arc::new)
}

/// An optional list of floats.
fn list(name: &str) -> Result<TypePtr, ParquetError> {
    let element = Type::primitive_type_builder("element", Physical::FLOAT).with_repetition(Repetition::REQUIRED).build()?;
    let repeated = Type::group_type_builder("list").with_repetition(Repetition::REPEATED).with_fields(vec![Arc::new(element)]).build()?;
    let list = Type::group_type_builder(name).with_repetition(Repetition::OPTIONAL).with_converted_type(ConvertedType::LIST);
    list.with_fields(vec![Arc::new(repeated)]).build().map(Arc::new)
}
