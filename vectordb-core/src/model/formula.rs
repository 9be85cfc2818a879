//! Formulas that score points by earlier scores and by their payload.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::filter::Condition;
use super::payload::{DateTime, GeoPoint, PayloadPath, Value};

/// A formula and what stands in for missing values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Formula {
    /// The expression.
    pub expression: Expression,
    /// Values of variables that a point does not have, by their names: `$score`, `$score[1]`, or a path.
    pub defaults: BTreeMap<String, Value>,
}

/// An expression whose value is a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Expression {
    /// A number.
    Constant(f64),
    /// The point's score in a prefetch, counted from 0; 0 where it is not among its hits and has no default.
    Score(usize),
    /// A number of the payload; an error where there is none, or more than one.
    Key(PayloadPath),
    /// 1 where the condition holds, else 0.
    Condition(Box<Condition>),
    /// The sum; 0 of nothing.
    Sum(Vec<Self>),
    /// The product; 1 of nothing. What follows a factor of 0 is not looked at.
    Mult(Vec<Self>),
    /// The largest.
    Max(Vec<Self>),
    /// The smallest.
    Min(Vec<Self>),
    /// The negative.
    Neg(Box<Self>),
    /// The absolute value.
    Abs(Box<Self>),
    /// A quotient.
    Div {
        /// Dividend; where it is 0 the divisor is not looked at.
        left: Box<Self>,
        /// Divisor.
        right: Box<Self>,
        /// The value where the divisor is 0; an error without it.
        by_zero_default: Option<f64>,
    },
    /// The square root.
    Sqrt(Box<Self>),
    /// A power.
    Pow {
        /// Base.
        base: Box<Self>,
        /// Exponent.
        exponent: Box<Self>,
    },
    /// e to the power of.
    Exp(Box<Self>),
    /// The decimal logarithm.
    Log10(Box<Self>),
    /// The natural logarithm.
    Ln(Box<Self>),
    /// The inverse hyperbolic cosine.
    Acosh(Box<Self>),
    /// Metres between a place and a place of the payload.
    GeoDistance {
        /// The place.
        origin: GeoPoint,
        /// Where the other one is.
        to: PayloadPath,
    },
    /// A moment, in seconds since 1970.
    Datetime(DateTime),
    /// A moment of the payload, in seconds since 1970.
    DatetimeKey(PayloadPath),
    /// A number that falls from 1 as `x` moves away from a target.
    Decay {
        /// The shape of the fall.
        curve: DecayCurve,
        /// The variable.
        x: Box<Self>,
        /// Where the value is 1; `None` is 0.
        target: Option<Box<Self>>,
        /// The distance from the target at which the value is `midpoint`.
        scale: f64,
        /// Between 0 and 1.
        midpoint: f64,
    },
}

/// How a decay falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DecayCurve {
    /// A straight line down to 0.
    Linear,
    /// An exponential.
    Exponential,
    /// A Gaussian bell.
    Gauss,
}

impl Expression {
    /// The parts of an expression.
    pub(crate) fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Sum(parts) | Self::Mult(parts) | Self::Max(parts) | Self::Min(parts) => parts.iter().collect(),
            Self::Neg(part)
            | Self::Abs(part)
            | Self::Sqrt(part)
            | Self::Exp(part)
            | Self::Log10(part)
            | Self::Ln(part)
            | Self::Acosh(part) => vec![part],
            Self::Div { left, right, .. } => vec![left, right],
            Self::Pow { base, exponent } => vec![base, exponent],
            Self::Decay { x, target, .. } => std::iter::once(&**x).chain(target.as_deref()).collect(),
            Self::Constant(_)
            | Self::Score(_)
            | Self::Key(_)
            | Self::Condition(_)
            | Self::GeoDistance { .. }
            | Self::Datetime(_)
            | Self::DatetimeKey(_) => Vec::new(),
        }
    }
}

impl From<Expression> for Formula {
    fn from(expression: Expression) -> Self {
        Self { expression, defaults: BTreeMap::new() }
    }
}

impl Formula {
    /// Sets the value of a variable for points that do not have it.
    #[must_use]
    pub fn with_default(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.defaults.insert(name.into(), value.into());
        self
    }
}
