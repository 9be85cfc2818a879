//! Queries of all kinds in the wire's form, and what they should find.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use vectordb_core::{
    Condition, FacetRequest, Filter, GroupsRequest, MatrixRequest, Prefetch, Query, QueryRequest, ScoredPoint, ScrollRequest, SearchParams,
    Strategy,
};

use super::answer::{ExpectedGroup, Ranking, wrong_groups, wrong_pairs};
use super::places::{CollectionFile, Place, UNUSED, places};
use super::{Outcome, Result, read_cases};

/// A candidate list that every point fits into.
const WIDE: usize = 1000;

/// A case of a data file. The request is JSON in the wire's form; the form of the answer depends on what is asked.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    ask: Ask,
    request: String,
    answer: String,
    /// Points that may stand where a hit of equal score stands, as JSON.
    or: Option<String>,
}

/// What is asked, and the form of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ask {
    /// `[[id, score], ...]`, best first.
    Query,
    /// `[[id, value], ...]` of a query by a field or by id, in exactly this order.
    Ordered,
    /// All points that match, of which the answer is some.
    Sample,
    /// `[{"id": value, "hits": [[id, score], ...], "lookup": payload}, ...]`
    Groups,
    /// `[[value, count], ...]`
    Facet,
    /// `[[id, neighbour, score], ...]`
    Matrix,
    /// A number.
    Count,
    /// `[id, ..., {"next": id}]`
    Scroll,
}

/// The points and cases of queries.
#[derive(Debug)]
pub struct Queries {
    collections: Vec<CollectionFile>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct PointFile {
    collection: Vec<CollectionFile>,
}

impl Queries {
    /// Reads `points.toml` and the cases of all other files of a directory.
    ///
    /// # Errors
    /// Files that cannot be read or parsed.
    pub fn read(directory: &Path) -> Result<Self> {
        let points: PointFile = toml::from_str(&std::fs::read_to_string(directory.join("points.toml"))?)?;
        let named = |(file, case): (String, Case)| Case { name: format!("{file}: {}", case.name), ..case };
        Ok(Self { collections: points.collection, cases: read_cases(directory)?.into_iter().map(named).collect() })
    }

    /// Asks every case in every way.
    ///
    /// # Errors
    /// When the engine cannot be set up, or a case cannot be understood; wrong answers are part of the outcome.
    pub fn run(&self, progress: &dyn Fn()) -> Result<Outcome> {
        let mut outcome = Outcome { cases: self.cases.len(), ..Outcome::default() };
        let places = places(&self.collections)?;
        for case in &self.cases {
            let question = Question::read(case).map_err(|error| format!("{}: {error}", case.name))?;
            // Segments without a graph that are not small have no part in these.
            let needs_graph = case.request.contains("\"indexed_only\": true");
            for place in places.iter().filter(|place| !needs_graph || !place.graphs || place.only_graphs) {
                for &way in question.ways(place) {
                    let wrong = question.wrong(place, way).unwrap_or_else(|error| Some(error.to_string()));
                    outcome.asked(&case.name, format!("{}{}, {}", question.kind(), way.name(), place.name), wrong);
                }
            }
            progress();
        }
        Ok(outcome)
    }
}

/// How the same question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    AsItIs,
    Exact,
    /// By this strategy, with room for every point.
    By(Strategy),
    /// By codes, of which all hits are scored again.
    Rescored,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::AsItIs => "",
            Self::Exact => ", exact",
            Self::By(Strategy::Scan) => ", scan",
            Self::By(Strategy::FilteredGraph) => ", filtered graph",
            Self::By(_) => ", graph",
            Self::Rescored => ", rescored",
        }
    }

    fn set(self, params: &mut SearchParams) {
        match self {
            Self::AsItIs => {}
            Self::Exact => params.exact = true,
            Self::By(strategy) => {
                params.hnsw_ef = Some(WIDE);
                params.strategy = Some(strategy);
            }
            Self::Rescored => {
                params.hnsw_ef = Some(WIDE);
                params.quantization.rescore = Some(true);
                params.quantization.oversampling = Some(WIDE as f64);
            }
        }
    }

    fn ask(self, request: &QueryRequest) -> QueryRequest {
        let mut request = request.clone();
        self.set(&mut request.params);
        if request.prefetch.is_empty() {
            self.narrow(&mut request.filter);
        }
        request.prefetch.iter_mut().for_each(|inner| self.prefetch(inner));
        request
    }

    fn prefetch(self, prefetch: &mut Prefetch) {
        self.set(&mut prefetch.params);
        if prefetch.prefetch.is_empty() {
            self.narrow(&mut prefetch.filter);
        }
        prefetch.prefetch.iter_mut().for_each(|inner| self.prefetch(inner));
    }

    /// Strategies are those of filtered searches, so there must be a filter: one that every point satisfies.
    fn narrow(self, filter: &mut Option<Filter>) {
        if let Self::By(_) = self {
            filter.get_or_insert_default().must_not.push(Condition::HasId(UNUSED.map(Into::into).collect()));
        }
    }
}

/// A case, understood.
enum Question {
    Query(QueryRequest, Ranking),
    Ordered(QueryRequest, Vec<(Value, Value)>),
    Sample(QueryRequest, HashSet<String>),
    Groups(Box<GroupsRequest>, Vec<ExpectedGroup>),
    Facet(FacetRequest, Vec<(Value, u64)>),
    Matrix(MatrixRequest, Vec<(Value, Value, f64)>),
    Count(Option<Filter>, u64),
    Scroll(Box<ScrollRequest>, Vec<Value>),
}

impl Question {
    fn read(case: &Case) -> Result<Self> {
        let request: Value = serde_json::from_str(&case.request)?;
        let answer: Value = serde_json::from_str(&case.answer)?;
        let or = case.or.as_deref().map(serde_json::from_str::<Vec<Value>>).transpose()?.unwrap_or_default();
        Ok(match case.ask {
            Ask::Query => Self::Query(QueryRequest::from_json(&request)?, Ranking::read(&answer, or)?),
            Ask::Ordered => Self::Ordered(QueryRequest::from_json(&request)?, serde_json::from_value(answer)?),
            Ask::Sample => {
                let ids: Vec<Value> = serde_json::from_value(answer)?;
                Self::Sample(QueryRequest::from_json(&request)?, ids.iter().map(Value::to_string).collect())
            }
            Ask::Groups => {
                let groups: Vec<Value> = serde_json::from_value(answer)?;
                let groups = groups.iter().map(ExpectedGroup::read).collect::<Result<_>>()?;
                Self::Groups(Box::new(GroupsRequest::from_json(&request)?), groups)
            }
            Ask::Facet => Self::Facet(FacetRequest::from_json(&request)?, serde_json::from_value(answer)?),
            Ask::Matrix => Self::Matrix(MatrixRequest::from_json(&request)?, serde_json::from_value(answer)?),
            Ask::Count => Self::Count(QueryRequest::from_json(&request)?.filter, serde_json::from_value(answer)?),
            Ask::Scroll => Self::Scroll(Box::new(scroll_request(&request)?), serde_json::from_value(answer)?),
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Query(..) => "query",
            Self::Ordered(..) => "ordered query",
            Self::Sample(..) => "sample",
            Self::Groups(..) => "groups",
            Self::Facet(..) => "facet",
            Self::Matrix(..) => "matrix",
            Self::Count(..) => "count of a query's filter",
            Self::Scroll(..) => "one page",
        }
    }

    /// The ways that should all find the same in a place.
    fn ways(&self, place: &Place) -> &'static [Way] {
        match self {
            Self::Query(..) | Self::Groups(..) | Self::Ordered(..) if place.codes => &[Way::Exact, Way::Rescored],
            // A walk over the few points of one group alone does not lead to all of them; the planner scans these.
            Self::Groups(..) if place.graphs => &[Way::AsItIs, Way::Exact, Way::By(Strategy::Scan), Way::By(Strategy::Graph)],
            Self::Query(..) | Self::Ordered(..) if place.graphs => {
                &[Way::AsItIs, Way::Exact, Way::By(Strategy::Scan), Way::By(Strategy::FilteredGraph), Way::By(Strategy::Graph)]
            }
            Self::Query(..) | Self::Groups(..) | Self::Ordered(..) => &[Way::AsItIs, Way::Exact],
            Self::Sample(..) | Self::Facet(..) | Self::Matrix(..) | Self::Count(..) | Self::Scroll(..) => &[Way::AsItIs],
        }
    }

    /// What is wrong with the answer of a place.
    fn wrong(&self, place: &Place, way: Way) -> Result<Option<String>> {
        let collection = &place.collection;
        Ok(match self {
            Self::Query(request, expected) => expected.wrong(&collection.query_points(&way.ask(request))?),
            Self::Ordered(request, expected) => wrong_order(expected, &collection.query_points(&way.ask(request))?),
            Self::Sample(request, allowed) => wrong_sample(allowed, request.limit, &collection.query_points(request)?),
            Self::Groups(request, expected) => {
                let request = GroupsRequest { query: way.ask(&request.query), ..(**request).clone() };
                wrong_groups(expected, &collection.groups(&request)?)
            }
            Self::Facet(request, expected) => {
                let found: Vec<(Value, u64)> = collection.facet(request)?.into_iter().map(|hit| (hit.value, hit.count)).collect();
                differs(expected, &found)
            }
            Self::Matrix(request, expected) => {
                let matrix = collection.distance_matrix(request)?;
                let found: Vec<_> = matrix.pairs().map(|(a, b, score)| (json!(a), json!(b), f64::from(score))).collect();
                wrong_pairs(expected, &found)
            }
            Self::Count(filter, expected) => differs(expected, &collection.count(filter.as_ref(), true)?),
            Self::Scroll(request, expected) => {
                let page = collection.scroll(request)?;
                let mut found: Vec<Value> = page.records.iter().map(|record| json!(record.id)).collect();
                found.push(json!({"next": page.next_offset}));
                differs(expected, &found)
            }
        })
    }
}

fn scroll_request(json: &Value) -> Result<ScrollRequest> {
    let query = QueryRequest::from_json(&json!({"query": {"order_by": json.get("order_by").unwrap_or(&json!("none"))}}))?.query;
    let order = if let Some(Query::OrderBy(order)) = query { Some(order) } else { None };
    let offset = json.get("offset").cloned().map(serde_json::from_value).transpose()?;
    let filter = json.get("filter").map(Filter::from_json).transpose()?;
    let limit = serde_json::from_value(json["limit"].clone())?;
    Ok(ScrollRequest { filter, limit, offset, order_by: order.filter(|_| json.get("order_by").is_some()), ..ScrollRequest::default() })
}

fn differs<T: PartialEq + std::fmt::Debug + ?Sized>(expected: &T, found: &T) -> Option<String> {
    (expected != found).then(|| format!("{found:?} instead of {expected:?}"))
}

/// The same points in the same order, and numbers with the values they are ordered by.
fn wrong_order(expected: &[(Value, Value)], found: &[ScoredPoint]) -> Option<String> {
    let same = |(hit, (id, value)): (&ScoredPoint, &(Value, Value))| {
        let own = hit.order_value.as_ref().and_then(Value::as_f64);
        json!(hit.id) == *id && (!value.is_number() || own == value.as_f64())
    };
    let same = found.len() == expected.len() && found.iter().zip(expected).all(same);
    (!same).then(|| format!("{:?} instead of {expected:?}", found.iter().map(|hit| (&hit.id, &hit.order_value)).collect::<Vec<_>>()))
}

/// As many as asked for, all of them allowed, each once.
fn wrong_sample(allowed: &HashSet<String>, limit: usize, found: &[ScoredPoint]) -> Option<String> {
    let ids: HashSet<String> = found.iter().map(|hit| json!(hit.id).to_string()).collect();
    let fine = found.len() == limit.min(allowed.len()) && ids.len() == found.len() && ids.is_subset(allowed);
    (!fine).then(|| format!("{ids:?} are no {limit} of {allowed:?}"))
}

#[cfg(test)]
mod tests {
    use vectordb_core::{SegmentInfo, SegmentKind};

    use super::*;

    #[test]
    fn every_place_is_in_the_state_it_is_named_for() {
        let queries = Queries::read(&super::super::directory().join("queries")).expect("the files are whole");
        for place in places(&queries.collections).expect("the engine can be set up") {
            let segments = place.collection.info().expect("the collection is open").segments;
            let filled: Vec<&SegmentInfo> = segments.iter().filter(|segment| segment.rows > 0).collect();
            let sealed = filled.iter().filter(|segment| segment.kind == SegmentKind::Sealed).count();
            let graphs = filled.iter().filter(|segment| segment.indexed && segment.kind == SegmentKind::Sealed).count();
            let dead: u64 = filled.iter().map(|segment| segment.deleted).sum();
            let growing = filled.len() - sealed;
            let expected = match place.name.trim_end_matches(", indexed") {
                "growing" => (1, 0, 0),
                "sealed" => (0, 1, 0),
                "several graphs" => (0, 3, 3),
                "mixed" | "restored" | "reopened" | "read-only" => (1, 1, 1),
                _ => (0, 1, 1),
            };
            assert_eq!((growing, sealed, graphs), expected, "{}: {segments:?}", place.name);
            let some_are_dead = sealed == 3 || growing == 1 && sealed == 1;
            assert_eq!(dead > 0, some_are_dead, "{}: {segments:?}", place.name);
        }
    }
}
