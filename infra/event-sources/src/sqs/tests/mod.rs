//! One test a rule, named by its number; poller, queue and function together in virtual time where that shows it best.

mod fifo;
mod harness;
mod lifecycle;
mod schedules;
mod standard;
