//! Metrics in the form Prometheus reads.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Starts collecting; gives what renders `/metrics`. Called once.
pub fn prometheus() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    metrics::describe_counter!("evertape_http_requests_total", "Requests answered, by kind and status");
    metrics::describe_counter!("evertape_segments_published_total", "Segments in store and index");
    metrics::describe_counter!("evertape_segment_bytes_published_total", "Bytes of published segments");
    metrics::describe_counter!("evertape_segments_lost_total", "Segments that could not be written to the spool");
    metrics::describe_counter!("evertape_publish_retries_total", "Attempts to publish that failed and are repeated");
    metrics::describe_counter!("evertape_spool_damaged_total", "Spooled segments that could not be read");
    metrics::describe_counter!("evertape_segments_marked_total", "Segments unlisted by retention");
    metrics::describe_counter!("evertape_segments_deleted_total", "Segments deleted by retention");
    metrics::describe_gauge!("evertape_janitor_refused", "1 while retention would unlist most of the stream at once");
    metrics::describe_gauge!("evertape_live_edge_timestamp_seconds", "End of the newest published segment");
    metrics::describe_gauge!("evertape_publish_lag_seconds", "From the end of a segment to its publication");
    Ok(handle)
}
