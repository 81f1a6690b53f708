mod bench;
mod checkpoints;
mod failures;
mod lifecycle;
mod notices;
mod reading;
mod schedules;
