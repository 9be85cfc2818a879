//! Several vectors a point, each with its own dimensions and distance: what a picture shows and what its caption says.

use vectordb_core::{Database, Distance, Point, Result, VectorParams};

fn main() -> Result<()> {
    let db = Database::in_memory()?;
    let photos = db
        .collection("photos")
        .vector("image", VectorParams::new(4, Distance::Euclid))
        .vector("caption", VectorParams::new(3, Distance::Cosine))
        .create()?;

    // A point may leave vectors out; this one has no caption.
    photos.upsert([
        Point::bare("beach.jpg").vector("image", [0.9, 0.8, 0.1, 0.0]).vector("caption", [1.0, 0.0, 0.2]),
        Point::bare("forest.jpg").vector("image", [0.1, 0.9, 0.2, 0.1]).vector("caption", [0.1, 1.0, 0.0]),
        Point::bare("IMG_0042.jpg").vector("image", [0.8, 0.7, 0.2, 0.1]),
    ])?;

    println!("by image (Euclid: smaller is closer)");
    for hit in photos.search([0.9, 0.8, 0.1, 0.1]).using("image").run()? {
        println!("  {:<14} {:.3}", hit.id.to_string(), hit.score);
    }
    println!("by caption (Cosine: larger is closer)");
    for hit in photos.search([0.9, 0.1, 0.1]).using("caption").run()? {
        println!("  {:<14} {:.3}", hit.id.to_string(), hit.score);
    }

    // The parts that a read asks for, and no others, come back.
    for hit in photos.search([0.1, 0.9, 0.0]).using("caption").limit(1).with_vectors(true).run()? {
        println!("the vectors of {}: {:?}", hit.id, hit.vectors);
    }
    Ok(())
}
