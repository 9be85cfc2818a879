//! `image`: the container image without a registry, of a static program and nothing below it.

use std::path::Path;
use std::process::{Command, Stdio};

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

/// Builds the program, and one image or, to try them, both; `dev` compiles faster, and runs many times slower.
pub(crate) fn run(drop_in: bool, test: bool, dev: bool) -> bool {
    let kinds: &[Kind] = match (test, drop_in) {
        (true, _) => &[Kind::Plain, Kind::DropIn],
        (false, true) => &[Kind::DropIn],
        (false, false) => &[Kind::Plain],
    };
    let Some(triple) = host() else { return false };
    let profile = if dev { "dev" } else { "release" };
    let mut build = cargo(&["build", "--locked", "--package", "vectordb-server", "--bin", "vectordb"]);
    build.args(["--profile", profile, "--target", &triple]).env("RUSTFLAGS", "-C target-feature=+crt-static");
    if dev {
        // What tests have optimized is optimized for tests; here it would only take time.
        build.args(["--config", "profile.dev.package.'*'.opt-level=0", "--config", "profile.dev.package.vectordb-core.opt-level=0"]);
    }
    build.env("CARGO_PROFILE_RELEASE_STRIP", "symbols").env("CARGO_PROFILE_DEV_STRIP", "symbols");
    let program = target().join(&triple).join(if dev { "debug" } else { "release" }).join("vectordb");
    let built = succeeds(&mut build) && kinds.iter().all(|&kind| image(&program, kind));
    built && (!test || succeeds(Command::new("python3").arg(top().join("k8s/image/try.py")).args(kinds.iter().map(|kind| kind.tag()))))
}

/// Lays out the files, and makes an image of them.
fn image(program: &Path, kind: Kind) -> bool {
    let files = top().join("k8s/image");
    let context = target().join("image").join(kind.word());
    let root = context.join("root");
    let layout = std::fs::create_dir_all(&context).is_ok()
        && succeeds(Command::new(files.join("layout.sh")).arg(program).arg(&root).arg(kind.word()));
    // An archive keeps whose the files are.
    let archived = layout && succeeds(Command::new("tar").arg("-cf").arg(context.join("root.tar")).arg("-C").arg(&root).arg("."));
    let made = archived && std::fs::remove_dir_all(&root).is_ok();
    let mut docker = Command::new("docker");
    docker.args(["build", "--quiet", "--tag", &kind.tag(), "--file"]).arg(files.join("local.Dockerfile")).arg(&context);
    let done = made && succeeds(&mut docker);
    if done {
        println!("{}", kind.tag());
    }
    done
}

/// The target that is the machine itself. A build for it by name keeps procedural macros, which cannot be static, free of flags.
fn host() -> Option<String> {
    let output = Command::new("rustc").arg("-vV").stderr(Stdio::inherit()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.lines().find_map(|line| Some(line.strip_prefix("host: ")?.to_owned()))
}
