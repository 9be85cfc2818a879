//! The fault harness, with small numbers; `cargo xtask crash` runs it with large ones.

use std::path::Path;

use vectordb_benches::faults::{Report, corruption, images, io_errors, kills};

fn clean(report: &Report) {
    assert!(report.is_clean(), "{report:#?}");
}

fn plan(ignore_syncs: bool) -> images::Plan {
    images::Plan { images: 4000, seed: 1, ignore_syncs }
}

#[test]
fn a_loss_of_power_loses_nothing_acknowledged() {
    let report = images::run(plan(false), &|_| {});
    clean(&report);
    assert!(report.images >= 4000 && report.acked > 0, "{report:#?}");
}

#[test]
fn without_syncs_the_same_method_finds_losses() {
    let report = images::run(plan(true), &|_| {});
    assert!(report.lost > report.images / 10, "{report:#?}");
}

#[test]
fn any_call_may_fail() {
    let report = io_errors::run(3, 1, &|_| {});
    clean(&report);
    assert!(report.io_errors > 300, "{report:#?}");
}

#[test]
fn damage_gives_an_error_or_does_no_harm() {
    let report = corruption::run(4000, 1, &|_| {});
    clean(&report);
    assert_eq!(report.corruptions, 4000);
}

#[test]
fn killed_processes_leave_all_they_acknowledged() {
    let report = kills::run(4, 1, Path::new(env!("CARGO_BIN_EXE_faults")), &|_| {}).expect("processes can be started");
    clean(&report);
    assert!(report.kills == 4 && report.acked > 0, "{report:#?}");
}
