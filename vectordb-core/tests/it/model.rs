//! Random operations against a map, with reopening, maintenance, snapshots and restores in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use vectordb_core::*;

use crate::support::{Random, manual, small_segments};

type Model = BTreeMap<PointId, (Vec<f32>, Payload)>;

const DIM: usize = 4;
const IDS: u64 = 60;

/// Steps of the test; more in a long run.
fn steps() -> u64 {
    std::env::var("VECTORDB_MODEL_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000)
}

fn id(random: &mut Random) -> PointId {
    match random.below(10) {
        0 => PointId::from(uuid::Uuid::from_u128(random.below(IDS / 4).into())),
        1 => PointId::from(format!("name-{}", random.below(IDS / 4))),
        _ => PointId::from(random.below(IDS)),
    }
}

fn payload(random: &mut Random) -> Payload {
    let value = json!({"n": random.below(5), "tag": format!("t{}", random.below(3)), "deep": {"x": random.below(3)}});
    let mut payload = value.as_object().cloned().unwrap_or_default();
    if random.chance(30) {
        payload.remove("tag");
    }
    payload
}

fn has_n(n: u64) -> Filter {
    let key = "n".parse().expect("a path");
    Filter::must([Condition::Field { key, test: FieldTest::Value(MatchValue::Integer(n as i64)) }])
}

fn n_of(payload: &Payload) -> Option<u64> {
    payload.get("n").and_then(Value::as_u64)
}

/// One random operation on both.
fn operate(random: &mut Random, collection: &Collection, model: &mut Model) {
    match random.below(12) {
        0..=4 => {
            let points: Vec<(PointId, Vec<f32>, Payload)> =
                (0..=random.below(3)).map(|_| (id(random), random.vector(DIM), payload(random))).collect();
            let update =
                points.iter().map(|(id, vector, payload)| Point { payload: payload.clone(), ..Point::new(id.clone(), vector.clone()) });
            collection.upsert(update).expect("good points");
            model.extend(points.into_iter().map(|(id, vector, payload)| (id, (vector, payload))));
        }
        5 => {
            let gone = id(random);
            collection.delete(vec![gone.clone()]).expect("deleting works");
            model.remove(&gone);
        }
        6 => {
            let n = random.below(5);
            collection.delete(has_n(n)).expect("deleting works");
            if random.chance(50) {
                model.retain(|_, (_, payload)| n_of(payload) != Some(n));
            } else {
                let keep: Model = std::mem::take(model).into_iter().filter(|(_, (_, payload))| n_of(payload) != Some(n)).collect();
                *model = keep;
            }
        }
        7 => {
            let (target, new) = (id(random), payload(random));
            collection.set_payload(vec![target.clone()], new.clone()).expect("setting works");
            if let Some((_, payload)) = model.get_mut(&target) {
                payload.extend(new);
            }
        }
        8 => {
            let (n, new) = (random.below(5), payload(random));
            collection.apply([Update::OverwritePayload { target: has_n(n).into(), payload: new.clone(), key: None }]).expect("it works");
            model.values_mut().filter(|(_, payload)| n_of(payload) == Some(n)).for_each(|(_, payload)| payload.clone_from(&new));
        }
        9 => {
            let target = id(random);
            collection
                .apply([Update::DeletePayload { target: vec![target.clone()].into(), keys: vec!["tag".parse().expect("a path")] }])
                .expect("it works");
            if let Some((_, payload)) = model.get_mut(&target) {
                payload.remove("tag");
            }
        }
        10 => {
            // A batch whose last operation fails must leave no trace.
            let target = id(random);
            let bad = [Update::Delete(vec![target].into()), Update::upsert([Point::new(1, [f32::NAN; DIM])])];
            collection.apply(bad).expect_err("not a number");
        }
        _ => {
            let (a, vector) = (id(random), random.vector(DIM));
            let n = random.below(5);
            let batch = [
                Update::upsert([Point::new(a.clone(), vector.clone()).with("n", n)]),
                Update::ClearPayload(has_n(n).into()),
                Update::Upsert { points: vec![Point::new(a.clone(), [9.0; DIM])], mode: UpsertMode::InsertOnly, condition: None },
            ];
            collection.apply(batch).expect("a good batch");
            model.insert(a, (vector, json!({"n": n}).as_object().cloned().unwrap_or_default()));
            model.values_mut().filter(|(_, payload)| n_of(payload) == Some(n)).for_each(|(_, payload)| payload.clear());
        }
    }
}

fn check(random: &mut Random, collection: &Collection, model: &Model, step: u64) {
    let mut found = Model::new();
    let mut offset = None;
    loop {
        let request = ScrollRequest { limit: 7, offset, with_vectors: true.into(), ..ScrollRequest::default() };
        let page = collection.scroll(&request).expect("scrolling works");
        for record in page.records {
            let vector = record.vectors.and_then(|vectors| Some(vectors.get("")?.as_dense()?.to_vec()));
            found.insert(record.id, (vector.unwrap_or_default(), record.payload.unwrap_or_default()));
        }
        offset = page.next_offset;
        if offset.is_none() {
            break;
        }
    }
    assert_eq!(&found, model, "step {step}");
    let n = random.below(5);
    let expected = model.values().filter(|(_, payload)| n_of(payload) == Some(n)).count();
    assert_eq!(collection.count(Some(&has_n(n)), true).expect("counting works") as usize, expected, "step {step}");
    let query = random.vector(DIM);
    let hits = collection.search(query.clone()).filter(has_n(n)).limit(5).run().expect("searching works");
    assert_eq!(hits.len(), expected.min(5), "step {step}");
    let mut exact: Vec<f32> = model
        .values()
        .filter(|(_, payload)| n_of(payload) == Some(n))
        .map(|(vector, _)| vector.iter().zip(&query).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt())
        .collect();
    exact.sort_by(f32::total_cmp);
    assert!(hits.iter().zip(&exact).all(|(hit, exact)| (hit.score - exact).abs() < 1e-4), "step {step}");
}

#[test]
fn random_operations_agree_with_a_map() {
    let fs: FsRef = Arc::new(MemFs::default());
    let mut random = Random::new(20_261_123);
    let mut model = Model::new();
    let mut db = manual(Arc::clone(&fs));
    let mut collection = db.create_collection("c", small_segments(DIM, Distance::Euclid)).expect("it is made");
    let mut restores = 0;
    for step in 0..steps() {
        operate(&mut random, &collection, &mut model);
        match random.below(1000) {
            0..=5 => drop(collection.maintain().expect("maintenance works")),
            6..=7 => collection.optimize().expect("optimizing works"),
            8 => {
                let schema = if random.chance(50) { FieldSchema::integer() } else { FieldSchema::keyword() };
                collection.create_index("n", schema).expect("indexing works");
            }
            9 => collection.drop_index("n").expect("dropping works"),
            10..=13 => {
                drop((collection, db));
                db = manual(Arc::clone(&fs));
                collection = db.get("c").expect("it is there");
                check(&mut random, &collection, &model, step);
            }
            14 => {
                let directory = format!("snapshots/{restores}");
                collection.snapshot(&directory).expect("a snapshot is made");
                let restored = db.restore(&format!("r{restores}"), &directory).expect("it is whole");
                check(&mut random, &restored, &model, step);
                drop(restored);
                db.drop_collection(&format!("r{restores}")).expect("it is there");
                fs.remove_dir_all(directory.as_ref()).expect("it is there");
                restores += 1;
            }
            15..=30 => check(&mut random, &collection, &model, step),
            _ => {}
        }
    }
    check(&mut random, &collection, &model, steps());
    collection.verify().expect("all files are whole");
}
