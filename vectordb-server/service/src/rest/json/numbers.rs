//! Lists of numbers, which is what most of the bytes of most bodies are, and which the standard library reads faster than the
//! reader of JSON does.

use serde::de::Error;
use serde_json::value::RawValue;

/// The numbers of a list that has nothing else in it.
pub(super) fn numbers(raw: &RawValue) -> Option<Vec<f32>> {
    let mut rest = raw.get().strip_prefix('[')?.trim_ascii_start();
    if rest == "]" {
        return Some(Vec::new());
    }
    // Seldom are they shorter.
    let mut values = Vec::with_capacity(rest.len() / 8);
    loop {
        let end = rest.bytes().position(|byte| matches!(byte, b',' | b']' | b'[' | b'{' | b'"') || byte.is_ascii_whitespace())?;
        let (number, behind) = rest.split_at(end);
        // As JSON is a value already, what begins so is a number.
        if !number.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32; infinite ones are refused with their point")]
        values.push(number.parse::<f64>().ok()? as f32);
        let behind = behind.trim_ascii_start();
        match behind.strip_prefix(',') {
            Some(next) => rest = next.trim_ascii_start(),
            None => return (behind == "]").then_some(values),
        }
    }
}

/// What is wrong with a part of a body, for the error of the body, which knows where.
pub(super) fn misread<E: Error>(error: &serde_json::Error) -> E {
    let text = error.to_string();
    E::custom(text.split(" at line ").next().unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<f32>> {
        numbers(serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn numbers_are_what_the_reader_of_json_makes_of_them() {
        let texts =
            ["[]", "[ ]", "[1]", "[ 1 ,\n-2.5e-3\t, 0.12345678901234567, 1E+30, -0, 123456789012345678901234567890, 1e300, 5e-324]"];
        for text in texts {
            let exact: Vec<f64> = serde_json::from_str(text).expect("numbers");
            let exact: Vec<u32> = exact.into_iter().map(|number| (number as f32).to_bits()).collect();
            assert_eq!(read(text).expect("numbers").into_iter().map(f32::to_bits).collect::<Vec<_>>(), exact, "{text}");
        }
    }

    #[test]
    fn other_lists_are_left_to_others() {
        for text in ["[[1]]", "[1, [2]]", "[1, \"a\"]", "[null]", "[1, true]", "[{}]", "{}", "1", "\"[1]\"", "null"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
