//! What a collection will take, by the same arithmetic as the engine's.

use serde_json::{Value, json};
use vectordb_core::FieldSchema;
use vectordb_core::sizing::{ComponentSize, IndexedField, SizeEstimate, Workload, estimate};
use vectordb_service::rest;

use super::failure::Failure;
use super::output::{json as print_json, size};

#[derive(Debug, clap::Args)]
pub(super) struct Size {
    /// Points, as in 250000, 10M or 2G.
    #[arg(long, value_name = "N", value_parser = number)]
    points: u64,
    /// Dimensions of a vector.
    #[arg(long, value_name = "N", required_unless_present = "config")]
    dim: Option<u32>,
    /// Cosine, Dot, Euclid or Manhattan.
    #[arg(long, value_name = "NAME", default_value = "Cosine")]
    distance: String,
    /// float32, float16 or uint8.
    #[arg(long, value_name = "NAME", default_value = "float32")]
    datatype: String,
    /// default, off, scalar, binary or product.
    #[arg(long, value_name = "NAME", default_value = "default")]
    quantization: String,
    /// Connections of a point in the graph.
    #[arg(long, value_name = "N", default_value_t = 16)]
    m: u32,
    /// Bytes of a payload as JSON, on average.
    #[arg(long, value_name = "N", default_value_t = 0)]
    payload_bytes: u64,
    /// Bytes of an id, where ids are texts or UUIDs (16).
    #[arg(long, value_name = "N", default_value_t = 0)]
    id_bytes: u64,
    /// An indexed field, its number of different values and the bytes of one, as in keyword:1000:12; may be given several times.
    #[arg(long = "index", value_name = "KIND[:DISTINCT[:BYTES]]", value_parser = index)]
    indexes: Vec<IndexedField>,
    /// Copies of every point.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    replicas: u32,
    /// Nodes among which all copies are spread evenly.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    nodes: u32,
    /// The whole configuration as JSON, as it is given when a collection is made, instead of the flags for it.
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
    /// Print the estimate of one copy as JSON.
    #[arg(long)]
    json: bool,
}

/// A number that may end with k, M or G, which stand for powers of 1000.
fn number(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1_000),
        Some((at, 'M' | 'm')) => (&text[..at], 1_000_000),
        Some((at, 'G' | 'g')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    let number: u64 = digits.parse().map_err(|_| format!("expected a number as 250000, 10M or 2G, not `{text}`"))?;
    number.checked_mul(unit).ok_or_else(|| format!("`{text}` is too large"))
}

fn index(text: &str) -> Result<IndexedField, String> {
    let mut parts = text.split(':');
    let kind = parts.next().unwrap_or_default();
    let schema: FieldSchema = rest::field_schema(Some(json!(kind))).map_err(|error| error.message)?;
    let distinct = parts.next().map_or(Ok(1000), number)?;
    let bytes = parts.next().map_or(Ok(8), number)?;
    if parts.next().is_some() {
        return Err(format!("expected KIND:DISTINCT:BYTES, not `{text}`"));
    }
    Ok(IndexedField::new(schema, distinct, bytes))
}

pub(super) fn run(arguments: &Size) -> Result<(), Failure> {
    let body: Value = match &arguments.config {
        Some(json) => serde_json::from_str(json).map_err(|error| Failure::new(format!("--config: {error}")))?,
        None => config(arguments)?,
    };
    let (config, _) = rest::collection_config(body)?;
    config.validate()?;
    let work = Workload {
        points: arguments.points,
        payload_bytes: arguments.payload_bytes,
        id_bytes: arguments.id_bytes,
        indexed: arguments.indexes.clone(),
    };
    let estimated = estimate(&config, &work);
    if arguments.json {
        print_json(&estimated);
    } else {
        print(&estimated, arguments);
    }
    Ok(())
}

/// The flags as the body of a request that makes a collection.
fn config(arguments: &Size) -> Result<Value, Failure> {
    let vectors = json!({"size": arguments.dim, "distance": arguments.distance, "datatype": arguments.datatype});
    let mut body = json!({"vectors": vectors, "hnsw_config": {"m": arguments.m}});
    let quantization = match arguments.quantization.as_str() {
        "default" => return Ok(body),
        "off" => json!("off"),
        "scalar" => json!({"scalar": {"type": "int8"}}),
        "binary" => json!({"binary": {}}),
        "product" => json!({"product": {"compression": "x16"}}),
        other => return Err(Failure::new(format!("unknown quantization `{other}`: expected default, off, scalar, binary or product"))),
    };
    body["quantization_config"] = quantization;
    Ok(body)
}

fn print(estimated: &SizeEstimate, arguments: &Size) {
    println!("{:<16} {:>12} {:>12} {:>12}", "one copy", "memory", "mapped", "disk");
    let parts: [(&str, &ComponentSize); 6] = [
        ("vectors", &estimated.vectors),
        ("codes", &estimated.codes),
        ("graph", &estimated.graph),
        ("payload", &estimated.payload),
        ("payload indexes", &estimated.payload_indexes),
        ("ids", &estimated.ids),
    ];
    for (name, part) in parts {
        row(name, part.anonymous_bytes, part.mapped_bytes, part.disk_bytes);
    }
    row("all", estimated.resident_bytes, estimated.mapped_bytes, estimated.disk_bytes);
    let (copies, nodes) = (u64::from(arguments.replicas), u64::from(arguments.nodes));
    if copies > 1 || nodes > 1 {
        let each = |bytes: u64| (bytes * copies).div_ceil(nodes);
        row("each node", each(estimated.resident_bytes), each(estimated.mapped_bytes), each(estimated.disk_bytes));
    }
    println!("memory is taken however little is asked; mapped files are in memory as far as they are used and there is room;");
    println!("while data comes in, the log and what is being indexed take more for a while");
}

fn row(name: &str, memory: u64, mapped: u64, disk: u64) {
    println!("{name:<16} {:>12} {:>12} {:>12}", size(memory), size(mapped), size(disk));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        assert_eq!(
            (number("250000"), number("10M"), number("2G"), number("3k")),
            (Ok(250_000), Ok(10_000_000), Ok(2_000_000_000), Ok(3_000))
        );
        for bad in ["", "M", "1.5M", "x", "99999999999999999999", "99999999999999999G"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn indexed_fields_are_read() {
        let field = index("keyword:50:12").expect("a field");
        assert_eq!((field.distinct, field.value_bytes), (50, 12));
        assert_eq!(index("integer").expect("a field").distinct, 1000);
        for bad in ["", "nothing", "keyword:x", "keyword:1:2:3"] {
            assert!(index(bad).is_err(), "{bad}");
        }
    }
}
