//! Filters as text: `lang = 'en' AND year >= 2020 AND NOT tags IN ['a', 'b']`.

use super::filter::{Condition, FieldTest, Filter, MAX_FILTER_DEPTH, MatchSet, MatchValue, Range};
use super::payload::{DateTime, GeoPoint, PayloadPath};
use super::point::PointId;
use crate::error::{Error, Result};

impl Filter {
    /// Reads the text form.
    ///
    /// | text | holds when |
    /// |---|---|
    /// | `lang = 'en'`, `n != 3`, `ok = true` | some value is equal; no value is |
    /// | `x < 5`, `x >= 2.5`, `x BETWEEN 1 AND 5` | some number is in the range |
    /// | `at >= DATE '2024-01-31'` | some moment is |
    /// | `tag IN ['a', 'b']`, `tag NOT IN [1, 2]` | some value is in the list; some value is not |
    /// | `t MATCH 'all words'`, `t MATCH ANY 'some words'`, `t PHRASE 'these in order'` | the text holds the words |
    /// | `t PREFIX 'ab'`, `t CONTAINS 'x'` | some string starts with it; holds it |
    /// | `x IS EMPTY`, `x IS NOT NULL` | nothing is there; no null is there |
    /// | `COUNT(tags) > 2` | the number of values is in the range |
    /// | `loc WITHIN 1000 OF (13.4, 52.5)` | some place is so many metres from longitude, latitude |
    /// | `loc IN BOX (0, 10), (10, 0)` | some place is between north-west and south-east |
    /// | `items ANY (a = 1 AND b = 2)` | one element of the array satisfies all of it |
    /// | `ID IN [1, 'some-id']`, `HAS VECTOR 'image'` | the point has one of the ids; has the vector |
    ///
    /// Combine with `AND`, `OR`, `NOT` and parentheses; words in capitals may be written small. A field is a payload path;
    /// keys with odd characters stand in double quotes.
    ///
    /// # Errors
    /// [`Error::InvalidFilter`] whose position is the column, from 1.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0, end: text.chars().count() + 1 };
        let filter = parser.any_of(0)?;
        match parser.peek() {
            None => Ok(filter),
            Some(_) => parser.fail("expected AND, OR or the end"),
        }
    }
}

impl std::str::FromStr for Filter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A word: a keyword or a payload path.
    Word(String),
    Text(String),
    Integer(i64),
    Float(f64),
    Sign(&'static str),
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>> {
    const SIGNS: [&str; 11] = ["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", "[", "]"];
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let column = text.chars().count() - rest.chars().count() + 1;
        let Some(first) = rest.chars().next() else { return Ok(found) };
        let (token, used) = if first == '\'' {
            quoted(rest, column)?
        } else if let Some(after) = rest.strip_prefix(',') {
            (Token::Sign(","), rest.len() - after.len())
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else if first.is_ascii_digit() || ((first == '-' || first == '.') && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            number(rest, column)?
        } else if first.is_alphanumeric() || first == '_' || first == '"' {
            word(rest, column)?
        } else {
            return Err(Error::filter(format!("column {column}"), format!("unexpected `{first}`")));
        };
        found.push((column, token));
        rest = &rest[used..];
    }
}

/// A text in single quotes; a quote inside is doubled.
fn quoted(rest: &str, column: usize) -> Result<(Token, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        if char != '\'' {
            text.push(char);
        } else if chars.next_if(|&(_, next)| next == '\'').is_some() {
            text.push('\'');
        } else {
            return Ok((Token::Text(text), at + 1));
        }
    }
    Err(Error::filter(format!("column {column}"), "a quote is not closed"))
}

fn number(rest: &str, column: usize) -> Result<(Token, usize)> {
    let end = rest.char_indices().skip(1).find(|&(at, c)| {
        let exponent_sign = (c == '-' || c == '+') && rest[..at].ends_with(['e', 'E']);
        !(c.is_ascii_alphanumeric() || c == '.' || exponent_sign)
    });
    let text = &rest[..end.map_or(rest.len(), |(at, _)| at)];
    if let Ok(integer) = text.parse() {
        return Ok((Token::Integer(integer), text.len()));
    }
    match text.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok((Token::Float(float), text.len())),
        _ => Err(Error::filter(format!("column {column}"), format!("`{text}` is not a number"))),
    }
}

/// A word with everything that can be part of a path: dots, brackets with an index or nothing, keys in double quotes.
fn word(rest: &str, column: usize) -> Result<(Token, usize)> {
    let mut end = 0;
    let mut chars = rest.char_indices().peekable();
    while let Some(&(at, char)) = chars.peek() {
        if char == '"' {
            let Some(close) = rest[at + 1..].find('"') else {
                return Err(Error::filter(format!("column {column}"), "a double quote is not closed"));
            };
            end = at + close + 2;
        } else if char == '[' {
            let inside = &rest[at + 1..];
            let digits = inside.find(|c: char| !c.is_ascii_digit()).unwrap_or(inside.len());
            if !inside[digits..].starts_with(']') {
                break;
            }
            end = at + digits + 2;
        } else if char.is_alphanumeric() || matches!(char, '_' | '-' | '.') {
            end = at + char.len_utf8();
        } else {
            break;
        }
        while chars.next_if(|&(at, _)| at < end).is_some() {}
    }
    Ok((Token::Word(rest[..end].to_owned()), end))
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    /// Column behind the last character.
    end: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn fail<T>(&self, reason: impl Into<String>) -> Result<T> {
        let column = self.tokens.get(self.at).map_or(self.end, |(column, _)| *column);
        Err(Error::filter(format!("column {column}"), reason))
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        self.at += usize::from(found);
        found
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(keyword));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<()> {
        if self.sign(sign) { Ok(()) } else { self.fail(format!("expected `{sign}`")) }
    }

    fn any_of(&mut self, depth: usize) -> Result<Filter> {
        if depth >= MAX_FILTER_DEPTH {
            return self.fail(format!("nested deeper than {MAX_FILTER_DEPTH} levels"));
        }
        let mut parts = vec![self.all_of(depth)?];
        while self.keyword("OR") {
            parts.push(self.all_of(depth)?);
        }
        Ok(match parts.len() {
            1 => parts.swap_remove(0),
            _ => Filter::should(parts.into_iter().map(Filter::into_condition)),
        })
    }

    fn all_of(&mut self, depth: usize) -> Result<Filter> {
        let mut parts = vec![self.not(depth)?];
        while self.keyword("AND") {
            parts.push(self.not(depth)?);
        }
        Ok(match parts.len() {
            1 => parts.swap_remove(0),
            _ => Filter::must(parts.into_iter().map(Filter::into_condition)),
        })
    }

    fn not(&mut self, depth: usize) -> Result<Filter> {
        let mut negative = false;
        while self.keyword("NOT") {
            negative = !negative;
        }
        let filter = if self.sign("(") {
            let inner = self.any_of(depth + 1)?;
            self.expect(")")?;
            inner
        } else {
            self.comparison(depth)?
        };
        Ok(if negative { !filter } else { filter })
    }

    fn comparison(&mut self, depth: usize) -> Result<Filter> {
        if self.keyword("HAS") {
            if !self.keyword("VECTOR") {
                return self.fail("expected VECTOR");
            }
            return Ok(Condition::HasVector(self.text()?).into());
        }
        let Some(Token::Word(word)) = self.peek().cloned() else { return self.fail("expected a field") };
        let (is_id, is_count) = (word.eq_ignore_ascii_case("ID"), word.eq_ignore_ascii_case("COUNT"));
        let next_is = |token: &str| matches!(self.tokens.get(self.at + 1), Some((_, Token::Sign(sign))) if *sign == token);
        let next_in = matches!(self.tokens.get(self.at + 1), Some((_, Token::Word(next))) if next.eq_ignore_ascii_case("IN"));
        if is_count && next_is("(") {
            self.at += 2;
            let key = self.path()?;
            self.expect(")")?;
            let range = self.count_range()?;
            return Ok(Condition::Field { key, test: FieldTest::ValuesCount(range) }.into());
        }
        if is_id && (next_in || next_is("=")) {
            self.at += 1;
            return self.ids();
        }
        let key = self.path()?;
        self.test(key, depth)
    }

    fn path(&mut self) -> Result<PayloadPath> {
        let Some(Token::Word(word)) = self.peek().cloned() else { return self.fail("expected a field") };
        let path = PayloadPath::parse(&word).or_else(|error| self.fail(error.to_string()))?;
        self.at += 1;
        Ok(path)
    }

    fn ids(&mut self) -> Result<Filter> {
        let mut ids = Vec::new();
        if self.sign("=") {
            ids.push(self.id()?);
        } else {
            self.at += 1;
            self.list(|parser| {
                ids.push(parser.id()?);
                Ok(())
            })?;
        }
        Ok(Condition::HasId(ids).into())
    }

    fn id(&mut self) -> Result<PointId> {
        let id = match self.peek() {
            Some(Token::Integer(number)) => u64::try_from(*number).ok().map(PointId::Num),
            Some(Token::Text(text)) => PointId::parse(text).ok(),
            _ => None,
        };
        let Some(id) = id else { return self.fail("expected an id: a whole number or a text in quotes") };
        self.at += 1;
        Ok(id)
    }

    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.expect("[")?;
        while !self.sign("]") {
            item(self)?;
            if !self.sign(",") {
                return self.expect("]");
            }
        }
        Ok(())
    }

    fn text(&mut self) -> Result<String> {
        let Some(Token::Text(text)) = self.peek().cloned() else { return self.fail("expected a text in single quotes") };
        self.at += 1;
        Ok(text)
    }

    fn number(&mut self) -> Result<f64> {
        let number = match self.peek() {
            #[expect(clippy::cast_precision_loss, reason = "ranges compare numbers as floats")]
            Some(Token::Integer(number)) => *number as f64,
            Some(Token::Float(number)) => *number,
            _ => return self.fail("expected a number"),
        };
        self.at += 1;
        Ok(number)
    }

    fn test(&mut self, key: PayloadPath, depth: usize) -> Result<Filter> {
        let field = |test| Filter::from(Condition::Field { key: key.clone(), test });
        if self.keyword("IS") {
            let negative = self.keyword("NOT");
            let condition = if self.keyword("NULL") {
                Condition::IsNull(key)
            } else if self.keyword("EMPTY") {
                Condition::IsEmpty(key)
            } else {
                return self.fail("expected NULL or EMPTY");
            };
            let filter = Filter::from(condition);
            return Ok(if negative { !filter } else { filter });
        }
        if self.keyword("NOT") {
            return if self.keyword("IN") { Ok(field(FieldTest::Except(self.set()?))) } else { self.fail("expected IN") };
        }
        if self.keyword("IN") {
            if self.keyword("BOX") {
                let top_left = self.place()?;
                self.expect(",")?;
                return Ok(field(FieldTest::GeoBoundingBox { top_left, bottom_right: self.place()? }));
            }
            return Ok(field(FieldTest::Any(self.set()?)));
        }
        if self.keyword("ANY") {
            self.expect("(")?;
            let filter = Box::new(self.any_of(depth + 1)?);
            self.expect(")")?;
            return Ok(Condition::Nested { key, filter }.into());
        }
        if self.keyword("WITHIN") {
            let radius = self.number()?;
            if !self.keyword("OF") {
                return self.fail("expected OF");
            }
            return Ok(field(FieldTest::GeoRadius { center: self.place()?, radius }));
        }
        if self.keyword("BETWEEN") {
            let gte = Some(self.number()?);
            if !self.keyword("AND") {
                return self.fail("expected AND");
            }
            return Ok(field(FieldTest::Range(Range { gte, lte: Some(self.number()?), ..Range::default() })));
        }
        self.text_test(&field).unwrap_or_else(|| self.operator(&field))
    }

    /// Tests that take a text, if one comes next.
    fn text_test(&mut self, field: &dyn Fn(FieldTest) -> Filter) -> Option<Result<Filter>> {
        let make: fn(String) -> FieldTest = if self.keyword("MATCH") {
            if self.keyword("ANY") { FieldTest::TextAny } else { FieldTest::Text }
        } else if self.keyword("PHRASE") {
            FieldTest::Phrase
        } else if self.keyword("PREFIX") {
            FieldTest::Prefix
        } else if self.keyword("CONTAINS") {
            FieldTest::Substring
        } else {
            return None;
        };
        Some(self.text().map(|text| field(make(text))))
    }

    fn operator(&mut self, field: &dyn Fn(FieldTest) -> Filter) -> Result<Filter> {
        let Some(Token::Sign(sign @ ("=" | "!=" | "<>" | "<" | "<=" | ">" | ">="))) = self.peek().cloned() else {
            return self.fail("expected =, !=, <, <=, >, >=, IN, NOT IN, IS, BETWEEN, MATCH, PHRASE, PREFIX, CONTAINS, WITHIN or ANY");
        };
        self.at += 1;
        if self.keyword("DATE") {
            let Some(moment) = DateTime::parse(&self.text()?) else {
                self.at -= 1;
                return self.fail("expected a moment like '2024-01-31T12:00:00Z'");
            };
            return Ok(negated(sign, field(FieldTest::DateTimeRange(range(sign, moment)))));
        }
        if !matches!(sign, "=" | "!=" | "<>") {
            return Ok(field(FieldTest::Range(range(sign, self.number()?))));
        }
        let test = match self.peek().cloned() {
            Some(Token::Text(text)) => FieldTest::Value(MatchValue::Keyword(text)),
            Some(Token::Integer(number)) => FieldTest::Value(MatchValue::Integer(number)),
            Some(Token::Float(number)) => FieldTest::Range(range("=", number)),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("true") => FieldTest::Value(MatchValue::Bool(true)),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("false") => FieldTest::Value(MatchValue::Bool(false)),
            _ => return self.fail("expected a text in single quotes, a number, true or false"),
        };
        self.at += 1;
        Ok(negated(sign, field(test)))
    }

    fn set(&mut self) -> Result<MatchSet> {
        let (mut keywords, mut integers) = (Vec::new(), Vec::new());
        self.list(|parser| {
            match parser.peek().cloned() {
                Some(Token::Text(text)) if integers.is_empty() => keywords.push(text),
                Some(Token::Integer(number)) if keywords.is_empty() => integers.push(number),
                _ => return parser.fail("expected texts in single quotes, or integers"),
            }
            parser.at += 1;
            Ok(())
        })?;
        Ok(if integers.is_empty() { MatchSet::Keywords(keywords) } else { MatchSet::Integers(integers) })
    }

    fn count_range(&mut self) -> Result<Range<u64>> {
        let Some(Token::Sign(sign @ ("=" | "<" | "<=" | ">" | ">="))) = self.peek().cloned() else {
            return self.fail("expected =, <, <=, > or >=");
        };
        self.at += 1;
        let count = match self.peek() {
            Some(Token::Integer(number)) => u64::try_from(*number).ok(),
            _ => None,
        };
        let Some(count) = count else { return self.fail("expected a whole number") };
        self.at += 1;
        Ok(range(sign, count))
    }

    fn place(&mut self) -> Result<GeoPoint> {
        self.expect("(")?;
        let lon = self.number()?;
        self.expect(",")?;
        let lat = self.number()?;
        let place = GeoPoint::new(lon, lat).or_else(|error| self.fail(error.to_string()))?;
        self.expect(")")?;
        Ok(place)
    }
}

fn negated(sign: &str, filter: Filter) -> Filter {
    if matches!(sign, "!=" | "<>") { !filter } else { filter }
}

fn range<T: Copy>(sign: &str, bound: T) -> Range<T> {
    let mut range = Range::default();
    match sign {
        "<" => range.lt = Some(bound),
        "<=" => range.lte = Some(bound),
        ">" => range.gt = Some(bound),
        ">=" => range.gte = Some(bound),
        _ => (range.gte, range.lte) = (Some(bound), Some(bound)),
    }
    range
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn texts_mean_what_their_json_means() {
        let field = |name: &str, test: Value| json!({"must": [{"key": "a", name: test}]});
        let cases = [
            ("a = 'x'", field("match", json!({"value": "x"}))),
            ("a = 'it''s'", field("match", json!({"value": "it's"}))),
            ("a = -3", field("match", json!({"value": -3}))),
            ("a = TRUE", field("match", json!({"value": true}))),
            ("a = 2.5", field("range", json!({"gte": 2.5, "lte": 2.5}))),
            ("a >= 1e3", field("range", json!({"gte": 1000.0}))),
            ("a BETWEEN 1 AND 2", field("range", json!({"gte": 1.0, "lte": 2.0}))),
            ("a < DATE '2024-01-01'", field("range", json!({"lt": "2024-01-01T00:00:00Z"}))),
            ("a in ['x', 'y']", field("match", json!({"any": ["x", "y"]}))),
            ("a NOT IN [1, 2]", field("match", json!({"except": [1, 2]}))),
            ("a MATCH 'x y'", field("match", json!({"text": "x y"}))),
            ("a MATCH ANY 'x y'", field("match", json!({"text_any": "x y"}))),
            ("a PHRASE 'x y'", field("match", json!({"phrase": "x y"}))),
            ("a PREFIX 'x'", field("match", json!({"prefix": "x"}))),
            ("a CONTAINS 'x'", field("match", json!({"substring": "x"}))),
            ("COUNT(a) > 2", field("values_count", json!({"gt": 2}))),
            ("a WITHIN 5.5 OF (1, 2)", field("geo_radius", json!({"center": {"lon": 1.0, "lat": 2.0}, "radius": 5.5}))),
            ("a IS NULL", json!({"must": [{"is_null": {"key": "a"}}]})),
            ("a IS NOT EMPTY", json!({"must_not": [{"is_empty": {"key": "a"}}]})),
            ("a != 1", json!({"must_not": [{"key": "a", "match": {"value": 1}}]})),
            ("ID IN [1, 'x']", json!({"must": [{"has_id": [1, "x"]}]})),
            ("HAS VECTOR ''", json!({"must": [{"has_vector": ""}]})),
            ("\"x y\".b[].c[0] = 1", json!({"must": [{"key": "\"x y\".b[].c[0]", "match": {"value": 1}}]})),
            (
                "a ANY (b = 1 AND c = 2)",
                json!({"must": [{"nested": {"key": "a", "filter": {"must": [
                    {"key": "b", "match": {"value": 1}}, {"key": "c", "match": {"value": 2}}]}}}]}),
            ),
            (
                "a = 1 OR b = 2 AND NOT (c = 3)",
                json!({"should": [{"key": "a", "match": {"value": 1}},
                    {"must": [{"key": "b", "match": {"value": 2}}, {"must_not": [{"key": "c", "match": {"value": 3}}]}]}]}),
            ),
        ];
        for (text, json) in cases {
            let filter = Filter::parse(text).expect(text);
            assert_eq!(filter, Filter::from_json(&json).expect(text), "{text}");
        }
    }

    #[test]
    fn errors_name_the_column() {
        let cases = [
            ("", 1),
            ("a", 2),
            ("a = ", 5),
            ("a = 'x", 5),
            ("a = 1 b", 7),
            ("a = 1 AND", 10),
            ("(a = 1", 7),
            ("a IN [1, 'x']", 10),
            ("a == 1", 4),
            ("a > 'x'", 5),
            ("a WITHIN 5 OF (500, 2)", 22),
            ("ä.b ~ 1", 5),
            ("a = 1e999", 5),
        ];
        for (text, column) in cases {
            match Filter::parse(text) {
                Err(Error::InvalidFilter { position, .. }) => assert_eq!(position, format!("column {column}"), "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(Filter::parse(&"(".repeat(10_000)).is_err());
        assert!(Filter::parse(&"NOT ".repeat(10_000)).is_err());
    }
}
