//! Istio's metrics as a scraper sees them.
