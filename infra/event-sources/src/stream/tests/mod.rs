mod checkpoints;
mod failures;
mod harness;
mod lifecycle;
mod notices;
mod reading;
mod schedules;
