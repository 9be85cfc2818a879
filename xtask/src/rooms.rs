//! The rooms of the crates and who may see whom.
//!
//! A room is a top module. It may import lower storeys, and rooms to its left on its own storey. The rooms on the ground, in
//! the core `error` and `model`, are one vocabulary and may see each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// The storeys of a crate.
#[derive(Debug, PartialEq)]
pub(crate) struct House {
    /// The crate's directory.
    pub(crate) name: &'static str,
    /// From the ground up, each storey from left to right.
    storeys: &'static [&'static [&'static str]],
}

/// Every crate that has storeys.
pub(crate) const HOUSES: [House; 3] = [
    House {
        name: "vectordb-core",
        storeys: &[
            &["error", "model"],
            &["storage", "distance", "wal", "quantization"],
            &["vectors", "graph", "sparse", "payload", "filter"],
            &["segment"],
            &["sizing", "query", "collection"],
            &["database", "internals", "lib"],
        ],
    },
    House {
        name: "vectordb-server/service",
        storeys: &[
            &["error"],
            &["access", "limits", "digest"],
            &["bucket", "shards", "snapshots", "cluster", "backup", "metrics"],
            &["service"],
            &["rest", "lib"],
        ],
    },
    House {
        name: "vectordb-server",
        storeys: &[
            &["config", "wire", "lane"],
            &["auth", "tls", "trace", "dashboard", "fetch", "buckets", "metrics", "pace", "kubernetes", "cluster"],
            &["http", "grpc"],
            &["server"],
            &["cli"],
            &["lib", "main"],
        ],
    },
];

/// One room seen by another, and where.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Import {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) file: String,
    pub(crate) line: usize,
}

/// Everything a file of a crate imports from other rooms. `file` is relative to `src`.
pub(crate) fn imports(file: &str, source: &Source) -> Vec<Import> {
    let module: Vec<&str> = file.trim_end_matches(".rs").split('/').filter(|&name| name != "mod").collect();
    let room = module.first().copied().unwrap_or("lib");
    let here: &[&str] = if room == "lib" { &[] } else { &module };
    let paths = source.paths();
    let targets = paths.iter().filter_map(|path| Some((path.line, target(here, path)?)));
    targets.filter(|(_, to)| to != room).map(|(line, to)| Import { from: room.to_owned(), to, file: format!("src/{file}"), line }).collect()
}

/// The room a path leads to; `None` for paths that stay in their module or leave the crate.
fn target(here: &[&str], path: &crate::source::Path) -> Option<String> {
    let first = match path.names.first()?.as_str() {
        "crate" => path.names.get(1)?.as_str(),
        "super" => {
            let steps = path.names.iter().take_while(|&name| name == "super").count();
            let depth = here.len() + path.inside.len();
            let Some(left) = depth.checked_sub(steps).filter(|&left| left > 0) else {
                return path.names.get(steps).map(|name| room_or_root(name));
            };
            return here.first().copied().or(path.inside.first().map(String::as_str).filter(|_| left > 0)).map(str::to_owned);
        }
        _ => return None,
    };
    Some(room_or_root(first))
}

/// Modules are named in lower case; anything else at the root of the crate is a re-export of the roof.
fn room_or_root(name: &str) -> String {
    if name.starts_with(|first: char| first.is_lowercase()) { name.to_owned() } else { "lib".to_owned() }
}

impl House {
    /// The house of a crate.
    pub(crate) fn of(name: &str) -> Option<&'static Self> {
        HOUSES.iter().find(|house| house.name == name)
    }

    /// Whether one room may see another; `Err` with the reason when it may not.
    pub(crate) fn allowed(&self, from: &str, to: &str) -> Result<(), String> {
        let place = |room: &str| {
            let storey = self.storeys.iter().position(|rooms| rooms.contains(&room))?;
            Some((storey, self.storeys[storey].iter().position(|&each| each == room)?))
        };
        let Some((from_storey, from_door)) = place(from) else { return Err(format!("`{from}` is not a room of the house")) };
        let Some((to_storey, to_door)) = place(to) else { return Err(format!("`{to}` is not a room of the house")) };
        if to_storey > from_storey {
            return Err(format!("`{from}` (storey {from_storey}) looks up to `{to}` (storey {to_storey})"));
        }
        if to_storey == from_storey && to_storey > 0 && to_door >= from_door {
            return Err(format!("`{from}` looks right to `{to}` on storey {from_storey}"));
        }
        Ok(())
    }

    /// Groups of rooms that see each other, directly or through others. The ground counts as one room.
    pub(crate) fn cycles(&self, imports: &[Import]) -> Vec<Vec<String>> {
        cycles(imports, self.storeys[0])
    }
}

fn cycles(imports: &[Import], lowest: &[&str]) -> Vec<Vec<String>> {
    let ground = |room: &str| if lowest.contains(&room) { "ground".to_owned() } else { room.to_owned() };
    let mut sees: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for import in imports {
        let (from, to) = (ground(&import.from), ground(&import.to));
        if from != to {
            sees.entry(from).or_default().insert(to);
        }
    }
    let reach: BTreeMap<&String, BTreeSet<&String>> = sees.keys().map(|room| (room, reachable(room, &sees))).collect();
    let mut groups: Vec<Vec<String>> = Vec::new();
    for (room, seen) in &reach {
        if seen.contains(room) && !groups.iter().any(|group| group.contains(room)) {
            groups.push(
                seen.iter().filter(|&each| reach.get(each).is_some_and(|back| back.contains(room))).map(|&each| each.clone()).collect(),
            );
        }
    }
    groups
}

fn reachable<'a>(room: &'a String, sees: &'a BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&'a String> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&String> = sees.get(room).into_iter().flatten().collect();
    while let Some(each) = next.pop() {
        if seen.insert(each) {
            next.extend(sees.get(each).into_iter().flatten());
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(file: &str, text: &str) -> Vec<String> {
        imports(file, &Source::parse(text, false)).into_iter().map(|import| import.to).collect()
    }

    #[test]
    fn planted_imports_are_found() {
        assert_eq!(
            seen("graph/search.rs", "use crate::{\n    vectors::Rows,\n    segment::{self, Hit},\n};\n"),
            ["vectors", "segment", "segment"]
        );
        assert_eq!(seen("graph/search.rs", "fn f() { crate::query::execute() }\n"), ["query"]);
        assert_eq!(seen("graph/search.rs", "use super::super::collection::View;\nuse super::links::Links;\n"), ["collection"]);
        assert_eq!(
            seen("graph/mod.rs", "use super::collection::View;\nmod inner { use super::links::Links; use super::super::wal::Lsn; }\n"),
            ["collection", "wal"]
        );
        assert_eq!(seen("graph/mod.rs", "use crate::Error;\nuse crate::*;\n"), ["lib", "lib"]);
        assert_eq!(seen("error.rs", "use crate::model::PointId;\n#[cfg(test)]\nmod tests { use crate::segment::Hit; }\n"), ["model"]);
    }

    #[test]
    fn the_table_is_kept() {
        for (from, to) in [
            ("segment", "graph"),
            ("graph", "vectors"),
            ("collection", "query"),
            ("error", "model"),
            ("model", "error"),
            ("lib", "wal"),
            ("lib", "database"),
        ] {
            assert_eq!(HOUSES[0].allowed(from, to), Ok(()), "{from} may see {to}");
        }
        for (from, to) in [
            ("graph", "segment"),
            ("vectors", "graph"),
            ("query", "collection"),
            ("wal", "lib"),
            ("model", "storage"),
            ("cellar", "error"),
            ("wal", "attic"),
        ] {
            assert!(HOUSES[0].allowed(from, to).is_err(), "{from} may not see {to}");
        }
    }

    #[test]
    fn planted_cycles_are_found_once() {
        let import = |from: &str, to: &str| Import { from: from.into(), to: to.into(), file: String::new(), line: 1 };
        let straight = [import("graph", "vectors"), import("error", "model"), import("model", "error")];
        assert!(HOUSES[0].cycles(&straight).is_empty());
        let round = [import("graph", "wal"), import("wal", "payload"), import("payload", "graph"), import("query", "graph")];
        assert_eq!(HOUSES[0].cycles(&round), [["graph", "payload", "wal"]]);
    }
}
