//! How fast a server answers: so many clients that ask one search after the other.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs, encoded};
use super::failure::Failure;
use super::npy;
use super::output::{count_bar, json as print_json};

/// Vectors that are taken from the collection where no queries are given.
const SAMPLE: u64 = 1000;

#[derive(Debug, clap::Args)]
pub(super) struct Bench {
    /// The collection.
    #[arg(long, value_name = "NAME")]
    collection: String,
    /// Clients that ask at a time, each over a connection of its own.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    clients: u32,
    /// Seconds to measure, after a fifth of them to warm up.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Vectors to search for, an .npy file; some of the collection's own, if nothing is said.
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// The vector to search, where vectors have names.
    #[arg(long, value_name = "NAME")]
    vector: Option<String>,
    /// Points that are asked for.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// A filter, as the API has it.
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// Parameters of the search, as the API has them.
    #[arg(long, value_name = "JSON")]
    params: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// What was measured.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Report {
    clients: u32,
    requests: usize,
    errors: usize,
    queries_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Of the time that requests took, the share that the server took by its own account.
    server_share: f64,
}

/// What one client saw: of each request the seconds it took and those that the server took of them.
#[derive(Debug, Default)]
struct Seen {
    times: Vec<(f64, f64)>,
    errors: usize,
    error: Option<String>,
}

pub(super) fn run(arguments: &Bench) -> Result<(), Failure> {
    let client = arguments.server.client()?;
    let bodies = bodies(arguments, &client)?;
    let path = format!("/collections/{}/points/query", encoded(&arguments.collection));
    // What is wrong with all requests is told at once.
    let _: Value = client.send("POST", &path, &bodies[0])?;
    let length = Duration::from_secs(u64::from(arguments.seconds));
    let begin = Instant::now() + length / 5;
    let end = begin + length;
    let next = AtomicUsize::new(0);
    let bar = count_bar("measuring", u64::from(arguments.seconds));
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let ask = || measured(arguments, &path, &bodies, &next, begin, end);
        let threads: Vec<_> = (0..arguments.clients).map(|_| scope.spawn(ask)).collect();
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(200).min(end - begin));
            bar.set_position(Instant::now().saturating_duration_since(begin).as_secs());
        }
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    bar.finish_and_clear();
    if let Some(error) = seen.iter().find_map(|seen| seen.error.as_ref()) {
        eprintln!("vectordb: {error}");
    }
    let report = report(arguments.clients, seen, length.as_secs_f64());
    if arguments.json {
        print_json(&report);
    } else {
        println!("{} clients, {} requests, {} errors", report.clients, report.requests, report.errors);
        println!("{:.0} queries/s", report.queries_per_second);
        println!("p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms", report.p50_ms, report.p99_ms, report.max_ms);
        println!("{:.0} % of it is the server's own time", report.server_share * 100.0);
    }
    if report.requests == 0 { Err(Failure::new("no request was answered")) } else { Ok(()) }
}

/// Requests to be sent, one for each query.
fn bodies(arguments: &Bench, client: &Client) -> Result<Vec<Vec<u8>>, Failure> {
    let parsed = |name: &str, text: &Option<String>| match text {
        Some(text) => serde_json::from_str(text).map_err(|error| Failure::new(format!("--{name}: {error}"))),
        None => Ok(Value::Null),
    };
    let (filter, params) = (parsed("filter", &arguments.filter)?, parsed("params", &arguments.params)?);
    let queries = match &arguments.queries {
        Some(path) => {
            let mut table = npy::open(path)?;
            (0..table.rows).map(|_| Ok(json!(table.vector()?))).collect::<Result<Vec<_>, Failure>>()?
        }
        None => sample(arguments, client)?,
    };
    if queries.is_empty() {
        return Err(Failure::new("there is nothing to search for"));
    }
    let body = |query| json!({"query": query, "using": arguments.vector, "limit": arguments.limit, "filter": filter, "params": params});
    Ok(queries.into_iter().map(|query| body(query).to_string().into_bytes()).collect())
}

fn sample(arguments: &Bench, client: &Client) -> Result<Vec<Value>, Failure> {
    let selector = arguments.vector.as_ref().map_or(json!(true), |name| json!([name]));
    let path = format!("/collections/{}/points/scroll", encoded(&arguments.collection));
    let mut page: Value = client.call("POST", &path, &json!({"limit": SAMPLE, "with_payload": false, "with_vector": selector}))?;
    let points = page["points"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let vectors = points.into_iter().map(|mut point| match &arguments.vector {
        Some(name) => point["vector"][name].take(),
        None => point["vector"].take(),
    });
    Ok(vectors.filter(|vector| !vector.is_null()).collect())
}

/// One client's work.
fn measured(arguments: &Bench, path: &str, bodies: &[Vec<u8>], next: &AtomicUsize, begin: Instant, end: Instant) -> Seen {
    let mut seen = Seen::default();
    let client = match arguments.server.client() {
        Ok(client) => client,
        Err(error) => return Seen { errors: 1, error: Some(error.to_string()), ..seen },
    };
    while Instant::now() < end {
        let body = &bodies[next.fetch_add(1, Ordering::Relaxed) % bodies.len()];
        let started = Instant::now();
        let answer = client.timed::<Value>("POST", path, body);
        if started < begin {
            continue;
        }
        match answer {
            Ok((_, server)) => seen.times.push((started.elapsed().as_secs_f64(), server)),
            Err(error) => {
                seen.errors += 1;
                seen.error.get_or_insert(error.to_string());
            }
        }
    }
    seen
}

fn report(clients: u32, seen: Vec<Seen>, seconds: f64) -> Report {
    let errors = seen.iter().map(|seen| seen.errors).sum();
    let mut times: Vec<(f64, f64)> = seen.into_iter().flat_map(|seen| seen.times).collect();
    times.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let all: f64 = times.iter().map(|(took, _)| took).sum();
    let server: f64 = times.iter().map(|(_, server)| server).sum();
    let at = |percent: usize| times.get((times.len().saturating_sub(1) * percent).div_ceil(100)).map_or(0.0, |(took, _)| took * 1000.0);
    Report {
        clients,
        requests: times.len(),
        errors,
        queries_per_second: times.len() as f64 / seconds,
        p50_ms: at(50),
        p99_ms: at(99),
        max_ms: at(100),
        server_share: if all > 0.0 { server / all } else { 0.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_all_clients() {
        let times = |range: std::ops::RangeInclusive<u32>| range.map(|n| (f64::from(n) / 1000.0, f64::from(n) / 2000.0)).collect();
        let seen = vec![Seen { times: times(1..=50), errors: 1, error: None }, Seen { times: times(51..=100), errors: 0, error: None }];
        let report = report(2, seen, 4.0);
        assert_eq!((report.requests, report.errors, report.queries_per_second), (100, 1, 25.0));
        assert!((report.p50_ms - 51.0).abs() < 1e-9 && (report.p99_ms - 100.0).abs() < 1e-9, "{report:?}");
        assert!((report.server_share - 0.5).abs() < 1e-9 && (report.max_ms - 100.0).abs() < 1e-9);
        assert_eq!(super::report(1, Vec::new(), 1.0).queries_per_second, 0.0);
    }
}
