//! Points in files of Apache Parquet.
//!
//! A point is a row: its `id`; its vectors, `vector` or `vector.NAME` for each name, as lists of floats, or as JSON where a vector is
//! sparse or several; and its payload, as JSON in `payload`. Read are also whole numbers as ids, and other columns as keys of the payload, so
//! that tables of other programs are points when they have an `id` and a `vector`.
//!
//! Files: `reader` and `writer`.

mod reader;
mod writer;

pub(super) use reader::Reader;
pub(super) use writer::{Kind, Writer};

/// The column of ids.
const ID: &str = "id";
/// The column of the unnamed vector; with a dot and a name that of a named one.
const VECTOR: &str = "vector";
/// The column of payloads.
const PAYLOAD: &str = "payload";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(kinds: &[(String, Kind)], points: &[Value]) -> Vec<Value> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("points.parquet");
        let mut writer = Writer::create(&path, kinds).expect("a file");
        points.iter().for_each(|point| writer.push(point).expect("a point"));
        writer.finish().expect("it is written");
        let mut reader = Reader::open(&path).expect("a table");
        assert_eq!(reader.rows(), points.len() as u64);
        let read = std::iter::from_fn(|| reader.next().expect("a row"));
        read.map(|point| serde_json::from_str(&point).expect("JSON")).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let unnamed = [(String::new(), Kind::Dense)];
        let points = [
            json!({"id": 1, "vector": [1.5, -0.25], "payload": {"a": [1, {"b": null}], "text": "ü"}}),
            json!({"id": u64::MAX, "vector": [0.0, 3.0]}),
            json!({"id": "936da01f-9abd-4d9d-80c7-02af85c822a8", "vector": {}, "payload": {"x": 0.1}}),
        ];
        assert_eq!(written(&unnamed, &points), points);
        assert_eq!(written(&unnamed, &[]), [Value::Null; 0]);
        let many: Vec<Value> = (0..25_000).map(|id| json!({"id": id, "vector": [f64::from(id), 0.5]})).collect();
        assert_eq!(written(&unnamed, &many), many);
    }

    #[test]
    fn vectors_of_all_kinds_keep_their_names() {
        let mixed = [(String::new(), Kind::Dense), ("words".to_owned(), Kind::Json)];
        let point = json!({"id": 1, "vector": {"": [1.0], "words": {"indices": [3], "values": [0.5]}}});
        assert_eq!(written(&mixed, std::slice::from_ref(&point)), [point]);
        let kinds = [("a b".to_owned(), Kind::Dense), ("multi".to_owned(), Kind::Json), ("words".to_owned(), Kind::Json)];
        let points = [
            json!({"id": 1, "vector": {"a b": [1.0], "multi": [[1.0, 2.0], [3.0, 4.0]], "words": {"indices": [3], "values": [0.5]}}}),
            json!({"id": 2, "vector": {"words": {"indices": [], "values": []}}}),
            json!({"id": 3, "vector": {}}),
        ];
        assert_eq!(written(&kinds, &points), points);
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("points.parquet");
        assert!(Reader::open(&path).is_err());
        std::fs::write(&path, b"PAR1 and nothing else").expect("a file");
        assert!(Reader::open(&path).is_err());
        let mut writer = Writer::create(&path, &[(String::new(), Kind::Dense)]).expect("a file");
        assert!(writer.push(&json!({"id": 1, "vector": ["a"]})).is_err());
        assert!(writer.push(&json!({"id": [1]})).is_err());
        writer.push(&json!({"id": 1, "vector": [1.0]})).expect("a point");
        writer.finish().expect("it is written");
        let whole = std::fs::read(&path).expect("the file is there");
        // Whatever byte is damaged, what comes is an error or rows, and no panic.
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            std::fs::write(&path, &damaged).expect("a file");
            if let Ok(mut reader) = Reader::open(&path) {
                while let Ok(Some(_)) = reader.next() {}
            }
        }
    }
}
