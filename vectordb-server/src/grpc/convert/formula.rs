//! Formulas.

use serde_json::json;
use vectordb_core::{DecayCurve, Expression, Formula, PayloadPath, Query, QueryRequest};
use vectordb_service::{Result, ServiceError};

use super::{filter, needed, parsed_moment, point, refused};
use crate::wire;
use crate::wire::expression::Variant;

/// Deepest nesting of a formula, as in JSON.
const MAX_DEPTH: usize = 64;

pub(super) fn formula(formula: wire::Formula) -> Result<Formula> {
    Ok(Formula {
        expression: expression(needed(formula.expression, "formula.expression")?, 0)?,
        defaults: point::payload(formula.defaults)?.into_iter().collect(),
    })
}

fn expression(expression: wire::Expression, depth: usize) -> Result<Expression> {
    if depth > MAX_DEPTH {
        return Err(refused("the formula", format!("nests deeper than {MAX_DEPTH} levels")));
    }
    let inner = |one: wire::Expression| self::expression(one, depth + 1);
    let boxed = |one: Box<wire::Expression>| inner(*one).map(Box::new);
    let part = |part: Option<Box<wire::Expression>>, name: &str| boxed(needed(part, name)?);
    let all = |list: Vec<wire::Expression>| list.into_iter().map(inner).collect::<Result<Vec<_>>>();
    let some = |list: Vec<wire::Expression>, name: &str| match list.is_empty() {
        true => Err(refused(format!("`{name}`"), "needs at least one operand")),
        false => all(list),
    };
    Ok(match needed(expression.variant, "expression")? {
        Variant::Constant(number) => Expression::Constant(number.into()),
        Variant::Variable(name) => variable(&name)?,
        Variant::Condition(condition) => Expression::Condition(Box::new(filter::condition(condition)?)),
        Variant::GeoDistance(distance) => Expression::GeoDistance {
            origin: filter::place(needed(distance.origin, "geo_distance.origin")?)?,
            to: PayloadPath::parse(&distance.to)?,
        },
        Variant::Datetime(text) => Expression::Datetime(parsed_moment(&text)?),
        Variant::DatetimeKey(key) => Expression::DatetimeKey(PayloadPath::parse(&key)?),
        Variant::Sum(parts) => Expression::Sum(all(parts.sum)?),
        Variant::Mult(parts) => Expression::Mult(all(parts.mult)?),
        Variant::Max(parts) => Expression::Max(some(parts.max, "max")?),
        Variant::Min(parts) => Expression::Min(some(parts.min, "min")?),
        Variant::Neg(one) => Expression::Neg(boxed(one)?),
        Variant::Abs(one) => Expression::Abs(boxed(one)?),
        Variant::Sqrt(one) => Expression::Sqrt(boxed(one)?),
        Variant::Exp(one) => Expression::Exp(boxed(one)?),
        Variant::Log10(one) => Expression::Log10(boxed(one)?),
        Variant::Ln(one) => Expression::Ln(boxed(one)?),
        Variant::Acosh(one) => Expression::Acosh(boxed(one)?),
        Variant::Div(div) => Expression::Div {
            left: part(div.left, "div.left")?,
            right: part(div.right, "div.right")?,
            by_zero_default: div.by_zero_default.map(f64::from),
        },
        Variant::Pow(pow) => Expression::Pow { base: part(pow.base, "pow.base")?, exponent: part(pow.exponent, "pow.exponent")? },
        Variant::ExpDecay(params) => decay(*params, DecayCurve::Exponential, depth)?,
        Variant::GaussDecay(params) => decay(*params, DecayCurve::Gauss, depth)?,
        Variant::LinDecay(params) => decay(*params, DecayCurve::Linear, depth)?,
    })
}

fn decay(params: wire::DecayParamsExpression, curve: DecayCurve, depth: usize) -> Result<Expression> {
    let boxed = |one: Box<wire::Expression>| expression(*one, depth + 1).map(Box::new);
    let (scale, midpoint) = (params.scale.map_or(1.0, f64::from), params.midpoint.map_or(0.5, f64::from));
    if scale.is_nan() || scale <= 0.0 {
        return Err(refused("the scale of a decay", "must be greater than 0"));
    }
    if midpoint.is_nan() || midpoint <= 0.0 || midpoint >= 1.0 {
        return Err(refused("the midpoint of a decay", "must lie between 0 and 1"));
    }
    Ok(Expression::Decay { curve, x: boxed(needed(params.x, "decay.x")?)?, target: params.target.map(boxed).transpose()?, scale, midpoint })
}

/// A score or a field. Which is which is a matter of one place: the form that JSON has, too.
fn variable(name: &str) -> Result<Expression> {
    match QueryRequest::from_json(&json!({"query": {"formula": name}}))?.query {
        Some(Query::Formula(formula)) => Ok(formula.expression),
        other => Err(ServiceError::internal(format!("{other:?} is no formula"))),
    }
}
