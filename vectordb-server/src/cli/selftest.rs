//! Whether a running server does what it is for, tried with a collection of the tool's own that is deleted at the end.

use serde_json::{Value, json};
use uuid::Uuid;
use vectordb_service::SnapshotDescription;

use super::client::{Client, ServerArgs};
use super::failure::Failure;

/// Points that are written.
const POINTS: u64 = 100;

#[derive(Debug, clap::Args)]
pub(super) struct SelfTest {
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(arguments: &SelfTest) -> Result<(), Failure> {
    let client = arguments.server.client()?;
    let path = format!("/collections/selftest-{}", Uuid::new_v4());
    let tried = try_all(&client, &path);
    // What was made goes, however it went.
    let deleted = client.call::<bool>("DELETE", &path, &Value::Null);
    tried?;
    if !deleted? {
        return Err(Failure::new(format!("DELETE {path}: there was nothing to delete")));
    }
    println!("made a collection, wrote, searched, took a snapshot, deleted: all as it should be");
    Ok(())
}

fn try_all(client: &Client, path: &str) -> Result<(), Failure> {
    let _: bool = client.call("PUT", path, &json!({"vectors": {"size": 2, "distance": "Euclid"}}))?;
    let points: Vec<Value> = (0..POINTS).map(|n| json!({"id": n, "vector": [n, 0.5], "payload": {"even": n % 2 == 0}})).collect();
    let _: Value = client.call("PUT", &format!("{path}/points?wait=true"), &json!({"points": points}))?;
    let counted: Value = client.call("POST", &format!("{path}/points/count"), &json!({"exact": true}))?;
    expect("points", &counted["count"], &json!(POINTS))?;
    let even = json!({"must": [{"key": "even", "match": {"value": true}}]});
    let question = json!({"query": [41.2, 0.5], "limit": 1, "filter": even, "with_payload": true});
    let found: Value = client.call("POST", &format!("{path}/points/query"), &question)?;
    // 41 is nearer, but odd.
    expect("the nearest even point", &found["points"][0]["id"], &json!(42))?;
    let snapshots = format!("{path}/snapshots");
    let made: SnapshotDescription = client.call("POST", &snapshots, &Value::Null)?;
    let _: bool = client.call("DELETE", &format!("{snapshots}/{}", made.name), &Value::Null)?;
    Ok(())
}

fn expect(what: &str, found: &Value, expected: &Value) -> Result<(), Failure> {
    if found == expected { Ok(()) } else { Err(Failure::new(format!("{what}: {found}, not {expected}"))) }
}
