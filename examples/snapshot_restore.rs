//! A snapshot is a directory of hard links: quick to make, small, and a whole collection by itself.

use vectordb_core::{Database, Error, Payload, Point, Result};

fn main() -> Result<()> {
    let directory = tempfile::tempdir().map_err(|error| Error::io("a temporary directory", error))?;
    let db = Database::open(directory.path().join("shop.vdb"))?;
    let wares = db.collection("wares").dim(2).create()?;
    wares.upsert((0..1000u16).map(|n| Point::new(u64::from(n), [f32::from(n) + 1.0, 1.0]).with("price", n)))?;

    let snapshot = directory.path().join("wares.snapshot");
    wares.snapshot(&snapshot)?;

    // A day full of mistakes.
    wares.delete((0..900u64).map(Into::into).collect::<Vec<_>>())?;
    wares.set_payload([950u64], Payload::from_iter([("price".to_owned(), 0.into())]))?;
    println!("after the mistakes: {} wares", wares.count(None, true)?);

    // Restoring checks every file first. It makes a new collection, so that nothing is lost by it.
    let restored = db.restore("wares-of-yesterday", &snapshot)?;
    println!("restored:           {} wares", restored.count(None, true)?);
    for record in restored.get(&[950u64.into()])? {
        println!("number {} costs {:?} again", record.id, record.payload.unwrap_or_default().get("price"));
    }

    // To put it in the old one's place:
    db.drop_collection("wares")?;
    let wares = db.restore("wares", &snapshot)?;
    println!("back in place:      {} wares", wares.count(None, true)?);
    wares.verify()?;
    db.close()
}
