//! When a certificate expires (RFC 5280, section 4.1).
//!
//! Nothing else of it is read: who is shown a certificate verifies it himself.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
/// The version, which the first ones do not have.
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of a certificate's validity, in seconds since 1970; none for what is no certificate.
pub(super) fn expires_unix_secs(certificate: &[u8]) -> Option<i64> {
    let (_, certificate, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, mut rest, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    if element(rest)?.0 == VERSION {
        rest = element(rest)?.2;
    }
    // Number, algorithm and issuer come first.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (tag, text, _) = element(element(validity)?.2)?;
    moment(tag, std::str::from_utf8(text).ok()?)
}

/// Tag and content of the first element, and what comes after it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        0..=0x7F => (usize::from(short), rest),
        // How many bytes the length has.
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(short & 0x7F))?;
            (length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ`, or the same with four digits of the year.
fn moment(tag: u8, text: &str) -> Option<i64> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (year + if year < 50 { 2000 } else { 1900 }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let civil = DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()?;
    Some(TimeZone::UTC.to_timestamp(civil).ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_say_when_they_expire() {
        for year in [2030, 2071] {
            let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
            params.not_after = rcgen::date_time_ymd(year, 7, 1);
            let key = rcgen::KeyPair::generate().expect("a key");
            let certificate = params.self_signed(&key).expect("a certificate");
            let wanted = DateTime::new(i16::try_from(year).expect("small"), 7, 1, 0, 0, 0, 0).expect("a date");
            let wanted = TimeZone::UTC.to_timestamp(wanted).expect("a moment").as_second();
            assert_eq!(expires_unix_secs(certificate.der()), Some(wanted));
            for length in 0..certificate.der().len().min(120) {
                assert_eq!(expires_unix_secs(&certificate.der()[..length]), None, "cut at {length}");
            }
        }
    }

    #[test]
    fn moments_of_both_forms_are_read() {
        assert_eq!(moment(UTC_TIME, "700101000001Z"), Some(1));
        assert_eq!(moment(UTC_TIME, "491231235959Z"), moment(GENERALIZED_TIME, "20491231235959Z"));
        for bad in ["", "Z", "7001010000Z", "700101000001", "701301000000Z", "7001010000+1Z"] {
            assert_eq!(moment(UTC_TIME, bad), None, "{bad}");
        }
    }
}
