//! Tests targets against requests and responses as services send them.

mod addresses;
mod batches;
mod buses;
mod endpoints;
mod functions;
mod names;
mod queues;
mod secrets;
mod signatures;
mod sockets;
mod state_machines;
mod topics;
mod wire;
