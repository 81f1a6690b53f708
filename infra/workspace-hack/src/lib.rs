//! Nothing lives here: see `Cargo.toml`, which is what this package is for.
