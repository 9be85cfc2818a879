//! `tidy`: what the compiler does not check about the shape of the sources.
//!
//! Floors, cycles, unsafe code, the file system's door and the dependency tree fail the build. Sizes are reported only: a
//! longer file or function is fine when it reads better that way.

use std::fs;
use std::io;
use std::path::Path;

use crate::rooms::{self, House, Import};
use crate::source::Source;
use crate::{cargo, top};

const CRATES: [&str; 7] = ["vectordb-core", "vectordb-server", "vectordb-server/service", "vectordb-py", "benches", "examples", "xtask"];
/// Where unsafe code may stand.
const UNSAFE_ROOMS: [&str; 4] =
    ["vectordb-core/src/storage/mmap.rs", "vectordb-core/src/distance/", "vectordb-core/src/vectors/rows.rs", "benches/src/sets.rs"];
/// Where core may touch the file system.
const FS_DOORS: [&str; 4] = [
    "vectordb-core/src/storage/fs.rs",
    "vectordb-core/src/storage/std_fs.rs",
    "vectordb-core/src/storage/mmap.rs",
    "vectordb-core/src/storage/system.rs",
];
/// Names, or beginnings of names, of crates that bring an async runtime or need one.
const ASYNC: [&str; 7] = ["tokio", "futures", "async-", "tonic", "axum", "hyper", "smol"];
/// What a program can embed without a runtime.
const WITHOUT_ASYNC: [&str; 2] = ["vectordb-core", "vectordb-service"];
/// Most crates in core's tree, linear algebra aside.
const MAX_DEPENDENCIES: usize = 80;
const LONG_FUNCTION: usize = 70;

#[derive(Default)]
struct Report {
    floors: Vec<String>,
    cycles: Vec<String>,
    unsafe_without_safety: Vec<String>,
    unsafe_outside: Vec<String>,
    fs_outside: Vec<String>,
    async_crates: Vec<String>,
    dependencies: usize,
    sizes: Vec<(&'static str, Vec<usize>)>,
    long_functions: Vec<String>,
}

/// Checks the repository and prints what it finds; true when nothing is to be mended.
pub(crate) fn run(json: bool) -> bool {
    let report = match check() {
        Ok(report) => report,
        Err(error) => {
            eprintln!("tidy: {error}");
            return false;
        }
    };
    if json {
        println!("{}", report.json())
    } else {
        report.print()
    }
    report.passed()
}

fn check() -> io::Result<Report> {
    let mut report = Report::default();
    for name in CRATES {
        let mut files = Vec::new();
        rust_files(&top().join(name), name, &mut files)?;
        // A crate inside the directory of another is its own.
        let inner = |path: &str| CRATES.iter().any(|other| other.len() > name.len() && path.starts_with(&format!("{other}/")));
        files.retain(|(path, _)| !inner(path));
        let mut imports = Vec::new();
        check_crate(name, &files, &mut report, &mut imports);
        let Some(house) = House::of(name) else { continue };
        for import in &imports {
            if let Err(reason) = house.allowed(&import.from, &import.to) {
                report.floors.push(format!("{name}/{}:{}: {reason}", import.file, import.line));
            }
        }
        report.cycles.extend(house.cycles(&imports).iter().map(|rooms| rooms.join(" <-> ")));
    }
    for package in WITHOUT_ASYNC {
        let everything = dependencies(package, &["--all-features"])?;
        let is_async = |name: &String| ASYNC.iter().any(|prefix| name.starts_with(prefix));
        report.async_crates.extend(everything.into_iter().filter(is_async).map(|name| format!("{package}: {name}")));
    }
    report.dependencies = dependencies("vectordb-core", &["--no-default-features", "--features", "simsimd"])?.len();
    Ok(report)
}

fn check_crate(name: &'static str, files: &[(String, String)], report: &mut Report, imports: &mut Vec<Import>) {
    let mut sizes = Vec::new();
    let parsed: Vec<(&str, Source)> = files.iter().map(|(path, text)| (path.as_str(), Source::parse(text, false))).collect();
    let tests: Vec<String> = parsed.iter().flat_map(|(path, source)| test_files(path, source)).collect();
    for ((path, text), (_, source)) in files.iter().zip(&parsed) {
        for each in Source::parse(text, true).unsafes() {
            if !each.justified {
                report.unsafe_without_safety.push(format!("{path}:{}: unsafe without its SAFETY comment", each.line));
            }
        }
        let src = format!("{name}/src/");
        let is_test = tests.iter().any(|test| path == &format!("{test}.rs") || path.starts_with(&format!("{test}/")));
        let Some(file) = path.strip_prefix(&src).filter(|_| !is_test) else { continue };
        sizes.push(source.code_lines());
        for long in source.functions().iter().filter(|function| function.code_lines > LONG_FUNCTION) {
            report.long_functions.push(format!("{path}:{}: {} has {} lines", long.line, long.name, long.code_lines));
        }
        if !UNSAFE_ROOMS.iter().any(|room| path.starts_with(room)) {
            report
                .unsafe_outside
                .extend(source.unsafes().iter().map(|each| format!("{path}:{}: unsafe code in a room without", each.line)));
        }
        if House::of(name).is_some() {
            imports.extend(rooms::imports(file, source));
        }
        if name == "vectordb-core" && !FS_DOORS.contains(&path.as_str()) {
            let opened = source.paths().into_iter().filter(|each| each.names.starts_with(&["std".into(), "fs".into()]));
            report.fs_outside.extend(opened.map(|each| format!("{path}:{}: std::fs outside of storage", each.line)));
        }
    }
    report.sizes.push((name, sizes));
}

/// The files (without `.rs`) of a file's test modules.
fn test_files(path: &str, source: &Source) -> Vec<String> {
    let stem = path.trim_end_matches(".rs");
    let (parent, last) = stem.rsplit_once('/').unwrap_or(("", stem));
    let dir = if matches!(last, "mod" | "lib" | "main") { parent } else { stem };
    source.test_modules().iter().map(|module| format!("{dir}/{module}")).collect()
}

/// All Rust files below a directory, as path from the top and text, sorted.
fn rust_files(dir: &Path, name: &str, files: &mut Vec<(String, String)>) -> io::Result<()> {
    let mut entries = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = format!("{name}/{}", entry.file_name().display());
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                rust_files(&entry.path(), &path, files)?;
            }
        } else if path.ends_with(".rs") {
            files.push((path, fs::read_to_string(entry.path())?));
        }
    }
    Ok(())
}

/// Names of the crates in a package's tree without itself.
fn dependencies(package: &str, features: &[&str]) -> io::Result<Vec<String>> {
    let mut tree = cargo(&["tree", "--quiet", "-p", package, "-e", "normal", "--prefix", "none", "--format", "{p}"]);
    let output = tree.args(features).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // Name and version: two versions of a crate are two crates to compile.
    let mut names: Vec<String> = text.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    names.sort();
    names.dedup();
    names.retain(|name| !name.is_empty() && !name.starts_with(&format!("{package} ")));
    Ok(names)
}

impl Report {
    fn passed(&self) -> bool {
        self.failures().iter().all(|(_, found)| found.is_empty()) && self.dependencies <= MAX_DEPENDENCIES
    }

    fn failures(&self) -> [(&'static str, &[String]); 6] {
        [
            ("floor violations", &self.floors),
            ("cycles", &self.cycles),
            ("unsafe without SAFETY", &self.unsafe_without_safety),
            ("unsafe outside its rooms", &self.unsafe_outside),
            ("std::fs outside its door", &self.fs_outside),
            ("async crates", &self.async_crates),
        ]
    }

    fn all_sizes(&self) -> Vec<usize> {
        self.sizes.iter().flat_map(|(_, sizes)| sizes.iter().copied()).collect()
    }

    fn json(&self) -> serde_json::Value {
        let sizes = self.all_sizes();
        let [median, p90, max] = quantiles(sizes.clone());
        serde_json::json!({
            "floor_violations": self.floors.len(),
            "cycles": self.cycles.len(),
            "unsafe_without_safety": self.unsafe_without_safety.len(),
            "unsafe_outside": self.unsafe_outside.len(),
            "std_fs_outside": self.fs_outside.len(),
            "async_crates": self.async_crates.len(),
            "dependencies": self.dependencies,
            "files": sizes.len(),
            "code_lines": sizes.iter().sum::<usize>(),
            "median_lines": median,
            "p90_lines": p90,
            "max_lines": max,
            "functions_over_70": self.long_functions.len(),
        })
    }

    fn print(&self) {
        for line in self.failures().iter().flat_map(|(_, found)| *found) {
            println!("{line}");
        }
        for (what, found) in self.failures() {
            println!("{:>5}  {what}", found.len());
        }
        println!("{:>5}  dependencies of the core without linear algebra (at most {MAX_DEPENDENCIES})", self.dependencies);
        println!("\n{:<24} {:>6} {:>7} {:>7} {:>6} {:>6}", "code lines in", "files", "lines", "median", "p90", "max");
        let all = self.all_sizes();
        for (name, sizes) in self.sizes.iter().map(|(name, sizes)| (*name, sizes)).chain([("all", &all)]) {
            let [median, p90, max] = quantiles(sizes.clone());
            println!("{name:<24} {:>6} {:>7} {median:>7} {p90:>6} {max:>6}", sizes.len(), sizes.iter().sum::<usize>());
        }
        println!("{} functions over {LONG_FUNCTION} lines", self.long_functions.len());
        for line in &self.long_functions {
            println!("  {line}");
        }
    }
}

/// Median, 90th percentile and maximum.
fn quantiles(mut sizes: Vec<usize>) -> [usize; 3] {
    sizes.sort_unstable();
    [50, 90, 100].map(|percent| sizes.get((sizes.len().saturating_sub(1) * percent).div_ceil(100)).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(path: &str, text: &str) -> (Report, Vec<Import>) {
        let (mut report, mut imports) = (Report::default(), Vec::new());
        check_crate("vectordb-core", &[(path.to_owned(), text.to_owned())], &mut report, &mut imports);
        (report, imports)
    }

    #[test]
    fn planted_violations_are_reported() {
        let text = "use std::{fs::File, io};\nuse crate::segment::Hit;\nfn f() {\n    unsafe { g() }\n}\n";
        let (report, imports) = planted("vectordb-core/src/wal/mod.rs", text);
        assert_eq!(report.fs_outside, ["vectordb-core/src/wal/mod.rs:1: std::fs outside of storage"]);
        assert_eq!((report.unsafe_without_safety.len(), report.unsafe_outside.len()), (1, 1));
        assert_eq!(imports.len(), 1);
        assert!(!report.passed());
    }

    #[test]
    fn the_doors_are_open() {
        let text = "use std::fs::File;\nfn f() {\n    // SAFETY: sealed.\n    unsafe { g() }\n}\n";
        let (report, _) = planted("vectordb-core/src/storage/mmap.rs", text);
        assert!(report.passed());
    }

    #[test]
    fn long_functions_are_named() {
        let text = format!("fn long() {{\n{}}}\n", "    x();\n".repeat(70));
        let (report, _) = planted("vectordb-core/src/wal/file.rs", &text);
        assert_eq!(report.long_functions, ["vectordb-core/src/wal/file.rs:1: long has 72 lines"]);
        assert_eq!(quantiles(vec![1, 2, 3, 4, 100]), [3, 100, 100]);
    }
}
