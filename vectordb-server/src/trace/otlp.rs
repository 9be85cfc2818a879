//! Traces for a collector: the OpenTelemetry protocol 1.x over HTTP, in its JSON form, which every collector reads at port 4318.
//!
//! Requests never wait for the collector. Spans go into a queue, a thread sends what is in it, and where the collector is slower
//! than the requests, or gone, spans are lost and counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context as LayerContext;
use tracing_subscriber::registry::LookupSpan;

use super::REQUEST;
use crate::config::TelemetryConfig;

/// Spans that wait at most.
const QUEUE: usize = 8192;
/// Spans that are sent at once.
const BATCH: usize = 512;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_millis(500);
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two complaints about a collector.
const SILENCE: Duration = Duration::from_secs(60);

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A span that is not over.
#[derive(Debug)]
struct Open {
    trace: u128,
    span: u64,
    parent: Option<u64>,
    kept: bool,
    started: jiff::Timestamp,
    fields: Fields,
}

/// A span that is over, as the collector gets it; none is the end of all spans.
type Closed = Option<Value>;

#[derive(Debug, Default)]
struct Fields {
    /// Names and values of attributes.
    attributes: Vec<(&'static str, Value)>,
    operation: Option<String>,
    trace: Option<u128>,
    span: Option<u64>,
    parent: Option<u64>,
    unsampled: bool,
    failed: bool,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "trace_id" => self.trace = u128::from_str_radix(value, 16).ok(),
            "span_id" => self.span = u64::from_str_radix(value, 16).ok(),
            "parent_id" => self.parent = u64::from_str_radix(value, 16).ok(),
            "operation" => self.operation = Some(value.to_owned()),
            name => self.attributes.push((name, json!({"stringValue": value}))),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "sampled" => self.unsampled = !value,
            "failed" => self.failed = value,
            name => self.attributes.push((name, json!({"boolValue": value}))),
        }
    }

    // In JSON the protocol has whole numbers as texts.
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attributes.push((field.name(), json!({"intValue": value.to_string()})));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.attributes.push((field.name(), json!({"intValue": value.to_string()})));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.attributes.push((field.name(), json!({"doubleValue": value})));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Gathers spans for the collector.
#[derive(Debug)]
pub(super) struct Gather {
    queue: SyncSender<Closed>,
    lost: Arc<AtomicU64>,
    ratio: f64,
}

/// The thread that sends.
#[derive(Debug)]
pub(super) struct Sender {
    queue: SyncSender<Closed>,
    ending: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Sender {
    /// Waits until everything is sent, or the collector had its chance.
    pub(super) fn finish(self) {
        self.ending.store(true, Ordering::Relaxed);
        // A thread that panicked has nothing more to send.
        let _ = self.queue.send(None);
        let _ = self.thread.join();
    }
}

/// Begins to send to a collector.
pub(super) fn start(config: &TelemetryConfig, endpoint: &str) -> std::io::Result<(Gather, Sender)> {
    let (queue, spans) = sync_channel(QUEUE);
    let (lost, ending) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let collector = Collector {
        url: format!("{}/v1/traces", endpoint.trim_end_matches('/')),
        service: config.service_name.clone().unwrap_or_else(|| "vectordb".to_owned()),
        agent: crate::tls::agent(PATIENCE),
        lost: Arc::clone(&lost),
        ending: Arc::clone(&ending),
    };
    let thread = std::thread::Builder::new().name("traces".to_owned()).spawn(move || collector.run(&spans))?;
    Ok((Gather { queue: queue.clone(), lost, ratio: config.sample_ratio }, Sender { queue, ending, thread }))
}

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Gather {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: LayerContext<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let known = span.parent().and_then(|parent| parent.extensions().get::<Open>().map(|open| (open.trace, open.span, open.kept)));
        let own = fields.span.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().1);
        let (trace, parent, kept) = match (fields.trace, known) {
            (Some(trace), _) => {
                // Who begins a trace decides for everybody after him.
                let chosen = fields.parent.is_some() || ((trace as u64) as f64) < self.ratio * (u64::MAX as f64);
                (trace, fields.parent, chosen && !fields.unsampled)
            }
            (None, Some((trace, parent, kept))) => (trace, Some(parent), kept),
            // What belongs to no request is not traced.
            (None, None) => return,
        };
        span.extensions_mut().insert(Open { trace, span: own, parent, kept, started: jiff::Timestamp::now(), fields });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: LayerContext<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.fields);
        }
    }

    fn on_close(&self, id: Id, context: LayerContext<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>().filter(|open| open.kept) else { return };
        if self.queue.try_send(Some(closed(open, span.metadata().name()))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A span as the protocol has it.
fn closed(open: Open, name: &str) -> Value {
    let Open { trace, span, parent, started, fields, .. } = open;
    let attributes: Vec<Value> = fields.attributes.into_iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    // 2 is what a server does, 1 what goes on inside of it; the status 2 is a fault.
    let kind = if name == REQUEST { 2 } else { 1 };
    json!({
        "traceId": format!("{trace:032x}"),
        "spanId": format!("{span:016x}"),
        "parentSpanId": parent.map_or_else(String::new, |parent| format!("{parent:016x}")),
        "name": fields.operation.as_deref().unwrap_or(name),
        "kind": kind,
        "startTimeUnixNano": started.as_nanosecond().to_string(),
        "endTimeUnixNano": jiff::Timestamp::now().as_nanosecond().to_string(),
        "attributes": attributes,
        "status": if fields.failed { json!({"code": 2}) } else { json!({}) },
    })
}

#[derive(Debug)]
struct Collector {
    url: String,
    service: String,
    agent: ureq::Agent,
    lost: Arc<AtomicU64>,
    /// Whether nobody waits for a collector that does not answer.
    ending: Arc<AtomicBool>,
}

impl Collector {
    fn run(&self, spans: &Receiver<Closed>) {
        let mut complained: Option<Instant> = None;
        let mut over = false;
        while let Some(Some(first)) = if over { None } else { spans.recv().ok() } {
            let due = Instant::now() + LINGER;
            let mut batch = vec![first];
            while batch.len() < BATCH && !over {
                match spans.recv_timeout(due.saturating_duration_since(Instant::now())) {
                    Ok(Some(span)) => batch.push(span),
                    Ok(None) | Err(RecvTimeoutError::Disconnected) => over = true,
                    Err(RecvTimeoutError::Timeout) => break,
                }
            }
            let count = batch.len() as u64;
            if let Err(error) = self.send(batch) {
                let lost = self.lost.fetch_add(count, Ordering::Relaxed) + count;
                if complained.is_none_or(|before| before.elapsed() > SILENCE) {
                    complained = Some(Instant::now());
                    tracing::warn!(%error, url = self.url, lost, "traces are not taken");
                }
                over |= self.ending.load(Ordering::Relaxed);
            }
        }
    }

    fn send(&self, spans: Vec<Value>) -> Result<(), ureq::Error> {
        let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        let resource = [text("service.name", &self.service), text("service.version", VERSION)];
        let scope = json!({"name": "vectordb", "version": VERSION});
        let body = json!({"resourceSpans": [{
            "resource": {"attributes": resource},
            "scopeSpans": [{"scope": scope, "spans": spans}],
        }]});
        self.agent.post(&self.url).header("content-type", "application/json").send(body.to_string()).map(drop)
    }
}
