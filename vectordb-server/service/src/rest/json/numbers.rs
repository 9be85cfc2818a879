//! Lists of numbers, which is what most of the bytes of most bodies are. They are read to floats: most by one division of doubles, and
//! by the standard library where that could round to another float than it does.

use serde::de::Error;
use serde_json::value::RawValue;

/// The numbers of a list that has nothing else in it.
pub(super) fn numbers(raw: &RawValue) -> Option<Vec<f32>> {
    let text = raw.get().as_bytes();
    let (values, end) = list(text)?;
    (end == text.len()).then_some(values)
}

/// The numbers of the list that a text begins with, if it has nothing else in it, and where it ends.
pub(super) fn list(text: &[u8]) -> Option<(Vec<f32>, usize)> {
    if text.first() != Some(&b'[') {
        return None;
    }
    let mut at = after_space(text, 1);
    if text.get(at) == Some(&b']') {
        return Some((Vec::new(), at + 1));
    }
    // Seldom are they shorter.
    let mut values = Vec::with_capacity(text.len() / 8);
    loop {
        let (value, end) = number(text, at)?;
        values.push(value);
        at = after_space(text, end);
        match text.get(at)? {
            b',' => at = after_space(text, at + 1),
            b']' => return Some((values, at + 1)),
            _ => return None,
        }
    }
}

/// The first place from one on that is no space.
#[inline]
pub(super) fn after_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\t' | b'\r')) {
        at += 1;
    }
    at
}

/// Powers of ten that a double has exactly.
const TENS: [f64; 23] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];
/// Most digits that always fit into 64 bits.
const DIGITS: usize = 19;
/// Bits of a double's fraction that a float has not, and how near to half of them a double must not be that is only nearly right.
const CUT: u32 = f64::MANTISSA_DIGITS - f32::MANTISSA_DIGITS;
const DOUBT: u64 = 8;

/// The number at a place, rounded to a double and then to a float, and where it ends; nothing where there is none as JSON has them.
#[inline]
fn number(text: &[u8], start: usize) -> Option<(f32, usize)> {
    let negative = text.get(start) == Some(&b'-');
    let first = start + usize::from(negative);
    let mut digits = 0;
    let mut at = read_digits(text, first, &mut digits);
    if at == first || (text[first] == b'0' && at > first + 1) {
        return None;
    }
    let (mut read, mut decimals) = (at - first, 0);
    if text.get(at) == Some(&b'.') {
        let end = read_digits(text, at + 1, &mut digits);
        decimals = end - at - 1;
        if decimals == 0 {
            return None;
        }
        read += decimals;
        at = end;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let end = read_digits(text, at + 1 + signed, &mut 0);
        return if end == at + 1 + signed { None } else { Some((by_library(&text[start..end])?, end)) };
    }
    // Zeros in front are read, but are none of the number's digits.
    let value = if read <= DIGITS || (read <= DIGITS + 1 && text[first] == b'0') { nearest(digits, decimals) } else { None };
    let Some(value) = value else { return Some((by_library(&text[start..at])?, at)) };
    Some((if negative { -value } else { value }, at))
}

/// Adds the digits from a place on to a number, and tells where they end.
#[inline]
fn read_digits(text: &[u8], mut at: usize, number: &mut u64) -> usize {
    while let Some(eight) = text.get(at..at + 8).and_then(|eight| eight.try_into().ok()).and_then(eight_digits) {
        *number = number.wrapping_mul(100_000_000).wrapping_add(eight);
        at += 8;
    }
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        *number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    at
}

/// Eight digits in three multiplications (Lemire, "Number Parsing at a Gigabyte per Second", 2021).
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const PAIRS: u64 = 0x0000_00ff_0000_00ff;
    let bytes = u64::from_le_bytes(text);
    if bytes & HIGH != ZEROS || bytes.wrapping_add(0x0606_0606_0606_0606) & HIGH != ZEROS {
        return None;
    }
    let ones = bytes - ZEROS;
    let pairs = ones.wrapping_mul(10).wrapping_add(ones >> 8);
    let (odd, even) = (pairs & PAIRS, (pairs >> 16) & PAIRS);
    Some(odd.wrapping_mul(100 + (1_000_000 << 32)).wrapping_add(even.wrapping_mul(1 + (10_000 << 32))) >> 32)
}

/// Digits over a power of ten; nothing where a rounded quotient does not tell on which side of the middle between two floats it lies.
#[inline]
fn nearest(digits: u64, decimals: usize) -> Option<f32> {
    #[expect(clippy::cast_precision_loss, reason = "what is lost is looked for below")]
    let quotient = digits as f64 / *TENS.get(decimals)?;
    let exact = digits < 1 << f64::MANTISSA_DIGITS;
    let cut = quotient.to_bits() & ((1 << CUT) - 1);
    #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
    let rounded = quotient as f32;
    (exact || cut.abs_diff(1 << (CUT - 1)) > DOUBT).then_some(rounded)
}

#[cold]
fn by_library(text: &[u8]) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32; infinite ones are refused with their point")]
    let rounded = std::str::from_utf8(text).ok()?.parse::<f64>().ok()? as f32;
    Some(rounded)
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
    fn numbers_of_every_length_are_rounded_as_by_the_library() {
        let mut state = 7u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 11
        };
        for _ in 0..200_000 {
            let float = f32::from_bits(u32::try_from(random() & 0x3fff_ffff).unwrap_or_default());
            // Halfway between two floats, or nearly.
            let middle = (f64::from(float) + f64::from(f32::from_bits(float.to_bits() + 1))) / 2.0;
            let near = f64::from_bits((middle.to_bits() + random() % 5).saturating_sub(2));
            let decimals = usize::try_from(random() % 24).unwrap_or_default();
            for text in [
                format!("{}", f64::from(float)),
                format!("-{float}"),
                format!("{middle}"),
                format!("{near}"),
                format!("{near:.decimals$}"),
                format!("{}.{:0decimals$}", random() % 1000, random()),
                format!("{}", random().wrapping_mul(random())),
            ] {
                let expected = text.parse::<f64>().expect("a number") as f32;
                let (read, end) = number(text.as_bytes(), 0).expect("a number");
                assert_eq!((read.to_bits(), end), (expected.to_bits(), text.len()), "{text}");
            }
        }
    }

    #[test]
    fn what_json_has_not_is_no_number() {
        for text in ["", "-", "01", "-01.5", ".5", "1.", "1.e3", "1e", "1e+", "+1", "NaN", "Infinity", "0x10", "--1"] {
            let list_of_it = format!("[{text}]");
            assert!(text.is_empty() || list(list_of_it.as_bytes()).is_none(), "{text}");
            assert!(number(text.as_bytes(), 0).is_none_or(|(_, end)| end < text.len()), "{text}");
        }
        for text in ["[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "1", "[1;2]"] {
            assert!(list(text.as_bytes()).is_none(), "{text}");
        }
        assert_eq!(list(b"[1, 2.5 ], 3"), Some((vec![1.0, 2.5], 9)));
    }

    #[test]
    fn other_lists_are_left_to_others() {
        for text in ["[[1]]", "[1, [2]]", "[1, \"a\"]", "[null]", "[1, true]", "[{}]", "{}", "1", "\"[1]\"", "null"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
