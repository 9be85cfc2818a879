//! Every call to the file system fails once.
//!
//! A workload runs without failures first; then again and again, each time with another call failing. A failed operation
//! may have happened or not, but never in part and never visibly; everything acknowledged before and after it must be there.

use rayon::prelude::*;

use super::sim_fs::{Failure, Loss, SimFs};
use super::workload::{Sight, Timeline, Unreadable, Workload, look_twice, open, same_points};
use super::{Report, Verdict, guarded};
use crate::synthetic::Random;

const STEPS: usize = 30;
/// Steps after the one that failed.
const STEPS_AFTER: usize = 4;
const FAILURES: [Failure; 3] = [Failure::Refused, Failure::Full, Failure::Forgotten];

/// Lets each call of so many workloads fail.
pub fn run(workloads: u64, seed: u64, progress: &(dyn Fn(u64) + Sync)) -> Report {
    let mut report = Report::default();
    for seed in seed..seed + workloads {
        let calls = calls(seed);
        let trials: Vec<(u64, Failure)> = (0..calls).flat_map(|at| FAILURES.map(|failure| (at, failure))).collect();
        let reports: Vec<Report> = trials
            .par_iter()
            .map(|&(at, failure)| {
                let mut report = Report { io_errors: 1, ..Report::default() };
                let mut what = "";
                let verdict = guarded(|| trial(seed, at, failure, &mut what, &mut report.acked));
                report.failed(&verdict, || format!("workload {seed}, call {at} fails during {what}: {failure:?}"));
                report
            })
            .collect();
        reports.into_iter().for_each(|one| report += one);
        progress(1);
    }
    report
}

/// Calls of a run without failures.
fn calls(seed: u64) -> u64 {
    let Ok(mut workload) = Workload::begin(SimFs::default(), seed) else { return 0 };
    (0..STEPS).for_each(|_| drop(workload.step()));
    workload.fs.calls()
}

fn trial(seed: u64, at: u64, failure: Failure, what: &mut &'static str, acked: &mut u64) -> Verdict {
    let fs = SimFs::default();
    fs.fail(at, failure);
    let Ok(mut workload) = Workload::begin(fs.clone(), seed) else { return opened_later(&fs) };
    let mut before = Sight::new();
    let mut failed = None;
    for number in 1..=STEPS {
        before = workload.look().unwrap_or_default();
        let step = workload.step();
        if step.result.is_err() {
            failed = Some((number, step.began));
            *what = workload.what;
            break;
        }
    }
    if let Some((steps, began)) = failed {
        let whole = undisturbed(seed, steps);
        match (workload.look(), &whole) {
            (Ok(now), _) if same_points(&before, &now) || now.is_empty() => {}
            (Ok(now), Some(whole)) if whole.explains(began, &before, &now) => {}
            (Ok(_), _) => return Verdict::Phantom("a failed operation is visible in part".into()),
            (Err(error), _) => return Verdict::Lost(format!("reading after a failed operation: {error}")),
        }
        if let Some(whole) = whole {
            workload.timeline.allow(&whole, began);
        }
        // Life goes on as far as it can; what is acknowledged now counts as before.
        (0..STEPS_AFTER).for_each(|_| drop(workload.step()));
    }
    recovered(&mut workload, acked)
}

/// The first steps of the run without failures.
fn undisturbed(seed: u64, steps: usize) -> Option<Timeline> {
    let mut workload = Workload::begin(SimFs::default(), seed).ok()?;
    (0..steps).for_each(|_| drop(workload.step()));
    Some(workload.timeline)
}

/// Another process opens what the failure left, in the cache and after a loss of power.
fn recovered(workload: &mut Workload, acked: &mut u64) -> Verdict {
    workload.abandon();
    let calls = workload.fs.calls();
    let disk = workload.fs.disk();
    let mut random = Random::new(calls, 5);
    for loss in [Loss::Nothing, Loss::All, Loss::Any] {
        let image = disk.after_power_loss(loss, &mut random);
        let found = match open(&SimFs::new(image)).map_err(Unreadable::Error).and_then(|db| look_twice(&db)) {
            Ok(found) => found,
            Err(error) => return Verdict::Lost(format!("{loss:?}: {error}")),
        };
        match workload.timeline.judge(calls, &found, acked) {
            Verdict::Good => {}
            verdict => return verdict,
        }
    }
    Verdict::Good
}

/// A database that could not be made can be made when the disk works again.
fn opened_later(fs: &SimFs) -> Verdict {
    match open(&SimFs::new(fs.disk())) {
        Ok(_) => Verdict::Good,
        Err(error) => Verdict::Lost(error.to_string()),
    }
}
