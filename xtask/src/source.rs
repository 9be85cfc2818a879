//! Reads Rust sources just well enough: comments, strings and test modules are put aside, the rest is cut into tokens.
//!
//! Not a parser. It knows paths, `use` trees, braces and `unsafe`, and is right for code that rustfmt has formatted.

/// A source file with everything that is not code blanked out.
pub(crate) struct Source {
    lines: Vec<String>,
    tokens: Vec<Token>,
    is_code: Vec<bool>,
    test_modules: Vec<String>,
}

/// A path as written, such as `crate::model::Point`, and its line.
#[derive(Debug, PartialEq)]
pub(crate) struct Path {
    pub(crate) line: usize,
    pub(crate) names: Vec<String>,
    /// Modules written out in this file around it.
    pub(crate) inside: Vec<String>,
}

/// A function: its name, the line it starts on, and its lines of code.
#[derive(Debug, PartialEq)]
pub(crate) struct Function {
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) code_lines: usize,
}

/// One use of `unsafe`.
#[derive(Debug, PartialEq)]
pub(crate) struct Unsafe {
    pub(crate) line: usize,
    /// Whether the comment that justifies it is there.
    pub(crate) justified: bool,
}

#[derive(Debug, Clone)]
struct Token {
    /// From 0.
    line: usize,
    text: String,
}

impl Source {
    /// Reads a file. With `tests` its test modules count as code.
    pub(crate) fn parse(text: &str, tests: bool) -> Self {
        let mut tokens = tokenize(&blank(text));
        let mut test_modules = Vec::new();
        if !tests {
            tokens = without_tests(tokens, &mut test_modules);
        }
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut is_code = vec![false; lines.len()];
        for token in &tokens {
            is_code[token.line] = true;
        }
        Self { lines, tokens, is_code, test_modules }
    }

    /// Lines that hold code.
    pub(crate) fn code_lines(&self) -> usize {
        self.is_code.iter().filter(|&&is_code| is_code).count()
    }

    /// Names of the test modules that live in files of their own.
    pub(crate) fn test_modules(&self) -> &[String] {
        &self.test_modules
    }

    /// Every path of two names and more, `use` trees written out.
    pub(crate) fn paths(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        let mut modules: Vec<(String, usize)> = Vec::new();
        let (mut depth, mut at) = (0, 0);
        while at < self.tokens.len() {
            let inside = || modules.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
            match self.text(at) {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    modules.retain(|&(_, opened)| opened < depth + 1);
                }
                "mod" if self.text(at + 2) == "{" => modules.push((self.text(at + 1).to_owned(), depth)),
                "use" => {
                    let first = paths.len();
                    at = self.use_tree(at + 1, &mut Vec::new(), &mut paths);
                    let inside = inside();
                    paths[first..].iter_mut().for_each(|path| path.inside.clone_from(&inside));
                    continue;
                }
                name if is_name(name) && self.text(at + 1) == "::" => {
                    let mut path = Path { line: self.tokens[at].line + 1, names: vec![name.to_owned()], inside: inside() };
                    while self.text(at + 1) == "::" && is_name(self.text(at + 2)) {
                        path.names.push(self.text(at + 2).to_owned());
                        at += 2;
                    }
                    paths.push(path);
                }
                _ => {}
            }
            at += 1;
        }
        paths
    }

    /// Writes out the tree that starts at a token; gives the token after it.
    fn use_tree(&self, mut at: usize, prefix: &mut Vec<String>, paths: &mut Vec<Path>) -> usize {
        let kept = prefix.len();
        let line = self.tokens.get(at).map_or(0, |token| token.line) + 1;
        loop {
            match self.text(at) {
                "{" => {
                    at += 1;
                    while !matches!(self.text(at), "}" | "") {
                        at = self.use_tree(at, prefix, paths);
                        at += usize::from(self.text(at) == ",");
                    }
                    prefix.truncate(kept);
                    return at + 1;
                }
                "::" => at += 1,
                name if is_name(name) || name == "*" => {
                    prefix.push(name.to_owned());
                    at += 1;
                    at += if self.text(at) == "as" { 2 } else { 0 };
                }
                _ => {
                    paths.push(Path { line, names: prefix.clone(), inside: Vec::new() });
                    prefix.truncate(kept);
                    return at;
                }
            }
        }
    }

    /// Every function that has a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let starts = (0..self.tokens.len()).filter(|&at| self.text(at) == "fn" && is_name(self.text(at + 1)));
        starts.filter_map(|at| self.function(at)).collect()
    }

    fn function(&self, at: usize) -> Option<Function> {
        let open = body(&self.tokens, at)?;
        let close = closing(&self.tokens, open);
        let (first, last) = (self.tokens[at].line, self.tokens.get(close)?.line);
        let code_lines = self.is_code[first..=last].iter().filter(|&&is_code| is_code).count();
        Some(Function { line: first + 1, name: self.text(at + 1).to_owned(), code_lines })
    }

    /// Every unsafe block, impl, function and trait. Types of unsafe function pointers need no justification.
    pub(crate) fn unsafes(&self) -> Vec<Unsafe> {
        let uses = (0..self.tokens.len()).filter(|&at| self.text(at) == "unsafe" && self.text(at + 1) != "(");
        uses.filter_map(|at| {
            let words = match self.text(at + 1) {
                "fn" if self.text(at + 2) == "(" => return None,
                "extern" if self.text(at + 3) == "fn" && self.text(at + 4) == "(" => return None,
                "fn" | "trait" => "# Safety",
                "extern" if self.text(at + 3) == "fn" => "# Safety",
                _ => "SAFETY:",
            };
            Some(Unsafe { line: self.tokens[at].line + 1, justified: self.comment_above(self.tokens[at].line, words) })
        })
        .collect()
    }

    /// Whether these words stand in the comments directly above a statement; attributes may come between.
    fn comment_above(&self, line: usize, words: &str) -> bool {
        for above in (0..line).rev() {
            let text = self.lines[above].trim();
            if text.starts_with("//") {
                if text.contains(words) {
                    return true;
                }
            } else if !text.starts_with("#[") && (text.is_empty() || text.ends_with([';', '{', '}', ','])) {
                return false;
            }
        }
        false
    }

    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Replaces comments by spaces and the inside of strings and characters by quotes; lines stay where they are.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let (len, filler) = match rest {
            ['/', '/', ..] => (rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()), ' '),
            ['/', '*', ..] => (block_comment(rest), ' '),
            ['"', ..] => (string(rest), '"'),
            ['r', '"' | '#', ..] if !is_name_end(&out) => (raw_string(rest), '"'),
            ['b' | 'c', 'r', '"' | '#', ..] if !is_name_end(&out) => (1 + raw_string(&rest[1..]), '"'),
            ['\'', '\\', _, tail @ ..] => (4 + tail.iter().position(|&c| c == '\'').unwrap_or(0), '"'),
            ['\'', _, '\'', ..] => (3, '"'),
            _ => (0, ' '),
        };
        if len == 0 {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        let end = (at + len).min(chars.len());
        out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { filler }));
        at = end;
    }
    out
}

fn is_name_end(out: &str) -> bool {
    out.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Length of a raw string; 0 when it is a raw name such as `r#type`.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    let start = 2 + hashes;
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let ends = |at: usize| rest[at] == '"' && rest.len() > at + hashes && rest[at + 1..=at + hashes].iter().all(|&c| c == '#');
    (start..rest.len()).find(|&at| ends(at)).map_or(rest.len(), |at| at + hashes + 1)
}

fn tokenize(blanked: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (line, text) in blanked.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let len = match name {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                _ => name,
            };
            tokens.push(Token { line, text: rest[..len].to_owned() });
            rest = rest[len..].trim_start();
        }
    }
    tokens
}

/// Drops every item under `#[cfg(test)]`, noting modules whose body is another file.
fn without_tests(tokens: Vec<Token>, modules: &mut Vec<String>) -> Vec<Token> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let test = is(at, "#") && is(at + 1, "[") && is(at + 2, "cfg") && is(at + 3, "(");
        let close = (at..tokens.len()).find(|&at| is(at, "]")).unwrap_or(tokens.len());
        let positive = test && (is(at + 4, "test") || is(at + 4, "all") && tokens[at..close].iter().any(|token| token.text == "test"));
        if !positive {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let start = close + 1;
        at = item_end(&tokens, start);
        if is(at - 1, ";") && is(at - 3, "mod") {
            modules.push(tokens[at - 2].text.clone());
        }
    }
    kept
}

/// The token after an item, or after a field or variant, that starts at a token.
fn item_end(tokens: &[Token], start: usize) -> usize {
    const ITEMS: [&str; 13] =
        ["mod", "fn", "use", "impl", "struct", "enum", "const", "static", "type", "trait", "unsafe", "extern", "macro_rules"];
    let mut depth = 0;
    let mut is_item = None;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "{" if depth == 0 => return closing(tokens, at) + 1,
            ";" if depth == 0 => return at + 1,
            "," if depth == 0 && is_item == Some(false) => return at + 1,
            "}" if depth == 0 => return at,
            name if depth == 0 && is_name(name) && name != "pub" => is_item = is_item.or(Some(ITEMS.contains(&name))),
            _ => {}
        }
    }
    tokens.len()
}

/// The brace that opens a function's body; `None` for a declaration.
fn body(tokens: &[Token], at: usize) -> Option<usize> {
    let mut depth = 0;
    for (offset, token) in tokens[at..].iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "{" if depth == 0 => return Some(at + offset),
            ";" if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The brace that closes the one at `open`; the end when there is none.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (offset, token) in tokens[open..].iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + offset;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        Source::parse(text, false).paths().iter().map(|path| path.names.join("::")).collect()
    }

    #[test]
    fn use_trees_are_written_out() {
        let text = "use crate::{\n    graph::{Graph, links::Links as L},\n    wal::*,\n};\npub(crate) use super::super::model;\n";
        assert_eq!(paths(text), ["crate::graph::Graph", "crate::graph::links::Links", "crate::wal::*", "super::super::model"]);
        assert_eq!(Source::parse(text, false).paths()[2].line, 3);
    }

    #[test]
    fn paths_in_comments_strings_and_tests_are_not_code() {
        let text = "// crate::a::b\n/* crate::c /* x */ crate::d */ const A: &str = \"crate::e\";\nconst B: &str = r#\"crate::\"f\"#;\n\
                    fn f<'a>(x: &'a str) -> char { '\"' }\nfn g() { crate::h::i() }\n#[cfg(test)]\nmod tests {\n use crate::j::k;\n}\n";
        assert_eq!(paths(text), ["crate::h::i"]);
    }

    #[test]
    fn only_what_is_marked_is_a_test() {
        let text = "struct S {\n    #[cfg(test)]\n    probe: fn([u8; 2]) -> crate::a::B,\n    real: crate::c::D,\n}\n\
                    #[cfg(test)]\n#[rustfmt::skip]\npub(crate) fn f<A, B>(x: [u8; 2]) -> crate::e::F { x }\nfn g() { crate::h::i() }\n";
        assert_eq!(paths(text), ["crate::c::D", "crate::h::i"]);
    }

    #[test]
    fn test_modules_in_files_are_named() {
        assert_eq!(Source::parse("#[cfg(test)]\npub(crate) mod faults;\nmod real;\n", false).test_modules(), ["faults"]);
    }

    #[test]
    fn functions_are_measured_without_comments_and_blank_lines() {
        let text = "fn short(a: [u8; 2]) -> u8 {\n    // why\n\n    a[0]\n}\ntrait T { fn declared(&self); }\n";
        assert_eq!(Source::parse(text, false).functions(), [Function { line: 1, name: "short".into(), code_lines: 3 }]);
        assert_eq!(Source::parse(text, false).code_lines(), 4);
    }

    #[test]
    fn unsafe_without_its_comment_is_found() {
        let bare =
            "fn f() {\n    let x = 1;\n    unsafe { g() }\n}\nunsafe impl Send for X {}\npub unsafe fn g() {}\ntype F = unsafe fn(u8);\n";
        assert_eq!(Source::parse(bare, true).unsafes().iter().filter(|each| !each.justified).count(), 3);
        let justified = "fn f() {\n    // SAFETY: checked above.\n    #[expect(unsafe_code)]\n    let x =\n        unsafe { g() };\n}\n\
                         // SAFETY: plain data.\nunsafe impl Send for X {}\n/// # Safety\n/// Never twice.\n#[inline]\npub unsafe fn g() {}\n";
        assert_eq!(Source::parse(justified, true).unsafes().iter().map(|each| each.justified).collect::<Vec<_>>(), [true; 3]);
    }
}
