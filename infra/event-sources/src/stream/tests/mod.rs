mod checkpoints;
mod failure_records;
mod failures;
mod harness;
mod lifecycle;
mod reading;
mod schedules;
