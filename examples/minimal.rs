//! Stores three books and finds the two nearest of those written since 1900.

use vectordb_core::{Database, Point, Result, field};

fn main() -> Result<()> {
    let db = Database::open("books.vdb")?;
    let books = db.collection("books").dim(3).open_or_create()?;
    books.upsert([
        Point::new(1, [0.9, 0.1, 0.2]).with("title", "Dune").with("year", 1965),
        Point::new(2, [0.8, 0.3, 0.1]).with("title", "Solaris").with("year", 1961),
        Point::new(3, [0.9, 0.2, 0.1]).with("title", "The Time Machine").with("year", 1895),
    ])?;
    let modern = field("year").ge(1900);
    for hit in books.search([0.9, 0.2, 0.1]).filter(modern).limit(2).run()? {
        println!("{} {:.3} {:?}", hit.id, hit.score, hit.payload);
    }
    db.close()
}
