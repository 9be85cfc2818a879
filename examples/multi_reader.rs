//! One writer and readers beside it. Readers usually live in other processes; here they are handles of one.

use vectordb_core::{Database, Error, Point, Result};

fn main() -> Result<()> {
    let directory = tempfile::tempdir().map_err(|error| Error::io("a temporary directory", error))?;
    let writer = Database::open(directory.path())?;
    let notes = writer.collection("notes").dim(2).create()?;
    notes.upsert([Point::new(1, [1.0, 0.0])])?;

    // A second writer is turned away, and told by whom.
    match Database::open(directory.path()) {
        Err(error) => println!("second writer: {error}"),
        Ok(_) => println!("second writer: it must not open"),
    }

    // A reader sees the state at which it was opened, whatever the writer does ...
    let reader = Database::open_read_only(directory.path())?;
    let seen = reader.collection("notes").open()?;
    notes.upsert([Point::new(2, [0.0, 1.0])])?;
    println!("reader before refresh: {} point(s)", seen.count(None, true)?);

    // ... until it asks for what is new.
    reader.refresh()?;
    println!("reader after refresh:  {} point(s)", seen.count(None, true)?);
    match seen.upsert([Point::new(3, [1.0, 1.0])]) {
        Err(error) => println!("reader writes: {error}"),
        Ok(_) => println!("reader writes: it must not"),
    }
    reader.close()?;
    writer.close()
}
