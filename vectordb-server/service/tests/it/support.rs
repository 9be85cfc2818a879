//! A service in memory and short ways to ask it.

use serde_json::Value;
use vectordb_service::{Service, Settings, rest};

/// A service whose data goes with the test.
pub(crate) fn service() -> Service {
    Service::in_memory(Settings::default()).expect("an empty service")
}

/// Status and body of an answer; the body is null where it is no JSON.
pub(crate) fn ask(service: &Service, method: &str, target: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let response = rest::handle(service, &rest::Request::new(method, target, &body));
    (response.status, serde_json::from_slice(&response.body).unwrap_or(Value::Null))
}

/// The result of a request that must succeed.
#[track_caller]
pub(crate) fn result(service: &Service, method: &str, target: &str, body: &Value) -> Value {
    let (status, mut answer) = ask(service, method, target, body);
    assert_eq!(status, 200, "{method} {target} {body}: {answer}");
    assert_eq!(answer["status"], "ok");
    assert!(answer["time"].as_f64().is_some_and(|seconds| seconds >= 0.0));
    answer["result"].take()
}

/// Status and text of a request that must fail.
#[track_caller]
pub(crate) fn error(service: &Service, method: &str, target: &str, body: &Value) -> (u16, String) {
    let (status, answer) = ask(service, method, target, body);
    assert!(answer.get("result").is_none(), "{method} {target} {body}: {answer}");
    (status, answer["status"]["error"].as_str().unwrap_or_default().to_owned())
}
