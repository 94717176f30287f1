//! What a tracker does, exported through OpenTelemetry: a span for each call of the store, and metrics.
//!
//! ```text
//! cargo run --example telemetry --features tracing,metrics
//! ```
//!
//! What is exported is printed here. A service gives the two exporters of `opentelemetry-otlp` in place of those of
//! `opentelemetry-stdout`, and they go to its collector.

use std::error::Error;

use metrics_opentelemetry::{OpenTelemetryMetrics, OpenTelemetryRecorder};
use milepost::{Metered, NewProcess, Pipeline, Progress, Query, SqliteStore, Traced, Tracker};
use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> Result<(), Box<dyn Error>> {
    let spans = SdkTracerProvider::builder()
        .with_simple_exporter(opentelemetry_stdout::SpanExporter::default())
        .build();
    tracing_subscriber::registry()
        .with(tracing_opentelemetry::layer().with_tracer(spans.tracer("example")))
        .try_init()?;

    let figures = SdkMeterProvider::builder()
        .with_periodic_exporter(opentelemetry_stdout::MetricExporter::default())
        .build();
    let recorder = OpenTelemetryRecorder::new(OpenTelemetryMetrics::new(figures.meter("example")));
    // Calls take less than a second, modules may take hours.
    let [calls, modules] = [
        "milepost_call_duration_seconds",
        "milepost_module_duration_seconds",
    ];
    recorder.set_histogram_bounds([calls].into_iter(), &[0.000_1, 0.001, 0.01, 0.1, 1.0]);
    recorder.set_histogram_bounds(
        [modules].into_iter(),
        &[0.1, 1.0, 10.0, 60.0, 600.0, 3600.0],
    );
    metrics::set_global_recorder(recorder).map_err(|_| "another recorder is installed")?;

    // Both look on, and the store is what it was.
    let store = SqliteStore::in_memory()?;
    let tracker = Tracker::new(Traced::new(Metered::new(store)));

    let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
    let process = tracker.begin(NewProcess::new(&pipeline).file_name("invoice.pdf"))?;
    for module in process.modules() {
        module.start()?;
        module.progress(Progress::of(3, 10).unit("pages"))?;
        module.complete()?;
    }
    // A service does so every 15 seconds, in a thread: it sets the gauges.
    tracker.count(&Query::new())?;
    tracker.erase(process.request_id())?;

    spans.shutdown()?;
    figures.shutdown()?;
    Ok(())
}
