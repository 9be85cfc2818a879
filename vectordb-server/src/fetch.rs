//! Getting snapshots from other servers.

use std::path::Path;
use std::time::Duration;

use vectordb_service::{Fault, Fetch, ServiceError};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// Gets by plain HTTP, without following to other places.
pub(crate) fn fetch() -> Fetch {
    Fetch::new(|url, api_key, target| {
        if url.starts_with("https://") {
            return Err(ServiceError::request("snapshots are fetched by http://; download what is behind https:// and upload it"));
        }
        get(url, api_key, target)
    })
}

fn get(url: &str, api_key: Option<&str>, target: &Path) -> Result<(), ServiceError> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_connect(Some(CONNECT)).max_redirects(0).build().into();
    let mut request = agent.get(url);
    if let Some(key) = api_key {
        request = request.header("api-key", key);
    }
    let unreachable = |error: &dyn std::fmt::Display| ServiceError::request(format!("{url} cannot be fetched: {error}"));
    let response = request.call().map_err(|error| unreachable(&error))?;
    if response.status() != 200 {
        return Err(unreachable(&format!("the answer is {}", response.status())));
    }
    let length = response.body().content_length();
    let disk = |error: std::io::Error| ServiceError::new(Fault::OutOfSpace, error.to_string());
    let mut file = std::fs::File::create_new(target).map_err(disk)?;
    let mut body = response.into_body().into_reader();
    let copied = std::io::copy(&mut body, &mut file).map_err(|error| unreachable(&error))?;
    if length.is_some_and(|length| length != copied) {
        return Err(unreachable(&format!("the answer ends after {copied} bytes")));
    }
    Ok(())
}
