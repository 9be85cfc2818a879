//! Every disk a loss of power may leave, opened and compared with what had been acknowledged.
//!
//! A workload runs once, and its calls to the file system are recorded. Behind each of them the power may go; what the
//! disk then holds is drawn several times over. Some of these disks get a second life with another loss of power, which
//! may hit the recovery itself. So do some disks of a machine that goes on when the process dies: what was not synced is still
//! seen by the next one, and still lost with the power.

use rayon::prelude::*;

use super::sim_fs::{Call, Disk, Loss, SimFs};
use super::workload::{Sight, Timeline, Workload, look_twice, open};
use super::{Report, Verdict, guarded};
use crate::synthetic::Random;

/// Steps of one workload.
const STEPS: usize = 40;
/// Steps of a second life.
const SECOND_STEPS: usize = 3;
/// One image in so many gets a second life.
const SECOND_LIVES: u64 = 40;
/// Images of a second life.
const SECOND_IMAGES: usize = 24;
/// Workloads that are tried at a time.
const GROUP: u64 = 8;

/// What to try.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// At least so many images.
    pub images: u64,
    /// Where the seeds begin.
    pub seed: u64,
    /// For the control of the method: the engine's syncs do nothing, and losses must be found.
    pub ignore_syncs: bool,
}

/// Tries images of one workload after the other until there are enough. `progress` is told how many more there are.
pub fn run(plan: Plan, progress: &(dyn Fn(u64) + Sync)) -> Report {
    let mut report = Report::default();
    let mut seed = plan.seed;
    while report.images < plan.images {
        let reports: Vec<Report> = (seed..seed + GROUP).into_par_iter().map(|seed| workload(seed, plan, progress)).collect();
        let before = report.images;
        reports.into_iter().for_each(|one| report += one);
        if report.images == before {
            // No workload came to its end, which has been counted as a failure.
            break;
        }
        seed += GROUP;
    }
    report
}

/// A recorded run.
struct Recording {
    before: Disk,
    calls: Vec<Call>,
    /// Calls of opening, which comes before the first step.
    opening: u64,
    timeline: Timeline,
}

impl Recording {
    fn of(disk: Disk, seed: u64, steps: usize, ignore_syncs: bool) -> Result<Self, String> {
        let fs = SimFs::new(disk.clone());
        if ignore_syncs {
            fs.ignore_syncs();
        }
        fs.record();
        let mut workload = Workload::begin(fs, seed).map_err(|error| error.to_string())?;
        let opening = workload.fs.calls();
        for number in 0..steps {
            workload.step().result.map_err(|error| format!("step {number}: {error}"))?;
        }
        let calls = workload.fs.take_record();
        Ok(Self { before: disk, calls, opening, timeline: workload.timeline })
    }
}

fn workload(seed: u64, plan: Plan, progress: &(dyn Fn(u64) + Sync)) -> Report {
    let mut report = Report::default();
    let mut recording = None;
    let verdict = guarded(|| match Recording::of(Disk::default(), seed, STEPS, plan.ignore_syncs) {
        Ok(done) => {
            recording = Some(done);
            Verdict::Good
        }
        Err(error) => Verdict::Lost(error),
    });
    report.failed(&verdict, || format!("workload {seed}"));
    let Some(recording) = recording else { return report };
    let mut random = Random::new(seed, 3);
    let mut disk = recording.before.clone();
    let mut counted = 0;
    for (number, call) in (0..).zip(recording.calls.iter().map(Some).chain([None])) {
        for loss in Loss::KINDS {
            let image = disk.after_power_loss(loss, &mut random);
            let second = random.below(SECOND_LIVES) == 0 && !plan.ignore_syncs;
            let copy = second.then(|| image.clone());
            let verdict = guarded(|| {
                inspect(image, &recording.timeline, number, &mut report.acked).map_or_else(|verdict| verdict, |_| Verdict::Good)
            });
            report.images += 1;
            report.failed(&verdict, || format!("workload {seed}, {number} calls, loss {loss:?}"));
            if let Some(copy) = copy.filter(|_| verdict == Verdict::Good) {
                report += second_life(copy, &recording.timeline, number, seed + u64::from(number as u32), &mut random);
            }
        }
        if random.below(SECOND_LIVES) == 0 && !plan.ignore_syncs {
            report += second_life(disk.clone(), &recording.timeline, number, seed + u64::from(number as u32), &mut random);
        }
        if let Some(call) = call {
            disk.apply(call);
        }
        progress(report.images - counted);
        counted = report.images;
    }
    report
}

/// Opens an image and compares; what was found when it is good.
fn inspect(image: Disk, timeline: &Timeline, calls: u64, acked: &mut u64) -> Result<Sight, Verdict> {
    let lost = |error: String| Verdict::Lost(error);
    let db = open(&SimFs::new(image)).map_err(|error| lost(error.to_string()))?;
    let found = look_twice(&db).map_err(|error| lost(error.to_string()))?;
    match timeline.judge(calls, &found, acked) {
        Verdict::Good => Ok(found),
        verdict => Err(verdict),
    }
}

/// Goes on with an image, and loses the power again.
fn second_life(image: Disk, first: &Timeline, calls: u64, seed: u64, random: &mut Random) -> Report {
    let mut report = Report::default();
    let mut recording = None;
    let verdict = guarded(|| match Recording::of(image, seed, SECOND_STEPS, false) {
        Ok(done) => {
            recording = Some(done);
            Verdict::Good
        }
        Err(error) => Verdict::Lost(error),
    });
    report.failed(&verdict, || format!("second life {seed} behind {calls} calls"));
    let Some(recording) = recording else { return report };
    for _ in 0..SECOND_IMAGES {
        let upto = random.below(recording.calls.len() as u64 + 1);
        let mut disk = recording.before.clone();
        recording.calls[..upto as usize].iter().for_each(|call| disk.apply(call));
        let loss = Loss::KINDS[random.below(Loss::KINDS.len() as u64) as usize];
        let image = disk.after_power_loss(loss, random);
        let verdict = guarded(|| {
            let found = if upto < recording.opening {
                // Recovery was under way: what it began with is what may be there.
                inspect(image, first, calls, &mut report.acked)
            } else {
                inspect(image, &recording.timeline, upto, &mut report.acked)
            };
            found.map_or_else(|verdict| verdict, |_| Verdict::Good)
        });
        report.images += 1;
        report.failed(&verdict, || format!("second life {seed} behind {calls} calls, {upto} calls, loss {loss:?}"));
    }
    report
}
