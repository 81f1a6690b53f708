//! One test a rule, named by its number; poller, queue and function together in virtual time where that shows it best.

mod bench;
mod fifo;
mod lifecycle;
mod schedules;
mod standard;
