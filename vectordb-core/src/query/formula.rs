//! Formulas over earlier scores and payloads.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use super::{Found, Reading};
use crate::error::{Error, Result};
use crate::model::PointId;
use crate::model::filter::{Condition, Filter};
use crate::model::formula::{DecayCurve, Expression, Formula};
use crate::model::payload::{DateTime, Payload, PayloadPath, Value};
use crate::model::point::by_score_then_id;
use crate::payload::{geo, path};
use crate::segment::CompiledFilter;

/// Microseconds of a second.
const MICROS: f64 = 1e6;

/// Scores every point of the lists by a formula, best first.
///
/// # Errors
/// [`Error::InvalidQuery`] for a variable without a value and for a result that is no finite number.
pub(super) fn rescore<'a>(reading: &Reading<'a>, formula: &Formula, lists: Vec<Vec<Found<'a>>>) -> Result<Vec<Found<'a>>> {
    let evaluator = Evaluator::new(reading, formula, &lists)?;
    let mut seen = rustc_hash::FxHashSet::default();
    let mut rescored = Vec::new();
    for hit in lists.into_iter().flatten() {
        if !seen.insert(hit.id.clone()) {
            continue;
        }
        let point = Point { payload: hit.segment.payload(hit.row)?, hit: &hit };
        let exact = evaluator.value(&formula.expression, &point)?;
        #[expect(clippy::cast_possible_truncation, reason = "scores are f32; too large ones become infinite and are refused")]
        let score = exact as f32;
        real(f64::from(score), || format!("{exact}, which the formula gives,"))?;
        rescored.push(Found { score, ..hit });
    }
    rescored.sort_by(|a, b| by_score_then_id((a.score, &a.id), (b.score, &b.id)));
    Ok(rescored)
}

struct Point<'p, 'a> {
    hit: &'p Found<'a>,
    payload: Cow<'a, Payload>,
}

struct Evaluator<'f> {
    /// Scores of each list.
    scores: Vec<FxHashMap<PointId, f32>>,
    conditions: Vec<(&'f Condition, CompiledFilter)>,
    defaults: Vec<(PayloadPath, &'f Value)>,
    score_defaults: FxHashMap<usize, f64>,
}

impl<'f> Evaluator<'f> {
    fn new(reading: &Reading<'_>, formula: &'f Formula, lists: &[Vec<Found<'_>>]) -> Result<Self> {
        let scores = lists.iter().map(|list| list.iter().map(|hit| (hit.id.clone(), hit.score)).collect()).collect();
        let mut this = Self { scores, conditions: Vec::new(), defaults: Vec::new(), score_defaults: FxHashMap::default() };
        for (name, value) in &formula.defaults {
            match (name.strip_prefix("$score"), value.as_f64()) {
                (None, _) => this.defaults.push((PayloadPath::parse(name)?, value)),
                (Some(rest), Some(score)) => {
                    let number = rest.trim_start_matches('[').trim_end_matches(']');
                    let list = if rest.is_empty() { Ok(0) } else { number.parse() };
                    let list = list.map_err(|_| Error::query(format!("`{name}` is no score")))?;
                    this.score_defaults.insert(list, score);
                }
                (Some(_), None) => return Err(Error::query(format!("the default of `{name}` must be a number"))),
            }
        }
        let mut left = vec![&formula.expression];
        while let Some(expression) = left.pop() {
            if let Expression::Condition(condition) = expression {
                let filter = CompiledFilter::new(&Filter::must([(**condition).clone()]), &reading.config.payload_schema)?;
                this.conditions.push((condition, filter));
            }
            left.extend(expression.parts());
        }
        Ok(this)
    }

    fn value(&self, expression: &Expression, point: &Point<'_, '_>) -> Result<f64> {
        let of = |expression: &Expression| self.value(expression, point);
        let all = |parts: &[Expression]| parts.iter().map(of).collect::<Result<Vec<f64>>>();
        match expression {
            Expression::Constant(value) => Ok(*value),
            Expression::Score(list) => Ok(self.score(*list, &point.hit.id)),
            Expression::Key(key) => self.number(key, point),
            Expression::Condition(condition) => self.holds(condition, point).map(|holds| f64::from(u8::from(holds))),
            Expression::Sum(parts) => Ok(all(parts)?.iter().sum()),
            Expression::Mult(parts) => product(parts, of),
            Expression::Max(parts) => Ok(all(parts)?.into_iter().fold(f64::NEG_INFINITY, f64::max)),
            Expression::Min(parts) => Ok(all(parts)?.into_iter().fold(f64::INFINITY, f64::min)),
            Expression::Neg(part) => of(part).map(|value| -value),
            Expression::Abs(part) => of(part).map(f64::abs),
            Expression::Div { left, right, by_zero_default } => {
                let left = of(left)?;
                if left == 0.0 {
                    return Ok(left);
                }
                let right = of(right)?;
                match by_zero_default {
                    Some(default) if right == 0.0 => Ok(*default),
                    _ => real(left / right, || format!("{left} / {right}")),
                }
            }
            Expression::Sqrt(part) => checked(of(part)?, "sqrt", f64::sqrt),
            Expression::Pow { base, exponent } => {
                let (base, exponent) = (of(base)?, of(exponent)?);
                real(base.powf(exponent), || format!("{base} to the power of {exponent}"))
            }
            Expression::Exp(part) => checked(of(part)?, "exp", f64::exp),
            Expression::Log10(part) => checked(of(part)?, "log10", f64::log10),
            Expression::Ln(part) => checked(of(part)?, "ln", f64::ln),
            Expression::Acosh(part) => checked(of(part)?, "acosh", f64::acosh),
            Expression::GeoDistance { origin, to } => {
                let value = self.single(to, point)?;
                let place = geo::place(&value).ok_or_else(|| Error::query(format!("`{to}` is no place: {value}")))?;
                Ok(geo::distance(*origin, place))
            }
            Expression::Datetime(moment) => Ok(seconds(*moment)),
            Expression::DatetimeKey(key) => {
                let value = self.single(key, point)?;
                let moment = value.as_str().and_then(DateTime::parse);
                moment.map(seconds).ok_or_else(|| Error::query(format!("`{key}` is no moment: {value}")))
            }
            Expression::Decay { curve, x, target, scale, midpoint } => {
                let away = of(x)? - target.as_deref().map_or(Ok(0.0), of)?;
                Ok(match curve {
                    DecayCurve::Linear => (1.0 - (1.0 - midpoint) / scale * away.abs()).max(0.0),
                    DecayCurve::Exponential => (midpoint.ln() / scale * away.abs()).exp(),
                    DecayCurve::Gauss => (midpoint.ln() / (scale * scale) * away * away).exp(),
                })
            }
        }
    }

    fn score(&self, list: usize, id: &PointId) -> f64 {
        let found = self.scores.get(list).and_then(|scores| scores.get(id)).map(|&score| f64::from(score));
        found.or_else(|| self.score_defaults.get(&list).copied()).unwrap_or(0.0)
    }

    fn holds(&self, condition: &Condition, point: &Point<'_, '_>) -> Result<bool> {
        match self.conditions.iter().find(|(each, _)| std::ptr::eq(*each, condition)) {
            Some((_, filter)) => filter.matches_row(point.hit.segment, point.hit.row),
            None => Err(Error::Internal { what: "a condition of a formula was not made ready".into() }),
        }
    }

    fn number(&self, key: &PayloadPath, point: &Point<'_, '_>) -> Result<f64> {
        let value = self.single(key, point)?;
        value.as_f64().ok_or_else(|| Error::query(format!("`{key}` is no number: {value}")))
    }

    /// The one value of a path, or its default.
    fn single(&self, key: &PayloadPath, point: &Point<'_, '_>) -> Result<Value> {
        let mut values = Vec::new();
        path::visit(&point.payload, key, &mut |value| path::each(value, &mut |value| values.push(value)));
        if values.is_empty()
            && let Some((_, default)) = self.defaults.iter().find(|(path, _)| path == key)
        {
            path::each(default, &mut |value| values.push(value));
        }
        match &*values {
            [one] => Ok((*one).clone()),
            [] => Err(Error::query(format!("point {} has no `{key}`, and there is no default for it", point.hit.id))),
            more => Err(Error::query(format!("point {} has {} values of `{key}` where one is needed", point.hit.id, more.len()))),
        }
    }
}

fn product(factors: &[Expression], of: impl Fn(&Expression) -> Result<f64>) -> Result<f64> {
    let mut product = 1.0;
    for factor in factors {
        let factor = of(factor)?;
        if factor == 0.0 {
            return Ok(0.0);
        }
        product *= factor;
    }
    Ok(product)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of this century are far below 2^53")]
fn seconds(moment: DateTime) -> f64 {
    moment.0 as f64 / MICROS
}

fn checked(value: f64, name: &str, function: impl Fn(f64) -> f64) -> Result<f64> {
    real(function(value), || format!("{name}({value})"))
}

fn real(value: f64, what: impl Fn() -> String) -> Result<f64> {
    if value.is_finite() { Ok(value) } else { Err(Error::query(format!("{} is not a finite number", what()))) }
}
