//! Batches.

use crate::error::Result;

/// Runs the requests of a batch beside each other; answers come in the order of the requests.
///
/// # Errors
/// That of the first request that failed.
pub(super) fn in_parallel<T: Send, R: Send>(requests: Vec<T>, run: impl Fn(T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(requests.len());
    if threads < 2 {
        return requests.into_iter().map(run).collect();
    }
    let share = requests.len().div_ceil(threads);
    let (run, caller) = (&run, tracing::Span::current());
    let mut requests = requests.into_iter();
    std::thread::scope(|scope| {
        let mut parts = Vec::with_capacity(threads);
        while requests.len() > 0 {
            let part: Vec<T> = requests.by_ref().take(share).collect();
            let caller = &caller;
            parts.push(scope.spawn(move || caller.in_scope(|| part.into_iter().map(run).collect::<Result<Vec<R>>>())));
        }
        let mut all = Vec::new();
        for part in parts {
            all.extend(part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ServiceError;

    #[test]
    fn answers_come_in_the_order_of_the_requests() {
        for count in [0_u32, 1, 2, 3, 7, 64] {
            let squares = in_parallel((0..count).collect(), |n| Ok(n * n)).expect("nothing fails");
            assert_eq!(squares, (0..count).map(|n| n * n).collect::<Vec<_>>());
        }
        let failed = in_parallel((0..9).collect(), |n: u32| if n > 4 { Err(ServiceError::input(n.to_string())) } else { Ok(n) });
        assert_eq!(failed.expect_err("five of them fail").message, "5");
    }
}
