//! Who calls: keys and tokens of requests, turned into what the caller may do.
//!
//! A key is compared by its SHA-256 and in constant time, so that neither its length nor its beginning can be found out by
//! trying. Tokens are JWT (RFC 7519) of the algorithm HS256 and no other, signed with a key that may do everything. Keys
//! never go to the log.
//!
//! Files: `token` (signature and claims).

mod token;

use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use vectordb_core::{Filter, field};
use vectordb_service::{Access, Fault, ReadOptions, Service, ServiceError};

use crate::config::ServiceConfig;
use token::{Claims, ValueExists};

/// The header of keys, and the metadata key of gRPC.
const API_KEY: &str = "api-key";
const AUTHORIZATION: &str = "authorization";

/// Paths that anybody may see.
const EXEMPT: [&str; 5] = ["/", "/healthz", "/readyz", "/livez", "/openapi.json"];

/// Turns what a request says of its caller into what he may do; the same for every door.
#[derive(Clone)]
pub struct Auth {
    keys: Arc<Keys>,
    service: Arc<Service>,
}

struct Keys {
    /// May do everything, and sign tokens.
    manage: Vec<String>,
    /// May read everything.
    read: Option<String>,
    tokens: bool,
}

/// A caller whose key or token is genuine.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    access: Access,
    /// What must hold besides.
    condition: Option<ValueExists>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys do not go to the log.
        f.write_str("Auth")
    }
}

impl Auth {
    /// By the keys of the settings; an empty one is none. Without any key everybody may do everything.
    pub fn new(config: &ServiceConfig, service: Arc<Service>) -> Self {
        let key = |name: &str, key: &Option<String>| match key.as_deref() {
            Some("") => {
                tracing::warn!("the setting service.{name} is empty: there is no such key");
                None
            }
            key => key.map(str::to_owned),
        };
        let manage = [key("api_key", &config.api_key), key("alt_api_key", &config.alt_api_key)].into_iter().flatten().collect();
        let read = key("read_only_api_key", &config.read_only_api_key);
        Self { keys: Arc::new(Keys { manage, read, tokens: config.jwt_rbac }), service }
    }

    /// Whether anybody may see a path of REST.
    pub fn is_exempt(path: &str) -> bool {
        let trimmed = path.trim_end_matches('/');
        EXEMPT.contains(&if trimmed.is_empty() { "/" } else { trimmed })
    }

    /// What the caller may do, by the headers that `lookup` finds under names in lower case. May block, where a token is
    /// bound to a point.
    ///
    /// # Errors
    /// [`Fault::Unauthenticated`] for a missing or wrong key, [`Fault::Forbidden`] for a token that is revoked.
    pub fn access<'h>(&self, lookup: impl Fn(&str) -> Option<&'h str>) -> Result<Access, ServiceError> {
        self.granted(self.identify(lookup)?)
    }

    /// The caller, without looking into any collection: does not block.
    ///
    /// # Errors
    /// [`Fault::Unauthenticated`].
    pub fn identify<'h>(&self, lookup: impl Fn(&str) -> Option<&'h str>) -> Result<Identity, ServiceError> {
        let unconditional = |access| Ok(Identity { access, condition: None });
        let keys = &*self.keys;
        if keys.manage.is_empty() && keys.read.is_none() {
            return unconditional(Access::Manage);
        }
        let bearer = || {
            let (scheme, key) = lookup(AUTHORIZATION)?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
        };
        let Some(given) = lookup(API_KEY).or_else(bearer) else {
            return Err(unauthenticated("Must provide an API key or an Authorization bearer token"));
        };
        // All keys are compared, whichever fits.
        let managed = keys.manage.iter().fold(false, |found, key| found | same(key, given));
        let reads = keys.read.as_deref().is_some_and(|key| same(key, given));
        match (managed, reads) {
            (true, _) => unconditional(Access::Manage),
            (false, true) => unconditional(Access::Read),
            (false, false) if keys.tokens && token::is_like(given) => {
                let Claims { access, value_exists } = token::verified(given, &keys.manage, now()).map_err(unauthenticated)?;
                Ok(Identity { access, condition: value_exists })
            }
            (false, false) => Err(unauthenticated("Invalid API key or JWT")),
        }
    }

    /// What a caller may do. May block, where a token is bound to a point.
    ///
    /// # Errors
    /// [`Fault::Forbidden`] for a token whose point is gone.
    pub fn granted(&self, identity: Identity) -> Result<Access, ServiceError> {
        let Some(condition) = identity.condition else { return Ok(identity.access) };
        let refused = || ServiceError::new(Fault::Forbidden, "Invalid JWT, stored value does not exist");
        let conditions = condition.matches.into_iter().map(|wanted| field(&wanted.key).eq(wanted.value));
        let filter = conditions.reduce(|all, each| all & each).unwrap_or_else(Filter::default);
        let found = self.service.count(&condition.collection, Some(&filter), true, &ReadOptions::default(), &Access::Manage);
        match found {
            Ok(0) => Err(refused()),
            Ok(_) => Ok(identity.access),
            Err(error) if error.fault == Fault::NotFound => Err(refused()),
            Err(error) => Err(error),
        }
    }
}

fn same(key: &str, given: &str) -> bool {
    Sha256::digest(key).ct_eq(&Sha256::digest(given)).into()
}

fn unauthenticated(message: &'static str) -> ServiceError {
    ServiceError::new(Fault::Unauthenticated, message)
}

/// Seconds since 1970.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vectordb_core::{CollectionConfig, Point, Update};
    use vectordb_service::{NewCollection, Settings, WriteOptions};

    use super::*;

    fn auth(keys: [&str; 3], tokens: bool) -> Auth {
        let some = |key: &str| (!key.is_empty()).then(|| key.to_owned());
        let config = ServiceConfig {
            api_key: some(keys[0]),
            alt_api_key: some(keys[1]),
            read_only_api_key: some(keys[2]),
            jwt_rbac: tokens,
            ..ServiceConfig::default()
        };
        Auth::new(&config, Arc::new(Service::in_memory(Settings::default()).expect("a service")))
    }

    fn by<'k>(name: &'static str, value: &'k str) -> impl Fn(&str) -> Option<&'k str> {
        move |asked| (asked == name).then_some(value)
    }

    fn fault(result: Result<Access, ServiceError>) -> Fault {
        result.expect_err("it is refused").fault
    }

    #[test]
    fn without_keys_everybody_may_do_everything() {
        assert_eq!(auth(["", "", ""], true).access(|_| None).expect("access"), Access::Manage);
        let empty = ServiceConfig { api_key: Some(String::new()), ..ServiceConfig::default() };
        let auth = Auth::new(&empty, Arc::new(Service::in_memory(Settings::default()).expect("a service")));
        assert_eq!(auth.access(|_| None).expect("access"), Access::Manage);
    }

    #[test]
    fn each_key_gives_what_it_stands_for() {
        let all = auth(["one", "two", "reader"], false);
        for (key, access) in [("one", Access::Manage), ("two", Access::Manage), ("reader", Access::Read)] {
            assert_eq!(all.access(by("api-key", key)).expect("access"), access, "{key}");
            for scheme in ["Bearer", "bearer"] {
                let header = format!("{scheme} {key}");
                assert_eq!(all.access(by("authorization", &header)).expect("access"), access, "{header}");
            }
        }
        for wrong in ["", "on", "onee", "ONE", "one ", "e30.e30.x"] {
            assert_eq!(fault(all.access(by("api-key", wrong))), Fault::Unauthenticated, "{wrong}");
        }
        for wrong in ["one", "Basic one", "Bearer", "Bearer nobody"] {
            assert_eq!(fault(all.access(by("authorization", wrong))), Fault::Unauthenticated, "{wrong}");
        }
        assert_eq!(fault(all.access(|_| None)), Fault::Unauthenticated);
        // A reader's key alone closes everything else.
        let reading = auth(["", "", "reader"], false);
        assert_eq!(reading.access(by("api-key", "reader")).expect("access"), Access::Read);
        assert_eq!(fault(reading.access(|_| None)), Fault::Unauthenticated);
        for path in ["/", "", "/healthz", "/readyz/", "/livez"] {
            assert!(Auth::is_exempt(path), "{path}");
        }
        for path in ["/metrics", "/collections", "/healthz/x", "/telemetry"] {
            assert!(!Auth::is_exempt(path), "{path}");
        }
    }

    #[test]
    fn a_token_is_taken_only_where_tokens_are_and_under_either_key() {
        let claims = json!({"access": "r"});
        for key in ["one", "two"] {
            let token = token::signed(&json!({"alg": "HS256", "typ": "JWT"}), &claims, key);
            assert_eq!(auth(["one", "two", "reader"], true).access(by("api-key", &token)).expect("access"), Access::Read);
            assert_eq!(fault(auth(["one", "two", ""], false).access(by("api-key", &token))), Fault::Unauthenticated);
        }
        for key in ["reader", "three", ""] {
            let token = token::signed(&json!({"alg": "HS256"}), &claims, key);
            assert_eq!(fault(auth(["one", "", "reader"], true).access(by("api-key", &token))), Fault::Unauthenticated, "{key}");
        }
        // Without a key that signs, nothing is signed.
        let token = token::signed(&json!({"alg": "HS256"}), &claims, "");
        assert_eq!(fault(auth(["", "", "reader"], true).access(by("api-key", &token))), Fault::Unauthenticated);
    }

    #[test]
    fn a_token_bound_to_a_point_ends_with_it() {
        let auth = auth(["one", "", ""], true);
        let matches = json!([{"key": "user", "value": "ann"}, {"key": "n", "value": 7}]);
        let claims = json!({"access": "m", "value_exists": {"collection": "tokens", "matches": matches}});
        let token = token::signed(&json!({"alg": "HS256"}), &claims, "one");
        assert_eq!(fault(auth.access(by("api-key", &token))), Fault::Forbidden, "there is no such collection");
        let new = NewCollection { name: "tokens".into(), config: CollectionConfig::default(), shard_number: None };
        auth.service.create_collection(new, &Access::Manage).expect("a collection");
        let write = |update| auth.service.update("tokens", vec![update], &WriteOptions::default(), &Access::Manage).expect("a write");
        write(Update::upsert([Point::bare(1).with("user", "ann").with("n", 8), Point::bare(2).with("user", "bob").with("n", 7)]));
        assert_eq!(fault(auth.access(by("api-key", &token))), Fault::Forbidden, "no point has both values");
        write(Update::upsert([Point::bare(3).with("user", "ann").with("n", 7)]));
        assert_eq!(auth.access(by("api-key", &token)).expect("access"), Access::Manage);
        write(Update::Delete([3u64].into()));
        assert_eq!(fault(auth.access(by("api-key", &token))), Fault::Forbidden);
    }
}
