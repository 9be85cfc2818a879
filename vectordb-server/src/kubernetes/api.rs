//! Requests to the API, by the crate `kube`.

use std::path::Path;
use std::time::Duration;

use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

use super::{Ask, Trouble};

/// How long a request may take in all.
const PATIENCE: Duration = Duration::from_secs(3);

/// The way to the API.
#[derive(Clone)]
pub(super) struct Api(kube::Client);

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}

impl Api {
    /// The API of the cluster that this pod runs in, or that of a file as `kubectl` has it.
    pub(super) async fn open(kubeconfig: Option<&Path>) -> Result<Self, Trouble> {
        let settings = |error: &dyn std::fmt::Display| Trouble::Settings(error.to_string());
        crate::tls::provide_cryptography();
        let mut config = match kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| settings(&error))?;
                let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
                config.map_err(|error| settings(&error))?
            }
            None => kube::Config::incluster().map_err(|error| settings(&error))?,
        };
        config.connect_timeout = Some(PATIENCE);
        config.read_timeout = Some(PATIENCE);
        // The API is reached directly, whatever stands between this pod and the world.
        config.proxy_url = None;
        Ok(Self(kube::Client::try_from(config).map_err(|error| settings(&error))?))
    }

    /// Asks, and waits for the answer for a few seconds.
    pub(super) async fn send(&self, path: &str, ask: Ask) -> Result<Value, Trouble> {
        let (method, kind, body) = match ask {
            Ask::Get => ("GET", "application/json", Vec::new()),
            Ask::Make(object) => ("POST", "application/json", object.to_string().into_bytes()),
            Ask::Patch(change) => ("PATCH", "application/merge-patch+json", change.to_string().into_bytes()),
        };
        let request = Request::builder().method(method).uri(path).header("content-type", kind).body(body);
        let request = request.map_err(|error| Trouble::Settings(error.to_string()))?;
        match tokio::time::timeout(PATIENCE, self.0.request::<Value>(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if (400..500).contains(&status.code) && status.code != 429 => {
                Err(Trouble::Refused { code: status.code, message: status.message.clone() })
            }
            Ok(Err(error)) => Err(Trouble::Away(error.to_string())),
            Err(_) => Err(Trouble::Away(format!("nothing came within {} s", PATIENCE.as_secs()))),
        }
    }
}
