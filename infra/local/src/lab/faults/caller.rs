//! Finds and kills the function that made a call, by the port that the call comes from.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::process::Command;

/// Kills the function in the stack's directory whose connection has this port. Returns whether there was one.
///
/// # Errors
/// The processes cannot be listed.
pub(super) async fn kill(directory: &Path, peer: SocketAddr) -> io::Result<bool> {
    let functions = functions(directory).await?;
    let mut is_killed = false;
    for process in owners(&functions, peer.port()).await? {
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

/// Those of the processes that have a connection with this local port.
#[cfg(target_os = "linux")]
async fn owners(processes: &[Pid], port: u16) -> io::Result<Vec<Pid>> {
    let connections = std::fs::read_to_string("/proc/net/tcp")?;
    let Some(socket) = socket(&connections, port) else {
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

/// The socket with this local port on the loopback interface, as `/proc/PID/fd` names it.
#[cfg(target_os = "linux")]
fn socket(connections: &str, port: u16) -> Option<String> {
    /// proc(5): the state of an open connection.
    const ESTABLISHED: &str = "01";
    let port = format!(":{port:04X}");
    connections.lines().find_map(|line| {
        let mut columns = line.split_whitespace();
        let (local, state) = (columns.nth(1)?, columns.nth(1)?);
        let inode = columns.nth(5)?;
        let is_open = local.ends_with(&port) && state == ESTABLISHED;
        is_open.then(|| format!("socket:[{inode}]"))
    })
}

/// Those of the processes that have a connection with this local port.
#[cfg(not(target_os = "linux"))]
async fn owners(processes: &[Pid], port: u16) -> io::Result<Vec<Pid>> {
    let connection = format!("-iTCP@127.0.0.1:{port}");
    let listing = output("lsof", &["-nP", "-t", &connection]).await?;
    let owners = listing.lines().filter_map(|line| line.trim().parse().ok());
    let owners = owners.map(Pid::from_raw);
    Ok(owners.filter(|owner| processes.contains(owner)).collect())
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

    #[tokio::test]
    async fn finds_the_process_that_has_the_connection() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let port = stream.local_addr().unwrap().port();
        let (own, other) = (Pid::this(), Pid::parent());
        assert_eq!(owners(&[other, own], port).await.unwrap(), [own]);
        assert!(owners(&[other], port).await.unwrap().is_empty());
    }
}
