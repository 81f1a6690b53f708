//! Finds and kills the function that made a call, by its connection to the proxy.
//!
//! Both ends of the connection count: another process can have the same local port for a connection to another address.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::process::Command;

/// A connection of a function to its proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connection {
    /// The end of the function.
    caller: SocketAddrV4,
    /// The end of the proxy.
    proxy: SocketAddrV4,
}

impl Connection {
    /// Returns `None` for addresses of another kind than those of the proxies.
    pub(super) fn new(caller: SocketAddr, proxy: SocketAddr) -> Option<Self> {
        match (caller, proxy) {
            (SocketAddr::V4(caller), SocketAddr::V4(proxy)) => Some(Self { caller, proxy }),
            _ => None,
        }
    }
}

/// Kills the function in the stack's directory that has this connection. Returns whether there was one.
///
/// # Errors
/// The processes cannot be listed.
pub(super) async fn kill(directory: &Path, connection: Connection) -> io::Result<bool> {
    let functions = functions(directory).await?;
    let mut is_killed = false;
    // A listed process can have ended, and another one can have its id. That one does not have the connection.
    for process in owners(&functions, connection).await? {
        is_killed |= nix::sys::signal::kill(process, Signal::SIGKILL).is_ok();
    }
    Ok(is_killed)
}

/// The processes whose program is a function in the stack's directory.
async fn functions(directory: &Path) -> io::Result<Vec<Pid>> {
    let arguments = ["-A", "-w", "-w", "-o", "pid=", "-o", "command="];
    Ok(parse_functions(&output("ps", &arguments).await?, directory))
}

fn parse_functions(listing: &str, directory: &Path) -> Vec<Pid> {
    let directory = directory.to_string_lossy();
    let processes = listing.lines().filter_map(|line| {
        let (process, command) = line.trim_start().split_once(' ')?;
        // The program of the package, or the one that `deploy.py` makes the package execute.
        let path = command.trim_start().strip_prefix(&*directory)?;
        let is_function = path.ends_with("/bootstrap") || path.starts_with("/functions/");
        is_function.then(|| process.parse().ok().map(Pid::from_raw))?
    });
    processes.collect()
}

/// Those of the processes that have this connection.
#[cfg(target_os = "linux")]
async fn owners(processes: &[Pid], connection: Connection) -> io::Result<Vec<Pid>> {
    let connections = std::fs::read_to_string("/proc/net/tcp")?;
    let Some(socket) = socket(&connections, connection) else {
        return Ok(Vec::new());
    };
    let has_socket = |process: &&Pid| {
        // A process that has just ended has no files.
        let files = std::fs::read_dir(format!("/proc/{process}/fd"));
        let mut files = files.into_iter().flatten().flatten();
        files.any(|file| {
            let target = std::fs::read_link(file.path());
            target.is_ok_and(|target| target.to_str() == Some(&*socket))
        })
    };
    Ok(processes.iter().filter(has_socket).copied().collect())
}

/// The socket of the caller, as `/proc/PID/fd` names it.
#[cfg(target_os = "linux")]
fn socket(connections: &str, connection: Connection) -> Option<String> {
    /// proc(5): the state of an open connection.
    const ESTABLISHED: &str = "01";
    let (caller, proxy) = (hex(connection.caller), hex(connection.proxy));
    connections.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let inode = columns.get(9)?;
        let is_this_one = columns[1..4] == [&*caller, &*proxy, ESTABLISHED];
        is_this_one.then(|| format!("socket:[{inode}]"))
    })
}

/// An address as `/proc/net/tcp` has it: the bytes of the IP address are a number of this machine.
#[cfg(target_os = "linux")]
fn hex(address: SocketAddrV4) -> String {
    let ip = u32::from_ne_bytes(address.ip().octets());
    format!("{ip:08X}:{:04X}", address.port())
}

/// Those of the processes that have this connection.
#[cfg(not(target_os = "linux"))]
async fn owners(processes: &[Pid], connection: Connection) -> io::Result<Vec<Pid>> {
    let ends = format!("-iTCP@{}", connection.caller);
    let listing = output("lsof", &["-nP", "-F", "pn", "-sTCP:ESTABLISHED", &ends]).await?;
    let owners = parse_owners(&listing, connection);
    Ok(owners.filter(|owner| processes.contains(owner)).collect())
}

/// The processes whose end of the connection is that of the caller, in lsof's output for programs: a line with a process, and then
/// one for each of its files.
#[cfg(any(test, not(target_os = "linux")))]
fn parse_owners(listing: &str, connection: Connection) -> impl Iterator<Item = Pid> {
    let name = format!("n{}->{}", connection.caller, connection.proxy);
    let mut process = None;
    listing
        .lines()
        .filter_map(move |line| match line.strip_prefix('p') {
            Some(id) => {
                process = id.parse().ok().map(Pid::from_raw);
                None
            }
            None => process.filter(|_| line == name),
        })
}

async fn output(program: &str, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .kill_on_drop(true)
        .output()
        .await?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    use super::*;

    #[test]
    fn only_functions_of_the_stack_are_killed() {
        let listing = "
              1 /sbin/init
             20 /stacks/up-0-1/functions/ingest-3
             21 /stacks/up-0-1/tmp/code/bootstrap
             22 /stacks/up-0-1/python emulator.py
             23 /stacks/other/functions/ingest-3
             24 /bin/sh /stacks/up-0-1/functions/ingest-3";
        let functions = parse_functions(listing, Path::new("/stacks/up-0-1"));
        assert_eq!(functions, [20, 21].map(Pid::from_raw));
    }

    /// Connects from this port, or from a free one, to a new listener.
    async fn connect(port: u16) -> (TcpStream, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, port).into()).unwrap();
        let stream = socket.connect(listener.local_addr().unwrap());
        (stream.await.unwrap(), listener)
    }

    fn connection(stream: &TcpStream) -> Connection {
        let (own, peer) = (stream.local_addr(), stream.peer_addr());
        Connection::new(own.unwrap(), peer.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn finds_the_process_that_has_the_connection() {
        let (stream, _listener) = connect(0).await;
        let (own, other) = (Pid::this(), Pid::parent());
        let connection = connection(&stream);
        assert_eq!(owners(&[other, own], connection).await.unwrap(), [own]);
        assert!(owners(&[other], connection).await.unwrap().is_empty());
        let reversed = Connection {
            caller: connection.proxy,
            proxy: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9),
        };
        assert!(owners(&[own], reversed).await.unwrap().is_empty());
    }

    /// Linux gives the same local port to connections to different addresses.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn another_connection_with_the_same_port_is_not_taken_for_this_one() {
        use std::os::fd::AsRawFd as _;

        let (first, _listener) = connect(0).await;
        let (second, _other) = connect(connection(&first).caller.port()).await;
        assert_eq!(connection(&first).caller, connection(&second).caller);
        let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
        for stream in [first, second] {
            let file = format!("/proc/self/fd/{}", stream.as_raw_fd());
            let expected = std::fs::read_link(file).unwrap();
            let found = socket(&connections, connection(&stream)).unwrap();
            assert_eq!(found, expected.to_str().unwrap());
        }
    }

    #[test]
    fn lsof_names_both_ends_of_a_connection() {
        let listing = "p20\nf5\nn127.0.0.1:4000->127.0.0.1:9001\nf6\nn127.0.0.1:4000->127.0.0.1:9000\n\
            p21\nf5\nn127.0.0.1:9000->127.0.0.1:4000\np22\nf7\nn127.0.0.1:4000->127.0.0.1:9002\n";
        let address = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let connection = Connection {
            caller: address(4_000),
            proxy: address(9_000),
        };
        let owners: Vec<Pid> = parse_owners(listing, connection).collect();
        assert_eq!(owners, [Pid::from_raw(20)]);
    }
}
