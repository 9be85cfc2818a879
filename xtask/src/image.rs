//! `image`: the container image without a registry, of a static program and nothing below it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::k8s::target;
use crate::{cargo, succeeds, top};

/// Of the program; as in the chart.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The generation of the API that it speaks, by which the chart of Qdrant knows how to ask whether it is ready.
const GENERATION: &str = "1.20.0";

/// A kind of image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The program alone.
    Plain,
    /// With what the chart of Qdrant calls.
    DropIn,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::DropIn => "drop-in",
        }
    }

    fn tag(self) -> String {
        match self {
            Self::Plain => format!("vectordb/vectordb:{VERSION}"),
            Self::DropIn => format!("vectordb/drop-in:{GENERATION}"),
        }
    }
}

/// Builds the program, and one image or, to try them, both; `dev` compiles faster, and runs slower.
pub(crate) fn run(drop_in: bool, test: bool, dev: bool) -> bool {
    let kinds: &[Kind] = match (test, drop_in) {
        (true, _) => &[Kind::Plain, Kind::DropIn],
        (false, true) => &[Kind::DropIn],
        (false, false) => &[Kind::Plain],
    };
    let built = program(dev).is_some_and(|program| kinds.iter().all(|&kind| image(&program, kind)));
    built && (!test || succeeds(Command::new("python3").arg(top().join("k8s/image/try.py")).args(kinds.iter().map(|kind| kind.tag()))))
}

/// Builds the program that needs no libraries.
pub(crate) fn program(dev: bool) -> Option<PathBuf> {
    let profile = if dev { "dev" } else { "release" };
    let mut build = cargo(&["rustc", "--locked", "--package", "vectordb-server", "--bin", "vectordb", "--profile", profile]);
    // For the program alone: it is linked as a static one, of libraries that are the same for all programs.
    build.args(["--", "-C", "target-feature=+crt-static"]);
    let program = target().join(if dev { "debug" } else { "release" }).join("vectordb");
    succeeds(&mut build).then_some(program)
}

/// Lays out the files, and makes an archive of them, which keeps whose they are.
pub(crate) fn archive(program: &Path, context: &Path, kind: &str) -> Option<PathBuf> {
    let (root, archive) = (context.join("root"), context.join("root.tar"));
    let layout = std::fs::create_dir_all(context).is_ok()
        && succeeds(Command::new(top().join("k8s/image/layout.sh")).arg(program).arg(&root).arg(kind));
    let archived = layout && succeeds(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&root).arg("."));
    (archived && std::fs::remove_dir_all(&root).is_ok()).then_some(archive)
}

/// Makes an image of the program.
fn image(program: &Path, kind: Kind) -> bool {
    let context = target().join("image").join(kind.word());
    let mut docker = Command::new("docker");
    let dockerfile = top().join("k8s/image/local.Dockerfile");
    docker.args(["build", "--quiet", "--tag", &kind.tag(), "--file"]).arg(dockerfile).arg(&context);
    let done = archive(program, &context, kind.word()).is_some() && succeeds(&mut docker);
    if done {
        println!("{}", kind.tag());
    }
    done
}
