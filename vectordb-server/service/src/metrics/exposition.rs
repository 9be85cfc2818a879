//! The text format of Prometheus, version 0.0.4.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::families::{Family, FamilyKind};
use super::histogram::Histogram;

/// Names and values of a series' labels.
pub(super) type Labels<'l> = Vec<(&'static str, &'l str)>;

/// A text that grows by whole families.
#[derive(Debug)]
pub(super) struct Exposition<'p> {
    prefix: &'p str,
    text: String,
    names: BTreeSet<&'static str>,
}

impl<'p> Exposition<'p> {
    pub(super) fn new(prefix: &'p str) -> Self {
        Self { prefix, text: String::new(), names: BTreeSet::new() }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// A family with one series that has no labels; left out when there is no value.
    pub(super) fn single(&mut self, family: &Family, value: Option<u64>) {
        self.numbers(family, value.map(|value| (Vec::new(), value as f64)));
    }

    /// A family of numbers; left out when there is no series.
    pub(super) fn numbers<'l>(&mut self, family: &Family, series: impl IntoIterator<Item = (Labels<'l>, f64)>) {
        debug_assert!(family.kind != FamilyKind::Histogram, "{}", family.name);
        let mut series = series.into_iter().peekable();
        if series.peek().is_some() {
            self.head(family);
        }
        for (labels, value) in series {
            self.line(family.name, "", &labels, None, value);
        }
    }

    /// A family of histograms; left out when there is none.
    pub(super) fn histograms<'l>(&mut self, family: &Family, series: impl IntoIterator<Item = (Labels<'l>, &'l Histogram)>) {
        debug_assert!(family.kind == FamilyKind::Histogram, "{}", family.name);
        let mut series = series.into_iter().peekable();
        if series.peek().is_some() {
            self.head(family);
        }
        for (labels, histogram) in series {
            for (bound, count) in histogram.cumulated() {
                let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
                self.line(family.name, "_bucket", &labels, Some(&bound), count as f64);
            }
            self.line(family.name, "_sum", &labels, None, histogram.sum);
            self.line(family.name, "_count", &labels, None, histogram.count() as f64);
        }
    }

    fn head(&mut self, family: &Family) {
        let fresh = self.names.insert(family.name);
        debug_assert!(fresh, "{} comes twice", family.name);
        let kind = match family.kind {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Histogram => "histogram",
        };
        let (prefix, name, help) = (self.prefix, family.name, family.help);
        // Writing into a string does not fail.
        let _ = writeln!(self.text, "# HELP {prefix}{name} {help}\n# TYPE {prefix}{name} {kind}");
    }

    fn line(&mut self, name: &str, suffix: &str, labels: &Labels<'_>, bound: Option<&str>, value: f64) {
        self.text.push_str(self.prefix);
        self.text.push_str(name);
        self.text.push_str(suffix);
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        for (n, (label, value)) in labels.clone().enumerate() {
            let _ = write!(self.text, "{}{label}=\"{}\"", if n == 0 { '{' } else { ',' }, escaped(value));
        }
        if labels.count() > 0 {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
