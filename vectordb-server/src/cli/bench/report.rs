//! What was measured, in numbers.

use serde::Serialize;

/// What one side of a measurement took for a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Took {
    /// Seconds until the answer was there.
    pub(super) secs: f64,
    /// Seconds of them that the side that answered took by its own account.
    pub(super) own_secs: f64,
}

/// What one client saw of one side.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) times: Vec<Took>,
    pub(super) errors: usize,
    pub(super) error: Option<String>,
}

/// Requests in numbers.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub(super) struct Figures {
    pub(super) requests: usize,
    pub(super) errors: usize,
    /// Queries, or points that were stored.
    pub(super) per_second: f64,
    pub(super) mean_ms: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    /// Of the time that requests took, the share that the server took by its own account.
    pub(super) server_share: f64,
}

impl Figures {
    /// Figures of what all clients saw in so many seconds; every request counts for `each`.
    pub(super) fn of(seen: Vec<Seen>, seconds: f64, each: f64) -> Self {
        let errors = seen.iter().map(|seen| seen.errors).sum();
        let mut times: Vec<Took> = seen.into_iter().flat_map(|seen| seen.times).collect();
        times.sort_unstable_by(|a, b| a.secs.total_cmp(&b.secs));
        let all: f64 = times.iter().map(|took| took.secs).sum();
        let own: f64 = times.iter().map(|took| took.own_secs).sum();
        let at = |percent: usize| times.get((times.len().saturating_sub(1) * percent).div_ceil(100)).map_or(0.0, |took| took.secs * 1000.0);
        let count = times.len() as f64;
        Self {
            requests: times.len(),
            errors,
            per_second: if seconds > 0.0 { count * each / seconds } else { 0.0 },
            mean_ms: if times.is_empty() { 0.0 } else { all * 1000.0 / count },
            p50_ms: at(50),
            p99_ms: at(99),
            max_ms: at(100),
            server_share: if all > 0.0 { own / all } else { 0.0 },
        }
    }
}

/// The whole of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// `rest` or `grpc`.
    pub(super) door: &'static str,
    pub(super) clients: u32,
    /// Of the server.
    #[serde(flatten)]
    pub(super) server: Figures,
    /// Of the engine in this process, asked the same of the same data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) engine: Option<Figures>,
    /// By what share of the engine's median the server's is longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) added_share: Option<f64>,
}

impl Report {
    pub(super) fn new(door: &'static str, clients: u32, server: Figures, engine: Option<Figures>) -> Self {
        let added = |engine: &Figures| (engine.p50_ms > 0.0).then(|| server.p50_ms / engine.p50_ms - 1.0);
        Self { door, clients, added_share: engine.as_ref().and_then(added), server, engine }
    }

    /// The same for people; `what` is counted by the second.
    pub(super) fn print(&self, what: &str) {
        let Self { door, clients, server, .. } = self;
        println!("{door}, {clients} clients, {} requests, {} errors", server.requests, server.errors);
        let line = |figures: &Figures| {
            let Figures { per_second, mean_ms, p50_ms, p99_ms, max_ms, .. } = figures;
            format!("{per_second:.0} {what}/s, mean {mean_ms:.3} ms, p50 {p50_ms:.3} ms, p99 {p99_ms:.3} ms, max {max_ms:.3} ms")
        };
        println!("{}", line(server));
        println!("{:.0} % of it is the server's own time", server.server_share * 100.0);
        if let Some(engine) = &self.engine {
            println!("the engine in this process: {}", line(engine));
        }
        if let Some(added) = self.added_share {
            println!("the server adds {:.1} % to the engine's median", added * 100.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_all_clients() {
        let took = |n: u32| Took { secs: f64::from(n) / 1000.0, own_secs: f64::from(n) / 2000.0 };
        let times = |range: std::ops::RangeInclusive<u32>| range.map(took).collect();
        let seen = || vec![Seen { times: times(1..=50), errors: 1, error: None }, Seen { times: times(51..=100), errors: 0, error: None }];
        let figures = Figures::of(seen(), 4.0, 1.0);
        assert_eq!((figures.requests, figures.errors, figures.per_second), (100, 1, 25.0));
        assert!((figures.p50_ms - 51.0).abs() < 1e-9 && (figures.p99_ms - 100.0).abs() < 1e-9, "{figures:?}");
        assert!((figures.server_share - 0.5).abs() < 1e-9 && (figures.max_ms - 100.0).abs() < 1e-9);
        assert!((figures.mean_ms - 50.5).abs() < 1e-9);
        assert_eq!(Figures::of(seen(), 4.0, 10.0).per_second, 250.0, "requests may be for many");
        assert_eq!(Figures::of(Vec::new(), 1.0, 1.0), Figures::default());
    }

    #[test]
    fn the_server_adds_what_the_engine_does_not_take() {
        let figures = |p50_ms: f64| Figures { p50_ms, ..Figures::default() };
        let report = Report::new("rest", 1, figures(1.1), Some(figures(1.0)));
        assert!((report.added_share.expect("both were measured") - 0.1).abs() < 1e-9);
        assert_eq!(Report::new("rest", 1, figures(1.1), Some(figures(0.0))).added_share, None);
        assert_eq!(Report::new("rest", 1, figures(1.1), None).added_share, None);
    }
}
