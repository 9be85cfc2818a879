//! Progress on the standard error, where it is a terminal, and numbers for people.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of bytes whose length is told later.
pub(super) fn bytes_bar(what: &'static str) -> ProgressBar {
    bar(what, "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
}

/// A bar of things that are counted.
pub(super) fn count_bar(what: &'static str, total: u64) -> ProgressBar {
    let bar = bar(what, "{msg} {wide_bar} {pos}/{len} {per_sec} {eta}");
    bar.set_length(total);
    bar
}

fn bar(what: &'static str, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_message(what);
    // Nothing is drawn where the standard error is no terminal.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Bytes as people read them, in powers of 1024.
pub(super) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// `1 point`, `2 points`.
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Prints JSON for programs.
pub(super) fn json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => println!("{text}"),
        Err(error) => eprintln!("vectordb: {error}"),
    }
}
