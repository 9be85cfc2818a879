//! JSON web tokens: the signature, then the claims.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use vectordb_core::MatchValue;
use vectordb_service::{Access, CollectionAccess};

/// Seconds by which clocks may differ.
const LEEWAY_SECS: u64 = 30;
/// Longest token that is looked at, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// What a genuine token says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claims {
    pub(super) access: Access,
    pub(super) value_exists: Option<ValueExists>,
}

/// A point that must exist for the token to hold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ValueExists {
    pub(super) collection: String,
    pub(super) matches: Vec<Wanted>,
}

/// A value that the point has.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Wanted {
    pub(super) key: String,
    pub(super) value: Scalar,
}

/// A value of a payload that can be equal to another.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    Bool(bool),
    Integer(i64),
    Keyword(String),
}

impl From<Scalar> for MatchValue {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Bool(bool) => Self::Bool(bool),
            Scalar::Integer(number) => Self::Integer(number),
            Scalar::Keyword(text) => Self::Keyword(text),
        }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Names what must be understood; nothing is.
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    exp: Option<u64>,
    #[serde(default)]
    nbf: Option<u64>,
    #[serde(default)]
    access: Option<Granted>,
    #[serde(default)]
    value_exists: Option<ValueExists>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Granted {
    Everywhere(Everywhere),
    Listed(Vec<Listed>),
}

#[derive(Deserialize)]
enum Everywhere {
    #[serde(rename = "r")]
    Read,
    #[serde(rename = "m")]
    Manage,
}

/// A claim that is not known here could limit what is granted, so it is refused; `payload` is one that once did.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    collection: String,
    access: Kind,
}

#[derive(Deserialize)]
enum Kind {
    #[serde(rename = "r")]
    Read,
    #[serde(rename = "rw")]
    ReadWrite,
    #[serde(rename = "prw")]
    PointsReadWrite,
}

/// Whether this has the form of a token: three parts between dots.
pub(super) fn is_like(text: &str) -> bool {
    text.len() <= MAX_BYTES && text.split('.').count() == 3
}

/// The claims of a token that one of the keys signed and that holds at a time, in seconds since 1970.
///
/// # Errors
/// Why it is refused, without a word of what it holds.
pub(super) fn verified(token: &str, keys: &[String], now: u64) -> Result<Claims, &'static str> {
    const INVALID: &str = "Invalid API key or JWT";
    let (signed, signature) = token.rsplit_once('.').ok_or(INVALID)?;
    let (header, body) = signed.split_once('.').ok_or(INVALID)?;
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| INVALID);
    let header: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| INVALID)?;
    if header.alg != "HS256" || header.crit.is_some() {
        return Err(INVALID);
    }
    let signature = decoded(signature)?;
    let genuine = keys.iter().fold(false, |found, key| found | is_signed(signed, &signature, key));
    if !genuine {
        return Err(INVALID);
    }
    // An object first: of a list, structures would take the values in their order.
    let claims: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_slice(&decoded(body)?);
    let body = claims.and_then(|claims| serde_json::from_value(claims.into()));
    let body: Body = body.map_err(|_| "Invalid JWT: its claims are not understood")?;
    if body.exp.is_some_and(|exp| exp.saturating_add(LEEWAY_SECS) < now) {
        return Err("Invalid JWT: it has expired");
    }
    if body.nbf.is_some_and(|nbf| nbf > now.saturating_add(LEEWAY_SECS)) {
        return Err("Invalid JWT: it is not valid yet");
    }
    let access = match body.access {
        // Who signs without a limit sets none.
        None | Some(Granted::Everywhere(Everywhere::Manage)) => Access::Manage,
        Some(Granted::Everywhere(Everywhere::Read)) => Access::Read,
        Some(Granted::Listed(list)) => Access::Collections(by_collection(list)),
    };
    Ok(Claims { access, value_exists: body.value_exists })
}

/// Of a collection that is listed twice, the greater access holds.
fn by_collection(list: Vec<Listed>) -> BTreeMap<String, CollectionAccess> {
    let mut granted = BTreeMap::new();
    for Listed { collection, access } in list {
        let access = match access {
            Kind::Read => CollectionAccess::Read,
            Kind::PointsReadWrite => CollectionAccess::WritePoints,
            Kind::ReadWrite => CollectionAccess::Write,
        };
        let known = granted.entry(collection).or_insert(access);
        *known = access.max(*known);
    }
    granted
}

fn is_signed(text: &str, signature: &[u8], key: &str) -> bool {
    Hmac::<Sha256>::new_from_slice(key.as_bytes()).is_ok_and(|mac| mac.chain_update(text).verify_slice(signature).is_ok())
}

/// A token, for tests.
#[cfg(test)]
pub(super) fn signed(header: &serde_json::Value, claims: &serde_json::Value, key: &str) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("any key").chain_update(&text);
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn claims(body: &Value) -> Result<Claims, &'static str> {
        verified(&signed(&json!({"alg": "HS256", "typ": "JWT"}), body, "secret"), &["secret".to_owned()], NOW)
    }

    #[test]
    fn a_token_made_elsewhere_is_read() {
        // RFC 7515, appendix A.1, whose key is binary there; here the one of the jwt.io example.
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
        let read = verified(token, &["your-256-bit-secret".to_owned()], NOW);
        assert_eq!(read, Ok(Claims { access: Access::Manage, value_exists: None }));
        assert!(verified(token, &["another-secret".to_owned()], NOW).is_err());
        assert!(verified(token, &[], NOW).is_err());
    }

    #[test]
    fn every_form_of_access_is_understood() {
        let access = |value: Value| claims(&json!({"access": value})).expect("claims").access;
        assert_eq!((access(json!("r")), access(json!("m"))), (Access::Read, Access::Manage));
        let listed = access(json!([
            {"collection": "a", "access": "r"}, {"collection": "b", "access": "rw"}, {"collection": "c", "access": "prw"},
            {"collection": "a", "access": "prw"}, {"collection": "b", "access": "r"},
        ]));
        let Access::Collections(listed) = listed else { panic!("{listed:?}") };
        use CollectionAccess::{Write, WritePoints};
        assert_eq!(listed.into_iter().collect::<Vec<_>>(), [("a".into(), WritePoints), ("b".into(), Write), ("c".into(), WritePoints)]);
        assert_eq!(access(json!([])), Access::Collections(BTreeMap::new()));
        let refused = [
            json!({"access": "w"}),
            json!({"access": {"r": true}}),
            json!({"access": [{"collection": "a", "access": "m"}]}),
            json!({"access": [{"collection": "a"}]}),
            json!({"access": [{"collection": "a", "access": "r", "payload": {"user": 1}}]}),
            json!({"exp": "soon"}),
            json!({"value_exists": {"collection": "a"}}),
            json!([]),
        ];
        for body in refused {
            assert!(claims(&body).is_err(), "{body}");
        }
    }

    #[test]
    fn times_hold_within_the_leeway() {
        for (body, holds) in [
            (json!({"exp": NOW + 1}), true),
            (json!({"exp": NOW - LEEWAY_SECS}), true),
            (json!({"exp": NOW - LEEWAY_SECS - 1}), false),
            (json!({"exp": u64::MAX}), true),
            (json!({"nbf": NOW + LEEWAY_SECS}), true),
            (json!({"nbf": NOW + LEEWAY_SECS + 1}), false),
        ] {
            assert_eq!(claims(&body).is_ok(), holds, "{body}");
        }
    }

    #[test]
    fn nothing_but_a_whole_hs256_signature_counts() {
        let keys = ["secret".to_owned()];
        let body = json!({"access": "m"});
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "HS512"}),
            json!({"alg": "RS256"}),
            json!({"alg": "hs256"}),
            json!({}),
            json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
        ] {
            assert!(verified(&signed(&header, &body, "secret"), &keys, NOW).is_err(), "{header}");
        }
        let token = signed(&json!({"alg": "HS256"}), &body, "secret");
        assert!(verified(&token, &keys, NOW).is_ok());
        let (signed_part, _) = token.rsplit_once('.').expect("a signature");
        for bad in [
            format!("{signed_part}."),
            signed_part.to_owned(),
            format!("{token}="),
            format!("{token}.x"),
            token[..token.len() - 2].to_owned(),
        ] {
            assert!(verified(&bad, &keys, NOW).is_err(), "{bad}");
        }
        // Every changed character breaks it, but for bits of the last one of a part that stand for nothing.
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'Q' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(verified(&changed, &keys, NOW).is_err(), "{at}");
        }
        assert!(is_like(&token) && !is_like("a.b") && !is_like(&"x.".repeat(MAX_BYTES)));
    }
}
