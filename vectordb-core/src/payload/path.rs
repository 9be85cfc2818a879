//! Values of a path, and changes at one.

use crate::error::Result;
use crate::model::payload::{PathStep, Payload, PayloadPath, Value};
use crate::model::point::PayloadSelector;

/// Gives every value a path leads to. A missing key leads to nothing; an array at the end is given as it is.
pub(crate) fn visit<'a>(payload: &'a Payload, path: &PayloadPath, found: &mut dyn FnMut(&'a Value)) {
    if let Some((PathStep::Key(key), rest)) = path.steps().split_first()
        && let Some(value) = payload.get(key)
    {
        descend(value, rest, found);
    }
}

/// Gives every value that steps lead to from a value.
pub(crate) fn descend<'a>(value: &'a Value, steps: &[PathStep], found: &mut dyn FnMut(&'a Value)) {
    let Some((step, rest)) = steps.split_first() else { return found(value) };
    match (step, value) {
        (PathStep::Key(key), Value::Object(map)) => {
            if let Some(value) = map.get(key) {
                descend(value, rest, found);
            }
        }
        (PathStep::Each, Value::Array(items)) => items.iter().for_each(|item| descend(item, rest, found)),
        (PathStep::Index(index), Value::Array(items)) => {
            if let Some(item) = items.get(*index) {
                descend(item, rest, found);
            }
        }
        _ => {}
    }
}

/// Gives a value, or the elements of an array.
pub(crate) fn each<'a>(value: &'a Value, found: &mut dyn FnMut(&'a Value)) {
    match value {
        Value::Array(items) => items.iter().for_each(found),
        value => found(value),
    }
}

/// Changes every place a path leads to. Missing keys are made, and what is no object on the way to a key becomes one;
/// elements of arrays are never made.
fn change(payload: &mut Payload, path: &PayloadPath, edit: &mut dyn FnMut(&mut Value)) {
    if let Some((PathStep::Key(key), rest)) = path.steps().split_first() {
        change_value(payload.entry(key.clone()).or_insert(Value::Null), rest, edit);
    }
}

fn change_value(value: &mut Value, steps: &[PathStep], edit: &mut dyn FnMut(&mut Value)) {
    let Some((step, rest)) = steps.split_first() else { return edit(value) };
    match step {
        PathStep::Key(key) => {
            if !value.is_object() {
                *value = Value::Object(Payload::new());
            }
            if let Value::Object(map) = value {
                change_value(map.entry(key.clone()).or_insert(Value::Null), rest, edit);
            }
        }
        PathStep::Each => {
            if !value.is_array() {
                *value = Value::Array(Vec::new());
            }
            if let Value::Array(items) = value {
                items.iter_mut().for_each(|item| change_value(item, rest, edit));
            }
        }
        PathStep::Index(index) => {
            if let Value::Array(items) = value
                && let Some(item) = items.get_mut(*index)
            {
                change_value(item, rest, edit);
            }
        }
    }
}

/// Merges keys into the object at a path; anything else there is replaced.
pub(crate) fn set(payload: &mut Payload, path: &PayloadPath, new: Payload) {
    change(payload, path, &mut |value| match value {
        Value::Object(map) => merge(map, new.clone()),
        value => {
            let mut map = Payload::new();
            merge(&mut map, new.clone());
            *value = Value::Object(map);
        }
    });
}

/// Lays the members of one object over those of another; null takes a member away.
pub(crate) fn merge(old: &mut Payload, new: Payload) {
    for (key, value) in new {
        if value.is_null() {
            old.remove(&key);
        } else {
            old.insert(key, value);
        }
    }
}

/// Replaces the value at a path.
pub(crate) fn overwrite(payload: &mut Payload, path: &PayloadPath, new: Payload) {
    change(payload, path, &mut |value| *value = Value::Object(new.clone()));
}

/// Removes the values at a path: keys go, and so do array elements that `[i]` names; `[]` at the end empties the array.
pub(crate) fn delete(payload: &mut Payload, path: &PayloadPath) {
    if let Some((PathStep::Key(key), rest)) = path.steps().split_first() {
        if rest.is_empty() {
            payload.remove(key);
        } else if let Some(value) = payload.get_mut(key) {
            delete_in(value, rest);
        }
    }
}

fn delete_in(value: &mut Value, steps: &[PathStep]) {
    let Some((step, rest)) = steps.split_first() else { return };
    match (step, value) {
        (PathStep::Key(key), Value::Object(map)) => {
            if rest.is_empty() {
                map.remove(key);
            } else if let Some(value) = map.get_mut(key) {
                delete_in(value, rest);
            }
        }
        (PathStep::Each, Value::Array(items)) => {
            if rest.is_empty() {
                items.clear();
            } else {
                items.iter_mut().for_each(|item| delete_in(item, rest));
            }
        }
        (PathStep::Index(index), Value::Array(items)) => {
            if rest.is_empty() && *index < items.len() {
                items.remove(*index);
            } else if let Some(item) = items.get_mut(*index) {
                delete_in(item, rest);
            }
        }
        _ => {}
    }
}

/// The part of a payload that a selector asks for; nesting is kept.
///
/// # Errors
/// [`Error::InvalidPayload`](crate::Error::InvalidPayload) for a bad path.
pub(crate) fn select(payload: &Payload, selector: &PayloadSelector) -> Result<Payload> {
    match selector {
        PayloadSelector::None => Ok(Payload::new()),
        PayloadSelector::All => Ok(payload.clone()),
        PayloadSelector::Exclude(paths) => {
            let mut rest = payload.clone();
            for path in paths {
                delete(&mut rest, &PayloadPath::parse(path)?);
            }
            Ok(rest)
        }
        PayloadSelector::Include(paths) => {
            let paths = paths.iter().map(|path| PayloadPath::parse(path)).collect::<Result<Vec<_>>>()?;
            let steps: Vec<&[PathStep]> = paths.iter().map(PayloadPath::steps).collect();
            Ok(include(payload, &steps))
        }
    }
}

fn include(map: &Payload, paths: &[&[PathStep]]) -> Payload {
    let mut kept = Payload::new();
    for (key, value) in map {
        let inner: Vec<&[PathStep]> = paths
            .iter()
            .filter_map(|path| match path.split_first() {
                Some((PathStep::Key(step), rest)) if step == key => Some(rest),
                _ => None,
            })
            .collect();
        if let Some(value) = include_value(value, &inner) {
            kept.insert(key.clone(), value);
        }
    }
    kept
}

/// The part of a value that the rests of paths lead to.
fn include_value(value: &Value, paths: &[&[PathStep]]) -> Option<Value> {
    if paths.iter().any(|path| path.is_empty()) {
        return Some(value.clone());
    }
    match value {
        Value::Object(map) if !paths.is_empty() => {
            let kept = include(map, paths);
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) if !paths.is_empty() => {
            let kept: Vec<Value> = items
                .iter()
                .enumerate()
                .filter_map(|(index, item)| {
                    let inner: Vec<&[PathStep]> = paths
                        .iter()
                        .filter_map(|path| match path.split_first() {
                            Some((PathStep::Each, rest)) => Some(rest),
                            Some((PathStep::Index(step), rest)) if *step == index => Some(rest),
                            _ => None,
                        })
                        .collect();
                    include_value(item, &inner)
                })
                .collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload(value: Value) -> Payload {
        value.as_object().cloned().unwrap_or_default()
    }

    fn path(text: &str) -> PayloadPath {
        text.parse().expect("a good path")
    }

    #[test]
    fn paths_lead_to_values() {
        let payload = payload(json!({"a": {"b": [1, {"c": 2}, {"c": 3}]}, "x.y": 4, "n": [[5, 6], [7]]}));
        let cases = [
            ("a.b", json!([[1, {"c": 2}, {"c": 3}]])),
            ("a.b[]", json!([1, {"c": 2}, {"c": 3}])),
            ("a.b[].c", json!([2, 3])),
            ("a.b[1].c", json!([2])),
            ("a.b[9]", json!([])),
            ("\"x.y\"", json!([4])),
            ("x.y", json!([])),
            ("n[][]", json!([5, 6, 7])),
            ("n[0][1]", json!([6])),
            ("a.b.c", json!([])),
        ];
        for (text, expected) in cases {
            let mut found = Vec::new();
            visit(&payload, &path(text), &mut |value| found.push(value.clone()));
            assert_eq!(Value::Array(found), expected, "{text}");
        }
    }

    #[test]
    fn changes_happen_where_the_path_leads() {
        let start = payload(json!({"a": {"b": 1}, "list": [{"c": 1}, {"c": 2}]}));
        let new = payload(json!({"z": 9}));
        let check = |edit: &dyn Fn(&mut Payload), expected: Value| {
            let mut changed = start.clone();
            edit(&mut changed);
            assert_eq!(Value::Object(changed), expected);
        };
        check(&|p| set(p, &path("a"), new.clone()), json!({"a": {"b": 1, "z": 9}, "list": [{"c": 1}, {"c": 2}]}));
        check(&|p| set(p, &path("a.b"), new.clone()), json!({"a": {"b": {"z": 9}}, "list": [{"c": 1}, {"c": 2}]}));
        check(&|p| set(p, &path("q.r"), new.clone()), json!({"a": {"b": 1}, "list": [{"c": 1}, {"c": 2}], "q": {"r": {"z": 9}}}));
        check(&|p| set(p, &path("list[]"), new.clone()), json!({"a": {"b": 1}, "list": [{"c": 1, "z": 9}, {"c": 2, "z": 9}]}));
        check(&|p| overwrite(p, &path("a"), new.clone()), json!({"a": {"z": 9}, "list": [{"c": 1}, {"c": 2}]}));
        check(&|p| delete(p, &path("a.b")), json!({"a": {}, "list": [{"c": 1}, {"c": 2}]}));
        check(&|p| delete(p, &path("list[].c")), json!({"a": {"b": 1}, "list": [{}, {}]}));
        check(&|p| delete(p, &path("list[0]")), json!({"a": {"b": 1}, "list": [{"c": 2}]}));
        check(&|p| delete(p, &path("nope.x")), Value::Object(start.clone()));
    }

    #[test]
    fn selectors_keep_the_nesting() {
        let start = payload(json!({"a": {"b": 1, "c": 2}, "list": [{"x": 1, "y": 2}, {"x": 3}], "z": 0}));
        let pick = |paths: &[&str]| {
            let paths = paths.iter().map(ToString::to_string).collect();
            Value::Object(select(&start, &PayloadSelector::Include(paths)).expect("good paths"))
        };
        assert_eq!(pick(&["a.b", "z"]), json!({"a": {"b": 1}, "z": 0}));
        assert_eq!(pick(&["list[].x"]), json!({"list": [{"x": 1}, {"x": 3}]}));
        assert_eq!(pick(&["nope"]), json!({}));
        let rest = select(&start, &PayloadSelector::Exclude(vec!["a.b".into(), "list[].x".into()])).expect("good paths");
        assert_eq!(Value::Object(rest), json!({"a": {"c": 2}, "list": [{"y": 2}, {}], "z": 0}));
        assert!(select(&start, &PayloadSelector::Include(vec!["a[".into()])).is_err());
    }
}
