//! `ci`: the steps a change must pass, in the order in which a mistake shows soonest.
//!
//! Every step covers the whole workspace, because cargo then settles on one set of features and the steps share what
//! they build: clippy and doc the checked dependencies, tests and examples the compiled ones.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{cargo, clients, k8s, python, succeeds, tidy};

type Step = (&'static str, fn() -> bool);

const STEPS: [Step; 9] = [
    ("format", format),
    ("clippy", clippy),
    ("tidy", || tidy::run(false)),
    ("test", test),
    ("doc", doc),
    ("examples", examples),
    ("clients", clients),
    ("python", python),
    ("k8s", || k8s::run(false)),
];

/// Runs the steps up to the first that fails, and ends with a line of how many passed and failed.
pub(crate) fn run() -> bool {
    let start = Instant::now();
    let mut passed = 0;
    for (name, step) in STEPS {
        println!("== {name}");
        let start = Instant::now();
        if !step() {
            println!("== {name} FAILED after {:.1} s", start.elapsed().as_secs_f64());
            break;
        }
        println!("== {name} passed in {:.1} s", start.elapsed().as_secs_f64());
        passed += 1;
    }
    let failed = usize::from(passed < STEPS.len());
    println!("== {} steps in {:.1} s", passed + failed, start.elapsed().as_secs_f64());
    println!("{passed} passed, {failed} failed");
    failed == 0
}

/// What [`run`] would complain about and a program can mend.
pub(crate) fn fix() -> bool {
    succeeds(&mut cargo(&["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"]))
        && succeeds(&mut cargo(&["fmt", "--all"]))
}

fn format() -> bool {
    succeeds(&mut cargo(&["fmt", "--all", "--check"]))
}

fn clippy() -> bool {
    // After the `--`, so that the flag reaches the workspace's crates alone and no dependency is built anew for it.
    succeeds(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn test() -> bool {
    succeeds(&mut cargo(&["test", "--workspace"]))
}

fn doc() -> bool {
    succeeds(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Runs every example with its defaults.
fn examples() -> bool {
    let mut programs = built("example", &["--examples"]);
    programs.sort();
    // What the examples leave behind is theirs and goes with `target`.
    let Some(room) = programs.first().and_then(|program| Some(Path::new(program).parent()?.join("run"))) else { return false };
    let _ = std::fs::remove_dir_all(&room);
    if let Err(error) = std::fs::create_dir_all(&room) {
        eprintln!("{}: {error}", room.display());
        return false;
    }
    programs.iter().all(|program| {
        println!("-- {}", program.rsplit(['/', '\\']).next().unwrap_or(program));
        succeeds(Command::new(program).current_dir(&room))
    })
}

/// Runs the stock clients of other languages against the server.
pub(crate) fn clients() -> bool {
    server().is_some_and(|server| clients::run(Path::new(&server)))
}

/// The server, as the tests build it.
fn server() -> Option<String> {
    // The example settles cargo on the features of the tests, which have built the server already.
    built("bin", &["--bin", "vectordb", "--example", "minimal"]).into_iter().next()
}

/// Tests the Python package.
pub(crate) fn python() -> bool {
    // All libraries at once, with the features of the tests: only the module itself is not there yet. The bridge is the crate by itself.
    let targets = ["--lib", "--bin", "bridge", "--example", "minimal"];
    let (libraries, programs) = (built("cdylib", &targets), built("bin", &targets));
    // Some dependencies are such libraries, too.
    let module = libraries.iter().find(|library| library.contains("_native"));
    module.zip(programs.first()).is_some_and(|(module, bridge)| python::run(Path::new(module), Path::new(bridge)))
}

/// Builds targets of the workspace, and names what came of those of a kind: programs and libraries. The tests have built them already.
fn built(kind: &str, targets: &[&str]) -> Vec<String> {
    let mut build = cargo(&["build", "--workspace", "--message-format=json-render-diagnostics"]);
    match build.args(targets).stderr(Stdio::inherit()).output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| product(line, kind)).collect()
        }
        _ => Vec::new(),
    }
}

/// The program or library of a target of a kind in a line of cargo's messages.
fn product(message: &str, kind: &str) -> Option<String> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_wanted = message["target"]["kind"].as_array()?.iter().any(|each| each == kind);
    let product = message["executable"].as_str().or_else(|| message["filenames"][0].as_str());
    if is_wanted { product.map(str::to_owned) } else { None }
}
