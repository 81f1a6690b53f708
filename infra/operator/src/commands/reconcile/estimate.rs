//! The estimated duration and price of a reconcile.

use onewrite_cost::prices::Prices;
use onewrite_stack::scan::TableSize;

use crate::format::duration;

/// The bytes of one read request unit for a strongly consistent read; an eventually consistent read costs half (DynamoDB
/// developer guide, "Read and write operations").
const READ_UNIT_BYTES: f64 = 4_096.0;

/// The bytes of one write request unit (same source).
const WRITE_UNIT_BYTES: f64 = 1_024.0;

/// Describes the size of the table, how long a scan takes, and what the scan and a thousand redrives cost.
pub(super) fn text(size: &TableSize, read_units_per_second: u32, prices: &Prices) -> String {
    let TableSize { items, bytes, .. } = *size;
    let units = (bytes as f64 / READ_UNIT_BYTES / 2.0).ceil();
    let seconds = units / f64::from(read_units_per_second);
    let read_usd = prices.dynamodb_read_units.usd_for(units);
    let write_units = (bytes as f64 / items.max(1) as f64 / WRITE_UNIT_BYTES).ceil();
    let write_units = write_units.max(1.0);
    let write_usd = prices.dynamodb_write_units.usd_for(write_units * 1e3);
    format!(
        "The table has ~{items} items, ~{bytes} bytes. The scan reads ~{units} units in ~{} (~${read_usd:.4}). A thousand redrives write ~{write_units}000 units (~${write_usd:.4}). On-demand prices of {}, {}.",
        duration((seconds * 1e3) as i64),
        prices.region,
        prices.as_of,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_units_and_dollars() {
        let size = |items, bytes| TableSize {
            arn: String::new(),
            items,
            bytes,
        };
        let prices = Prices::built_in().unwrap();
        assert_eq!(
            text(&size(1_000_000, 1_500_000_000), 500, &prices),
            "The table has ~1000000 items, ~1500000000 bytes. The scan reads ~183106 units in ~6m06s (~$0.0229). A thousand redrives write ~2000 units (~$0.0013). On-demand prices of us-east-1, 2026-11."
        );
        let empty = text(&size(0, 0), 500, &prices);
        assert!(
            empty.contains("reads ~0 units in ~0.000s (~$0.0000)"),
            "{empty}"
        );
    }
}
