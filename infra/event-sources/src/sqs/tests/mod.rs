//! One test per rule, named by its number. Most run poller, queue and function together in virtual time.

mod fifo;
mod harness;
mod lifecycle;
mod receiving;
mod records;
mod responses;
mod schedules;
